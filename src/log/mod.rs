//! The log: where accepted events are safe, and wait for the loaders.
//!
//! [`disk`] keeps records on disk, numbered and fsynced; [`event`] is what is in one. Here the two
//! meet the service: callers append events and wait until they are logged, or until a loader says
//! that they are committed ([`waiting`]).
//!
//! A log's directory holds `id`, the log's own random name, and `segments`. The database remembers by
//! that name what it has of the log (`log_positions`). Deleting `id` makes it another log: what is in
//! it is loaded again from its oldest record on, and what was stored before is recognised.

pub mod disk;
pub mod event;
pub mod waiting;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::ApiError;

use self::disk::{AppendError, Appending, OWNER_ONLY, OpenError, Recovered, Settings, Usage};
use self::waiting::{Outcome, Waiting};

/// The log of a service.
#[derive(Debug, Clone)]
pub struct Log {
    disk: disk::Log,
    id: Uuid,
    waiting: Arc<Waiting>,
    urgent: Arc<Notify>,
    commit_patience: Duration,
    /// Whether the disk refused a write since that was asked last.
    was_refused: Arc<AtomicBool>,
    /// Whether its name was made up just now.
    is_new: bool,
}

/// What an append waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The log has it, on disk.
    Logged,
    /// The database has it.
    Committed,
}

/// Events that were appended and are not acknowledged yet.
#[derive(Debug)]
pub struct Appended {
    parts: VecDeque<Part>,
    /// Of the parts that are committed.
    outcomes: Vec<Outcome>,
    /// Those that are in the log, and what others appended between them.
    logged: Option<Range<u64>>,
    give_up_at: Instant,
    was_refused: Arc<AtomicBool>,
}

/// Records that are written together.
#[derive(Debug)]
struct Part {
    records: u64,
    /// `None` once they are in the log.
    appending: Option<Appending>,
    committed: Option<oneshot::Receiver<Vec<Outcome>>>,
}

/// What an acknowledgement says.
#[derive(Debug)]
pub enum Acknowledged {
    /// All are in the log.
    Logged,
    /// All are in the database: what became of each, in order.
    Committed(Vec<Outcome>),
    /// All are in the log, but whether they are in the database is not known.
    Unconfirmed,
}

impl Log {
    /// Opens the log in a directory, creating it if need be. Blocks while it reads the whole log. Who
    /// waits for a commit is told after `commit_patience` that it is not known.
    pub fn open(
        directory: &Path,
        settings: Settings,
        commit_patience: Duration,
    ) -> Result<(Self, Recovered), OpenError> {
        // Locks, so that two servers do not both make up a name.
        let (disk, recovered) = disk::Log::open(&directory.join("segments"), settings)?;
        let (id, is_new) = read_or_make_id(directory)?;
        let log = Self {
            disk,
            id,
            is_new,
            was_refused: Arc::default(),
            waiting: Arc::default(),
            urgent: Arc::default(),
            commit_patience,
        };
        Ok((log, recovered))
    }

    /// Its own name.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether its name was made up when it was opened, so that no database can know it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Appends records of events ([`event::Records`]), in order. Waits while more than the log's queue
    /// holds are under way. Those of one call need not be safe together.
    pub async fn append(
        &self,
        mut records: Vec<Bytes>,
        until: Until,
    ) -> Result<Appended, ApiError> {
        let mut appended = Appended {
            parts: VecDeque::new(),
            outcomes: Vec::new(),
            logged: None,
            give_up_at: Instant::now() + self.commit_patience,
            was_refused: Arc::clone(&self.was_refused),
        };
        loop {
            // Nearly always all of them: only JSON can be much longer than what it came in.
            let rest = records.split_off(self.disk.group_of(&records));
            let part = self.append_group(records, until).await;
            appended.parts.push_back(part.map_err(api_error)?);
            if rest.is_empty() {
                return Ok(appended);
            }
            records = rest;
        }
    }

    async fn append_group(&self, records: Vec<Bytes>, until: Until) -> Result<Part, AppendError> {
        let (announce, committed) = match until {
            Until::Logged => (None, None),
            Until::Committed => {
                let (reply, committed) = oneshot::channel();
                let (waiting, urgent) = (Arc::clone(&self.waiting), Arc::clone(&self.urgent));
                let count = records.len();
                let announce: disk::Announce = Box::new(move |first| {
                    waiting.add(first, count, reply);
                    urgent.notify_one();
                });
                (Some(announce), Some(committed))
            }
        };
        let count = records.len() as u64;
        let appending = self.disk.begin_append(records, announce).await?;
        Ok(Part {
            records: count,
            appending: Some(appending),
            committed,
        })
    }

    /// Whether events are taken: it has room, and the disk refused none since this was asked last. So
    /// who sends nothing to a log that was refused finds out, in time, whether it takes events again.
    pub fn takes_events(&self) -> bool {
        let was_refused = self.was_refused.swap(false, Ordering::Relaxed);
        self.check_room().is_ok() && !was_refused
    }

    /// Whether an event has room; to be asked before any work is spent on it.
    pub fn check_room(&self) -> Result<(), ApiError> {
        if self.failure().is_some() {
            return Err(ApiError::LogUnavailable);
        }
        let usage = self.disk.usage();
        let queued = self.disk.queued_bytes() as u64;
        // What waits may start a segment or two.
        match usage.used_bytes + queued + HEADROOM_BYTES < usage.max_bytes {
            true => Ok(()),
            false => Err(ApiError::LogFull),
        }
    }

    /// Tells the callers of records from number `first` on what became of them.
    pub fn settle(&self, first: u64, outcomes: &[Outcome]) {
        self.waiting.settle(first, outcomes);
    }

    /// Forgets callers that no longer wait.
    pub fn sweep(&self) {
        self.waiting.sweep();
    }

    /// Returns when somebody waits for a commit, so that it is not put off.
    pub async fn urgent(&self) {
        while self.waiting.is_empty() {
            self.urgent.notified().await;
        }
    }

    /// Bytes that wait to be written to disk.
    pub fn queued_bytes(&self) -> usize {
        self.disk.queued_bytes()
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        self.disk.usage()
    }

    /// Why it takes nothing any more until it is opened anew, if so.
    pub fn failure(&self) -> Option<String> {
        self.disk.failure()
    }

    /// A reader whose first record is number `from`.
    pub fn reader(&self, from: u64) -> disk::Reader {
        self.disk.reader(from)
    }

    /// Deletes segments all of whose records are before `below_exclusive`; returns the bytes freed.
    pub async fn trim(&self, below_exclusive: u64) -> Result<u64, AppendError> {
        self.disk.trim(below_exclusive).await
    }

    /// Writes what waits, seals the log and gives its directory free. Later appends fail; readers end
    /// after what is there.
    pub async fn close(&self) {
        self.disk.clone().close().await;
    }
}

/// Kept free for headers and the seal when room is asked for.
const HEADROOM_BYTES: u64 = 64 << 10;

impl Appended {
    /// A range of records that covers those which are in the log.
    pub fn logged(&self) -> Option<Range<u64>> {
        self.logged.clone()
    }

    /// Waits for what the append was asked to wait for. Dropping the future loses nothing.
    pub async fn acknowledged(&mut self) -> Result<Acknowledged, ApiError> {
        for part in &mut self.parts {
            if let Some(appending) = &mut part.appending {
                let safe = appending.safe().await;
                if let Err(AppendError::NotWritten(_)) = safe {
                    self.was_refused.store(true, Ordering::Relaxed);
                }
                let first = safe.map_err(api_error)?;
                part.appending = None;
                cover(&mut self.logged, Some(first..first + part.records));
            }
        }
        while let Some(part) = self.parts.front_mut() {
            let Some(committed) = &mut part.committed else {
                return Ok(Acknowledged::Logged);
            };
            match tokio::time::timeout_at(self.give_up_at, committed).await {
                Ok(Ok(outcomes)) => self.outcomes.extend(outcomes),
                Ok(Err(_)) | Err(_) => return Ok(Acknowledged::Unconfirmed),
            }
            self.parts.pop_front();
        }
        Ok(Acknowledged::Committed(std::mem::take(&mut self.outcomes)))
    }
}

/// Widens a range so that it covers another, too.
pub fn cover(range: &mut Option<Range<u64>>, other: Option<Range<u64>>) {
    *range = match (range.take(), other) {
        (Some(one), Some(other)) => Some(one.start.min(other.start)..one.end.max(other.end)),
        (one, other) => one.or(other),
    };
}

fn api_error(error: AppendError) -> ApiError {
    match error {
        AppendError::Full { .. } => ApiError::LogFull,
        AppendError::Closed => ApiError::ShuttingDown,
        AppendError::NotWritten(_) | AppendError::Failed(_) => {
            tracing::error!(%error, "events cannot be logged");
            ApiError::LogUnavailable
        }
        // An event is smaller than a group, so this is a fault of ours.
        AppendError::TooLarge { .. } => {
            tracing::error!(%error, "events cannot be logged");
            ApiError::Internal
        }
    }
}

/// The log's name, made up if it has none.
fn read_or_make_id(directory: &Path) -> io::Result<(Uuid, bool)> {
    let path = directory.join("id");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let id = Uuid::try_parse(text.trim()).map_err(|_| {
                let fault = format!("{} does not hold a UUID", path.display());
                io::Error::new(io::ErrorKind::InvalidData, fault)
            })?;
            Ok((id, false))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::now_v7();
            let unfinished = directory.join("id.new");
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(OWNER_ONLY)
                .open(&unfinished)?;
            writeln!(file, "{id}")?;
            file.sync_all()?;
            std::fs::rename(unfinished, path)?;
            File::open(directory)?.sync_all()?;
            Ok((id, true))
        }
        Err(error) => Err(error),
    }
}
