//! Bad input: told at once which field is wrong and what would be right, and nothing else is touched.
//!
//! Events here; questions are in `bad_questions`.

use std::io::Write;

use jiff::{SignedDuration, Timestamp};
use prost::Message;
use prost_types::{ListValue, Struct, Value, value::Kind};
use tallymark::pb::{self, Verdict};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::support::wire::{
    INGEST_EVENT, STREAM_EVENTS, assert_refused, call, compressed_frame, frame,
};
use crate::support::{TestApp, committed, committed_batch, page_view, reason};

async fn ingest(app: &TestApp, event: pb::Event) -> Result<pb::EventResult, Status> {
    let request = committed(Some(event));
    let reply = app.ingest().ingest_event(request).await?;
    Ok(reply.into_inner().result.expect("a result"))
}

/// Asserts that the event is refused, alone and beside another, for these reasons and no other.
async fn assert_rejected(app: &TestApp, event: pb::Event, violations: &[&str]) {
    let in_call: Vec<String> = violations
        .iter()
        .map(|said| format!("event.{said}"))
        .collect();
    let in_call: Vec<&str> = in_call.iter().map(String::as_str).collect();
    let status = ingest(app, event.clone()).await.expect_err("refused");
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &in_call);

    let summary = app.send(vec![event, page_view("neighbour", "/")]).await;
    assert_eq!(
        (summary.accepted, summary.rejected),
        (1, 1),
        "{violations:?}"
    );
    let result = summary.failures[0].result.as_ref().expect("a result");
    let said: Vec<String> = result
        .violations
        .iter()
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect();
    assert_eq!(
        (result.verdict(), said),
        (Verdict::Rejected, owned(violations))
    );
}

/// Asserts that the event is stored.
async fn assert_accepted(app: &TestApp, event: pb::Event) {
    let result = ingest(app, event).await.expect("accepted");
    assert_eq!(result.verdict(), Verdict::Accepted);
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn count(app: &TestApp) -> f64 {
    let question = pb::AggregateRequest {
        totals: true,
        ..pb::AggregateRequest::default()
    };
    let totals = app.aggregate(question).await.totals;
    totals.expect("totals").metrics[0]
}

fn bearer(key: &tallymark::domain::key::Key) -> String {
    format!("Bearer {}", key.reveal())
}

/// A call with the write key whose body is made by hand.
async fn call_ingest(
    app: &TestApp,
    path: &str,
    encoding: Option<&str>,
    body: bytes::Bytes,
) -> Result<bytes::Bytes, Status> {
    let key = bearer(&app.write_key);
    let mut headers = vec![("authorization", key.as_str())];
    headers.extend(encoding.map(|encoding| ("grpc-encoding", encoding)));
    call(app, path, &headers, body).await
}

/// An event after a good one's bytes, inside an IngestEventRequest: the last value of a field wins.
fn request_with(extra: &[u8]) -> bytes::Bytes {
    let mut event = page_view("ada", "/").encode_to_vec();
    event.extend_from_slice(extra);
    let mut request = vec![0x0a];
    prost::encoding::encode_varint(event.len() as u64, &mut request);
    request.extend_from_slice(&event);
    frame(&request)
}

#[tokio::test]
async fn a_field_of_the_wrong_wire_type_is_named() {
    let app = TestApp::start().await;
    // Field 3, name, as a number; field 2, time, as text that is no Timestamp; field 15, a double,
    // as a number; and a tag of field 0.
    let broken: [(&[u8], &str); 4] = [
        (&[0x18, 1], "event.name: invalid wire type"),
        (&[0x12, 2, 0x0a, 0], "event.time.seconds: invalid wire type"),
        (&[0x78, 1], "event.scroll_depth: invalid wire type"),
        (&[0x00, 1], "invalid tag value: 0"),
    ];
    for (extra, said) in broken {
        let status = call_ingest(&app, INGEST_EVENT, None, request_with(extra))
            .await
            .expect_err("refused");
        assert_refused(&status, Code::InvalidArgument, "MALFORMED_MESSAGE", &[]);
        assert!(status.message().contains(said), "{said}: {status:?}");
    }
    let status = call_ingest(&app, INGEST_EVENT, None, frame(&[0x0a, 100, 1]))
        .await
        .expect_err("a message that ends early");
    assert_refused(&status, Code::InvalidArgument, "MALFORMED_MESSAGE", &[]);
    assert_eq!(count(&app).await, 0.0);
}

#[tokio::test]
async fn a_body_that_ends_within_a_message_is_the_callers_fault() {
    let app = TestApp::start().await;
    let message = frame(&[0x0a, 1, 1]);
    for path in [INGEST_EVENT, STREAM_EVENTS] {
        let status = call_ingest(&app, path, None, message.slice(..7))
            .await
            .expect_err("a message that ends early");
        assert_refused(&status, Code::InvalidArgument, "MALFORMED_MESSAGE", &[]);
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_named() {
    let app = TestApp::start().await;
    for (tag, field) in [(0x1a, "name"), (0x22, "visitor_id"), (0x3a, "page")] {
        let status = call_ingest(
            &app,
            INGEST_EVENT,
            None,
            request_with(&[tag, 2, 0xff, 0xfe]),
        )
        .await
        .expect_err("refused");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "MALFORMED_MESSAGE")
        );
        let said = format!("event.{field}: invalid string value: data is not UTF-8 encoded");
        assert!(status.message().contains(&said), "{status:?}");
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let app = TestApp::start().await;
    // Fields 1000 (a number), 1001 (eight bytes) and 1002 (text) of some later version.
    let mut extra = Vec::new();
    prost::encoding::uint64::encode(1_000, &7, &mut extra);
    prost::encoding::double::encode(1_001, &1.5, &mut extra);
    prost::encoding::string::encode(1_002, &"later".to_owned(), &mut extra);
    let reply = call_ingest(&app, INGEST_EVENT, None, request_with(&extra))
        .await
        .expect("accepted");
    let reply = pb::IngestEventResponse::decode(reply).expect("a reply");
    assert_eq!(reply.result.expect("a result").verdict(), Verdict::Accepted);
    app.until_stored(1).await;
}

#[tokio::test]
async fn an_empty_message_is_told_what_it_lacks() {
    let app = TestApp::start().await;
    let status = call_ingest(&app, INGEST_EVENT, None, frame(&[]))
        .await
        .expect_err("refused");
    assert_refused(
        &status,
        Code::InvalidArgument,
        "INVALID_FIELD",
        &["event: is absent"],
    );

    let nothing = [
        "name: 0 bytes, need 1–128",
        "visitor_id: 0 bytes, need 1–128 (or a user_id)",
    ];
    assert_rejected(&app, pb::Event::default(), &nothing).await;

    let status = call_ingest(&app, INGEST_EVENT, None, bytes::Bytes::new())
        .await
        .expect_err("a call without a message");
    assert_refused(&status, Code::InvalidArgument, "MALFORMED_MESSAGE", &[]);
}

const LIMIT_BYTES: usize = 4 * 1024 * 1024;

#[track_caller]
fn assert_too_large(status: &Status) {
    assert_refused(status, Code::InvalidArgument, "MESSAGE_TOO_LARGE", &[]);
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.metadata["limit_bytes"], LIMIT_BYTES.to_string());
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

/// A zstd frame (RFC 8878) of RLE blocks of zeros, 128 KiB each, without a content size.
fn zstd_zeros(blocks: usize) -> Vec<u8> {
    const BLOCK_BYTES: u32 = 128 * 1024;
    // Magic number; descriptor without anything; window of 128 KiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    for block in 1..=blocks {
        let header = (BLOCK_BYTES << 3) | (1 << 1) | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[tokio::test]
async fn a_message_over_four_mib_is_refused_before_and_after_decompression() {
    let app = TestApp::start().await;
    let bomb = vec![0_u8; 16 << 20];
    for path in [INGEST_EVENT, STREAM_EVENTS] {
        let plain = call_ingest(&app, path, None, frame(&vec![0; LIMIT_BYTES + 1])).await;
        assert_too_large(&plain.expect_err("refused"));
        let gzipped = compressed_frame(&gzip(&bomb));
        let gzipped = call_ingest(&app, path, Some("gzip"), gzipped).await;
        assert_too_large(&gzipped.expect_err("refused"));
        let zstd = compressed_frame(&zstd_zeros(128));
        let zstd = call_ingest(&app, path, Some("zstd"), zstd).await;
        assert_too_large(&zstd.expect_err("refused"));
    }
    // The service is as before.
    assert_accepted(&app, page_view("ada", "/")).await;
}

#[tokio::test]
async fn a_message_at_four_mib_is_taken() {
    let app = TestApp::start().await;
    let event = page_view("ada", "/").encode_to_vec();
    let mut request = pb::StreamEventsRequest::default().encode_to_vec();
    prost::encoding::bytes::encode(1, &event, &mut request);
    request.extend(committed_batch(vec![]).encode_to_vec());
    // An unknown field fills the message up, to the byte.
    let rest = LIMIT_BYTES - request.len();
    let filler = vec![0_u8; rest - 6];
    prost::encoding::bytes::encode(1_000, &filler, &mut request);
    assert_eq!(request.len(), LIMIT_BYTES);
    for (encoding, body) in [
        (None, frame(&request)),
        (Some("gzip"), compressed_frame(&gzip(&request))),
    ] {
        let reply = call_ingest(&app, STREAM_EVENTS, encoding, body)
            .await
            .expect("taken");
        let summary = pb::StreamEventsResponse::decode(reply).expect("a reply");
        assert_eq!(summary.received, 1);
    }
    assert_eq!(count(&app).await, 1.0);
}

#[tokio::test]
async fn a_body_that_does_not_decompress_is_refused() {
    let app = TestApp::start().await;
    let whole = gzip(&vec![7_u8; 10_000]);
    for path in [INGEST_EVENT, STREAM_EVENTS] {
        for broken in [&whole[..whole.len() / 2], b"not gzip".as_slice(), &[]] {
            let status = call_ingest(&app, path, Some("gzip"), compressed_frame(broken))
                .await
                .expect_err("refused");
            assert_refused(&status, Code::InvalidArgument, "MALFORMED_MESSAGE", &[]);
        }
    }
    let status = call_ingest(&app, INGEST_EVENT, Some("br"), compressed_frame(b"x"))
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::Unimplemented);
    let accepted = status.metadata().get("grpc-accept-encoding");
    assert!(accepted.is_some_and(|offer| offer.to_str().is_ok_and(|offer| offer.contains("gzip"))));
}

/// Every text field, its bounds in bytes, and an event that has this text in it.
type TextField = (&'static str, usize, usize, fn(String) -> pb::Event);

macro_rules! with {
    ($($field:ident),*) => {
        |text| pb::Event { $($field: text.into()),*, ..page_view("ada", "/") }
    };
}

const TEXT_FIELDS: [TextField; 12] = [
    ("name", 1, 128, with!(name)),
    ("visitor_id", 0, 128, with!(visitor_id)),
    ("user_id", 0, 128, with!(user_id)),
    ("session_id", 0, 128, with!(session_id)),
    ("page", 0, 2_048, with!(page)),
    ("title", 0, 512, with!(title)),
    ("referrer", 0, 2_048, with!(referrer)),
    ("user_agent", 0, 1_024, with!(user_agent)),
    ("language", 0, 128, with!(language)),
    ("screen", 0, 32, with!(screen)),
    ("page_type", 0, 128, with!(page_type)),
    ("author", 0, 256, with!(author)),
];

/// Text of so many bytes that every field takes.
fn text_of(bytes: usize) -> String {
    format!("/{}", "x".repeat(bytes - 1))
}

#[tokio::test]
async fn text_is_taken_up_to_its_bound_and_no_further() {
    let app = TestApp::start().await;
    for (field, min, max, event) in TEXT_FIELDS {
        assert_accepted(&app, event(text_of(max))).await;
        // White space around it is not part of it.
        assert_accepted(&app, event(format!(" \t{}\n", text_of(max)))).await;
        let need = match min {
            0 => format!("at most {max}"),
            min => format!("{min}–{max}"),
        };
        let said = format!("{field}: {} bytes, need {need}", max + 1);
        assert_rejected(&app, event(text_of(max + 1)), &[&said]).await;
        // The bound is in bytes: this is one character less, and one byte more.
        let wide = format!("{}ü", text_of(max - 1));
        assert_rejected(&app, event(wide), &[&said]).await;
    }
}

#[tokio::test]
async fn a_nul_character_is_refused_in_every_text() {
    let app = TestApp::start().await;
    for (field, _, _, event) in TEXT_FIELDS {
        let said = format!("{field}: contains a NUL character");
        assert_rejected(&app, event("/a\0b".to_owned()), &[&said]).await;
    }
    let event = || page_view("ada", "/");
    let labels = |text: &str| vec!["fine".to_owned(), text.to_owned()];
    assert_rejected(
        &app,
        pb::Event {
            categories: labels("a\0"),
            tags: labels("\0b"),
            ..event()
        },
        &[
            "categories[1]: contains a NUL character",
            "tags[1]: contains a NUL character",
        ],
    )
    .await;
    for properties in [
        object([("a\0", text("b"))]),
        object([("a", text("\0b"))]),
        object([("a", list([text("\0")]))]),
    ] {
        let status = ingest(&app, with_properties(properties))
            .await
            .expect_err("refused");
        let said = crate::support::violations(&status);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("event.properties"), "{said:?}");
        assert!(said[0].ends_with(": contains a NUL character"), "{said:?}");
    }
    let bad_id = pb::Event {
        event_id: "\0".to_owned(),
        ..event()
    };
    assert_rejected(
        &app,
        bad_id,
        &["event_id: `` is not a UUID of 36 characters"],
    )
    .await;
    let bad_ip = pb::Event {
        ip_address: "192.0.2.1\0".to_owned(),
        ..event()
    };
    assert_rejected(&app, bad_ip, &["ip_address: contains a NUL character"]).await;
}

#[tokio::test]
async fn labels_have_a_bounded_number_and_length() {
    let app = TestApp::start().await;
    let many = |count: usize| (0..count).map(|n| format!("label {n}")).collect::<Vec<_>>();
    let event = |categories: Vec<String>, tags: Vec<String>| pb::Event {
        categories,
        tags,
        ..page_view("ada", "/")
    };
    assert_accepted(&app, event(many(32), many(32))).await;
    assert_accepted(&app, event(vec!["x".repeat(128)], vec!["x".repeat(128)])).await;
    let said = [
        "categories: 33 values, need at most 32",
        "tags: 33 values, need at most 32",
    ];
    assert_rejected(&app, event(many(33), many(33)), &said).await;
    let said = [
        "categories[1]: 129 bytes, need 1–128",
        "tags[0]: 0 bytes, need 1–128",
    ];
    let bad = event(vec!["ok".to_owned(), "x".repeat(129)], vec![" ".to_owned()]);
    assert_rejected(&app, bad, &said).await;
}

fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

fn number(number: f64) -> Value {
    Value {
        kind: Some(Kind::NumberValue(number)),
    }
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    let values = values.into_iter().collect();
    Value {
        kind: Some(Kind::ListValue(ListValue { values })),
    }
}

fn nested(object: Struct) -> Value {
    Value {
        kind: Some(Kind::StructValue(object)),
    }
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Struct {
    let fields = fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    Struct { fields }
}

fn with_properties(properties: Struct) -> pb::Event {
    pb::Event {
        properties: Some(properties),
        ..page_view("ada", "/")
    }
}

/// An object of so many objects inside one another.
fn depth(levels: usize) -> Struct {
    let mut inner = object([("k", number(1.0))]);
    for _ in 1..levels {
        inner = object([("k", nested(inner))]);
    }
    inner
}

#[tokio::test]
async fn properties_have_bounded_keys_depth_and_size() {
    let app = TestApp::start().await;
    let keys = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("k{n}")).collect();
        object(names.iter().map(|name| (name.as_str(), number(1.0))))
    };
    // {"k":"…"} is 8 bytes around the text.
    let sized = |bytes: usize| object([("k", text(&"x".repeat(bytes - 8)))]);
    let long_key = "k".repeat(128);
    for good in [
        keys(64),
        depth(5),
        object([("k", list([list([list([list([number(1.0)])])])]))]),
        sized(8_192),
        object([(long_key.as_str(), number(1.0))]),
        Struct::default(),
    ] {
        assert_accepted(&app, with_properties(good)).await;
    }

    let longer_key = "k".repeat(129);
    let too_deep = "properties.k: nested deeper than 5 levels";
    for (bad, said) in [
        (keys(65), "properties: 65 keys, need at most 64"),
        (depth(6), too_deep),
        (
            object([("k", list([list([list([list([list([])])])])]))]),
            too_deep,
        ),
        (sized(8_193), "properties.k: more than 8192 bytes as JSON"),
        (
            object([(longer_key.as_str(), number(1.0))]),
            "properties: a key of 129 bytes, need 1–128",
        ),
        (
            object([("", number(1.0))]),
            "properties: a key of 0 bytes, need 1–128",
        ),
        (
            object([("a", nested(object([("", number(1.0))])))]),
            "properties.a: a key of 0 bytes, need 1–128",
        ),
        (
            object([("n", number(f64::NAN))]),
            "properties.n: NaN is not a JSON number",
        ),
        (
            object([("n", list([number(f64::INFINITY)]))]),
            "properties.n: inf is not a JSON number",
        ),
        (
            object([("n", number(f64::NEG_INFINITY))]),
            "properties.n: -inf is not a JSON number",
        ),
    ] {
        assert_rejected(&app, with_properties(bad), &[said]).await;
    }
}

#[tokio::test]
async fn properties_nested_beyond_reason_do_not_exhaust_the_stack() {
    let app = TestApp::start().await;
    let status = ingest(&app, with_properties(depth(90)))
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    // Hand-made: 100,000 lists inside one another would overflow a recursive reader.
    let mut value: Vec<u8> = Vec::new();
    for _ in 0..20_000 {
        // Value.list_value = 6, ListValue.values = 1.
        let mut outer = Vec::new();
        prost::encoding::encode_varint(0x0a, &mut outer);
        prost::encoding::encode_varint(value.len() as u64, &mut outer);
        let inner_bytes = outer.len() + value.len();
        let mut wrapped = vec![0x32];
        prost::encoding::encode_varint(inner_bytes as u64, &mut wrapped);
        wrapped.extend_from_slice(&outer);
        wrapped.extend_from_slice(&value);
        value = wrapped;
    }
    let mut entry = vec![0x0a, 1, b'k', 0x12];
    prost::encoding::encode_varint(value.len() as u64, &mut entry);
    entry.extend_from_slice(&value);
    let mut object = vec![0x0a];
    prost::encoding::encode_varint(entry.len() as u64, &mut object);
    object.extend_from_slice(&entry);
    let mut field = vec![0xa2, 0x01];
    prost::encoding::encode_varint(object.len() as u64, &mut field);
    field.extend_from_slice(&object);
    let status = call_ingest(&app, INGEST_EVENT, None, request_with(&field))
        .await
        .expect_err("refused");
    assert_refused(&status, Code::InvalidArgument, "MALFORMED_MESSAGE", &[]);
    assert!(status.message().contains("recursion limit"), "{status:?}");
}

fn time_event(seconds: i64, nanos: i32) -> pb::Event {
    pb::Event {
        time: Some(prost_types::Timestamp { seconds, nanos }),
        ..page_view("ada", "/")
    }
}

fn time_in(offset: SignedDuration) -> pb::Event {
    let time = Timestamp::now() + offset;
    time_event(time.as_second(), time.subsec_nanosecond())
}

#[tokio::test]
async fn absurd_times_are_refused() {
    let app = TestApp::start().await;
    let year_1 = -62_135_596_800;
    for (seconds, nanos, said) in [
        (
            year_1,
            0,
            "time: 0001-01-01T00:00:00Z, need 2000-01-01T00:00:00Z or later",
        ),
        (
            -1,
            999_999_999,
            "time: 1969-12-31T23:59:59.999999Z, need 2000-01-01T00:00:00Z or later",
        ),
        (
            946_684_799,
            999_999_999,
            "time: 1999-12-31T23:59:59.999999Z, need 2000-01-01T00:00:00Z or later",
        ),
        (
            0,
            1_000_000_000,
            "time: 0 s and 1000000000 ns are not a time",
        ),
        (
            1_767_225_600,
            -1,
            "time: 1767225600 s and -1 ns are not a time",
        ),
        (
            i64::MAX,
            0,
            "time: 9223372036854775807 s and 0 ns are not a time",
        ),
        (
            i64::MIN,
            0,
            "time: -9223372036854775808 s and 0 ns are not a time",
        ),
    ] {
        assert_rejected(&app, time_event(seconds, nanos), &[said]).await;
    }
    let year_9999 = 253_402_300_799;
    for event in [
        time_event(year_9999, 0),
        time_in(SignedDuration::from_hours(2)),
    ] {
        let status = ingest(&app, event).await.expect_err("refused");
        let said = crate::support::violations(&status);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("event.time: "), "{said:?}");
        assert!(
            said[0].contains(" is more than 1 hour after now, "),
            "{said:?}"
        );
    }
    // An hour is allowed, for clocks that are wrong.
    assert_accepted(&app, time_in(SignedDuration::from_mins(59))).await;
}

#[tokio::test]
async fn a_time_older_than_the_property_keeps_events_is_refused() {
    let app = TestApp::start().await;
    let old = time_in(SignedDuration::from_hours(-24 * 93));
    let status = ingest(&app, old.clone()).await.expect_err("refused");
    let said = crate::support::violations(&status);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("event.time: ")
            && said[0].ends_with(" is older than the 92 days that this property keeps events"),
        "{said:?}"
    );
    assert_accepted(&app, time_in(SignedDuration::from_hours(-24 * 91))).await;
    app.keep_for_ever().await;
    assert_accepted(&app, old).await;
    assert_accepted(&app, time_event(946_684_800, 0)).await;
}

#[tokio::test]
async fn a_uuid_v7_without_a_time_is_held_to_the_same_bounds() {
    let app = TestApp::start().await;
    let minted = |seconds: u64| {
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0);
        pb::Event {
            event_id: Uuid::new_v7(time).to_string(),
            ..page_view("ada", "/")
        }
    };
    let said = ["time: 1970-01-01T00:00:01Z, need 2000-01-01T00:00:00Z or later"];
    assert_rejected(&app, minted(1), &said).await;
    let status = ingest(&app, minted(4_102_444_800))
        .await
        .expect_err("refused");
    assert!(crate::support::violations(&status)[0].contains("more than 1 hour after now"));
}

#[tokio::test]
async fn durations_and_scroll_depths_have_bounds() {
    let app = TestApp::start().await;
    let lasting = |seconds: i64, nanos: i32| pb::Event {
        duration: Some(prost_types::Duration { seconds, nanos }),
        ..page_view("ada", "/")
    };
    let week_s = 7 * 86_400;
    assert_accepted(&app, lasting(0, 0)).await;
    assert_accepted(&app, lasting(week_s, 0)).await;
    for (seconds, nanos) in [
        (-1, 0),
        (0, -1),
        (week_s, 1_000_000),
        (i64::MAX, 999_999_999),
        (i64::MIN, 0),
        (1, 1_000_000_000),
    ] {
        let said = format!("duration: {seconds} s and {nanos} ns, need from 0 s to 7 days");
        assert_rejected(&app, lasting(seconds, nanos), &[&said]).await;
    }

    let scrolled = |percent: f64| pb::Event {
        scroll_depth: Some(percent),
        ..page_view("ada", "/")
    };
    for percent in [0.0, -0.0, 0.001, 100.0] {
        assert_accepted(&app, scrolled(percent)).await;
    }
    for percent in [
        -1.0,
        -0.001,
        100.001,
        101.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        let said = format!("scroll_depth: {percent}, need from 0 to 100");
        assert_rejected(&app, scrolled(percent), &[&said]).await;
    }
}

#[tokio::test]
async fn placeholders_are_not_ids() {
    let app = TestApp::start().await;
    for placeholder in [
        "null",
        "NULL",
        "Null",
        "undefined",
        "Undefined",
        "anonymous",
        "ANONYMOUS",
        "none",
        "None",
        "unknown",
        "Unknown",
        "0",
        "NaN",
        "nil",
        "00000000-0000-0000-0000-000000000000",
    ] {
        for padded in [placeholder.to_owned(), format!(" {placeholder}\t")] {
            let said = format!("`{placeholder}` is a placeholder, need a real id or nothing");
            let visitor = pb::Event {
                visitor_id: padded.clone(),
                ..page_view("", "/")
            };
            assert_rejected(&app, visitor, &[&format!("visitor_id: {said}")]).await;
            let user = pb::Event {
                user_id: padded,
                ..page_view("ada", "/")
            };
            assert_rejected(&app, user, &[&format!("user_id: {said}")]).await;
        }
    }
    // Not the placeholders themselves.
    for id in ["nullable", "00", "unknown-7"] {
        assert_accepted(&app, page_view(id, "/")).await;
    }
    // A known person stands in for the device.
    let known = pb::Event {
        user_id: "ada@example.com".to_owned(),
        ..page_view("", "/")
    };
    assert_accepted(&app, known).await;
}

#[tokio::test]
async fn event_ids_are_uuids() {
    let app = TestApp::start().await;
    let with_id = |id: &str| pb::Event {
        event_id: id.to_owned(),
        ..page_view("ada", "/")
    };
    let nil = "00000000-0000-0000-0000-000000000000";
    let said = "event_id: the nil UUID is a placeholder, need a real id or nothing";
    assert_rejected(&app, with_id(nil), &[said]).await;
    for id in [
        "42",
        "0198c0de",
        "0198c0de0000700080000000000000aa",
        "{0198c0de-0000-7000-8000-0000000000aa}",
        "0198c0de-0000-7000-8000-0000000000ag",
        "x' or 1=1--",
    ] {
        let said = format!("event_id: `{id}` is not a UUID of 36 characters");
        assert_rejected(&app, with_id(id), &[&said]).await;
    }
    let long = "9".repeat(100_000);
    let said = format!(
        "event_id: `{}…` is not a UUID of 36 characters",
        &long[..40]
    );
    assert_rejected(&app, with_id(&long), &[&said]).await;
}

#[tokio::test]
async fn pages_and_addresses_that_are_none_are_refused() {
    let app = TestApp::start().await;
    for page in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://example.com/",
    ] {
        let said = "page: has a scheme other than http or https";
        assert_rejected(&app, page_view("ada", page), &[said]).await;
    }
    assert_rejected(
        &app,
        page_view("ada", "https:///x"),
        &["page: has no valid host"],
    )
    .await;
    let said = "page: 0 bytes, need 1–2048 for a page_view";
    assert_rejected(&app, page_view("ada", "  "), &[said]).await;
    for address in [
        "999.1.1.1",
        "localhost",
        "1.2.3",
        "::g",
        "192.0.2.1, 192.0.2.2",
        "' or 1=1--",
    ] {
        let event = pb::Event {
            ip_address: address.to_owned(),
            ..page_view("ada", "/")
        };
        assert_rejected(&app, event, &["ip_address: not an IPv4 or IPv6 address"]).await;
    }
}

#[tokio::test]
async fn every_rule_that_is_broken_is_told_at_once() {
    let app = TestApp::start().await;
    let event = pb::Event {
        event_id: "x".to_owned(),
        name: "page_view".to_owned(),
        title: "x".repeat(513),
        ..pb::Event::default()
    };
    let said = [
        "event_id: `x` is not a UUID of 36 characters",
        "visitor_id: 0 bytes, need 1–128 (or a user_id)",
        "page: 0 bytes, need 1–2048 for a page_view",
        "title: 513 bytes, need at most 512",
    ];
    assert_rejected(&app, event, &said).await;
}

#[tokio::test]
async fn no_more_than_twenty_violations_are_listed() {
    let app = TestApp::start().await;
    let event = pb::Event {
        tags: vec![String::new(); 32],
        ..page_view("ada", "/")
    };
    let status = ingest(&app, event).await.expect_err("refused");
    assert_eq!(crate::support::violations(&status).len(), 20);
}

#[tokio::test]
async fn text_that_looks_like_sql_is_text() {
    let app = TestApp::start().await;
    let attacks = [
        "a' or 1=1--",
        "'; drop table events; --",
        "\"; drop table events; --",
        "x\"y'z",
        "$1 $$ $tag$ \\' \\\\ %s {}",
        "\u{202e} 𝕊 \u{7f}",
    ];
    for attack in attacks {
        let page = format!("/{attack}");
        let event = pb::Event {
            name: attack.to_owned(),
            visitor_id: attack.to_owned(),
            user_id: attack.to_owned(),
            session_id: attack.to_owned(),
            title: attack.to_owned(),
            user_agent: attack.to_owned(),
            page_type: attack.to_owned(),
            author: attack.to_owned(),
            categories: vec![attack.to_owned()],
            tags: vec![attack.to_owned()],
            properties: Some(object([(attack, text(attack))])),
            ..page_view("ada", "/x")
        };
        assert_accepted(&app, event.clone()).await;

        let stored = app
            .query()
            .get_event(pb::GetEventRequest {
                event_id: event.event_id.clone(),
                ..pb::GetEventRequest::default()
            })
            .await
            .expect("the event")
            .into_inner();
        let stored = stored
            .event
            .and_then(|stored| stored.event)
            .expect("an event");
        assert_eq!(stored.properties, event.properties, "{page}");

        let key = format!("properties.{attack}");
        let names = [
            "name",
            "visitor_id",
            "user_id",
            "session_id",
            "title",
            "page_type",
            "author",
            "category",
            "tag",
            &key,
        ];
        for name in names {
            let question = pb::AggregateRequest {
                dimensions: vec![name.to_owned()],
                bucket: pb::Bucket::WholeRange.into(),
                include_bots: true,
                filter: Some(equals(name, attack)),
                ..pb::AggregateRequest::default()
            };
            let answer = app.aggregate(question).await;
            assert_eq!(answer.dimensions, [name]);
            let rows: Vec<_> = answer
                .rows
                .iter()
                .map(|row| (&row.dimensions, row.metrics[0]))
                .collect();
            assert_eq!(rows, [(&vec![attack.to_owned()], 1.0)], "{name}");
        }
    }
    let question = pb::AggregateRequest {
        include_bots: true,
        totals: true,
        ..pb::AggregateRequest::default()
    };
    let totals = app.aggregate(question).await.totals.expect("totals");
    assert_eq!(totals.metrics, [attacks.len() as f64]);
}

fn equals(dimension: &str, value: &str) -> pb::Filter {
    pb::Filter {
        kind: Some(pb::filter::Kind::Where(pb::Condition {
            dimension: dimension.to_owned(),
            operator: pb::Operator::Equals.into(),
            values: vec![value.to_owned()],
        })),
    }
}

#[tokio::test]
async fn bad_events_touch_nothing() {
    let app = TestApp::start().await;
    let bad = pb::Event {
        visitor_id: "null".to_owned(),
        ..page_view("x", "/secret-page")
    };
    ingest(&app, bad).await.expect_err("refused");
    let client = app.database.client().await;
    for (table, expected) in [("events", 0_i64), ("visitors", 0), ("paths", 0)] {
        let row = client
            .query_one(&format!("select count(*) from {table}"), &[])
            .await
            .expect("a count");
        assert_eq!(row.get::<_, i64>(0), expected, "{table}");
    }
}
