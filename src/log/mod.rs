//! Where accepted events wait for the loader.
//!
//! This is the seam of the durable log: callers append records and wait until they are safe, the
//! loader takes them in order and says what became of each. For now the log lives in memory, so an
//! event is safe only once the database has committed it, and that is what [`Appended::committed`]
//! waits for. Nothing is acknowledged earlier, so a crash loses nothing that was acknowledged.
//! [`disk`] is the log that will take this place: complete and tested, not in the path yet.
//!
//! Bounds: records under way take at most `budget_bytes`; who comes when it is used up waits, and
//! with it, through HTTP/2 flow control, the client.

pub mod disk;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::enrich::record::Record;
use crate::error::ApiError;

/// Batches in the queue at most; the budget in bytes is nearly always the tighter bound.
const MAX_QUEUED: usize = 4_096;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored now.
    Stored,
    /// Was stored already.
    Duplicate,
    /// Not stored, for a passing reason.
    NotStored,
}

/// Records of one caller, and where their outcomes go.
#[derive(Debug)]
pub struct Entry {
    /// The records, never empty.
    pub records: Vec<Record>,
    /// About how much memory they take.
    pub bytes: usize,
    /// When they were appended.
    pub appended_at: Instant,
    reply: oneshot::Sender<Vec<Outcome>>,
    /// Gives the room back when the entry is done with.
    _room: OwnedSemaphorePermit,
}

impl Entry {
    /// Tells the caller what became of each record, in order. One that no longer waits is no matter.
    pub fn reply(self, outcomes: Vec<Outcome>) {
        debug_assert_eq!(outcomes.len(), self.records.len());
        let _caller_left = self.reply.send(outcomes);
    }
}

/// The end that callers write to.
#[derive(Debug, Clone)]
pub struct LogWriter {
    queue: mpsc::Sender<Entry>,
    room: Arc<Semaphore>,
    budget_bytes: usize,
}

/// The end that loaders read from. They take turns; each entry goes to one of them.
#[derive(Debug, Clone)]
pub struct LogReader(Arc<Mutex<mpsc::Receiver<Entry>>>);

/// A log whose records under way take at most `budget_bytes`.
pub fn open(budget_bytes: usize) -> (LogWriter, LogReader) {
    let (sender, receiver) = mpsc::channel(MAX_QUEUED);
    let writer = LogWriter {
        queue: sender,
        room: Arc::new(Semaphore::new(budget_bytes)),
        budget_bytes,
    };
    (writer, LogReader(Arc::new(Mutex::new(receiver))))
}

/// Records that were appended and are not safe yet.
#[derive(Debug)]
pub struct Appended(oneshot::Receiver<Vec<Outcome>>);

impl Appended {
    /// Waits until the database has committed them, and says what became of each, in order.
    pub async fn committed(self) -> Result<Vec<Outcome>, ApiError> {
        self.0.await.map_err(|_loader_left| ApiError::ShuttingDown)
    }
}

impl LogWriter {
    /// About how many bytes of records are under way.
    pub fn in_flight_bytes(&self) -> usize {
        self.budget_bytes
            .saturating_sub(self.room.available_permits())
    }

    /// Appends records, which take about `bytes`, in order. Waits while the log is full.
    pub async fn append(&self, records: Vec<Record>, bytes: usize) -> Result<Appended, ApiError> {
        let bytes = bytes.clamp(1, self.budget_bytes);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(permits)
            .await
            .map_err(|_closed| ApiError::ShuttingDown)?;
        let (reply, receiver) = oneshot::channel();
        let entry = Entry {
            records,
            bytes,
            appended_at: Instant::now(),
            reply,
            _room: room,
        };
        self.queue
            .send(entry)
            .await
            .map_err(|_loader_left| ApiError::ShuttingDown)?;
        Ok(Appended(receiver))
    }
}

impl LogReader {
    /// Waits until it is this loader's turn.
    pub async fn lock(&self) -> ReaderTurn<'_> {
        ReaderTurn(self.0.lock().await)
    }
}

/// A loader's turn to take entries; it ends when this is dropped.
#[derive(Debug)]
pub struct ReaderTurn<'r>(MutexGuard<'r, mpsc::Receiver<Entry>>);

impl ReaderTurn<'_> {
    /// The next entry; `None` when every writer is gone.
    pub async fn next(&mut self) -> Option<Entry> {
        self.0.recv().await
    }

    /// The next entry if one waits already.
    pub fn try_next(&mut self) -> Option<Entry> {
        self.0.try_recv().ok()
    }
}
