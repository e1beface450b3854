//! What can go wrong, in words an operator can act on.

use std::io;

/// A place in the log that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "log segment {file} is corrupt at byte {offset}, record {sequence}: {problem}; restore the file \
     from a copy, or move the log directory away to go on without the records in it"
)]
pub struct Corruption {
    /// The segment's file name.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The record expected there.
    pub sequence: u64,
    /// What is wrong.
    pub problem: &'static str,
}

/// Why a log could not be opened. Unless the storage failed, nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another log in this one, holds the directory.
    #[error(
        "the log directory is in use by another server; stop that one, or give this one a directory \
         of its own with TALLYMARK_DATA_DIR or TALLYMARK_EVENT_LOG_DIR"
    )]
    InUse,
    /// Acknowledged records are damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// Written by another version of this program.
    #[error(
        "log segment {file} has format version {version}, this program reads version {supported}"
    )]
    Version {
        /// The segment's file name.
        file: String,
        /// What it says.
        version: u32,
        /// What this program knows.
        supported: u32,
    },
    /// The sizes do not fit each other.
    #[error("log settings: {0}")]
    Settings(&'static str),
    /// The storage failed.
    #[error("cannot open the log: {0}")]
    Io(#[from] io::Error),
}

impl OpenError {
    /// From the error of taking the directory's lock.
    pub(super) fn from_lock(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::InUse,
            kind => Self::Io(io::Error::new(kind, error.to_string())),
        }
    }
}

/// Why records were not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// One append is more than a group may hold. Nothing was written.
    #[error("{bytes} bytes in one append, the log takes {max_bytes}")]
    TooLarge {
        /// With headers.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// No room until the log is trimmed. Nothing was written.
    #[error("the log is full: {used_bytes} of {max_bytes} bytes")]
    Full {
        /// Bytes in segments, and in the group being written.
        used_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The write failed and was undone. Later appends may succeed.
    #[error("cannot write to the log: {0}")]
    NotWritten(String),
    /// The log cannot tell what is on disk, and refuses appends until it is opened anew.
    #[error("the log failed and must be opened anew: {0}")]
    Failed(String),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Acknowledged records are damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The record was deleted.
    #[error("record {wanted} was trimmed, the oldest is {oldest}")]
    Trimmed {
        /// The record asked for.
        wanted: u64,
        /// The oldest there is.
        oldest: u64,
    },
    /// The reader's position is past the end: this is another log, or it lost records.
    #[error(
        "record {wanted} is past the log's end, which is {next}; this log is not the one read before, or lost its end"
    )]
    Beyond {
        /// The record asked for.
        wanted: u64,
        /// The number the next record gets.
        next: u64,
    },
    /// The storage failed; reading again may succeed.
    #[error("cannot read the log: {0}")]
    Io(#[from] io::Error),
}
