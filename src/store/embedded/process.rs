//! The server's process: started, waited for, stopped; and what an earlier run left behind.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::account::Account;
use super::cluster::{DataDir, clean_environment};
use super::error::{At, EngineError};
use super::install::Installation;

/// Replaying 4 GB of write-ahead log after a crash takes minutes on a slow disk.
const READY_SECONDS: u64 = 600;
/// For a fast shutdown, which writes a checkpoint.
const FAST_STOP: Duration = Duration::from_secs(30);
/// For an immediate one, which does not, and for processes to end that have lost their server.
const IMMEDIATE_STOP: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A running server that is this process's child.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    log_start: u64,
}

impl Server {
    /// Starts it without waiting until it is ready.
    pub(super) fn spawn(
        data: &DataDir,
        engine: &Installation,
        account: &Account,
    ) -> Result<Server, EngineError> {
        let (log_file, log_start) = data.open_log()?;
        let log = data.log();
        let cluster = data.cluster();
        let mut command = Command::new(engine.program("postgres"));
        command
            .arg("-D")
            .arg(&cluster)
            .current_dir(&cluster)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log_file.try_clone().at("open", &log)?))
            .stderr(Stdio::from(log_file))
            // Ctrl-C in a terminal goes to the whole foreground process group; the service must get to drain first.
            .process_group(0);
        account.apply_to(&mut command);
        let child = clean_environment(&mut command)
            .spawn()
            .at("run", &engine.program("postgres"))?;
        Ok(Server {
            child,
            log,
            log_start,
        })
    }

    /// Waits until it accepts connections, through crash recovery if need be, and connects.
    pub(super) async fn wait_until_ready(&mut self, url: &str) -> Result<Client, EngineError> {
        let started = Instant::now();
        let mut next_notice = Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().at("wait for", &self.log)? {
                return Err(self.death(status));
            }
            match connect(url).await {
                Ok(client) => return Ok(client),
                Err(error) if is_transient(&error) => {}
                Err(source) => {
                    return Err(EngineError::Database {
                        action: "the first connection",
                        source,
                    });
                }
            }
            let waited = started.elapsed();
            if waited.as_secs() >= READY_SECONDS {
                return Err(EngineError::NotReady {
                    seconds: READY_SECONDS,
                    log: self.log.clone(),
                });
            }
            if waited >= next_notice {
                tracing::info!(
                    seconds = waited.as_secs(),
                    "the database is still recovering"
                );
                next_notice += Duration::from_secs(10);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Resolves when it has ended. Cancel safe.
    pub(super) async fn died(&mut self) -> EngineError {
        match self.child.wait().await {
            Ok(status) => self.death(status),
            Err(source) => EngineError::Io {
                action: "wait for",
                path: self.log.clone(),
                source,
            },
        }
    }

    /// A fast shutdown: open transactions are rolled back, then a checkpoint. An immediate one when that takes too
    /// long: nothing committed is lost, the next start replays the log.
    pub(super) async fn stop(&mut self) -> Result<(), EngineError> {
        for (signal, patience) in [
            (Signal::INT, FAST_STOP),
            (Signal::QUIT, IMMEDIATE_STOP),
            (Signal::KILL, IMMEDIATE_STOP),
        ] {
            // None: it has ended and been waited for.
            let Some(pid) = self.child.id() else {
                return Ok(());
            };
            send(pid, signal);
            match tokio::time::timeout(patience, self.child.wait()).await {
                Ok(ended) => return ended.map(drop).at("wait for", &self.log),
                Err(_) => tracing::warn!(?signal, "the database does not stop, trying harder"),
            }
        }
        Ok(())
    }

    /// Asks for a fast shutdown without waiting for it.
    pub(super) fn ask_to_stop(&self) {
        if let Some(pid) = self.child.id() {
            send(pid, Signal::INT);
        }
    }

    fn death(&self, status: ExitStatus) -> EngineError {
        EngineError::Died {
            status,
            log: self.log.clone(),
            log_tail: read_tail(&self.log, self.log_start).unwrap_or_default(),
        }
    }
}

/// Opens a connection whose task ends with the client.
pub(super) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Its errors reach the client's calls.
    tokio::spawn(connection);
    Ok(client)
}

/// The socket is not there yet, or the server is starting up or recovering.
fn is_transient(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => *code == SqlState::CANNOT_CONNECT_NOW,
        None => true,
    }
}

/// Ends what a killed service left running in its data directory. Only for the holder of its lock: since no
/// service uses the directory, whatever runs there is an orphan of ours.
///
/// It is stopped rather than adopted: its settings may be old ones, and nobody but a parent is told when it dies.
pub(super) async fn end_orphans(cluster: &Path) -> Result<(), EngineError> {
    let postmaster = running_postmaster(cluster);
    if let Some(pid) = postmaster {
        tracing::info!(pid, "stopping the database that an earlier run left behind");
        send(pid, Signal::INT);
        if !gone(cluster, FAST_STOP).await {
            send(pid, Signal::QUIT);
        }
    }
    // Without their postmaster, processes end by themselves when they next wait for something. Until they have, a
    // second server would write the same files.
    for signal in [Signal::QUIT, Signal::KILL] {
        if gone(cluster, IMMEDIATE_STOP).await {
            break;
        }
        for pid in working_in(cluster) {
            send(pid, signal);
        }
    }
    if !gone(cluster, IMMEDIATE_STOP).await
        && let Some(&pid) = working_in(cluster).first()
    {
        return Err(EngineError::Survivor {
            dir: cluster.to_path_buf(),
            pid,
        });
    }
    // PostgreSQL handles a pid file whose process is gone. But after a restart of the machine or container the number
    // may be another process's, for which it would refuse to start. Nothing works in the directory: it is stale.
    let pid_file = cluster.join("postmaster.pid");
    let is_reused =
        pid_in(&pid_file).is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists());
    if is_reused {
        fs::remove_file(&pid_file).at("remove", &pid_file)?;
    }
    Ok(())
}

/// The server's process id, if one runs on this cluster.
pub(super) fn running_postmaster(cluster: &Path) -> Option<u32> {
    let pid = pid_in(&cluster.join("postmaster.pid"))?;
    works_in(pid, cluster).then_some(pid)
}

/// (socket directory, port) of the server that runs on this cluster and has said that it is ready.
pub(super) fn running_socket(cluster: &Path) -> Option<(String, u16)> {
    running_postmaster(cluster)?;
    // Lines: pid, data directory, start time, port, socket directory, listen address, shared memory, status.
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let (port, socket_dir, status) = (lines.get(3)?, lines.get(4)?, lines.get(7)?);
    (*status == "ready" && !socket_dir.is_empty())
        .then_some(((*socket_dir).to_owned(), port.parse().ok()?))
}

async fn gone(cluster: &Path, patience: Duration) -> bool {
    let started = Instant::now();
    while !working_in(cluster).is_empty() {
        if started.elapsed() >= patience {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
    true
}

/// Every PostgreSQL process whose working directory is the cluster, which is where all of them work.
fn working_in(cluster: &Path) -> Vec<u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| works_in(*pid, cluster))
        .collect()
}

fn works_in(pid: u32, cluster: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let is_postgres =
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "postgres");
    if !is_postgres {
        return false;
    }
    // By identity, not by name: the path may have been reached another way.
    match (fs::metadata(process.join("cwd")), fs::metadata(cluster)) {
        (Ok(cwd), Ok(cluster)) => (cwd.dev(), cwd.ino()) == (cluster.dev(), cluster.ino()),
        _ => false,
    }
}

fn pid_in(file: &Path) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// A process that is gone already is what the caller wants.
fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The last lines written since `start`, in bytes.
fn read_tail(log: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(start.max(end.saturating_sub(4096))))?;
    let mut bytes = Vec::new();
    file.take(4096).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(5)..].join("\n"))
}
