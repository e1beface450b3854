//! The real program, as a process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tallymark");
const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
const DATA_DIR: &str = "TALLYMARK_DATA_DIR";
/// For anything that a program does at once, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

/// What a program that has ended said, and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Standard output of a program that did what it was asked.
    pub fn output(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Standard error of a program that ended with this code.
    pub fn refusal(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

/// `tallymark` with none of the tests' own settings.
pub fn tallymark(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    clean(command, variables)
}

fn clean(mut command: Command, variables: &[(&str, &str)]) -> Command {
    for (name, _) in std::env::vars() {
        if name == "DATABASE_URL"
            || (name.starts_with("TALLYMARK_") && name != "TALLYMARK_ENGINE_DIR")
        {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied());
    command.kill_on_drop(true);
    command
}

/// Runs `tallymark` to its end.
pub async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    run_with_stdin(arguments, variables, &[]).await
}

/// Runs `tallymark` to its end with this standard input.
pub async fn run_with_stdin(arguments: &[&str], variables: &[(&str, &str)], stdin: &[u8]) -> Ended {
    let mut child = tallymark(arguments, variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut pipe = child.stdin.take().expect("a pipe");
    let write = async move {
        // One that does not read its input ends all the same.
        let _ = pipe.write_all(stdin).await;
        drop(pipe);
    };
    let ((), output) = timeout(SOON, async {
        tokio::join!(write, child.wait_with_output())
    })
    .await
    .unwrap_or_else(|_| panic!("tallymark {arguments:?} does not end"));
    let output = output.expect("the program's output");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// `tallymark serve`, on a free port. Killed when dropped.
pub struct ServerProcess {
    child: Child,
    log: watch::Receiver<String>,
    /// Its data directory, if it was given none.
    _data_dir: Option<TempDir>,
}

impl ServerProcess {
    /// Starts it with these variables.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        Self::spawn(tallymark(&SERVE, variables), variables)
    }

    /// Starts it with these variables by way of a shell that does this before.
    pub fn start_after(shell: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        let serve = format!("{shell} && exec \"$0\" serve --listen 127.0.0.1:0");
        command.args(["-c", &serve, PROGRAM]);
        Self::spawn(clean(command, variables), variables)
    }

    /// Starts it with these variables by way of another program, which gets the command line behind
    /// its own arguments and executes it in place.
    pub fn start_by(way: &[&str], variables: &[(&str, &str)]) -> Self {
        let (program, arguments) = way.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(arguments).arg(PROGRAM).args(SERVE);
        Self::spawn(clean(command, variables), variables)
    }

    fn spawn(mut command: Command, variables: &[(&str, &str)]) -> Self {
        let is_given = variables.iter().any(|(name, _)| *name == DATA_DIR);
        let data_dir = (!is_given).then(|| tempfile::tempdir().expect("a directory"));
        if let Some(data_dir) = &data_dir {
            command.env(DATA_DIR, data_dir.path());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, log) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|log| {
                    log.push_str(&line);
                    log.push('\n');
                });
            }
        });
        Self {
            child,
            log,
            _data_dir: data_dir,
        }
    }

    /// Starts it on a data directory of its own, without keys.
    pub fn start_in(data_dir: &Path) -> Self {
        let data_dir = data_dir.to_str().expect("UTF-8");
        Self::start(&[
            ("TALLYMARK_DATA_DIR", data_dir),
            ("TALLYMARK_UNAUTHENTICATED", "true"),
        ])
    }

    /// The first line of its log with this text, once it is there.
    pub async fn says(&mut self, text: &str) -> String {
        let said = self.log.wait_for(|log| log.contains(text));
        let Ok(Ok(log)) = timeout(SOON, said).await else {
            panic!("no `{text}` in the log:\n{}", *self.log.borrow());
        };
        let line = log.lines().find(|line| line.contains(text));
        line.expect("the line").to_owned()
    }

    /// Where it listens.
    pub async fn address(&mut self) -> SocketAddr {
        let line = self.says(" listening ").await;
        let (_, address) = line.rsplit_once("listen=").expect("the address");
        address.trim().parse().expect("an address")
    }

    /// A connection to it, whatever its health.
    pub async fn channel(&mut self) -> Channel {
        let address = self.address().await;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        endpoint.connect().await.expect("it listens")
    }

    /// A connection to it once it serves.
    pub async fn serving(&mut self) -> Channel {
        let channel = self.channel().await;
        let whole = HealthCheckRequest {
            service: String::new(),
        };
        let served = timeout(SOON, async {
            let watched = HealthClient::new(channel.clone()).watch(whole).await;
            let mut statuses = watched.expect("health is there").into_inner();
            while let Ok(Some(status)) = statuses.message().await {
                if status.status() == ServingStatus::Serving {
                    return true;
                }
            }
            false
        });
        assert_eq!(
            served.await,
            Ok(true),
            "it does not serve:\n{}",
            *self.log.borrow()
        );
        channel
    }

    /// Its health right now.
    pub async fn health(&mut self) -> ServingStatus {
        let whole = HealthCheckRequest {
            service: String::new(),
        };
        let mut client = HealthClient::new(self.channel().await);
        let reply = client.check(whole).await.expect("a health");
        reply.into_inner().status()
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        pid.and_then(Pid::from_raw).expect("it runs")
    }

    /// The most memory that it had at once, so far.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().expect("it runs"));
        let status = std::fs::read_to_string(status).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.expect("a peak") * 1_024
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// Waits for its end.
    pub async fn end(mut self) -> (ExitStatus, String) {
        let ended = timeout(SOON, self.child.wait()).await;
        let Ok(status) = ended else {
            panic!("it does not end:\n{}", *self.log.borrow());
        };
        // The log is complete when its task is gone.
        while self.log.changed().await.is_ok() {}
        let log = self.log.borrow().clone();
        (status.expect("a status"), log)
    }

    /// Stops it in order, and returns its log.
    pub async fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, log) = self.end().await;
        assert!(status.success(), "{status}:\n{log}");
        log
    }

    /// Why it could not start: its last words, after it ended with this code.
    pub async fn refusal(self, code: i32) -> String {
        let (status, log) = self.end().await;
        assert_eq!(status.code(), Some(code), "{log}");
        log
    }
}

/// A directory that the database's user can enter, as a service makes it.
pub fn data_dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}
