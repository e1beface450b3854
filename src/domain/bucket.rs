//! Time buckets: their boundaries are computed here, once, and the database only looks up between
//! which two a time lies. So one implementation decides where days begin, and it is this one.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::time_range::{TimeRange, first_of_quarter, first_of_week, start_of_date};

/// Buckets that a question may have at most.
pub const MAX_BUCKETS: usize = 10_000;

/// Width of a bucket; query_service.proto defines each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in query_service.proto")]
pub enum BucketWidth {
    Minute,
    FifteenMinutes,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    WholeRange,
}

/// A range would need more than [`MAX_BUCKETS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyBuckets {
    /// About how many it would need.
    pub about: u64,
}

/// The buckets that cover a range, in order and without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    starts: Vec<Timestamp>,
    end_exclusive: Timestamp,
}

impl Buckets {
    /// The buckets that cover `range`, which is not empty.
    pub fn cover(
        range: TimeRange,
        width: BucketWidth,
        time_zone: &TimeZone,
    ) -> Result<Self, TooManyBuckets> {
        let seconds = range.until_exclusive.duration_since(range.since).as_secs();
        let about = u64::try_from(seconds / width.least_seconds()).unwrap_or_default();
        if about > MAX_BUCKETS as u64 {
            return Err(TooManyBuckets { about });
        }
        let buckets = match width {
            BucketWidth::WholeRange => Self {
                starts: vec![range.since],
                end_exclusive: range.until_exclusive,
            },
            BucketWidth::Minute | BucketWidth::FifteenMinutes | BucketWidth::Hour => {
                Self::fixed(range, width.least_seconds())
            }
            BucketWidth::Day
            | BucketWidth::Week
            | BucketWidth::Month
            | BucketWidth::Quarter
            | BucketWidth::Year => Self::calendar(range, width, time_zone),
        };
        if buckets.starts.len() > MAX_BUCKETS {
            return Err(TooManyBuckets {
                about: buckets.starts.len() as u64,
            });
        }
        Ok(buckets)
    }

    fn fixed(range: TimeRange, width_s: i64) -> Self {
        let first = range.since.as_second().div_euclid(width_s) * width_s;
        let mut starts = Vec::new();
        let mut second = first;
        while let Ok(start) = Timestamp::from_second(second) {
            if start >= range.until_exclusive {
                return Self {
                    starts,
                    end_exclusive: start,
                };
            }
            starts.push(start);
            second += width_s;
        }
        Self {
            starts,
            end_exclusive: range.until_exclusive,
        }
    }

    fn calendar(range: TimeRange, width: BucketWidth, time_zone: &TimeZone) -> Self {
        let mut date = width.first_date(range.since.to_zoned(time_zone.clone()).date());
        let mut starts = Vec::new();
        while let Some(start) = start_of_date(date, time_zone) {
            if start >= range.until_exclusive {
                return Self {
                    starts,
                    end_exclusive: start,
                };
            }
            // A date that a zone skipped whole (Samoa, 2011-12-30) has no bucket.
            if starts.last() != Some(&start) {
                starts.push(start);
            }
            date = width.next_date(date);
        }
        Self {
            starts,
            end_exclusive: range.until_exclusive,
        }
    }

    /// Where each bucket starts; never empty.
    pub fn starts(&self) -> &[Timestamp] {
        &self.starts
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// Starts of the buckets that `range` or the present, `now`, cuts.
    pub fn partial(&self, range: TimeRange, now: Timestamp) -> Vec<Timestamp> {
        let complete_until = range.until_exclusive.min(now);
        let ends = self.starts.iter().skip(1).chain([&self.end_exclusive]);
        self.starts
            .iter()
            .zip(ends)
            .filter(|(start, end)| **start < range.since || **end > complete_until)
            .map(|(start, _)| *start)
            .collect()
    }
}

impl BucketWidth {
    /// The shortest that such a bucket can be, in seconds.
    fn least_seconds(self) -> i64 {
        const DAY: i64 = 86_400;
        match self {
            Self::Minute => 60,
            Self::FifteenMinutes => 900,
            Self::Hour => 3_600,
            // A day of 23 hours.
            Self::Day => DAY - 3_600,
            Self::Week => 7 * DAY - 3_600,
            Self::Month => 28 * DAY - 3_600,
            Self::Quarter => 90 * DAY - 3_600,
            Self::Year => 365 * DAY - 3_600,
            Self::WholeRange => i64::MAX,
        }
    }

    fn first_date(self, date: Date) -> Date {
        match self {
            Self::Week => first_of_week(date),
            Self::Month => date.first_of_month(),
            Self::Quarter => first_of_quarter(date),
            Self::Year => date.first_of_year(),
            Self::Day | Self::Minute | Self::FifteenMinutes | Self::Hour | Self::WholeRange => date,
        }
    }

    fn next_date(self, date: Date) -> Date {
        let span = match self {
            Self::Week => 1.week(),
            Self::Month => 1.month(),
            Self::Quarter => 3.months(),
            Self::Year => 1.year(),
            Self::Day | Self::Minute | Self::FifteenMinutes | Self::Hour | Self::WholeRange => {
                1.day()
            }
        };
        date.saturating_add(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(since: &str, until: &str) -> TimeRange {
        TimeRange {
            since: since.parse().expect("a time"),
            until_exclusive: until.parse().expect("a time"),
        }
    }

    fn local_starts(range: TimeRange, width: BucketWidth, zone: &str) -> Vec<String> {
        let zone = TimeZone::get(zone).expect("a zone");
        Buckets::cover(range, width, &zone)
            .expect("not too many")
            .starts()
            .iter()
            .map(|start| {
                start
                    .to_zoned(zone.clone())
                    .strftime("%m-%d %H:%M%:z")
                    .to_string()
            })
            .collect()
    }

    #[test]
    fn days_follow_the_clocks_of_new_york() {
        let spring = range("2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z");
        assert_eq!(
            local_starts(spring, BucketWidth::Day, "America/New_York"),
            [
                "03-07 00:00-05:00",
                "03-08 00:00-05:00",
                "03-09 00:00-04:00"
            ]
        );
        let autumn = range("2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z");
        assert_eq!(
            local_starts(autumn, BucketWidth::Day, "America/New_York"),
            [
                "10-31 00:00-04:00",
                "11-01 00:00-04:00",
                "11-02 00:00-05:00"
            ]
        );
    }

    #[test]
    fn days_begin_late_where_midnight_is_skipped() {
        let spring = range("2024-04-25T12:00:00Z", "2024-04-27T12:00:00Z");
        assert_eq!(
            local_starts(spring, BucketWidth::Day, "Africa/Cairo"),
            [
                "04-25 00:00+02:00",
                "04-26 01:00+03:00",
                "04-27 00:00+03:00"
            ]
        );
    }

    #[test]
    fn a_date_that_never_was_has_no_bucket() {
        let skipped = range("2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00");
        assert_eq!(
            local_starts(skipped, BucketWidth::Day, "Pacific/Apia"),
            ["12-29 00:00-10:00", "12-31 00:00+14:00"]
        );
    }

    #[test]
    fn hours_are_utc_even_in_kathmandu() {
        let hours = range("2026-01-01T00:10:00Z", "2026-01-01T02:00:00Z");
        assert_eq!(
            local_starts(hours, BucketWidth::Hour, "Asia/Kathmandu"),
            ["01-01 05:45+05:45", "01-01 06:45+05:45"]
        );
    }

    #[test]
    fn weeks_begin_on_monday_and_quarters_in_january() {
        let year = range("2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z");
        let weeks = local_starts(year, BucketWidth::Week, "UTC");
        assert_eq!(weeks.first().map(String::as_str), Some("12-29 00:00+00:00"));
        assert_eq!(
            local_starts(year, BucketWidth::Quarter, "UTC"),
            [
                "01-01 00:00+00:00",
                "04-01 00:00+00:00",
                "07-01 00:00+00:00",
                "10-01 00:00+00:00"
            ]
        );
    }

    #[test]
    fn too_many_buckets_are_refused_before_any_is_made() {
        let century = range("2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
        let refused = Buckets::cover(century, BucketWidth::Minute, &TimeZone::UTC);
        assert_eq!(refused, Err(TooManyBuckets { about: 52_596_000 }));
    }

    #[test]
    fn buckets_cut_by_the_range_or_by_now_are_partial() {
        let days = range("2026-01-01T10:00:00Z", "2026-01-05T00:00:00Z");
        let buckets = Buckets::cover(days, BucketWidth::Day, &TimeZone::UTC).expect("few");
        let now = "2026-01-04T10:00:00Z".parse().expect("a time");
        let partial: Vec<String> = buckets
            .partial(days, now)
            .iter()
            .map(Timestamp::to_string)
            .collect();
        assert_eq!(partial, ["2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"]);
    }
}
