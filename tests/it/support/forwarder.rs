//! Stands between a service and its database, and can be cut.

use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Passes bytes on until it is cut; then its connections break, and new ones break at once.
pub struct Forwarder {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    is_whole: watch::Sender<bool>,
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
        let (is_whole, whole) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *whole.borrow() {
                    tokio::spawn(forward(client, target.clone(), whole.clone()));
                }
            }
        });
        Self { port, is_whole }
    }

    /// Breaks all connections, now and from now on.
    pub fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    /// Passes bytes on again.
    pub fn restore(&self) {
        self.is_whole.send_replace(true);
    }
}

async fn forward(client: TcpStream, target: Target, whole: watch::Receiver<bool>) {
    match target {
        Target::Socket(path) => match UnixStream::connect(path).await {
            Ok(server) => pass(client, server, whole).await,
            Err(_) => drop(client),
        },
        Target::Address(host, port) => match TcpStream::connect((host.as_str(), port)).await {
            Ok(server) => pass(client, server, whole).await,
            Err(_) => drop(client),
        },
    }
}

async fn pass(
    mut client: TcpStream,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
    mut whole: watch::Receiver<bool>,
) {
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}
