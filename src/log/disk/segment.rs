//! Reading the records of one segment, in order, checking each.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::error::Corruption;
use super::files::{Files, LogFile, read_full};
use super::format::{
    HeaderFault, MAX_SEQUENCE, RECORD_HEADER, RecordFault, SEGMENT_HEADER, SegmentHeader,
    decode_record, segment_name,
};

/// Read at once at least, so that small records do not cost a system call each.
const READ_BYTES: usize = 256 << 10;

/// Why no record could be read.
#[derive(Debug)]
pub enum Fault {
    Io(io::Error),
    Header(HeaderFault),
    Record(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A place in a segment, before record `sequence`.
#[derive(Debug, Clone)]
pub struct Cursor {
    pub file: Arc<dyn LogFile>,
    pub first: u64,
    pub salt: u32,
    pub offset: u64,
    pub sequence: u64,
    /// Where the group of the record read last starts.
    pub group_offset: u64,
    /// That record's place in it.
    pub index: Option<u32>,
}

impl Cursor {
    /// Before the first record of the segment that starts at `first`.
    pub fn open(files: &dyn Files, first: u64) -> Result<Self, Fault> {
        Self::at_start(files.open(&segment_name(first))?, first)
    }

    /// Before the first record of an open segment.
    pub fn at_start(file: Arc<dyn LogFile>, first: u64) -> Result<Self, Fault> {
        let mut bytes = [0; SEGMENT_HEADER];
        let read = read_full(&*file, &mut bytes, 0)?;
        let header = SegmentHeader::decode(&bytes[..read]).map_err(Fault::Header)?;
        if header.first != first {
            let fault = HeaderFault::Damaged("the header does not agree with the file's name");
            return Err(Fault::Header(fault));
        }
        Ok(Self {
            file,
            first,
            salt: header.salt,
            offset: SEGMENT_HEADER as u64,
            sequence: first,
            group_offset: SEGMENT_HEADER as u64,
            index: None,
        })
    }

    /// The next records: as many as the limits allow, at least one, none only at byte `end`.
    pub fn read(
        &mut self,
        end: u64,
        max_bytes: usize,
        max_records: usize,
    ) -> Result<Vec<Bytes>, Fault> {
        let left = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut records = Vec::new();
        if left == 0 {
            return Ok(records);
        }
        let mut bytes = self.load(left.min(READ_BYTES.max(max_bytes)))?;
        if let Err(RecordFault::Incomplete(needed)) = decode_record(&bytes, self.salt) {
            if needed > left {
                return Err(Fault::Record("the file ends within a record"));
            }
            bytes = self.load(needed)?;
        }
        let mut taken = 0;
        while !bytes.is_empty() && records.len() < max_records.max(1) {
            let header = match decode_record(&bytes, self.salt) {
                Ok(header) => header,
                // What is behind good records is met again, and judged, on the next call.
                Err(_) if !records.is_empty() => break,
                Err(RecordFault::Incomplete(_)) => {
                    return Err(Fault::Record("the file ends within a record"));
                }
                Err(RecordFault::Damaged(problem)) => return Err(Fault::Record(problem)),
            };
            let in_order = header.sequence == self.sequence
                && header.sequence < MAX_SEQUENCE
                && (header.index == 0
                    || self.index.and_then(|i| i.checked_add(1)) == Some(header.index));
            if !in_order {
                if records.is_empty() {
                    return Err(Fault::Record("a record is out of order"));
                }
                break;
            }
            taken += header.payload_bytes;
            if taken > max_bytes && !records.is_empty() {
                break;
            }
            if header.index == 0 {
                self.group_offset = self.offset;
            }
            let mut record = bytes.split_to(header.framed_bytes());
            records.push(record.split_off(RECORD_HEADER));
            self.offset += header.framed_bytes() as u64;
            self.sequence += 1;
            self.index = Some(header.index);
        }
        Ok(records)
    }

    /// The bytes from here, `len` of them unless the file ends.
    pub fn load(&self, len: usize) -> io::Result<Bytes> {
        let mut buffer = BytesMut::zeroed(len);
        let read = read_full(&*self.file, &mut buffer, self.offset)?;
        buffer.truncate(read);
        Ok(buffer.freeze())
    }

    /// The error that names this place.
    pub fn corruption(&self, problem: &'static str) -> Corruption {
        Corruption {
            file: segment_name(self.first),
            offset: self.offset,
            sequence: self.sequence,
            problem,
        }
    }
}
