//! Events into the service and into DuckDB, or what is left of that from an earlier run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use tallymark::cli::table::count;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::common::database;
use super::common::service::Service;
use super::duckdb::DuckDb;
use super::events::{DAYS, Shape};
use super::forms::messages;
use super::options::Options;

/// To be raised when the same seed no longer gives the same events or tables, so that none are kept.
const VERSION: u32 = 1;
pub const CONNECTIONS: usize = 4;
pub const EVENTS_PER_MESSAGE: usize = 1_000;
/// Messages made up ahead, a connection.
const AHEAD: usize = 8;
/// Upkeep that takes longer than this will not end.
const MOST_UPKEEP: Duration = Duration::from_secs(3_600);

/// What the service is started with.
pub const SETTINGS: [(&str, &str); 3] = [
    (
        "TALLYMARK_GEO_DB",
        concat!(env!("CARGO_MANIFEST_DIR"), "/benches/query/countries.mmdb"),
    ),
    // Raw events in large numbers take longer than is sensible for a service.
    ("TALLYMARK_QUERY_TIMEOUT_MS", "3600000"),
    // Kept data may be older than the default.
    ("TALLYMARK_RETENTION_DAYS", "0"),
];

/// Events that are loaded.
pub struct Loaded {
    /// Connection string of their database.
    pub database: String,
    /// DuckDB's file.
    pub duckdb_file: PathBuf,
    /// Log of the service.
    pub log_dir: PathBuf,
    /// How it went.
    pub note: Note,
}

/// What is written down about loaded events, beside them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    version: u32,
    events: u64,
    seed: u64,
    /// First day of the events.
    pub first_day: Date,
    /// Until the last event was acknowledged, queryable, and in all that is kept up to date behind it.
    pub acknowledged: Duration,
    pub queryable: Duration,
    pub caught_up: Duration,
    /// DuckDB, by way of CSV files that were written meanwhile.
    pub duckdb: Duration,
    /// Most memory the service had.
    pub peak_memory_mb: u64,
}

/// Loads so many events, unless they are loaded.
pub async fn load(options: &Options, events: u64) -> anyhow::Result<Loaded> {
    let name = format!("bench_query_{events}_{}", options.seed);
    let dir = options.dir.join(&name);
    let note_file = dir.join("loaded.json");
    let loaded = |note| Loaded {
        database: database::named(&options.server, &name),
        duckdb_file: dir.join("events.duckdb"),
        log_dir: dir.join("service"),
        note,
    };
    if let Ok(note) = std::fs::read(&note_file)
        && let Ok(note) = serde_json::from_slice::<Note>(&note)
        && (note.version, note.events, note.seed) == (VERSION, events, options.seed)
    {
        eprintln!("{} events are kept from an earlier run", count(events));
        return Ok(loaded(note));
    }
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;

    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let shape = Shape {
        events,
        seed: options.seed,
        first_day: today.checked_sub(i64::from(DAYS).days())?,
    };
    eprintln!("{} events into the service…", count(events));
    let database = database::create(&options.server, &name).await?;
    let service = Service::start(&database, &dir.join("service"), &SETTINGS).await?;
    let (shares, generator) = generate(shape);
    let started = Instant::now();
    let took = service.ingest(shares, events).await?;
    generator.await?;
    until_caught_up(&database).await?;
    let caught_up = started.elapsed();
    let peak_memory_mb = service.memory_mb("VmHWM")?;
    service.stop().await?;
    database::execute(&database, "vacuum analyze").await?;
    database::execute(&database, "checkpoint").await?;

    eprintln!("{} events into DuckDB…", count(events));
    let started = Instant::now();
    let mut duckdb = DuckDb::open(&dir.join("events.duckdb"))?;
    duckdb.load(shape, &dir).await?;
    let note = Note {
        version: VERSION,
        events,
        seed: options.seed,
        first_day: shape.first_day,
        acknowledged: took.acknowledged,
        queryable: took.queryable,
        caught_up,
        duckdb: started.elapsed(),
        peak_memory_mb,
    };
    // The last thing, so that a run that was cut short is not taken for a whole one.
    std::fs::write(&note_file, serde_json::to_vec_pretty(&note)?)
        .with_context(|| format!("cannot write {}", note_file.display()))?;
    Ok(loaded(note))
}

/// Makes events up as fast as they are taken, for each connection every n-th message.
fn generate(
    shape: Shape,
) -> (
    Vec<ReceiverStream<bytes::Bytes>>,
    tokio::task::JoinHandle<()>,
) {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..CONNECTIONS).map(|_| mpsc::channel(AHEAD)).unzip();
    let generator = tokio::task::spawn_blocking(move || {
        let messages = messages(shape.events(), EVENTS_PER_MESSAGE);
        for (message, sender) in messages.zip(senders.iter().cycle()) {
            // A connection that ended says itself why.
            if sender.blocking_send(message).is_err() {
                return;
            }
        }
    });
    let shares = receivers.into_iter().map(ReceiverStream::new).collect();
    (shares, generator)
}

/// Waits until the service has no work left behind the events that it stored.
pub async fn until_caught_up(database: &str) -> anyhow::Result<()> {
    let client = database::connect(database).await?;
    let has_rollups = "select to_regclass('rollup_facts') is not null";
    if !client.query_one(has_rollups, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    let started = Instant::now();
    let is_behind = "select exists (select from rollup_facts)";
    while client.query_one(is_behind, &[]).await?.get::<_, bool>(0) {
        if started.elapsed() > MOST_UPKEEP {
            bail!(
                "rollup_facts is not empty after {} s: does the service's compaction run?",
                MOST_UPKEEP.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
