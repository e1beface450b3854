//! The database goes away, hangs, and loses replies: events are taken all the same, and counted once.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::Signal;
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tokio_stream::wrappers::ReceiverStream;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::support::{ServerProcess, TestApp, TestDatabase, committed_batch, page_view, reason};

/// For whatever must come, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

fn page_views(count: usize) -> Vec<pb::Event> {
    (0..count)
        .map(|number| page_view(&format!("visitor-{number}"), "/"))
        .collect()
}

fn logged_batch(events: &[pb::Event]) -> pb::StreamEventsRequest {
    pb::StreamEventsRequest {
        events: events.to_vec(),
        acknowledgement: pb::Acknowledgement::Logged.into(),
    }
}

/// Sends events in one stream, logged.
async fn log(app: &TestApp, events: &[pb::Event]) {
    let messages: Vec<_> = events.chunks(100).map(logged_batch).collect();
    let reply = app
        .ingest()
        .stream_events(tokio_stream::iter(messages))
        .await;
    let summary = reply.expect("the stream ends OK").into_inner();
    assert_eq!(summary.accepted, events.len() as u64, "{summary:?}");
}

/// Sends an event until it is committed; what was said at last.
async fn commit(app: &TestApp, event: &pb::Event) -> pb::Verdict {
    loop {
        let request = crate::support::committed(Some(event.clone()));
        match app.ingest().ingest_event(request).await {
            Ok(reply) => return reply.into_inner().result.expect("a result").verdict(),
            Err(status) => assert_eq!(reason(&status), "DATABASE_UNAVAILABLE", "{status:?}"),
        }
    }
}

/// Asserts that exactly these events are in the database, each once.
async fn assert_stored(app: &TestApp, events: &[pb::Event]) {
    app.until_stored(i64::try_from(events.len()).expect("a count"))
        .await;
    let client = app.database.client().await;
    let rows = client.query("select event_id::text from events", &[]).await;
    let mut stored: HashMap<String, usize> = HashMap::new();
    for row in rows.expect("the events") {
        *stored.entry(row.get(0)).or_default() += 1;
    }
    for event in events {
        assert_eq!(stored.get(&event.event_id), Some(&1), "{event:?}");
    }
    assert_eq!(app.event_count().await, events.len() as f64);
}

#[tokio::test]
async fn what_is_logged_while_the_database_is_away_is_in_answers_when_it_is_back() {
    let (app, forwarder) = TestApp::start_behind_forwarder(&[]).await;
    let mut events = page_views(3);
    log(&app, &events).await;
    app.until_stored(3).await;

    forwarder.cut();
    let stream = page_views(700);
    log(&app, &stream).await;
    // A client that was not sure sends some of it again.
    log(&app, &stream[200..400]).await;
    let piped = page_views(50);
    let messages: Vec<pb::PipeEventsRequest> = (0..)
        .zip(piped.chunks(10))
        .map(|(message_id, events)| pb::PipeEventsRequest {
            message_id,
            events: events.to_vec(),
            acknowledgement: pb::Acknowledgement::Logged.into(),
        })
        .collect();
    let replies = app.ingest().pipe_events(tokio_stream::iter(messages)).await;
    let mut replies = replies.expect("a pipe").into_inner();
    let mut acknowledged = 0;
    while let Some(reply) = replies.message().await.expect("the pipe is whole") {
        acknowledged += reply.accepted;
    }
    assert_eq!(acknowledged, 50);
    let single = page_view("ada", "/");
    let request = pb::IngestEventRequest {
        event: Some(single.clone()),
        ..pb::IngestEventRequest::default()
    };
    app.ingest().ingest_event(request).await.expect("logged");
    let client = app.database.client().await;
    let row = client.query_one("select count(*) from events", &[]).await;
    assert_eq!(row.expect("a count").get::<_, i64>(0), 3, "it is away");

    forwarder.restore();
    events.extend(stream.into_iter().chain(piped).chain([single]));
    assert_stored(&app, &events).await;
}

#[tokio::test]
async fn a_service_that_stops_while_the_database_is_away_loads_the_events_later() {
    let (app, forwarder) = TestApp::start_behind_forwarder(&[]).await;
    forwarder.cut();
    let events = page_views(250);
    log(&app, &events).await;
    let database = app.stop().await;
    let client = database.client().await;
    let row = client.query_one("select count(*) from events", &[]).await;
    assert_eq!(row.expect("a count").get::<_, i64>(0), 0);

    let app = TestApp::start_on(database, &[]).await;
    assert_stored(&app, &events).await;
}

#[tokio::test]
async fn a_database_that_hangs_is_given_up_and_tried_again() {
    let (app, forwarder) =
        TestApp::start_behind_forwarder(&[("TALLYMARK_STORE_TIMEOUT_MS", "200")]).await;
    let mut events = page_views(40);
    log(&app, &events).await;
    app.until_stored(40).await;

    for _ in 0..3 {
        forwarder.hold();
        let connections = forwarder.connections();
        let more = page_views(60);
        log(&app, &more).await;
        events.extend(more);
        // Those that hang were given up, and others were made.
        forwarder.until_connections(connections + 2).await;
        // Now what was held arrives, late.
        forwarder.restore();
        assert_stored(&app, &events).await;
    }
}

#[tokio::test]
async fn a_connection_that_hangs_before_its_commit_is_ended_and_replaced() {
    let (app, forwarder) =
        TestApp::start_behind_forwarder(&[("TALLYMARK_STORE_TIMEOUT_MS", "300")]).await;
    let mut events = page_views(10);
    log(&app, &events).await;
    app.until_stored(10).await;

    forwarder.hold_commits(1);
    let more = page_views(25);
    log(&app, &more).await;
    forwarder.until_commits(1).await;
    events.extend(more);
    // The database still has the transaction, which nobody is going to end; others get past it.
    assert_stored(&app, &events).await;
    // Then the commit arrives after all, too late.
    forwarder.restore();
    let last = page_view("ada", "/");
    commit(&app, &last).await;
    events.push(last);
    assert_stored(&app, &events).await;
}

#[tokio::test]
async fn a_server_that_is_gone_while_the_database_waits_for_it_does_not_hold_up_the_next() {
    let database = TestDatabase::create().await;
    let forwarder = database.forwarder().await;
    let url = database.url_through(&forwarder);
    let variables = [
        ("DATABASE_URL", url.as_str()),
        (
            "TALLYMARK_DATA_DIR",
            database.data_dir.path().to_str().expect("UTF-8"),
        ),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ];
    // As if the machine had lost power: nobody tells the database, which has a transaction open.
    forwarder.hold_commits(1);
    let mut server = ServerProcess::start(&variables);
    let channel = server.serving().await;
    let request = pb::IngestEventRequest {
        event: Some(page_view("ada", "/")),
        ..pb::IngestEventRequest::default()
    };
    let mut client = IngestServiceClient::new(channel);
    client.ingest_event(request).await.expect("logged");
    forwarder.until_commits(1).await;
    server.signal(Signal::KILL);
    server.end().await;

    let mut server = ServerProcess::start(&variables);
    let mut client = IngestServiceClient::new(server.serving().await);
    let request = crate::support::committed(Some(page_view("bob", "/")));
    let reply = client.ingest_event(request).await.expect("committed");
    let result = reply.into_inner().result.expect("a result");
    assert_eq!(result.verdict(), pb::Verdict::Accepted);
    let counted = database.client().await;
    let stored = async || {
        let row = counted.query_one("select count(*) from events", &[]).await;
        row.expect("a count").get::<_, i64>(0)
    };
    let both = async { while stored().await < 2 {} };
    tokio::time::timeout(SOON, both)
        .await
        .expect("both are loaded");
    // What was held arrives after all, too late.
    forwarder.restore();
    server.stop().await;
    assert_eq!(stored().await, 2);
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_counts_once() {
    let (app, forwarder) = TestApp::start_behind_forwarder(&[]).await;
    let mut events = page_views(5);
    log(&app, &events).await;
    app.until_stored(5).await;

    // A batch of new events, and one with some that are known.
    for (lost, known) in [(1, 0), (2, 4)] {
        forwarder.lose_commits(1);
        let mut batch = page_views(6);
        batch.extend_from_slice(&events[..known]);
        let reply = app
            .ingest()
            .stream_events(tokio_stream::iter([committed_batch(batch.clone())]))
            .await;
        let summary = reply.expect("the stream ends OK").into_inner();
        forwarder.until_commits(lost).await;
        // The second try found its own work, and what the first one had found out holds.
        let told = (summary.accepted, summary.duplicates, summary.retry);
        assert_eq!(told, (6, known as u64, 0), "{summary:?}");
        events.extend_from_slice(&batch[..6]);
        assert_stored(&app, &events).await;
    }

    // One after the other: every event is told to be stored or known in the end.
    forwarder.lose_commits(4);
    for _ in 0..4 {
        let event = page_view("ada", "/");
        let verdict = commit(&app, &event).await;
        assert!(matches!(
            verdict,
            pb::Verdict::Accepted | pb::Verdict::Duplicate
        ));
        events.push(event);
    }
    forwarder.until_commits(6).await;
    log(&app, &events).await;
    commit(&app, &events[0]).await;
    assert_stored(&app, &events).await;
}

#[tokio::test]
async fn a_stream_that_is_sent_three_times_at_once_counts_once() {
    let app = TestApp::start().await;
    let events = page_views(600);
    let send = async |acknowledgement: pb::Acknowledgement| {
        let messages: Vec<_> = events
            .chunks(50)
            .map(|events| pb::StreamEventsRequest {
                events: events.to_vec(),
                acknowledgement: acknowledgement.into(),
            })
            .collect();
        let reply = app
            .ingest()
            .stream_events(tokio_stream::iter(messages))
            .await;
        reply.expect("the stream ends OK").into_inner()
    };
    for acknowledgement in [pb::Acknowledgement::Committed, pb::Acknowledgement::Logged] {
        let (one, two, three) = tokio::join!(
            send(acknowledgement),
            send(acknowledgement),
            send(acknowledgement)
        );
        if acknowledgement == pb::Acknowledgement::Committed {
            let accepted = one.accepted + two.accepted + three.accepted;
            let duplicates = one.duplicates + two.duplicates + three.duplicates;
            assert_eq!((accepted, duplicates), (600, 1_200));
        }
        // Behind everything else in the log.
        commit(&app, &events[0]).await;
        assert_stored(&app, &events).await;
    }
}

#[tokio::test]
async fn an_event_that_is_logged_is_in_answers_soon_though_nobody_waits_for_the_commit() {
    // The service is new, and at work: one event, then one more, each by itself.
    let app = TestApp::start().await;
    for count in 1..=3 {
        log(&app, &page_views(1)).await;
        let counted = async { while app.event_count().await < f64::from(count) {} };
        tokio::time::timeout(SOON, counted)
            .await
            .unwrap_or_else(|_| panic!("event {count} is never counted"));
    }
}

#[tokio::test]
async fn a_sender_that_waits_for_the_commit_is_told_to_retry_and_is_told_the_truth_later() {
    let (app, forwarder) =
        TestApp::start_behind_forwarder(&[("TALLYMARK_COMMIT_TIMEOUT_MS", "200")]).await;
    forwarder.cut();
    let events = page_views(3);
    let (sender, messages) = tokio::sync::mpsc::channel(1);
    let replies = app
        .ingest()
        .pipe_events(ReceiverStream::new(messages))
        .await;
    let mut replies = replies.expect("a pipe").into_inner();
    let message = pb::PipeEventsRequest {
        message_id: 1,
        events: events.clone(),
        acknowledgement: pb::Acknowledgement::Committed.into(),
    };
    sender
        .send(message.clone())
        .await
        .expect("the pipe is open");
    let reply = replies.message().await.expect("whole").expect("open");
    assert_eq!((reply.accepted, reply.retry), (0, 3), "{reply:?}");
    assert!(reply.failures.iter().map(|failure| failure.index).eq(0..3));

    forwarder.restore();
    app.wait_until(ServingStatus::Serving).await;
    let known = async {
        loop {
            sender
                .send(message.clone())
                .await
                .expect("the pipe is open");
            let reply = replies.message().await.expect("whole").expect("open");
            if reply.retry == 0 {
                return reply;
            }
        }
    };
    let reply = tokio::time::timeout(SOON, known).await.expect("it is back");
    // Of two messages on their way to the database either may be the first.
    assert_eq!(reply.accepted + reply.duplicates, 3, "{reply:?}");
    assert_stored(&app, &events).await;
}

#[tokio::test]
async fn what_a_database_forgets_after_its_commit_is_loaded_again() {
    let app = TestApp::start().await;
    app.send_new(page_views(50)).await;
    // As a fail-over does to a standby that is behind.
    let client = app.database.client().await;
    client
        .batch_execute("truncate events, rollup_facts, rollup_segments, log_positions")
        .await
        .expect("it forgets");
    log(&app, &page_views(1)).await;
    let database = app.end_by_itself().await;
    let app = TestApp::start_on(database, &[]).await;
    app.until_stored(51).await;
}
