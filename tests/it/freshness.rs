//! Freshness tokens: a question waits for the events that its asker has just sent.

use std::time::{Duration, Instant};

use tallymark::pb;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::letters::{all, poison, refuse_poison, replay};
use crate::support::wire::assert_refused;
use crate::support::{TestApp, TestDatabase, page_view};

/// Events wait so long for others that a question without a token comes before them.
const SLOW_LOADERS: [(&str, &str); 1] = [("TALLYMARK_BATCH_AGE_MS", "400")];

fn logged(event: pb::Event) -> pb::IngestEventRequest {
    pb::IngestEventRequest {
        event: Some(event),
        ..pb::IngestEventRequest::default()
    }
}

/// Sends an event until it is logged, and returns its token.
async fn send(app: &TestApp, event: pb::Event) -> String {
    let reply = app.ingest().ingest_event(logged(event)).await;
    reply
        .expect("an acknowledgement")
        .into_inner()
        .freshness_token
}

fn how_many(freshness_token: &str) -> pb::AggregateRequest {
    pb::AggregateRequest {
        bucket: pb::Bucket::WholeRange.into(),
        fill_gaps: true,
        freshness_token: freshness_token.to_owned(),
        ..pb::AggregateRequest::default()
    }
}

/// The number of events that an answer with this token says.
async fn count(app: &TestApp, freshness_token: &str) -> f64 {
    let answer = app.aggregate(how_many(freshness_token)).await;
    answer.rows[0].metrics[0]
}

#[tokio::test]
async fn an_answer_counts_the_events_of_its_token() {
    let app = TestApp::start_with(&SLOW_LOADERS).await;
    for sent in 1..=4 {
        let token = send(&app, page_view("ada", "/")).await;
        assert!(!token.is_empty() && token.len() <= 100, "{token}");
        assert_eq!(count(&app, &token).await, f64::from(sent));
    }
}

#[tokio::test]
async fn a_stream_has_a_token_for_all_of_its_events() {
    let app = TestApp::start_with(&SLOW_LOADERS).await;
    let messages: Vec<pb::StreamEventsRequest> = (0..5)
        .map(|n| pb::StreamEventsRequest {
            events: (0..20)
                .map(|m| page_view(&format!("v{n}{m}"), "/"))
                .collect(),
            ..pb::StreamEventsRequest::default()
        })
        .collect();
    let sent = app
        .ingest()
        .stream_events(tokio_stream::iter(messages))
        .await;
    let token = sent.expect("a summary").into_inner().freshness_token;
    assert_eq!(count(&app, &token).await, 100.0);

    let nothing = pb::StreamEventsRequest {
        events: vec![page_view("", "/")],
        ..pb::StreamEventsRequest::default()
    };
    let sent = app
        .ingest()
        .stream_events(tokio_stream::iter([nothing]))
        .await;
    assert_eq!(sent.expect("a summary").into_inner().freshness_token, "");
}

#[tokio::test]
async fn an_acknowledgement_of_a_pipe_has_a_token_for_all_events_before() {
    let app = TestApp::start_with(&SLOW_LOADERS).await;
    let (sender, messages) = tokio::sync::mpsc::channel(1);
    let mut ingest = app.ingest();
    let replies = ingest.pipe_events(ReceiverStream::new(messages)).await;
    let mut replies = replies.expect("a pipe").into_inner();
    for sent in 1..=3 {
        let message = pb::PipeEventsRequest {
            events: vec![page_view("ada", "/"), page_view("bob", "/")],
            ..pb::PipeEventsRequest::default()
        };
        sender.send(message).await.expect("the pipe is open");
        let reply = replies.message().await.expect("the pipe is whole");
        let token = reply.expect("an acknowledgement").freshness_token;
        assert_eq!(count(&app, &token).await, f64::from(2 * sent));
    }
}

#[tokio::test]
async fn single_events_are_waited_for_too() {
    let app = TestApp::start_with(&SLOW_LOADERS).await;
    let event = page_view("ada", "/");
    let freshness_token = send(&app, event.clone()).await;
    let request = pb::GetEventRequest {
        event_id: event.event_id.clone(),
        freshness_token,
    };
    app.query().get_event(request).await.expect("the event");

    let freshness_token = send(&app, page_view("bob", "/")).await;
    let request = pb::ListEventsRequest {
        page_size: 1,
        freshness_token,
        ..pb::ListEventsRequest::default()
    };
    let page = app.query().list_events(request.clone()).await;
    let page = page.expect("a page").into_inner();
    let newest = page.events[0].event.as_ref().expect("an event");
    assert_eq!(newest.visitor_id, "bob");

    // The next page need not be asked for with the token.
    let next = pb::ListEventsRequest {
        page_token: page.next_page_token,
        freshness_token: String::new(),
        ..request
    };
    let page = app.query().list_events(next).await.expect("a page");
    let oldest = page.into_inner().events.remove(0).event.expect("an event");
    assert_eq!(oldest.event_id, event.event_id);
}

#[tokio::test]
async fn a_question_does_not_wait_for_ever() {
    let app = TestApp::start_with(&[("TALLYMARK_QUERY_TIMEOUT_MS", "600")]).await;
    // Whoever holds this lock keeps events from being stored, and nobody from reading.
    let mut client = app.database.client().await;
    let lock = client.transaction().await.expect("a transaction");
    lock.batch_execute("lock table events in share row exclusive mode")
        .await
        .expect("a lock");
    let token = send(&app, page_view("ada", "/")).await;

    let asked = Instant::now();
    let status = app.aggregate_error(how_many(&token)).await;
    assert!(asked.elapsed() >= Duration::from_millis(600));
    assert_refused(&status, Code::Unavailable, "NOT_FRESH_YET", &[]);
    let retry = status.get_error_details().retry_info().cloned();
    assert_eq!(
        retry.and_then(|retry| retry.retry_delay),
        Some(Duration::from_secs(1))
    );
    assert_eq!(count(&app, "").await, 0.0, "others are answered meanwhile");

    lock.rollback().await.expect("the lock is given back");
    // As often as the retry information says, in vain at first if the machine is busy.
    let patience = Duration::from_secs(60);
    let counted = tokio::time::timeout(patience, async {
        loop {
            match app.query().aggregate(how_many(&token)).await {
                Ok(answer) => return answer.into_inner().rows[0].metrics[0],
                Err(status) => assert_refused(&status, Code::Unavailable, "NOT_FRESH_YET", &[]),
            }
        }
    });
    assert_eq!(counted.await.expect("an answer"), 1.0);
}

/// What each kind of question says to a token.
async fn answers(app: &TestApp, token: &str) -> [Status; 3] {
    let freshness_token = token.to_owned();
    let event = pb::GetEventRequest {
        event_id: page_view("", "").event_id,
        freshness_token: freshness_token.clone(),
    };
    let list = pb::ListEventsRequest {
        freshness_token,
        ..pb::ListEventsRequest::default()
    };
    [
        app.aggregate_error(how_many(token)).await,
        app.query().get_event(event).await.expect_err("no event"),
        app.query().list_events(list).await.expect_err("no events"),
    ]
}

#[tokio::test]
async fn a_token_that_was_made_up_or_is_somebody_elses_is_refused() {
    let app = TestApp::start().await;
    let token = send(&app, page_view("ada", "/")).await;
    let shop = app.create_property("shop").await;
    let event = logged(page_view("ada", "/"));
    let reply = app.ingest_with(&shop.write_key).ingest_event(event).await;
    let shops = reply
        .expect("an acknowledgement")
        .into_inner()
        .freshness_token;
    let elsewhere = TestApp::start().await;
    let foreign = send(&elsewhere, page_view("ada", "/")).await;

    let mut forged = token.clone().into_bytes();
    // The record's number is there; another one would be waited for in vain.
    forged[30] = if forged[30] == b'x' { b'y' } else { b'x' };
    let forged = String::from_utf8(forged).expect("ASCII");
    for bad in [
        &forged,
        &shops,
        &foreign,
        "x",
        "…",
        &token[1..],
        &"A".repeat(5_000),
    ] {
        for status in answers(&app, bad).await {
            let fields = ["freshness_token: is none of this property"];
            assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &fields);
        }
    }
    assert_eq!(count(&app, &token).await, 1.0);
}

#[tokio::test]
async fn duplicates_and_dead_letters_are_waited_for_as_well() {
    let app = TestApp::start_with(&SLOW_LOADERS).await;
    let event = page_view("ada", "/");
    send(&app, event.clone()).await;
    let token = send(&app, event).await;
    assert_eq!(count(&app, &token).await, 1.0);

    refuse_poison(&app).await;
    let token = send(&app, poison("eve")).await;
    assert_eq!(count(&app, &token).await, 1.0);
    crate::support::letters::allow_poison(&app).await;
    assert_eq!(replay(&app, all()).await, 1);
    // Behind the letter in the log, so loaded with it or later.
    let token = send(&app, page_view("bob", "/")).await;
    assert_eq!(count(&app, &token).await, 3.0);
}

#[tokio::test]
async fn a_token_is_honoured_by_every_server_of_the_database() {
    let one = TestApp::start_with(&SLOW_LOADERS).await;
    let url = one.database.url();
    let variables = [&[("DATABASE_URL", url.as_str())], &SLOW_LOADERS[..]].concat();
    // Its own database lends it a directory for its log.
    let other = TestApp::start_on(TestDatabase::create().await, &variables).await;
    for round in 1..=3 {
        let token = send(&one, page_view("ada", "/")).await;
        assert_eq!(count(&other, &token).await, f64::from(2 * round - 1));
        let token = send(&other, page_view("bob", "/")).await;
        assert_eq!(count(&one, &token).await, f64::from(2 * round));
    }
    other.stop().await;
}
