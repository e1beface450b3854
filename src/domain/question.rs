//! Questions, as validated.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::bucket::Buckets;
use super::dimension::Dimension;
use super::filter::Filter;
use super::metric::Metric;
use super::time_range::TimeRange;

/// Rows of an answer when the question does not say.
pub const DEFAULT_ROWS: usize = 10_000;
/// Rows that an answer may have at most.
pub const MAX_ROWS: usize = 100_000;

/// Which events: shared by every question.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The property, by number.
    pub property_no: i32,
    /// When.
    pub range: TimeRange,
    /// Which.
    pub filter: Option<Filter>,
    /// Whether bots' events are in it.
    pub include_bots: bool,
}

/// A key of the order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// Start of the bucket.
    Bucket,
    /// The dimension at this place of the question.
    Dimension(usize),
    /// The metric at this place of the question.
    Metric(usize),
}

/// A key with its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// What by.
    pub key: SortKey,
    /// Largest first.
    pub descending: bool,
}

/// What tells the rows of an answer apart: the place of the bucket in the question's buckets, from 0,
/// and the values of the dimensions.
pub type RowKey = (usize, Vec<String>);

impl Sort {
    /// An ascending order in this direction.
    pub fn directed(self, ascending: Ordering) -> Ordering {
        match self.descending {
            true => ascending.reverse(),
            false => ascending,
        }
    }
}

/// An Aggregate question.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// Which events.
    pub selection: Selection,
    /// Zone of days, for the answer's metadata.
    pub time_zone: TimeZone,
    /// Buckets that cover the range.
    pub buckets: Buckets,
    /// What to group by, each once.
    pub dimensions: Vec<Dimension>,
    /// What to measure; never empty.
    pub metrics: Vec<Metric>,
    /// Order of rows, complete: every bucket and dimension is in it.
    pub order: Vec<Sort>,
    /// Rows at most.
    pub limit: usize,
    /// Whether rows without events are wanted.
    pub fill_gaps: bool,
    /// Whether totals are wanted.
    pub totals: bool,
    /// Whether what the limit leaves out is wanted in one row.
    pub others: bool,
    /// Exactly these rows are wanted, those of them that there are, instead of the first ones up to the
    /// limit; `others` is what is not in them. Not together with `fill_gaps`.
    pub only: Option<Arc<HashSet<RowKey>>>,
}

/// Place of an event in a list that is ordered by time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPosition {
    /// Time, in microseconds since 1970.
    pub time_us: i64,
    /// Id of the event.
    pub event_id: uuid::Uuid,
}

/// A ListEvents question.
#[derive(Debug, Clone)]
pub struct ListEvents {
    /// Which events.
    pub selection: Selection,
    /// Events a page.
    pub page_size: usize,
    /// Only what comes after this one in the list.
    pub after: Option<EventPosition>,
}
