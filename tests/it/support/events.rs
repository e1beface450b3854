//! Events to send, and answers to compare.

use jiff::Timestamp;
use tallymark::pb;
use tonic::Status;
use tonic_types::StatusExt;
use uuid::Uuid;

/// A page view of now, with an id of its own.
pub fn page_view(visitor: &str, page: &str) -> pb::Event {
    pb::Event {
        event_id: Uuid::now_v7().to_string(),
        name: "page_view".to_owned(),
        visitor_id: visitor.to_owned(),
        page: page.to_owned(),
        ..pb::Event::default()
    }
}

/// A time on the wire.
pub fn at(time: &str) -> Option<prost_types::Timestamp> {
    let time: Timestamp = time.parse().expect("a time");
    Some(prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

/// The rows of an answer as text: `2026-05-20T00:00:00Z / Linux 12 3.5`.
pub fn aggregate_rows(answer: &pb::AggregateResponse) -> Vec<String> {
    answer
        .rows
        .iter()
        .map(|row| {
            let start = row.bucket_start.expect("a bucket");
            let start = Timestamp::new(start.seconds, start.nanos).expect("a time");
            let metrics = row.metrics.iter().map(|metric| metric.to_string());
            let words = std::iter::once(start.to_string())
                .chain(row.dimensions.iter().cloned())
                .chain(metrics);
            words.collect::<Vec<String>>().join(" ")
        })
        .collect()
}

/// The field violations of an error as text: `event.name: 0 bytes, need 1–128`.
pub fn violations(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details
        .bad_request()
        .map(|bad| bad.field_violations.clone());
    violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect()
}

/// The machine's reason of an error.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

/// A request that is answered once the event is in the database.
pub fn committed(event: Option<pb::Event>) -> pb::IngestEventRequest {
    pb::IngestEventRequest {
        event,
        acknowledgement: pb::Acknowledgement::Committed.into(),
    }
}

/// A message whose verdicts wait until its events are in the database.
pub fn committed_batch(events: Vec<pb::Event>) -> pb::StreamEventsRequest {
    pb::StreamEventsRequest {
        events,
        acknowledgement: pb::Acknowledgement::Committed.into(),
    }
}
