//! Loaders: take events from the log and write them in batches, one transaction each.
//!
//! Several run side by side: while the database writes the batch of one, another prepares the next.
//!
//! ```text
//!  log ──▶ feed ──▶ batch ──▶ numbers ──▶ rows ──▶ begin · position · COPY events · commit
//!          count,   dedupe    dictionaries,        (on conflict: COPY staging · merge)
//!          bytes,             visitors, users
//!          age                                     refused? halves; one alone → dead letter
//!                                                  too slow? halves
//! ```
//!
//! - [`feed`] hands out portions of the log by count, bytes and age, and knows what is loaded.
//! - [`batch`] orders a portion's events by identity and finds those that are in it twice.
//! - [`numbers`] turns text into numbers: from caches, else from the database in bulk, in short
//!   transactions of their own, so that no lock is held through the COPY.
//! - [`row`] writes rows in PostgreSQL's binary COPY format straight into the send buffer.
//! - [`write`] commits a batch, and finds out which of its events were stored before.
//! - [`positions`] is the database's memory of what is loaded, committed with each batch. A crash
//!   anywhere loads again what was not committed, and nothing else.
//! - [`freshness`] lets a question wait until events are loaded; [`others`] sees what other servers load.
//! - [`dead_letter`] keeps an event that the database refuses, so that it does not hold up others.
//!
//! A loader never gives up: what the database does not take now stays in the log and is tried again,
//! until it is taken or the service stops.

pub mod batch;
pub mod dead_letter;
pub mod dictionary;
pub mod feed;
pub mod freshness;
pub mod ids;
pub mod numbers;
pub mod others;
pub mod positions;
pub mod progress;
mod property_labels;
pub mod row;
pub mod write;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::backoff::jittered;
use crate::enrich::Enricher;
use crate::error::causes;
use crate::log::event::LoggedEvent;
use crate::log::waiting::Outcome;
use crate::metrics;
use crate::store::directory::Directory;
use crate::store::pool::Persistent;

use batch::Batch;
use dead_letter::DeadLetter;
use feed::{Feed, Portion};
use numbers::Numbering;
use positions::Place;
use write::{WriteError, Writer};

/// Wait before a batch is tried again. It doubles from try to try; a random part of it is left out,
/// so that loaders do not all come back to a database at once.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Takes events from the log and stores them.
#[derive(Debug)]
pub struct Loader {
    pool: Pool,
    feed: Feed,
    /// How long the database may take over a batch.
    patience: Duration,
    numbering: Numbering,
    writer: Writer,
    connection: Persistent,
}

/// The loader was told to stop; what is not loaded stays in the log.
struct Stopped;

/// Why events are not to be tried again as one batch.
enum Refusal {
    /// Some event is at fault: the database's reason.
    Values(String),
    /// There are several, and they took longer than they may.
    TooSlow,
}

impl Loader {
    /// A loader that writes through `pool`, gives the database at most `patience` for a batch, and adds
    /// to the rollups that a directory knows, if it is given one.
    pub fn new(
        pool: Pool,
        feed: Feed,
        enricher: Arc<Enricher>,
        rollups: Option<Arc<Directory>>,
        patience: Duration,
    ) -> Self {
        Self {
            pool,
            feed,
            patience,
            numbering: Numbering::new(enricher),
            writer: Writer::new(rollups),
            connection: Persistent::default(),
        }
    }

    /// Runs until the log was closed and is loaded to its end, or until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut attempt = 0;
        loop {
            let next = tokio::select! {
                next = self.feed.next() => next,
                () = stop.cancelled() => return,
            };
            match next {
                Ok(Some(portion)) => {
                    attempt = 0;
                    let loaded = self.load(&portion, &stop).await;
                    self.feed.end(portion.first);
                    if loaded.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    // Nothing behind it may be loaded before somebody has looked at it.
                    error!(error = causes(&error), "the log cannot be read");
                    attempt += 1;
                    if self.back_off(attempt, &stop).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Loads a portion: in one transaction, but for events that the database refuses.
    async fn load(&mut self, portion: &Portion, stop: &CancellationToken) -> Result<(), Stopped> {
        let mut events = Vec::with_capacity(portion.records.len());
        let mut first = 0;
        for (place, record) in portion.records.iter().enumerate() {
            match LoggedEvent::decode(record) {
                Ok(event) => events.push(event),
                Err(fault) => {
                    let reason = fault.to_string();
                    self.load_range(portion, first, &events, stop).await?;
                    self.bury(portion, place, None, &reason, stop).await?;
                    events.clear();
                    first = place + 1;
                }
            }
        }
        self.load_range(portion, first, &events, stop).await
    }

    /// Loads the events of consecutive records, the first of which is at `place` in the portion.
    async fn load_range(
        &mut self,
        portion: &Portion,
        place: usize,
        events: &[LoggedEvent<'_>],
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let whole: Range<usize> = 0..events.len();
        let mut parts = vec![whole];
        while let Some(part) = parts.pop() {
            let own = &events[part.clone()];
            if own.is_empty() {
                continue;
            }
            let first = portion.first + (place + part.start) as u64;
            let Err(refusal) = self.store(first, own, stop).await? else {
                continue;
            };
            if let ([event], Refusal::Values(reason)) = (own, refusal) {
                let place = place + part.start;
                let property_no = Some(event.property_no);
                self.bury(portion, place, property_no, &reason, stop)
                    .await?;
            } else {
                // The first half first: it is popped last in, first out.
                let middle = part.start + part.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
        }
        Ok(())
    }

    /// Stores events until the database has them, or until it makes no sense to try them together.
    async fn store(
        &mut self,
        first: u64,
        events: &[LoggedEvent<'_>],
        stop: &CancellationToken,
    ) -> Result<Result<(), Refusal>, Stopped> {
        let started = Instant::now();
        let place = Place {
            log_id: self.feed.log().id(),
            first,
            records: events.len(),
        };
        // One for all attempts: the commit of an earlier one may have succeeded without a reply.
        let mut batch = Batch::new(events);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let tried = tokio::select! {
                tried = self.try_store(place, &mut batch) => tried,
                () = stop.cancelled() => return Err(Stopped),
            };
            match tried {
                Ok(()) => {
                    let outcomes = batch.outcomes();
                    debug!(events = events.len(), attempt, "stored a batch");
                    metrics::record_batch(&outcomes, started, oldest_us(events));
                    // Before anybody is told: who asks then gets no answer from before.
                    let properties: BTreeSet<i32> =
                        events.iter().map(|event| event.property_no).collect();
                    self.feed.versions().change(properties);
                    self.feed.done(first, events.len());
                    self.feed.log().settle(first, &outcomes);
                    return Ok(Ok(()));
                }
                Err(refusal) if refusal.is_about_values() => {
                    // Burying says so aloud, once an event; halves on the way there do not matter.
                    debug!(
                        code = refusal.code(),
                        events = events.len(),
                        "the database refuses an event"
                    );
                    return Ok(Err(Refusal::Values(refusal.reason())));
                }
                Err(WriteError::TimedOut) if events.len() > 1 => {
                    // As one batch they might never be done in time. Halves double again behind the
                    // first that is stored, should the database have been held up by something else.
                    warn!(
                        events = events.len(),
                        "a batch took too long; now its halves"
                    );
                    return Ok(Err(Refusal::TooSlow));
                }
                Err(failure) => {
                    let error = causes(&failure);
                    warn!(
                        error,
                        events = events.len(),
                        attempt,
                        "could not store a batch"
                    );
                    self.back_off(attempt, stop).await?;
                }
            }
        }
    }

    async fn try_store(&mut self, place: Place, batch: &mut Batch<'_>) -> Result<(), WriteError> {
        let client = self.pool.get().await?;
        let Self {
            numbering, writer, ..
        } = self;
        let work = self
            .connection
            .bounded(client, self.patience, async |client| {
                let numbers = numbering
                    .resolve(client, batch.unique(), writer.rollups())
                    .await?;
                writer.write(client, place, batch, &numbers).await
            });
        work.await.unwrap_or(Err(WriteError::TimedOut))
    }

    /// Makes the record at `place` of the portion a dead letter.
    async fn bury(
        &mut self,
        portion: &Portion,
        place: usize,
        property_no: Option<i32>,
        reason: &str,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let sequence = portion.first + place as u64;
        let letter = DeadLetter {
            property_no,
            reason,
            record: &portion.records[place],
            place: Place {
                log_id: self.feed.log().id(),
                first: sequence,
                records: 1,
            },
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let tried = tokio::select! {
                tried = dead_letter::insert(&self.pool, &mut self.connection, self.patience, &letter) => tried,
                () = stop.cancelled() => return Err(Stopped),
            };
            let Err(failure) = tried else { break };
            let error = causes(&failure);
            warn!(error, attempt, "could not keep a dead letter");
            self.back_off(attempt, stop).await?;
        }
        // Without the reason, since the database's words may quote the event.
        error!(
            property_no,
            sequence,
            "an event is a dead letter now; an administrator can list, replay and drop these"
        );
        metrics::count_dead_letter();
        self.feed.done(sequence, 1);
        self.feed.log().settle(sequence, &[Outcome::DeadLetter]);
        Ok(())
    }

    async fn back_off(&self, attempt: u32, stop: &CancellationToken) -> Result<(), Stopped> {
        tokio::select! {
            () = tokio::time::sleep(jittered(attempt, FIRST_BACKOFF, MAX_BACKOFF)) => Ok(()),
            () = stop.cancelled() => Err(Stopped),
        }
    }
}

fn oldest_us(events: &[LoggedEvent<'_>]) -> i64 {
    events
        .iter()
        .map(|event| event.received_us)
        .min()
        .unwrap_or_default()
}
