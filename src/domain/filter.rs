//! Which events a question is about.

use super::dimension::Dimension;

/// A condition on events, or a combination of conditions. Every part is either true or false of an
/// event, never unknown: an event without a dimension fails a condition on it, so its negation holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All hold.
    All(Vec<Filter>),
    /// At least one holds.
    Any(Vec<Filter>),
    /// Does not hold.
    Not(Box<Filter>),
    /// A text dimension compares so with one of the values.
    Text {
        /// The dimension.
        dimension: Dimension,
        /// How it is compared.
        comparison: TextComparison,
        /// What with; never empty, and never the empty text.
        values: Vec<String>,
    },
    /// A number compares so with the value.
    Number {
        /// The number.
        measure: Measure,
        /// How it is compared.
        comparison: NumberComparison,
        /// What with.
        value: f64,
    },
    /// The event does not have it.
    Absent(Field),
}

/// Something that an event may have.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// A dimension.
    Dimension(Dimension),
    /// A number.
    Measure(Measure),
}

/// A number that an event may have.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// Duration, in seconds.
    Duration,
    /// Scroll depth, in percent.
    ScrollDepth,
    /// A key of the event's properties, where it is a number.
    Property(String),
}

/// How text is compared, byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in query_service.proto")]
pub enum TextComparison {
    Equals,
    StartsWith,
    Contains,
    MatchesRegex,
}

/// How numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in query_service.proto")]
pub enum NumberComparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
