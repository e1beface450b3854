//! Where loaders get their batches: records of the log in order, without those that are loaded
//! already. Loaders take turns; each record goes to one of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, watch};

use crate::log::Log;
use crate::log::disk::{ReadError, Reader};
use crate::log::event::LoggedEvent;
use crate::store::versions::Versions;

use super::progress::Progress;

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Events at most.
    pub max_events: usize,
    /// Bytes at most, as the log counts them, unless one event alone is larger.
    pub max_bytes: usize,
    /// How long the first event waits for others, unless a caller waits for its commit. While all
    /// loaders are busy the next batch fills by itself, so this only matters at light load.
    pub max_age: Duration,
}

/// Consecutive records for one transaction.
#[derive(Debug)]
pub struct Portion {
    /// The first record's number.
    pub first: u64,
    /// At least one.
    pub records: Vec<Bytes>,
}

/// Shared by all loaders of a log.
#[derive(Debug, Clone)]
pub struct Feed {
    log: Log,
    limits: BatchLimits,
    reader: Arc<Mutex<Reader>>,
    state: Arc<StdMutex<State>>,
    /// Changes whenever more is loaded.
    progressed: Arc<watch::Sender<()>>,
    versions: Arc<Versions>,
}

#[derive(Debug)]
struct State {
    progress: Progress,
    /// When the first event of each portion under way was received, by the portion's number.
    under_way: BTreeMap<u64, i64>,
}

impl Feed {
    /// A feed of what `progress` says is not loaded.
    pub fn new(log: Log, limits: BatchLimits, progress: Progress) -> Self {
        Self {
            reader: Arc::new(Mutex::new(log.reader(progress.low()))),
            log,
            limits,
            state: Arc::new(StdMutex::new(State {
                progress,
                under_way: BTreeMap::new(),
            })),
            progressed: Arc::new(watch::Sender::new(())),
            versions: Arc::default(),
        }
    }

    /// The log it is a feed of.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The versions of the data that is loaded.
    pub fn versions(&self) -> &Arc<Versions> {
        &self.versions
    }

    /// Waits for records and returns as many as a batch may hold. `None` when the log was closed and
    /// everything was taken. Dropping the future loses nothing.
    pub async fn next(&self) -> Result<Option<Portion>, ReadError> {
        let mut reader = self.reader.lock().await;
        let gap = self.state().progress.gap(reader.position());
        if gap.start != reader.position() {
            *reader = self.log.reader(gap.start);
        }
        reader.wait_for(1).await;
        if !self.limits.max_age.is_zero() {
            tokio::select! {
                () = reader.wait_for(self.limits.max_events as u64) => {}
                () = self.log.urgent() => {}
                () = tokio::time::sleep(self.limits.max_age) => {}
            }
        }
        let left = usize::try_from(gap.end - gap.start).unwrap_or(usize::MAX);
        let max_events = self.limits.max_events.min(left);
        let batch = reader.next_batch(self.limits.max_bytes, max_events).await?;
        let Some(batch) = batch else { return Ok(None) };
        let oldest = batch
            .records
            .first()
            .map(|record| LoggedEvent::decode(record));
        if let Some(Ok(event)) = oldest {
            self.state()
                .under_way
                .insert(batch.first, event.received_us);
        }
        Ok(Some(Portion {
            first: batch.first,
            records: batch.records,
        }))
    }

    /// Notes that records are loaded.
    pub fn done(&self, first: u64, records: usize) {
        self.state().progress.add(first..first + records as u64);
        self.progressed.send_replace(());
    }

    /// Waits until all of these are loaded.
    pub async fn until_loaded(&self, records: &Range<u64>) {
        let mut progressed = self.progressed.subscribe();
        while !self.state().progress.has(records) && progressed.changed().await.is_ok() {}
    }

    /// How many numbers of the log are loaded, those before its oldest record included.
    pub fn loaded(&self) -> u64 {
        self.state().progress.loaded()
    }

    /// Notes that nothing of a portion is being loaded any more.
    pub fn end(&self, first: u64) {
        self.state().under_way.remove(&first);
    }

    /// The number of the first event that is not loaded.
    pub fn low(&self) -> u64 {
        self.state().progress.low()
    }

    /// How many events of the log are not loaded.
    pub fn waiting_events(&self) -> u64 {
        let next = self.log.usage().next;
        next.saturating_sub(self.state().progress.loaded())
    }

    /// When the oldest event that is not loaded was received, as far as a loader has seen it; in
    /// microseconds since 1970.
    pub fn oldest_us(&self) -> Option<i64> {
        self.state().under_way.values().min().copied()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
