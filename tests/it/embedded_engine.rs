//! The own engine against a real PostgreSQL + TimescaleDB: started, killed, orphaned, in odd places. Nothing
//! sleeps: every wait is for a condition.

#![expect(
    clippy::unwrap_used,
    reason = "a line a step, and any failure is the test's"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tallymark::store::embedded::{Engine, EngineError, EngineOptions, running_database_url};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_postgres::{Client, NoTls};

#[tokio::test]
async fn data_survive_a_restart() {
    let dir = data_dir();
    let engine = Engine::start(options(dir.path())).await.unwrap();
    assert_eq!(
        running_database_url(dir.path()).as_deref(),
        Some(engine.database_url())
    );
    let client = connect(engine.database_url()).await;
    fill(&client).await;
    let zone = "select to_char(date_trunc('day', timestamptz '2024-07-01 12:00Z', 'Asia/Kathmandu'), 'HH24:MI TZ')";
    assert_eq!(text(&client, zone).await, "18:15 UTC");
    assert_eq!(text(&client, "select lower('ÄÖ')").await, "äö");
    assert_eq!(
        text(&client, "select current_setting('data_checksums')").await,
        "on"
    );
    engine.stop().await.unwrap();
    assert_eq!(running_database_url(dir.path()), None);

    let engine = Engine::start(options(dir.path())).await.unwrap();
    assert_filled(&connect(engine.database_url()).await).await;
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_service_on_the_directory_is_refused() {
    let dir = data_dir();
    let engine = Engine::start(options(dir.path())).await.unwrap();
    let refused = Engine::start(options(dir.path())).await.unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains(dir.path().to_str().unwrap())
            && message.contains(&std::process::id().to_string()),
        "{message}"
    );
    // The refusal left the first one alone.
    connect(engine.database_url()).await;
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_the_next_start_recovers() {
    let dir = data_dir();
    let mut engine = Engine::start(options(dir.path())).await.unwrap();
    fill(&connect(engine.database_url()).await).await;
    kill(postmaster(dir.path()));
    let died = tokio::time::timeout(Duration::from_secs(30), engine.died()).await;
    assert!(
        matches!(died, Ok(EngineError::Died { .. })),
        "died() did not say so: {died:?}"
    );
    engine.stop().await.unwrap();

    let engine = Engine::start(options(dir.path())).await.unwrap();
    assert_filled(&connect(engine.database_url()).await).await;
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn an_orphan_of_a_killed_service_is_stopped_and_its_data_are_there() {
    let dir = data_dir();
    // `cat` ends with its input, which this test holds open.
    let mut service = tokio::process::Command::new(env!("CARGO_BIN_EXE_tallymark"))
        .args(["database", "exec", "--data-dir"])
        .arg(dir.path())
        .args(["--set", "timescaledb.max_background_workers=0", "--"])
        .args(["sh", "-c", "echo ready; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap();
    assert_eq!(line.as_deref(), Some("ready"));
    let url = running_database_url(dir.path()).expect("it runs");
    fill(&connect(&url).await).await;
    service.kill().await.unwrap();
    let orphan = postmaster(dir.path());
    let url = running_database_url(dir.path()).expect("the orphan runs on");
    // A session that is open keeps nothing from stopping it.
    let open_session = connect(&url).await;
    assert_filled(&open_session).await;

    let engine = Engine::start(options(dir.path())).await.unwrap();
    assert_ne!(postmaster(dir.path()), orphan);
    assert!(open_session.batch_execute("select 1").await.is_err());
    assert_filled(&connect(engine.database_url()).await).await;
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn a_dropped_engine_stops_and_can_be_started_again_at_once() {
    let dir = data_dir();
    let engine = Engine::start(options(dir.path())).await.unwrap();
    fill(&connect(engine.database_url()).await).await;
    drop(engine);
    let engine = Engine::start(options(dir.path())).await.unwrap();
    assert_filled(&connect(engine.database_url()).await).await;
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_file_with_a_reused_number_does_not_hinder() {
    let dir = data_dir();
    let engine = Engine::start(options(dir.path())).await.unwrap();
    let pid_file = dir.path().join("postgres/postmaster.pid");
    let stale = fs::read_to_string(&pid_file).unwrap();
    let socket_lock = dir.path().join("sock/.s.PGSQL.5432.lock");
    let owner = fs::metadata(&pid_file).unwrap();
    engine.stop().await.unwrap();

    // A process of the same user, which PostgreSQL by itself would take for a running server.
    let mut other = Command::new("sleep");
    other.arg("600");
    if owner.uid() != own_uid() {
        other.uid(owner.uid());
    }
    let mut other = other.spawn().unwrap();
    let (_, rest) = stale.split_once('\n').unwrap();
    for file in [&pid_file, &socket_lock] {
        fs::write(file, format!("{}\n{rest}", other.id())).unwrap();
        std::os::unix::fs::chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    assert_eq!(running_database_url(dir.path()), None);
    let started = Engine::start(options(dir.path())).await;
    let still_there = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(still_there, "a stranger was killed");
    started.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_or_odd_for_a_socket_works() {
    let dir = data_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let odd = dir.path().join("it's a, path");
    let long = dir.path().join("long".repeat(30));
    for data_dir in [odd, long] {
        let engine = Engine::start(options(&data_dir)).await.unwrap();
        let url = engine.database_url().to_owned();
        fill(&connect(&url).await).await;
        assert_eq!(running_database_url(&data_dir), Some(url.clone()));
        let socket_dir = PathBuf::from(url.split([' ', '=']).nth(1).unwrap());
        let mode = fs::metadata(&socket_dir).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        engine.stop().await.unwrap();
        assert!(!socket_dir.exists(), "{} was left", socket_dir.display());
    }
}

#[tokio::test]
async fn data_of_another_major_are_refused() {
    let dir = data_dir();
    let cluster = dir.path().join("postgres");
    fs::create_dir(&cluster).unwrap();
    fs::write(cluster.join("PG_VERSION"), "15\n").unwrap();
    let refused = Engine::start(options(dir.path())).await.unwrap_err();
    assert!(
        matches!(refused, EngineError::OtherMajor { data_major: 15, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_setting_that_postgresql_refuses_is_reported_in_its_words() {
    let dir = data_dir();
    let options = EngineOptions {
        extra_settings: vec![("shared_buffers".into(), "plenty".into())],
        ..options(dir.path())
    };
    let refused = Engine::start(options).await.unwrap_err().to_string();
    assert!(
        refused.contains("shared_buffers") && refused.contains("plenty"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_terminals_signals_do_not_reach_the_server() {
    let dir = data_dir();
    let engine = Engine::start(options(dir.path())).await.unwrap();
    let group = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        after_name.split(' ').nth(2).unwrap().to_owned()
    };
    assert_ne!(group(postmaster(dir.path())), group(std::process::id()));
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn root_runs_the_server_as_somebody_else_who_must_get_through() {
    if own_uid() != 0 {
        return;
    }
    let dir = data_dir();
    // Closed to everybody else, and not the engine's to open.
    let inner = dir.path().join("inner");
    let refused = Engine::start(options(&inner)).await.unwrap_err();
    let EngineError::NotTraversable { dir: named, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(named, &dir.path().canonicalize().unwrap());
    assert!(!inner.exists(), "something was created all the same");

    for user in ["root", "no-such-user"] {
        let options = EngineOptions {
            run_as: Some(user.into()),
            ..options(dir.path())
        };
        let refused = Engine::start(options).await.unwrap_err();
        assert!(matches!(refused, EngineError::Account { .. }), "{refused}");
    }

    let options = EngineOptions {
        run_as: Some("nobody".into()),
        ..options(dir.path())
    };
    let engine = Engine::start(options).await.unwrap();
    let process = format!("/proc/{}", postmaster(dir.path()));
    let nobody = fs::metadata(process).unwrap().uid();
    assert_ne!(nobody, 0);
    assert_eq!(
        fs::metadata(dir.path().join("postgres")).unwrap().uid(),
        nobody
    );
    engine.stop().await.unwrap();
}

/// Closed to others, as `mktemp -d` makes them.
fn data_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn options(data_dir: &Path) -> EngineOptions {
    EngineOptions {
        data_dir: data_dir.to_path_buf(),
        engine_dir: std::env::var_os("TALLYMARK_ENGINE_DIR").map(PathBuf::from),
        ..EngineOptions::default()
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn fill(client: &Client) {
    client
        .batch_execute(
            "create table kept (time timestamptz not null, n int);
             select create_hypertable('kept', by_range('time', interval '1 day'));
             insert into kept select now() - n * interval '1 hour', n from generate_series(1, 100) n",
        )
        .await
        .unwrap();
}

async fn assert_filled(client: &Client) {
    assert_eq!(text(client, "select sum(n)::text from kept").await, "5050");
}

async fn text(client: &Client, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

fn postmaster(data_dir: &Path) -> u32 {
    let file = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    file.lines().next().unwrap().trim().parse().unwrap()
}

fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}
