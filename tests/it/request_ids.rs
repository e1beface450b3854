//! Request ids: in the reply, in errors and in the log.

use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::support::{ServerProcess, TestApp, TestDatabase, committed, page_view};

fn request(id: Option<&str>, event: Option<pb::Event>) -> Request<pb::IngestEventRequest> {
    let mut request = Request::new(committed(event));
    if let Some(id) = id {
        let id = id.parse().expect("a header");
        request.metadata_mut().insert("x-request-id", id);
    }
    request
}

fn id_of(metadata: &tonic::metadata::MetadataMap) -> String {
    let id = metadata.get("x-request-id").expect("an id");
    id.to_str().expect("ASCII").to_owned()
}

#[track_caller]
fn assert_is_new(id: &str) {
    let id = Uuid::parse_str(id).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
}

async fn reply_id(app: &TestApp, id: Option<&str>) -> String {
    let event = Some(page_view("ada", "/"));
    let reply = app.ingest().ingest_event(request(id, event)).await;
    id_of(reply.expect("accepted").metadata())
}

async fn error(app: &TestApp, id: Option<&str>) -> Status {
    let refused = app.ingest().ingest_event(request(id, None)).await;
    refused.expect_err("no event was sent")
}

#[tokio::test]
async fn a_callers_id_comes_back() {
    let app = TestApp::start().await;
    assert_eq!(reply_id(&app, Some("order-17/3")).await, "order-17/3");
}

#[tokio::test]
async fn a_call_without_an_id_gets_one() {
    let app = TestApp::start().await;
    let [first, second] = [reply_id(&app, None).await, reply_id(&app, None).await];
    assert_is_new(&first);
    assert_is_new(&second);
    assert_ne!(first, second);
}

#[tokio::test]
async fn an_id_that_is_not_fit_for_a_log_is_replaced() {
    let app = TestApp::start().await;
    for id in ["two words", "", &"x".repeat(129)] {
        assert_is_new(&reply_id(&app, Some(id)).await);
    }
}

#[tokio::test]
async fn an_error_says_whose_it_is_beside_its_reason() {
    let app = TestApp::start().await;
    let status = error(&app, Some("abc")).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(id_of(status.metadata()), "abc");
    let details = status.get_error_details();
    assert_eq!(details.request_info().expect("an id").request_id, "abc");
    assert_eq!(
        details.error_info().expect("a reason").reason,
        "INVALID_FIELD"
    );

    // One that the gate refuses, too.
    let mut client = IngestServiceClient::new(app.channel.clone());
    let refused = client.ingest_event(request(Some("def"), None)).await;
    let status = refused.expect_err("no key was sent");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(id_of(status.metadata()), "def");
    let details = status.get_error_details();
    assert_eq!(details.request_info().expect("an id").request_id, "def");
}

#[tokio::test]
async fn lines_of_the_log_carry_the_id_and_nothing_that_was_sent() {
    let database = TestDatabase::create().await;
    let mut server = ServerProcess::start(&[
        ("DATABASE_URL", &database.url()),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
        ("TALLYMARK_LOG", "tallymark=debug,info"),
        ("TALLYMARK_LOG_FORMAT", "json"),
    ]);
    let listening: serde_json::Value =
        serde_json::from_str(&server.says(r#""message":"listening""#).await).expect("JSON");
    let address = listening["listen"].as_str().expect("an address").to_owned();
    server.says(r#""message":"ready""#).await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut client = IngestServiceClient::new(endpoint.connect().await.expect("it listens"));
    let event = pb::Event {
        name: "n".repeat(1_000),
        ..page_view("somebody-in-person", "/private")
    };
    let refused = client
        .ingest_event(request(Some("seen-in-the-log"), Some(event)))
        .await;
    refused.expect_err("the name is too long");

    let line = server.says("the call was refused").await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["span"]["request_id"], "seen-in-the-log", "{line}");
    assert_eq!(
        line["span"]["method"], "tallymark.v1.IngestService/IngestEvent",
        "{line}"
    );
    assert_eq!(line["reason"], "INVALID_FIELD", "{line}");
    let log = server.stop().await;
    for word in ["somebody-in-person", "private", "nnnn"] {
        assert!(!log.contains(word), "{word} in {log}");
    }
}
