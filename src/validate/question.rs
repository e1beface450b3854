//! Questions: protobuf → domain.

use jiff::Timestamp;

use crate::domain::bucket::{BucketWidth, Buckets, MAX_BUCKETS};
use crate::domain::dimension::Dimension;
use crate::domain::metric::Metric;
use crate::domain::property::Property;
use crate::domain::question::{
    Aggregate, DEFAULT_ROWS, ListEvents, MAX_ROWS, Selection, Sort, SortKey,
};
use crate::error::ApiError;
use crate::pb;

use super::range::{time_range, time_zone};
use super::rules::{Violations, excerpt};
use super::{filter, page_token};

/// Dimensions of a question at most.
pub const MAX_DIMENSIONS: usize = 8;
/// Metrics of a question at most.
pub const MAX_METRICS: usize = 16;
/// Events a page at most.
pub const MAX_PAGE_SIZE: i32 = 1_000;
/// Events a page when the question does not say.
pub const DEFAULT_PAGE_SIZE: i32 = 50;

/// Reads an Aggregate question that is asked at `now`.
pub fn aggregate(
    request: pb::AggregateRequest,
    property: &Property,
    now: Timestamp,
) -> Result<Aggregate, ApiError> {
    let mut violations = Violations::default();
    let v = &mut violations;

    let time_zone = time_zone(&request.time_zone, property, v);
    let range = time_range(request.range, &time_zone, now, v);
    let width = bucket_width(request.bucket, v);
    let buckets = match (range, width) {
        (Some(range), Some(width)) => match Buckets::cover(range, width, &time_zone) {
            Ok(buckets) => Some(buckets),
            Err(too_many) => {
                v.add(
                    "bucket",
                    format!(
                        "the range has about {} buckets, need at most {MAX_BUCKETS}",
                        too_many.about
                    ),
                );
                None
            }
        },
        _ => None,
    };
    let dimensions = dimensions(&request.dimensions, v);
    let metrics = metrics(&request.metrics, v);
    let filter = request
        .filter
        .and_then(|filter| filter::parse(filter, "filter", v));
    let order = order(&request.order_by, &dimensions, &metrics, v);
    let limit = usize::try_from(request.limit)
        .ok()
        .filter(|limit| *limit <= MAX_ROWS);
    if limit.is_none() {
        v.add(
            "limit",
            format!(
                "{}, need 1–{MAX_ROWS}, or 0 for {DEFAULT_ROWS}",
                request.limit
            ),
        );
    }

    let (Some(range), Some(buckets), Some(limit)) = (range, buckets, limit) else {
        return Err(ApiError::InvalidFields(
            violations.finish(()).err().unwrap_or_default(),
        ));
    };
    violations.finish_call(Aggregate {
        selection: Selection {
            property_no: property.property_no,
            range,
            filter,
            include_bots: request.include_bots,
        },
        time_zone,
        buckets,
        dimensions,
        metrics,
        order,
        limit: if limit == 0 { DEFAULT_ROWS } else { limit },
        fill_gaps: request.fill_gaps,
        totals: request.totals,
        others: false,
    })
}

/// Reads a ListEvents question that is asked at `now`.
pub fn list_events(
    request: pb::ListEventsRequest,
    property: &Property,
    now: Timestamp,
) -> Result<(ListEvents, page_token::QuestionHash), ApiError> {
    let mut violations = Violations::default();
    let v = &mut violations;

    let hash = page_token::hash_question(&request, property.property_no);
    let token = match request.page_token.as_str() {
        "" => None,
        text => {
            let token = page_token::decode(text, hash);
            if token.is_none() {
                v.add("page_token", "is not one of this question's");
            }
            token
        }
    };
    let time_zone = time_zone(&request.time_zone, property, v);
    let range = match &token {
        // A relative range keeps the meaning it had on the first page.
        Some(token) => Some(token.range),
        None => time_range(request.range, &time_zone, now, v),
    };
    let filter = request
        .filter
        .and_then(|filter| filter::parse(filter, "filter", v));
    let page_size = page_size(request.page_size, DEFAULT_PAGE_SIZE, v);
    let Some(range) = range else {
        return Err(ApiError::InvalidFields(
            violations.finish(()).err().unwrap_or_default(),
        ));
    };
    violations.finish_call((
        ListEvents {
            selection: Selection {
                property_no: property.property_no,
                range,
                filter,
                include_bots: request.include_bots,
            },
            page_size,
            after: token.map(|token| token.after),
        },
        hash,
    ))
}

/// Reads the size of a page, from 1 to [`MAX_PAGE_SIZE`]; 0 is the default.
pub fn page_size(size: i32, default: i32, v: &mut Violations) -> usize {
    let size = match size {
        0 => default,
        1..=MAX_PAGE_SIZE => size,
        _ => {
            v.add(
                "page_size",
                format!("{size}, need 1–{MAX_PAGE_SIZE}, or 0 for {default}"),
            );
            default
        }
    };
    usize::try_from(size).unwrap_or_default()
}

fn bucket_width(bucket: i32, v: &mut Violations) -> Option<BucketWidth> {
    let Ok(bucket) = pb::Bucket::try_from(bucket) else {
        v.add("bucket", format!("{bucket} is no bucket"));
        return None;
    };
    Some(match bucket {
        pb::Bucket::Minute => BucketWidth::Minute,
        pb::Bucket::FifteenMinutes => BucketWidth::FifteenMinutes,
        pb::Bucket::Hour => BucketWidth::Hour,
        pb::Bucket::Unspecified | pb::Bucket::Day => BucketWidth::Day,
        pb::Bucket::Week => BucketWidth::Week,
        pb::Bucket::Month => BucketWidth::Month,
        pb::Bucket::Quarter => BucketWidth::Quarter,
        pb::Bucket::Year => BucketWidth::Year,
        pb::Bucket::WholeRange => BucketWidth::WholeRange,
    })
}

fn dimensions(names: &[String], v: &mut Violations) -> Vec<Dimension> {
    if names.len() > MAX_DIMENSIONS {
        v.add(
            "dimensions",
            format!("{} of them, need at most {MAX_DIMENSIONS}", names.len()),
        );
        return Vec::new();
    }
    let mut dimensions = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let field = format!("dimensions[{place}]");
        let Some(dimension) = filter::dimension(name, &field, v) else {
            continue;
        };
        if dimensions.contains(&dimension) {
            v.add(field, format!("`{dimension}` is there already"));
        } else {
            dimensions.push(dimension);
        }
    }
    dimensions
}

fn metrics(names: &[String], v: &mut Violations) -> Vec<Metric> {
    if names.is_empty() {
        return vec![Metric::Events];
    }
    if names.len() > MAX_METRICS {
        v.add(
            "metrics",
            format!("{} of them, need at most {MAX_METRICS}", names.len()),
        );
        return Vec::new();
    }
    let mut metrics = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let field = format!("metrics[{place}]");
        match Metric::from_name(name) {
            None => {
                let known = Metric::ALL.map(Metric::name).join(", ");
                v.add(
                    field,
                    format!(
                        "there is no metric `{}`; there are {known}",
                        excerpt(name, 40)
                    ),
                );
            }
            Some(metric) if metrics.contains(&metric) => {
                v.add(field, format!("`{name}` is there already"));
            }
            Some(metric) => metrics.push(metric),
        }
    }
    metrics
}

/// The order asked for, completed so that every row has its place.
fn order(
    order_by: &[pb::OrderBy],
    dimensions: &[Dimension],
    metrics: &[Metric],
    v: &mut Violations,
) -> Vec<Sort> {
    let mut order: Vec<Sort> = Vec::new();
    for (place, key) in order_by.iter().enumerate() {
        let name = key.key.as_str();
        let metric = metrics
            .iter()
            .position(|metric| metric.name() == name)
            .map(SortKey::Metric);
        let dimension = dimensions
            .iter()
            .position(|dimension| dimension.to_string() == name)
            .map(SortKey::Dimension);
        let bucket = (name == "bucket").then_some(SortKey::Bucket);
        match bucket.or(metric).or(dimension) {
            Some(sort_key) if order.iter().any(|sort| sort.key == sort_key) => v.add(
                format!("order_by[{place}].key"),
                format!("`{name}` is there already"),
            ),
            Some(sort_key) => order.push(Sort {
                key: sort_key,
                descending: key.descending,
            }),
            None => v.add(
                format!("order_by[{place}].key"),
                format!(
                    "`{}` is neither `bucket` nor a dimension or metric of the question",
                    excerpt(name, 40)
                ),
            ),
        }
    }
    if order.is_empty() {
        order.push(Sort {
            key: SortKey::Bucket,
            descending: false,
        });
        order.push(Sort {
            key: SortKey::Metric(0),
            descending: true,
        });
    }
    let ties = [SortKey::Bucket]
        .into_iter()
        .chain((0..dimensions.len()).map(SortKey::Dimension));
    for key in ties {
        if !order.iter().any(|sort| sort.key == key) {
            order.push(Sort {
                key,
                descending: false,
            });
        }
    }
    order
}
