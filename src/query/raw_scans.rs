//! How many questions of a property read its raw events at a time.
//!
//! A question that no rollup covers reads every event of its range, so a few of them keep the database
//! busy. They take turns, property by property: one property's dashboards do not take the connections and
//! the processors from another's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// How long a question waits for its turn at most, and no longer than half of the time it has.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Questions that wait for each that reads; more are refused at once, since each holds a connection.
const WAITING_PER_SCAN: usize = 2;

/// Turns of all properties.
#[derive(Debug)]
pub struct RawScans {
    per_property: usize,
    turns: Mutex<HashMap<i32, Arc<Turns>>>,
}

#[derive(Debug)]
struct Turns {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The right to read raw events, until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, it lets the next one in"]
pub struct RawScan(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// One that waits, until it is dropped.
struct Waiting<'t>(&'t Turns);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Questions of a property that read raw events at a time, unless the service is told otherwise.
pub const DEFAULT_PER_PROPERTY: usize = 4;

impl RawScans {
    /// So many of each property at a time.
    pub fn new(per_property: usize) -> Self {
        Self {
            per_property,
            turns: Mutex::default(),
        }
    }

    /// Waits for a turn of a question that may take so long.
    pub async fn enter(&self, property_no: i32, limit: Duration) -> Result<RawScan, ApiError> {
        let turns = self.of(property_no);
        if let Ok(permit) = Arc::clone(&turns.free).try_acquire_owned() {
            return Ok(RawScan(permit));
        }
        let before = turns.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&turns);
        if before >= self.per_property * WAITING_PER_SCAN {
            return Err(self.refused());
        }
        let turn = Arc::clone(&turns.free).acquire_owned();
        match tokio::time::timeout(MAX_WAIT.min(limit / 2), turn).await {
            Ok(Ok(permit)) => Ok(RawScan(permit)),
            // It is never closed.
            Ok(Err(_)) => Err(ApiError::Internal),
            Err(_elapsed) => Err(self.refused()),
        }
    }

    fn refused(&self) -> ApiError {
        ApiError::TooManyScans {
            limit: self.per_property,
        }
    }

    fn of(&self, property_no: i32) -> Arc<Turns> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let own = turns.entry(property_no).or_insert_with(|| {
            Arc::new(Turns {
                free: Arc::new(Semaphore::new(self.per_property)),
                waiting: AtomicUsize::new(0),
            })
        });
        Arc::clone(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn questions_of_a_property_take_turns_and_others_do_not_wait() {
        let scans = RawScans::new(1);
        let first = scans.enter(1, LONG).await.expect("free");
        let other = scans
            .enter(2, Duration::ZERO)
            .await
            .expect("another property");
        let refused = ApiError::TooManyScans { limit: 1 };
        let short = Duration::from_millis(20);
        assert_eq!(scans.enter(1, short).await.expect_err("in vain"), refused);

        let mut second = tokio_test::task::spawn(scans.enter(1, LONG));
        let mut third = tokio_test::task::spawn(scans.enter(1, LONG));
        assert!(second.poll().is_pending() && third.poll().is_pending());
        // As many wait as may.
        assert_eq!(scans.enter(1, LONG).await.expect_err("at once"), refused);
        drop(third);
        drop(first);
        let second = second.await.expect("its turn");
        let mut third = tokio_test::task::spawn(scans.enter(1, LONG));
        assert!(third.poll().is_pending());
        drop((second, other));
        drop(third.await.expect("its turn"));
    }
}
