//! StreamEvents: many events, one summary.

use prost::Message;
use tallymark::pb::{self, Verdict};
use tonic::Code;

use crate::support::{TestApp, at, committed_batch, page_view, violations};

#[tokio::test]
async fn events_of_many_messages_are_stored_and_counted() {
    let app = TestApp::start().await;
    let events = (0..1_200)
        .map(|n| page_view(&format!("v{}", n % 7), "/"))
        .collect();
    let summary = app.send(events).await;
    assert_eq!((summary.received, summary.accepted), (1_200, 1_200));
    assert!(summary.failures.is_empty());
    assert_eq!(app.event_count().await, 1_200.0);
}

#[tokio::test]
async fn the_same_stream_sent_again_and_concurrently_counts_once() {
    let app = TestApp::start().await;
    let events: Vec<pb::Event> = (0..700).map(|n| page_view(&format!("v{n}"), "/")).collect();
    let summaries = futures_util::future::join_all((0..3).map(|_| app.send(events.clone()))).await;
    let accepted: u64 = summaries.iter().map(|summary| summary.accepted).sum();
    let duplicates: u64 = summaries.iter().map(|summary| summary.duplicates).sum();
    assert_eq!((accepted, duplicates), (700, 1_400));

    let again = app.send(events).await;
    assert_eq!((again.accepted, again.duplicates), (0, 700));
    assert_eq!(app.event_count().await, 700.0);
}

#[tokio::test]
async fn an_event_twice_in_one_stream_counts_once() {
    let app = TestApp::start().await;
    let event = page_view("ada", "/");
    let summary = app
        .send(vec![event.clone(), page_view("bob", "/"), event])
        .await;
    assert_eq!((summary.accepted, summary.duplicates), (2, 1));
}

#[tokio::test]
async fn the_same_id_at_another_time_is_another_event() {
    let app = TestApp::start().await;
    app.keep_for_ever().await;
    let first = pb::Event {
        time: at("2026-01-01T00:00:00Z"),
        ..page_view("ada", "/")
    };
    let second = pb::Event {
        time: at("2026-01-01T00:00:01Z"),
        ..first.clone()
    };
    let summary = app.send(vec![first, second]).await;
    assert_eq!((summary.accepted, summary.duplicates), (2, 0));
}

#[tokio::test]
async fn a_bad_event_does_not_touch_its_neighbours() {
    let app = TestApp::start().await;
    let bad = pb::Event {
        visitor_id: "null".to_owned(),
        ..page_view("x", "/")
    };
    let events = vec![page_view("ada", "/"), bad.clone(), page_view("bob", "/")];
    let summary = app.send(events).await;
    assert_eq!(
        (summary.received, summary.accepted, summary.rejected),
        (3, 2, 1)
    );

    let failure = &summary.failures[0];
    assert_eq!(failure.index, 1);
    let result = failure.result.as_ref().expect("a result");
    assert_eq!(result.verdict(), Verdict::Rejected);
    assert_eq!(result.event_id, bad.event_id);
    assert_eq!(result.violations[0].field, "visitor_id");
    assert_eq!(
        result.violations[0].description,
        "`null` is a placeholder, need a real id or nothing"
    );
}

#[tokio::test]
async fn an_event_that_is_not_utf_8_does_not_touch_its_neighbours() {
    let app = TestApp::start().await;
    // A batch whose second event has a name of broken UTF-8, as only a hand-made message can.
    #[derive(Clone, PartialEq, prost::Message)]
    struct RawBatch {
        #[prost(bytes = "vec", repeated, tag = "1")]
        events: Vec<Vec<u8>>,
    }
    let mut broken = page_view("eve", "/").encode_to_vec();
    broken.extend_from_slice(&[0x1a, 2, 0xff, 0xfe]); // field 3, name
    let batch = RawBatch {
        events: vec![
            page_view("ada", "/").encode_to_vec(),
            broken,
            page_view("bob", "/").encode_to_vec(),
        ],
    };

    let mut client = tonic::client::Grpc::new(app.with_key(app.write_key.reveal()));
    client.ready().await.expect("ready");
    let codec = tonic_prost::ProstCodec::<RawBatch, pb::StreamEventsResponse>::default();
    let path = "/tallymark.v1.IngestService/StreamEvents"
        .parse()
        .expect("a path");
    let request = tonic::Request::new(tokio_stream::iter([batch]));
    let reply = client
        .client_streaming(request, path, codec)
        .await
        .expect("the stream ends OK");
    let summary: pb::StreamEventsResponse = reply.into_inner();
    assert_eq!(
        (summary.received, summary.accepted, summary.rejected),
        (3, 2, 1)
    );
    let result = summary.failures[0].result.as_ref().expect("a result");
    assert_eq!(result.violations[0].field, "name");
    assert!(
        result.violations[0].description.contains("UTF-8"),
        "{result:?}"
    );
}

#[tokio::test]
async fn failures_past_a_thousand_are_counted_not_listed() {
    let app = TestApp::start().await;
    let bad = pb::Event {
        name: String::new(),
        ..page_view("ada", "/")
    };
    let summary = app.send(vec![bad; 1_500]).await;
    assert_eq!(summary.rejected, 1_500);
    assert_eq!(
        (summary.failures.len(), summary.failures_omitted),
        (1_000, 500)
    );
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_stream_but_not_what_came_before() {
    let app = TestApp::start().await;
    let good = committed_batch(vec![page_view("ada", "/")]);
    let over = committed_batch(vec![page_view("bob", "/"); 5_001]);
    let sent = app
        .ingest()
        .stream_events(tokio_stream::iter([good, over]))
        .await;
    let status = sent.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        violations(&status),
        ["events: 5001 events in a message, need at most 5000"]
    );
    assert_eq!(app.event_count().await, 1.0);
}

#[tokio::test]
async fn an_empty_stream_and_empty_messages_are_fine() {
    let app = TestApp::start().await;
    let none: [pb::StreamEventsRequest; 0] = [];
    let reply = app
        .ingest()
        .stream_events(tokio_stream::iter(none))
        .await
        .expect("ok");
    assert_eq!(reply.into_inner(), pb::StreamEventsResponse::default());
    let empty = [
        pb::StreamEventsRequest::default(),
        pb::StreamEventsRequest::default(),
    ];
    let reply = app
        .ingest()
        .stream_events(tokio_stream::iter(empty))
        .await
        .expect("ok");
    assert_eq!(reply.into_inner(), pb::StreamEventsResponse::default());
}

#[tokio::test]
async fn a_message_that_takes_more_room_in_the_log_than_on_the_wire_is_taken() {
    let app = TestApp::start().await;
    // One byte of a control character is six in JSON.
    let control = |number: usize| pb::Event {
        properties: Some(prost_types::Struct {
            fields: [("k".to_owned(), "\u{1}".repeat(1_340).into())]
                .into_iter()
                .collect(),
        }),
        ..page_view(&format!("visitor-{number}"), "/")
    };
    let message = committed_batch((0..2_500).map(control).collect());
    assert!(prost::Message::encoded_len(&message) < 4 << 20);
    let reply = app
        .ingest()
        .stream_events(tokio_stream::iter([message]))
        .await;
    let summary = reply.expect("the stream ends OK").into_inner();
    assert_eq!(summary.accepted, 2_500, "{:?}", summary.failures.first());
}

#[tokio::test]
async fn many_refused_events_are_all_told_and_explained_as_far_as_there_is_room() {
    let app = TestApp::start().await;
    let bad = |_| pb::Event {
        name: String::new(),
        ..page_view("ada", "/")
    };
    let messages: Vec<_> = (0..3)
        .map(|_| committed_batch((0..5_000).map(bad).collect()))
        .collect();
    let reply = app
        .ingest()
        .stream_events(tokio_stream::iter(messages))
        .await;
    let summary = reply.expect("the stream ends OK").into_inner();
    assert_eq!((summary.received, summary.rejected), (15_000, 15_000));
    assert_eq!(summary.failures_omitted, 14_000);
    let explained = |failure: &pb::EventFailure| {
        let result = failure.result.as_ref().expect("a result");
        !result.violations.is_empty()
    };
    assert!(summary.failures.iter().all(explained));
}
