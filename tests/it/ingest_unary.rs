//! IngestEvent: one event, one verdict.

use tallymark::pb::{self, Verdict};
use tonic::Code;
use uuid::Uuid;

use crate::support::{TestApp, committed, page_view, reason, violations};

async fn ingest(app: &TestApp, event: pb::Event) -> Result<pb::EventResult, tonic::Status> {
    let request = committed(Some(event));
    let reply = app.ingest().ingest_event(request).await?;
    Ok(reply.into_inner().result.expect("a result"))
}

#[tokio::test]
async fn an_accepted_event_is_in_the_next_answer() {
    let app = TestApp::start().await;
    let event = page_view("ada", "https://example.com/pricing");
    let result = ingest(&app, event.clone()).await.expect("accepted");
    assert_eq!(result.verdict(), Verdict::Accepted);
    assert_eq!(result.event_id, event.event_id);

    let answer = app.aggregate(pb::AggregateRequest::default()).await;
    assert_eq!(answer.rows.len(), 1);
    assert_eq!(answer.rows[0].metrics, [1.0]);
}

#[tokio::test]
async fn a_repeated_event_is_a_duplicate_and_counts_once() {
    let app = TestApp::start().await;
    let event = page_view("ada", "/");
    assert_eq!(
        ingest(&app, event.clone()).await.expect("ok").verdict(),
        Verdict::Accepted
    );
    assert_eq!(
        ingest(&app, event.clone()).await.expect("ok").verdict(),
        Verdict::Duplicate
    );
    assert_eq!(
        ingest(&app, event).await.expect("ok").verdict(),
        Verdict::Duplicate
    );

    let answer = app.aggregate(pb::AggregateRequest::default()).await;
    assert_eq!(answer.rows[0].metrics, [1.0]);
}

#[tokio::test]
async fn without_an_id_the_server_mints_one() {
    let app = TestApp::start().await;
    let event = pb::Event {
        event_id: String::new(),
        ..page_view("ada", "/")
    };
    let result = ingest(&app, event).await.expect("accepted");
    let id: Uuid = result.event_id.parse().expect("a UUID");
    assert_eq!(id.get_version_num(), 7);

    let request = pb::GetEventRequest {
        event_id: result.event_id,
        ..pb::GetEventRequest::default()
    };
    app.query()
        .get_event(request)
        .await
        .expect("the event is there");
}

#[tokio::test]
async fn without_a_time_that_of_a_uuid_v7_is_used_so_that_a_retry_is_stable() {
    let app = TestApp::start().await;
    let event = page_view("ada", "/");
    let id: Uuid = event.event_id.parse().expect("a UUID");
    let (seconds, nanos) = id.get_timestamp().expect("a time").to_unix();
    ingest(&app, event.clone()).await.expect("accepted");

    let request = pb::GetEventRequest {
        event_id: event.event_id,
        ..pb::GetEventRequest::default()
    };
    let stored = app
        .query()
        .get_event(request)
        .await
        .expect("there")
        .into_inner();
    let time = stored
        .event
        .and_then(|stored| stored.event)
        .and_then(|event| event.time);
    let time = time.expect("a time");
    assert_eq!((time.seconds as u64, time.nanos as u32), (seconds, nanos));
}

#[tokio::test]
async fn a_bad_event_is_told_every_rule_it_breaks() {
    let app = TestApp::start().await;
    let event = pb::Event {
        name: String::new(),
        tags: vec![String::new()],
        ..page_view("ada", "/")
    };
    let status = ingest(&app, event).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason(&status), "INVALID_FIELD");
    assert_eq!(
        violations(&status),
        [
            "event.name: 0 bytes, need 1–128",
            "event.tags[0]: 0 bytes, need 1–128"
        ]
    );
    let status = app
        .ingest()
        .ingest_event(committed(None))
        .await
        .expect_err("refused");
    assert_eq!(violations(&status), ["event: is absent"]);
}

#[tokio::test]
async fn many_callers_at_once_each_get_their_own_verdict() {
    let app = TestApp::start().await;
    let shared = page_view("ada", "/");
    let calls = (0..64).map(|caller| {
        let event = match caller % 2 {
            0 => shared.clone(),
            _ => page_view(&format!("visitor-{caller}"), "/"),
        };
        let app = &app;
        async move { ingest(app, event).await.expect("ok").verdict() }
    });
    let verdicts = futures_util::future::join_all(calls).await;
    let accepted = verdicts
        .iter()
        .filter(|verdict| **verdict == Verdict::Accepted)
        .count();
    // 32 different events and one that 32 callers sent.
    assert_eq!(accepted, 33, "{verdicts:?}");
    let answer = app.aggregate(pb::AggregateRequest::default()).await;
    assert_eq!(answer.rows[0].metrics, [33.0]);
}
