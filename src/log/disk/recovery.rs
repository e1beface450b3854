//! Opening a log that may have been left in any state. See the module's top for the rules.

use std::collections::VecDeque;

use super::core::{Active, SegmentInfo, create_segment};
use super::error::{Corruption, OpenError};
use super::files::{Files, write_all};
use super::format::{
    HeaderFault, MAX_SEQUENCE, SEGMENT_HEADER, SegmentHeader, VERSION, later_group_follows,
    parse_segment_name, segment_name,
};
use super::segment::{Cursor, Fault};

/// Read at once.
const SCAN_BYTES: usize = 1 << 20;

/// What opening a log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that can be read.
    pub records: u64,
    /// Bytes of an interrupted write that were cut off the end.
    pub dropped_bytes: u64,
    /// Files that are not the log's. They were left alone.
    pub foreign_files: Vec<String>,
}

/// A log that is whole.
pub struct Whole {
    pub segments: VecDeque<SegmentInfo>,
    pub active: Active,
    pub next: u64,
    pub recovered: Recovered,
}

/// Checks the whole log, cuts a torn tail, and makes the end durable.
pub fn recover(files: &dyn Files) -> Result<Whole, OpenError> {
    let mut firsts = Vec::new();
    let mut recovered = Recovered::default();
    for name in files.list()? {
        match parse_segment_name(&name) {
            Some(first) => firsts.push(first),
            None => recovered.foreign_files.push(name),
        }
    }
    firsts.sort_unstable();
    let Some((&last, earlier)) = firsts.split_last() else {
        return create_first(files, recovered);
    };
    if last > MAX_SEQUENCE {
        let fault = HeaderFault::Damaged("the number in the file's name is impossible");
        return Err(in_header(last, Fault::Header(fault)));
    }

    let mut segments = VecDeque::with_capacity(firsts.len());
    for (at, &first) in earlier.iter().enumerate() {
        let bytes = check_sealed(files, first, firsts[at + 1])?;
        segments.push_back(SegmentInfo { first, bytes });
    }
    let cursor = recover_last(files, last, &mut recovered)?;
    segments.push_back(SegmentInfo {
        first: last,
        bytes: cursor.offset,
    });
    recovered.records = cursor.sequence - firsts[0];
    Ok(Whole {
        segments,
        next: cursor.sequence,
        active: Active {
            file: cursor.file,
            salt: cursor.salt,
            bytes: cursor.offset,
        },
        recovered,
    })
}

fn create_first(files: &dyn Files, recovered: Recovered) -> Result<Whole, OpenError> {
    let active = create_segment(files, 0)?;
    let info = SegmentInfo {
        first: 0,
        bytes: active.bytes,
    };
    Ok(Whole {
        segments: VecDeque::from([info]),
        active,
        next: 0,
        recovered,
    })
}

/// Every record of a segment that has a successor; returns its length.
fn check_sealed(files: &dyn Files, first: u64, next_first: u64) -> Result<u64, OpenError> {
    let mut cursor = Cursor::open(files, first).map_err(|fault| in_header(first, fault))?;
    let len = cursor.file.length()?;
    if let Some(problem) = scan(&mut cursor, len)? {
        return Err(cursor.corruption(problem).into());
    }
    if cursor.sequence != next_first {
        return Err(cursor
            .corruption("records are missing between this segment and the next file")
            .into());
    }
    Ok(len)
}

/// The last segment, cut to what is whole in it, all of which is durable afterwards.
fn recover_last(
    files: &dyn Files,
    first: u64,
    recovered: &mut Recovered,
) -> Result<Cursor, OpenError> {
    let file = files.open(&segment_name(first))?;
    let len = file.length()?;
    let mut cursor = match Cursor::at_start(file.clone(), first) {
        Ok(cursor) => cursor,
        // By invariant 3 no record was written yet.
        Err(Fault::Header(HeaderFault::Damaged(_))) if len <= SEGMENT_HEADER as u64 => {
            recovered.dropped_bytes = len;
            let header = SegmentHeader {
                first,
                salt: rand::random(),
            };
            write_all(&*file, &header.encode(), 0)?;
            Cursor::at_start(file, first).map_err(|fault| in_header(first, fault))?
        }
        Err(fault) => return Err(in_header(first, fault)),
    };
    let len = cursor.file.length()?;
    if let Some(problem) = scan(&mut cursor, len)? {
        let tail = usize::try_from(len - cursor.offset).unwrap_or(usize::MAX);
        let tail = cursor.load(tail)?;
        if later_group_follows(&tail, cursor.salt, cursor.sequence) {
            return Err(cursor.corruption(problem).into());
        }
        recovered.dropped_bytes = tail.len() as u64;
        cursor.file.truncate(cursor.offset)?;
    }

    let group = Cursor {
        offset: cursor.group_offset,
        ..cursor.clone()
    };
    let group_bytes = usize::try_from(cursor.offset - group.offset).unwrap_or(usize::MAX);
    let header = SegmentHeader {
        first,
        salt: cursor.salt,
    };
    write_all(&*cursor.file, &header.encode(), 0)?;
    write_all(&*cursor.file, &group.load(group_bytes)?, group.offset)?;
    cursor.file.sync()?;
    files.sync()?;
    Ok(cursor)
}

/// Goes over the records up to byte `len`; what is wrong at the cursor, if anything.
fn scan(cursor: &mut Cursor, len: u64) -> Result<Option<&'static str>, OpenError> {
    loop {
        match cursor.read(len, SCAN_BYTES, usize::MAX) {
            Ok(records) if records.is_empty() => return Ok(None),
            Ok(_) => {}
            Err(Fault::Record(problem)) => return Ok(Some(problem)),
            Err(fault) => return Err(in_header(cursor.first, fault)),
        }
    }
}

fn in_header(first: u64, fault: Fault) -> OpenError {
    let problem = match fault {
        Fault::Io(error) => return OpenError::Io(error),
        Fault::Header(HeaderFault::Version(version)) => {
            return OpenError::Version {
                file: segment_name(first),
                version,
                supported: VERSION,
            };
        }
        Fault::Header(HeaderFault::Damaged(problem)) | Fault::Record(problem) => problem,
    };
    OpenError::Corrupt(Corruption {
        file: segment_name(first),
        offset: 0,
        sequence: first,
        problem,
    })
}
