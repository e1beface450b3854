//! What the durable log makes of files that anything may have happened to.
//!
//! The input's first byte says what the rest is:
//! - the bytes of a few segments;
//! - descriptions of segments and records that may lie, given right checksums here: to get past them;
//! - a program: appends, trims, crashes, torn writes, flipped bits, cut ends (see [`program`]).
//!
//! Whatever it is, opening and reading must do what [`format`] says of the same bytes, which was
//! written from the log's description alone. [`memory`] fails on a read of more than there is.

#![no_main]

mod format;
mod input;
mod memory;
mod program;

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tallymark::log::disk::{AppendError, Log, OpenError, Recovered, Settings};
use tokio::runtime::{Builder, Runtime};

use crate::format::{Contents, MAX_SEQUENCE, record, recovered, segment_header, segment_name};
use crate::input::Input;
use crate::memory::{Disk, Memory};

/// Small, so that a short program fills several segments.
const SETTINGS: Settings = Settings {
    segment_bytes: 512,
    max_bytes: 1 << 30,
    group_bytes: 256,
    queue_bytes: 4_096,
};

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    match input.byte() % 3 {
        0 => check(&raw(&mut input), &mut input),
        1 => check(&framed(&mut input), &mut input),
        _ => program::run(&mut input),
    }
});

/// Up to three segments as they come.
fn raw(input: &mut Input) -> Disk {
    let mut disk = Disk::new();
    for _ in 0..input.byte() % 4 {
        let first = input.number();
        let len = usize::from(input.byte()) << (input.byte() % 4);
        disk.insert(segment_name(first), input.take(len).to_vec());
    }
    disk
}

/// Segments that are whole unless the input says what is wrong.
fn framed(input: &mut Input) -> Disk {
    let mut disk = Disk::new();
    let mut sequence = input.number();
    for _ in 0..=input.byte() % 4 {
        let lies = input.byte();
        let version = 1 + u32::from(lies & 1 != 0);
        let claimed = if lies & 2 == 0 {
            sequence
        } else {
            input.number()
        };
        let salt = u32::from(input.byte());
        let name = segment_name(sequence);
        let mut bytes = segment_header(version, salt, claimed);
        let mut index = 0_u32;
        for _ in 0..input.byte() % 16 {
            let lies = input.byte();
            let len = input.byte();
            let payload = input.take(len.into());
            let length = if lies & 1 == 0 {
                payload.len() as u64
            } else {
                input.number()
            };
            if lies & 2 != 0 {
                sequence = input.number();
            }
            index = match lies & 12 {
                0 => 0,
                4 => index,
                8 => index.wrapping_add(1),
                _ => input.number() as u32,
            };
            let at = bytes.len();
            bytes.extend(record(salt, length as u32, sequence, index, payload));
            if lies & 16 != 0 {
                bytes[at + 4] ^= 1;
            }
            if lies & 32 != 0 {
                bytes.truncate(bytes.len() - 1);
            }
            sequence = sequence.wrapping_add(1);
        }
        let garbage = input.byte() % 32;
        bytes.extend(input.take(garbage.into()));
        disk.insert(name, bytes);
    }
    disk
}

/// A log of these files is refused, and left alone, or contains what it must, and goes on.
fn check(disk: &Disk, input: &mut Input) {
    let Some(mut expected) = recovered(disk) else {
        return assert_refused(disk);
    };
    let files = Memory::with(disk.clone());
    let (log, _) = open(&files, &expected, input);

    let added = Bytes::copy_from_slice(input.take(20));
    match append(&log, vec![added.clone()]) {
        Ok(sequence) => {
            assert_eq!(sequence, expected.next());
            expected.records.push(added.to_vec());
        }
        Err(error) => assert!(
            matches!(error, AppendError::Failed(_)) && expected.next() == MAX_SEQUENCE,
            "{error}"
        ),
    }
    wait(log.close());

    for _again in 0..2 {
        let sealed = files.contents();
        let (log, recovered) = open(&files, &expected, input);
        assert_eq!(recovered.dropped_bytes, 0);
        wait(log.close());
        assert_eq!(files.contents(), sealed, "opening changed a whole log");
    }
}

/// Opening says what is wrong, and changes nothing.
fn assert_refused(disk: &Disk) {
    let files = Memory::with(disk.clone());
    match Log::open_in(Arc::new(files.clone()), SETTINGS) {
        Err(OpenError::Corrupt(_) | OpenError::Version { .. }) => {}
        Err(error) => panic!("{error}"),
        Ok((log, recovered)) => panic!("opened: {recovered:?}, {:?}", log.usage()),
    }
    assert_eq!(&files.contents(), disk, "a refused log was changed");
}

/// Opens a log that must open, and reads everything in pieces of some size.
fn open(files: &Memory, expected: &Contents, input: &mut Input) -> (Log, Recovered) {
    let (log, recovered) = match Log::open_in(Arc::new(files.clone()), SETTINGS) {
        Ok(opened) => opened,
        Err(error) => panic!("{error}; expected {expected:?}"),
    };
    assert_read(&log, expected, input);
    assert_eq!(recovered.records, expected.records.len() as u64);
    (log, recovered)
}

/// A log reads as it must, from any record on.
fn assert_read(log: &Log, expected: &Contents, input: &mut Input) {
    let usage = log.usage();
    assert_eq!(
        (usage.oldest, usage.next),
        (expected.oldest, expected.next())
    );
    let (max_bytes, max_records) = (input.byte().into(), input.byte().into());
    let skipped = usize::from(input.byte()) % (expected.records.len() + 1);
    for skipped in [0, skipped] {
        let mut reader = log.reader(expected.oldest + skipped as u64);
        let mut read = Vec::new();
        while let Some(batch) = reader
            .try_next_batch(max_bytes, max_records)
            .expect("an open log is whole")
        {
            assert_eq!(batch.first, expected.oldest + (skipped + read.len()) as u64);
            read.extend(batch.records.into_iter().map(|record| record.to_vec()));
        }
        assert_eq!(read, expected.records[skipped..]);
    }
    let beyond = expected.next() + 1;
    assert!(log.reader(beyond).try_next_batch(1, 1).is_err());
}

fn append(log: &Log, records: Vec<Bytes>) -> Result<u64, AppendError> {
    wait(log.append(records))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
