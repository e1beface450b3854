//! Reports, as validated: each is made of Aggregate questions.

use super::bucket::Buckets;
use super::question::{Aggregate, Selection};
use super::time_range::TimeRange;

/// The range that a question is compared with.
#[derive(Debug, Clone)]
pub struct Before {
    /// The range.
    pub range: TimeRange,
    /// Buckets that cover it, of the question's width.
    pub buckets: Buckets,
}

/// An Aggregate question, and what it is compared with.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The question.
    pub now: Aggregate,
    /// The range before, if it is compared with one.
    pub before: Option<Before>,
}

impl Compared {
    /// The same question about the range before.
    pub fn question_before(&self) -> Option<Aggregate> {
        let before = self.before.as_ref()?;
        Some(Aggregate {
            selection: Selection {
                range: before.range,
                ..self.now.selection.clone()
            },
            buckets: before.buckets.clone(),
            ..self.now.clone()
        })
    }
}

/// A Breakdown question.
#[derive(Debug, Clone)]
pub struct Breakdown {
    /// The values, all of the range in one bucket. Its limit is what is skipped and what is returned.
    pub values: Compared,
    /// What shares are of, if it is not the totals of `values`.
    pub whole: Option<Compared>,
    /// Values to skip.
    pub offset: usize,
    /// Values must contain this, where the filter of `values` does not see to it alone, since an event
    /// may have several.
    pub contains: Option<String>,
    /// Buckets of the series of the first metric, if it is wanted.
    pub series: Option<Buckets>,
}

/// An Overview question.
#[derive(Debug, Clone)]
pub struct Overview {
    /// The series, with the totals.
    pub series: Compared,
    /// How many of its metrics are shown; the others are there for shares only.
    pub metrics: usize,
    /// The lists; their shares are of the totals.
    pub lists: Vec<Breakdown>,
}
