//! The parts of ingestion, each alone: which of them bounds the whole.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use jiff::Timestamp;
use prost::Message;
use tallymark::domain::property::{Property, Retention};
use tallymark::enrich::Enricher;
use tallymark::enrich::ip::IpPolicy;
use tallymark::load::Loader;
use tallymark::load::feed::{BatchLimits, Feed};
use tallymark::load::positions;
use tallymark::log::disk::Settings;
use tallymark::log::event::Records;
use tallymark::log::{Log, Until};
use tallymark::pb;
use tallymark::store::directory::Directory;
use tallymark::store::{migrations, pool, requirements};
use tallymark::validate::event::decode;
use tokio_util::sync::CancellationToken;

use super::common::database;

/// As the service has them.
const LOADERS: usize = 3;
const LIMITS: BatchLimits = BatchLimits {
    max_events: 20_000,
    max_bytes: 16 << 20,
    max_age: Duration::ZERO,
};
/// Messages that wait for the disk at a time.
const PENDING: usize = 32;

/// How long each part took over all events.
pub struct Parts {
    /// From encoded events to records of the log, on one thread.
    pub intake: Duration,
    /// From records in memory to the disk.
    pub log: Duration,
    /// From the log on disk to the database.
    pub load: Duration,
}

/// Measures each part with the same events.
pub async fn measure(server: &str, messages: &[pb::StreamEventsRequest]) -> anyhow::Result<Parts> {
    let encode = |message: &pb::StreamEventsRequest| -> Vec<Bytes> {
        let events = message.events.iter();
        events.map(|event| event.encode_to_vec().into()).collect()
    };
    let encoded: Vec<Vec<Bytes>> = messages.iter().map(encode).collect();
    let mut records = Vec::with_capacity(encoded.len());
    let intake = intake(encoded, &mut records)?;

    let dir = tempfile::tempdir()?;
    let settings = Settings::of_size(4 << 30, 32 << 20);
    let patience = Duration::from_secs(1);
    let (log, _) = Log::open(dir.path(), settings, patience)?;
    let started = Instant::now();
    append(&log, records).await?;
    let logged = started.elapsed();

    let url = database::create(server, "bench_loaders").await?;
    let pool = pool::open(&url, LOADERS + 1)?;
    requirements::check(&pool).await?;
    migrations::apply(&pool).await?;
    log.close().await;
    let (log, _) = Log::open(dir.path(), settings, patience)?;
    let progress = positions::load(&pool, &log).await?;
    let feed = Feed::new(log.clone(), LIMITS, progress);
    // Loaders of a closed log end when all is loaded.
    log.close().await;
    let enricher = Arc::new(Enricher::new(16_384, None));
    let directory = Arc::new(Directory::load(pool.clone(), Retention::Forever).await?);
    let started = Instant::now();
    let loaders: Vec<_> = (0..LOADERS)
        .map(|_| {
            let (feed, enricher) = (feed.clone(), Arc::clone(&enricher));
            let rollups = Some(Arc::clone(&directory));
            let patience = Duration::from_secs(60);
            let loader = Loader::new(pool.clone(), feed, enricher, rollups, patience);
            tokio::spawn(loader.run(CancellationToken::new()))
        })
        .collect();
    for loader in loaders {
        loader.await?;
    }
    let load = started.elapsed();
    let left = feed.waiting_events();
    anyhow::ensure!(left == 0, "{left} events were not loaded");
    Ok(Parts {
        intake,
        log: logged,
        load,
    })
}

/// The time without what it takes to get the memory for all the results.
fn intake(messages: Vec<Vec<Bytes>>, all: &mut Vec<Vec<Bytes>>) -> anyhow::Result<Duration> {
    let property = Property {
        property_no: 1,
        name: "default".to_owned(),
        time_zone: jiff::tz::TimeZone::UTC,
        retention: Retention::Forever,
        ip_policy: IpPolicy::Truncate,
    };
    let enricher = Enricher::new(16_384, None);
    let now_us = Timestamp::now().as_microsecond();
    let mut took = Duration::ZERO;
    for message in messages {
        let started = Instant::now();
        let mut records = Records::with_capacity(message.len());
        let mut unusual = pb::Event::default();
        for encoded in message {
            let event = decode(&encoded, &mut unusual, &property, now_us);
            let event = event.map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
            records.push(&enricher.enrich(event, &property), now_us);
        }
        let records = records.finish();
        took += started.elapsed();
        // In memory of their own, so that the measured part uses the same again.
        all.push(
            records
                .iter()
                .map(|record| Bytes::copy_from_slice(record))
                .collect(),
        );
    }
    Ok(took)
}

async fn append(log: &Log, messages: Vec<Vec<Bytes>>) -> anyhow::Result<()> {
    let mut pending = VecDeque::new();
    for records in messages {
        pending.push_back(log.append(records, Until::Logged).await?);
        if pending.len() == PENDING {
            let mut oldest = pending.pop_front().context("one is pending")?;
            oldest.acknowledged().await?;
        }
    }
    for mut appended in pending {
        appended.acknowledged().await?;
    }
    Ok(())
}
