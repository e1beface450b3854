//! Reads files and fills batches with their events, in a thread of its own.

use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::ProgressBar;
use prost::Message;
use tokio::sync::mpsc::Sender;

use crate::cli::import::convert::{Converter, SkipReason};
use crate::cli::import::ids::EventIds;
use crate::cli::import::lines::{Line, Lines};
use crate::cli::import::send::Batch;
use crate::cli::import::summary::ReadTally;
use crate::cli::table::decimal;

/// A batch is sent when it reaches this size, well below the server's 4 MiB a message.
const BATCH_BYTES: usize = 2 << 20;
/// Lines between two updates of the progress bar.
const PROGRESS_LINES: u64 = 2048;

/// Reads files in a thread of its own.
pub struct Reader {
    converter: Converter,
    batch_events: usize,
    /// Absent on a dry run; dropped when the sending has stopped.
    sender: Option<Sender<Batch>>,
    batch: Batch,
    tally: ReadTally,
    progress: ProgressBar,
}

/// The sending has stopped, and has said why.
#[derive(Debug)]
struct Stopped;

impl Reader {
    /// A reader whose batches go to `sender`; without one it only counts.
    pub fn new(
        converter: Converter,
        batch_events: usize,
        sender: Option<Sender<Batch>>,
        progress: ProgressBar,
    ) -> Self {
        Self {
            converter,
            batch_events,
            sender,
            batch: Batch::default(),
            tally: ReadTally::default(),
            progress,
        }
    }

    /// Reads the files one after the other. Returns what they held, and why reading ended before the
    /// end of the last one.
    pub fn run(mut self, files: &[PathBuf]) -> (ReadTally, Option<anyhow::Error>) {
        let result = self.read_all(files);
        (self.tally, result.err())
    }

    fn read_all(&mut self, files: &[PathBuf]) -> anyhow::Result<()> {
        let mut result = Ok(());
        let mut bytes_before = 0;
        for (index, path) in files.iter().enumerate() {
            match self.read_file(index, path, &mut bytes_before) {
                Ok(Ok(())) => {}
                Ok(Err(Stopped)) => return Ok(()),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        // What was read before an error is sent all the same: the next run recognises it.
        let _ = self.flush();
        self.sender = None;
        result
    }

    fn read_file(
        &mut self,
        index: usize,
        path: &Path,
        bytes_before: &mut u64,
    ) -> anyhow::Result<Result<(), Stopped>> {
        let mut lines =
            Lines::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut ids = EventIds::default();
        let mut number = 0;
        loop {
            let next = lines.next_line();
            let line = next
                .with_context(|| format!("cannot read {} after line {number}", path.display()))?;
            let Some(line) = line else { break };
            number += 1;
            self.tally.lines += 1;
            if self.take(line, (index, number), &mut ids).is_err() {
                return Ok(Err(Stopped));
            }
            if number % PROGRESS_LINES == 0 {
                self.progress
                    .set_position(*bytes_before + lines.bytes_read());
                self.show_rate();
            }
        }
        *bytes_before += lines.bytes_read();
        self.progress.set_position(*bytes_before);
        Ok(Ok(()))
    }

    fn take(
        &mut self,
        line: Line<'_>,
        origin: (usize, u64),
        ids: &mut EventIds,
    ) -> Result<(), Stopped> {
        let converted = match line {
            Line::Bytes(bytes) => self.converter.convert(bytes, ids),
            Line::TooLong => Err(SkipReason::LineTooLong.into()),
        };
        let event = match converted {
            Ok(event) => event,
            Err(skip) => {
                self.tally.skip(origin, skip);
                return Ok(());
            }
        };
        self.tally.events += 1;
        if self.sender.is_none() {
            return Ok(());
        }
        self.batch.encoded_bytes += event.encoded_len();
        self.batch.request.events.push(event);
        self.batch.origins.push(origin);
        let is_full = self.batch.origins.len() >= self.batch_events
            || self.batch.encoded_bytes >= BATCH_BYTES;
        if is_full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        let Some(sender) = &self.sender else {
            return Ok(());
        };
        if self.batch.origins.is_empty() {
            return Ok(());
        }
        sender
            .blocking_send(std::mem::take(&mut self.batch))
            .map_err(|_| Stopped)
    }

    fn show_rate(&self) {
        let seconds = self.progress.elapsed().as_secs_f64().max(0.001);
        let rate = decimal(self.tally.lines as f64 / seconds, 0);
        self.progress.set_message(format!("{rate} lines/s"));
    }
}
