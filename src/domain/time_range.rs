//! Ranges of time: half-open, and relative ones resolved in a time zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Unit, Zoned};

/// The earliest time that an event or a range may have: 2000-01-01T00:00:00Z.
pub const EARLIEST_US: i64 = 946_684_800_000_000;
/// The latest time that a range may end at: 2100-01-01T00:00:00Z.
pub const LATEST_US: i64 = 4_102_444_800_000_000;

/// Time from `since`, inclusive, to `until`, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Start, inclusive.
    pub since: Timestamp,
    /// End, exclusive.
    pub until_exclusive: Timestamp,
}

/// A range, and what lies before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The range.
    pub range: TimeRange,
    /// How far back the period before it is.
    pub step: Step,
}

/// How far back the period before a range is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// As long as the range is, in time.
    Length,
    /// So many days of the calendar.
    Days(i32),
    /// So many months of the calendar.
    Months(i32),
    /// There is nothing before.
    Never,
}

/// The largest N of `last_N_…` and `previous_N_…`.
pub const MAX_COUNT: i32 = 100_000;

/// Names of the relative ranges, with what each is.
pub const RELATIVE_RANGES: [(&str, &str); 23] = [
    ("today", "from midnight up to now"),
    ("yesterday", "the day before today"),
    ("last_N_minutes", "N times 60 seconds up to now"),
    ("last_N_hours", "N times 60 minutes up to now"),
    ("last_N_days", "N days up to now, today included"),
    (
        "last_N_weeks",
        "N weeks from Monday up to now, this week included",
    ),
    ("last_N_months", "N months up to now, this month included"),
    (
        "last_N_quarters",
        "N quarters up to now, this quarter included",
    ),
    ("last_N_years", "N years up to now, this year included"),
    ("previous_N_days", "the N days before today"),
    ("previous_N_weeks", "the N weeks before this week"),
    ("previous_N_months", "the N months before this month"),
    ("previous_N_quarters", "the N quarters before this quarter"),
    ("previous_N_years", "the N years before this year"),
    ("week_to_date", "from Monday up to now"),
    ("month_to_date", "from the first of this month up to now"),
    (
        "quarter_to_date",
        "from the first of this quarter up to now",
    ),
    ("year_to_date", "from January 1 up to now"),
    ("previous_week", "the week before this week"),
    ("previous_month", "the month before this month"),
    ("previous_quarter", "the quarter before this quarter"),
    ("previous_year", "the year before this year"),
    ("all_time", "from 2000-01-01 UTC up to now"),
];

/// The same names in few words, for an error that offers what would be valid.
pub const RELATIVE_RANGE_NAMES: &str = "today, yesterday, last_N_minutes (hours, days, weeks, \
     months, quarters, years), previous_N_days (weeks, months, quarters, years), previous_week \
     (month, quarter, year), week_to_date (month, quarter, year), all_time";

/// A calendar unit, or one of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeUnit {
    Minutes,
    Hours,
    Days,
    Weeks,
    Months(i32),
}

impl RangeUnit {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "minutes" => Self::Minutes,
            "hours" => Self::Hours,
            "days" => Self::Days,
            "weeks" => Self::Weeks,
            "months" => Self::Months(1),
            "quarters" => Self::Months(3),
            "years" => Self::Months(12),
            _ => return None,
        })
    }

    /// The first day of the unit that a date is in.
    fn first(self, date: Date) -> Date {
        match self {
            Self::Minutes | Self::Hours | Self::Days => date,
            Self::Weeks => first_of_week(date),
            Self::Months(1) => date.first_of_month(),
            Self::Months(3) => first_of_quarter(date),
            Self::Months(_) => date.first_of_year(),
        }
    }

    fn step(self, count: i32) -> Step {
        match self {
            Self::Minutes | Self::Hours => Step::Length,
            Self::Days => Step::Days(count),
            Self::Weeks => Step::Days(count.saturating_mul(7)),
            Self::Months(months) => Step::Months(count.saturating_mul(months)),
        }
    }
}

/// Resolves a relative range at `now`, whose zone decides where days begin. `None` when there is no
/// range of that name.
pub fn resolve(name: &str, now: &Zoned) -> Option<Period> {
    match name {
        "today" => last(1, RangeUnit::Days, now),
        "yesterday" => previous(1, RangeUnit::Days, now),
        "week_to_date" => last(1, RangeUnit::Weeks, now),
        "month_to_date" => last(1, RangeUnit::Months(1), now),
        "quarter_to_date" => last(1, RangeUnit::Months(3), now),
        "year_to_date" => last(1, RangeUnit::Months(12), now),
        "previous_week" => previous(1, RangeUnit::Weeks, now),
        "previous_month" => previous(1, RangeUnit::Months(1), now),
        "previous_quarter" => previous(1, RangeUnit::Months(3), now),
        "previous_year" => previous(1, RangeUnit::Months(12), now),
        "all_time" => Some(Period {
            range: TimeRange {
                since: Timestamp::from_microsecond(EARLIEST_US).ok()?,
                until_exclusive: now.timestamp(),
            },
            step: Step::Never,
        }),
        _ => {
            let (which, rest) = name.split_once('_')?;
            let (count, unit) = rest.split_once('_')?;
            let count: i32 = count.parse().ok().filter(|n| (1..=MAX_COUNT).contains(n))?;
            let unit = RangeUnit::from_name(unit)?;
            match which {
                "last" => last(count, unit, now),
                "previous" => previous(count, unit, now),
                _ => None,
            }
        }
    }
}

/// `count` units up to now, the current one included.
fn last(count: i32, unit: RangeUnit, now: &Zoned) -> Option<Period> {
    let since = match unit {
        RangeUnit::Minutes => now.timestamp().checked_sub(count.minutes()).ok()?,
        RangeUnit::Hours => now.timestamp().checked_sub(count.hours()).ok()?,
        RangeUnit::Days | RangeUnit::Weeks | RangeUnit::Months(_) => {
            let first = back(unit.first(now.date()), unit.step(count - 1))?;
            start_of_date(first, now.time_zone())?
        }
    };
    Some(Period {
        range: TimeRange {
            since,
            until_exclusive: now.timestamp(),
        },
        step: unit.step(count),
    })
}

/// `count` whole units before the current one.
fn previous(count: i32, unit: RangeUnit, now: &Zoned) -> Option<Period> {
    if matches!(unit, RangeUnit::Minutes | RangeUnit::Hours) {
        return None;
    }
    let until = unit.first(now.date());
    let since = back(until, unit.step(count))?;
    Some(Period {
        range: TimeRange {
            since: start_of_date(since, now.time_zone())?,
            until_exclusive: start_of_date(until, now.time_zone())?,
        },
        step: unit.step(count),
    })
}

fn back(date: Date, step: Step) -> Option<Date> {
    let span = match step {
        Step::Days(days) => Span::new().try_days(days).ok()?,
        Step::Months(months) => Span::new().try_months(months).ok()?,
        Step::Length | Step::Never => return None,
    };
    date.checked_sub(span).ok()
}

/// The first instant of a date in a zone: midnight, or later where the clocks skip midnight. `None`
/// past the ends of the calendar.
pub fn start_of_date(date: Date, time_zone: &TimeZone) -> Option<Timestamp> {
    let midnight = date.to_zoned(time_zone.clone()).ok()?;
    Some(midnight.start_of_day().ok()?.timestamp())
}

/// The Monday of the date's week.
pub fn first_of_week(date: Date) -> Date {
    let days = i32::from(date.weekday().to_monday_zero_offset());
    date.saturating_sub(days.days())
}

/// The first day of the date's quarter.
pub fn first_of_quarter(date: Date) -> Date {
    let month = (date.month() - 1) / 3 * 3 + 1;
    Date::new(date.year(), month, 1).unwrap_or(date)
}

/// Cuts a time to microseconds, which is what is stored.
pub fn to_microseconds(time: Timestamp) -> Timestamp {
    time.round(
        jiff::TimestampRound::new()
            .smallest(Unit::Microsecond)
            .mode(jiff::RoundMode::Floor),
    )
    .unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(name: &str, now: &str) -> String {
        let now: Zoned = now.parse().expect("a zoned time");
        let range = resolve(name, &now).expect("a range").range;
        let zone = now.time_zone();
        format!(
            "{} {}",
            range
                .since
                .to_zoned(zone.clone())
                .strftime("%Y-%m-%dT%H:%M%:z"),
            range
                .until_exclusive
                .to_zoned(zone.clone())
                .strftime("%Y-%m-%dT%H:%M%:z"),
        )
    }

    #[test]
    fn relative_ranges_begin_where_days_begin_in_the_zone() {
        let now = "2026-05-20T10:30:00+05:45[Asia/Kathmandu]"; // a Wednesday
        for (name, expected) in [
            ("today", "2026-05-20T00:00+05:45 2026-05-20T10:30+05:45"),
            ("yesterday", "2026-05-19T00:00+05:45 2026-05-20T00:00+05:45"),
            (
                "last_90_minutes",
                "2026-05-20T09:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "last_7_days",
                "2026-05-14T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "last_1_days",
                "2026-05-20T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "last_2_weeks",
                "2026-05-11T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "last_3_months",
                "2026-03-01T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "week_to_date",
                "2026-05-18T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "month_to_date",
                "2026-05-01T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "quarter_to_date",
                "2026-04-01T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "year_to_date",
                "2026-01-01T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "previous_week",
                "2026-05-11T00:00+05:45 2026-05-18T00:00+05:45",
            ),
            (
                "previous_month",
                "2026-04-01T00:00+05:45 2026-05-01T00:00+05:45",
            ),
            (
                "previous_quarter",
                "2026-01-01T00:00+05:45 2026-04-01T00:00+05:45",
            ),
            (
                "previous_year",
                "2025-01-01T00:00+05:45 2026-01-01T00:00+05:45",
            ),
            (
                "last_2_quarters",
                "2026-01-01T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "last_1_quarters",
                "2026-04-01T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "last_2_years",
                "2025-01-01T00:00+05:45 2026-05-20T10:30+05:45",
            ),
            (
                "previous_28_days",
                "2026-04-22T00:00+05:45 2026-05-20T00:00+05:45",
            ),
            (
                "previous_2_weeks",
                "2026-05-04T00:00+05:45 2026-05-18T00:00+05:45",
            ),
            (
                "previous_6_months",
                "2025-11-01T00:00+05:45 2026-05-01T00:00+05:45",
            ),
            (
                "previous_2_quarters",
                "2025-10-01T00:00+05:45 2026-04-01T00:00+05:45",
            ),
            (
                "previous_3_years",
                "2023-01-01T00:00+05:45 2026-01-01T00:00+05:45",
            ),
            ("all_time", "2000-01-01T05:45+05:45 2026-05-20T10:30+05:45"),
        ] {
            assert_eq!(resolved(name, now), expected, "{name}");
        }
    }

    #[test]
    fn every_range_that_is_offered_is_one() {
        let now: Zoned = "2026-05-20T10:30:00+00:00[UTC]"
            .parse()
            .expect("a zoned time");
        for (name, _) in RELATIVE_RANGES {
            let name = name.replace('N', "3");
            assert!(resolve(&name, &now).is_some(), "{name}");
        }
    }

    #[test]
    fn a_day_begins_after_a_skipped_midnight() {
        // Cairo, 2024-04-26: the clocks went from 00:00 to 01:00.
        assert_eq!(
            resolved("today", "2024-04-26T12:00:00+03:00[Africa/Cairo]"),
            "2024-04-26T01:00+03:00 2024-04-26T12:00+03:00"
        );
    }

    #[test]
    fn a_day_that_repeats_midnight_begins_at_the_first() {
        // Amman, 2021-10-29: at 01:00 the clocks went back to 00:00.
        assert_eq!(
            resolved("today", "2021-10-29T12:00:00+02:00[Asia/Amman]"),
            "2021-10-29T00:00+03:00 2021-10-29T12:00+02:00"
        );
    }

    #[test]
    fn days_are_counted_on_the_calendar_across_a_change_of_clocks() {
        // New York, 2026-03-08: 02:00 became 03:00.
        assert_eq!(
            resolved("last_2_days", "2026-03-09T00:30:00-04:00[America/New_York]"),
            "2026-03-08T00:00-05:00 2026-03-09T00:30-04:00"
        );
    }

    #[test]
    fn unknown_names_and_absurd_counts_are_none() {
        let now: Zoned = "2026-05-20T10:30:00+00:00[UTC]"
            .parse()
            .expect("a zoned time");
        for name in [
            "",
            "tomorrow",
            "last_0_days",
            "last_-1_days",
            "last_x_days",
            "last_7",
            "last_7_fortnights",
            "last_99999999999_days",
            "last_100001_minutes",
            "previous_0_days",
            "previous_2_hours",
            "previous_100000_years",
            "last_100000_years",
            "all_times",
            "Today",
        ] {
            assert_eq!(resolve(name, &now), None, "{name}");
        }
    }
}
