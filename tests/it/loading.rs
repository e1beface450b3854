//! Loading from the log into a database that is not at its best.

use std::time::Duration;

use tallymark::pb;
use tokio_postgres::Client;

use crate::support::letters::{letters, until_loaded};
use crate::support::{TestApp, page_view};

fn some(count: usize) -> Vec<pb::Event> {
    (0..count)
        .map(|number| page_view(&format!("visitor-{number}"), "https://example.com/"))
        .collect()
}

/// Sends events that only the log has to have.
async fn log(app: &TestApp, events: Vec<pb::Event>) {
    let count = events.len() as u64;
    let logged = pb::StreamEventsRequest {
        events,
        acknowledgement: pb::Acknowledgement::Logged.into(),
    };
    let messages = tokio_stream::iter([logged]);
    let summary = app.ingest().stream_events(messages).await.expect("logged");
    assert_eq!(summary.into_inner().accepted, count);
}

/// Lets a sequence count the tries to load a batch, since it does not roll back. Ranges that are merged
/// begin at 0, and are no tries.
async fn count_tries(client: &Client) {
    let sql = "create sequence tries; \
         create function try() returns trigger language plpgsql as \
         $$ begin perform nextval('tries'); return new; end $$; \
         create trigger a_try before insert on log_positions \
         for each row when (new.first > 0) execute function try()";
    client.batch_execute(sql).await.expect("a counter");
}

/// Waits until a query's number satisfies a condition.
async fn until(client: &Client, sql: &str, is_reached: impl Fn(i64) -> bool) {
    let reached =
        async { while !is_reached(client.query_one(sql, &[]).await.expect("a number").get(0)) {} };
    let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
    reached.unwrap_or_else(|_| panic!("never reached: {sql}"));
}

#[tokio::test]
async fn a_database_that_refuses_everything_buries_nothing() {
    let app = TestApp::start().await;
    app.send_new(some(1)).await;
    let client = app.database.client().await;
    count_tries(&client).await;
    let refuse = "create function refuse() returns trigger language plpgsql as \
         $$ begin raise insufficient_privilege; end $$";
    client.batch_execute(refuse).await.expect("a function");
    let mut stored = 1;
    // Neither is about the values of an event.
    for (broken, repaired) in [
        (
            "alter table events rename to events_elsewhere",
            "alter table events_elsewhere rename to events",
        ),
        (
            "create trigger refuse before insert on log_positions \
             for each row when (new.first > 0) execute function refuse()",
            "drop trigger refuse on log_positions",
        ),
    ] {
        client.batch_execute(broken).await.expect("broken");
        let restart = "alter sequence tries restart";
        client.batch_execute(restart).await.expect("a counter");
        log(&app, some(300)).await;
        until(&client, "select last_value from tries", |tries| tries >= 3).await;
        client.batch_execute(repaired).await.expect("repaired");
        stored += 300;
        app.until_stored(stored).await;
    }
    until_loaded(&app, 601).await;
    assert_eq!(letters(&app).await, []);
}

#[tokio::test]
async fn ranges_that_are_merged_late_take_nothing_back() {
    let app = TestApp::start().await;
    let client = app.database.client().await;
    let sql = include_str!("../../src/load/sql/merge_positions.sql");
    let log_id = uuid::Uuid::now_v7();
    let ranges = "insert into log_positions values ($1, 0, 5), ($1, 5, 9), ($1, 12, 15)";
    client.execute(ranges, &[&log_id]).await.expect("ranges");
    for low in [9_i64, 5] {
        client.execute(sql, &[&log_id, &low]).await.expect("merged");
        let sql = "select first, next from log_positions where log_id = $1 order by first";
        let rows = client.query(sql, &[&log_id]).await.expect("ranges");
        let found: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(found, [(0, 9), (12, 15)]);
    }
}

#[tokio::test]
async fn a_batch_that_waits_for_a_lock_leaves_no_statements_behind() {
    let app = TestApp::start_with(&[("TALLYMARK_STORE_TIMEOUT_MS", "100")]).await;
    app.send_new(some(1)).await;
    let client = app.database.client().await;
    count_tries(&client).await;
    let blocker = app.database.client().await;
    let lock = "begin; lock table events in access exclusive mode";
    blocker.batch_execute(lock).await.expect("a lock");
    log(&app, some(40)).await;
    until(&client, "select last_value from tries", |tries| tries >= 5).await;
    // Those of the tries before were cancelled, or they would wait as long as the lock is held.
    let waiting = "select count(*) from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock'";
    until(&client, waiting, |waiting| waiting <= 1).await;
    blocker.batch_execute("rollback").await.expect("no lock");
    app.until_stored(41).await;
    assert_eq!(letters(&app).await, []);
}

#[tokio::test]
async fn a_batch_that_takes_too_long_is_stored_in_parts() {
    let app = TestApp::start_with(&[("TALLYMARK_STORE_TIMEOUT_MS", "1000")]).await;
    let client = app.database.client().await;
    // Stands for a slow disk: three seconds for all of them.
    let slow = "create function wait() returns trigger language plpgsql as \
         $$ begin perform pg_sleep(0.01); return new; end $$; \
         create trigger wait before insert on events for each row execute function wait()";
    client.batch_execute(slow).await.expect("a trigger");
    log(&app, some(300)).await;
    app.until_stored(300).await;
    until_loaded(&app, 300).await;
    assert_eq!(letters(&app).await, []);
}
