//! A rollup of a property as people see it.

use jiff::Timestamp;

use super::stored::COVERS_ALL_US;

/// A rollup, and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Names of its dimensions.
    pub dimensions: Vec<String>,
    /// Whether every property has it.
    pub is_built_in: bool,
    /// Since when it has every event; `None` if it has none yet.
    pub covered_since: Option<Timestamp>,
    /// Times of the property's oldest and newest event, if there are any.
    pub events: Option<(Timestamp, Timestamp)>,
    /// How many segments there are.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Why it is not kept, if so.
    pub failure: Option<String>,
}

impl Described {
    /// Whether it has every event there is, and will have.
    pub fn is_complete(&self) -> bool {
        self.covered_since
            .is_some_and(|since| since.as_microsecond() <= COVERS_ALL_US)
    }

    /// Which part of the time that there are events of it covers, from 0 to 1.
    pub fn progress(&self, now: Timestamp) -> f64 {
        if self.is_complete() {
            return 1.0;
        }
        let (Some(since), Some((oldest, newest))) = (self.covered_since, self.events) else {
            return 0.0;
        };
        let until = newest.max(now).as_microsecond();
        let all = (until - oldest.as_microsecond()) as f64;
        let covered = (until - since.as_microsecond()) as f64;
        match all > 0.0 {
            true => (covered / all).clamp(0.0, 0.99),
            false => 0.0,
        }
    }
}
