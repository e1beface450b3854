//! The load generator, as the real program, against a service; what it says is compared with the database.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::support::{Ended, ServerProcess, TestApp, TestDatabase, data_dir, run, tallymark};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_is_sent_flat_out_is_acknowledged_and_in_the_database() {
    let app = TestApp::start().await;
    let load = ["--events", "20000", "--batch", "700", "--verify"];
    let ended = loadgen(&app, app.write_key.reveal(), &load).await;
    let text = ended.output();
    assert_eq!(number(&text, "events sent"), 20_000, "{text}");
    assert_eq!(number(&text, "accepted"), 20_000, "{text}");
    for nothing in ["rejected", "unacknowledged", "calls repeated"] {
        assert_eq!(number(&text, nothing), 0, "{text}");
    }
    assert!(
        text.contains("all 20,000 acknowledged events are in the database exactly once"),
        "{text}"
    );
    assert_eq!(stored(&app).await, 20_000);

    // The same seed again is other events.
    let load = ["--events", "1000", "--connections", "1", "--committed"];
    let again = loadgen(&app, app.write_key.reveal(), &load).await.output();
    assert_eq!(number(&again, "accepted"), 1_000, "{again}");
    assert_eq!(stored(&app).await, 21_000);
}

#[tokio::test]
async fn pipes_send_flat_out_and_measure_messages() {
    let app = TestApp::start().await;
    for (acknowledgement, stored_by_then) in [(&[][..], 20_000), (&["--committed"], 40_000)] {
        let load = ["--pipe", "--events", "20000", "--batch", "300", "--verify"];
        let load = [&load, acknowledgement].concat();
        let ended = loadgen(&app, app.write_key.reveal(), &load).await;
        let text = ended.output();
        assert_eq!(number(&text, "accepted"), 20_000, "{text}");
        assert_eq!(number(&text, "messages"), 67, "{text}");
        for nothing in [
            "duplicates, of attempts that broke off",
            "rejected",
            "calls repeated",
        ] {
            assert_eq!(number(&text, nothing), 0, "{text}");
        }
        assert!(text.contains("latency of messages, p50"), "{text}");
        assert!(
            text.contains("all 20,000 acknowledged events are in the database exactly once"),
            "{text}"
        );
        assert_eq!(stored(&app).await, stored_by_then);
    }
}

#[tokio::test]
async fn pipes_go_on_through_restarts_of_the_server() {
    let database = TestDatabase::create().await;
    let (url, dir) = (database.url(), data_dir());
    let server_variables = [
        ("DATABASE_URL", url.as_str()),
        ("TALLYMARK_DATA_DIR", dir.path().to_str().expect("UTF-8")),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ];
    let mut server = ServerProcess::start(&server_variables);
    server.serving().await;
    let (listening, address) = watch::channel(server.address().await);
    let front = front(address).await;
    let variables = [
        ("TALLYMARK_ADDRESS", front.as_str()),
        ("DATABASE_URL", url.as_str()),
    ];
    // It goes on for as long as the restarts take.
    let load = "loadgen --pipe --verify --duration 1h --rate 4000 --batch 50 --connections 2";
    let load: Vec<&str> = load.split(' ').collect();
    let loadgen = tallymark(&load, &variables)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let loadgen_pid = loadgen.id().and_then(|pid| Pid::from_raw(pid as i32));
    let loadgen = tokio::spawn(loadgen.wait_with_output());

    let client = database.client().await;
    let mut enough = 1;
    for signal in [Signal::TERM, Signal::KILL] {
        stored_at_least(&client, enough).await;
        server.signal(signal);
        server.end().await;
        server = ServerProcess::start(&server_variables);
        listening.send_replace(server.address().await);
        // More than the log can hold by now: the pipes are open again.
        enough = event_count(&client).await + 10_000;
    }
    stored_at_least(&client, enough).await;
    kill_process(loadgen_pid.expect("it runs"), Signal::INT).expect("it runs");
    let ended = timeout(SOON, loadgen).await.expect("it ends");
    let output = ended.expect("no panic").expect("its output");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{stderr}");
    // Two connections, two restarts.
    assert!(number(&text, "calls repeated") >= 4, "{text}");
    assert_eq!(number(&text, "unacknowledged"), 0, "{text}");
    assert!(text.contains("are in the database exactly once"), "{text}");
    let sent = number(&text, "events sent");
    assert_eq!(event_count(&client).await, sent as i64, "{text}");
    server.stop().await;
}

/// An address whose connections go to where the server listens at the time.
async fn front(server: watch::Receiver<SocketAddr>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = *server.borrow();
            tokio::spawn(async move {
                // A connection that breaks on one side breaks on the other.
                if let Ok(mut server) = TcpStream::connect(server).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    address
}

async fn stored_at_least(client: &Client, events: i64) {
    let stored = async { while event_count(client).await < events {} };
    timeout(SOON, stored).await.expect("events come in");
}

#[tokio::test]
async fn a_rate_is_kept() {
    let app = TestApp::start().await;
    // The last of the calls, 63 events each, is due 1.95 seconds after the first.
    let load = ["--events", "4000", "--rate", "2000", "--verify"];
    let started = Instant::now();
    let text = loadgen(&app, app.write_key.reveal(), &load).await.output();
    assert!(started.elapsed() >= Duration::from_millis(1_900));
    assert_eq!(number(&text, "accepted"), 4_000, "{text}");
    assert_eq!(number(&text, "calls"), 64, "{text}");
    assert_eq!(stored(&app).await, 4_000);

    // What a second of this rate is due, and no more, though the server could take it.
    let load = [
        "--duration",
        "1s",
        "--rate",
        "100",
        "--unary",
        "--committed",
    ];
    let text = loadgen(&app, app.write_key.reveal(), &load).await.output();
    assert_eq!(number(&text, "accepted"), 100, "{text}");
    assert_eq!(number(&text, "calls"), 100, "{text}");
    assert_eq!(stored(&app).await, 4_100);
}

#[tokio::test]
async fn an_event_that_vanished_or_is_there_twice_is_found() {
    // A database that loses the first event it is given.
    const LOSE_ONE: &str = "
        create table lost (event_id uuid);
        create function lose_one() returns trigger language plpgsql as $$
        begin
            if not exists (select from lost) then
                insert into lost values (new.event_id);
                delete from events where event_id = new.event_id;
            end if;
            return null;
        end $$;
        create trigger lose_one after insert on events for each row execute function lose_one();";
    // And one that stores an event a second time, a moment later.
    const DOUBLE_ONE: &str = "
        create table doubled (event_id uuid);
        create function double_one() returns trigger language plpgsql as $$
        begin
            if not exists (select from doubled) then
                insert into doubled values (new.event_id);
                new.time = new.time + interval '1 microsecond';
                insert into events select new.*;
            end if;
            return null;
        end $$;
        create trigger double_one after insert on events for each row execute function double_one();";
    for (fault, found) in [
        (
            LOSE_ONE,
            "of 2,000 acknowledged events 1 are missing in the database and 0 are there more than once",
        ),
        (
            DOUBLE_ONE,
            "of 2,000 acknowledged events 0 are missing in the database and 1 are there more than once",
        ),
    ] {
        let mut app = TestApp::start().await;
        app.database.changes_events();
        let database = app.database.client().await;
        database.batch_execute(fault).await.expect("a fault");
        let load = ["--events", "2000", "--connections", "1", "--verify"];
        let ended = loadgen(&app, app.write_key.reveal(), &load).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_eq!(number(&ended.stdout, "unacknowledged"), 0, "{ended:?}");
        assert!(ended.stdout.contains("NOT verified"), "{ended:?}");
        assert!(ended.stdout.contains(found), "{ended:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_told() {
    let app = TestApp::start().await;
    for how in [&[][..], &["--unary"], &["--pipe"]] {
        let load = [&["--events", "100"], how].concat();
        let key = app.read_key.reveal();
        let refusal = loadgen(&app, key, &load).await.refusal(1);
        assert!(refusal.contains("KEY_NOT_ALLOWED"), "{refusal}");
        assert!(!refusal.contains(key), "{refusal}");
        let refusal = loadgen(&app, "tmw_none_such", &load).await.refusal(1);
        assert!(refusal.contains("KEY_INVALID"), "{refusal}");
    }
    assert_eq!(stored(&app).await, 0);

    let address = app.address.to_string();
    let variables = [
        ("TALLYMARK_ADDRESS", address.as_str()),
        ("TALLYMARK_DATA_DIR", "nonexistent"),
    ];
    let refusal = run(&["loadgen", "--verify"], &variables).await.refusal(1);
    assert!(refusal.contains("--database"), "{refusal}");
}

async fn loadgen(app: &TestApp, key: &str, arguments: &[&str]) -> Ended {
    let variables = [
        ("TALLYMARK_ADDRESS", &*app.address.to_string()),
        ("TALLYMARK_KEY", key),
        ("DATABASE_URL", &*app.database.url()),
    ];
    run(&[&["loadgen"], arguments].concat(), &variables).await
}

async fn stored(app: &TestApp) -> i64 {
    event_count(&app.database.client().await).await
}

async fn event_count(database: &Client) -> i64 {
    let row = database.query_one("select count(*) from events", &[]).await;
    row.expect("a count").get(0)
}

/// A number of the summary: `  accepted   1,234`.
fn number(summary: &str, label: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.trim_start().strip_prefix(label)?;
        rest.trim().replace(',', "").parse().ok()
    };
    let found = summary.lines().find_map(value);
    found.unwrap_or_else(|| panic!("no `{label}` in {summary}"))
}
