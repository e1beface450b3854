//! Databases that lack something: the server says what, and what to do, and ends or waits.

use std::process::Stdio;

use tallymark::store::embedded::{Engine, EngineOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic_health::pb::health_check_response::ServingStatus;
use uuid::Uuid;

use crate::support::{ServerProcess, TestApp, TestDatabase, data_dir, run};

#[tokio::test]
async fn a_database_that_is_not_there_yet_is_waited_for() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let socket_dir = url.split([' ', '=']).nth(1).expect("a directory");
    let elsewhere = data_dir();
    let link = elsewhere.path().join("sock");
    let later = url.replacen(socket_dir, link.to_str().expect("UTF-8"), 1);

    let mut server = ServerProcess::start(&[("DATABASE_URL", &later)]);
    let line = server.says("waiting for the database").await;
    assert!(line.contains("WARN"), "{line}");
    assert_eq!(server.health().await, ServingStatus::NotServing);
    std::os::unix::fs::symlink(socket_dir, &link).expect("a link");
    server.serving().await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_waits_for_its_database_can_be_stopped() {
    let url = "postgresql://tallymark@127.0.0.1:1/tallymark";
    let mut server = ServerProcess::start(&[("DATABASE_URL", url)]);
    server.says("waiting for the database").await;
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut startup = [0; 1024];
            let _ = stream.read(&mut startup).await;
            let fields =
                b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"me\"\0\0";
            let length = u32::try_from(fields.len() + 4).expect("short");
            let error = [b"E", &length.to_be_bytes()[..], fields].concat();
            let _ = stream.write_all(&error).await;
        }
    });
    let url = format!("postgresql://me:hunter2@{address}/tallymark?sslmode=disable");
    let mut server = ServerProcess::start(&[("DATABASE_URL", &url)]);
    let line = server.says("waiting for the database").await;
    assert!(line.contains("password authentication failed"), "{line}");
    assert_eq!(server.health().await, ServingStatus::NotServing);
    let log = server.stop().await;
    assert!(!log.contains("hunter2"), "{log}");

    // A command that somebody waits for gives up.
    let refusal = run(&["key", "list"], &[("DATABASE_URL", &url)]).await;
    let refusal = refusal.refusal(1);
    assert!(
        refusal.contains("password authentication failed"),
        "{refusal}"
    );
    assert!(!refusal.contains("hunter2"), "{refusal}");
}

#[tokio::test]
async fn a_role_without_rights_is_told_which_ones_it_needs() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    let role = format!("role_{}", Uuid::now_v7().simple());
    client
        .batch_execute(&format!("create role {role} login"))
        .await
        .expect("a role");
    let url = format!("{} user={role}", database.url());
    let refusal = refused(&url).await;
    assert!(
        refusal.contains(&format!("the role `{role}` may not create the extension")),
        "{refusal}"
    );
    client
        .batch_execute("create extension timescaledb")
        .await
        .expect("the extension");
    let refusal = refused(&url).await;
    assert!(
        refusal.contains(&format!("the role `{role}` may not create tables"))
            && refusal.contains("grant create on schema public"),
        "{refusal}"
    );
    // What the message says is all it takes.
    client
        .batch_execute(&format!("grant create on schema public to {role}"))
        .await
        .expect("the right");
    let mut server = ServerProcess::start(&[("DATABASE_URL", &url)]);
    server.serving().await;
    server.stop().await;
    client
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .await
        .expect("the role is gone");
}

#[tokio::test]
async fn a_database_that_is_not_utf8_is_refused() {
    let server = TestDatabase::create().await;
    let client = server.client().await;
    let name = format!("{}_ascii", server.name);
    client
        .batch_execute(&format!(
            "create database {name} encoding 'SQL_ASCII' locale_provider libc locale 'C' \
             template template0"
        ))
        .await
        .expect("a database");
    let refusal = refused(&format!("{} dbname={name}", server.url())).await;
    client
        .batch_execute(&format!("drop database {name} with (force)"))
        .await
        .expect("the database is gone");
    assert!(
        refusal.contains("has the encoding SQL_ASCII, need UTF8"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_changed_migration_and_a_newer_database_are_refused() {
    let database = TestApp::start().await.stop().await;
    let client = database.client().await;
    let newer = "insert into schema_migrations values ('9999_of_the_future.sql', '\\x00')";
    client.batch_execute(newer).await.expect("a row");
    let refusal = refused(&database.url()).await;
    assert!(
        refusal.contains("9999_of_the_future") && refusal.contains("run a newer version"),
        "{refusal}"
    );
    let changed = "delete from schema_migrations where name like '9999%';
        update schema_migrations set sha256 = '\\x00' where name like '0001%'";
    client.batch_execute(changed).await.expect("a row");
    let refusal = refused(&database.url()).await;
    assert!(
        refusal.contains("migration 0001_") && refusal.contains("another text"),
        "{refusal}"
    );
}

#[tokio::test]
async fn timescaledb_that_is_not_preloaded_is_told() {
    let dir = data_dir();
    let options = |preload: &str| EngineOptions {
        data_dir: dir.path().to_path_buf(),
        engine_dir: std::env::var_os("TALLYMARK_ENGINE_DIR").map(Into::into),
        extra_settings: vec![("shared_preload_libraries".to_owned(), preload.to_owned())],
        ..EngineOptions::default()
    };
    // The engine itself needs the library once, to create its own database.
    let engine = Engine::start(options("timescaledb")).await;
    engine.expect("an engine").stop().await.expect("it stops");
    let engine = Engine::start(options("")).await.expect("an engine");
    let url = format!("{} dbname=template1", engine.database_url());
    let refusal = refused(&url).await;
    engine.stop().await.expect("it stops");
    assert!(
        refusal.contains("not preloaded") && refusal.contains("shared_preload_libraries"),
        "{refusal}"
    );
}

/// Only where the system has a PostgreSQL without TimescaleDB.
#[tokio::test]
async fn a_postgresql_without_timescaledb_is_told() {
    let Some(plain) = PlainServer::start().await else {
        return;
    };
    let refusal = refused(&plain.url).await;
    assert!(
        refusal.contains("the PostgreSQL server has no TimescaleDB")
            && refusal.contains("or unset DATABASE_URL"),
        "{refusal}"
    );
}

/// Why `tallymark serve` does not run on this database.
async fn refused(url: &str) -> String {
    let log = ServerProcess::start(&[("DATABASE_URL", url)])
        .refusal(1)
        .await;
    let words = log.lines().find(|line| line.starts_with("tallymark: "));
    words
        .unwrap_or_else(|| panic!("no reason: {log}"))
        .to_owned()
}

/// The system's own PostgreSQL on a data directory of its own.
struct PlainServer {
    url: String,
    _server: tokio::process::Child,
    _dir: tempfile::TempDir,
}

impl PlainServer {
    async fn start() -> Option<Self> {
        let bin_dirs = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let bin_dir = bin_dirs
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|dir| {
                let version = dir.file_name().and_then(|name| name.to_str());
                let control = format!(
                    "/usr/share/postgresql/{}/extension/timescaledb.control",
                    version.unwrap_or_default()
                );
                dir.join("bin/initdb").exists() && !std::path::Path::new(&control).exists()
            })?
            .join("bin");
        let dir = data_dir();
        let data = dir.path().join("data");
        let program = |name: &str| {
            let mut command = tokio::process::Command::new(bin_dir.join(name));
            if rustix::process::geteuid().is_root() {
                // nobody; PostgreSQL refuses to run as root.
                command.uid(65_534).gid(65_534);
                std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).expect("chown");
            }
            command
                .arg("-D")
                .arg(&data)
                .current_dir("/")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true);
            command
        };
        let mut initdb = program("initdb");
        initdb.args(["-U", "me", "-E", "UTF8", "--locale=C", "--no-sync"]);
        assert!(initdb.status().await.expect("initdb").success());
        let mut postgres = program("postgres");
        postgres
            .args(["-c", "listen_addresses=", "-k"])
            .arg(dir.path());
        let server = postgres.spawn().expect("postgres");
        let url = format!("host={} user=me dbname=postgres", dir.path().display());
        Some(Self {
            url,
            _server: server,
            _dir: dir,
        })
    }
}
