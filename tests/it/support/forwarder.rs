//! Stands between a service and its database, and can be cut, hold everything, or pick out commits.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// For what happens at once, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

/// Passes bytes on until it is told otherwise.
pub struct Forwarder {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    line: watch::Sender<Line>,
    commits: watch::Sender<Commits>,
    counts: watch::Sender<Counts>,
}

/// What happens to all connections.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    Whole,
    /// They break, and new ones break at once.
    Cut,
    /// They are open, and what is sent on them waits here.
    Held,
}

/// What happens to the next commits of transactions that copied rows.
#[derive(Clone, Copy, PartialEq)]
enum Commits {
    Pass,
    /// So many reach the database, and their connection breaks before the reply.
    Lose(usize),
    /// So many wait here until all is restored, with their connection; other connections go on.
    Hold(usize),
}

#[derive(Clone, Copy, Default)]
struct Counts {
    connections: usize,
    /// Commits that were lost or held.
    commits: usize,
}

#[derive(Clone)]
enum Target {
    Socket(PathBuf),
    Address(String, u16),
}

impl Forwarder {
    /// One that passes on to this server.
    pub async fn start(server: &Config) -> Self {
        let port = server.get_ports().first().copied().unwrap_or(5_432);
        let target = match server.get_hosts().first() {
            Some(Host::Unix(directory)) => {
                Target::Socket(directory.join(format!(".s.PGSQL.{port}")))
            }
            Some(Host::Tcp(host)) => Target::Address(host.clone(), port),
            None => panic!("the server has no address"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let line = watch::Sender::new(Line::Whole);
        let commits = watch::Sender::new(Commits::Pass);
        let counts = watch::Sender::new(Counts::default());
        let control = (line.clone(), commits.clone(), counts.clone());
        tokio::spawn(async move {
            let (line, commits, counts) = control;
            while let Ok((client, _)) = listener.accept().await {
                counts.send_modify(|counts| counts.connections += 1);
                if *line.borrow() == Line::Cut {
                    continue;
                }
                let wire = Wire {
                    line: line.subscribe(),
                    commits: commits.clone(),
                    counts: counts.clone(),
                    is_losing: AtomicBool::new(false),
                };
                tokio::spawn(forward(client, target.clone(), wire));
            }
        });
        Self {
            port,
            line,
            commits,
            counts,
        }
    }

    /// Breaks all connections, now and from now on.
    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Takes connections and bytes, and passes nothing on.
    pub fn hold(&self) {
        self.line.send_replace(Line::Held);
    }

    /// Breaks a connection after the database has answered its commit, so many times.
    pub fn lose_commits(&self, count: usize) {
        self.commits.send_replace(Commits::Lose(count));
    }

    /// Holds a connection before its commit reaches the database, so many times.
    pub fn hold_commits(&self, count: usize) {
        self.commits.send_replace(Commits::Hold(count));
    }

    /// Passes everything on again, and first what was held.
    pub fn restore(&self) {
        self.commits.send_replace(Commits::Pass);
        self.line.send_replace(Line::Whole);
    }

    /// Connections that were made to it.
    pub fn connections(&self) -> usize {
        self.counts.borrow().connections
    }

    /// Waits until so many connections were made to it.
    pub async fn until_connections(&self, wanted: usize) {
        self.until(|counts| counts.connections >= wanted).await;
    }

    /// Waits until so many commits were lost or held.
    pub async fn until_commits(&self, wanted: usize) {
        self.until(|counts| counts.commits >= wanted).await;
    }

    async fn until(&self, reached: impl Fn(Counts) -> bool) {
        let mut counts = self.counts.subscribe();
        let waited = tokio::time::timeout(SOON, counts.wait_for(|counts| reached(*counts))).await;
        assert!(waited.is_ok(), "the service does not use its database");
    }
}

async fn forward(client: TcpStream, target: Target, wire: Wire) {
    match target {
        Target::Socket(path) => match UnixStream::connect(path).await {
            Ok(server) => wire.pass(client, server).await,
            Err(_) => drop(client),
        },
        Target::Address(host, port) => match TcpStream::connect((host.as_str(), port)).await {
            Ok(server) => wire.pass(client, server).await,
            Err(_) => drop(client),
        },
    }
}

/// One connection.
struct Wire {
    line: watch::Receiver<Line>,
    commits: watch::Sender<Commits>,
    counts: watch::Sender<Counts>,
    is_losing: AtomicBool,
}

impl Wire {
    async fn pass<S: AsyncRead + AsyncWrite>(self, client: TcpStream, server: S) {
        let (from_client, to_client) = split(client);
        let (from_server, to_server) = split(server);
        let mut line = self.line.clone();
        tokio::select! {
            _ = self.up(from_client, to_server) => {}
            _ = self.down(from_server, to_client) => {}
            _ = line.wait_for(|line| *line == Line::Cut) => {}
        }
    }

    async fn up<S: AsyncWrite>(
        &self,
        mut client: ReadHalf<TcpStream>,
        mut server: WriteHalf<S>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut has_copied = false;
        loop {
            let read = client.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            self.until_passing().await;
            let bytes = &buffer[..read];
            has_copied |= contains(bytes, b"copy ");
            if has_copied && contains(bytes, b"COMMIT\0") {
                has_copied = false;
                self.commit().await;
            }
            server.write_all(bytes).await?;
        }
    }

    async fn down<S: AsyncRead>(
        &self,
        mut server: ReadHalf<S>,
        mut client: WriteHalf<TcpStream>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = server.read(&mut buffer).await?;
            if read == 0 || self.is_losing.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.until_passing().await;
            client.write_all(&buffer[..read]).await?;
        }
    }

    async fn until_passing(&self) {
        let mut line = self.line.clone();
        // The sender lives as long as the listener, which never ends.
        let _passing = line.wait_for(|line| *line != Line::Held).await;
    }

    /// A commit is about to be sent.
    async fn commit(&self) {
        let mut decided = Commits::Pass;
        self.commits.send_if_modified(|commits| {
            decided = *commits;
            match commits {
                Commits::Lose(left) | Commits::Hold(left) if *left > 0 => *left -= 1,
                _ => decided = Commits::Pass,
            }
            decided != Commits::Pass
        });
        match decided {
            Commits::Pass => {}
            Commits::Lose(_) => {
                self.is_losing.store(true, Ordering::Relaxed);
                self.counts.send_modify(|counts| counts.commits += 1);
            }
            Commits::Hold(_) => {
                self.counts.send_modify(|counts| counts.commits += 1);
                let mut commits = self.commits.subscribe();
                let _restored = commits.wait_for(|commits| *commits == Commits::Pass).await;
            }
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
