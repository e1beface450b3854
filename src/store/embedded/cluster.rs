//! What is in the data directory, and who may use it.
//!
//! ```text
//! DATA_DIR/lock            locked by the service that uses it; holds its process id
//! DATA_DIR/postgres/       the cluster (PGDATA), 0700, the database user's
//! DATA_DIR/postgres.new/   a cluster that initdb has not finished: removed at the next start
//! DATA_DIR/sock/           the socket's directory, 0700, the database user's
//! DATA_DIR/socket_dir      instead, where the socket is when DATA_DIR's path is too long for one
//! DATA_DIR/postgres.log    what the server says about itself; .1 is the one before
//! ```

use std::env;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::account::{Account, create_open_dir, resolved};
use super::error::{At, EngineError};
use super::install::Installation;

/// Bytes of a socket address's path on Linux, less the terminating zero.
const SOCKET_PATH_MAX_BYTES: usize = 107;
/// At a start, a longer log is set aside.
const LOG_MAX_BYTES: u64 = 1 << 20;
const INCLUDE: &str =
    "\n# Settings of tallymark; they win over the ones above.\ninclude 'tallymark.conf'\n";

/// A data directory that this process alone uses, until this is dropped.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Creates it when it is missing, and takes it.
    pub(super) fn open(path: &Path, account: &Account) -> Result<DataDir, EngineError> {
        let path = std::path::absolute(path).at("resolve", path)?;
        // Before anything is created where it is of no use.
        if let Some(parent) = path.parent() {
            account.require_reach(&resolved(parent))?;
        }
        create_open_dir(&path)?;
        let path = path.canonicalize().at("resolve", &path)?;
        let lock_path = path.join("lock");
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .at("open", &lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                return Err(EngineError::DataDirInUse {
                    dir: path,
                    pid: holder.trim().parse().ok(),
                });
            }
            Err(fs::TryLockError::Error(error)) => return Err(error).at("lock", &lock_path),
        }
        lock.set_len(0).at("write", &lock_path)?;
        writeln!(lock, "{}", std::process::id()).at("write", &lock_path)?;

        // A directory made for root alone, as `mktemp -d` makes them, is opened to the database's user's group. It stays
        // root's, who writes into it. Its parents are somebody else's.
        let metadata = fs::metadata(&path).at("read", &path)?;
        if account.is_switched()
            && metadata.uid() == 0
            && account.blocked_at(&path).as_ref() == Some(&path)
        {
            account.let_through(&path)?;
        }
        account.require_reach(&path)?;
        Ok(DataDir { path, lock })
    }

    pub(super) fn cluster(&self) -> PathBuf {
        cluster_of(&self.path)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    /// The PostgreSQL that created the data; None while there are none.
    pub(super) fn major(&self) -> Result<Option<u32>, EngineError> {
        let path = self.cluster().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("read", &path),
        }
    }

    /// Runs initdb. The cluster appears by a rename when it is complete.
    pub(super) async fn create_cluster(
        &self,
        engine: &Installation,
        account: &Account,
    ) -> Result<(), EngineError> {
        let unfinished = self.path.join("postgres.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).at("remove", &unfinished)?;
        }
        account.make_private_dir(&unfinished)?;
        tracing::info!("creating the database in {}", self.path.display());

        let mut initdb = Command::new(engine.program("initdb"));
        initdb.arg("--pgdata").arg(&unfinished).args([
            "--username=tallymark",
            "--encoding=UTF8",
            "--data-checksums",
            // No password and no peer check: the socket's directory is 0700, so only the database's own user and root
            // reach it. Should a setting open a network port, nobody gets in.
            "--auth-local=trust",
            "--auth-host=reject",
        ]);
        if engine.major >= 17 {
            // Unicode case rules without the system's locales, which may be missing, or change sort orders with an
            // update and so break indexes.
            initdb.args([
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ]);
        } else {
            initdb.arg("--locale=C");
        }
        account.apply_to(&mut initdb);
        let output = clean_environment(&mut initdb)
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .at("run", &engine.program("initdb"))?;
        if !output.status.success() {
            return Err(EngineError::Program {
                program: "initdb",
                status: output.status,
                output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        let main_conf = unfinished.join("postgresql.conf");
        let append = || {
            let mut conf = File::options().append(true).open(&main_conf)?;
            conf.write_all(INCLUDE.as_bytes())?;
            conf.sync_all()
        };
        append().at("write", &main_conf)?;
        let cluster = self.cluster();
        fs::rename(&unfinished, &cluster).at("create", &cluster)?;
        File::open(&self.path)
            .and_then(|dir| dir.sync_all())
            .at("write", &self.path)
    }

    pub(super) fn write_settings(&self, text: &str, account: &Account) -> Result<(), EngineError> {
        let path = self.cluster().join("tallymark.conf");
        remove_if_there(&path)?;
        // create_new: the directory is the database user's, and root must not follow a link that was left there.
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .at("create", &path)?;
        file.write_all(text.as_bytes()).at("write", &path)?;
        account.take_file(&file, &path)
    }

    /// The private PostgreSQL reads time zones from `zoneinfo` in its working directory.
    pub(super) fn link_time_zones(&self, engine: &Installation) -> Result<(), EngineError> {
        let link = self.cluster().join("zoneinfo");
        remove_if_there(&link)?;
        match &engine.zoneinfo {
            Some(zoneinfo) => symlink(zoneinfo, &link).at("create", &link),
            None => Ok(()),
        }
    }

    /// Opens the log to append to, and says where it ends now.
    pub(super) fn open_log(&self) -> Result<(File, u64), EngineError> {
        let path = self.log();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_MAX_BYTES) {
            fs::rename(&path, path.with_extension("log.1")).at("rotate", &path)?;
        }
        let mut file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .at("open", &path)?;
        let end = file.seek(SeekFrom::End(0)).at("read", &path)?;
        Ok((file, end))
    }

    /// Makes the directory of the socket: in the data directory, or somewhere short, the same as last time if it is
    /// still there and still the database user's own.
    pub(super) fn make_socket_dir(&self, account: &Account) -> Result<PathBuf, EngineError> {
        let record = self.path.join("socket_dir");
        let inside = self.path.join("sock");
        if fits_a_socket(&inside) {
            account.make_private_dir(&inside)?;
            return remove_old_socket(inside);
        }
        if let Ok(recorded) = fs::read_to_string(&record) {
            let dir = PathBuf::from(recorded.trim());
            // In /tmp anybody may have put something else under the name meanwhile.
            let is_ours = fs::symlink_metadata(&dir).is_ok_and(|metadata| {
                metadata.is_dir() && account.owns(&metadata) && metadata.mode() & 0o777 == 0o700
            });
            if is_ours && fits_a_socket(&dir) {
                return remove_old_socket(dir);
            }
        }
        // Root's runtime directory is closed to the database's user.
        let base = env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|dir| {
                !account.is_switched()
                    && dir.is_dir()
                    && fits_a_socket(&dir.join("tallymark-0000000000000000"))
            })
            .unwrap_or_else(|| PathBuf::from("/tmp"));
        let random = std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish();
        let dir = base.join(format!("tallymark-{random:016x}"));
        // Fails when the name is taken.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .at("create", &dir)?;
        account.take(&dir)?;
        fs::write(&record, dir.as_os_str().as_encoded_bytes()).at("write", &record)?;
        Ok(dir)
    }

    /// Leaves nothing behind in /tmp once the server has ended.
    pub(super) fn remove_short_socket_dir(&self) {
        let record = self.path.join("socket_dir");
        if let Ok(dir) = fs::read_to_string(&record) {
            let _ = fs::remove_dir(dir.trim());
            let _ = fs::remove_file(&record);
        }
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Closing is not enough: a process that another thread is just starting holds a copy until it execs.
        let _ = self.lock.unlock();
    }
}

/// A killed server leaves its socket and a lock with its process id, which may be another process's by now. The
/// caller knows that no server runs.
fn remove_old_socket(dir: PathBuf) -> Result<PathBuf, EngineError> {
    let name = format!(".s.PGSQL.{}", super::PORT);
    remove_if_there(&dir.join(&name))?;
    remove_if_there(&dir.join(format!("{name}.lock")))?;
    Ok(dir)
}

fn remove_if_there(path: &Path) -> Result<(), EngineError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Only what the server needs: the service's environment may hold secrets, and libraries to preload that do not fit
/// the engine's libc.
pub(super) fn clean_environment(command: &mut Command) -> &mut Command {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "GMT")
}

pub(super) fn cluster_of(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres")
}

/// Short enough, and nothing in it that the settings file or a connection string would have to quote.
fn fits_a_socket(dir: &Path) -> bool {
    let bytes = dir.as_os_str().as_encoded_bytes();
    bytes.len() + format!("/.s.PGSQL.{}", super::PORT).len() <= SOCKET_PATH_MAX_BYTES
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_odd_paths_do_not_fit_a_socket() {
        assert!(fits_a_socket(Path::new("/var/lib/tallymark/sock")));
        assert!(!fits_a_socket(Path::new("/var/lib/tally mark/sock")));
        let longest = SOCKET_PATH_MAX_BYTES - "/.s.PGSQL.5432".len();
        assert!(fits_a_socket(Path::new(&format!(
            "/{}",
            "a".repeat(longest - 1)
        ))));
        assert!(!fits_a_socket(Path::new(&format!(
            "/{}",
            "a".repeat(longest)
        ))));
    }
}
