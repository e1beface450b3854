//! Random appends, trims, faults, crashes and restarts against a plain list of what was acknowledged.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::core::Core;
use super::fake::{FakeFiles, Faults};
use super::format::framed_bytes;
use super::{AppendError, OpenError, Reader, Settings};

pub const SMALL: Settings = Settings {
    segment_bytes: 400,
    max_bytes: 1_600,
    group_bytes: 300,
    queue_bytes: 1_000,
};

/// Everything from the oldest record on, with its number.
pub fn read_all(core: &Core) -> (u64, Vec<Bytes>) {
    let oldest = core.shared().usage().oldest;
    let mut reader = Reader::new(Arc::clone(core.shared()), oldest);
    let mut records = Vec::new();
    while let Some(batch) = reader.try_next_batch(100, 3).unwrap() {
        assert_eq!(batch.first, oldest + records.len() as u64);
        records.extend(batch.records);
    }
    assert_eq!(reader.position(), core.shared().usage().next);
    (oldest, records)
}

#[derive(Debug, Clone)]
enum Step {
    /// Records of these lengths.
    Append(Vec<u8>),
    /// Below this fraction of 255 of all numbers.
    Trim(u8),
    Crash,
    Restart,
    /// Sealed and opened again.
    Close,
    /// Power is lost again while recovering, after so many changing calls.
    CrashTwice(u8),
    ShortWrites,
    Space(u16),
    FailSync(u8),
    Stop(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(0_u8..90, 1..4).prop_map(Step::Append),
        3 => any::<u8>().prop_map(Step::Trim),
        2 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => Just(Step::Close),
        1 => (0_u8..6).prop_map(Step::CrashTwice),
        1 => Just(Step::ShortWrites),
        1 => (0_u16..500).prop_map(Step::Space),
        1 => (0_u8..6).prop_map(Step::FailSync),
        2 => (0_u8..12).prop_map(Step::Stop),
    ]
}

struct Model {
    files: FakeFiles,
    core: Core,
    /// Acknowledged, from number 0 on; trimmed ones too.
    safe: Vec<Bytes>,
    /// Behind them, perhaps.
    unsure: Vec<Bytes>,
    /// Everything before was trimmed for certain, and nothing from the second on was.
    trimmed: (u64, u64),
    minted: u8,
}

impl Model {
    fn new(seed: u64) -> Self {
        let files = FakeFiles::new(seed);
        let core = Core::open(Arc::new(files.clone()), SMALL).unwrap().0;
        Self {
            files,
            core,
            safe: Vec::new(),
            unsure: Vec::new(),
            trimmed: (0, 0),
            minted: 0,
        }
    }

    fn take(&mut self, step: Step) {
        let mut faults = self.files.faults();
        match step {
            Step::Append(lengths) => return self.append(&lengths),
            Step::Trim(part) => {
                let below = self.safe.len() as u64 * u64::from(part) / 255;
                self.trimmed.1 = self.trimmed.1.max(below);
                if self.core.trim(below).is_ok() {
                    self.trimmed.0 = self.core.shared().usage().oldest;
                }
                return self.check_limits();
            }
            Step::Crash => return self.reopen(self.files.crash()),
            Step::Restart => return self.reopen(self.files.restart()),
            Step::Close => {
                let _may_fail = self.core.seal();
                return self.reopen(self.files.restart());
            }
            Step::CrashTwice(after) => {
                let files = self.files.crash();
                files.set_faults(Faults {
                    stop_after: Some(after.into()),
                    ..Faults::default()
                });
                match Core::open(Arc::new(files.clone()), SMALL) {
                    Ok(_) | Err(OpenError::Io(_)) => {}
                    Err(error) => panic!("{error}"),
                }
                return self.reopen(files.crash());
            }
            Step::ShortWrites => faults.short_writes = true,
            Step::Space(bytes) => faults.space = Some(bytes.into()),
            Step::FailSync(after) => faults.fail_sync_after = Some(after.into()),
            Step::Stop(after) => faults.stop_after = Some(after.into()),
        }
        self.files.set_faults(faults);
    }

    fn append(&mut self, lengths: &[u8]) {
        let records: Vec<Bytes> = lengths
            .iter()
            .map(|length| {
                self.minted = self.minted.wrapping_add(1);
                Bytes::from(vec![self.minted; usize::from(*length)])
            })
            .collect();
        let bytes = framed_bytes(&records);
        if bytes > SMALL.group_bytes {
            return;
        }
        let before = self.files.contents();
        if let Err(error) = self.core.check_room(0, bytes) {
            assert!(matches!(error, AppendError::Full { .. }), "{error}");
            assert_eq!(self.files.contents(), before);
            return;
        }
        match self.core.write_group(records.iter(), |_| {}) {
            Ok(first) => {
                assert_eq!(first, self.safe.len() as u64);
                assert!(self.unsure.is_empty(), "a failed log took records");
                self.safe.extend(records);
            }
            Err(AppendError::NotWritten(_)) => {}
            Err(AppendError::Failed(_)) if self.unsure.is_empty() => self.unsure = records,
            Err(AppendError::Failed(_)) => assert_eq!(self.files.contents(), before),
            Err(error) => panic!("{error}"),
        }
        self.check_limits();
    }

    fn check_limits(&self) {
        let usage = self.core.shared().usage();
        assert!(usage.used_bytes <= SMALL.max_bytes + 28, "{usage:?}");
        assert!(usage.oldest <= self.trimmed.1 && usage.oldest >= self.trimmed.0);
    }

    fn reopen(&mut self, files: FakeFiles) {
        let (core, recovered) = Core::open(Arc::new(files.clone()), SMALL).unwrap();
        (self.files, self.core) = (files, core);
        let (oldest, records) = read_all(&self.core);
        assert_eq!(recovered.records, records.len() as u64);
        assert!(self.trimmed.0 <= oldest && oldest <= self.trimmed.1);

        let all = self.safe.iter().chain(&self.unsure);
        let expected: Vec<Bytes> = all.skip(oldest as usize).cloned().collect();
        assert!(expected.starts_with(&records), "a record was invented");
        let next = oldest as usize + records.len();
        assert!(next >= self.safe.len(), "an acknowledged record is lost");
        let kept = next - self.safe.len();
        self.safe.extend(self.unsure.drain(..).take(kept));
        self.trimmed.0 = oldest;
    }
}

proptest! {
    // More if PROPTEST_CASES says so.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(1_500),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_what_was_acknowledged_is_there_once(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut model = Model::new(seed);
        for step in steps {
            model.take(step);
        }
        model.reopen(model.files.crash());
        model.reopen(model.files.restart());
    }
}
