//! The log's format and its rules of recovery a second time, from their description and without the
//! first's concerns: slow, and short enough to be seen to be right.

use crate::memory::Disk;

pub const SEGMENT_HEADER: usize = 28;
const RECORD_HEADER: usize = 20;
/// The largest sequence number.
pub const MAX_SEQUENCE: u64 = i64::MAX as u64;

/// What an opened log must contain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The first record's number.
    pub oldest: u64,
    pub records: Vec<Vec<u8>>,
}

impl Contents {
    pub fn next(&self) -> u64 {
        self.oldest + self.records.len() as u64
    }
}

pub fn segment_name(first: u64) -> String {
    format!("{first:016x}.log")
}

pub fn segment_header(version: u32, salt: u32, first: u64) -> Vec<u8> {
    let mut bytes = b"TALLYLOG".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(salt.to_le_bytes());
    bytes.extend(first.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

/// A record whose length need not be its payload's; the checksum is over the payload there is.
pub fn record(salt: u32, length: u32, sequence: u64, index: u32, payload: &[u8]) -> Vec<u8> {
    let numbers = [
        &length.to_le_bytes()[..],
        &sequence.to_le_bytes(),
        &index.to_le_bytes(),
    ]
    .concat();
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(&numbers);
    crc.update(payload);
    let crc = crc.finalize().to_le_bytes();
    [&numbers[..4], &crc, &numbers[4..], payload].concat()
}

struct Record<'b> {
    sequence: u64,
    index: u32,
    payload: &'b [u8],
}

/// The record at the start of these bytes, if its checksum is right.
fn parse(bytes: &[u8], salt: u32) -> Option<Record<'_>> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let sequence = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
    let index = u32::from_le_bytes(bytes.get(16..20)?.try_into().ok()?);
    let payload = bytes.get(RECORD_HEADER..)?.get(..length as usize)?;
    let framed = record(salt, length, sequence, index, payload);
    bytes.starts_with(&framed).then_some(Record {
        sequence,
        index,
        payload,
    })
}

/// What a log of these files contains once it is open; `None` if opening must be refused.
pub fn recovered(disk: &Disk) -> Option<Contents> {
    let mut contents: Option<Contents> = None;
    let last = disk.keys().next_back();
    for (name, bytes) in disk {
        let first = u64::from_str_radix(name.strip_suffix(".log")?, 16).ok()?;
        if first > MAX_SEQUENCE {
            return None;
        }
        let contents = contents.get_or_insert_with(|| Contents {
            oldest: first,
            records: Vec::new(),
        });
        if first != contents.next() {
            return None;
        }
        let is_last = Some(name) == last;
        match header(bytes, first)? {
            Some(salt) => segment(bytes, salt, is_last, contents)?,
            // An interrupted creation.
            None if is_last && bytes.len() <= SEGMENT_HEADER => {}
            None => return None,
        }
    }
    Some(contents.unwrap_or_default())
}

/// The salt if the header is whole; `None` if another version wrote it.
fn header(bytes: &[u8], first: u64) -> Option<Option<u32>> {
    let number = |at: usize| {
        let number = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(number.try_into().ok()?))
    };
    let (Some(version), Some(salt)) = (number(8), number(12)) else {
        return Some(None);
    };
    let Some(claimed) = bytes.get(16..24) else {
        return Some(None);
    };
    let claimed = u64::from_le_bytes(claimed.try_into().ok()?);
    if !bytes.starts_with(&segment_header(version, salt, claimed)) {
        return Some(None);
    }
    if version != 1 {
        return None;
    }
    Some((claimed == first).then_some(salt))
}

/// Adds a segment's records; `None` if it is corrupt.
fn segment(bytes: &[u8], salt: u32, is_last: bool, contents: &mut Contents) -> Option<()> {
    let mut rest = &bytes[SEGMENT_HEADER..];
    let mut index = None;
    while !rest.is_empty() {
        let wanted = contents.next();
        let whole = parse(rest, salt).filter(|record| {
            let next_index = index.and_then(|index: u32| index.checked_add(1));
            let in_place = record.index == 0 || Some(record.index) == next_index;
            record.sequence == wanted && wanted < MAX_SEQUENCE && in_place
        });
        let Some(record) = whole else {
            return (is_last && !later_group(rest, salt, wanted)).then_some(());
        };
        index = Some(record.index);
        contents.records.push(record.payload.to_vec());
        rest = &rest[RECORD_HEADER + record.payload.len()..];
    }
    Some(())
}

/// Whether behind the damage there is a record that was written after the damaged one was safe.
fn later_group(damaged: &[u8], salt: u32, sequence: u64) -> bool {
    // So many records at most are in so many bytes.
    let most = (damaged.len() / RECORD_HEADER) as u64;
    (1..damaged.len()).any(|at| {
        parse(&damaged[at..], salt).is_some_and(|record| {
            let group = record.sequence.checked_sub(u64::from(record.index));
            group.is_some_and(|group| group > sequence) && record.sequence - sequence <= most
        })
    })
}
