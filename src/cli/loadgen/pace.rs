//! Which call comes next, how many events it has, and when it is due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The schedule of a run, shared by all lanes.
///
/// With a rate, call number n is due at `n * events_per_call / rate` after the start, whatever became of
/// the calls before it: a slow server does not slow the schedule down, it makes calls late.
#[derive(Debug)]
pub struct Plan {
    pub started: Instant,
    pub events_per_call: u64,
    /// Events in all, if bounded.
    pub events: Option<u64>,
    /// No call begins later than this after the start.
    pub until: Option<Duration>,
    /// Events a second; `None` is flat out.
    pub rate: Option<f64>,
    /// Calls taken so far.
    pub taken: AtomicU64,
}

/// One call to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its events, at least one.
    pub events: u64,
    /// When it is to be made; `None` is at once.
    pub due: Option<Instant>,
}

impl Plan {
    /// The next call; `None` when there are no more.
    pub fn take(&self, now: Instant) -> Option<Slot> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let events_before = number.saturating_mul(self.events_per_call);
        let events = match self.events {
            Some(total) => total
                .saturating_sub(events_before)
                .min(self.events_per_call),
            None => self.events_per_call,
        };
        if events == 0 {
            return None;
        }
        let after = match self.rate {
            Some(rate) => Duration::try_from_secs_f64(events_before as f64 / rate).ok()?,
            None => now.saturating_duration_since(self.started),
        };
        if self.until.is_some_and(|until| after >= until) {
            return None;
        }
        let due = self.rate.map(|_| self.started + after);
        Some(Slot { events, due })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(events: Option<u64>, until: Option<Duration>, rate: Option<f64>) -> Plan {
        Plan {
            started: Instant::now(),
            events_per_call: 100,
            events,
            until,
            rate,
            taken: AtomicU64::new(0),
        }
    }

    #[test]
    fn a_rate_fixes_when_calls_are_due_however_late_they_are_taken() {
        let plan = plan(Some(250), None, Some(1_000.0));
        let much_later = plan.started + Duration::from_secs(60);
        for (due_ms, events) in [(0, 100), (100, 100), (200, 50)] {
            let due = plan.started + Duration::from_millis(due_ms);
            let slot = Slot {
                events,
                due: Some(due),
            };
            assert_eq!(plan.take(much_later), Some(slot));
        }
        assert_eq!(plan.take(much_later), None);
    }

    #[test]
    fn a_duration_ends_the_schedule() {
        let second = Duration::from_secs(1);
        let rated = plan(None, Some(second), Some(1_000.0));
        let calls = std::iter::from_fn(|| rated.take(rated.started)).count();
        assert_eq!(calls, 10);

        let flat_out = plan(None, Some(second), None);
        let started = flat_out.started;
        let slot = flat_out.take(started + second / 2).expect("in time");
        assert_eq!((slot.events, slot.due), (100, None));
        assert_eq!(flat_out.take(started + second), None);
    }

    #[test]
    fn all_events_are_taken_once() {
        let plan = plan(Some(100_001), None, None);
        let taken = std::iter::from_fn(|| plan.take(Instant::now()));
        assert_eq!(taken.map(|slot| slot.events).sum::<u64>(), 100_001);
    }
}
