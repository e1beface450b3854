//! One database a test, on the engine that `make test` starts once for all.

use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};
use uuid::Uuid;

use super::forwarder::Forwarder;
use super::rollups;

/// Names the engine of the tests; `make test` sets it.
const URL_VARIABLE: &str = "DATABASE_URL";
/// Statements that start with this drop what a test that was killed left behind.
const NAME_PREFIX: &str = "test_";

/// A database of one test, dropped with it.
pub struct TestDatabase {
    /// Its name.
    pub name: String,
    /// Where services on this database keep their log, one after the other.
    pub data_dir: TempDir,
    server: String,
    is_checked: bool,
}

impl TestDatabase {
    /// An empty database.
    pub async fn create() -> Self {
        let server = std::env::var(URL_VARIABLE).unwrap_or_else(|_| {
            panic!(
                "{URL_VARIABLE} is not set: run the tests with `make test`, which starts a database"
            )
        });
        let name = format!("{NAME_PREFIX}{}", Uuid::now_v7().simple());
        let client = connect(&server, None).await;
        client
            .batch_execute(&format!("create database {name}"))
            .await
            .expect("a new database");
        Self {
            name,
            data_dir: tempfile::tempdir().expect("a directory"),
            server,
            is_checked: true,
        }
    }

    /// Another database with what is in this one now. Nobody may be connected to it.
    pub async fn copy(&self) -> Self {
        let name = format!("{NAME_PREFIX}{}", Uuid::now_v7().simple());
        let copy = format!("create database {name} template {}", self.name);
        let client = connect(&self.server, None).await;
        client.batch_execute(&copy).await.expect("a copy");
        Self {
            name,
            data_dir: tempfile::tempdir().expect("a directory"),
            server: self.server.clone(),
            is_checked: self.is_checked,
        }
    }

    /// Its address, for the service.
    pub fn url(&self) -> String {
        // Later words win over earlier ones.
        format!("{} dbname={}", self.server, self.name)
    }

    /// Its address by way of a forwarder.
    pub fn url_through(&self, forwarder: &Forwarder) -> String {
        let config = server_config(&self.server);
        let mut url = format!(
            "host=127.0.0.1 port={} dbname={}",
            forwarder.port, self.name
        );
        if let Some(user) = config.get_user() {
            url.push_str(&format!(" user={user}"));
        }
        if let Some(password) = config.get_password() {
            url.push_str(&format!(" password={}", String::from_utf8_lossy(password)));
        }
        url
    }

    /// A forwarder to its server.
    pub async fn forwarder(&self) -> Forwarder {
        Forwarder::start(&server_config(&self.server)).await
    }

    /// A connection of the test's own.
    pub async fn client(&self) -> Client {
        connect(&self.server, Some(&self.name)).await
    }
}

impl TestDatabase {
    /// Lets rollups differ from the events at the end of the test, which puts events there by itself.
    pub fn changes_events(&mut self) {
        self.is_checked = false;
    }
}

impl Drop for TestDatabase {
    /// At the end of every test the rollups of every property must be what its events say.
    fn drop(&mut self) {
        if self.is_checked && !std::thread::panicking() {
            let url = self.url();
            let checked = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.expect("a runtime").block_on(rollups::check(&url));
            });
            if checked.join().is_err() {
                self.drop_database();
                panic!("rollups are not what the events say");
            }
        }
        self.drop_database();
    }
}

impl TestDatabase {
    fn drop_database(&self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // The test's runtime may be going down, so this has one of its own.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let drop = format!("drop database if exists {name} with (force)");
                connect(&server, None).await.batch_execute(&drop).await
            })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the database {} could not be dropped", self.name);
        }
    }
}

fn server_config(server: &str) -> Config {
    server.parse().expect("a database URL")
}

async fn connect(server: &str, database: Option<&str>) -> Client {
    let mut config = server_config(server);
    if let Some(name) = database {
        config.dbname(name);
    }
    let (client, connection) = config.connect(NoTls).await.expect("the tests' database");
    tokio::spawn(async move {
        // Ends with an error when its database is dropped, which is as it should be.
        let _ = connection.await;
    });
    client
}
