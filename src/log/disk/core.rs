//! The log's state and every change to it, without threads: what the model test drives.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::error::{AppendError, OpenError};
use super::files::{Files, LogFile, write_all};
use super::format::{
    MAX_SEQUENCE, SEGMENT_HEADER, SegmentHeader, encode_record, framed_bytes, segment_name,
};
use super::recovery::{Recovered, recover};
use super::{Settings, Usage};

/// A segment as far as it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    pub first: u64,
    pub bytes: u64,
}

/// The segment that is written to.
#[derive(Debug)]
pub struct Active {
    pub file: Arc<dyn LogFile>,
    pub salt: u32,
    pub bytes: u64,
}

/// How far readers may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frontier {
    pub next: u64,
    pub closed: bool,
}

#[derive(Debug)]
pub struct State {
    /// Oldest first, never empty.
    pub segments: VecDeque<SegmentInfo>,
    pub next: u64,
    pub failure: Option<String>,
}

/// What the writer and the readers share.
#[derive(Debug)]
pub struct Shared {
    pub files: Arc<dyn Files>,
    pub settings: Settings,
    pub frontier: watch::Sender<Frontier>,
    state: Mutex<State>,
}

impl Shared {
    /// Held for look-ups and updates only, never during I/O.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn usage(&self) -> Usage {
        let state = self.state();
        Usage {
            used_bytes: state.segments.iter().map(|segment| segment.bytes).sum(),
            max_bytes: self.settings.max_bytes,
            oldest: state.segments.front().map_or(0, |segment| segment.first),
            next: state.next,
        }
    }

    pub fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }
}

/// The one that writes.
#[derive(Debug)]
pub struct Core {
    shared: Arc<Shared>,
    active: Active,
    buffer: Vec<u8>,
}

impl Core {
    pub fn open(files: Arc<dyn Files>, settings: Settings) -> Result<(Self, Recovered), OpenError> {
        let whole = recover(&*files)?;
        let frontier = Frontier {
            next: whole.next,
            closed: false,
        };
        let state = State {
            segments: whole.segments,
            next: whole.next,
            failure: None,
        };
        let shared = Shared {
            files,
            settings,
            frontier: watch::Sender::new(frontier),
            state: Mutex::new(state),
        };
        let core = Self {
            shared: Arc::new(shared),
            active: whole.active,
            buffer: Vec::new(),
        };
        Ok((core, whole.recovered))
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether so many bytes more fit behind `pending` ones that are going to be written.
    pub fn check_room(&self, pending: usize, bytes: usize) -> Result<(), AppendError> {
        let usage = self.shared.usage();
        // A group may start a segment.
        let used_bytes = usage.used_bytes + pending as u64;
        if used_bytes + (bytes + SEGMENT_HEADER) as u64 > usage.max_bytes {
            return Err(AppendError::Full {
                used_bytes,
                max_bytes: usage.max_bytes,
            });
        }
        Ok(())
    }

    /// Writes a group and fsyncs it; returns its first sequence number, which `announce` gets before
    /// any reader can see the group. The caller has checked that there is room, and that it is at
    /// most `group_bytes`.
    pub fn write_group<'r>(
        &mut self,
        records: impl Iterator<Item = &'r Bytes> + Clone,
        announce: impl FnOnce(u64),
    ) -> Result<u64, AppendError> {
        self.check_failure()?;
        let bytes: u64 = records
            .clone()
            .map(|record| framed_bytes(std::slice::from_ref(record)) as u64)
            .sum();
        let first = self.shared.state().next;
        if bytes == 0 {
            return Ok(first);
        }
        // Nobody counts that far: this log started near the end, so somebody made up its files.
        if records.clone().count() as u64 > MAX_SEQUENCE - first {
            return Err(AppendError::Failed("no sequence numbers are left".into()));
        }
        if self.active.bytes + bytes > self.shared.settings.segment_bytes {
            self.start_segment()?;
        }

        self.buffer.clear();
        let mut next = first;
        for (index, record) in (0..).zip(records) {
            encode_record(&mut self.buffer, self.active.salt, next, index, record);
            next += 1;
        }
        if let Err(error) = write_all(&*self.active.file, &self.buffer, self.active.bytes) {
            return Err(self.undo_write(&error));
        }
        if let Err(error) = self.active.file.sync() {
            // Best effort, so that what nobody was promised is not there after a restart.
            let _recovery_cuts_it_too = self.active.file.truncate(self.active.bytes);
            return Err(self.fail("fsync of a segment", &error));
        }
        self.active.bytes += bytes;
        announce(first);
        {
            let mut state = self.shared.state();
            state.next = next;
            if let Some(segment) = state.segments.back_mut() {
                segment.bytes = self.active.bytes;
            }
        }
        self.shared
            .frontier
            .send_modify(|frontier| frontier.next = next);
        Ok(first)
    }

    /// Deletes segments before `below_exclusive`, never the last; returns the bytes freed.
    pub fn trim(&mut self, below_exclusive: u64) -> Result<u64, AppendError> {
        self.check_failure()?;
        let mut freed = 0;
        loop {
            let oldest = {
                let mut state = self.shared.state();
                match state.segments.get(1) {
                    Some(second) if second.first <= below_exclusive => {}
                    _ => return Ok(freed),
                }
                state.segments.pop_front()
            };
            let Some(oldest) = oldest else {
                return Ok(freed);
            };
            let name = segment_name(oldest.first);
            match self.shared.files.remove(&name) {
                Ok(()) => {}
                // Somebody was quicker. Trying for ever would leave the log full.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.shared.state().segments.push_front(oldest);
                    return Err(AppendError::NotWritten(format!("deleting {name}: {error}")));
                }
            }
            // Before the next one goes: else a crash could bring back an older one, and a gap.
            if let Err(error) = self.shared.files.sync() {
                return Err(self.fail("fsync of the directory", &error));
            }
            freed += oldest.bytes;
        }
    }

    /// Starts a segment if the last one has records: its existence proves that they are all there.
    pub fn seal(&mut self) -> Result<(), AppendError> {
        self.check_failure()?;
        if self.active.bytes > SEGMENT_HEADER as u64 {
            self.start_segment()?;
        }
        Ok(())
    }

    fn start_segment(&mut self) -> Result<(), AppendError> {
        let first = self.shared.state().next;
        match create_segment(&*self.shared.files, first) {
            Ok(active) => {
                self.shared.state().segments.push_back(SegmentInfo {
                    first,
                    bytes: active.bytes,
                });
                self.active = active;
                Ok(())
            }
            Err(error) => {
                // A leftover would claim that the segment before it ends here.
                let name = segment_name(first);
                let removed = match self.shared.files.remove(&name) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => self.shared.files.sync(),
                };
                match removed {
                    Ok(()) => Err(AppendError::NotWritten(error.to_string())),
                    Err(_) => Err(self.fail("starting a segment", &error)),
                }
            }
        }
    }

    fn undo_write(&mut self, error: &io::Error) -> AppendError {
        let file = &self.active.file;
        let undone = file.truncate(self.active.bytes).and_then(|()| file.sync());
        match undone {
            Ok(()) => AppendError::NotWritten(error.to_string()),
            Err(_) => self.fail("writing to a segment", error),
        }
    }

    fn check_failure(&self) -> Result<(), AppendError> {
        self.shared
            .failure()
            .map_or(Ok(()), |failure| Err(AppendError::Failed(failure)))
    }

    fn fail(&mut self, what: &str, error: &io::Error) -> AppendError {
        let failure = format!("{what}: {error}");
        self.shared.state().failure = Some(failure.clone());
        AppendError::Failed(failure)
    }
}

/// Ends readers, after what is there, and lets the next opener in, even after a panic.
impl Drop for Core {
    fn drop(&mut self) {
        self.shared
            .frontier
            .send_modify(|frontier| frontier.closed = true);
        self.shared.files.unlock();
    }
}

/// Creates a segment, durably.
pub fn create_segment(files: &dyn Files, first: u64) -> io::Result<Active> {
    let salt = rand::random();
    let file = files.create(&segment_name(first))?;
    write_all(&*file, &SegmentHeader { first, salt }.encode(), 0)?;
    file.sync()?;
    files.sync()?;
    Ok(Active {
        file,
        salt,
        bytes: SEGMENT_HEADER as u64,
    })
}
