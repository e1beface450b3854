//! A log's life, told by the input, beside a plain list of what was acknowledged.

use bytes::Bytes;
use tallymark::log::disk::Log;

use crate::format::{Contents, SEGMENT_HEADER, recovered};
use crate::input::Input;
use crate::memory::{Disk, Memory};
use crate::{append, assert_read, assert_refused, open, wait};

/// Pages of a torn write reach the disk or not, each for itself.
const PAGE: usize = 8;
const MOST_STEPS: usize = 64;

struct Life {
    files: Memory,
    log: Log,
    /// What was acknowledged and not trimmed.
    safe: Contents,
    minted: u8,
}

/// Runs the program until its end.
pub fn run(input: &mut Input) {
    let files = Memory::default();
    let safe = Contents::default();
    let (log, _) = open(&files, &safe, input);
    let mut life = Life {
        files,
        log,
        safe,
        minted: 0,
    };
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 10 {
            0..=3 => life.append(input),
            4 => life.trim(input),
            5 => life.close(input),
            6 => life.stop_at(life.files.contents(), input),
            7 => life.tear_an_append(input),
            8 => life.flip_a_bit(input),
            _ => life.cut_the_end(input),
        }
        assert_read(&life.log, &life.safe, input);
    }
    life.close(input);
    wait(life.log.close());
}

impl Life {
    /// One to three records that are like no others nearby.
    fn records(&mut self, input: &mut Input) -> Vec<Bytes> {
        let mut record = || {
            self.minted = self.minted.wrapping_add(1);
            Bytes::from(vec![self.minted; usize::from(input.byte() % 64)])
        };
        let mut records = vec![record()];
        while records.len() < 3 && records.last().is_some_and(|last| last.len() % 2 == 1) {
            records.push(record());
        }
        records
    }

    fn append(&mut self, input: &mut Input) {
        let records = self.records(input);
        let first = append(&self.log, records.clone());
        assert_eq!(first, Ok(self.safe.next()));
        let records = records.into_iter().map(|record| record.to_vec());
        self.safe.records.extend(records);
    }

    fn trim(&mut self, input: &mut Input) {
        let part = u64::from(input.byte());
        let below = self.safe.oldest + self.safe.records.len() as u64 * part / 255;
        wait(self.log.trim(below)).expect("trimming");
        let oldest = self.log.usage().oldest;
        assert!(self.safe.oldest <= oldest && oldest <= below);
        let trimmed = (oldest - self.safe.oldest) as usize;
        self.safe.records.drain(..trimmed);
        self.safe.oldest = oldest;
    }

    fn close(&mut self, input: &mut Input) {
        wait(self.log.clone().close());
        let (log, recovered) = open(&self.files, &self.safe, input);
        assert_eq!(recovered.dropped_bytes, 0);
        self.log = log;
    }

    /// Goes on with what is on the disk when everything stops: what was acknowledged, and no more.
    fn stop_at(&mut self, disk: Disk, input: &mut Input) {
        assert_eq!(recovered(&disk).as_ref(), Some(&self.safe));
        self.files = Memory::with(disk);
        let stopped = self.log.clone();
        (self.log, _) = open(&self.files, &self.safe, input);
        // What it still writes goes nowhere; its thread must not outlive the run.
        wait(stopped.close());
    }

    /// Power goes during an append: of its bytes any pages are there. What was acknowledged stays.
    fn tear_an_append(&mut self, input: &mut Input) {
        let before = self.files.contents();
        let records = self.records(input);
        append(&self.log, records.clone()).expect("an append");
        let mut disk = self.files.contents();
        if let Some(mut last) = disk.last_entry() {
            let from = before.get(last.key()).map_or(SEGMENT_HEADER, Vec::len);
            let pages = last.get_mut()[from..].chunks_mut(PAGE);
            for (at, page) in pages.enumerate() {
                if at % 8 == 0 && input.byte() & 1 == 0 {
                    continue;
                }
                if input.byte() & 1 == 1 {
                    page.fill(0);
                }
            }
            let len = from.max(last.get().len().saturating_sub(input.byte().into()));
            last.get_mut().truncate(len);
        }
        let there = recovered(&disk).expect("a torn write is no corruption");
        let torn = there.records.len().checked_sub(self.safe.records.len());
        let torn = torn.expect("what was acknowledged is there");
        let records = records.into_iter().map(|record| record.to_vec());
        self.safe.records.extend(records.take(torn));
        self.stop_at(disk, input);
    }

    /// Damage is found, or looks like a torn end and costs records of the last group only.
    fn flip_a_bit(&mut self, input: &mut Input) {
        let whole = self.files.contents();
        let mut disk = whole.clone();
        let (file, at) = (input.byte(), input.byte());
        let file = usize::from(file) % disk.len();
        let Some(bytes) = disk.values_mut().nth(file) else {
            return;
        };
        let at = (usize::from(at) << 2 | usize::from(input.byte() & 3)) % bytes.len();
        bytes[at] ^= 1 << (input.byte() % 8);
        match recovered(&disk) {
            None => {
                assert_refused(&disk);
                self.stop_at(whole, input);
            }
            Some(there) => {
                assert!(self.safe.records.starts_with(&there.records));
                assert!(there.records.len() + 3 >= self.safe.records.len());
                assert_eq!(file + 1, whole.len(), "damage before the last segment");
                self.safe = there;
                self.stop_at(disk, input);
            }
        }
    }

    /// What was behind the cut is lost: nothing can tell it from a torn write.
    fn cut_the_end(&mut self, input: &mut Input) {
        let mut disk = self.files.contents();
        if let Some(mut last) = disk.last_entry() {
            let len = last.get().len().saturating_sub(input.byte().into());
            last.get_mut().truncate(len);
        }
        // A cut header stands for a creation that was interrupted, if nothing is behind it.
        let there = recovered(&disk).expect("a cut end is no corruption");
        assert!(self.safe.records.starts_with(&there.records));
        self.safe = there;
        self.stop_at(disk, input);
    }
}
