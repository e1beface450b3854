//! What can keep the embedded engine from running, in words for the person who started it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// Every message says what is wrong, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "the data directory {} is in use by another tallymark{}",
        dir.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    DataDirInUse { dir: PathBuf, pid: Option<u32> },

    #[error(
        "the data in {} was created by PostgreSQL {data_major}, but the engine found is PostgreSQL {engine_major}; \
         set TALLYMARK_ENGINE_DIR to a PostgreSQL {data_major} with TimescaleDB, or use another data directory",
        dir.display()
    )]
    OtherMajor {
        dir: PathBuf,
        data_major: u32,
        engine_major: u32,
    },

    #[error(
        "{} cannot be entered by the user {user}, which PostgreSQL runs as because it refuses to run as root; \
         run `chmod o+x {}` or choose a directory elsewhere",
        dir.display(), dir.display()
    )]
    NotTraversable { dir: PathBuf, user: String },

    #[error("the user {user} that PostgreSQL should run as {problem}")]
    Account { user: String, problem: &'static str },

    #[error("{} cannot be used as the engine: {reason}", dir.display())]
    UnsuitableEngine { dir: PathBuf, reason: String },

    /// The installer's own words, which include what to do instead.
    #[error("{message}")]
    Install { message: String },

    #[error("the setting {name} is not one that PostgreSQL can have")]
    Setting { name: String },

    #[error("{program} failed ({status}): {output}")]
    Program {
        program: &'static str,
        status: ExitStatus,
        output: String,
    },

    #[error(
        "PostgreSQL stopped unasked ({status}); the end of {} says: {log_tail}",
        log.display()
    )]
    Died {
        status: ExitStatus,
        log: PathBuf,
        log_tail: String,
    },

    #[error("PostgreSQL does not accept connections after {seconds} s; see {}", log.display())]
    NotReady { seconds: u64, log: PathBuf },

    #[error("process {pid} of an earlier run still works in {} and does not end", dir.display())]
    Survivor { dir: PathBuf, pid: u32 },

    #[error("the embedded database refused {action}")]
    Database {
        action: &'static str,
        source: tokio_postgres::Error,
    },

    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Says which path an I/O error is about, which `std::io::Error` does not.
pub(super) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, EngineError>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, EngineError> {
        self.map_err(|source| EngineError::Io {
            action,
            path: path.to_path_buf(),
            source,
        })
    }
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, EngineError> {
        self.map_err(std::io::Error::from).at(action, path)
    }
}
