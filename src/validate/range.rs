//! Time zones and ranges of questions.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::domain::comparison::{self, Comparison};
use crate::domain::property::Property;
use crate::domain::time_range::{
    self, EARLIEST_US, LATEST_US, Period, RELATIVE_RANGE_NAMES, TimeRange, start_of_date,
    to_microseconds,
};
use crate::pb::{self, time_range::Range};

use super::rules::{Violations, excerpt};

/// Range when the question does not say.
const DEFAULT_RANGE: &str = "last_30_days";

/// The zone of that name.
pub fn find_time_zone(name: &str) -> Option<TimeZone> {
    // jiff also takes names in any case; what is stored has to be what the database knows too.
    let zone = TimeZone::get(name).ok()?;
    (zone.iana_name() == Some(name)).then_some(zone)
}

/// The zone that a question names, or else the property's.
pub fn time_zone(name: &str, property: &Property, v: &mut Violations) -> TimeZone {
    if name.is_empty() {
        return property.time_zone.clone();
    }
    find_time_zone(name).unwrap_or_else(|| {
        v.add(
            "time_zone",
            format!(
                "there is no time zone `{}`, need an IANA name such as Asia/Kathmandu",
                excerpt(name, 40)
            ),
        );
        TimeZone::UTC
    })
}

/// The range of a question that is asked at `now`.
pub fn time_range(
    range: Option<pb::TimeRange>,
    time_zone: &TimeZone,
    now: Timestamp,
    v: &mut Violations,
) -> Option<Period> {
    let (range, step) = match range.and_then(|range| range.range) {
        None => relative(DEFAULT_RANGE, time_zone, now, v)?,
        Some(Range::Relative(name)) => relative(&name, time_zone, now, v)?,
        Some(Range::Interval(interval)) => (self::interval(interval, now, v)?, None),
        Some(Range::Dates(dates)) => (self::dates(&dates, time_zone, now, v)?, None),
    };
    let bounds = EARLIEST_US..=LATEST_US;
    for time in [range.since, range.until_exclusive] {
        if !bounds.contains(&time.as_microsecond()) {
            v.add(
                "range",
                format!("{time} is not between 2000-01-01 and 2100-01-01"),
            );
            return None;
        }
    }
    if range.since >= range.until_exclusive {
        v.add(
            "range",
            format!(
                "ends at {}, not after its start, {}",
                range.until_exclusive, range.since
            ),
        );
        return None;
    }
    let step = step.unwrap_or_else(|| comparison::step_of(range, time_zone));
    Some(Period { range, step })
}

/// The range that a period is compared with, if it is.
pub fn before(
    compare: i32,
    period: Option<Period>,
    time_zone: &TimeZone,
    v: &mut Violations,
) -> Option<TimeRange> {
    let comparison = match pb::Comparison::try_from(compare) {
        Ok(pb::Comparison::Unspecified) => return None,
        Ok(pb::Comparison::PreviousPeriod) => Comparison::PreviousPeriod,
        Ok(pb::Comparison::PreviousYear) => Comparison::PreviousYear,
        Err(_) => {
            let known = "1 (previous period), 2 (previous year) and 0 (none)";
            v.add(
                "compare",
                format!("{compare} is no comparison; there are {known}"),
            );
            return None;
        }
    };
    let range = comparison::before(&period?, comparison, time_zone);
    let range = range.filter(|range| range.since.as_microsecond() >= EARLIEST_US);
    if range.is_none() {
        v.add(
            "compare",
            "the range before would begin before 2000-01-01; need a range that is later or shorter",
        );
    }
    range
}

fn relative(
    name: &str,
    time_zone: &TimeZone,
    now: Timestamp,
    v: &mut Violations,
) -> Option<(TimeRange, Option<time_range::Step>)> {
    let period = time_range::resolve(name, &to_microseconds(now).to_zoned(time_zone.clone()));
    if period.is_none() {
        v.add(
            "range.relative",
            format!(
                "there is no range `{}`; there are {RELATIVE_RANGE_NAMES}",
                excerpt(name, 40),
            ),
        );
    }
    period.map(|period| (period.range, Some(period.step)))
}

fn interval(interval: pb::Interval, now: Timestamp, v: &mut Violations) -> Option<TimeRange> {
    let mut read = |time: prost_types::Timestamp, field: &str| {
        let read = Timestamp::new(time.seconds, time.nanos).ok();
        if read.is_none() {
            v.add(
                field,
                format!("{} s and {} ns are not a time", time.seconds, time.nanos),
            );
        }
        read.map(to_microseconds)
    };
    let since = interval
        .since
        .map(|time| read(time, "range.interval.since"));
    let until = interval
        .until
        .map(|time| read(time, "range.interval.until"));
    if since.is_none() {
        v.add("range.interval.since", "is absent");
    }
    Some(TimeRange {
        since: since??,
        until_exclusive: until.unwrap_or(Some(to_microseconds(now)))?,
    })
}

fn dates(
    dates: &pb::DateInterval,
    time_zone: &TimeZone,
    now: Timestamp,
    v: &mut Violations,
) -> Option<TimeRange> {
    let mut read = |text: &str, field: &str| {
        // jiff's own reader also takes times, offsets and more.
        let date: Option<Date> = text.parse().ok().filter(|_| text.len() == 10);
        if date.is_none() {
            v.add(
                field,
                format!("`{}` is not a date, need YYYY-MM-DD", excerpt(text, 40)),
            );
        }
        date
    };
    let since = read(&dates.since, "range.dates.since");
    let until = match dates.until.as_str() {
        "" => now
            .to_zoned(time_zone.clone())
            .date()
            .checked_add(1.day())
            .ok(),
        text => read(text, "range.dates.until"),
    };
    let mut start = |date: Date, field: &str| {
        let start = start_of_date(date, time_zone);
        if start.is_none() {
            v.add(
                field,
                format!("{date} is not between 2000-01-01 and 2100-01-01"),
            );
        }
        start
    };
    let since = since.and_then(|date| start(date, "range.dates.since"));
    let until = until.and_then(|date| start(date, "range.dates.until"));
    Some(TimeRange {
        since: since?,
        until_exclusive: until?,
    })
}
