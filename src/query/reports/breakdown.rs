//! The top values of a dimension.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::bucket::Buckets;
use crate::domain::metric::Metric;
use crate::domain::question::{Aggregate, MAX_ROWS, Sort, SortKey};
use crate::domain::report::{Breakdown, Compared};
use crate::error::ApiError;
use crate::query::engine::Engine;
use crate::query::session::Snapshot;

use super::QuestionPlan;
use super::compare::{self, ComparedAnswer, Measured};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueRow {
    /// The value; empty where absent, and in totals and others.
    pub value: String,
    /// What it measures.
    pub measured: Measured,
    /// Share of the totals for each metric, in percent.
    pub share_percent: Vec<f64>,
    /// The first metric in each bucket, if series are wanted.
    pub series: Vec<f64>,
}

/// The answer to a Breakdown question.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakdownAnswer {
    /// The values of the page.
    pub rows: Vec<ValueRow>,
    /// Everything at once; `None` where the caller has them.
    pub totals: Option<ValueRow>,
    /// What comes after the page, at once.
    pub others: Option<ValueRow>,
    /// Values there are.
    pub value_count: u64,
    /// How it was had.
    pub plans: Vec<QuestionPlan>,
}

/// Answers a question. Shares are of its totals, or of `whole`: the values of its metrics for everything.
pub async fn answer(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    question: &Breakdown,
    whole: Option<&[f64]>,
) -> Result<BreakdownAnswer, ApiError> {
    let metrics = &question.values.now.metrics;
    let name = question.values.now.dimensions.first();
    let name = name.map(ToString::to_string).unwrap_or_default();
    let mut found = values(engine, snapshot, &name, question).await?;
    let mut plans = std::mem::take(&mut found.plans);
    let mut totals = found.totals;
    if let Some(whole) = &question.whole {
        let answer = compare::answer(engine, snapshot, "totals", whole).await?;
        plans.extend(answer.plans);
        totals = answer.rows.into_iter().next().map(|row| row.measured);
    }
    let of_all: Vec<f64> = match (&totals, whole) {
        (Some(totals), _) => totals.now.clone(),
        (None, Some(whole)) => whole.to_vec(),
        (None, None) => Vec::new(),
    };
    let row = |value: String, measured: Measured| ValueRow {
        value,
        share_percent: shares(metrics, &measured.now, &of_all),
        measured,
        series: Vec::new(),
    };
    let on_page = question.values.now.limit - question.offset;
    let mut rows: Vec<ValueRow> = found
        .rows
        .into_iter()
        .skip(question.offset)
        .take(on_page)
        .map(|found| row(found.dimensions.concat(), found.measured))
        .collect();
    if let Some(buckets) = &question.series {
        let plan = add_series(engine, snapshot, question, buckets, &mut rows).await?;
        plans.push(QuestionPlan {
            question: format!("{name} series"),
            ..plan
        });
    }
    Ok(BreakdownAnswer {
        rows,
        totals: totals.map(|measured| row(String::new(), measured)),
        others: found.others.map(|measured| row(String::new(), measured)),
        value_count: found.row_count,
        plans,
    })
}

/// The values up to the end of the page.
async fn values(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    name: &str,
    question: &Breakdown,
) -> Result<ComparedAnswer, ApiError> {
    let Some(contained) = &question.contains else {
        return compare::answer(engine, snapshot, name, &question.values).await;
    };
    // The events have a value that contains the text, and others beside it.
    let all = Compared {
        now: Aggregate {
            limit: MAX_ROWS,
            ..question.values.now.clone()
        },
        before: question.values.before.clone(),
    };
    let mut found = compare::answer(engine, snapshot, name, &all).await?;
    if found.row_count > found.rows.len() as u64 {
        return Err(ApiError::AnswerTooLarge {
            what: "the search",
            rows: found.row_count,
            limit_rows: MAX_ROWS as u64,
        });
    }
    found
        .rows
        .retain(|row| row.dimensions.iter().any(|value| value.contains(contained)));
    found.row_count = found.rows.len() as u64;
    Ok(found)
}

/// Gives each value its series.
async fn add_series(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    question: &Breakdown,
    buckets: &Buckets,
    rows: &mut [ValueRow],
) -> Result<QuestionPlan, ApiError> {
    let metric: Vec<Metric> = question
        .values
        .now
        .metrics
        .iter()
        .take(1)
        .copied()
        .collect();
    let nothing = metric
        .first()
        .map_or(f64::NAN, |metric| metric.of_nothing());
    let wanted = rows
        .iter()
        .flat_map(|row| (0..buckets.count()).map(|bucket| (bucket, vec![row.value.clone()])));
    let series = Aggregate {
        buckets: buckets.clone(),
        metrics: metric,
        order: vec![Sort {
            key: SortKey::Bucket,
            descending: false,
        }],
        totals: false,
        others: false,
        only: Some(Arc::new(wanted.collect())),
        ..question.values.now.clone()
    };
    let places: HashMap<String, usize> = rows
        .iter()
        .enumerate()
        .map(|(place, row)| (row.value.clone(), place))
        .collect();
    for row in rows.iter_mut() {
        row.series = vec![nothing; buckets.count()];
    }
    let answer = engine.aggregate(snapshot, &series).await?;
    for point in answer.rows {
        if let (Some(place), Some(value)) = (
            places.get(&point.dimensions.concat()),
            point.metrics.first(),
        ) {
            rows[*place].series[point.bucket] = *value;
        }
    }
    Ok(QuestionPlan {
        question: String::new(),
        plan: answer.plan,
    })
}

/// Shares of the whole, in percent; NaN where a share makes no sense.
fn shares(metrics: &[Metric], values: &[f64], whole: &[f64]) -> Vec<f64> {
    let share = |((metric, value), whole): ((&Metric, &f64), &f64)| match metric.has_shares() {
        true if *whole != 0.0 => value / whole * 100.0,
        _ => f64::NAN,
    };
    metrics.iter().zip(values).zip(whole).map(share).collect()
}
