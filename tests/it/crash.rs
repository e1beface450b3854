//! Whatever is killed, and whenever: every acknowledged event is there, and every event once.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngExt;
use rustix::process::{Pid, Signal, kill_process};
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tallymark::store::embedded::running_database_url;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};
use tonic::transport::Channel;

use crate::support::{ServerProcess, TestDatabase, committed_batch, data_dir, page_view};

const SENDERS: usize = 4;
const EVENTS_PER_MESSAGE: usize = 60;
const MESSAGES_PER_CALL: usize = 3;
const SERVICE_KILLS: usize = 8;
const DATABASE_KILLS: usize = 3;
const SOON: Duration = Duration::from_secs(60);

/// What was sent, by what its sender knows of it.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<String>,
    /// Sent in a call that broke: stored or not.
    unknown: Vec<pb::Event>,
}

/// Sends until a call breaks. `acknowledged` counts along, for whoever waits for load.
async fn send_until_broken(channel: Channel, acknowledged: &AtomicUsize) -> Ledger {
    let mut client = IngestServiceClient::new(channel);
    let mut ledger = Ledger::default();
    loop {
        let events: Vec<pb::Event> = (0..EVENTS_PER_MESSAGE * MESSAGES_PER_CALL)
            .map(|number| page_view(&format!("visitor-{}", number % 17), "/"))
            .collect();
        match send(&mut client, &events).await {
            Ok(()) => {
                acknowledged.fetch_add(events.len(), Ordering::Relaxed);
                let ids = events.into_iter().map(|event| event.event_id);
                ledger.acknowledged.extend(ids);
            }
            Err(_) => {
                ledger.unknown.extend(events);
                return ledger;
            }
        }
    }
}

/// One call; OK only if every event of it is stored.
async fn send(
    client: &mut IngestServiceClient<Channel>,
    events: &[pb::Event],
) -> Result<(), String> {
    let messages: Vec<pb::StreamEventsRequest> = events
        .chunks(EVENTS_PER_MESSAGE)
        .map(|events| committed_batch(events.to_vec()))
        .collect();
    let reply = client.stream_events(tokio_stream::iter(messages)).await;
    let summary = reply.map_err(|status| status.to_string())?.into_inner();
    match summary.accepted + summary.duplicates == events.len() as u64 {
        true => Ok(()),
        false => Err(format!("{summary:?}")),
    }
}

/// Loads the service, kills something when a random number of events is acknowledged, and sends
/// again on a service started anew what nobody knows the fate of.
async fn crash(variables: &[(&str, &str)], ledger: &mut Ledger, kill: impl FnOnce(&ServerProcess)) {
    let mut service = ServerProcess::start(variables);
    let channel = service.serving().await;
    resend(channel.clone(), ledger).await;

    let acknowledged = AtomicUsize::new(0);
    let enough = rand::rng().random_range(500..5_000);
    let killer = async {
        let loaded = async {
            while acknowledged.load(Ordering::Relaxed) < enough {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, loaded)
            .await
            .expect("events are acknowledged");
        kill(&service);
    };
    let senders = (0..SENDERS).map(|_| send_until_broken(channel.clone(), &acknowledged));
    let broken = timeout(SOON, futures_util::future::join_all(senders));
    let ((), ledgers) = tokio::join!(killer, broken);
    for sent in ledgers.expect("calls break when the service is gone") {
        ledger.acknowledged.extend(sent.acknowledged);
        ledger.unknown.extend(sent.unknown);
    }
    service.end().await;
}

async fn resend(channel: Channel, ledger: &mut Ledger) {
    let mut client = IngestServiceClient::new(channel);
    let unknown = std::mem::take(&mut ledger.unknown);
    for events in unknown.chunks(EVENTS_PER_MESSAGE * MESSAGES_PER_CALL) {
        send(&mut client, events).await.expect("a resent call");
    }
    let ids = unknown.into_iter().map(|event| event.event_id);
    ledger.acknowledged.extend(ids);
}

/// Everything that was acknowledged is in the database, once, and nothing else is.
async fn assert_exactly_once(client: &Client, ledger: &Ledger) {
    assert!(ledger.unknown.is_empty());
    let rows = client
        .query("select event_id::text from events", &[])
        .await
        .expect("the events");
    let stored: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let once: HashSet<&String> = stored.iter().collect();
    let acknowledged: HashSet<&String> = ledger.acknowledged.iter().collect();
    assert_eq!(stored.len() - once.len(), 0, "events stored more than once");
    let lost = acknowledged.difference(&once).count();
    assert_eq!(lost, 0, "events acknowledged and lost");
    assert_eq!(once.len(), acknowledged.len(), "events that nobody sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_killed_under_load() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ];
    let mut ledger = Ledger::default();
    for _ in 0..SERVICE_KILLS {
        crash(&variables, &mut ledger, |service| {
            service.signal(Signal::KILL);
        })
        .await;
    }
    let mut service = ServerProcess::start(&variables);
    resend(service.serving().await, &mut ledger).await;
    assert_exactly_once(&database.client().await, &ledger).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed_under_load() {
    let dir = data_dir();
    let path = dir.path().to_str().expect("UTF-8");
    let variables = [
        ("TALLYMARK_DATA_DIR", path),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ];
    let mut ledger = Ledger::default();
    for _ in 0..DATABASE_KILLS {
        // The service ends with its engine.
        crash(&variables, &mut ledger, |_| kill_postmaster(dir.path())).await;
    }
    let mut service = ServerProcess::start(&variables);
    resend(service.serving().await, &mut ledger).await;
    let url = running_database_url(dir.path()).expect("it runs");
    let (client, connection) = tokio_postgres::connect(&url, NoTls)
        .await
        .expect("connects");
    tokio::spawn(connection);
    assert_exactly_once(&client, &ledger).await;
    drop(client);
    service.stop().await;
}

fn kill_postmaster(data_dir: &Path) {
    let file = std::fs::read_to_string(data_dir.join("postgres/postmaster.pid"));
    let pid = file
        .expect("it runs")
        .lines()
        .next()
        .and_then(|pid| pid.parse().ok());
    let pid = pid.and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("it runs");
}
