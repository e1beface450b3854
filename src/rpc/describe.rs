//! What can be asked, for GetMetadata.

use jiff::Timestamp;

use crate::domain::bucket::{BucketWidth, MAX_BUCKETS};
use crate::domain::dimension::{Dimension, PROPERTIES_PREFIX};
use crate::domain::metric::Metric;
use crate::domain::property::Property;
use crate::domain::question::MAX_ROWS;
use crate::domain::time_range::{RELATIVE_RANGES, resolve, to_microseconds};
use crate::pb::{self, Operator, ValueType};
use crate::query::answer::RollupDescription;
use crate::query::reports::metadata::Seen;
use crate::query::session::TimeLimit;
use crate::validate::filter::{MAX_CONDITIONS, MAX_DEPTH, MAX_VALUE_BYTES, MAX_VALUES};
use crate::validate::question::{MAX_DIMENSIONS, MAX_METRICS};

use super::answers::interval;

/// What can be asked about a property.
pub fn metadata(
    property: &Property,
    seen: Seen,
    limit: TimeLimit,
    now: Timestamp,
) -> pb::GetMetadataResponse {
    pb::GetMetadataResponse {
        dimensions: dimensions(),
        metrics: Metric::ALL.into_iter().map(metric).collect(),
        operators: OPERATORS.iter().map(operator).collect(),
        buckets: BUCKETS.into_iter().map(bucket).collect(),
        ranges: ranges(property, now),
        property: property.name.clone(),
        time_zone: property.time_zone.iana_name().unwrap_or("UTC").to_owned(),
        limits: Some(pb::QueryLimits {
            dimensions: number(MAX_DIMENSIONS),
            metrics: number(MAX_METRICS),
            buckets: number(MAX_BUCKETS),
            rows: number(MAX_ROWS),
            conditions: number(MAX_CONDITIONS),
            filter_depth: number(MAX_DEPTH),
            condition_values: number(MAX_VALUES),
            condition_value_bytes: number(MAX_VALUE_BYTES),
            query_timeout_ms: i64::try_from(limit.0.as_millis()).unwrap_or(i64::MAX),
        }),
        property_keys: seen.property_keys,
        rollups: seen.rollups.into_iter().map(rollup).collect(),
    }
}

fn number(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

fn dimensions() -> Vec<pb::DimensionDescription> {
    let named = Dimension::NAMED
        .into_iter()
        .map(|(name, dimension)| described(name.to_owned(), &dimension));
    let of_properties = described(
        format!("{PROPERTIES_PREFIX}<key>"),
        &Dimension::Property(String::new()),
    );
    let measure = |name: &str, description: &str| pb::DimensionDescription {
        name: name.to_owned(),
        description: description.to_owned(),
        r#type: ValueType::Number.into(),
        list_valued: false,
        can_group: false,
        can_filter: true,
    };
    named
        .chain([
            of_properties,
            measure("duration", "How long it took, in seconds"),
            measure("scroll_depth", "How far the page was scrolled, in percent"),
        ])
        .collect()
}

fn described(name: String, dimension: &Dimension) -> pb::DimensionDescription {
    let kind = match dimension {
        Dimension::IsBot => ValueType::Boolean,
        Dimension::Property(_) => ValueType::Json,
        _ => ValueType::Text,
    };
    pb::DimensionDescription {
        name,
        description: dimension.description().to_owned(),
        r#type: kind.into(),
        list_valued: dimension.is_list(),
        can_group: true,
        can_filter: true,
    }
}

fn metric(metric: Metric) -> pb::MetricDescription {
    let (description, unit) = metric.description();
    pb::MetricDescription {
        name: metric.name().to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        additive: metric.has_shares() && metric != Metric::Visitors,
    }
}

const TEXTS: &[ValueType] = &[ValueType::Text, ValueType::Boolean, ValueType::Json];
const NUMBERS: &[ValueType] = &[ValueType::Number, ValueType::Json];
const ALL_TYPES: &[ValueType] = &[
    ValueType::Text,
    ValueType::Boolean,
    ValueType::Number,
    ValueType::Json,
];

type Described = (Operator, &'static str, &'static [ValueType], (usize, usize));

const OPERATORS: [Described; 9] = [
    (
        Operator::Equals,
        "equal to one of the values; the empty value stands for absent",
        TEXTS,
        (1, MAX_VALUES),
    ),
    (
        Operator::StartsWith,
        "starts with one of the values",
        TEXTS,
        (1, MAX_VALUES),
    ),
    (
        Operator::Contains,
        "contains one of the values",
        TEXTS,
        (1, MAX_VALUES),
    ),
    (
        Operator::MatchesRegex,
        "matches one of the values, regular expressions",
        TEXTS,
        (1, MAX_VALUES),
    ),
    (Operator::LessThan, "less than the value", NUMBERS, (1, 1)),
    (Operator::LessOrEqual, "at most the value", NUMBERS, (1, 1)),
    (
        Operator::GreaterThan,
        "greater than the value",
        NUMBERS,
        (1, 1),
    ),
    (
        Operator::GreaterOrEqual,
        "at least the value",
        NUMBERS,
        (1, 1),
    ),
    (
        Operator::IsAbsent,
        "the event does not have it",
        ALL_TYPES,
        (0, 0),
    ),
];

fn operator((operator, description, types, (min, max)): &Described) -> pb::OperatorDescription {
    pb::OperatorDescription {
        operator: (*operator).into(),
        description: (*description).to_owned(),
        types: types.iter().map(|kind| i32::from(*kind)).collect(),
        min_values: number(*min),
        max_values: number(*max),
    }
}

const BUCKETS: [(BucketWidth, &str); 9] = [
    (BucketWidth::Minute, "a minute, UTC"),
    (BucketWidth::FifteenMinutes, "fifteen minutes, UTC"),
    (BucketWidth::Hour, "an hour, UTC"),
    (BucketWidth::Day, "a day from midnight in the time zone"),
    (BucketWidth::Week, "a week from Monday"),
    (BucketWidth::Month, "a month from its first day"),
    (
        BucketWidth::Quarter,
        "a quarter from January, April, July or October",
    ),
    (BucketWidth::Year, "a year from January 1"),
    (BucketWidth::WholeRange, "the whole range at once"),
];

fn bucket((width, description): (BucketWidth, &str)) -> pb::BucketDescription {
    pb::BucketDescription {
        bucket: width_on_the_wire(width).into(),
        description: description.to_owned(),
    }
}

fn width_on_the_wire(width: BucketWidth) -> pb::Bucket {
    match width {
        BucketWidth::Minute => pb::Bucket::Minute,
        BucketWidth::FifteenMinutes => pb::Bucket::FifteenMinutes,
        BucketWidth::Hour => pb::Bucket::Hour,
        BucketWidth::Day => pb::Bucket::Day,
        BucketWidth::Week => pb::Bucket::Week,
        BucketWidth::Month => pb::Bucket::Month,
        BucketWidth::Quarter => pb::Bucket::Quarter,
        BucketWidth::Year => pb::Bucket::Year,
        BucketWidth::WholeRange => pb::Bucket::WholeRange,
    }
}

fn ranges(property: &Property, now: Timestamp) -> Vec<pb::RangeDescription> {
    let now = to_microseconds(now).to_zoned(property.time_zone.clone());
    let range = |(name, description): (&str, &str)| pb::RangeDescription {
        name: name.to_owned(),
        description: description.to_owned(),
        now: resolve(&name.replace("_N_", "_1_"), &now).map(|period| interval(period.range)),
    };
    RELATIVE_RANGES.into_iter().map(range).collect()
}

fn rollup(rollup: RollupDescription) -> pb::Rollup {
    let status = match rollup.is_ready {
        true => pb::RollupStatus::Ready,
        false => pb::RollupStatus::Building,
    };
    pb::Rollup {
        name: rollup.name,
        dimensions: rollup.dimensions.iter().map(ToString::to_string).collect(),
        grains: rollup
            .grains
            .into_iter()
            .map(|width| width_on_the_wire(width).into())
            .collect(),
        status: status.into(),
    }
}
