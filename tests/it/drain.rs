//! Stopping: nothing that was acknowledged is lost, and every caller is told where it stands.

use std::time::{Duration, Instant};

use tallymark::pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::wire::assert_refused;
use crate::support::{TestApp, committed, committed_batch, page_view};

/// Asserts that the error says "stopping, try again", and when.
#[track_caller]
fn assert_shutting_down(status: &Status) {
    assert_refused(status, Code::Unavailable, "SHUTTING_DOWN", &[]);
    let details = status.get_error_details();
    let retry = details.retry_info().expect("RetryInfo");
    assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
}

fn batch(events: Vec<pb::Event>) -> pb::StreamEventsRequest {
    committed_batch(events)
}

/// Waits until this statement says true.
async fn until(client: &tokio_postgres::Client, question: &str) {
    let asked = async {
        while !client
            .query_one(question, &[])
            .await
            .expect("an answer")
            .get::<_, bool>(0)
        {}
    };
    let patience = Duration::from_secs(10);
    tokio::time::timeout(patience, asked).await.expect(question);
}

#[tokio::test]
async fn acknowledged_events_are_there_after_a_restart() {
    let app = TestApp::start().await;
    let events: Vec<pb::Event> = (0..300).map(|n| page_view(&format!("v{n}"), "/")).collect();
    app.send_new(events.clone()).await;
    let database = app.stop().await;

    let app = TestApp::start_on(database, &[]).await;
    assert_eq!(app.event_count().await, 300.0);
    let again = app.send(events).await;
    assert_eq!((again.accepted, again.duplicates), (0, 300));
}

#[tokio::test]
async fn an_open_stream_is_told_after_what_it_sent_is_stored() {
    let app = TestApp::start().await;
    let (sender, messages) = mpsc::channel(4);
    let mut ingest = app.ingest();
    let call =
        tokio::spawn(async move { ingest.stream_events(ReceiverStream::new(messages)).await });
    let events: Vec<pb::Event> = (0..20).map(|n| page_view(&format!("v{n}"), "/")).collect();
    sender
        .send(batch(events.clone()))
        .await
        .expect("the stream is open");
    let client = app.database.client().await;
    until(&client, "select count(*) = 20 from events").await;

    app.ask_to_stop();
    let status = call.await.expect("no panic").expect_err("the stream ends");
    assert_shutting_down(&status);
    drop(sender);

    let app = TestApp::start_on(app.stop().await, &[]).await;
    assert_eq!(app.event_count().await, 20.0);
    let again = app.send(events).await;
    assert_eq!(
        (again.accepted, again.duplicates),
        (0, 20),
        "a retry counts nothing twice"
    );
}

#[tokio::test]
async fn while_calls_end_new_ones_are_told_to_try_again() {
    let app = TestApp::start().await;
    // Whoever holds this lock keeps events from being stored, and so a call from ending.
    let mut client = app.database.client().await;
    let watcher = app.database.client().await;
    let lock = client.transaction().await.expect("a transaction");
    lock.batch_execute("lock table events in share row exclusive mode")
        .await
        .expect("a lock");

    let mut ingest = app.ingest();
    let event = page_view("ada", "/");
    let request = committed(Some(event.clone()));
    let call = tokio::spawn(async move { ingest.ingest_event(request).await });
    let is_waiting =
        "select exists (select from pg_locks l join pg_database d on d.oid = l.database
        where not l.granted and d.datname = current_database())";
    until(&watcher, is_waiting).await;

    app.ask_to_stop();
    app.wait_until(ServingStatus::NotServing).await;
    let request = committed(Some(page_view("bob", "/")));
    assert_shutting_down(
        &app.ingest()
            .ingest_event(request)
            .await
            .expect_err("refused"),
    );
    let question = pb::AggregateRequest::default();
    assert_shutting_down(&app.query().aggregate(question).await.expect_err("refused"));
    let list = pb::ListPropertiesRequest::default();
    assert_shutting_down(
        &app.admin()
            .list_properties(list)
            .await
            .expect_err("refused"),
    );

    lock.rollback().await.expect("the lock is given back");
    let reply = call
        .await
        .expect("no panic")
        .expect("the call under way ends well")
        .into_inner();
    assert_eq!(
        reply.result.expect("a result").verdict(),
        pb::Verdict::Accepted
    );
    let app = TestApp::start_on(app.stop().await, &[]).await;
    assert_eq!(app.event_count().await, 1.0);
}

#[tokio::test]
async fn calls_that_do_not_end_are_cut_off_after_the_drain_timeout() {
    let app = TestApp::start_with(&[("TALLYMARK_DRAIN_TIMEOUT_MS", "200")]).await;
    let mut client = app.database.client().await;
    let watcher = app.database.client().await;
    let lock = client.transaction().await.expect("a transaction");
    lock.batch_execute("lock table events in access exclusive mode")
        .await
        .expect("a lock");
    let mut query = app.query();
    // Which only the events can answer.
    let question = pb::AggregateRequest {
        dimensions: vec!["visitor_id".to_owned()],
        ..pb::AggregateRequest::default()
    };
    let call = tokio::spawn(async move { query.aggregate(question).await });
    let is_waiting =
        "select exists (select from pg_locks l join pg_database d on d.oid = l.database
        where not l.granted and d.datname = current_database())";
    until(&watcher, is_waiting).await;

    let asked = Instant::now();
    app.ask_to_stop();
    let status = call.await.expect("no panic").expect_err("cut off");
    assert_shutting_down(&status);
    let _database = app.stop().await;
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "{:?}",
        asked.elapsed()
    );
    drop(lock);
}

#[tokio::test]
async fn who_watches_health_does_not_hold_up_the_stop() {
    let app = TestApp::start().await;
    let whole = HealthCheckRequest {
        service: String::new(),
    };
    let mut health = HealthClient::new(app.channel.clone());
    let mut statuses = health.watch(whole).await.expect("a watch").into_inner();
    let first = statuses
        .message()
        .await
        .expect("a status")
        .expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);

    let asked = Instant::now();
    app.ask_to_stop();
    let next = statuses
        .message()
        .await
        .expect("a status")
        .expect("a status");
    assert_eq!(next.status(), ServingStatus::NotServing);
    let _database = app.stop().await;
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_service_that_waits_for_its_database_stops_when_asked() {
    let database = crate::support::TestDatabase::create().await;
    let forwarder = database.forwarder().await;
    forwarder.cut();
    let url = database.url_through(&forwarder);
    let app = TestApp::launch_on(database, &[("DATABASE_URL", &url)]).await;
    let asked = Instant::now();
    let _database = app.stop().await;
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
}
