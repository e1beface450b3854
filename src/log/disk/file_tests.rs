//! The whole log on real files.

use std::path::Path;

use bytes::Bytes;

use super::{AppendError, Log, OpenError, ReadError, Settings};

const SETTINGS: Settings = Settings {
    segment_bytes: 8 << 10,
    max_bytes: 32 << 10,
    group_bytes: 4 << 10,
    queue_bytes: 8 << 10,
};

fn open(path: &Path) -> Log {
    Log::open(path, SETTINGS).unwrap().0
}

fn record(n: u64) -> Bytes {
    Bytes::from(format!("record {n} {}", "x".repeat(n as usize % 50)))
}

async fn fill(log: &Log) -> u64 {
    let mut n = 0;
    loop {
        match log.append(vec![record(n)]).await {
            Ok(sequence) => assert_eq!(sequence, n),
            Err(AppendError::Full {
                used_bytes,
                max_bytes,
            }) => {
                assert!(used_bytes <= max_bytes && max_bytes - used_bytes < 200);
                return n;
            }
            Err(error) => panic!("{error}"),
        }
        n += 1;
    }
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = open(&path);
    assert!(matches!(Log::open(&path, SETTINGS), Err(OpenError::InUse)));
    let clone = log.clone();
    log.close().await;
    assert_eq!(
        clone.append(vec![record(0)]).await,
        Err(AppendError::Closed)
    );
    open(&path).close().await;
}

#[tokio::test]
async fn a_second_opener_is_refused_even_if_the_lock_file_was_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("several/levels/below");
    let log = open(&path);
    std::fs::remove_file(path.join("lock")).unwrap();
    for _again in 0..2 {
        assert!(matches!(Log::open(&path, SETTINGS), Err(OpenError::InUse)));
    }
    log.close().await;
    open(&path).close().await;
}

#[tokio::test]
async fn records_are_there_after_reopening_and_numbers_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    assert_eq!(log.append(vec![record(0), record(1)]).await, Ok(0));
    assert_eq!(log.append(vec![record(2)]).await, Ok(2));
    log.close().await;

    let (log, recovered) = Log::open(directory.path(), SETTINGS).unwrap();
    assert_eq!((recovered.records, recovered.dropped_bytes), (3, 0));
    assert_eq!(log.append(vec![record(3)]).await, Ok(3));
    let mut reader = log.reader(1);
    let batch = reader.next_batch(1_000, 10).await.unwrap().unwrap();
    assert_eq!(
        (batch.first, batch.records),
        (1, vec![record(1), record(2)])
    );
    let batch = reader.next_batch(1_000, 10).await.unwrap().unwrap();
    assert_eq!((batch.next(), batch.records), (4, vec![record(3)]));
    let past_the_end = log.reader(5).next_batch(1, 1).await;
    assert!(matches!(
        past_the_end,
        Err(ReadError::Beyond { wanted: 5, next: 4 })
    ));

    let waiting = tokio::spawn(async move { reader.next_batch(1, 1).await });
    log.close().await;
    assert_eq!(waiting.await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn a_full_log_refuses_reads_on_and_takes_more_once_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let n = fill(&log).await;
    assert!(log.usage().used_bytes <= SETTINGS.max_bytes);
    let mut reader = log.reader(0);
    let mut seen = 0;
    while let Some(batch) = reader.try_next_batch(1_000, 64).unwrap() {
        for read in batch.records {
            assert_eq!(read, record(seen));
            seen += 1;
        }
    }
    assert_eq!(seen, n);
    assert!(log.trim(n).await.unwrap() > SETTINGS.max_bytes / 2);
    assert_eq!(log.append(vec![record(n)]).await, Ok(n));
    let trimmed = log.reader(0).next_batch(1, 1).await;
    assert!(matches!(trimmed, Err(ReadError::Trimmed { wanted: 0, oldest }) if oldest > 0));
    let batch = reader.next_batch(1_000, 64).await.unwrap().unwrap();
    assert_eq!((batch.first, batch.records), (n, vec![record(n)]));
    let too_large = log.append(vec![Bytes::from(vec![0; 5_000])]).await;
    assert!(matches!(too_large, Err(AppendError::TooLarge { .. })));
    log.close().await;
    assert_eq!(open(directory.path()).usage().next, n + 1);
}

#[tokio::test]
async fn a_segment_that_somebody_deleted_does_not_keep_the_log_full() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let n = fill(&log).await;
    std::fs::remove_file(directory.path().join("0000000000000000.log")).unwrap();
    let read = log.reader(0).next_batch(1_000, 10).await;
    assert!(matches!(read, Err(ReadError::Io(_))));
    assert!(log.trim(n).await.unwrap() > SETTINGS.max_bytes / 2);
    assert_eq!(log.append(vec![record(n)]).await, Ok(n));
    log.close().await;
    assert_eq!(open(directory.path()).usage().next, n + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_each_get_their_numbers_and_a_reader_sees_all_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        max_bytes: 1 << 20,
        ..SETTINGS
    };
    let log = Log::open(directory.path(), settings).unwrap().0;
    let mut reader = log.reader(0);
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        while let Some(batch) = reader.next_batch(500, 7).await.unwrap() {
            assert!(batch.records.len() <= 7);
            read.extend(batch.records);
        }
        read
    });
    let appending = (0..64_u8).map(|caller| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for n in 0..20_u8 {
                let records = vec![
                    Bytes::from(vec![caller, n, 0]),
                    Bytes::from(vec![caller, n, 1]),
                ];
                numbers.push((log.append(records.clone()).await.unwrap(), records));
            }
            numbers
        })
    });
    let appending: Vec<_> = appending.collect();
    let mut appended = Vec::new();
    for caller in appending {
        appended.extend(caller.await.unwrap());
    }
    log.close().await;
    appended.sort_unstable_by_key(|(number, _)| *number);
    let expected: Vec<Bytes> = appended
        .into_iter()
        .flat_map(|(_, records)| records)
        .collect();
    assert_eq!(expected.len(), 64 * 20 * 2);
    assert_eq!(reading.await.unwrap(), expected);
}

#[test]
fn settings_that_do_not_fit_each_other_are_refused() {
    assert_eq!(Settings::of_size(32 << 20, 1).check(), Ok(()));
    for bad in [
        Settings {
            group_bytes: 20,
            ..SETTINGS
        },
        Settings {
            group_bytes: 8 << 10,
            ..SETTINGS
        },
        Settings {
            max_bytes: 12 << 10,
            ..SETTINGS
        },
        Settings {
            queue_bytes: 0,
            ..SETTINGS
        },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}
