//! `make bench`: how fast the service is, beside what PostgreSQL can do with the same events.
//!
//! Everything is measured in one run on one machine, since machines differ and shared ones are noisy: the
//! ratios are what counts. Rounds of service, wide COPY, narrow COPY follow one another, and medians
//! are shown.

mod baseline;
#[path = "../common/mod.rs"]
mod common;
mod overload;
mod parts;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/it/support/raw_http2.rs"]
mod raw_http2;
mod unary;

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use jiff::{Timestamp, ToSpan};
use prost::Message;
use tallymark::cli::table::{Column, Table, count, decimal};
use tallymark::cli::traffic::{Traffic, TrafficOptions};
use tallymark::pb;

use common::service::{Service, shares};
use common::{database, median};

/// Days of traffic, ending yesterday.
const DAYS: u32 = 30;
const EVENTS_PER_MESSAGE: usize = 1_000;
const CONNECTIONS: usize = 4;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = std::env::var("DATABASE_URL").context("run this with `make bench`")?;
    let wanted: usize = match std::env::var("BENCH_EVENTS") {
        Ok(count) => count.parse().context("BENCH_EVENTS is not a number")?,
        Err(_) => 1_000_000,
    };
    eprintln!("making {} events up…", count(wanted as u64));
    let messages = messages(wanted)?;
    let events: usize = messages.iter().map(|message| message.events.len()).sum();

    let mut acknowledged = Vec::new();
    let mut queryable = Vec::new();
    let mut wide = Vec::new();
    let mut narrow = Vec::new();
    let mut peak_memory_mb = 0;
    let mut last = None;
    let dir = tempfile::tempdir()?;
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}…");
        if let Some(service) = last.take() {
            Service::stop(service).await?;
        }
        let url = database::create(&server, &format!("bench_{round}")).await?;
        let service = Service::start(&url, &dir.path().join(format!("round-{round}")), &[]).await?;
        let took = service
            .ingest(encoded_shares(&messages), events as u64)
            .await?;
        acknowledged.push(took.acknowledged);
        queryable.push(took.queryable);
        peak_memory_mb = peak_memory_mb.max(service.memory_mb("VmHWM")?);
        let copied = baseline::copy_again(&server, &url).await?;
        wide.push(copied.wide);
        narrow.push(copied.narrow);
        last = Some(service);
    }
    let [acknowledged, queryable, wide, narrow] =
        [acknowledged, queryable, wide, narrow].map(median);
    eprintln!("the parts alone…");
    let parts = parts::measure(&server, &messages).await?;

    let mut table = Table::new([
        Column::text("into TimescaleDB"),
        Column::number("seconds"),
        Column::number("events/s"),
        Column::number("service is"),
    ]);
    let mut row = |name: &str, time: Duration| {
        table.row([
            name.to_owned(),
            decimal(time.as_secs_f64(), 2),
            count((events as f64 / time.as_secs_f64()) as u64),
            format!(
                "{} ×",
                decimal(time.as_secs_f64() / queryable.as_secs_f64(), 2)
            ),
        ]);
    };
    row("StreamEvents, deduplicated, until queryable", queryable);
    row("psql \\copy binary, wide text rows", wide);
    row("psql \\copy binary, narrow rows", narrow);
    row("StreamEvents, until acknowledged (on disk)", acknowledged);
    row("decode, validate, enrich, encode: one thread", parts.intake);
    row("the log alone", parts.log);
    row("the loaders alone", parts.load);
    println!(
        "\n{} events, median of {ROUNDS} rounds:\n\n{table}",
        count(events as u64)
    );
    println!("peak resident memory of the service: {peak_memory_mb} MB\n");

    let service = last.context("no round was run")?;
    unary::run(&service, dir.path()).await?;
    overload::run(&service).await?;
    service.stop().await
}

fn messages(wanted: usize) -> anyhow::Result<Vec<pb::StreamEventsRequest>> {
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    // About seven events a person and day; `take` cuts what is too much.
    let options = TrafficOptions {
        days: DAYS,
        visitors: u32::try_from(wanted / DAYS as usize / 6)?,
        crawlers: 100,
        ..TrafficOptions::of_day(today.checked_sub(i64::from(DAYS).days())?)
    };
    let events: Vec<pb::Event> = Traffic::new(1, options).events().take(wanted).collect();
    let chunks = events.chunks(EVENTS_PER_MESSAGE);
    Ok(chunks
        .map(|events| pb::StreamEventsRequest {
            events: events.to_vec(),
            ..pb::StreamEventsRequest::default()
        })
        .collect())
}

/// Encoded before the clock starts, as the rows are that psql copies.
fn encoded_shares(
    messages: &[pb::StreamEventsRequest],
) -> Vec<tokio_stream::Iter<std::vec::IntoIter<Bytes>>> {
    let encoded = messages
        .iter()
        .map(|message| message.encode_to_vec().into());
    let shares = shares(encoded, CONNECTIONS);
    shares.into_iter().map(tokio_stream::iter).collect()
}
