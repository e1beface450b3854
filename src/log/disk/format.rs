//! Bytes of headers and records. See the module's top for the layout.

use std::ops::Range;

use bytes::Bytes;

/// Bytes of a segment's header.
pub const SEGMENT_HEADER: usize = 28;
/// Bytes of a record's header.
pub const RECORD_HEADER: usize = 20;
/// A group, and so a record, at most, whatever the settings say.
pub const MAX_GROUP_BYTES: usize = 256 << 20;
/// Sequence numbers are below this, so that a position fits a signed number, which is what databases have.
pub const MAX_SEQUENCE: u64 = i64::MAX as u64;
/// The version this program writes and reads.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"TALLYLOG";
const SUFFIX: &str = ".log";

/// The name of the segment that starts at a sequence number.
pub fn segment_name(first: u64) -> String {
    format!("{first:016x}{SUFFIX}")
}

/// The sequence number a segment's name says; `None` if it is no segment's name.
pub fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let first = u64::from_str_radix(digits, 16).ok()?;
    // Exactly one name for a number: no sign, no capitals, no other width.
    (segment_name(first) == name).then_some(first)
}

/// Bytes that records take with their headers.
pub fn framed_bytes(records: &[Bytes]) -> usize {
    records
        .iter()
        .map(|record| record.len().saturating_add(RECORD_HEADER))
        .fold(0, usize::saturating_add)
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub first: u64,
    pub salt: u32,
}

/// Why bytes are not a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    Damaged(&'static str),
    Version(u32),
}

impl SegmentHeader {
    pub fn encode(self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        if bytes.len() < SEGMENT_HEADER {
            return Err(HeaderFault::Damaged("the file ends within its header"));
        }
        if &bytes[..8] != MAGIC {
            return Err(HeaderFault::Damaged("this is no log segment"));
        }
        // The checksum first: a flipped bit is not another version.
        if crc32fast::hash(&bytes[..24]) != u32_at(bytes, 24) {
            return Err(HeaderFault::Damaged("the header's checksum is wrong"));
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Self {
                salt: u32_at(bytes, 12),
                first: u64_at(bytes, 16),
            }),
            version => Err(HeaderFault::Version(version)),
        }
    }
}

/// A record's header and where its payload is; the checksum was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    pub sequence: u64,
    pub index: u32,
    pub payload_bytes: usize,
}

impl RecordHeader {
    /// Bytes of header and payload.
    pub fn framed_bytes(&self) -> usize {
        RECORD_HEADER + self.payload_bytes
    }
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFault {
    /// So many bytes are needed to tell.
    Incomplete(usize),
    /// No bytes behind these would help.
    Damaged(&'static str),
}

/// Appends a record to a buffer.
pub fn encode_record(out: &mut Vec<u8>, salt: u32, sequence: u64, index: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    debug_assert!(payload.len() <= MAX_GROUP_BYTES, "checked by the caller");
    let crc = checksum(salt, length, sequence, index, payload);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(payload);
}

/// The record at the start of these bytes.
pub fn decode_record(bytes: &[u8], salt: u32) -> Result<RecordHeader, RecordFault> {
    if bytes.len() < RECORD_HEADER {
        return Err(RecordFault::Incomplete(RECORD_HEADER));
    }
    let length = u32_at(bytes, 0);
    let payload_bytes = length as usize;
    if payload_bytes > MAX_GROUP_BYTES {
        return Err(RecordFault::Damaged("a record's length is impossible"));
    }
    let header = RecordHeader {
        sequence: u64_at(bytes, 8),
        index: u32_at(bytes, 16),
        payload_bytes,
    };
    let Some(payload) = bytes.get(RECORD_HEADER..header.framed_bytes()) else {
        return Err(RecordFault::Incomplete(header.framed_bytes()));
    };
    if checksum(salt, length, header.sequence, header.index, payload) != u32_at(bytes, 4) {
        return Err(RecordFault::Damaged("a record's checksum is wrong"));
    }
    Ok(header)
}

/// Whether behind damage, in place of record `damaged`, there is a valid record of a later group: then
/// the damaged one was on disk before that was written. `bytes` start at the damage.
pub fn later_group_follows(bytes: &[u8], salt: u32, damaged: u64) -> bool {
    let most = (bytes.len() / RECORD_HEADER) as u64;
    let plausible = damaged + 1..=damaged.saturating_add(most);
    let parts = PartChecksums::new(bytes);
    (1..bytes.len().saturating_sub(RECORD_HEADER - 1)).any(|at| {
        let (sequence, index) = (u64_at(bytes, at + 8), u32_at(bytes, at + 16));
        let length = u32_at(bytes, at);
        let payload_at = at + RECORD_HEADER;
        // Cheap checks before the checksum: this looks at every byte.
        plausible.contains(&sequence)
            && sequence
                .checked_sub(u64::from(index))
                .is_some_and(|group| group > damaged)
            && length as usize <= MAX_GROUP_BYTES.min(bytes.len() - payload_at)
            && parts.continue_checksum(
                header_checksum(salt, length, sequence, index),
                payload_at..payload_at + length as usize,
            ) == u32_at(bytes, at + 4)
    })
}

/// Checksums of parts of some bytes, in a time that does not depend on how long the parts are: a
/// payload can be full of what looks like the headers of long records.
struct PartChecksums<'b> {
    bytes: &'b [u8],
    /// Of everything before each multiple of `STEP_BYTES`.
    before_steps: Vec<u32>,
}

const STEP_BYTES: usize = 4 << 10;

impl<'b> PartChecksums<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        let mut before_steps = vec![hasher.clone().finalize()];
        for step in bytes.chunks(STEP_BYTES) {
            hasher.update(step);
            before_steps.push(hasher.clone().finalize());
        }
        Self {
            bytes,
            before_steps,
        }
    }

    /// The checksum of something followed by a part, from the checksum of that something.
    fn continue_checksum(&self, checksum: u32, part: Range<usize>) -> u32 {
        // With `0` for appending so many zero bytes, and a for all before the part and b for all to
        // its end, CRCs being linear: crc(b) = 0(crc(a)) ^ crc(part), and what is asked for is
        // 0(checksum) ^ crc(part) = 0(checksum ^ crc(a)) ^ crc(b).
        let mut appended =
            crc32fast::Hasher::new_with_initial(checksum ^ self.checksum_before(part.start));
        appended.combine(&crc32fast::Hasher::new_with_initial_len(
            0,
            part.len() as u64,
        ));
        appended.finalize() ^ self.checksum_before(part.end)
    }

    fn checksum_before(&self, at: usize) -> u32 {
        let step = at / STEP_BYTES;
        let mut hasher = crc32fast::Hasher::new_with_initial(self.before_steps[step]);
        hasher.update(&self.bytes[step * STEP_BYTES..at]);
        hasher.finalize()
    }
}

fn checksum(salt: u32, length: u32, sequence: u64, index: u32, payload: &[u8]) -> u32 {
    let header = header_checksum(salt, length, sequence, index);
    let mut hasher = crc32fast::Hasher::new_with_initial(header);
    hasher.update(payload);
    hasher.finalize()
}

fn header_checksum(salt: u32, length: u32, sequence: u64, index: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    let mut header = [0; 16];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..12].copy_from_slice(&sequence.to_le_bytes());
    header[12..].copy_from_slice(&index.to_le_bytes());
    hasher.update(&header);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
