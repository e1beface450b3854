//! A question about a range, and the same about the range before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::domain::comparison;
use crate::domain::metric::Metric;
use crate::domain::question::{Aggregate, MAX_ROWS, RowKey};
use crate::domain::report::{Before, Compared};
use crate::error::ApiError;
use crate::query::answer::{Answer, AnswerRow};
use crate::query::engine::Engine;
use crate::query::gaps;
use crate::query::session::Snapshot;

use super::QuestionPlan;

/// Values of metrics, now and before.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// In the range.
    pub now: Vec<f64>,
    /// In the range before, if it is compared with one.
    pub before: Option<Vec<f64>>,
}

impl Measured {
    /// The first of its metrics.
    pub fn first(mut self, count: usize) -> Self {
        self.now.truncate(count);
        if let Some(before) = &mut self.before {
            before.truncate(count);
        }
        self
    }

    /// The change of each, in percent; empty if there is nothing before.
    pub fn change_percent(&self) -> Vec<f64> {
        let before = self.before.iter().flatten();
        before
            .zip(&self.now)
            .map(|(before, now)| comparison::change_percent(*before, *now))
            .collect()
    }
}

/// A row of an answer, with what it was before.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedRow {
    /// Place of the bucket in the buckets of either range. One of the ranges may not have it.
    pub bucket: usize,
    /// Values of the dimensions.
    pub dimensions: Vec<String>,
    /// Values of the metrics.
    pub measured: Measured,
}

/// An answer about one range or two.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedAnswer {
    /// The rows, in the order asked for.
    pub rows: Vec<ComparedRow>,
    /// Rows there are before the limit.
    pub row_count: u64,
    /// Totals, if asked for.
    pub totals: Option<Measured>,
    /// What the limit left out, if asked for and if there is something.
    pub others: Option<Measured>,
    /// How both were had.
    pub plans: Vec<QuestionPlan>,
}

/// Answers a question and, if it is compared, the same about the range before. `name` is what its plan
/// is called.
pub async fn answer(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    name: &str,
    question: &Compared,
) -> Result<ComparedAnswer, ApiError> {
    let now = engine.aggregate(snapshot, &question.now).await?;
    let plan = QuestionPlan {
        question: name.to_owned(),
        plan: now.plan.clone(),
    };
    let (Some(range_before), Some(question_before)) =
        (&question.before, question.question_before())
    else {
        return Ok(without_comparison(now, plan));
    };

    let mut pair = Pair {
        engine,
        snapshot,
        question: &question.now,
        question_before,
        range_before,
        now,
    };
    let was_cut = pair.now.row_count > pair.now.rows.len() as u64;
    let mut before = None;
    if !was_cut {
        let all = pair.before_all().await?;
        // More than an answer may have cannot be added to it.
        if all.row_count <= MAX_ROWS as u64 {
            pair.add(&all)?;
            before = Some(all);
        }
    }
    let is_cut = pair.now.row_count > pair.now.rows.len() as u64;
    let wants_others = question.now.others;
    let mut others = None;
    let before = match before {
        // Neither range has a row that is not in the answer.
        Some(all) if !(is_cut && wants_others) => all,
        all => {
            let wants_totals = question.now.totals && all.is_none();
            let of_kept = pair.before_kept(wants_totals).await?;
            if wants_others {
                if !was_cut {
                    pair.now.others = pair.others_now().await?;
                }
                others = pair.others(pair.now.others.clone(), of_kept.others.clone());
            }
            all.unwrap_or(of_kept)
        }
    };
    let plan_before = QuestionPlan {
        question: format!("{name} before"),
        plan: before.plan.clone(),
    };
    Ok(ComparedAnswer {
        totals: pair.now.totals.clone().map(|now| Measured {
            now,
            before: before.totals.clone(),
        }),
        row_count: pair.now.row_count,
        rows: pair.side_by_side(before),
        others,
        plans: vec![plan, plan_before],
    })
}

fn without_comparison(now: Answer, plan: QuestionPlan) -> ComparedAnswer {
    let alone = |now| Measured { now, before: None };
    ComparedAnswer {
        rows: now
            .rows
            .into_iter()
            .map(|row| ComparedRow {
                bucket: row.bucket,
                dimensions: row.dimensions,
                measured: alone(row.metrics),
            })
            .collect(),
        row_count: now.row_count,
        totals: now.totals.map(alone),
        others: now.others.map(alone),
        plans: vec![plan],
    }
}

/// A question about two ranges, while it is answered.
struct Pair<'a> {
    engine: &'a Engine,
    snapshot: &'a Snapshot<'a>,
    question: &'a Aggregate,
    question_before: Aggregate,
    range_before: &'a Before,
    now: Answer,
}

impl Pair<'_> {
    /// All rows of the range before.
    async fn before_all(&self) -> Result<Answer, ApiError> {
        let question = Aggregate {
            limit: MAX_ROWS,
            fill_gaps: false,
            others: false,
            ..self.question_before.clone()
        };
        self.engine.aggregate(self.snapshot, &question).await
    }

    /// Of the range before, the rows that are in the answer; what is in none of them are the others.
    async fn before_kept(&self, totals: bool) -> Result<Answer, ApiError> {
        let question = Aggregate {
            fill_gaps: false,
            totals,
            only: Some(self.kept()),
            ..self.question_before.clone()
        };
        self.engine.aggregate(self.snapshot, &question).await
    }

    /// What the range has that is in none of the answer's rows.
    async fn others_now(&self) -> Result<Option<Vec<f64>>, ApiError> {
        let question = Aggregate {
            fill_gaps: false,
            totals: false,
            only: Some(self.kept()),
            ..self.question.clone()
        };
        Ok(self
            .engine
            .aggregate(self.snapshot, &question)
            .await?
            .others)
    }

    fn kept(&self) -> Arc<HashSet<RowKey>> {
        Arc::new(self.now.rows.iter().map(AnswerRow::key).collect())
    }

    /// Adds the rows that only the range before has, and cuts what is then too many.
    fn add(&mut self, before: &Answer) -> Result<(), ApiError> {
        let present: HashSet<RowKey> = self.now.rows.iter().map(AnswerRow::key).collect();
        let count = self.now.rows.len();
        for row in &before.rows {
            if !present.contains(&row.key()) {
                let metrics = nothing(
                    &self.question.metrics,
                    self.question.buckets.count(),
                    row.bucket,
                );
                self.now.rows.push(AnswerRow {
                    metrics,
                    ..row.clone()
                });
            }
        }
        if self.now.rows.len() == count {
            return Ok(());
        }
        self.now.row_count = self.now.rows.len() as u64;
        if self.question.fill_gaps {
            return gaps::fill(&mut self.now, self.question);
        }
        let order = &self.question.order;
        self.now
            .rows
            .sort_by(|one, other| gaps::compare(one, other, order));
        self.now.rows.truncate(self.question.limit);
        Ok(())
    }

    fn others(&self, now: Option<Vec<f64>>, before: Option<Vec<f64>>) -> Option<Measured> {
        if now.is_none() && before.is_none() {
            return None;
        }
        let nothing = || nothing(&self.question.metrics, 1, 0);
        Some(Measured {
            now: now.unwrap_or_else(nothing),
            before: Some(before.unwrap_or_else(nothing)),
        })
    }

    fn side_by_side(self, before: Answer) -> Vec<ComparedRow> {
        let mut before: HashMap<RowKey, Vec<f64>> = before
            .rows
            .into_iter()
            .map(|row| ((row.bucket, row.dimensions), row.metrics))
            .collect();
        let buckets_before = self.range_before.buckets.count();
        let metrics = &self.question.metrics;
        self.now
            .rows
            .into_iter()
            .map(|row| {
                let was = before.remove(&row.key());
                ComparedRow {
                    bucket: row.bucket,
                    dimensions: row.dimensions,
                    measured: Measured {
                        now: row.metrics,
                        before: Some(
                            was.unwrap_or_else(|| nothing(metrics, buckets_before, row.bucket)),
                        ),
                    },
                }
            })
            .collect()
    }
}

/// What is measured in a bucket without events; NaN where a range with so many buckets does not have it.
fn nothing(metrics: &[Metric], buckets: usize, bucket: usize) -> Vec<f64> {
    let of_nothing = |metric: &Metric| match bucket < buckets {
        true => metric.of_nothing(),
        false => f64::NAN,
    };
    metrics.iter().map(of_nothing).collect()
}
