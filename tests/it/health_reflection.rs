//! Health follows readiness and the database; reflection tells what there is to call.

use std::time::Duration;

use tallymark::pb;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::wire::assert_refused;
use crate::support::{TestApp, TestDatabase, committed, page_view};

const SERVICES: [&str; 4] = [
    "",
    "tallymark.v1.IngestService",
    "tallymark.v1.QueryService",
    "tallymark.v1.AdminService",
];

async fn health_of(app: &TestApp, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let reply = HealthClient::new(app.channel.clone())
        .check(request)
        .await?;
    Ok(reply.into_inner().status())
}

/// Asserts that the call may be sent again, and says when.
#[track_caller]
fn assert_retryable(status: &Status, why: &str) {
    assert_refused(status, Code::Unavailable, why, &[]);
    let details = status.get_error_details();
    let retry = details.retry_info().expect("RetryInfo");
    assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
}

async fn ingest(app: &TestApp, event: &pb::Event) -> Result<pb::Verdict, Status> {
    let request = committed(Some(event.clone()));
    let reply = app.ingest().ingest_event(request).await?;
    Ok(reply.into_inner().result.expect("a result").verdict())
}

#[tokio::test]
async fn every_service_has_a_health_and_no_other() {
    let app = TestApp::start().await;
    for service in SERVICES {
        assert_eq!(
            health_of(&app, service).await.expect(service),
            ServingStatus::Serving,
            "{service}"
        );
    }
    for service in [
        "tallymark.v1.OtherService",
        "tallymark.v1.ingestservice",
        "x",
    ] {
        let status = health_of(&app, service).await.expect_err(service);
        assert_eq!(status.code(), Code::NotFound, "{service}");
    }
}

#[tokio::test]
async fn before_the_database_is_there_calls_are_told_to_try_again() {
    let database = TestDatabase::create().await;
    let forwarder = database.forwarder().await;
    forwarder.cut();
    let url = database.url_through(&forwarder);
    let app = TestApp::launch_on(database, &[("DATABASE_URL", &url)]).await;

    for service in SERVICES {
        assert_eq!(
            health_of(&app, service).await.expect(service),
            ServingStatus::NotServing,
            "{service}"
        );
    }
    let event = page_view("ada", "/");
    assert_retryable(
        &ingest(&app, &event).await.expect_err("refused"),
        "STARTING",
    );
    let question = pb::AggregateRequest::default();
    assert_retryable(&app.aggregate_error(question).await, "STARTING");
    let list = pb::ListPropertiesRequest::default();
    assert_retryable(
        &app.admin()
            .list_properties(list)
            .await
            .expect_err("refused"),
        "STARTING",
    );

    forwarder.restore();
    app.wait_until(ServingStatus::Serving).await;
    for service in SERVICES {
        assert_eq!(
            health_of(&app, service).await.expect(service),
            ServingStatus::Serving,
            "{service}"
        );
    }
    assert_eq!(
        ingest(&app, &event).await.expect("stored"),
        pb::Verdict::Accepted
    );
}

#[tokio::test]
async fn while_the_database_is_away_nothing_is_lost_or_doubled() {
    let short = [("TALLYMARK_COMMIT_TIMEOUT_MS", "200")];
    let (app, forwarder) = TestApp::start_behind_forwarder(&short).await;
    let before = page_view("ada", "/");
    assert_eq!(
        ingest(&app, &before).await.expect("stored"),
        pb::Verdict::Accepted
    );

    forwarder.cut();
    let during = page_view("bob", "/");
    assert_retryable(
        &ingest(&app, &during).await.expect_err("refused"),
        "DATABASE_UNAVAILABLE",
    );
    assert_retryable(
        &app.aggregate_error(pb::AggregateRequest::default()).await,
        "DATABASE_UNAVAILABLE",
    );
    let list = pb::ListPropertiesRequest::default();
    let status = app
        .admin()
        .list_properties(list)
        .await
        .expect_err("refused");
    assert_retryable(&status, "DATABASE_UNAVAILABLE");
    let summary = app.send(vec![during.clone()]).await;
    assert_eq!((summary.received, summary.retry), (1, 1));
    let result = summary.failures[0].result.as_ref().expect("a result");
    assert_eq!(
        (result.verdict(), &result.event_id),
        (pb::Verdict::Retry, &during.event_id)
    );
    // Who does not wait for the commit need not care.
    let logged = pb::IngestEventRequest {
        event: Some(page_view("cleo", "/")),
        ..pb::IngestEventRequest::default()
    };
    let reply = app.ingest().ingest_event(logged).await.expect("logged");
    let result = reply.into_inner().result.expect("a result");
    assert_eq!(result.verdict(), pb::Verdict::Accepted);
    app.wait_until(ServingStatus::NotServing).await;
    for service in SERVICES {
        let wanted = match service {
            "tallymark.v1.IngestService" => ServingStatus::Serving,
            _ => ServingStatus::NotServing,
        };
        let health = health_of(&app, service).await.expect(service);
        assert_eq!(health, wanted, "{service}");
    }

    forwarder.restore();
    app.wait_until(ServingStatus::Serving).await;
    // It was logged when it was told to be sent again.
    assert_eq!(
        ingest(&app, &during).await.expect("known"),
        pb::Verdict::Duplicate
    );
    assert_eq!(
        ingest(&app, &before).await.expect("known"),
        pb::Verdict::Duplicate
    );
    assert_eq!(app.event_count().await, 3.0);
}

#[tokio::test]
async fn senders_that_retry_through_cuts_lose_and_double_nothing() {
    let (app, forwarder) = TestApp::start_behind_forwarder(&[]).await;
    let sender = |number: usize| {
        let app = &app;
        async move {
            for event in 0..25 {
                let event = page_view(&format!("v{number}"), &format!("/{event}"));
                while let Err(status) = ingest(app, &event).await {
                    assert_retryable(&status, "DATABASE_UNAVAILABLE");
                }
            }
        }
    };
    let senders = futures_util::future::join_all((0..16).map(sender));
    let cuts = async {
        // Each cut comes when something was stored since the last, so in the middle of it.
        let client = app.database.client().await;
        for round in 1..=4_i64 {
            while client
                .query_one("select count(*) from events", &[])
                .await
                .expect("a count")
                .get::<_, i64>(0)
                < round * 60
            {}
            forwarder.cut();
            tokio::task::yield_now().await;
            forwarder.restore();
        }
    };
    tokio::join!(senders, cuts);
    let answer = app
        .aggregate(pb::AggregateRequest {
            metrics: vec!["events".to_owned(), "visitors".to_owned()],
            totals: true,
            ..pb::AggregateRequest::default()
        })
        .await;
    assert_eq!(answer.totals.expect("totals").metrics, [400.0, 16.0]);
}

macro_rules! reflection {
    ($version:ident, $app:expr, $request:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        };
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some($request),
        };
        let mut client = ServerReflectionClient::new($app.channel.clone());
        let replies = client
            .server_reflection_info(tokio_stream::iter([request]))
            .await;
        let reply = replies.expect("reflection").into_inner().message().await;
        reply
            .expect("a reply")
            .expect("a reply")
            .message_response
            .expect("a response")
    }};
}

macro_rules! reflection_test {
    ($name:ident, $version:ident) => {
        #[tokio::test]
        async fn $name() {
            use prost::Message;
            use tonic_reflection::pb::$version::{
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };
            let app = TestApp::start().await;
            let MessageResponse::ListServicesResponse(list) =
                reflection!($version, app, MessageRequest::ListServices(String::new()))
            else {
                panic!("not a list");
            };
            let mut names: Vec<String> = list
                .service
                .into_iter()
                .map(|service| service.name)
                .collect();
            names.retain(|name| !name.starts_with("grpc.reflection."));
            names.sort();
            assert_eq!(
                names,
                [
                    "grpc.health.v1.Health",
                    "tallymark.v1.AdminService",
                    "tallymark.v1.IngestService",
                    "tallymark.v1.QueryService",
                ]
            );

            for (symbol, file) in [
                (
                    "tallymark.v1.IngestService",
                    "tallymark/v1/ingest_service.proto",
                ),
                (
                    "tallymark.v1.QueryService.Aggregate",
                    "tallymark/v1/query_service.proto",
                ),
                ("tallymark.v1.Event", "tallymark/v1/event.proto"),
                (
                    "tallymark.v1.ErrorReason",
                    "tallymark/v1/error_reason.proto",
                ),
                (
                    "google.protobuf.Timestamp",
                    "google/protobuf/timestamp.proto",
                ),
            ] {
                let request = MessageRequest::FileContainingSymbol(symbol.to_owned());
                let MessageResponse::FileDescriptorResponse(found) =
                    reflection!($version, app, request)
                else {
                    panic!("no file for {symbol}");
                };
                let found: Vec<String> = found
                    .file_descriptor_proto
                    .iter()
                    .map(|bytes| {
                        let file = prost_types::FileDescriptorProto::decode(bytes.as_slice());
                        file.expect("a descriptor").name().to_owned()
                    })
                    .collect();
                assert!(found.iter().any(|name| name == file), "{symbol}: {found:?}");
            }
        }
    };
}

reflection_test!(reflection_v1_lists_services_and_finds_symbols, v1);
reflection_test!(reflection_v1alpha_lists_services_and_finds_symbols, v1alpha);
