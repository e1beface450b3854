//! The service under clients that stall: its memory is bounded, and others are served.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tallymark::rpc::wire_limits::MAX_MESSAGE_BYTES;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{Service, ServiceExt};

use crate::support::raw_http2::{RawConnection, Sent};
use crate::support::wire::{INGEST_EVENT, STREAM_EVENTS, frame};
use crate::support::{
    ServerProcess, TestApp, TestDatabase, committed, committed_batch, page_view, reason,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const IDLE_CONNECTIONS: u64 = 2_000;
const SLOW_SENDERS: u64 = 100;
const NON_READERS: u64 = 50;
/// Several times what a connection may have open.
const UNREAD_CALLS: u32 = 1_000;

/// For whatever must come, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

/// As small as they may be, so that what is not in them shows.
const RECEIVE_BYTES: u64 = 8 * MIB;
const IN_FLIGHT_BYTES: u64 = 8 * MIB;
/// What a connection with an idle call takes, with room to spare.
const CONNECTION_BYTES: u64 = 32 * KIB;
/// What a client may send before anybody reads it, as `rpc::server` has it.
const WINDOW_BYTES: u64 = 512 * KIB;
/// Calls of a connection at a time, as `rpc::server` has it, and what one with its reply takes.
const CALLS_OF_CONNECTION: u64 = 256;
const CALL_BYTES: u64 = 16 * KIB;

#[tokio::test]
async fn memory_is_bounded_and_others_are_served_whatever_clients_do() {
    let database = TestDatabase::create().await;
    let mut server = ServerProcess::start(&[
        ("DATABASE_URL", &database.url()),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
        ("TALLYMARK_RECEIVE_BYTES", &RECEIVE_BYTES.to_string()),
        ("TALLYMARK_IN_FLIGHT_BYTES", &IN_FLIGHT_BYTES.to_string()),
    ]);
    let address = server.address().await;
    let channel = server.serving().await;
    let mut client = IngestServiceClient::new(channel);
    serve_others(&mut client).await;
    let memory_before = server.peak_memory_bytes();

    // Half of them have a call open, over which nothing comes.
    let mut idle = Vec::new();
    for number in 0..IDLE_CONNECTIONS {
        let mut connection = RawConnection::open(address).await.expect("a place");
        if number % 2 == 0 {
            let begun = connection.begin_call(STREAM_EVENTS).await;
            begun.expect("a call");
        }
        idle.push(connection);
    }
    let mut clients = JoinSet::new();
    let (sent, mut all_sent) = unbounded_channel();
    for _ in 0..SLOW_SENDERS {
        clients.spawn(send_slowly(address, sent.clone()));
    }
    for _ in 0..SLOW_SENDERS {
        all_sent.recv().await.expect("a slow sender");
    }
    serve_others(&mut client).await;
    let mut bound = RECEIVE_BYTES
        + IN_FLIGHT_BYTES
        + (IDLE_CONNECTIONS + SLOW_SENDERS) * CONNECTION_BYTES
        + SLOW_SENDERS * WINDOW_BYTES;
    let grown = server.peak_memory_bytes() - memory_before;
    assert!(grown < bound, "{} of {} MiB", grown / MIB, bound / MIB);

    let event = Some(page_view("never reads", "/"));
    let message = frame(&committed(event).encode_to_vec());
    for _ in 0..NON_READERS {
        let (message, sent) = (message.clone(), sent.clone());
        clients.spawn(async move {
            let mut connection = RawConnection::open(address).await?;
            let calls = connection.call_and_never_read(INGEST_EVENT, &message, UNREAD_CALLS);
            // The service may close a connection that asks for too much.
            let _ = calls.await;
            let _ = sent.send(SentWhat::Calls);
            std::future::pending().await
        });
    }
    let mut non_readers = 0;
    while non_readers < NON_READERS {
        let what = all_sent.recv().await.expect("they go on");
        non_readers += u64::from(what == SentWhat::Calls);
    }
    serve_others(&mut client).await;
    bound += NON_READERS * (WINDOW_BYTES + CALLS_OF_CONNECTION * CALL_BYTES);
    let grown = server.peak_memory_bytes() - memory_before;
    assert!(grown < bound, "{} of {} MiB", grown / MIB, bound / MIB);

    clients.shutdown().await;
    drop(idle);
    server.stop().await;
}

/// What a client of the test has sent.
#[derive(Debug, PartialEq, Eq)]
enum SentWhat {
    HalfAMessage,
    Calls,
}

async fn serve_others(client: &mut IngestServiceClient<Channel>) {
    for _ in 0..20 {
        send_one(client).await;
        send_batch(client).await;
    }
}

async fn send_one(client: &mut IngestServiceClient<Channel>) {
    let event = Some(page_view("ada", "/"));
    let sent = client.ingest_event(committed(event)).await;
    sent.expect("it is served");
}

async fn send_batch(client: &mut IngestServiceClient<Channel>) {
    let events = (0..200).map(|_| page_view("bob", "/")).collect();
    let messages = [committed_batch(events)];
    let summary = client.stream_events(tokio_stream::iter(messages)).await;
    assert_eq!(summary.expect("it is served").into_inner().accepted, 200);
}

/// Begins the largest message there is and stalls in the middle, or earlier if there is no room for
/// more; when the service ends the call, begins again.
async fn send_slowly(address: SocketAddr, sent: UnboundedSender<SentWhat>) -> std::io::Result<()> {
    let half = frame(&vec![0; MAX_MESSAGE_BYTES]).slice(..MAX_MESSAGE_BYTES / 2);
    // What any client may send at once.
    let first = 32 * KIB as usize;
    let mut connection = RawConnection::open(address).await?;
    loop {
        let call = connection.begin_call(STREAM_EVENTS).await?;
        let begun = connection.send(call, &half[..first]).await?;
        // Nobody is there to hear it when the test ends.
        let _ = sent.send(SentWhat::HalfAMessage);
        if begun == Sent::All && connection.send(call, &half[first..]).await? == Sent::All {
            connection.ended(call).await?;
        }
    }
}

/// A call whose body is sent by hand.
fn call_by_hand(app: &TestApp) -> (UnboundedSender<Bytes>, impl Future<Output = Status> + use<>) {
    let (sender, receiver) = unbounded_channel::<Bytes>();
    let frames =
        UnboundedReceiverStream::new(receiver).map(|data| Ok::<_, Status>(Frame::data(data)));
    let request = http::Request::post(STREAM_EVENTS)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header(
            "authorization",
            format!("Bearer {}", app.write_key.reveal()),
        )
        .body(tonic::body::Body::new(StreamBody::new(frames)))
        .expect("a request");
    let mut channel = app.channel.clone();
    let status = async move {
        let channel = channel.ready().await.expect("a connection");
        let response = channel.call(request).await.expect("a response");
        Status::from_header_map(response.headers()).expect("an error")
    };
    (sender, status)
}

#[tokio::test]
async fn a_sender_that_stalls_while_others_wait_is_told_why() {
    let app = TestApp::start_with(&[("TALLYMARK_RECEIVE_BYTES", "8388608")]).await;
    let message = frame(&vec![0; MAX_MESSAGE_BYTES]);
    let (sender, stalled) = call_by_hand(&app);
    let stalled = tokio::spawn(stalled);
    sender.send(message.slice(..100_000)).expect("a call");
    // There is room for one such message at a time, so the second waits for the first or the other
    // way round, and both stall.
    let (other_sender, other) = call_by_hand(&app);
    let other = tokio::spawn(other);
    other_sender.send(message.slice(..100_000)).expect("a call");
    let status = tokio::select! {
        status = stalled => status,
        status = other => status,
    };
    let status = status.expect("no panic");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(reason(&status), "SENDER_TOO_SLOW");
    let details = status.get_error_details();
    assert!(details.retry_info().is_some(), "{status}");
    // What it held is free.
    drop((sender, other_sender));
    app.send_new(vec![page_view("ada", "/")]).await;
}

/// Waits until the log, which is one segment, has these words.
async fn until_logged(app: &TestApp, words: &str) {
    let segments = app.database.data_dir.path().join("event-log/segments");
    let has_words = |file: std::io::Result<std::fs::DirEntry>| {
        let bytes = std::fs::read(file.expect("a file").path()).expect("a segment");
        bytes.windows(words.len()).any(|at| at == words.as_bytes())
    };
    let logged = async {
        while !std::fs::read_dir(&segments)
            .expect("segments")
            .any(has_words)
        {
            tokio::task::yield_now().await;
        }
    };
    let logged = tokio::time::timeout(SOON, logged).await;
    logged.expect("the event is logged");
}

#[tokio::test]
async fn calls_that_wait_for_commits_leave_the_budget_to_others() {
    // Room for what one compressed message may become.
    let little = [("TALLYMARK_RECEIVE_BYTES", "8388608")];
    let (app, forwarder) = TestApp::start_behind_forwarder(&little).await;
    forwarder.cut();
    let client = app.ingest().send_compressed(CompressionEncoding::Gzip);
    let mut waiting = JoinSet::new();

    // As many as a stream has unacknowledged: it waits for the first, and reads no further.
    let messages = (0..8)
        .map(|number| committed_batch(vec![page_view("ada", &format!("/{number}-of-stream"))]));
    let messages = tokio_stream::iter(messages.collect::<Vec<_>>()).chain(tokio_stream::pending());
    let mut streaming = client.clone();
    waiting.spawn(async move { streaming.stream_events(messages).await.map(drop) });
    until_logged(&app, "/7-of-stream").await;
    let mut calling = client.clone();
    let event = committed(Some(page_view("bob", "/of-call")));
    waiting.spawn(async move { calling.ingest_event(event).await.map(drop) });
    until_logged(&app, "/of-call").await;

    let mut other = client.clone();
    let logged = pb::IngestEventRequest {
        acknowledgement: pb::Acknowledgement::Logged.into(),
        ..committed(Some(page_view("cy", "/")))
    };
    let served = other.ingest_event(logged).await;
    served.expect("there is room");
}

#[tokio::test]
async fn as_many_files_may_be_open_as_the_system_allows() {
    let database = TestDatabase::create().await;
    let variables = [
        ("DATABASE_URL", &*database.url()),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ];
    let low = "ulimit -S -n 256 && ulimit -H -n 1500";
    let mut server = ServerProcess::start_after(low, &variables);
    let line = server.says("files that may be open").await;
    assert!(line.contains("open_files=1500 before=256"), "{line}");
    let address = server.address().await;
    let mut client = IngestServiceClient::new(server.serving().await);
    // More than there would be files for before.
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(RawConnection::open(address).await.expect("a place"));
    }
    serve_others(&mut client).await;
    // More than there are files for: some wait, and whoever has a connection is served.
    for _ in 0..800 {
        idle.push(RawConnection::begin(address).await.expect("a backlog"));
    }
    serve_others(&mut client).await;
    drop(idle);
    server.stop().await;
}
