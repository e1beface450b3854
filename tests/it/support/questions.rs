//! Parts of questions, and of answers to compare.

use tallymark::pb;
use tallymark::pb::filter::Kind;
use tallymark::pb::time_range::Range;

/// Names of dimensions or metrics.
pub fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Days between two dates.
pub fn dates(since: &str, until: &str) -> Option<pb::TimeRange> {
    let dates = pb::DateInterval {
        since: since.to_owned(),
        until: until.to_owned(),
    };
    Some(pb::TimeRange {
        range: Some(Range::Dates(dates)),
    })
}

/// A range by its name.
pub fn relative(name: &str) -> Option<pb::TimeRange> {
    Some(pb::TimeRange {
        range: Some(Range::Relative(name.to_owned())),
    })
}

/// Events that satisfy a condition.
pub fn condition(dimension: &str, operator: pb::Operator, values: &[&str]) -> pb::Filter {
    let condition = pb::Condition {
        dimension: dimension.to_owned(),
        operator: operator.into(),
        values: names(values),
    };
    pb::Filter {
        kind: Some(Kind::Where(condition)),
    }
}

/// A time of an answer as text.
pub fn time(time: Option<prost_types::Timestamp>) -> String {
    match time {
        None => "none".to_owned(),
        Some(time) => jiff::Timestamp::new(time.seconds, time.nanos)
            .expect("a time")
            .to_string(),
    }
}

/// Numbers as text: `3 NaN 2.5`.
pub fn numbers(numbers: &[f64]) -> String {
    let texts: Vec<String> = numbers.iter().map(f64::to_string).collect();
    texts.join(" ")
}

/// The rows of a compared answer: `2026-05-02T00:00:00Z < 2026-05-01T00:00:00Z / 3 < 2 (50)`.
pub fn compared_rows(rows: &[pb::AggregateRow]) -> Vec<String> {
    let text = |row: &pb::AggregateRow| {
        let dimensions: String = row
            .dimensions
            .iter()
            .map(|text| format!("{text} "))
            .collect();
        format!(
            "{} < {} {dimensions}{} < {} ({})",
            time(row.bucket_start),
            time(row.bucket_start_before),
            numbers(&row.metrics),
            numbers(&row.metrics_before),
            numbers(&row.change_percent),
        )
    };
    rows.iter().map(text).collect()
}

/// Values as text: `/ 3 75%`.
pub fn value_rows(rows: &[pb::BreakdownRow]) -> Vec<String> {
    let text = |row: &pb::BreakdownRow| {
        format!(
            "{} {} {}%",
            row.value,
            numbers(&row.metrics),
            numbers(&row.share_percent)
        )
    };
    rows.iter().map(text).collect()
}
