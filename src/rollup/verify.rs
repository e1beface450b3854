//! Compares rollups with the events: built again from these, they must be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::domain::local_day::{LocalDay, LocalDays};
use crate::domain::property::Property;
use crate::domain::time_range::{EARLIEST_US, LATEST_US};

use super::build::build;
use super::cell::Cell;
use super::compact::{Compactor, by_day};
use super::facts::Facts;
use super::raw;
use super::segment::{Key, SLOT_US, Segment};
use super::spec::{Spec, columns};
use super::stored::{self, RollupError, StoredSegment, timestamp};

/// Events that are read at a time.
const PART_EVENTS: i32 = 150_000;

/// A day of a rollup that is not what the events say.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Name of the rollup.
    pub rollup: String,
    /// The day.
    pub day: LocalDay,
    /// How many keys and slots differ.
    pub entries: usize,
    /// Of all events of the day, by the rollup and by the events.
    pub events: (u64, u64),
    /// The first that differs: its key, when its 15 minutes begin, and what was counted, by the rollup
    /// and by the events.
    pub first: (Key, Timestamp, Cell, Cell),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, slot, kept, counted) = &self.first;
        write!(
            f,
            "rollup {}, the day from {}: {} entries differ; {} events instead of {}. The first: key {:?} at {}: {:?} instead of {:?}",
            self.rollup,
            timestamp(self.day.since_us),
            self.entries,
            self.events.0,
            self.events.1,
            key,
            slot,
            kept,
            counted
        )
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Days of rollups that were compared.
    pub compared: usize,
    /// Those that are wrong.
    pub differences: Vec<Difference>,
}

impl Compactor {
    /// Compares all rollups of a property with its events, as one snapshot has them.
    pub async fn verify(&self, property: &Property) -> Result<Verified, RollupError> {
        let mut client = self.pool.get().await?;
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let property_no = property.property_no;
        let mut days = LocalDays::new(property.time_zone.clone());
        let rollups = self.directory.rollups(property_no);
        let covered = stored::coverage(&transaction, property_no).await?;
        let listed = stored::list(&*transaction, property_no).await?;
        let facts = by_day(&facts(&transaction, property_no).await?, &mut days);

        let mut all_days: BTreeSet<LocalDay> = facts.keys().copied().collect();
        for segment in &listed {
            let mut since_us = segment.day.since_us;
            while since_us < segment.day.until_us {
                let day = days.of(since_us);
                all_days.insert(day);
                since_us = day.until_us;
            }
        }
        let mut until_us = LATEST_US;
        while let Some(newest_us) =
            stored::newest_event_us(&*transaction, property_no, until_us).await?
        {
            let day = days.of(newest_us);
            all_days.insert(day);
            until_us = day.since_us;
        }

        let mut verified = Verified::default();
        for day in all_days {
            let due: Vec<&Spec> = rollups
                .specs
                .iter()
                .map(AsRef::as_ref)
                .filter(|spec| {
                    let since_us = covered.get(&spec.rollup_no);
                    since_us.is_some_and(|since_us| *since_us <= day.since_us.max(EARLIEST_US))
                })
                .collect();
            let counted = self
                .count_again(&transaction, property_no, day, &due)
                .await?;
            for (spec, counted) in due.into_iter().zip(counted) {
                let kept = self
                    .kept(&transaction, spec, day, &listed, facts.get(&day))
                    .await?;
                verified.compared += 1;
                verified
                    .differences
                    .extend(compare(spec, day, &kept, &counted));
            }
        }
        Ok(verified)
    }

    async fn count_again(
        &self,
        transaction: &Transaction<'_>,
        property_no: i32,
        day: LocalDay,
        specs: &[&Spec],
    ) -> Result<Vec<Segment>, RollupError> {
        let columns = columns(specs.iter().copied());
        let span = day.since_us..day.until_us;
        let mut parts =
            raw::Parts::read(transaction, &self.attributes, property_no, span, &columns).await?;
        let mut segments: Vec<Vec<Segment>> = vec![Vec::new(); specs.len()];
        loop {
            let facts = parts.next(PART_EVENTS).await?;
            if facts.is_empty() {
                break;
            }
            let attributes = self.attributes.of_facts([&facts]).await?;
            for (spec, segments) in specs.iter().zip(&mut segments) {
                segments.extend(build(spec, &facts, &attributes, day.since_us));
            }
        }
        Ok(segments
            .iter()
            .map(|segments| Segment::merge(segments))
            .collect())
    }

    async fn kept(
        &self,
        transaction: &Transaction<'_>,
        spec: &Spec,
        day: LocalDay,
        listed: &[StoredSegment],
        facts: Option<&Facts>,
    ) -> Result<Segment, RollupError> {
        let own: Vec<&StoredSegment> = listed
            .iter()
            .filter(|segment| {
                segment.rollup_no == spec.rollup_no
                    && segment.day.since_us < day.until_us
                    && segment.day.until_us > day.since_us
            })
            .collect();
        let mut segments = Vec::new();
        for stored in own {
            let ids: [Uuid; 1] = [stored.segment_id];
            for segment in stored::read(transaction, &ids).await? {
                let span =
                    day.since_us.max(stored.day.since_us)..day.until_us.min(stored.day.until_us);
                let part = stored.with(segment).part(span, day);
                segments.extend(part.map(|part| part.segment));
            }
        }
        if let Some(facts) = facts {
            let attributes = self.attributes.of_facts([facts]).await?;
            segments.extend(build(spec, facts, &attributes, day.since_us));
        }
        Ok(Segment::merge(&segments))
    }
}

async fn facts(transaction: &Transaction<'_>, property_no: i32) -> Result<Vec<Facts>, RollupError> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&property_no, Type::INT4)];
    let sql = "select facts from rollup_facts where property_no = $1";
    let rows = transaction.query_typed(sql, &parameters).await?;
    let facts = rows.iter().map(|row| Facts::decode(row.get(0), |_| true));
    Ok(facts.collect::<Result<_, _>>()?)
}

/// Entries by key and slot: what was counted, and the visitors.
fn entries(segment: &Segment) -> BTreeMap<(Key, u32), (Cell, &[u32])> {
    let entries = segment.entries.iter().enumerate();
    entries
        .map(|(place, entry)| {
            let key = segment.keys[entry.key as usize];
            ((key, entry.slot), (entry.cell, segment.visitors_of(place)))
        })
        .collect()
}

fn compare(spec: &Spec, day: LocalDay, kept: &Segment, counted: &Segment) -> Option<Difference> {
    let (kept, counted) = (entries(kept), entries(counted));
    let places: BTreeSet<&(Key, u32)> = kept.keys().chain(counted.keys()).collect();
    let differing: Vec<&(Key, u32)> = places
        .into_iter()
        .filter(|place| kept.get(place) != counted.get(place))
        .collect();
    let first = *differing.first()?;
    let cell = |entries: &BTreeMap<(Key, u32), (Cell, &[u32])>| {
        entries
            .get(first)
            .map(|(cell, _)| *cell)
            .unwrap_or_default()
    };
    let events = |entries: &BTreeMap<(Key, u32), (Cell, &[u32])>| {
        entries.values().map(|(cell, _)| cell.events).sum()
    };
    Some(Difference {
        rollup: spec.name.clone(),
        day,
        entries: differing.len(),
        events: (events(&kept), events(&counted)),
        first: (
            first.0,
            timestamp(day.since_us + i64::from(first.1) * SLOT_US),
            cell(&kept),
            cell(&counted),
        ),
    })
}
