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
}

impl Batch {
    /// Waits for an entry and takes others with it until a limit is reached. `None` when the log
    /// has ended.
    pub async fn gather(log: &mut LogReader, limits: &BatchLimits) -> Option<Self> {
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
        Some(Self::new(entries))
    }

    fn new(entries: Vec<Entry>) -> Self {
        let records = || entries.iter().flat_map(|entry| &entry.records);
        let count = records().count();
        let mut seen = HashSet::with_capacity(count);
        let outcomes = records()
            .map(|record| match seen.insert(identity(record)) {
                true => Outcome::Stored,
                false => Outcome::Duplicate,
            })
            .collect();
        Self { entries, outcomes }
    }

    /// How many records there are, repeated ones included.
    pub fn record_count(&self) -> usize {
        self.outcomes.len()
    }

    /// Records that are not known to be duplicates, each identity once.
    pub fn unique(&self) -> impl Iterator<Item = &Record> + Clone {
        self.entries
            .iter()
            .flat_map(|entry| &entry.records)
            .zip(&self.outcomes)
            .filter(|(_, outcome)| **outcome == Outcome::Stored)
            .map(|(record, _)| record)
    }

    /// Keeps as stored only the records whose identity is in `stored`; the others were there before.
    pub fn mark_duplicates(&mut self, stored: &HashSet<Identity>) {
        let records = self.entries.iter().flat_map(|entry| &entry.records);
        for (record, outcome) in records.zip(&mut self.outcomes) {
            if *outcome == Outcome::Stored && !stored.contains(&identity(record)) {
                *outcome = Outcome::Duplicate;
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
