//! What makes two questions the same.

use std::collections::BTreeSet;
use std::fmt::{self, Debug, Write};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::domain::bucket::Buckets;
use crate::domain::question::{Aggregate, RowKey, Selection};
use crate::domain::report::{Before, Breakdown, Compared};
use crate::domain::time_range::{TimeRange, to_microseconds};

/// Microseconds of a minute: ranges that slide along with the present are whole minutes long.
const MINUTE_US: i64 = 60_000_000;

/// A question as the cache knows it: a hash over everything that decides the answer, and apart from it
/// the instants that move with the present.
///
/// `today` ends now, so it is another range every time it is asked for. But its answer is the same as long
/// as no stored event lies between the end it had and the end it has ([`super::window`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Hash over what has to be equal.
    pub digest: [u8; 32],
    /// The property.
    pub property_no: i32,
    /// What may move as far as no event is passed.
    pub moving: Vec<Timestamp>,
}

/// Puts a key together.
pub struct KeyBuilder {
    hash: Sha256,
    property_no: i32,
    moving: Vec<Timestamp>,
}

impl Key {
    /// Begins the key of a kind of report about a property.
    pub fn of(report: &'static str, property_no: i32) -> KeyBuilder {
        let builder = KeyBuilder {
            hash: Sha256::new(),
            property_no,
            moving: Vec::new(),
        };
        builder.with(&report).with(&property_no)
    }
}

impl KeyBuilder {
    /// Adds something that decides the answer. Its `Debug` has to show all of it.
    #[must_use]
    pub fn with(mut self, part: &impl Debug) -> Self {
        // Debug escapes NUL in text, so no two parts can pass for one.
        let written = write!(HashWriter(&mut self.hash), "{part:?}\0");
        debug_assert!(written.is_ok(), "hashing cannot fail");
        self
    }

    /// Adds an instant that moves with the present.
    #[must_use]
    pub fn moving(mut self, instant: Timestamp) -> Self {
        self.moving.push(instant);
        self
    }

    /// Adds a question. If its range ends at `now` the end moves, and its start too if the range is a
    /// whole number of minutes long (`last_90_minutes`).
    #[must_use]
    pub fn question(self, question: &Aggregate, now: Timestamp) -> Self {
        // Without `..`, so that nothing that is added to a question is forgotten here.
        let Aggregate {
            selection:
                Selection {
                    property_no,
                    range,
                    filter,
                    include_bots,
                },
            time_zone: _, // Of the answer's metadata, which is made anew.
            buckets,
            dimensions,
            metrics,
            order,
            limit,
            fill_gaps,
            totals,
            others,
            only,
        } = question;
        // In an order of its own, since a set has none.
        let only: Option<BTreeSet<&RowKey>> = only.as_ref().map(|only| only.iter().collect());
        self.range(*range, now)
            .buckets(buckets, *range)
            .with(property_no)
            .with(filter)
            .with(include_bots)
            .with(dimensions)
            .with(metrics)
            .with(order)
            .with(limit)
            .with(&(fill_gaps, totals, others))
            .with(&only)
    }

    /// Adds a question with what it is compared with, which moves as the question's range does.
    #[must_use]
    pub fn compared(self, question: &Compared, now: Timestamp) -> Self {
        let Compared { now: asked, before } = question;
        let range = asked.selection.range;
        let builder = self.question(asked, now);
        let Some(Before {
            range: was,
            buckets,
        }) = before
        else {
            return builder.with(&"alone");
        };
        let builder = match Moves::of(range, now) {
            Moves::No => builder.with(&was.since).with(&was.until_exclusive),
            Moves::Whole => builder.moving(was.since).moving(was.until_exclusive),
            Moves::End => builder.with(&was.since).moving(was.until_exclusive),
        };
        builder.buckets(buckets, *was)
    }

    /// Adds a question about the values of a dimension.
    #[must_use]
    pub fn breakdown(self, question: &Breakdown, now: Timestamp) -> Self {
        let Breakdown {
            values,
            whole,
            offset,
            contains,
            series,
        } = question;
        let mut builder = self
            .compared(values, now)
            .with(offset)
            .with(contains)
            .with(&(whole.is_some(), series.is_some()));
        if let Some(whole) = whole {
            builder = builder.compared(whole, now);
        }
        if let Some(series) = series {
            builder = builder.buckets(series, values.now.selection.range);
        }
        builder
    }

    /// Adds where buckets begin; one that is all of its range moves with it.
    fn buckets(mut self, buckets: &Buckets, range: TimeRange) -> Self {
        let starts: &[Timestamp] = match buckets.starts() {
            // All of the range, however it moves.
            [start] if *start == range.since => &[],
            starts => starts,
        };
        self.hash.update(starts.len().to_be_bytes());
        for start in starts {
            self.hash.update(start.as_microsecond().to_be_bytes());
        }
        self
    }

    fn range(self, range: TimeRange, now: Timestamp) -> Self {
        let TimeRange {
            since,
            until_exclusive: until,
        } = range;
        match Moves::of(range, now) {
            Moves::No => self.with(&"fixed").with(&since).with(&until),
            Moves::Whole => {
                let length_us = until.as_microsecond() - since.as_microsecond();
                let builder = self.with(&"sliding").with(&length_us);
                builder.moving(since).moving(until)
            }
            Moves::End => self.with(&"growing").with(&since).moving(until),
        }
    }

    /// The key.
    pub fn done(self) -> Key {
        Key {
            digest: self.hash.finalize().into(),
            property_no: self.property_no,
            moving: self.moving,
        }
    }
}

/// What of a range moves with the present.
enum Moves {
    No,
    Whole,
    End,
}

impl Moves {
    fn of(range: TimeRange, now: Timestamp) -> Self {
        let until = range.until_exclusive;
        if until != to_microseconds(now) {
            return Self::No;
        }
        let length_us = until.as_microsecond() - range.since.as_microsecond();
        match length_us % MINUTE_US {
            0 => Self::Whole,
            _ => Self::End,
        }
    }
}

struct HashWriter<'h>(&'h mut Sha256);

impl fmt::Write for HashWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::domain::bucket::{BucketWidth, Buckets};
    use crate::domain::dimension::Dimension;
    use crate::domain::filter::{Filter, Measure, NumberComparison, TextComparison};
    use crate::domain::metric::Metric;
    use crate::domain::question::{Sort, SortKey};
    use crate::domain::time_range;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn asked(name: &str, width: BucketWidth, now: Timestamp) -> Aggregate {
        let zoned = to_microseconds(now).to_zoned(TimeZone::UTC);
        let range = time_range::resolve(name, &zoned).expect("a range").range;
        Aggregate {
            selection: Selection {
                property_no: 1,
                range,
                filter: None,
                include_bots: false,
            },
            time_zone: TimeZone::UTC,
            buckets: Buckets::cover(range, width, &TimeZone::UTC).expect("few buckets"),
            dimensions: Vec::new(),
            metrics: vec![Metric::Events],
            order: Vec::new(),
            limit: 10,
            fill_gaps: false,
            totals: false,
            others: false,
            only: None,
        }
    }

    fn key(question: &Aggregate, now: Timestamp) -> Key {
        Key::of("aggregate", 1).question(question, now).done()
    }

    #[test]
    fn a_range_that_ends_now_is_the_same_question_a_moment_later() {
        let (early, late) = (
            time("2026-05-20T10:30:00.2Z"),
            time("2026-05-20T10:30:07.9Z"),
        );
        for (name, width, moving) in [
            ("today", BucketWidth::Day, 1),
            ("today", BucketWidth::WholeRange, 1),
            ("last_30_days", BucketWidth::Day, 1),
            ("last_90_minutes", BucketWidth::Minute, 2),
            ("last_90_minutes", BucketWidth::WholeRange, 2),
            ("last_24_hours", BucketWidth::Hour, 2),
            ("yesterday", BucketWidth::Day, 0),
        ] {
            let one = key(&asked(name, width, early), early);
            let other = key(&asked(name, width, late), late);
            assert_eq!(one.digest, other.digest, "{name} {width:?}");
            assert_eq!(
                (one.moving.len(), other.moving.len()),
                (moving, moving),
                "{name}"
            );
        }
        // Another minute begins, so the answer has another bucket.
        let later = time("2026-05-20T10:31:00.2Z");
        assert_ne!(
            key(&asked("last_90_minutes", BucketWidth::Minute, early), early).digest,
            key(&asked("last_90_minutes", BucketWidth::Minute, later), later).digest,
        );
    }

    #[test]
    fn whatever_decides_the_answer_is_in_the_key() {
        let now = time("2026-05-20T10:30:00.2Z");
        let plain = || asked("today", BucketWidth::Day, now);
        let with = |change: &dyn Fn(&mut Aggregate)| {
            let mut question = plain();
            change(&mut question);
            question
        };
        let number = |value| Filter::Number {
            measure: Measure::Duration,
            comparison: NumberComparison::Less,
            value,
        };
        let text = |values: &[&str]| Filter::Text {
            dimension: Dimension::Page,
            comparison: TextComparison::Equals,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let sort = |descending| Sort {
            key: SortKey::Bucket,
            descending,
        };
        let questions = [
            plain(),
            asked("yesterday", BucketWidth::Day, now),
            asked("last_7_days", BucketWidth::Day, now),
            asked("last_7_days", BucketWidth::WholeRange, now),
            asked("last_60_minutes", BucketWidth::WholeRange, now),
            asked("last_61_minutes", BucketWidth::WholeRange, now),
            asked("last_60_minutes", BucketWidth::Minute, now),
            with(&|q| q.selection.include_bots = true),
            with(&|q| q.selection.property_no = 2),
            with(&|q| q.selection.filter = Some(number(1.0))),
            with(&|q| q.selection.filter = Some(number(1.5))),
            with(&|q| q.selection.filter = Some(Filter::Not(Box::new(number(1.5))))),
            with(&|q| q.selection.filter = Some(text(&["a", "b"]))),
            with(&|q| q.selection.filter = Some(text(&["a\", \"b"]))),
            with(&|q| q.dimensions = vec![Dimension::Page]),
            with(&|q| q.dimensions = vec![Dimension::Property("page".to_owned())]),
            with(&|q| q.metrics = vec![Metric::Visitors]),
            with(&|q| q.metrics = vec![Metric::Events, Metric::Visitors]),
            with(&|q| q.order = vec![sort(true)]),
            with(&|q| q.order = vec![sort(false)]),
            with(&|q| q.limit = 11),
            with(&|q| q.fill_gaps = true),
            with(&|q| q.totals = true),
            with(&|q| q.others = true),
        ];
        let digests: std::collections::HashSet<[u8; 32]> = questions
            .iter()
            .map(|question| key(question, now).digest)
            .collect();
        assert_eq!(digests.len(), questions.len());
        let breakdown = Key::of("breakdown", 1).question(&plain(), now).done();
        assert!(!digests.contains(&breakdown.digest));
    }
}
