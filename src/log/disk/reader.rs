//! Reading the log in order, as far as it is safe, and waiting for more.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::core::{Frontier, SegmentInfo, Shared};
use super::error::{Corruption, ReadError};
use super::format::{HeaderFault, segment_name};
use super::segment::{Cursor, Fault};

/// Consecutive records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The first record's sequence number.
    pub first: u64,
    /// At least one.
    pub records: Vec<Bytes>,
}

impl Batch {
    /// The sequence number after the last record: the position to commit.
    pub fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }
}

/// Reads a log from some record on. Any number of them can read; none changes the log.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    frontier: watch::Receiver<Frontier>,
    next: u64,
    cursor: Option<Cursor>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, from: u64) -> Self {
        Self {
            frontier: shared.frontier.subscribe(),
            shared,
            next: from,
            cursor: None,
        }
    }

    /// The number of the record that is read next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Waits until at least so many records are there to be read, or the log is closed.
    pub async fn wait_for(&mut self, records: u64) {
        let wanted = self.next.saturating_add(records);
        // The sender lives in `shared`, which this holds.
        let _reached = self
            .frontier
            .wait_for(|frontier| frontier.next >= wanted || frontier.closed)
            .await;
    }

    /// Waits until there are records, and returns some: at most `max_records`, and at most
    /// `max_bytes` of payload unless the first one alone is larger. `None` when the log was closed
    /// and everything was read. Dropping the future loses nothing; after an error the position is
    /// unchanged.
    pub async fn next_batch(
        &mut self,
        max_bytes: usize,
        max_records: usize,
    ) -> Result<Option<Batch>, ReadError> {
        let wanted = self.next;
        let frontier = self
            .frontier
            .wait_for(|frontier| frontier.next != wanted || frontier.closed)
            .await
            .map(|frontier| *frontier);
        // The sender lives in `shared`, which this holds.
        if frontier.is_ok_and(|frontier| frontier.next == wanted) {
            return Ok(None);
        }
        let shared = Arc::clone(&self.shared);
        let mut cursor = self.cursor.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let records = read(&shared, &mut cursor, wanted, max_bytes, max_records)?;
            Ok::<_, ReadError>((records, cursor))
        });
        let (records, cursor) = reading.await.map_err(io::Error::other)??;
        Ok(self.advance(records, cursor))
    }

    /// The same without waiting, blocking while it reads; `None` if there is nothing now.
    pub fn try_next_batch(
        &mut self,
        max_bytes: usize,
        max_records: usize,
    ) -> Result<Option<Batch>, ReadError> {
        let mut cursor = self.cursor.clone();
        let records = read(&self.shared, &mut cursor, self.next, max_bytes, max_records)?;
        Ok(self.advance(records, cursor))
    }

    fn advance(&mut self, records: Vec<Bytes>, cursor: Option<Cursor>) -> Option<Batch> {
        let first = self.next;
        self.next += records.len() as u64;
        self.cursor = cursor;
        (!records.is_empty()).then_some(Batch { first, records })
    }
}

/// The records from `wanted` on; none if it is the log's end.
fn read(
    shared: &Shared,
    cursor: &mut Option<Cursor>,
    wanted: u64,
    max_bytes: usize,
    max_records: usize,
) -> Result<Vec<Bytes>, ReadError> {
    let Some(segment) = locate(shared, wanted)? else {
        return Ok(Vec::new());
    };
    let mut at = match cursor.take() {
        Some(cursor) if cursor.first == segment.first && cursor.sequence <= wanted => cursor,
        _ => Cursor::open(&*shared.files, segment.first)
            .map_err(|fault| open_error(shared, segment, wanted, fault))?,
    };
    while at.sequence < wanted {
        let skip = usize::try_from(wanted - at.sequence).unwrap_or(usize::MAX);
        if read_at(&mut at, segment, max_bytes, skip)?.is_empty() {
            return Err(at.corruption("the segment ends too early").into());
        }
    }
    let records = read_at(&mut at, segment, max_bytes, max_records)?;
    if records.is_empty() {
        return Err(at.corruption("the segment ends too early").into());
    }
    *cursor = Some(at);
    Ok(records)
}

/// The segment that holds a record; `None` if the record is the next one to be written.
fn locate(shared: &Shared, wanted: u64) -> Result<Option<SegmentInfo>, ReadError> {
    let state = shared.state();
    let next = state.next;
    if wanted > next {
        return Err(ReadError::Beyond { wanted, next });
    }
    let after = state
        .segments
        .partition_point(|segment| segment.first <= wanted);
    let Some(segment) = after.checked_sub(1).and_then(|at| state.segments.get(at)) else {
        let oldest = state.segments.front().map_or(next, |segment| segment.first);
        return Err(ReadError::Trimmed { wanted, oldest });
    };
    Ok((wanted < next).then_some(*segment))
}

fn read_at(
    at: &mut Cursor,
    segment: SegmentInfo,
    max_bytes: usize,
    max_records: usize,
) -> Result<Vec<Bytes>, ReadError> {
    at.read(segment.bytes, max_bytes, max_records)
        .map_err(|fault| match fault {
            Fault::Io(error) => ReadError::Io(error),
            Fault::Record(problem) => at.corruption(problem).into(),
            Fault::Header(_) => at.corruption("the segment's header is damaged").into(),
        })
}

fn open_error(shared: &Shared, segment: SegmentInfo, wanted: u64, fault: Fault) -> ReadError {
    let problem = match fault {
        // Trimmed between look-up and open, or deleted by somebody.
        Fault::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            return match locate(shared, wanted) {
                Err(trimmed) => trimmed,
                Ok(_) => ReadError::Io(error),
            };
        }
        Fault::Io(error) => return ReadError::Io(error),
        Fault::Header(HeaderFault::Damaged(problem)) | Fault::Record(problem) => problem,
        Fault::Header(HeaderFault::Version(_)) => "the header's version changed",
    };
    ReadError::Corrupt(Corruption {
        file: segment_name(segment.first),
        offset: 0,
        sequence: segment.first,
        problem,
    })
}
