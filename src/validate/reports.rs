//! Reports: protobuf → domain.

use jiff::Timestamp;

use crate::domain::bucket::{BucketWidth, Buckets};
use crate::domain::dimension::Dimension;
use crate::domain::filter::{Filter, TextComparison};
use crate::domain::metric::Metric;
use crate::domain::property::Property;
use crate::domain::question::{Aggregate, MAX_ROWS, Selection, SortKey};
use crate::domain::report::{Before, Breakdown, Compared, Overview};
use crate::domain::time_range::TimeRange;
use crate::error::ApiError;
use crate::pb;

use super::filter::{self, MAX_VALUE_BYTES};
use super::question::{
    Common, CommonFields, ascending, bounded, bucket_width, complete, descending, metrics, order,
    refusal,
};
use super::rules::Violations;

/// Values of a breakdown when it does not say.
pub const DEFAULT_VALUES: usize = 10;
/// Values of a breakdown at most.
pub const MAX_VALUES: usize = 1_000;
/// Values that a breakdown may skip at most.
pub const MAX_OFFSET: usize = 99_000;
/// Lists of an overview at most.
pub const MAX_LISTS: usize = 16;
/// Values of a list of an overview at most.
pub const MAX_LIST_VALUES: usize = 100;

const LIST_METRICS: [Metric; 2] = [Metric::Visitors, Metric::Events];
const OVERVIEW_METRICS: [Metric; 5] = [
    Metric::Visitors,
    Metric::PageViews,
    Metric::Events,
    Metric::DurationMean,
    Metric::ScrollDepthMean,
];
const OVERVIEW_LISTS: [Dimension; 8] = [
    Dimension::Page,
    Dimension::Referrer,
    Dimension::Channel,
    Dimension::Country,
    Dimension::Browser,
    Dimension::Os,
    Dimension::Device,
    Dimension::Name,
];

/// Reads a Breakdown question that is asked at `now`.
pub fn breakdown(
    request: pb::BreakdownRequest,
    property: &Property,
    now: Timestamp,
) -> Result<Breakdown, ApiError> {
    let mut violations = Violations::default();
    let v = &mut violations;

    let dimension = filter::dimension(&request.dimension, "dimension", v);
    let fields = CommonFields {
        range: request.range,
        filter: request.filter,
        include_bots: request.include_bots,
        time_zone: request.time_zone,
        compare: request.compare,
    };
    let common = Common::read(fields, property, now, v);
    let metrics = metrics(&request.metrics, "metrics", &LIST_METRICS, v);
    let order = match (&dimension, request.order_by.as_slice()) {
        (_, []) => vec![descending(SortKey::Metric(0))],
        (Some(dimension), keys) => order(keys, false, std::slice::from_ref(dimension), &metrics, v),
        (None, _) => Vec::new(),
    };
    let limit = bounded("limit", request.limit, MAX_VALUES, DEFAULT_VALUES, v);
    let offset = offset(request.offset, v);
    let contains = contains(request.contains, v);
    let series = series(&common, request.series, limit, v);
    let whole_range = common.in_buckets(BucketWidth::WholeRange, "range", v);

    let (Some(dimension), Some((selection, buckets, before))) = (dimension, whole_range) else {
        return Err(refusal(violations));
    };
    if request.others && contains.is_some() && dimension.is_list() {
        v.add(
            "others",
            format!(
                "not together with contains: an event may have several of `{dimension}`, need one of the two"
            ),
        );
    }
    let searched = contains
        .as_ref()
        .map(|_| whole(&common, &selection, &buckets, &before, &metrics));
    let mut values = Compared {
        now: Aggregate {
            selection,
            time_zone: common.time_zone,
            buckets,
            dimensions: vec![dimension.clone()],
            metrics,
            order: complete(order, 1),
            limit: offset + limit,
            fill_gaps: false,
            totals: contains.is_none(),
            others: request.others,
            only: None,
        },
        before,
    };
    let contains = contains.and_then(|text| {
        let selected = &mut values.now.selection.filter;
        let has_text = Filter::Text {
            dimension: dimension.clone(),
            comparison: TextComparison::Contains,
            values: vec![text.clone()],
        };
        *selected = Some(match selected.take() {
            Some(filter) => Filter::All(vec![filter, has_text]),
            None => has_text,
        });
        dimension.is_list().then_some(text)
    });
    violations.finish_call(Breakdown {
        values,
        whole: searched,
        offset,
        contains,
        series,
    })
}

/// Everything at once, in one row.
fn whole(
    common: &Common,
    selection: &Selection,
    buckets: &Buckets,
    before: &Option<Before>,
    metrics: &[Metric],
) -> Compared {
    Compared {
        now: Aggregate {
            selection: selection.clone(),
            time_zone: common.time_zone.clone(),
            buckets: buckets.clone(),
            dimensions: Vec::new(),
            metrics: metrics.to_vec(),
            order: complete(Vec::new(), 0),
            limit: 1,
            fill_gaps: true,
            totals: false,
            others: false,
            only: None,
        },
        before: before.clone(),
    }
}

fn offset(offset: i32, v: &mut Violations) -> usize {
    let read = usize::try_from(offset).ok();
    read.filter(|offset| *offset <= MAX_OFFSET)
        .unwrap_or_else(|| {
            v.add("offset", format!("{offset}, need 0–{MAX_OFFSET}"));
            0
        })
}

fn contains(text: String, v: &mut Violations) -> Option<String> {
    if text.len() > MAX_VALUE_BYTES {
        v.add(
            "contains",
            format!("{} bytes, need at most {MAX_VALUE_BYTES}", text.len()),
        );
    } else if text.contains('\0') {
        v.add("contains", "contains a NUL character");
    }
    (!text.is_empty()).then_some(text)
}

/// The buckets of the series of each value, if series are wanted.
fn series(common: &Common, bucket: i32, values: usize, v: &mut Violations) -> Option<Buckets> {
    if bucket == i32::from(pb::Bucket::Unspecified) {
        return None;
    }
    let width = bucket_width(bucket, "series", v)?;
    if width == BucketWidth::WholeRange {
        return None;
    }
    // The series of the range before is not asked for.
    let of_range = common.now_only();
    let (_, buckets, _) = of_range.in_buckets(width, "series", v)?;
    let numbers = values * buckets.count();
    if numbers > MAX_ROWS {
        v.add(
            "series",
            format!(
                "{values} values in {} buckets are {numbers} numbers, need at most {MAX_ROWS}",
                buckets.count()
            ),
        );
    }
    Some(buckets)
}

/// Reads an Overview question that is asked at `now`.
pub fn overview(
    request: pb::OverviewRequest,
    property: &Property,
    now: Timestamp,
) -> Result<Overview, ApiError> {
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
    let width = match request.bucket == i32::from(pb::Bucket::Unspecified) {
        true => common.period.map(|period| usual_width(period.range)),
        false => bucket_width(request.bucket, "bucket", v),
    };
    let in_buckets = width.and_then(|width| common.in_buckets(width, "bucket", v));
    let whole_range = common.in_buckets(BucketWidth::WholeRange, "range", v);
    let shown = metrics(&request.metrics, "metrics", &OVERVIEW_METRICS, v);
    let list_metrics = metrics(&request.list_metrics, "list_metrics", &LIST_METRICS, v);
    let wanted = lists(&request.lists, v);

    let (Some((selection, buckets, before)), Some((_, whole_buckets, whole_before))) =
        (in_buckets, whole_range)
    else {
        return Err(refusal(violations));
    };
    let lists = wanted
        .into_iter()
        .map(|(dimension, limit)| Breakdown {
            values: Compared {
                now: Aggregate {
                    selection: selection.clone(),
                    time_zone: common.time_zone.clone(),
                    buckets: whole_buckets.clone(),
                    dimensions: vec![dimension],
                    metrics: list_metrics.clone(),
                    order: complete(vec![descending(SortKey::Metric(0))], 1),
                    limit,
                    fill_gaps: false,
                    totals: false,
                    others: request.others,
                    only: None,
                },
                before: whole_before.clone(),
            },
            whole: None,
            offset: 0,
            contains: None,
            series: None,
        })
        .collect();
    // The shares of the lists are of the totals, so these measure what the lists do, too.
    let mut measured = shown.clone();
    for metric in list_metrics {
        if !measured.contains(&metric) {
            measured.push(metric);
        }
    }
    violations.finish_call(Overview {
        series: Compared {
            now: Aggregate {
                selection,
                time_zone: common.time_zone,
                buckets,
                dimensions: Vec::new(),
                metrics: measured,
                order: vec![ascending(SortKey::Bucket)],
                limit: MAX_ROWS,
                fill_gaps: true,
                totals: true,
                others: false,
                only: None,
            },
            before,
        },
        metrics: shown.len(),
        lists,
    })
}

fn usual_width(range: TimeRange) -> BucketWidth {
    const DAY_S: i64 = 86_400;
    let seconds = range.until_exclusive.duration_since(range.since).as_secs();
    if seconds <= 2 * DAY_S {
        BucketWidth::Hour
    } else if seconds > 366 * DAY_S {
        BucketWidth::Month
    } else {
        BucketWidth::Day
    }
}

/// The lists of an overview: dimensions, and how many values of each.
fn lists(lists: &[pb::OverviewList], v: &mut Violations) -> Vec<(Dimension, usize)> {
    if lists.is_empty() {
        return OVERVIEW_LISTS
            .map(|dimension| (dimension, DEFAULT_VALUES))
            .to_vec();
    }
    if lists.len() > MAX_LISTS {
        v.add(
            "lists",
            format!("{} of them, need at most {MAX_LISTS}", lists.len()),
        );
        return Vec::new();
    }
    let mut wanted: Vec<(Dimension, usize)> = Vec::with_capacity(lists.len());
    for (place, list) in lists.iter().enumerate() {
        let field = format!("lists[{place}].dimension");
        let limit = bounded(
            &format!("lists[{place}].limit"),
            list.limit,
            MAX_LIST_VALUES,
            DEFAULT_VALUES,
            v,
        );
        let Some(dimension) = filter::dimension(&list.dimension, &field, v) else {
            continue;
        };
        if wanted.iter().any(|(other, _)| *other == dimension) {
            v.add(field, format!("`{dimension}` is there already"));
        } else {
            wanted.push((dimension, limit));
        }
    }
    wanted
}
