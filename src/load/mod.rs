//! Loaders: take records from the log and write them in batches, one transaction each.
//!
//! Several run side by side: while the database writes the batch of one, another prepares the next.
//!
//! ```text
//!  log ──▶ gather ──▶ numbers ──▶ rows ──▶ begin · COPY events · commit ──▶ outcomes
//!          count,     dictionaries,        (on conflict: COPY staging · merge)
//!          bytes, age visitors, users
//! ```
//!
//! - [`batch`] fills a batch by count, bytes and age; what arrives twice within it is found here.
//! - [`numbers`] turns text into numbers: from caches, else from the database in bulk, in short
//!   transactions of their own, so that no lock is held through the COPY.
//! - [`row`] writes rows in PostgreSQL's binary COPY format straight into the send buffer.
//! - [`write`] commits a batch, and finds out which of its events were stored before.

pub mod batch;
pub mod dictionary;
pub mod ids;
pub mod numbers;
pub mod row;
pub mod write;

use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Pool};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::error::causes;
use crate::log::{LogReader, Outcome};
use crate::metrics;
use crate::store::pg_error;

use batch::{Batch, BatchLimits};
use numbers::Numbering;
use write::{WriteError, Writer};

/// How often a batch is tried before its callers are told to retry. A broken connection is noticed
/// by the first try, so the second usually succeeds.
const MAX_ATTEMPTS: u32 = 3;
/// How long the database may take over a batch. A usual one takes a fraction of a second.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait before the second try; it doubles from try to try.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// Takes records from the log and stores them.
#[derive(Debug)]
pub struct Loader {
    pool: Pool,
    limits: BatchLimits,
    numbering: Numbering,
    writer: Writer,
}

impl Loader {
    /// A loader that writes through `pool`.
    pub fn new(pool: Pool, limits: BatchLimits) -> Self {
        Self {
            pool,
            limits,
            numbering: Numbering::new(),
            writer: Writer::default(),
        }
    }

    /// Runs until every writer of the log is gone and what they wrote is stored, or until `stop`,
    /// after which the records still in the log are answered with "not stored".
    pub async fn run(mut self, log: LogReader, stop: CancellationToken) {
        loop {
            let batch = tokio::select! {
                batch = Batch::gather(&log, &self.limits) => batch,
                () = stop.cancelled() => break,
            };
            let Some(batch) = batch else { return };
            self.store(batch).await;
        }
        let mut log = log.lock().await;
        while let Some(entry) = log.try_next() {
            let outcomes = vec![Outcome::NotStored; entry.records.len()];
            entry.reply(outcomes);
        }
    }

    async fn store(&mut self, mut batch: Batch) {
        let started = Instant::now();
        let mut backoff = FIRST_BACKOFF;
        for attempt in 1..=MAX_ATTEMPTS {
            match self.try_store(&mut batch).await {
                Ok(()) => {
                    debug!(events = batch.record_count(), attempt, "stored a batch");
                    let oldest = batch.oldest().unwrap_or(started);
                    metrics::record_batch(batch.record_count(), started, oldest);
                    return batch.reply();
                }
                Err(error) => {
                    let is_passing = error.is_passing();
                    warn!(
                        error = causes(&error),
                        events = batch.record_count(),
                        attempt,
                        is_passing,
                        "could not store a batch"
                    );
                    if !is_passing {
                        break;
                    }
                }
            }
            tokio::time::sleep(backoff).await;
            backoff *= 2;
        }
        batch.fail();
    }

    async fn try_store(&mut self, batch: &mut Batch) -> Result<(), WriteError> {
        let mut client = self.pool.get().await?;
        let work = async {
            let numbers = self.numbering.resolve(&client, batch.unique()).await?;
            self.writer.write(&mut client, batch, &numbers).await
        };
        match tokio::time::timeout(STORE_TIMEOUT, work).await {
            Ok(result) => result,
            Err(_) => {
                // What it was asked to do may still happen: nobody else may get this connection.
                drop(Client::take(client));
                Err(WriteError::TimedOut)
            }
        }
    }
}

impl WriteError {
    /// Whether the same batch may succeed later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Pool(_) | Self::TimedOut => true,
            Self::Database(error) => pg_error::is_passing(error),
        }
    }
}
