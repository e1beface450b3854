//! No space, on a real file system. Each test runs in a process of its own, because what takes the
//! space away is a mount or a limit of the whole process.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use super::process::{log_directory, run_test};
use super::{AppendError, Log, Settings};

/// `max_bytes` is never reached: the space is gone before.
const SETTINGS: Settings = Settings {
    segment_bytes: 64 << 10,
    max_bytes: 64 << 20,
    group_bytes: 16 << 10,
    queue_bytes: 16 << 10,
};
const LARGE_BYTES: usize = 9_000;
/// Of a file, in the test of a limit: within its third large record.
const LIMIT_BYTES: u64 = 20_000;

/// Mounts a small tmpfs over the directory `$1` and runs the rest of the words there.
const ON_SMALL_TMPFS: &str = r#"mount -t tmpfs -o size=256k tmpfs "$1" && shift && exec "$@""#;
/// Else the first byte over the limit kills the process.
const WITHOUT_THE_SIGNAL: &str = r#"trap '' XFSZ && exec "$@""#;

struct Written {
    runtime: Runtime,
    log: Log,
    safe: Vec<Bytes>,
}

impl Written {
    fn append(&mut self, bytes: usize) -> Result<(), AppendError> {
        let record = Bytes::from(vec![self.safe.len() as u8; bytes]);
        let sequence = self
            .runtime
            .block_on(self.log.append(vec![record.clone()]))?;
        assert_eq!(sequence, self.safe.len() as u64);
        self.safe.push(record);
        Ok(())
    }

    /// Appends until nothing fits, not even a small record.
    fn fill(&mut self, problem: &str) {
        for bytes in [LARGE_BYTES, 700, 90, 1, 0] {
            let refused = loop {
                if let Err(error) = self.append(bytes) {
                    break error;
                }
            };
            match refused {
                AppendError::NotWritten(why) if why.contains(problem) => {}
                other => panic!("{other}"),
            }
        }
        self.check();
    }

    fn check(&self) {
        let mut reader = self.log.reader(0);
        let mut read = Vec::new();
        while let Some(batch) = reader.try_next_batch(10_000, 100).unwrap() {
            read.extend(batch.records);
        }
        assert!(read == self.safe, "{} of {}", read.len(), self.safe.len());
    }

    fn reopen(self, path: &Path) -> Self {
        let Self { runtime, log, safe } = self;
        runtime.block_on(log.close());
        let (log, recovered) = Log::open(path, SETTINGS).unwrap();
        assert_eq!(recovered.dropped_bytes, 0, "what did not fit was undone");
        let reopened = Self { runtime, log, safe };
        reopened.check();
        reopened
    }
}

/// Runs out of space, opens the log as it is then, and goes on when there is space again.
fn run_out_of_space(path: &Path, problem: &str, free: impl FnOnce()) {
    let mut written = Written {
        runtime: Builder::new_current_thread().build().unwrap(),
        log: Log::open(path, SETTINGS).unwrap().0,
        safe: Vec::new(),
    };
    written.fill(problem);
    assert!(written.safe.len() > 2);
    let mut written = written.reopen(path);
    written.fill(problem);
    free();
    for _ in 0..12 {
        written.append(LARGE_BYTES).unwrap();
    }
    written.reopen(path);
}

#[test]
#[ignore = "the test below runs it on a small file system"]
fn on_a_small_file_system() {
    let Some(directory) = log_directory() else {
        return;
    };
    let ballast = directory.join("ballast");
    std::fs::write(&ballast, vec![1; 128 << 10]).unwrap();
    run_out_of_space(&directory.join("log"), "No space left", || {
        std::fs::remove_file(&ballast).unwrap();
    });
}

#[test]
fn a_full_file_system_loses_nothing_acknowledged_and_appends_go_on_once_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    // As root, and as anybody where users may have namespaces.
    let root: &[&str] = &["unshare", "--mount"];
    let user: &[&str] = &["unshare", "--user", "--map-root-user", "--mount"];
    let shell = &["sh", "-c", ON_SMALL_TMPFS, "sh", path];
    let wrapper = [root, user].map(|unshare| [unshare, shell].concat());
    let Some(wrapper) = wrapper.into_iter().find(|words| {
        let tried = Command::new(words[0])
            .args(&words[1..])
            .arg("true")
            .output();
        tried.is_ok_and(|output| output.status.success())
    }) else {
        // To standard error itself: the harness keeps to itself what a test prints that passes.
        let mut terminal = std::io::stderr();
        let told = writeln!(
            terminal,
            "\nNOT TESTED: a full file system. This process may not mount one, nor have a user \
             namespace to do so. That writes fail at a limit on a file's size is tested instead."
        );
        return told.unwrap();
    };
    assert_passes(run_test(
        &wrapper,
        module_path!(),
        "on_a_small_file_system",
        directory.path(),
    ));
}

#[test]
#[ignore = "the test below runs it with the signal of the limit ignored"]
fn with_small_files_only() {
    let Some(directory) = log_directory() else {
        return;
    };
    let before = getrlimit(Resource::Fsize);
    let mut limit = before;
    limit.current = Some(LIMIT_BYTES);
    setrlimit(Resource::Fsize, limit).unwrap();
    run_out_of_space(&directory.join("log"), "File too large", || {
        setrlimit(Resource::Fsize, before).unwrap();
    });
}

/// Needs no privilege, so there is a real disk that refuses to write everywhere.
#[test]
fn a_file_that_may_not_grow_loses_nothing_acknowledged_and_appends_go_on_once_it_may() {
    let directory = tempfile::tempdir().unwrap();
    let shell = ["sh", "-c", WITHOUT_THE_SIGNAL, "sh"];
    assert_passes(run_test(
        &shell,
        module_path!(),
        "with_small_files_only",
        directory.path(),
    ));
}

fn assert_passes(mut test: Command) {
    let output = test.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    // A name that no test has is no failure to the harness.
    assert!(said.contains("1 passed"), "{said}");
}
