//! Which local day a time is in.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::time_range::start_of_date;

/// A local day, as microseconds since 1970: half-open. Both ends are multiples of 15 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalDay {
    /// Its first instant.
    pub since_us: i64,
    /// The first instant after it.
    pub until_us: i64,
}

/// Finds days of a zone; quick for times near the one before.
#[derive(Debug, Clone)]
pub struct LocalDays {
    time_zone: TimeZone,
    last: Option<LocalDay>,
}

impl LocalDay {
    /// Whether a time is in it.
    pub fn contains(self, time_us: i64) -> bool {
        (self.since_us..self.until_us).contains(&time_us)
    }
}

impl LocalDays {
    /// The days of a zone.
    pub fn new(time_zone: TimeZone) -> Self {
        Self {
            time_zone,
            last: None,
        }
    }

    /// The day that a time is in.
    pub fn of(&mut self, time_us: i64) -> LocalDay {
        match self.last {
            Some(day) if day.contains(time_us) => day,
            _ => *self.last.insert(self.find(time_us)),
        }
    }

    fn find(&self, time_us: i64) -> LocalDay {
        const DAY_US: i64 = 86_400_000_000;
        let time = Timestamp::from_microsecond(time_us).unwrap_or_default();
        let date = time.to_zoned(self.time_zone.clone()).date();
        let since = start_of_date(date, &self.time_zone);
        let since_us = since.map_or(time_us.div_euclid(DAY_US) * DAY_US, |since| {
            since.as_microsecond()
        });
        // A date may have been skipped whole: the one after it begins when it would have.
        let until = std::iter::successors(date.tomorrow().ok(), |date| date.tomorrow().ok())
            .filter_map(|date| start_of_date(date, &self.time_zone))
            .map(Timestamp::as_microsecond)
            .find(|until_us| *until_us > time_us);
        LocalDay {
            since_us,
            until_us: until.unwrap_or(since_us + DAY_US),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time_range::{EARLIEST_US, LATEST_US};
    use crate::rollup::segment::SLOT_US;

    #[test]
    fn days_of_every_zone_follow_one_another_and_are_whole_slots() {
        for name in jiff::tz::db().available() {
            let zone = TimeZone::get(name.as_str()).expect("a zone");
            let mut days = LocalDays::new(zone.clone());
            let mut time_us = EARLIEST_US;
            // Up to where rules of today go on for ever.
            while time_us < LATEST_US.min(EARLIEST_US + 40 * 366 * 86_400_000_000) {
                let day = days.of(time_us);
                assert!(day.contains(time_us), "{name:?} {day:?}");
                assert_eq!(day.since_us % SLOT_US, 0, "{name:?} {day:?}");
                assert_eq!(day.until_us % SLOT_US, 0, "{name:?} {day:?}");
                assert!(
                    (20..=50).contains(&((day.until_us - day.since_us) / 3_600_000_000)),
                    "{name:?} {day:?}"
                );
                assert_eq!(LocalDays::new(zone.clone()).of(day.until_us - 1), day);
                time_us = day.until_us;
            }
        }
    }
}
