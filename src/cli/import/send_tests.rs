use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Streaming};

use super::*;
use crate::cli::connect::Connection;
use crate::error::ApiError;
use crate::pb::server::ingest_service_server::{IngestService, IngestServiceServer};
use crate::pb::{
    EventResult, FieldViolation, IngestEventRequest, IngestEventResponse, PipeEventsResponse,
};
use crate::rpc::pipe::Replies;
use crate::rpc::stream_batch::{PipeBatch, StreamBatch};

/// What a call does with the events it got.
#[derive(Clone, Copy, PartialEq)]
pub enum Behaviour {
    /// Stores them.
    Store,
    /// Stores what the first message holds and then breaks off, without an acknowledgement.
    StoreOneMessageThenFail,
    /// Refuses before reading anything.
    Overloaded,
    /// Stores all but the first new one, which it wants again.
    WantOneAgain,
    /// Refuses the key.
    KeyInvalid,
}

/// A server in memory: events whose name is `bad` or that lie before 2016 are rejected.
#[derive(Clone, Default)]
pub struct FakeServer {
    pub stored: Arc<Mutex<HashSet<String>>>,
    /// Behaviour of the next calls; afterwards all store.
    pub plan: Arc<Mutex<Vec<Behaviour>>>,
    pub calls: Arc<AtomicU32>,
    /// The number of the first message of every pipe.
    pub resumed_at: Arc<Mutex<Vec<u64>>>,
}

impl FakeServer {
    pub fn planning(plan: &[Behaviour]) -> Self {
        let server = Self::default();
        server.plan.lock().expect("plan").extend(plan.iter().rev());
        server
    }

    pub async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind");
        let address = format!("http://{}", listener.local_addr().expect("address"));
        let service = IngestServiceServer::new(self.clone());
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        address
    }

    async fn client(&self) -> IngestServiceClient<ClientChannel> {
        let address = self.start().await;
        let channel = Channel::from_shared(address.clone()).expect("address");
        Connection::over(channel.connect().await.expect("connect"), address).ingest()
    }

    pub fn stored_count(&self) -> usize {
        self.stored.lock().expect("stored").len()
    }

    /// What the next call does, unless it is refused.
    fn begin(&self) -> Result<Behaviour, Status> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let planned = self.plan.lock().expect("plan").pop();
        match planned.unwrap_or(Behaviour::Store) {
            Behaviour::Overloaded => Err(ApiError::Overloaded.into()),
            Behaviour::KeyInvalid => Err(ApiError::KeyInvalid.into()),
            behaviour => Ok(behaviour),
        }
    }

    /// Stores a message's events and counts them in the summary.
    fn store(
        &self,
        events: Vec<bytes::Bytes>,
        behaviour: &mut Behaviour,
        summary: &mut StreamEventsResponse,
    ) {
        for bytes in events {
            let event = Event::decode(bytes).expect("event");
            let index = summary.received;
            summary.received += 1;
            let is_old = event
                .time
                .as_ref()
                .is_some_and(|time| time.seconds < 1_451_606_400);
            let mut stored = self.stored.lock().expect("stored");
            let verdict = if event.name == "bad" || is_old {
                summary.rejected += 1;
                Verdict::Rejected
            } else if stored.contains(&event.event_id) {
                summary.duplicates += 1;
                continue;
            } else if *behaviour == Behaviour::WantOneAgain {
                *behaviour = Behaviour::Store;
                summary.retry += 1;
                Verdict::Retry
            } else {
                stored.insert(event.event_id);
                summary.accepted += 1;
                continue;
            };
            let field = if is_old { "time" } else { "name" }.to_owned();
            summary.failures.push(EventFailure {
                index,
                result: Some(EventResult {
                    verdict: verdict.into(),
                    event_id: String::new(),
                    violations: vec![FieldViolation {
                        field,
                        description: "refused".to_owned(),
                    }],
                }),
            });
        }
    }

    /// The acknowledgement of a pipe's message.
    fn reply(
        &self,
        message: PipeBatch,
        behaviour: &mut Behaviour,
    ) -> Result<PipeEventsResponse, Status> {
        let mut summary = StreamEventsResponse::default();
        self.store(message.events, behaviour, &mut summary);
        if *behaviour == Behaviour::StoreOneMessageThenFail {
            return Err(ApiError::ShuttingDown.into());
        }
        Ok(PipeEventsResponse {
            message_id: message.message_id,
            accepted: summary.accepted as u32,
            duplicates: summary.duplicates as u32,
            rejected: summary.rejected as u32,
            retry: summary.retry as u32,
            failures: summary.failures,
            ..PipeEventsResponse::default()
        })
    }
}

#[tonic::async_trait]
impl IngestService for FakeServer {
    type PipeEventsStream = Replies;

    async fn pipe_events(
        &self,
        request: Request<Streaming<PipeBatch>>,
    ) -> Result<Response<Replies>, Status> {
        let mut behaviour = self.begin()?;
        let server = self.clone();
        let messages = request.into_inner().enumerate();
        Ok(Response::new(Box::pin(messages.map(
            move |(number, message)| {
                let message = message?;
                if number == 0 {
                    let mut resumed_at = server.resumed_at.lock().expect("resumed at");
                    resumed_at.push(message.message_id);
                }
                server.reply(message, &mut behaviour)
            },
        ))))
    }

    async fn ingest_event(
        &self,
        _: Request<IngestEventRequest>,
    ) -> Result<Response<IngestEventResponse>, Status> {
        Err(ApiError::Internal.into())
    }

    async fn stream_events(
        &self,
        request: Request<Streaming<StreamBatch>>,
    ) -> Result<Response<StreamEventsResponse>, Status> {
        let mut behaviour = self.begin()?;
        let mut messages = request.into_inner();
        let mut summary = StreamEventsResponse::default();
        while let Some(message) = messages.message().await? {
            self.store(message.events, &mut behaviour, &mut summary);
            if behaviour == Behaviour::StoreOneMessageThenFail {
                return Err(ApiError::DatabaseUnavailable.into());
            }
        }
        Ok(Response::new(summary))
    }
}

fn policy() -> RetryPolicy {
    RetryPolicy {
        max_attempts: 4,
        first_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(2),
    }
}

fn batches(count: u64, events_each: u64) -> Receiver<Batch> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        for batch in 0..count {
            let numbers = batch * events_each..(batch + 1) * events_each;
            let event = |number: u64| Event {
                event_id: number.to_string(),
                name: if number == 7 { "bad" } else { "good" }.to_owned(),
                time: Some(prost_types::Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 0,
                }),
                ..Event::default()
            };
            let batch = Batch {
                origins: numbers.clone().map(|number| (0, number + 1)).collect(),
                encoded_bytes: 30 * events_each as usize,
                request: StreamEventsRequest {
                    events: numbers.map(event).collect(),
                    ..StreamEventsRequest::default()
                },
            };
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    });
    receiver
}

async fn send(server: &FakeServer, count: u64, events_each: u64) -> Outcome {
    let batches = batches(count, events_each);
    send_all(
        server.client().await,
        batches,
        policy(),
        &ProgressBar::hidden(),
    )
    .await
}

fn counts(outcome: &Outcome) -> [u64; 6] {
    [
        outcome.sent,
        outcome.accepted,
        outcome.duplicates,
        outcome.rejected,
        outcome.unconfirmed,
        outcome.retries,
    ]
}

#[tokio::test]
async fn windows_of_bounded_size() {
    let server = FakeServer::default();
    let outcome = send(&server, 26, 5000).await;
    assert!(outcome.error.is_none(), "{outcome:?}");
    assert_eq!(counts(&outcome), [130_000, 129_999, 0, 1, 0, 0]);
    assert_eq!(server.calls.load(Ordering::Relaxed), 3);
    assert_eq!(server.stored_count(), 129_999);
    let rejected = Rejected {
        origin: (0, 8),
        reasons: "name: refused".to_owned(),
    };
    assert_eq!(outcome.examples, [rejected]);
    assert!(!outcome.has_too_old);
}

#[tokio::test]
async fn nothing_to_send_makes_no_call() {
    let server = FakeServer::default();
    let outcome = send(&server, 0, 0).await;
    assert!(outcome.error.is_none());
    assert_eq!(server.calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn broken_calls_lose_and_double_nothing() {
    let server = FakeServer::planning(&[
        Behaviour::Overloaded,
        Behaviour::StoreOneMessageThenFail,
        Behaviour::Store,
        Behaviour::StoreOneMessageThenFail,
    ]);
    let outcome = send(&server, 60, 1000).await;
    assert!(outcome.error.is_none(), "{outcome:?}");
    // The messages that the broken calls stored come back as duplicates: nobody told of them.
    assert_eq!(counts(&outcome), [60_000, 57_999 + 1, 1999, 1, 0, 3]);
    assert_eq!(server.stored_count(), 59_999);
}

#[tokio::test]
async fn events_to_retry_are_sent_again_and_counted_once() {
    let server = FakeServer::planning(&[Behaviour::WantOneAgain, Behaviour::WantOneAgain]);
    let outcome = send(&server, 3, 10).await;
    assert_eq!(counts(&outcome), [30, 29, 0, 1, 0, 2]);
    assert_eq!(outcome.examples.len(), 1);
}

#[tokio::test]
async fn attempts_are_bounded() {
    let server = FakeServer::planning(&[Behaviour::Overloaded; 9]);
    let outcome = send(&server, 3, 10).await;
    assert_eq!(server.calls.load(Ordering::Relaxed), 4);
    assert_eq!(outcome.accepted, 0);
    assert_eq!(outcome.sent, outcome.unconfirmed);
    let error = outcome.error.expect("given up").to_string();
    assert!(
        error.contains("tried 4 times") && error.contains("OVERLOADED"),
        "{error}"
    );

    let server = FakeServer::planning(&[Behaviour::WantOneAgain; 9]);
    let outcome = send(&server, 1, 5).await;
    assert!(outcome.error.is_none());
    assert_eq!(counts(&outcome), [5, 4, 0, 0, 1, 3]);
}

#[tokio::test]
async fn what_cannot_succeed_is_not_repeated() {
    let server = FakeServer::planning(&[Behaviour::KeyInvalid]);
    let outcome = send(&server, 3, 10).await;
    assert_eq!(server.calls.load(Ordering::Relaxed), 1);
    let error = outcome.error.expect("refused").to_string();
    assert!(
        error.contains("KEY_INVALID") && error.contains("TALLYMARK_KEY"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error_in_the_end() {
    let server = FakeServer::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    drop(listener);
    let channel = Channel::from_shared(address.clone())
        .expect("address")
        .connect_lazy();
    let client = Connection::over(channel, address).ingest();
    let outcome = send_all(client, batches(1, 5), policy(), &ProgressBar::hidden()).await;
    assert_eq!(outcome.retries, 3);
    assert!(outcome.error.is_some());
    assert_eq!(server.stored_count(), 0);
}
