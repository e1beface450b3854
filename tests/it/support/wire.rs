//! Calls made by hand: what no generated client would send.

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use super::{TestApp, reason, violations};

/// Path of IngestEvent.
pub const INGEST_EVENT: &str = "/tallymark.v1.IngestService/IngestEvent";
/// Path of StreamEvents.
pub const STREAM_EVENTS: &str = "/tallymark.v1.IngestService/StreamEvents";
/// Path of Aggregate.
pub const AGGREGATE: &str = "/tallymark.v1.QueryService/Aggregate";

/// A request message in its gRPC frame, as it is.
pub fn frame(message: &[u8]) -> Bytes {
    framed(0, message)
}

/// A request message in a gRPC frame that says that it is compressed.
pub fn compressed_frame(message: &[u8]) -> Bytes {
    framed(1, message)
}

fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(flag);
    frame.put_u32(u32::try_from(message.len()).expect("a message"));
    frame.put_slice(message);
    frame.freeze()
}

/// The reply of a call made by hand: its message, or its error.
pub async fn call(
    app: &TestApp,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Bytes, Status> {
    let mut request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = tonic::body::Body::new(Full::new(body.into()));
    let request = request.body(body).expect("a request");
    let mut channel = app.channel.clone();
    let channel = channel.ready().await.expect("a connection");
    let response = channel.call(request).await.expect("a response");
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Err(status);
    }
    let reply = response.into_body().collect().await?;
    let status = reply.trailers().and_then(Status::from_header_map);
    match status {
        Some(status) if status.code() == Code::Ok => Ok(reply.to_bytes().slice(5..)),
        Some(status) => Err(status),
        None => panic!("a response without a status"),
    }
}

/// Asserts what an error says: its code, its reason and its field violations, in order, and that
/// neither its text nor its details speak of what is below the service.
#[track_caller]
pub fn assert_refused(status: &Status, code: Code, why: &str, fields: &[&str]) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (code, why),
        "{status:?}"
    );
    assert_eq!(violations(status), fields, "{status:?}");
    assert_says_nothing_about_the_database(status);
}

/// Words of the layers below; none belongs into what a caller reads.
const WORDS_BELOW: [&str; 14] = [
    "sql",
    "postgres",
    "pg_",
    "timescale",
    "hypertable",
    "chunk",
    "relation",
    "column",
    "constraint",
    "syntax",
    "encoding",
    "deadlock",
    "src/",
    "panicked",
];

/// Asserts that neither the text nor the details of an error speak of what is below the service.
#[track_caller]
pub fn assert_says_nothing_about_the_database(status: &Status) {
    let details = String::from_utf8_lossy(status.details());
    let said = format!("{} {details}", status.message()).to_lowercase();
    for word in WORDS_BELOW {
        assert!(!said.contains(word), "`{word}` in {said}");
    }
}
