//! What a range is compared with, and how two numbers are compared.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

use super::time_range::{Period, Step, TimeRange, start_of_date};

/// What a range is compared with; query_service.proto defines each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in query_service.proto")]
pub enum Comparison {
    PreviousPeriod,
    PreviousYear,
}

/// The range that a period is compared with; never empty. `None` where there is nothing before, or
/// where it would be before all calendars.
pub fn before(period: &Period, comparison: Comparison, time_zone: &TimeZone) -> Option<TimeRange> {
    let range = period.range;
    let length = range.until_exclusive.duration_since(range.since);
    let span = match (comparison, period.step) {
        (_, Step::Never) => return None,
        (Comparison::PreviousYear, _) => 12.months(),
        (Comparison::PreviousPeriod, Step::Days(days)) => Span::new().try_days(days).ok()?,
        (Comparison::PreviousPeriod, Step::Months(months)) => {
            Span::new().try_months(months).ok()?
        }
        (Comparison::PreviousPeriod, Step::Length) => {
            return Some(TimeRange {
                since: range.since.checked_sub(length).ok()?,
                until_exclusive: range.since,
            });
        }
    };
    let since = shift(range.since, span, time_zone)?.0;
    let until = match shift(range.until_exclusive, span, time_zone)? {
        (time, None) => time,
        // The end is on a day that the month before does not have: all of that month is before.
        (_, Some(day_after)) => day_after,
    };
    // Where the clocks go back, an hour comes twice, and the time before its second half can be before
    // that of its first.
    let until_exclusive = if until > since {
        until
    } else {
        since.checked_add(length).ok()?
    };
    Some(TimeRange {
        since,
        until_exclusive,
    })
}

/// How far the days of a range that begins and ends at midnights are before it: by as many days as it
/// has. Any other range is as far back as it is long.
pub fn step_of(range: TimeRange, time_zone: &TimeZone) -> Step {
    let dates = [range.since, range.until_exclusive].map(|time| {
        let date = time.to_zoned(time_zone.clone()).date();
        (start_of_date(date, time_zone) == Some(time)).then_some(date)
    });
    let [Some(since), Some(until)] = dates else {
        return Step::Length;
    };
    match since.until(until) {
        Ok(days) if days.get_days() > 0 => Step::Days(days.get_days()),
        _ => Step::Length,
    }
}

/// The time that lies a span of the calendar before, and the start of the day after it if the month is
/// too short for the same day. The start of a day stays the start of a day.
fn shift(
    time: Timestamp,
    span: Span,
    time_zone: &TimeZone,
) -> Option<(Timestamp, Option<Timestamp>)> {
    let local = time.to_zoned(time_zone.clone()).datetime();
    let date = local.date().checked_sub(span).ok()?;
    let is_clamped = span.get_months() > 0 && date.day() != local.date().day();
    let day_after = match is_clamped {
        true => Some(start_of_date(date.tomorrow().ok()?, time_zone)?),
        false => None,
    };
    let is_start_of_day = start_of_date(local.date(), time_zone) == Some(time);
    let shifted = if is_start_of_day {
        start_of_date(date, time_zone)?
    } else {
        let local = DateTime::from_parts(date, local.time());
        local.to_zoned(time_zone.clone()).ok()?.timestamp()
    };
    Some((shifted, day_after))
}

/// The change from one number to another, in percent of the first. NaN where there is nothing to
/// compare.
pub fn change_percent(before: f64, now: f64) -> f64 {
    if before == 0.0 {
        return f64::NAN;
    }
    (now - before) / before * 100.0
}

#[cfg(test)]
mod tests {
    use jiff::Zoned;

    use super::*;
    use crate::domain::time_range::resolve;

    fn shown(range: TimeRange, zone: &TimeZone) -> String {
        let show = |time: Timestamp| {
            let local = time.to_zoned(zone.clone());
            local.strftime("%Y-%m-%dT%H:%M%:z").to_string()
        };
        format!("{} {}", show(range.since), show(range.until_exclusive))
    }

    fn compared(name: &str, now: &str, comparison: Comparison) -> String {
        let now: Zoned = now.parse().expect("a zoned time");
        let period = resolve(name, &now).expect("a range");
        let range = before(&period, comparison, now.time_zone()).expect("a range before");
        shown(range, now.time_zone())
    }

    #[test]
    fn the_period_before_is_the_same_part_of_the_unit_before() {
        let now = "2026-05-20T10:30:00+05:45[Asia/Kathmandu]"; // a Wednesday
        for (name, expected) in [
            ("today", "2026-05-19T00:00+05:45 2026-05-19T10:30+05:45"),
            ("yesterday", "2026-05-18T00:00+05:45 2026-05-19T00:00+05:45"),
            (
                "last_90_minutes",
                "2026-05-20T07:30+05:45 2026-05-20T09:00+05:45",
            ),
            (
                "last_24_hours",
                "2026-05-18T10:30+05:45 2026-05-19T10:30+05:45",
            ),
            (
                "last_7_days",
                "2026-05-07T00:00+05:45 2026-05-13T10:30+05:45",
            ),
            (
                "previous_7_days",
                "2026-05-06T00:00+05:45 2026-05-13T00:00+05:45",
            ),
            (
                "week_to_date",
                "2026-05-11T00:00+05:45 2026-05-13T10:30+05:45",
            ),
            (
                "previous_week",
                "2026-05-04T00:00+05:45 2026-05-11T00:00+05:45",
            ),
            (
                "month_to_date",
                "2026-04-01T00:00+05:45 2026-04-20T10:30+05:45",
            ),
            (
                "previous_month",
                "2026-03-01T00:00+05:45 2026-04-01T00:00+05:45",
            ),
            (
                "last_3_months",
                "2025-12-01T00:00+05:45 2026-02-20T10:30+05:45",
            ),
            (
                "quarter_to_date",
                "2026-01-01T00:00+05:45 2026-02-20T10:30+05:45",
            ),
            (
                "year_to_date",
                "2025-01-01T00:00+05:45 2025-05-20T10:30+05:45",
            ),
            (
                "previous_year",
                "2024-01-01T00:00+05:45 2025-01-01T00:00+05:45",
            ),
        ] {
            let comparison = Comparison::PreviousPeriod;
            assert_eq!(compared(name, now, comparison), expected, "{name}");
        }
    }

    #[test]
    fn a_year_before_are_the_same_dates() {
        for (name, now, expected) in [
            (
                "last_7_days",
                "2026-05-20T10:30:00+00:00[UTC]",
                "2025-05-14T00:00+00:00 2025-05-20T10:30+00:00",
            ),
            (
                "last_90_minutes",
                "2026-05-20T10:30:00+00:00[UTC]",
                "2025-05-20T09:00+00:00 2025-05-20T10:30+00:00",
            ),
            // A day that the year before does not have.
            (
                "today",
                "2024-02-29T10:30:00+00:00[UTC]",
                "2023-02-28T00:00+00:00 2023-03-01T00:00+00:00",
            ),
        ] {
            let comparison = Comparison::PreviousYear;
            assert_eq!(compared(name, now, comparison), expected, "{name}");
        }
    }

    #[test]
    fn a_month_that_is_too_short_is_compared_whole() {
        let comparison = Comparison::PreviousPeriod;
        for now in [
            "2026-03-29T10:30:00+00:00[UTC]",
            "2026-03-31T10:30:00+00:00[UTC]",
        ] {
            assert_eq!(
                compared("month_to_date", now, comparison),
                "2026-02-01T00:00+00:00 2026-03-01T00:00+00:00",
                "{now}"
            );
        }
    }

    #[test]
    fn days_are_counted_on_the_calendar_across_a_change_of_clocks() {
        let comparison = Comparison::PreviousPeriod;
        // New York, 2026-03-08: 02:00 became 03:00.
        assert_eq!(
            compared(
                "last_2_days",
                "2026-03-10T10:00:00-04:00[America/New_York]",
                comparison
            ),
            "2026-03-07T00:00-05:00 2026-03-08T10:00-04:00"
        );
        // Yesterday's 02:30 was skipped.
        assert_eq!(
            compared(
                "today",
                "2026-03-09T02:30:00-04:00[America/New_York]",
                comparison
            ),
            "2026-03-08T00:00-05:00 2026-03-08T03:30-04:00"
        );
        // Cairo, 2024-04-26: midnight became 01:00, and that day begins then.
        assert_eq!(
            compared(
                "yesterday",
                "2024-04-28T12:00:00+03:00[Africa/Cairo]",
                comparison
            ),
            "2024-04-26T01:00+03:00 2024-04-27T00:00+03:00"
        );
    }

    fn between(since: &str, until: &str, zone: &str) -> (Period, TimeZone) {
        let zone = TimeZone::get(zone).expect("a zone");
        let range = TimeRange {
            since: since.parse().expect("a time"),
            until_exclusive: until.parse().expect("a time"),
        };
        let step = step_of(range, &zone);
        (Period { range, step }, zone)
    }

    #[test]
    fn an_interval_from_midnight_to_midnight_is_a_number_of_days() {
        let (days, zone) = between(
            "2026-03-09T00:00-04:00",
            "2026-03-11T00:00-04:00",
            "America/New_York",
        );
        assert_eq!(days.step, Step::Days(2));
        let range = before(&days, Comparison::PreviousPeriod, &zone).expect("a range");
        assert_eq!(
            shown(range, &zone),
            "2026-03-07T00:00-05:00 2026-03-09T00:00-04:00"
        );
        // The same is 48 hours in another zone.
        let (hours, zone) = between("2026-03-09T00:00-04:00", "2026-03-11T00:00-04:00", "UTC");
        assert_eq!(hours.step, Step::Length);
        let range = before(&hours, Comparison::PreviousPeriod, &zone).expect("a range");
        assert_eq!(
            shown(range, &zone),
            "2026-03-07T04:00+00:00 2026-03-09T04:00+00:00"
        );
    }

    #[test]
    fn a_range_before_is_never_empty() {
        // From the first 01:45 to the second 01:15 in New York: half an hour.
        let (half_an_hour, zone) = between(
            "2025-11-02T01:45-04:00",
            "2025-11-02T01:15-05:00",
            "America/New_York",
        );
        let range = before(&half_an_hour, Comparison::PreviousYear, &zone).expect("a range");
        assert_eq!(
            shown(range, &zone),
            "2024-11-02T01:45-04:00 2024-11-02T02:15-04:00"
        );
    }

    #[test]
    fn nothing_is_before_all_time() {
        let now: Zoned = "2026-05-20T10:30:00+00:00[UTC]".parse().expect("a time");
        let period = resolve("all_time", &now).expect("a range");
        for comparison in [Comparison::PreviousPeriod, Comparison::PreviousYear] {
            assert_eq!(before(&period, comparison, &TimeZone::UTC), None);
        }
    }

    #[test]
    fn change_is_in_percent_of_what_was_before() {
        assert_eq!(change_percent(2.0, 3.0), 50.0);
        assert_eq!(change_percent(4.0, 1.0), -75.0);
        assert_eq!(change_percent(4.0, 0.0), -100.0);
        for (before, now) in [(0.0, 1.0), (0.0, 0.0), (f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(change_percent(before, now).is_nan(), "{before} {now}");
        }
    }
}
