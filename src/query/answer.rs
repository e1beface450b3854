//! The answer to an Aggregate question.

use crate::domain::bucket::BucketWidth;
use crate::domain::dimension::Dimension;
use crate::domain::question::RowKey;

/// One bucket of one combination of dimension values.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerRow {
    /// Place of the bucket in the question's buckets, from 0.
    pub bucket: usize,
    /// Values of the dimensions; empty where absent.
    pub dimensions: Vec<String>,
    /// Values of the metrics; NaN where there is nothing to measure.
    pub metrics: Vec<f64>,
}

impl AnswerRow {
    /// What tells it apart from the other rows.
    pub fn key(&self) -> RowKey {
        (self.bucket, self.dimensions.clone())
    }
}

/// The answer to an Aggregate question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The rows, in the order asked for, at most as many as asked for.
    pub rows: Vec<AnswerRow>,
    /// Rows there are before the limit. Says nothing where the question names its rows.
    pub row_count: u64,
    /// Totals, if asked for.
    pub totals: Option<Vec<f64>>,
    /// The rows that the limit left out, measured at once, if asked for and there are any.
    pub others: Option<Vec<f64>>,
    /// Where the numbers come from.
    pub plan: Plan,
}

/// Where an answer comes from and how it was had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// `events`, or the name of a rollup.
    pub source: String,
    /// What was done, a step a line, for people.
    pub steps: Vec<String>,
}

impl Plan {
    /// From the raw events.
    pub fn raw() -> Self {
        Self {
            source: "events".to_owned(),
            steps: vec!["read the events of the range".to_owned()],
        }
    }

    /// Adds how a part of the answer was had.
    pub fn add(&mut self, part: &str, plan: Self) {
        let steps = plan.steps.into_iter();
        self.steps
            .extend(steps.map(|step| format!("{part}: {step}")));
    }
}

/// A pre-aggregate, as questions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupDescription {
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub dimensions: Vec<Dimension>,
    /// Widths of the buckets that it is kept at.
    pub grains: Vec<BucketWidth>,
    /// Whether it has all of the property's events; otherwise it is still being built.
    pub is_ready: bool,
}
