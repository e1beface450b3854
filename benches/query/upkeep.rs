//! What keeping rollups up to date costs ingestion: the same load with and without.

use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tallymark::cli::table::{Column, Table, count, decimal};

use super::common::service::{Service, shares};
use super::common::{database, median};
use super::events::{DAYS, Shape};
use super::forms::messages;
use super::loading::{CONNECTIONS, EVENTS_PER_MESSAGE, SETTINGS, until_caught_up};
use super::options::Options;
use super::processor;

const ROUNDS: usize = 3;
const SWITCH: &str = "TALLYMARK_ROLLUPS";

#[derive(Default)]
struct Loads {
    queryable: Vec<Duration>,
    caught_up: Vec<Duration>,
    /// Processor time until caught up, of service and database.
    processor: Vec<Duration>,
    peak_memory_mb: u64,
}

/// Loads the same events several times, with and without in turns, and prints both.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let shape = Shape {
        events: options.upkeep_events,
        seed: options.seed,
        first_day: today.checked_sub(i64::from(DAYS).days())?,
    };
    // Encoded before the clock starts: making events up takes a core too.
    let shares = shares(messages(shape.events(), EVENTS_PER_MESSAGE), CONNECTIONS);
    let mut with = Loads::default();
    let mut without = Loads::default();
    for round in 1..=ROUNDS {
        eprintln!("upkeep, round {round} of {ROUNDS}…");
        load(options, shape, &shares, None, &mut with).await?;
        load(options, shape, &shares, Some((SWITCH, "off")), &mut without).await?;
    }

    let mut table = Table::new([
        Column::text("StreamEvents"),
        Column::number("queryable s"),
        Column::number("events/s"),
        Column::number("caught up s"),
        Column::number("events/s"),
        Column::number("processor s"),
        Column::number("peak MB"),
    ]);
    let per_second = |time: Duration| shape.events as f64 / time.as_secs_f64();
    for (name, loads) in [
        ("with rollups", &with),
        (&format!("{SWITCH}=off"), &without),
    ] {
        let mut row = vec![name.to_owned()];
        for time in [
            median(loads.queryable.clone()),
            median(loads.caught_up.clone()),
        ] {
            row.push(decimal(time.as_secs_f64(), 2));
            row.push(count(per_second(time) as u64));
        }
        row.push(decimal(median(loads.processor.clone()).as_secs_f64(), 2));
        row.push(count(loads.peak_memory_mb));
        table.row(row);
    }
    let share = |with: &[Duration], without: &[Duration]| {
        let ratio = median(without.to_vec()).as_secs_f64() / median(with.to_vec()).as_secs_f64();
        decimal(ratio, 2)
    };
    println!(
        "Upkeep: {} events, median of {ROUNDS} rounds:\n\n{table}\nwith rollups throughput is {} × that without until \
         queryable, {} × until caught up; an event costs {} × the \
         processor time\n",
        count(shape.events),
        share(&with.queryable, &without.queryable),
        share(&with.caught_up, &without.queryable),
        share(&without.processor, &with.processor),
    );
    Ok(())
}

async fn load(
    options: &Options,
    shape: Shape,
    shares: &[Vec<bytes::Bytes>],
    switch: Option<(&str, &str)>,
    loads: &mut Loads,
) -> anyhow::Result<()> {
    let url = database::create(&options.server, "bench_query_upkeep").await?;
    // A log of its own for every database.
    let dir = tempfile::tempdir_in(&options.dir)?;
    let settings: Vec<_> = SETTINGS.into_iter().chain(switch).collect();
    let service = Service::start(&url, dir.path(), &settings).await?;
    let shares = shares.iter().cloned().map(tokio_stream::iter).collect();
    let before = processor::used(&service).await?;
    let started = Instant::now();
    loads
        .queryable
        .push(service.ingest(shares, shape.events).await?.queryable);
    until_caught_up(&url).await?;
    loads.caught_up.push(started.elapsed());
    loads
        .processor
        .push(processor::used(&service).await? - before);
    loads.peak_memory_mb = loads.peak_memory_mb.max(service.memory_mb("VmHWM")?);
    service.stop().await
}
