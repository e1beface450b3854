//! What idle connections and senders that stall cost everybody else.

use std::time::{Duration, Instant};

use anyhow::Context;
use tallymark::cli::table::{Column, Table, count, decimal};
use tallymark::open_files;
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tallymark::rpc::wire_limits::MAX_MESSAGE_BYTES;
use tokio::task::JoinSet;

use super::common::service::Service;
use super::raw_http2::{RawConnection, Sent};

const IDLE_CONNECTIONS: usize = 10_000;
const SLOW_SENDERS: usize = 100;
const STREAM_EVENTS: &str = "/tallymark.v1.IngestService/StreamEvents";

/// A rate that the service has no trouble with: 320 calls a second.
const CALLERS: usize = 16;
const CALLS: usize = 150;
const CALL_EVERY: Duration = Duration::from_millis(50);

/// The 99th percentile beside them may be this often that without them.
const MOST: f64 = 2.0;

/// Times single events alone, then beside connections that are idle and senders that stall.
pub async fn run(service: &Service) -> anyhow::Result<()> {
    open_files::raise_limit();
    // Connections and caches are warm in both cases.
    p99_of_calls(service).await?;
    let alone = p99_of_calls(service).await?;
    let memory_alone_mb = service.memory_mb("VmRSS")?;

    let address = service.address.parse()?;
    let mut idle = Vec::with_capacity(IDLE_CONNECTIONS);
    for _ in 0..IDLE_CONNECTIONS {
        let connection = RawConnection::open(address).await;
        idle.push(connection.context("the service takes no more connections")?);
    }
    let memory_idle_mb = service.memory_mb("VmRSS")?;
    for connection in &mut idle {
        connection.begin_call(STREAM_EVENTS).await?;
    }
    let mut slow = JoinSet::new();
    for _ in 0..SLOW_SENDERS {
        let mut connection = RawConnection::open(address).await?;
        slow.spawn(async move { send_slowly(&mut connection).await });
    }
    let beside = p99_of_calls(service).await?;
    let memory_beside_mb = service.memory_mb("VmRSS")?;
    slow.shutdown().await;

    let beside_what = format!(
        "{} idle calls, {SLOW_SENDERS} slow senders",
        count(IDLE_CONNECTIONS as u64)
    );
    let idle_what = format!("{} idle connections", count(IDLE_CONNECTIONS as u64));
    let milliseconds = |time: Duration| decimal(time.as_secs_f64() * 1_000.0, 2);
    let mut table = Table::new([
        Column::text(format!("IngestEvent, {CALLERS} callers, beside")),
        Column::number("p99 ms"),
        Column::number("resident MB"),
    ]);
    for (what, p99, memory_mb) in [
        ("nobody", milliseconds(alone), memory_alone_mb),
        (&idle_what, "–".to_owned(), memory_idle_mb),
        (&beside_what, milliseconds(beside), memory_beside_mb),
    ] {
        table.row([what.to_owned(), p99, count(memory_mb)]);
    }
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!(
        "{table}\np99 beside them is {} × that alone, need at most {} ×\n",
        decimal(ratio, 2),
        decimal(MOST, 0)
    );
    Ok(())
}

/// Begins the largest message there is and stalls in the middle; when the service ends the call,
/// begins again.
async fn send_slowly(connection: &mut RawConnection) -> std::io::Result<()> {
    let length = u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX);
    let mut half = vec![0];
    half.extend(length.to_be_bytes());
    half.resize(MAX_MESSAGE_BYTES / 2, 0);
    loop {
        let call = connection.begin_call(STREAM_EVENTS).await?;
        if connection.send(call, &half).await? == Sent::All {
            connection.ended(call).await?;
        }
    }
}

async fn p99_of_calls(service: &Service) -> anyhow::Result<Duration> {
    let client = IngestServiceClient::new(service.channel().await?);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let mut client = client.clone();
        callers.spawn(async move {
            let mut times = Vec::with_capacity(CALLS);
            // They take turns, so that each call is one by itself.
            let first = tokio::time::Instant::now() + CALL_EVERY * caller as u32 / CALLERS as u32;
            let mut ticks = tokio::time::interval_at(first, CALL_EVERY);
            for _ in 0..CALLS {
                ticks.tick().await;
                let event = Some(pb::Event {
                    name: "page_view".to_owned(),
                    visitor_id: format!("caller-{caller}"),
                    page: "/".to_owned(),
                    ..pb::Event::default()
                });
                let started = Instant::now();
                client
                    .ingest_event(pb::IngestEventRequest {
                        event,
                        ..pb::IngestEventRequest::default()
                    })
                    .await?;
                times.push(started.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(caller) = callers.join_next().await {
        times.extend(caller??);
    }
    times.sort();
    let place = (times.len() * 99).div_ceil(100) - 1;
    Ok(times[place])
}
