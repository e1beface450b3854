//! Servers that are restarted one after the other under load: senders go to whichever serves, and
//! every event counts once.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::load::{Ledger, Sender, acknowledged_events};
use crate::support::wire::assert_refused;
use crate::support::{ServerProcess, TestDatabase, data_dir, page_view};

/// How often each server is restarted.
const ROUNDS: usize = 3;
/// Acknowledgements between one restart and the next.
const BETWEEN: usize = 400;
const SOON: Duration = Duration::from_secs(120);

fn variables<'a>(url: &'a str, data_dir: &'a tempfile::TempDir) -> [(&'a str, &'a str); 3] {
    [
        ("DATABASE_URL", url),
        (
            "TALLYMARK_DATA_DIR",
            data_dir.path().to_str().expect("UTF-8"),
        ),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ]
}

/// Sends until `stop`, to the other server whenever a call breaks.
async fn send(
    sender: &mut Sender,
    mut server: usize,
    channels: &watch::Sender<[Channel; 2]>,
    acknowledged: &watch::Sender<usize>,
    stop: &CancellationToken,
) {
    loop {
        let channel = channels.borrow()[server % 2].clone();
        match sender.send(channel, acknowledged, stop).await {
            Ok(()) => return,
            Err(_) if stop.is_cancelled() => return,
            Err(_) => server += 1,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_are_restarted_in_turn_under_load() {
    let seed = rand::random::<u32>().into();
    eprintln!("seed {seed}");
    let database = TestDatabase::create().await;
    let url = database.url();
    let dirs = [data_dir(), data_dir()];
    let settings = [variables(&url, &dirs[0]), variables(&url, &dirs[1])];
    let mut servers: VecDeque<(usize, ServerProcess)> = (0..2)
        .map(|place| (place, ServerProcess::start(&settings[place])))
        .collect();
    let channels = watch::Sender::new([servers[0].1.serving().await, servers[1].1.serving().await]);
    let acknowledged = watch::Sender::new(0);
    let stop = CancellationToken::new();
    let mut senders = Sender::one_of_each(seed);

    let restarts = async {
        let mut reached = acknowledged.subscribe();
        for _ in 0..2 * ROUNDS {
            let enough = *reached.borrow_and_update() + BETWEEN;
            let loaded = reached.wait_for(|count| *count >= enough);
            let loaded = tokio::time::timeout(SOON, loaded).await;
            loaded.expect("events are acknowledged").expect("a count");

            let (place, server) = servers.pop_front().expect("two servers");
            let log = server.stop().await;
            assert!(!log.contains("cut off"), "{log}");
            let mut server = ServerProcess::start(&settings[place]);
            let channel = server.serving().await;
            channels.send_modify(|channels| channels[place] = channel);
            servers.push_back((place, server));
        }
        stop.cancel();
    };
    let sending = senders
        .iter_mut()
        .enumerate()
        .map(|(place, sender)| send(sender, place, &channels, &acknowledged, &stop));
    tokio::join!(restarts, join_all(sending));

    let mut ledger = Ledger::default();
    senders
        .into_iter()
        .for_each(|sender| ledger.merge(sender.ledger));
    let channel = channels.borrow()[0].clone();
    ledger.resend(channel).await;
    let client = database.client().await;
    ledger.assert_exactly_once(&client).await;
    for (_, server) in servers {
        server.stop().await;
    }
    ledger.assert_exactly_once(&client).await;
    assert!(ledger.acknowledged() >= 2 * ROUNDS * BETWEEN);
}

#[tokio::test]
async fn a_stream_that_a_stop_ends_says_truly_how_much_of_it_is_acknowledged() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let dirs = [data_dir(), data_dir()];
    let mut stopping = ServerProcess::start(&variables(&url, &dirs[0]));
    let mut other = ServerProcess::start(&variables(&url, &dirs[1]));
    let (sender, messages) = mpsc::channel(1);
    let mut client = IngestServiceClient::new(stopping.serving().await);
    let call =
        tokio::spawn(async move { client.stream_events(ReceiverStream::new(messages)).await });
    let mut events: Vec<pb::Event> = (0..40).map(|_| page_view("ada", "/")).collect();
    let message =
        |events: &[pb::Event], acknowledgement: pb::Acknowledgement| pb::StreamEventsRequest {
            events: events.to_vec(),
            acknowledgement: acknowledgement.into(),
        };
    // A status has no room for its verdict, so it is the first that is to be sent again.
    events[3].name.clear();
    for message in [
        message(&events[..10], pb::Acknowledgement::Logged),
        message(&[], pb::Acknowledgement::Logged),
        message(&events[10..25], pb::Acknowledgement::Committed),
        message(&events[25..27], pb::Acknowledgement::Logged),
    ] {
        sender.send(message).await.expect("the stream is open");
    }
    let watcher = database.client().await;
    let stored = async || {
        let row = watcher.query_one("select count(*) from events", &[]).await;
        row.expect("a count").get::<_, i64>(0)
    };
    let received = async { while stored().await < 26 {} };
    tokio::time::timeout(SOON, received)
        .await
        .expect("what is sent is loaded");

    stopping.signal(Signal::TERM);
    let status = call.await.expect("no panic").expect_err("the server stops");
    assert_refused(&status, Code::Unavailable, "SHUTTING_DOWN", &[]);
    assert_eq!(acknowledged_events(&status), Some(3), "{status:?}");
    drop(sender);

    // Whoever believes it sends the rest, and nothing is missing or double.
    let rest = message(&events[3..], pb::Acknowledgement::Committed);
    let reply = IngestServiceClient::new(other.serving().await)
        .stream_events(tokio_stream::iter([rest]))
        .await;
    let summary = reply.expect("the stream ends OK").into_inner();
    let counts = (summary.rejected, summary.duplicates, summary.accepted);
    assert_eq!(counts, (1, 23, 13));
    assert_eq!(stored().await, 39);
    let (status, log) = stopping.end().await;
    assert!(status.success(), "{log}");
    other.stop().await;
}
