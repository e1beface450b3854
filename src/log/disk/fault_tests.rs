//! Damage: flipped bits, cut files, arbitrary bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::core::Core;
use super::fake::{FakeFiles, Faults};
use super::format::{MAX_SEQUENCE, SegmentHeader, encode_record, segment_name};
use super::model_tests::{SMALL, read_all};
use super::{AppendError, OpenError, ReadError, Reader, Recovered};

type Disk = BTreeMap<String, Vec<u8>>;

fn open(disk: Disk) -> Result<(Core, Recovered), OpenError> {
    Core::open(Arc::new(FakeFiles::with(disk)), SMALL)
}

/// Ten groups of two records, in three segments; and their records.
fn written(seal: bool) -> (Disk, Vec<Bytes>) {
    let files = FakeFiles::new(1);
    let (mut core, _) = Core::open(Arc::new(files.clone()), SMALL).unwrap();
    let records: Vec<Bytes> = (0..20_u8).map(|n| Bytes::from(vec![n; 20])).collect();
    for group in records.chunks(2) {
        core.write_group(group.iter(), |_| {}).unwrap();
    }
    if seal {
        core.seal().unwrap();
    }
    (files.contents(), records)
}

#[test]
fn a_flipped_bit_is_an_error_or_costs_the_last_group_only() {
    for seal in [true, false] {
        let (disk, records) = written(seal);
        assert_eq!(disk.len(), if seal { 4 } else { 3 });
        for (name, bytes) in &disk {
            for at in 0..bytes.len() * 8 {
                let mut damaged = disk.clone();
                damaged.get_mut(name).unwrap()[at / 8] ^= 1 << (at % 8);
                let Ok((core, recovered)) = open(damaged) else {
                    continue;
                };
                let (_, read) = read_all(&core);
                assert!(records.starts_with(&read), "bit {at} of {name}");
                if seal {
                    assert_eq!(read, records, "bit {at} of {name}");
                } else {
                    assert!(
                        read.len() >= 18 && recovered.dropped_bytes > 0,
                        "bit {at} of {name}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_found_by_a_reader_of_an_open_log() {
    let (disk, records) = written(false);
    let files = FakeFiles::with(disk.clone());
    let (core, _) = Core::open(Arc::new(files.clone()), SMALL).unwrap();
    let name = disk.keys().next().unwrap();
    let file = super::Files::open(&files, name).unwrap();
    file.write_at(&[0xff], 28 + 40 + 25).unwrap();
    let mut reader = Reader::new(Arc::clone(core.shared()), 0);
    assert_eq!(
        reader.try_next_batch(1_000, 99).unwrap().unwrap().records,
        records[..1]
    );
    for _again in 0..2 {
        let error = reader.try_next_batch(1_000, 99).unwrap_err();
        let ReadError::Corrupt(place) = error else {
            panic!("{error}");
        };
        assert_eq!((&place.file, place.offset, place.sequence), (name, 68, 1));
    }
}

#[test]
fn a_file_cut_anywhere_loses_the_end_of_the_last_segment_or_is_an_error() {
    let (disk, records) = written(false);
    let last = disk.keys().next_back().unwrap();
    for (name, bytes) in &disk {
        for len in 0..bytes.len() {
            let mut damaged = disk.clone();
            damaged.get_mut(name).unwrap().truncate(len);
            let opened = open(damaged);
            assert_eq!(opened.is_ok(), name == last, "{len} bytes of {name}");
            if let Ok((core, _)) = opened {
                assert!(records.starts_with(&read_all(&core).1));
            }
        }
    }
}

#[test]
fn a_missing_segment_is_an_error_but_a_foreign_file_is_not() {
    let (mut disk, records) = written(true);
    disk.insert("notes.txt".to_owned(), b"hello".to_vec());
    let (core, recovered) = open(disk.clone()).unwrap();
    assert_eq!(recovered.foreign_files, ["notes.txt"]);
    assert_eq!(read_all(&core).1, records);
    let second = disk.keys().nth(1).unwrap().clone();
    disk.remove(&second);
    assert!(matches!(open(disk), Err(OpenError::Corrupt(place)) if place.file == segment_name(0)));
}

#[test]
fn another_version_is_refused_by_name() {
    let (mut disk, _) = written(false);
    let header = disk.values_mut().next().unwrap();
    header[8] = 2;
    let crc = crc32fast::hash(&header[..24]);
    header[24..28].copy_from_slice(&crc.to_le_bytes());
    assert!(matches!(
        open(disk),
        Err(OpenError::Version { version: 2, .. })
    ));
}

#[test]
fn numbers_that_would_overflow_are_refused() {
    // Made-up files; what is behind the headers makes recovery count on from there.
    for first in [MAX_SEQUENCE + 1, u64::MAX - 1, u64::MAX] {
        let mut bytes = SegmentHeader { first, salt: 7 }.encode().to_vec();
        encode_record(&mut bytes, 7, first, 0, b"last");
        bytes.extend([0; 50]);
        let opened = open(Disk::from([(segment_name(first), bytes)]));
        assert!(matches!(opened, Err(OpenError::Corrupt(place)) if place.sequence == first));
    }

    let first = MAX_SEQUENCE - 1;
    let bytes = SegmentHeader { first, salt: 7 }.encode().to_vec();
    let (mut core, _) = open(Disk::from([(segment_name(first), bytes)])).unwrap();
    let record = Bytes::from_static(b"one of two");
    let refused = core.write_group([&record, &record].into_iter(), |_| {});
    assert!(matches!(refused, Err(AppendError::Failed(_))));
    assert_eq!(core.write_group([&record].into_iter(), |_| {}), Ok(first));
    let refused = core.write_group([&record].into_iter(), |_| {});
    assert!(matches!(refused, Err(AppendError::Failed(_))));
    assert_eq!(read_all(&core).1, [record]);
}

#[test]
fn a_torn_group_whose_end_is_there_is_cut_and_a_later_group_behind_damage_is_not() {
    let header = SegmentHeader { first: 0, salt: 7 }.encode();
    // The index of the last record: of the same group as the damaged one, or of the next.
    for (index, torn) in [(1, true), (0, false)] {
        let mut bytes = header.to_vec();
        encode_record(&mut bytes, 7, 0, 0, b"damaged");
        bytes[50] ^= 1;
        encode_record(&mut bytes, 7, 1, index, b"whole");
        let opened = open(Disk::from([(segment_name(0), bytes)]));
        assert_eq!(opened.is_ok(), torn);
        if let Ok((core, recovered)) = opened {
            assert_eq!((recovered.dropped_bytes, recovered.records), (52, 0));
            assert!(read_all(&core).1.is_empty());
        }
    }
}

#[test]
fn a_payload_that_looks_like_a_record_is_no_proof_of_corruption() {
    let mut forged = Vec::new();
    encode_record(&mut forged, 0, 1, 0, b"forged");
    let mut bytes = SegmentHeader { first: 0, salt: 7 }.encode().to_vec();
    encode_record(&mut bytes, 7, 0, 0, &forged);
    bytes.pop();
    let (_, recovered) = open(Disk::from([(segment_name(0), bytes)])).unwrap();
    assert_eq!(recovered.records, 0);
}

/// It once took time in proportion to the square of the payload's length: minutes for a group of 8 MB.
#[test]
fn a_torn_payload_full_of_headers_of_long_records_is_cut_soon() {
    const FORGED: u32 = 100_000;
    let mut forged = Vec::new();
    for n in 1..FORGED {
        let mut header = Vec::new();
        encode_record(&mut header, 0, n.into(), 0, b"");
        header[..4].copy_from_slice(&((FORGED - n) * 15).to_le_bytes());
        forged.extend(header);
    }
    let mut bytes = SegmentHeader { first: 0, salt: 7 }.encode().to_vec();
    encode_record(&mut bytes, 7, 0, 0, &forged);
    bytes.pop();
    let (core, recovered) = open(Disk::from([(segment_name(0), bytes.clone())])).unwrap();
    assert_eq!(
        (recovered.dropped_bytes, recovered.records),
        (bytes.len() as u64 - 28, 0)
    );
    drop(core);

    // And a real one of a later group behind all of these is found.
    encode_record(&mut bytes, 7, 1, 0, &forged);
    let opened = open(Disk::from([(segment_name(0), bytes)]));
    assert!(matches!(opened, Err(OpenError::Corrupt(_))));
}

#[test]
fn no_space_is_survived_and_a_failed_fsync_is_not() {
    let files = FakeFiles::new(3);
    let (mut core, _) = Core::open(Arc::new(files.clone()), SMALL).unwrap();
    let record = Bytes::from_static(&[9; 50]);
    files.set_faults(Faults {
        space: Some(30),
        ..Faults::default()
    });
    let error = core.write_group([&record].into_iter(), |_| {}).unwrap_err();
    assert!(matches!(error, AppendError::NotWritten(_)), "{error}");
    files.set_faults(Faults::default());
    assert_eq!(core.write_group([&record].into_iter(), |_| {}), Ok(0));

    files.set_faults(Faults {
        fail_sync_after: Some(0),
        ..Faults::default()
    });
    for _again in 0..2 {
        let error = core.write_group([&record].into_iter(), |_| {}).unwrap_err();
        assert!(matches!(error, AppendError::Failed(_)), "{error}");
    }
    assert_eq!(read_all(&core).1, std::slice::from_ref(&record));
    let (core, _) = Core::open(Arc::new(files.crash()), SMALL).unwrap();
    assert_eq!(read_all(&core).1, [record]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        with_header in any::<bool>(),
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = Vec::new();
        if with_header {
            bytes.extend(SegmentHeader { first: 0, salt: 1 }.encode());
        }
        bytes.extend(tail);
        if let Ok((core, _)) = open(Disk::from([(segment_name(0), bytes)])) {
            read_all(&core);
        }
    }

    #[test]
    fn a_log_with_bytes_overwritten_never_panics_or_invents(
        file in 0_usize..3,
        at in 0_usize..400,
        new in prop::collection::vec(any::<u8>(), 1..60),
        seal in any::<bool>(),
    ) {
        let (mut disk, records) = written(seal);
        let bytes = disk.values_mut().nth(file).unwrap();
        let at = at.min(bytes.len());
        let end = bytes.len().min(at + new.len());
        bytes.splice(at..end, new);
        if let Ok((core, _)) = open(disk) {
            prop_assert!(records.starts_with(&read_all(&core).1));
        }
    }
}
