//! For tests that need a process of their own, to be killed or limited: this test binary runs again,
//! with one of its ignored tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells such a process where its log is.
const DIRECTORY: &str = "TALLYMARK_TEST_LOG_DIRECTORY";

/// The log's directory; `None` if the test was asked for by hand, without one.
pub fn log_directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Runs test `name` of module `module_path` through `wrapper`, a command that takes another as its
/// last arguments; by itself if that is empty.
pub fn run_test(wrapper: &[&str], module_path: &str, name: &str, log_directory: &Path) -> Command {
    // The harness's names leave out the crate's.
    let module = module_path
        .split_once("::")
        .map_or("", |(_, module)| module);
    let mut words: Vec<OsString> = wrapper.iter().map(OsString::from).collect();
    words.push(std::env::current_exe().unwrap().into_os_string());
    words.push(format!("{module}::{name}").into());
    words.extend(["--exact", "--ignored", "--nocapture"].map(OsString::from));

    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env(DIRECTORY, log_directory);
    command
}
