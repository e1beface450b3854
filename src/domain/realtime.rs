//! What is asked about the present, as validated.

use super::filter::Filter;

/// A question about the present.
#[derive(Debug, Clone, PartialEq)]
pub struct RealtimeQuestion {
    /// The property, by number.
    pub property_no: i32,
    /// How long "now" is.
    pub now_minutes: u32,
    /// Minutes of the series, the one that has begun included.
    pub series_minutes: u32,
    /// Entries of each list at most.
    pub limit: usize,
    /// Which events.
    pub filter: Option<Filter>,
    /// Whether bots' events are in it.
    pub include_bots: bool,
}
