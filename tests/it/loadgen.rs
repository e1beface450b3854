//! The load generator, as the real program, against a service; what it says is compared with the database.

use std::time::{Duration, Instant};

use crate::support::{Ended, TestApp, run};

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
        let app = TestApp::start().await;
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
    for unary in [&[][..], &["--unary"]] {
        let load = [&["--events", "100"], unary].concat();
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
    let database = app.database.client().await;
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
