//! Questions: protobuf → domain.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::bucket::{BucketWidth, Buckets, MAX_BUCKETS};
use crate::domain::dimension::Dimension;
use crate::domain::filter::Filter;
use crate::domain::metric::Metric;
use crate::domain::property::Property;
use crate::domain::question::{
    Aggregate, DEFAULT_ROWS, ListEvents, MAX_ROWS, Selection, Sort, SortKey,
};
use crate::domain::report::{Before, Compared};
use crate::domain::time_range::{Period, TimeRange};
use crate::error::ApiError;
use crate::pb;

use super::range::{before, time_range, time_zone};
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

/// What every question says.
#[derive(Clone)]
pub(super) struct Common {
    /// Its zone.
    pub time_zone: TimeZone,
    /// Its range; `None` where it is wrong.
    pub period: Option<Period>,
    /// The range that it is compared with, if it is.
    pub before: Option<TimeRange>,
    filter: Option<Filter>,
    include_bots: bool,
    property_no: i32,
}

/// The parts of a request that are the same in all.
pub(super) struct CommonFields {
    pub range: Option<pb::TimeRange>,
    pub filter: Option<pb::Filter>,
    pub include_bots: bool,
    pub time_zone: String,
    pub compare: i32,
}

impl Common {
    /// Reads them.
    pub fn read(
        fields: CommonFields,
        property: &Property,
        now: Timestamp,
        v: &mut Violations,
    ) -> Self {
        let time_zone = time_zone(&fields.time_zone, property, v);
        let period = time_range(fields.range, &time_zone, now, v);
        let before = before(fields.compare, period, &time_zone, v);
        let filter = fields
            .filter
            .and_then(|filter| filter::parse(filter, "filter", v));
        Self {
            time_zone,
            period,
            before,
            filter,
            include_bots: fields.include_bots,
            property_no: property.property_no,
        }
    }

    /// The same without what it is compared with.
    pub fn now_only(&self) -> Self {
        Self {
            before: None,
            ..self.clone()
        }
    }

    /// Which events, and the buckets of the range and of the one before, if `field`, their width, leaves
    /// few enough. `None` where the range is wrong.
    pub fn in_buckets(
        &self,
        width: BucketWidth,
        field: &str,
        v: &mut Violations,
    ) -> Option<(Selection, Buckets, Option<Before>)> {
        let range = self.period?.range;
        let buckets = self.buckets(range, width, field, v)?;
        let before = match self.before {
            Some(range) => Some(Before {
                range,
                buckets: self.buckets(range, width, field, v)?,
            }),
            None => None,
        };
        let selection = Selection {
            property_no: self.property_no,
            range,
            filter: self.filter.clone(),
            include_bots: self.include_bots,
        };
        Some((selection, buckets, before))
    }

    fn buckets(
        &self,
        range: TimeRange,
        width: BucketWidth,
        field: &str,
        v: &mut Violations,
    ) -> Option<Buckets> {
        let buckets = Buckets::cover(range, width, &self.time_zone);
        buckets
            .map_err(|too_many| {
                v.add(
                    field,
                    format!(
                        "the range has about {} buckets, need at most {MAX_BUCKETS}",
                        too_many.about
                    ),
                );
            })
            .ok()
    }
}

/// Reads an Aggregate question that is asked at `now`.
pub fn aggregate(
    request: pb::AggregateRequest,
    property: &Property,
    now: Timestamp,
) -> Result<Compared, ApiError> {
    let mut violations = Violations::default();
    let v = &mut violations;

    let fields = CommonFields {
        range: request.range,
        filter: request.filter,
        include_bots: request.include_bots,
        time_zone: request.time_zone,
        compare: request.compare,
    };
    let common = Common::read(fields, property, now, v);
    let width = bucket_width(request.bucket, "bucket", v);
    let in_buckets = width.and_then(|width| common.in_buckets(width, "bucket", v));
    let dimensions = dimensions(&request.dimensions, v);
    let metrics = metrics(&request.metrics, "metrics", &[Metric::Events], v);
    let mut order = order(&request.order_by, true, &dimensions, &metrics, v);
    if request.order_by.is_empty() {
        order = vec![ascending(SortKey::Bucket), descending(SortKey::Metric(0))];
    }
    let limit = bounded("limit", request.limit, MAX_ROWS, DEFAULT_ROWS, v);

    let Some((selection, buckets, before)) = in_buckets else {
        return Err(refusal(violations));
    };
    violations.finish_call(Compared {
        now: Aggregate {
            selection,
            time_zone: common.time_zone,
            buckets,
            order: complete(order, dimensions.len()),
            dimensions,
            metrics,
            limit,
            fill_gaps: request.fill_gaps,
            totals: request.totals,
            others: request.others,
            only: None,
        },
        before,
    })
}

/// The error of a question of which too little can be read to go on.
pub(super) fn refusal(violations: Violations) -> ApiError {
    ApiError::InvalidFields(violations.finish(()).err().unwrap_or_default())
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
        None => time_range(request.range, &time_zone, now, v).map(|period| period.range),
    };
    let filter = request
        .filter
        .and_then(|filter| filter::parse(filter, "filter", v));
    let page_size = page_size(request.page_size, DEFAULT_PAGE_SIZE, v);
    let Some(range) = range else {
        return Err(refusal(violations));
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
    let [max, default] = [MAX_PAGE_SIZE, default].map(|size| usize::try_from(size).unwrap_or(1));
    bounded("page_size", size, max, default, v)
}

/// Reads a number from 1 to `max`; 0 is the default.
pub(super) fn bounded(
    field: &str,
    number: i32,
    max: usize,
    default: usize,
    v: &mut Violations,
) -> usize {
    match usize::try_from(number) {
        Ok(0) => default,
        Ok(number) if number <= max => number,
        _ => {
            v.add(field, format!("{number}, need 1–{max}, or 0 for {default}"));
            default
        }
    }
}

/// Reads the width of a bucket.
pub(super) fn bucket_width(bucket: i32, field: &str, v: &mut Violations) -> Option<BucketWidth> {
    let Ok(bucket) = pb::Bucket::try_from(bucket) else {
        v.add(field, format!("{bucket} is no bucket"));
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

/// Reads what to measure; `default` if nothing is said.
pub(super) fn metrics(
    names: &[String],
    list: &str,
    default: &[Metric],
    v: &mut Violations,
) -> Vec<Metric> {
    if names.is_empty() {
        return default.to_vec();
    }
    if names.len() > MAX_METRICS {
        v.add(
            list,
            format!("{} of them, need at most {MAX_METRICS}", names.len()),
        );
        return Vec::new();
    }
    let mut metrics = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let field = format!("{list}[{place}]");
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

/// The order asked for. Only where there are buckets is `bucket` a key.
pub(super) fn order(
    order_by: &[pb::OrderBy],
    has_buckets: bool,
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
        let bucket = (has_buckets && name == "bucket").then_some(SortKey::Bucket);
        match bucket.or(metric).or(dimension) {
            Some(sort_key) if order.iter().any(|sort| sort.key == sort_key) => v.add(
                format!("order_by[{place}].key"),
                format!("`{name}` is there already"),
            ),
            Some(sort_key) => order.push(Sort {
                key: sort_key,
                descending: key.descending,
            }),
            None => {
                let neither = match has_buckets {
                    true => "neither `bucket` nor a dimension or metric of the question",
                    false => "neither the dimension nor a metric of the question",
                };
                v.add(
                    format!("order_by[{place}].key"),
                    format!("`{}` is {neither}", excerpt(name, 40)),
                );
            }
        }
    }
    order
}

/// The order, completed so that every row has its place.
pub(super) fn complete(mut order: Vec<Sort>, dimensions: usize) -> Vec<Sort> {
    let ties = [SortKey::Bucket]
        .into_iter()
        .chain((0..dimensions).map(SortKey::Dimension));
    for key in ties {
        if !order.iter().any(|sort| sort.key == key) {
            order.push(ascending(key));
        }
    }
    order
}

pub(super) fn ascending(key: SortKey) -> Sort {
    Sort {
        key,
        descending: false,
    }
}

pub(super) fn descending(key: SortKey) -> Sort {
    Sort {
        key,
        descending: true,
    }
}
