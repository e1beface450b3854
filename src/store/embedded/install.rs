//! Which PostgreSQL + TimescaleDB to run: one that is there already, else a private one from install.sh.
//!
//! Looked at in this order, and the first that fits the data directory wins: the engine directory when it was
//! given, the system's own installations, the default engine directory. Only when none fits is anything
//! installed.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use super::account::{Account, create_open_dir, resolved};
use super::error::{At, EngineError};

const INSTALLER: &str = include_str!("install.sh");
/// Exit status of the installer when this machine cannot do it.
const UNAVAILABLE: i32 = 69;
const REFUSAL: &str = "Cannot install";
/// A file that install.sh leaves at the top of a prefix.
const MARK: &str = "tallymark-engine";
const OLDEST_MAJOR: u32 = 16;
const OLDEST_TIMESCALEDB: (u32, u32) = (2, 19);
/// The default engine directory of a service that is root.
const SYSTEM_CACHE: &str = "/var/cache/tallymark/engine";

/// A PostgreSQL that has TimescaleDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installation {
    /// Holds `postgres` and `initdb`.
    pub(super) bin_dir: PathBuf,
    pub(super) major: u32,
    /// The time zones of a private installation, which expects them at `zoneinfo` in its working directory.
    pub(super) zoneinfo: Option<PathBuf>,
}

impl Installation {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// Finds or installs. `data` are the directory of the data and the major version they need, when there are any.
pub(super) async fn locate(
    engine_dir: Option<&Path>,
    data: Option<(&Path, u32)>,
    account: &Account,
) -> Result<Installation, EngineError> {
    let fits = |found: &Installation| data.is_none_or(|(_, major)| major == found.major);
    let mut candidates = Vec::new();
    if let Some(dir) = engine_dir {
        let (suitable, reasons) = installations_in(dir).await;
        // Somebody pointed here: do not quietly take another one.
        if let (true, Some(reason)) = (suitable.is_empty(), reasons.into_iter().next()) {
            return Err(EngineError::UnsuitableEngine {
                dir: dir.to_path_buf(),
                reason,
            });
        }
        candidates.extend(suitable);
    }
    candidates.extend(system_installations().await);
    let target = match engine_dir {
        Some(dir) => dir.to_path_buf(),
        None => {
            let dir = default_engine_dir(account);
            candidates.extend(installations_in(&dir).await.0);
            dir
        }
    };
    for found in candidates.iter().filter(|found| fits(found)) {
        if account.blocked_at(&resolved(&found.bin_dir)).is_none() {
            return Ok(found.clone());
        }
        tracing::debug!(
            engine = %found.bin_dir.display(), user = account.name, "an engine is out of reach of the user it would run as"
        );
    }
    account.require_reach(&resolved(&target))?;
    // What is there already does not fit the data, and the same once more would not either.
    if installations_in(&target).await.0.is_empty() {
        install(&target).await?;
    }
    let (installed, reasons) = installations_in(&target).await;
    match installed.iter().find(|found| fits(found)) {
        Some(found) => Ok(found.clone()),
        None => Err(match (installed.first(), data) {
            (Some(other), Some((dir, data_major))) => EngineError::OtherMajor {
                dir: dir.to_path_buf(),
                data_major,
                engine_major: other.major,
            },
            _ => EngineError::UnsuitableEngine {
                dir: target,
                reason: reasons
                    .into_iter()
                    .next()
                    .unwrap_or_else(|| "the installer left nothing there".into()),
            },
        }),
    }
}

/// `$XDG_CACHE_HOME/tallymark/engine` or `~/.cache/tallymark/engine`; root's, which another user must reach, is
/// under /var/cache unless the first of these can be entered by it.
fn default_engine_dir(account: &Account) -> PathBuf {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let xdg = absolute("XDG_CACHE_HOME").map(|cache| cache.join("tallymark/engine"));
    if !account.is_switched() {
        return xdg
            .or_else(|| absolute("HOME").map(|home| home.join(".cache/tallymark/engine")))
            .unwrap_or_else(|| PathBuf::from(SYSTEM_CACHE));
    }
    match xdg {
        Some(dir) if account.blocked_at(&resolved(&dir)).is_none() => dir,
        Some(dir) => {
            tracing::info!(
                "using {SYSTEM_CACHE} for the database engine: {} cannot be entered by the user {}",
                dir.display(),
                account.name
            );
            PathBuf::from(SYSTEM_CACHE)
        }
        None => PathBuf::from(SYSTEM_CACHE),
    }
}

/// The suitable ones, newest first, and why others are not.
async fn installations_in(dir: &Path) -> (Vec<Installation>, Vec<String>) {
    let mut bin_dirs = vec![dir.join("bin"), dir.to_path_buf()];
    bin_dirs.extend(debian_bin_dirs(dir));
    for prefix in children(dir) {
        // Where install.sh puts it; never its directory for unfinished work.
        if prefix
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"pg"))
        {
            bin_dirs.extend(debian_bin_dirs(&prefix));
        }
    }
    examine_all(bin_dirs).await
}

async fn system_installations() -> Vec<Installation> {
    let mut bin_dirs = debian_bin_dirs(Path::new("/"));
    bin_dirs.extend(children(Path::new("/usr")).into_iter().filter_map(|dir| {
        // The layout of PostgreSQL's own packages for other distributions.
        dir.file_name()?
            .to_str()?
            .starts_with("pgsql-")
            .then(|| dir.join("bin"))
    }));
    if let Some(bin_dir) = output_of(Path::new("pg_config"), "--bindir").await {
        bin_dirs.push(PathBuf::from(bin_dir));
    }
    examine_all(bin_dirs).await.0
}

fn debian_bin_dirs(root: &Path) -> Vec<PathBuf> {
    children(&root.join("usr/lib/postgresql"))
        .into_iter()
        .map(|dir| dir.join("bin"))
        .collect()
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

async fn examine_all(bin_dirs: Vec<PathBuf>) -> (Vec<Installation>, Vec<String>) {
    let (mut suitable, mut reasons) = (Vec::new(), Vec::new());
    for bin_dir in bin_dirs
        .into_iter()
        .filter(|dir| dir.join("postgres").is_file())
    {
        match examine(bin_dir).await {
            Ok(found) if !suitable.contains(&found) => suitable.push(found),
            Ok(_) => {}
            Err(reason) => reasons.push(reason),
        }
    }
    suitable.sort_by_key(|found: &Installation| std::cmp::Reverse(found.major));
    (suitable, reasons)
}

async fn examine(bin_dir: PathBuf) -> Result<Installation, String> {
    let postgres = bin_dir.join("postgres");
    let version = output_of(&postgres, "--version")
        .await
        .ok_or_else(|| format!("{} does not run", postgres.display()))?;
    // "postgres (PostgreSQL) 17.11 (Debian …)"
    let major: u32 = version
        .split(|c: char| !c.is_ascii_digit())
        .find(|digits| !digits.is_empty())
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            format!(
                "{} has the unreadable version '{version}'",
                postgres.display()
            )
        })?;
    if major < OLDEST_MAJOR {
        return Err(format!(
            "{} is PostgreSQL {major}, {OLDEST_MAJOR} or later is needed",
            postgres.display()
        ));
    }
    let mut share_dirs = Vec::new();
    if let Some(dir) = output_of(&bin_dir.join("pg_config"), "--sharedir").await {
        share_dirs.push(PathBuf::from(dir));
    }
    // Without pg_config, the layouts of Debian and of a plain `make install`.
    let up = |levels: usize| {
        bin_dir
            .ancestors()
            .nth(levels)
            .unwrap_or(Path::new("/"))
            .to_path_buf()
    };
    share_dirs.push(up(4).join(format!("share/postgresql/{major}")));
    share_dirs.push(up(1).join("share/postgresql"));
    share_dirs.push(up(1).join("share"));
    let timescaledb = share_dirs
        .iter()
        .find_map(|dir| fs::read_to_string(dir.join("extension/timescaledb.control")).ok())
        .as_deref()
        .and_then(default_version)
        .ok_or_else(|| format!("{} has no TimescaleDB", postgres.display()))?;
    if timescaledb < OLDEST_TIMESCALEDB {
        return Err(format!(
            "{} has TimescaleDB {}.{}, {}.{} or later is needed",
            postgres.display(),
            timescaledb.0,
            timescaledb.1,
            OLDEST_TIMESCALEDB.0,
            OLDEST_TIMESCALEDB.1
        ));
    }
    let prefix = up(5);
    let is_private = prefix.join(MARK).is_file();
    Ok(Installation {
        major,
        zoneinfo: is_private.then(|| prefix.join("usr/share/zoneinfo")),
        bin_dir,
    })
}

/// (major, minor) of `default_version = '2.19.3'`.
fn default_version(control: &str) -> Option<(u32, u32)> {
    let line = control
        .lines()
        .find_map(|line| line.strip_prefix("default_version"))?;
    let version = line
        .trim_start_matches([' ', '='])
        .trim_matches([' ', '\'']);
    let mut numbers = version.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

async fn output_of(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

async fn install(engine_dir: &Path) -> Result<(), EngineError> {
    create_open_dir(engine_dir)?;
    let engine_dir = engine_dir.canonicalize().at("resolve", engine_dir)?;
    let lock = lock_for_install(&engine_dir.join("lock")).await?;
    // Whoever held the lock may just have done it.
    if !installations_in(&engine_dir).await.0.is_empty() {
        return Ok(());
    }
    let mut script = Command::new("sh")
        .args([
            OsStr::new("-c"),
            OsStr::new(INSTALLER),
            OsStr::new("install.sh"),
            engine_dir.as_os_str(),
        ])
        // The lock lives as long as any process of the script, even when this one is killed.
        .stdin(Stdio::from(lock))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .at("run `sh` in", &engine_dir)?;
    let (mut said, mut refused) = (Vec::new(), false);
    if let Some(stderr) = script.stderr.take() {
        // Not endless: an installer that says more than this has gone wrong.
        let mut lines = BufReader::new(stderr.take(1 << 20)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // What follows a refusal is the error's text, which the caller reports.
            refused |= line.starts_with(REFUSAL);
            if !refused {
                tracing::info!("{line}");
            }
            said.push(line);
        }
    }
    let status = script
        .wait()
        .await
        .at("run the installer in", &engine_dir)?;
    if status.success() {
        return Ok(());
    }
    if status.code() == Some(UNAVAILABLE) {
        let start = said
            .iter()
            .rposition(|line| line.starts_with(REFUSAL))
            .unwrap_or(0);
        return Err(EngineError::Install {
            message: said[start..].join("\n"),
        });
    }
    Err(EngineError::Program {
        program: "the installer",
        status,
        output: said.split_off(said.len().saturating_sub(8)).join("\n"),
    })
}

/// Waits while another process installs into the same directory.
async fn lock_for_install(path: &Path) -> Result<File, EngineError> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .at("open", path)?;
    let mut announced = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => {
                if !announced {
                    tracing::info!("waiting for another process that installs the database engine");
                    announced = true;
                }
                // Polled, because a blocked thread could not be cancelled.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(fs::TryLockError::Error(error)) => return Err(error).at("lock", path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_file_names_the_version() {
        let control = "comment = 'x'\ndefault_version = '2.19.3'\nrelocatable = false\n";
        assert_eq!(default_version(control), Some((2, 19)));
        assert_eq!(
            default_version("default_version = '2.20.0-dev'"),
            Some((2, 20))
        );
        assert_eq!(default_version("comment = 'x'"), None);
    }
}
