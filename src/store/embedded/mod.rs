//! A private PostgreSQL + TimescaleDB that the service runs for itself when it is given no DATABASE_URL.
//!
//! ```text
//! start:  lock data directory → find or install binaries → end orphans → initdb → settings → run → database ready
//! stop:   fast shutdown, bounded → immediate → kill → unlock
//! ```
//!
//! - One service a data directory: a lock on its file `lock` says so.
//! - The server listens on a Unix socket in a directory that only its user (and root) may enter.
//! - It runs in a process group of its own, so a terminal's Ctrl-C does not reach it: [`Engine::stop`] does.
//! - When the service is killed with SIGKILL the server lives on, harmlessly; the next start on the same data
//!   directory stops it first. Data are safe either way.
//! - As root, the server runs as an unprivileged user, who must be able to enter the data directory.

mod account;
mod cluster;
mod error;
mod install;
mod process;
mod settings;

use std::path::{Path, PathBuf};

use tokio_postgres::error::SqlState;

use self::account::Account;
use self::cluster::DataDir;
pub use self::error::EngineError;
use self::process::Server;

/// Names the socket's file; no network port is opened.
const PORT: u16 = 5432;
const DATABASE: &str = "tallymark";

/// How and where to run the engine.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Created when missing. Everything the engine keeps is in it.
    pub data_dir: PathBuf,
    /// A PostgreSQL installation with TimescaleDB, or where to install one. None: `tallymark/engine` in the
    /// user's cache directory, for root in /var/cache.
    pub engine_dir: Option<PathBuf>,
    /// For root: the unprivileged user that the server runs as. None: `postgres` if there is one, else `nobody`.
    pub run_as: Option<String>,
    /// TimescaleDB's own jobs (compression and retention policies) may run.
    pub background_workers: bool,
    /// Settings of PostgreSQL, stronger than the engine's own.
    pub extra_settings: Vec<(String, String)>,
}

/// A running server. Dropping it asks the server to stop without waiting; [`Engine::stop`] waits.
#[derive(Debug)]
pub struct Engine {
    // Dropped in this order: the lock goes last.
    server: Server,
    database_url: String,
    bin_dir: PathBuf,
    data: DataDir,
}

impl Engine {
    /// Installs the binaries and creates the database when needed, starts the server, and waits until it accepts
    /// connections. The first start on a machine downloads about 40 MB; a start after a crash replays the log,
    /// for ten minutes at most. Says what it does through `tracing`.
    ///
    /// # Errors
    /// Every [`EngineError`]: the data directory is another service's or unreachable for the server's user, no
    /// engine can be found or installed, or the server does not start.
    pub async fn start(options: EngineOptions) -> Result<Engine, EngineError> {
        let account = Account::resolve(options.run_as.as_deref())?;
        let data = DataDir::open(&options.data_dir, &account)?;
        let cluster = data.cluster();
        let needs = data.major()?.map(|major| (cluster.as_path(), major));
        let engine_dir = options
            .engine_dir
            .map(|dir| std::path::absolute(&dir).unwrap_or(dir));
        let engine = install::locate(engine_dir.as_deref(), needs, &account).await?;
        process::end_orphans(&cluster).await?;
        if needs.is_none() {
            data.create_cluster(&engine, &account).await?;
        }
        let socket_dir = data.make_socket_dir(&account)?;
        let socket_dir = socket_dir.to_string_lossy();
        let text = settings::render(&settings::Facts {
            socket_dir: &socket_dir,
            background_workers: options.background_workers,
            lz4: engine.zoneinfo.is_some(),
            memory_bytes: settings::memory_bytes(),
            extra: &options.extra_settings,
        })?;
        data.write_settings(&text, &account)?;
        data.link_time_zones(&engine)?;

        // From here on, an error (or a cancelled start) drops the engine, which stops the server.
        let mut started = Engine {
            server: Server::spawn(&data, &engine, &account)?,
            database_url: url(&socket_dir, PORT, DATABASE),
            bin_dir: engine.bin_dir,
            data,
        };
        let maintenance = started
            .server
            .wait_until_ready(&url(&socket_dir, PORT, "postgres"))
            .await?;
        started.prepare_database(&maintenance).await?;
        Ok(started)
    }

    /// For tokio-postgres and libpq: `host=/…/sock port=5432 user=tallymark dbname=tallymark`. The user is a
    /// superuser; the database has the extension timescaledb.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Where the engine's programs are, `psql` among them.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Resolves when the server ends unasked, with why. Cancel safe, and repeatable.
    pub async fn died(&mut self) -> EngineError {
        self.server.died().await
    }

    /// Stops the server: at most 40 s, after which it is killed. What was committed is safe whichever way it ends.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the process cannot be waited for.
    pub async fn stop(mut self) -> Result<(), EngineError> {
        self.server.stop().await?;
        self.data.remove_short_socket_dir();
        Ok(())
    }

    /// Creates the database and its extension, or brings the extension to the version of the installed binaries.
    async fn prepare_database(
        &self,
        maintenance: &tokio_postgres::Client,
    ) -> Result<(), EngineError> {
        let failed = |action| move |source| EngineError::Database { action, source };
        match maintenance.batch_execute("create database tallymark").await {
            Ok(()) => {}
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => {}
            Err(error) => return Err(failed("to create the database")(error)),
        }
        let client = process::connect(&self.database_url)
            .await
            .map_err(failed("a connection"))?;
        // Must be a connection's very first command: any other loads the old version. Says nothing when up to date.
        match client
            .batch_execute("alter extension timescaledb update")
            .await
        {
            Ok(()) => Ok(()),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => client
                .batch_execute("create extension timescaledb")
                .await
                .map_err(failed("to create the extension timescaledb")),
            Err(error) => Err(failed("to update the extension timescaledb")(error)),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.server.ask_to_stop();
    }
}

/// For command-line tools: the URL of an engine that is running on this data directory and ready, if one is. None
/// also when this user may not look.
pub fn running_database_url(data_dir: &Path) -> Option<String> {
    let (socket_dir, port) = process::running_socket(&cluster::cluster_of(data_dir))?;
    Some(url(&socket_dir, port, DATABASE))
}

/// Socket directories are chosen to need no quotes.
fn url(socket_dir: &str, port: u16, database: &str) -> String {
    format!("host={socket_dir} port={port} user=tallymark dbname={database}")
}
