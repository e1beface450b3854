//! The durable log on disk: opaque records, numbered densely, safe before they are acknowledged.
//!
//! # Promise
//! [`Log::append`] returns only after its records, and every record before them, were written and
//! fsynced. What was acknowledged is read back in order, exactly once per reader, or reading fails
//! with an error that names the file and the offset. Nothing is skipped.
//!
//! # Format
//! A directory holds a file `lock` and segments, each named after the first sequence number it can
//! hold: 16 hexadecimal digits and `.log`. All numbers are little-endian. While a log is open, the
//! directory is locked as well as the file, which somebody may take for a leftover and delete.
//! ```text
//! segment:  magic "TALLYLOG" | version u32 = 1 | salt u32 | first sequence u64 | crc u32      28 bytes
//!           record*
//! record:   length u32 | crc u32 | sequence u64 | index u32 | payload [length]           20 + length
//! ```
//! - The segment's crc is CRC-32 over the 24 bytes before it.
//! - The record's crc is CRC-32, started from the segment's salt, over length, sequence, index and
//!   payload. The salt is random: a payload cannot contain something that passes for a record, and a
//!   stale block of another segment does not either.
//! - Records written and fsynced together are a *group*. `index` is the record's place in it, so a
//!   record says: everything before `sequence - index` was on disk when I was written.
//!
//! # Invariants
//! 1. Sequence numbers are dense, within a segment and from one segment to the next, and below 2^63 - 1.
//! 2. A group lies in one segment. A group is written only after the group before it was fsynced.
//! 3. A segment is created only after everything in the segments before it was fsynced, and its
//!    header is fsynced, and the directory, before its first record is written.
//! 4. A segment is at most `segment_bytes` long; all of them together at most `max_bytes`, plus one
//!    header for the seal.
//! 5. Segments are deleted oldest first, with an fsync of the directory after each. The last one
//!    always stays, so the sequence numbers never start over.
//! 6. Readers see only what was fsynced.
//!
//! # Recovery
//! Opening reads every segment and checks every record. What does not check out is either
//! - a *torn tail*: in the last segment, and no valid record behind it belongs to a later group. By
//!   invariant 2 that can be the group a crash interrupted, which was not acknowledged. It is cut off,
//!   and [`Recovered`] says how many bytes went. A header that is damaged in a last segment no longer
//!   than a header is a creation that a crash interrupted, and is written anew;
//! - or *corruption*: anything else. Opening fails, changes nothing, and names the place.
//!
//! Pages of one group reach the disk in any order, so a valid record behind a damaged one is not by
//! itself proof of corruption: only one of a later group is (that is what `index` is for).
//!
//! Then the last segment's header and last group are written again and fsynced: after a failed fsync
//! the page cache may show bytes that never reached the disk, and are no longer marked to go there.
//!
//! Limit: damage to the *last* group of a log that was not sealed looks like a torn tail. Closing
//! seals the log, by starting the next segment, so this window is one group after a crash. A loader
//! whose committed position lies behind the end is told so ([`ReadError::Beyond`]).
//!
//! # Failures while running
//! - A failed write, for example for want of space: the group is cut off again, its callers get
//!   [`AppendError::NotWritten`], and the log goes on. If cutting fails, as below.
//! - A failed fsync is never retried, for a retry may succeed without having written anything. The
//!   log refuses every further append ([`AppendError::Failed`]) until it is opened anew. Readers go
//!   on with what was safe.
//!
//! # Bounds
//! - Waiting appends hold at most `queue_bytes` and number at most [`MAX_QUEUED`]; who comes then
//!   waits, never longer than the disk takes for what is ahead.
//! - A log without room answers [`AppendError::Full`] before anything is written. [`Log::usage`]
//!   tells earlier.
//! - Opening takes time in proportion to the log's size, and memory for one segment at most.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

mod core;
mod error;
mod files;
mod format;
mod reader;
mod recovery;
mod segment;
mod writer;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod process;
#[cfg(test)]
mod space_tests;

pub use self::error::{AppendError, Corruption, OpenError, ReadError};
pub use self::files::{Directory, Files, LogFile, OWNER_ONLY};
pub use self::reader::{Batch, Reader};
pub use self::recovery::Recovered;

use self::core::{Core, Shared};
pub use self::writer::Announce;
use self::writer::{Append, Command};

/// Appends that wait for the writer at most; the budget in bytes is nearly always the tighter bound.
pub const MAX_QUEUED: usize = 4_096;

/// The sizes of a log. [`Settings::check`] says what they must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A segment's length at most; trimming frees whole segments.
    pub segment_bytes: u64,
    /// All segments together at most; then appends are refused.
    pub max_bytes: u64,
    /// Written and fsynced together at most, headers included. Also the bound of one append.
    pub group_bytes: usize,
    /// Payload bytes that wait for the writer at most.
    pub queue_bytes: usize,
}

impl Settings {
    /// Usual sizes for a log of `max_bytes`, at least 32 MiB.
    pub fn of_size(max_bytes: u64, queue_bytes: usize) -> Self {
        const GROUP_BYTES: usize = 8 << 20;
        const MIN_SEGMENT_BYTES: u64 = GROUP_BYTES as u64 + (1 << 20);
        const MAX_SEGMENT_BYTES: u64 = 64 << 20;
        Self {
            segment_bytes: (max_bytes / 16).clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES),
            max_bytes,
            group_bytes: GROUP_BYTES,
            queue_bytes,
        }
    }

    /// Whether the sizes fit each other; the error says which do not.
    pub fn check(&self) -> Result<(), &'static str> {
        let group = u64::try_from(self.group_bytes).unwrap_or(u64::MAX);
        if self.group_bytes <= format::RECORD_HEADER || self.group_bytes > format::MAX_GROUP_BYTES {
            return Err("group_bytes must hold a record, and be at most 256 MiB");
        }
        if group.saturating_add(format::SEGMENT_HEADER as u64) > self.segment_bytes {
            return Err("segment_bytes must hold a group and a header");
        }
        // Else a log whose reader has caught up could be full for ever: its last segment stays.
        if self.segment_bytes.saturating_mul(2) > self.max_bytes {
            return Err("max_bytes must hold two segments");
        }
        let permits = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        if self.queue_bytes == 0 || self.queue_bytes > permits {
            return Err("queue_bytes must be at least 1 and less than 4 GiB");
        }
        Ok(())
    }
}

/// How full a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in segments.
    pub used_bytes: u64,
    /// The limit, [`Settings::max_bytes`].
    pub max_bytes: u64,
    /// The oldest sequence number that can still be read.
    pub oldest: u64,
    /// The sequence number the next record gets; everything before is safe.
    pub next: u64,
}

/// Records that are in the queue.
#[derive(Debug)]
pub struct Appending(oneshot::Receiver<Result<u64, AppendError>>);

impl Appending {
    /// The second half of [`Log::append`]: waits until the records are safe. Dropping the future loses
    /// nothing; to be called until it answers, once.
    pub async fn safe(&mut self) -> Result<u64, AppendError> {
        (&mut self.0)
            .await
            .map_err(|_writer_left| AppendError::Closed)?
    }
}

/// An open log. Clones share it; the last one dropped seals it, as [`Log::close`] does.
#[derive(Debug, Clone)]
pub struct Log {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
    closed: watch::Receiver<bool>,
}

impl Log {
    /// Opens the log in a directory, creating both if need be. Blocks while it reads the whole log.
    pub fn open(directory: &Path, settings: Settings) -> Result<(Self, Recovered), OpenError> {
        let files = Directory::open(directory).map_err(|error| OpenError::from_lock(&error))?;
        Self::open_in(Arc::new(files), settings)
    }

    /// Opens a log in any storage that is locked already.
    pub fn open_in(
        files: Arc<dyn Files>,
        settings: Settings,
    ) -> Result<(Self, Recovered), OpenError> {
        settings.check().map_err(OpenError::Settings)?;
        let (core, recovered) = Core::open(files, settings)?;
        let shared = Arc::clone(core.shared());
        let (queue, commands) = mpsc::channel(MAX_QUEUED);
        let (closed_sender, closed) = watch::channel(false);
        writer::spawn(core, commands, closed_sender).map_err(OpenError::Io)?;
        let log = Self {
            shared,
            queue,
            room: Arc::new(Semaphore::new(settings.queue_bytes)),
            closed,
        };
        Ok((log, recovered))
    }

    /// Appends records in order, and returns the first one's sequence number once all are safe.
    ///
    /// They get consecutive numbers. If it is an error or the future is dropped, they may be in the
    /// log or not; after [`AppendError::Full`] and [`AppendError::TooLarge`] they are not.
    pub async fn append(&self, records: Vec<Bytes>) -> Result<u64, AppendError> {
        self.begin_append(records, None).await?.safe().await
    }

    /// The first half of [`Self::append`]: returns when the records have their place in the queue, so
    /// that appends of one caller can follow one another without waiting for the disk. `announce` is
    /// called on the writer's thread when they are safe, before any reader can see them.
    pub async fn begin_append(
        &self,
        records: Vec<Bytes>,
        announce: Option<Announce>,
    ) -> Result<Appending, AppendError> {
        let bytes = format::framed_bytes(&records);
        let max_bytes = self.shared.settings.group_bytes;
        if bytes > max_bytes {
            return Err(AppendError::TooLarge { bytes, max_bytes });
        }
        let permits = bytes.clamp(1, self.shared.settings.queue_bytes);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(u32::try_from(permits).unwrap_or(u32::MAX))
            .await
            .map_err(|_closed| AppendError::Closed)?;
        let (reply, outcome) = oneshot::channel();
        let append = Append {
            records,
            bytes,
            announce,
            reply,
            _room: room,
        };
        self.queue
            .send(Command::Append(append))
            .await
            .map_err(|_writer_left| AppendError::Closed)?;
        Ok(Appending(outcome))
    }

    /// Deletes the segments all of whose records are before `below_exclusive`; returns the bytes freed.
    pub async fn trim(&self, below_exclusive: u64) -> Result<u64, AppendError> {
        let (reply, outcome) = oneshot::channel();
        self.queue
            .send(Command::Trim {
                below_exclusive,
                reply,
            })
            .await
            .map_err(|_writer_left| AppendError::Closed)?;
        outcome.await.map_err(|_writer_left| AppendError::Closed)?
    }

    /// A reader whose first record is number `from`; it fails on its first read if there is none such.
    pub fn reader(&self, from: u64) -> Reader {
        Reader::new(Arc::clone(&self.shared), from)
    }

    /// How many of these records, from the first on, one append may hold; at least one.
    pub fn group_of(&self, records: &[Bytes]) -> usize {
        let mut bytes = 0;
        let fits = records.iter().take_while(|record| {
            bytes += format::framed_bytes(std::slice::from_ref(record));
            bytes <= self.shared.settings.group_bytes
        });
        fits.count().max(1).min(records.len())
    }

    /// Payload bytes that wait for the writer, headers included.
    pub fn queued_bytes(&self) -> usize {
        let room = self.room.available_permits();
        self.shared.settings.queue_bytes.saturating_sub(room)
    }

    /// How full the log is, now.
    pub fn usage(&self) -> Usage {
        self.shared.usage()
    }

    /// Why the log refuses appends, if it does.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure()
    }

    /// Writes what waits, seals the log and unlocks the directory. Later appends fail.
    pub async fn close(self) {
        let _closing_already = self.queue.send(Command::Close).await;
        let mut closed = self.closed;
        let _writer_left = closed.wait_for(|closed| *closed).await;
    }
}
