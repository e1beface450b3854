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

/// The largest N of `last_N_…`.
const MAX_LAST: i32 = 100_000;

/// Names of the relative ranges, for an error that offers what would be valid.
pub const RELATIVE_RANGES: &str = "today, yesterday, last_N_minutes, last_N_hours, last_N_days, \
     last_N_weeks, last_N_months, week_to_date, month_to_date, quarter_to_date, year_to_date, \
     previous_week, previous_month, previous_quarter, previous_year";

/// Resolves a relative range at `now`, whose zone decides where days begin. `None` when there is no
/// range of that name.
pub fn resolve(name: &str, now: &Zoned) -> Option<TimeRange> {
    if let Some(rest) = name.strip_prefix("last_") {
        return resolve_last(rest, now);
    }
    let today = now.date();
    let (since, until) = match name {
        "today" => (start_of(today, now)?, now.timestamp()),
        "yesterday" => (
            start_of(today.yesterday().ok()?, now)?,
            start_of(today, now)?,
        ),
        "week_to_date" => (start_of(first_of_week(today), now)?, now.timestamp()),
        "month_to_date" => (start_of(today.first_of_month(), now)?, now.timestamp()),
        "quarter_to_date" => (start_of(first_of_quarter(today), now)?, now.timestamp()),
        "year_to_date" => (start_of(today.first_of_year(), now)?, now.timestamp()),
        "previous_week" => previous(first_of_week(today), 1.week(), now)?,
        "previous_month" => previous(today.first_of_month(), 1.month(), now)?,
        "previous_quarter" => previous(first_of_quarter(today), 3.months(), now)?,
        "previous_year" => previous(today.first_of_year(), 1.year(), now)?,
        _ => return None,
    };
    Some(TimeRange {
        since,
        until_exclusive: until,
    })
}

fn resolve_last(rest: &str, now: &Zoned) -> Option<TimeRange> {
    let (count, unit) = rest.split_once('_')?;
    let count: i32 = count.parse().ok().filter(|n| (1..=MAX_LAST).contains(n))?;
    let today = now.date();
    let since = match unit {
        "minutes" => now.timestamp().checked_sub(count.minutes()).ok()?,
        "hours" => now.timestamp().checked_sub(count.hours()).ok()?,
        "days" => start_of(today.checked_sub((count - 1).days()).ok()?, now)?,
        "weeks" => start_of(
            first_of_week(today).checked_sub((count - 1).weeks()).ok()?,
            now,
        )?,
        "months" => start_of(
            today
                .first_of_month()
                .checked_sub((count - 1).months())
                .ok()?,
            now,
        )?,
        _ => return None,
    };
    Some(TimeRange {
        since,
        until_exclusive: now.timestamp(),
    })
}

fn previous(first_of_current: Date, width: Span, now: &Zoned) -> Option<(Timestamp, Timestamp)> {
    let first = first_of_current.checked_sub(width).ok()?;
    Some((start_of(first, now)?, start_of(first_of_current, now)?))
}

fn start_of(date: Date, now: &Zoned) -> Option<Timestamp> {
    start_of_date(date, now.time_zone())
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
        let range = resolve(name, &now).expect("a range");
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
        ] {
            assert_eq!(resolved(name, now), expected, "{name}");
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
            "Today",
        ] {
            assert_eq!(resolve(name, &now), None, "{name}");
        }
    }
}
