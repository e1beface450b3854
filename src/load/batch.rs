//! A batch: entries of the log that are written in one transaction.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::enrich::record::Record;
use crate::log::{Entry, LogReader, Outcome};

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Events; one entry more may go over it.
    pub max_events: usize,
    /// Bytes, as the log counts them; one entry more may go over it.
    pub max_bytes: usize,
    /// How long the first entry waits for others. While a batch is being written the next one
    /// fills by itself, so this only matters at light load, where it is latency.
    pub max_age: Duration,
}

/// Identity of an event: two with the same one are the same event.
pub type Identity = (i32, i64, Uuid);

/// The identity of a record.
pub fn identity(record: &Record) -> Identity {
    (record.property_no, record.time_us, record.event_id)
}

/// Entries that are written together.
#[derive(Debug)]
pub struct Batch {
    entries: Vec<Entry>,
    /// Outcome of every record of every entry, in order.
    outcomes: Vec<Outcome>,
    /// Index among all records, and place, of the records with an identity of their own.
    unique: Vec<(usize, Place)>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
struct Place {
    entry: usize,
    record: usize,
}

impl Batch {
    /// Waits for an entry and takes others with it until a limit is reached. `None` when the log
    /// has ended.
    pub async fn gather(log: &LogReader, limits: &BatchLimits) -> Option<Self> {
        let mut log = log.lock().await;
        let first = log.next().await?;
        let deadline = Instant::now() + limits.max_age;
        let mut events = first.records.len();
        let mut bytes = first.bytes;
        let mut entries = vec![first];
        while events < limits.max_events && bytes < limits.max_bytes {
            let next = match log.try_next() {
                Some(entry) => Some(entry),
                None => tokio::time::timeout_at(deadline, log.next())
                    .await
                    .ok()
                    .flatten(),
            };
            let Some(entry) = next else { break };
            events += entry.records.len();
            bytes += entry.bytes;
            entries.push(entry);
        }
        drop(log);
        Some(Self::new(entries))
    }

    fn new(entries: Vec<Entry>) -> Self {
        let mut places: Vec<Place> = Vec::new();
        for (entry, records) in entries.iter().map(|entry| &entry.records).enumerate() {
            places.extend((0..records.len()).map(|record| Place { entry, record }));
        }
        let mut outcomes = vec![Outcome::Stored; places.len()];
        let mut order: Vec<usize> = (0..places.len()).collect();
        let identity_at = |index: usize| {
            let Place { entry, record } = places[index];
            identity(&entries[entry].records[record])
        };
        // Stable, so that of two with one identity the first is stored.
        order.sort_by_cached_key(|index| identity_at(*index));
        order.dedup_by(|later, earlier| {
            let is_same = identity_at(*later) == identity_at(*earlier);
            if is_same {
                outcomes[*later] = Outcome::Duplicate;
            }
            is_same
        });
        let unique = order
            .into_iter()
            .map(|index| (index, places[index]))
            .collect();
        Self {
            entries,
            outcomes,
            unique,
        }
    }

    /// When the oldest of the entries was appended; the log is in order.
    pub fn oldest(&self) -> Option<std::time::Instant> {
        self.entries.first().map(|entry| entry.appended_at)
    }

    /// How many records there are, repeated ones included.
    pub fn record_count(&self) -> usize {
        self.outcomes.len()
    }

    /// The records, each identity once, in order of their identities. That order lets the index grow
    /// at its end, and two loaders that store the same events wait for each other in one direction.
    pub fn unique(&self) -> impl Iterator<Item = &Record> + Clone {
        self.unique
            .iter()
            .map(|(_, place)| &self.entries[place.entry].records[place.record])
    }

    /// Keeps as stored only the records whose identity is in `stored`; the others were there before.
    pub fn mark_duplicates(&mut self, stored: &HashSet<Identity>) {
        for (index, place) in &self.unique {
            let record = &self.entries[place.entry].records[place.record];
            if !stored.contains(&identity(record)) {
                self.outcomes[*index] = Outcome::Duplicate;
            }
        }
    }

    /// Tells every caller what became of its records.
    pub fn reply(self) {
        let mut outcomes = self.outcomes.into_iter();
        for entry in self.entries {
            let own = outcomes.by_ref().take(entry.records.len()).collect();
            entry.reply(own);
        }
    }

    /// Tells every caller that nothing was stored.
    pub fn fail(self) {
        for entry in self.entries {
            let outcomes = vec![Outcome::NotStored; entry.records.len()];
            entry.reply(outcomes);
        }
    }
}
