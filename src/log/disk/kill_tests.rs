//! A process that appends is killed, again and again: what it said was acknowledged is there.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use rand::RngExt as _;
use tokio::runtime::Builder;

use super::process::{log_directory, run_test};
use super::{Log, Settings};

/// Segments so small that many kills meet one being started, sealed or deleted.
const SETTINGS: Settings = Settings {
    segment_bytes: 32 << 10,
    max_bytes: 16 << 20,
    group_bytes: 16 << 10,
    queue_bytes: 64 << 10,
};
const THREADS: u32 = 4;
const KILLS: u32 = 20;
/// How many kills, if not so many.
const KILLS_VARIABLE: &str = "TALLYMARK_TEST_LOG_KILLS";
const GENERATION_VARIABLE: &str = "TALLYMARK_TEST_LOG_GENERATION";
const ACKNOWLEDGED_BEFORE_KILL: u32 = 400;
/// A thread trims after so many appends, and leaves so many records.
const TRIM_EVERY: u32 = 32;
const KEPT: u64 = 600;

/// Who appended a record, and which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Origin {
    generation: u32,
    thread: u32,
    append: u32,
    place: u32,
}

impl Origin {
    fn records_of_append(append: u32) -> u32 {
        1 + append % 3
    }

    /// What the same thread appends next.
    fn successor(self) -> Self {
        let place = self.place + 1;
        match place < Self::records_of_append(self.append) {
            true => Self { place, ..self },
            false => Self {
                append: self.append + 1,
                place: 0,
                ..self
            },
        }
    }

    fn payload(self) -> Bytes {
        let Self {
            generation,
            thread,
            append,
            place,
        } = self;
        let filling = (generation * 31 + thread * 17 + append * 7 + place * 389) % 1_500;
        let filling = (0..filling).map(|n| char::from(b'a' + ((n * n + append) % 26) as u8));
        format!(
            "{generation} {thread} {append} {place} {}",
            filling.collect::<String>()
        )
        .into()
    }

    /// Of a record that must be as it was appended.
    fn of(record: &Bytes) -> Self {
        let text = std::str::from_utf8(record).unwrap();
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0));
        let mut number = || numbers.next().unwrap();
        let origin = Self {
            generation: number(),
            thread: number(),
            append: number(),
            place: number(),
        };
        assert_eq!(origin.payload(), record);
        origin
    }
}

#[test]
#[ignore = "the test below runs it, and kills it"]
fn appends_until_killed() {
    let Some(directory) = log_directory() else {
        return;
    };
    let generation = std::env::var(GENERATION_VARIABLE).unwrap().parse().unwrap();
    let (log, _) = Log::open(&directory, SETTINGS).unwrap();
    say("\n");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = log.clone();
            scope.spawn(move || append_for_ever(&log, generation, thread));
        }
    });
}

fn append_for_ever(log: &Log, generation: u32, thread: u32) {
    let runtime = Builder::new_current_thread().build().unwrap();
    for append in 0.. {
        let origins = (0..Origin::records_of_append(append)).map(|place| Origin {
            generation,
            thread,
            append,
            place,
        });
        let records: Vec<Bytes> = origins.map(Origin::payload).collect();
        let first = runtime.block_on(log.append(records.clone())).unwrap();
        let acknowledged = (first..).zip(&records);
        let lines = acknowledged.map(|(sequence, record)| {
            format!("acknowledged {sequence} {}\n", crc32fast::hash(record))
        });
        say(&lines.collect::<String>());

        if thread == 0 && append % TRIM_EVERY == TRIM_EVERY - 1 {
            let below = first.saturating_sub(KEPT);
            say(&format!("trimming {below} 0\n"));
            runtime.block_on(log.trim(below)).unwrap();
        }
    }
}

/// In one call, and less than a pipe takes at once, so that a kill leaves no half of a line.
fn say(lines: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes()).expect("the parent listens");
    out.flush().expect("the parent listens");
}

/// What is known of a log without asking it.
#[derive(Default)]
struct Known {
    /// The checksums of records that must be there, unless they were trimmed.
    records: BTreeMap<u64, u32>,
    /// Nothing from here on was trimmed.
    trimmed_below: u64,
}

impl Known {
    /// Lets a process append until it has acknowledged some, and kills it.
    fn append_and_kill(&mut self, directory: &Path, generation: u32) {
        let mut left = rand::rng().random_range(0..ACKNOWLEDGED_BEFORE_KILL);
        let mut child = run_test(&[], module_path!(), "appends_until_killed", directory)
            .env(GENERATION_VARIABLE, generation.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Before it has opened the log, or while it does.
        if left == 0 || generation == 0 {
            child.kill().unwrap();
            left = 0;
        }
        // Its last words too: what was in the pipe at its death was acknowledged.
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["acknowledged", sequence, checksum] => {
                    let (sequence, checksum) = (sequence.parse(), checksum.parse());
                    let twice = self.records.insert(sequence.unwrap(), checksum.unwrap());
                    assert_eq!(twice, None, "{line}");
                    left = left.saturating_sub(1);
                    if left == 0 {
                        child.kill().unwrap();
                    }
                }
                ["trimming", below, _] => {
                    self.trimmed_below = self.trimmed_below.max(below.parse().unwrap());
                }
                // The harness's.
                _ => {}
            }
        }
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
    }

    /// The log is all that it must be. What else is in it must stay there from now on.
    async fn check(&mut self, directory: &Path) {
        let (log, recovered) = Log::open(directory, SETTINGS).unwrap();
        let oldest = log.usage().oldest;
        assert!(
            oldest <= self.trimmed_below,
            "more is gone than was trimmed"
        );

        let mut found = BTreeMap::new();
        let mut last_of: HashMap<(u32, u32), Origin> = HashMap::new();
        let mut reader = log.reader(oldest);
        while let Some(batch) = reader.try_next_batch(50_000, 1_000).unwrap() {
            for (sequence, record) in (batch.first..).zip(&batch.records) {
                let origin = Origin::of(record);
                let before = last_of.insert((origin.generation, origin.thread), origin);
                if let Some(before) = before {
                    assert_eq!(origin, before.successor(), "once, and in order");
                }
                let twice = found.insert(sequence, crc32fast::hash(record));
                assert_eq!(twice, None);
            }
        }
        assert_eq!(recovered.records, found.len() as u64);
        for (sequence, checksum) in self.records.range(oldest..) {
            assert_eq!(found.get(sequence), Some(checksum), "record {sequence}");
        }
        self.records = found;
        log.close().await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_there_once_in_order_and_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |kills| kills.parse().unwrap());
    let mut known = Known::default();
    for generation in 0..kills {
        known.append_and_kill(directory.path(), generation);
        // Every other time what was left is opened by the next process first.
        if generation % 2 == 1 {
            known.check(directory.path()).await;
        }
    }
    known.check(directory.path()).await;
    assert!(known.records.len() > 1);
}
