//! Answers: domain → protobuf.

use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::bucket::Buckets;
use crate::domain::metric::Metric;
use crate::domain::report::{Before, Breakdown, Compared, Overview};
use crate::domain::time_range::TimeRange;
use crate::pb;
use crate::query::cache::Answered;
use crate::query::reports::breakdown::{BreakdownAnswer, ValueRow};
use crate::query::reports::compare::{ComparedAnswer, ComparedRow, Measured};
use crate::query::reports::overview::OverviewAnswer;
use crate::query::reports::{About, QuestionPlan};
use crate::query::session::Executed;

use super::convert::timestamp;

/// What the metadata of an answer needs beside how it was had.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// When it was asked.
    pub now: Timestamp,
    /// Whether an explanation is wanted.
    pub explain: bool,
    /// Whether it is to be computed anew.
    pub anew: bool,
}

impl Asked {
    /// At this moment.
    pub fn now(explain: bool, anew: bool) -> Self {
        Self {
            now: Timestamp::now(),
            explain,
            anew,
        }
    }
}

/// The answer to an Aggregate question.
pub fn aggregate(
    question: &Compared,
    answered: Answered<(ComparedAnswer, About)>,
    asked: Asked,
) -> pb::AggregateResponse {
    let (from_cache, (answer, about)) = taken(answered);
    let whole = Whole::of(question);
    pb::AggregateResponse {
        dimensions: question
            .now
            .dimensions
            .iter()
            .map(ToString::to_string)
            .collect(),
        metrics: metric_names(&question.now.metrics),
        rows: answer
            .rows
            .into_iter()
            .map(|row| aggregate_row(row, question))
            .collect(),
        totals: answer.totals.map(|totals| whole.row(totals)),
        others: answer.others.map(|others| whole.row(others)),
        metadata: Some(metadata(
            question,
            answer.row_count,
            about,
            asked,
            from_cache,
        )),
    }
}

/// The answer to a Breakdown question.
pub fn breakdown(
    question: &Breakdown,
    answered: Answered<(BreakdownAnswer, About)>,
    asked: Asked,
) -> pb::BreakdownResponse {
    let (from_cache, (answer, about)) = taken(answered);
    let values = &question.values;
    let value_count = count(answer.value_count);
    let mut metadata = metadata(values, answer.value_count, about, asked, from_cache);
    if let Some(buckets) = &question.series {
        metadata.partial_buckets = partial(buckets, values.now.selection.range, asked.now);
    }
    pb::BreakdownResponse {
        dimension: dimension(question),
        metrics: metric_names(&values.now.metrics),
        rows: answer.rows.into_iter().map(value_row).collect(),
        totals: answer.totals.map(value_row),
        others: answer.others.map(value_row),
        value_count,
        series_starts: question
            .series
            .iter()
            .flat_map(|buckets| buckets.starts())
            .copied()
            .map(timestamp)
            .collect(),
        metadata: Some(metadata),
    }
}

/// The answer to an Overview question.
pub fn overview(
    question: &Overview,
    answered: Answered<(OverviewAnswer, About)>,
    asked: Asked,
) -> pb::OverviewResponse {
    let (from_cache, (answer, about)) = taken(answered);
    let series = &question.series;
    let whole = Whole::of(series);
    let list_metrics = question.lists.first().map(|list| &list.values.now.metrics);
    // Metrics that only the lists have are measured with the totals, for shares.
    let shown = |measured: Measured| measured.first(question.metrics);
    pb::OverviewResponse {
        metrics: metric_names(&series.now.metrics[..question.metrics]),
        totals: answer.series.totals.map(|totals| whole.row(shown(totals))),
        metadata: Some(metadata(
            series,
            answer.series.row_count,
            about,
            asked,
            from_cache,
        )),
        series: answer
            .series
            .rows
            .into_iter()
            .map(|row| ComparedRow {
                measured: shown(row.measured),
                ..row
            })
            .map(|row| aggregate_row(row, series))
            .collect(),
        list_metrics: list_metrics.map_or_else(Vec::new, |metrics| metric_names(metrics)),
        lists: question
            .lists
            .iter()
            .zip(answer.lists)
            .map(|(list, answer)| pb::OverviewValues {
                dimension: dimension(list),
                rows: answer.rows.into_iter().map(value_row).collect(),
                others: answer.others.map(value_row),
                value_count: count(answer.value_count),
            })
            .collect(),
    }
}

fn dimension(question: &Breakdown) -> String {
    let dimension = question.values.now.dimensions.first();
    dimension.map(ToString::to_string).unwrap_or_default()
}

fn metric_names(metrics: &[Metric]) -> Vec<String> {
    metrics
        .iter()
        .map(|metric| metric.name().to_owned())
        .collect()
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn aggregate_row(row: ComparedRow, question: &Compared) -> pb::AggregateRow {
    let start = |buckets: &Buckets| buckets.starts().get(row.bucket).copied().map(timestamp);
    pb::AggregateRow {
        bucket_start: start(&question.now.buckets),
        bucket_start_before: question
            .before
            .as_ref()
            .and_then(|before| start(&before.buckets)),
        dimensions: row.dimensions,
        change_percent: row.measured.change_percent(),
        metrics: row.measured.now,
        metrics_before: row.measured.before.unwrap_or_default(),
    }
}

/// Rows that are about the whole of a question's ranges.
struct Whole {
    since: Timestamp,
    since_before: Option<Timestamp>,
}

impl Whole {
    fn of(question: &Compared) -> Self {
        let before = question.before.as_ref();
        Self {
            since: question.now.selection.range.since,
            since_before: before.map(|before| before.range.since),
        }
    }

    fn row(&self, measured: Measured) -> pb::AggregateRow {
        pb::AggregateRow {
            bucket_start: Some(timestamp(self.since)),
            bucket_start_before: self.since_before.map(timestamp),
            dimensions: Vec::new(),
            change_percent: measured.change_percent(),
            metrics: measured.now,
            metrics_before: measured.before.unwrap_or_default(),
        }
    }
}

fn value_row(row: ValueRow) -> pb::BreakdownRow {
    pb::BreakdownRow {
        value: row.value,
        change_percent: row.measured.change_percent(),
        metrics: row.measured.now,
        share_percent: row.share_percent,
        metrics_before: row.measured.before.unwrap_or_default(),
        series: row.series,
    }
}

/// An answer to put into a message, and whether it was computed for somebody else.
fn taken<T: Clone>(answered: Answered<T>) -> (bool, T) {
    // Copied if it is shared with others; its texts become the message's either way.
    (answered.from_cache, Arc::unwrap_or_clone(answered.value))
}

fn metadata(
    question: &Compared,
    rows: u64,
    about: About,
    asked: Asked,
    from_cache: bool,
) -> pb::AnswerMetadata {
    let now = &question.now;
    let range = now.selection.range;
    pb::AnswerMetadata {
        since: Some(timestamp(range.since)),
        until: Some(timestamp(range.until_exclusive)),
        time_zone: now.time_zone.iana_name().unwrap_or("UTC").to_owned(),
        source: about.source(),
        exact: true,
        row_count: count(rows),
        partial_buckets: partial(&now.buckets, range, asked.now),
        watermark: Some(timestamp(about.watermark)),
        comparison: question.before.as_ref().map(interval_before),
        from_cache,
        explanation: asked.explain.then(|| explanation(about)),
    }
}

fn partial(buckets: &Buckets, range: TimeRange, now: Timestamp) -> Vec<prost_types::Timestamp> {
    let partial = buckets.partial(range, now);
    partial.into_iter().map(timestamp).collect()
}

fn interval_before(before: &Before) -> pb::Interval {
    interval(before.range)
}

/// A range on the wire.
pub fn interval(range: TimeRange) -> pb::Interval {
    pb::Interval {
        since: Some(timestamp(range.since)),
        until: Some(timestamp(range.until_exclusive)),
    }
}

fn explanation(about: About) -> pb::Explanation {
    let question = |QuestionPlan { question, plan }| pb::QuestionPlan {
        question,
        source: plan.source,
        steps: plan.steps,
    };
    let step = |Executed { step, took, rows }| pb::ExecutedStep {
        step,
        milliseconds: took.as_secs_f64() * 1_000.0,
        rows: count(rows as u64),
    };
    pb::Explanation {
        questions: about.plans.into_iter().map(question).collect(),
        executed: about.executed.into_iter().map(step).collect(),
    }
}
