use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::*;
use crate::cli::import::send::tests::{Behaviour, FakeServer};
use crate::pb;
use crate::pb::server::ingest_service_server::IngestServiceServer;
use crate::pb::server::query_service_server::{QueryService, QueryServiceServer};
use crate::pb::{
    AggregateRow, GetEventRequest, GetEventResponse, ListEventsRequest, ListEventsResponse,
};

/// Answers every question with one row, and remembers the questions.
#[derive(Clone, Default)]
struct FakeAnswers(Arc<Mutex<Vec<AggregateRequest>>>);

#[tonic::async_trait]
impl QueryService for FakeAnswers {
    async fn aggregate(
        &self,
        request: Request<AggregateRequest>,
    ) -> Result<Response<AggregateResponse>, Status> {
        let question = request.into_inner();
        let row = AggregateRow {
            bucket_start: None,
            dimensions: question.dimensions.clone(),
            metrics: vec![1.0; question.metrics.len()],
            ..AggregateRow::default()
        };
        let answer = AggregateResponse {
            dimensions: question.dimensions.clone(),
            metrics: question.metrics.clone(),
            rows: vec![row],
            ..AggregateResponse::default()
        };
        self.0.lock().expect("questions").push(question);
        Ok(Response::new(answer))
    }

    async fn breakdown(
        &self,
        _: Request<pb::BreakdownRequest>,
    ) -> Result<Response<pb::BreakdownResponse>, Status> {
        Err(crate::error::ApiError::Internal.into())
    }

    async fn overview(
        &self,
        _: Request<pb::OverviewRequest>,
    ) -> Result<Response<pb::OverviewResponse>, Status> {
        Err(crate::error::ApiError::Internal.into())
    }

    async fn get_metadata(
        &self,
        _: Request<pb::GetMetadataRequest>,
    ) -> Result<Response<pb::GetMetadataResponse>, Status> {
        Err(crate::error::ApiError::Internal.into())
    }

    async fn get_event(
        &self,
        _: Request<GetEventRequest>,
    ) -> Result<Response<GetEventResponse>, Status> {
        Err(crate::error::ApiError::Internal.into())
    }

    async fn list_events(
        &self,
        _: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        Err(crate::error::ApiError::Internal.into())
    }

    async fn realtime(
        &self,
        _: Request<pb::RealtimeRequest>,
    ) -> Result<Response<pb::RealtimeResponse>, Status> {
        Err(crate::error::ApiError::Internal.into())
    }

    type WatchRealtimeStream = crate::rpc::realtime::Messages;

    async fn watch_realtime(
        &self,
        _: Request<pb::WatchRealtimeRequest>,
    ) -> Result<Response<Self::WatchRealtimeStream>, Status> {
        Err(crate::error::ApiError::Internal.into())
    }
}

async fn demo_against(server: &FakeServer, answers: &FakeAnswers) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(
        Server::builder()
            .add_service(IngestServiceServer::new(server.clone()))
            .add_service(QueryServiceServer::new(answers.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    send_and_ask(Channel::from_shared(address)?.connect().await?, 1).await
}

#[tokio::test]
async fn sends_a_day_and_asks_three_questions() {
    let (server, answers) = (FakeServer::default(), FakeAnswers::default());
    demo_against(&server, &answers).await.expect("demo");
    let stored = server.stored_count();
    assert!((25_000..60_000).contains(&stored), "{stored}");
    demo_against(&server, &answers)
        .await
        .expect("the same again");
    assert_eq!(server.stored_count(), stored);

    let questions = answers.0.lock().expect("questions");
    assert_eq!(questions.len(), 6);
    assert!(
        questions
            .iter()
            .all(|question| question.totals && question.range.is_some())
    );
}

#[tokio::test]
async fn fails_when_events_are_not_taken() {
    let server = FakeServer::planning(&[Behaviour::WantOneAgain]);
    let error = demo_against(&server, &FakeAnswers::default())
        .await
        .expect_err("one is missing");
    assert!(error.to_string().contains("wants 1 again"), "{error}");
}

#[test]
fn answers_as_tables() {
    let row = |page: &str, metrics: [f64; 2]| AggregateRow {
        bucket_start: Some(prost_types::Timestamp {
            seconds: 1_772_532_000,
            nanos: 0,
        }),
        dimensions: strings([page]),
        metrics: metrics.into(),
        ..AggregateRow::default()
    };
    let answer = AggregateResponse {
        dimensions: strings(["page"]),
        metrics: strings(["visitors", "duration_mean"]),
        rows: vec![row("/", [1234.0, 12.34]), row("/a", [5.0, f64::NAN])],
        totals: Some(row("", [1235.0, 12.3])),
        ..AggregateResponse::default()
    };
    assert_eq!(
        answer_table(&answer, true).to_string(),
        "  from (UTC)   page  visitors  duration mean\n  \
           ───────────  ────  ────────  ─────────────\n  \
           03-03 10:00  /        1,234           12.3\n  \
           03-03 10:00  /a           5              –\n  \
           ───────────  ────  ────────  ─────────────\n  \
           all rows              1,235           12.3\n"
    );
}
