//! The worker that makes segments of facts, and fewer segments of many.
//!
//! A property's rollups are changed by one at a time, whichever server it is on: the property's lock. Each
//! step is one transaction, so that a crash anywhere leaves what was there before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Pool, Transaction};
use jiff::tz::TimeZone;
use tokio::time::MissedTickBehavior;
use tokio_postgres::types::{ToSql, Type};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::domain::dimension::Dimension;
use crate::domain::local_day::{LocalDay, LocalDays};
use crate::domain::property::Property;
use crate::error::causes;
use crate::store::directory::Directory;
use crate::store::{pool, rollups};

use super::attributes::{AttributeStore, Attributes};
use super::build::{MissingColumn, build};
use super::facts::Facts;
use super::segment::Segment;
use super::spec::{FIRST_DECLARED, Spec};
use super::stored::{self, COVERS_ALL_US, EncodedSegment, NewSegment, RollupError, StoredSegment};
use super::{backfill, lock, zone};

/// How often it looks for work.
const EVERY: Duration = Duration::from_secs(1);
/// Facts are made segments of when there are so many events or rows of them, or the oldest is so old. More
/// at a time is less work an event; less is less to read for a question.
const DUE_EVENTS: i64 = 100_000;
const DUE_ROWS: i64 = 200;
const DUE_AGE_S: f64 = 5.0;
/// Events that are taken in one transaction. They take some 300 bytes each meanwhile.
const MAX_EVENTS: i64 = 100_000;
/// Segments of one day are merged as soon as so many of similar size are there, and all of them when for so
/// long none was added: a day that is over becomes one.
const SIMILAR: usize = 4;
const COLD_S: f64 = 10.0;

/// After facts were made segments of, for so long it looks whether there are segments to merge.
const TIDY_FOR: Duration = Duration::from_secs(60);
/// How long days are built before facts have their turn again.
const BUILD_FOR: Duration = Duration::from_secs(2);
/// How often it looks whether a property's segments are of its days, if its zone did not change as far as
/// this server knows.
const CHECK_DAYS_EVERY: Duration = Duration::from_secs(300);

/// Keeps the rollups of every property.
#[derive(Debug, Clone)]
pub struct Compactor {
    pub(super) pool: Pool,
    pub(super) directory: Arc<Directory>,
    pub(super) attributes: Arc<AttributeStore>,
    is_patient: bool,
}

/// What was done of a property, and when.
#[derive(Debug)]
struct Kept {
    /// Facts were made segments of.
    folded_at: Instant,
    /// The segments were looked at, with this zone.
    checked: Option<(TimeZone, Instant)>,
}

/// Facts of a property that are not made segments of yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    property_no: i32,
    events: i64,
    rows: i64,
    age_s: f64,
}

impl Compactor {
    /// Works through `pool`.
    pub fn new(pool: Pool, directory: Arc<Directory>, attributes: Arc<AttributeStore>) -> Self {
        Self {
            pool,
            directory,
            attributes,
            is_patient: false,
        }
    }

    /// The same, but it waits where somebody else keeps a property's rollups just then: for who has
    /// nothing else to do.
    #[must_use]
    pub fn patient(self) -> Self {
        Self {
            is_patient: true,
            ..self
        }
    }

    /// The properties whose rollups it keeps.
    pub fn properties(&self) -> Vec<Arc<Property>> {
        self.directory.properties()
    }

    /// Throws all rollups away.
    pub async fn forget_all(&self) -> Result<(), RollupError> {
        let client = self.pool.get().await?;
        client
            .batch_execute(include_str!("sql/forget_all.sql"))
            .await?;
        Ok(())
    }

    /// Runs until told to stop. What it was doing then is rolled back.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.work() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn work(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_able = true;
        let mut kept = HashMap::new();
        loop {
            ticks.tick().await;
            let done = self.round(&mut kept).await;
            if let Err(error) = &done
                && was_able
            {
                warn!(
                    error = causes(error),
                    "rollups could not be kept; trying again"
                );
            }
            was_able = done.is_ok();
        }
    }

    /// Does what is due.
    async fn round(&self, kept: &mut HashMap<i32, Kept>) -> Result<(), RollupError> {
        let properties = self.directory.properties();
        for property in &properties {
            kept.entry(property.property_no).or_insert_with(|| Kept {
                folded_at: Instant::now(),
                checked: None,
            });
        }
        self.build_missing(&properties).await?;
        while self.fold_due(kept).await? {}
        for property in &properties {
            let Some(kept) = kept.get_mut(&property.property_no) else {
                continue;
            };
            let is_checked = kept.checked.as_ref().is_some_and(|(zone, at)| {
                *zone == property.time_zone && at.elapsed() < CHECK_DAYS_EVERY
            });
            if !is_checked {
                zone::split(self, property).await?;
                self.delete_orphans(property).await?;
                kept.checked = Some((property.time_zone.clone(), Instant::now()));
            }
            if kept.folded_at.elapsed() < TIDY_FOR {
                while self.merge(property, false).await? {}
            }
        }
        Ok(())
    }

    /// Builds a day of every property that lacks one.
    async fn build_missing(&self, properties: &[Arc<Property>]) -> Result<(), RollupError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 1] =
            [(&stored::timestamp(COVERS_ALL_US), Type::TIMESTAMPTZ)];
        let client = self.pool.get().await?;
        let rows = client
            .query_typed(include_str!("sql/complete.sql"), &parameters)
            .await?;
        drop(client);
        let complete: HashSet<(i32, i32)> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        for property in properties {
            let rollups = self.directory.rollups(property.property_no);
            let is_complete =
                |spec: &Arc<Spec>| complete.contains(&(property.property_no, spec.rollup_no));
            if !rollups.specs.iter().all(is_complete) {
                let started = Instant::now();
                while self.build_day(property).await? && started.elapsed() < BUILD_FOR {}
            }
        }
        Ok(())
    }

    /// Builds a day of the rollups of a property that lack one; whether any lacked one. A rollup that cannot
    /// be kept is given up.
    async fn build_day(&self, property: &Property) -> Result<bool, RollupError> {
        match backfill::step(self, property).await {
            Err(RollupError::ValueTooLong { key }) => {
                let reason = RollupError::ValueTooLong { key: key.clone() }.to_string();
                warn!(property = property.name, reason, "a declared rollup fails");
                let client = self.pool.get().await?;
                let dimension = Dimension::Property(key);
                rollups::fail(&client, property.property_no, &dimension, &reason).await?;
                drop(client);
                self.directory.refresh().await?;
                Ok(true)
            }
            stepped => stepped,
        }
    }

    /// Makes segments of the facts that are due; whether more may be due already.
    async fn fold_due(&self, kept: &mut HashMap<i32, Kept>) -> Result<bool, RollupError> {
        let mut is_more_due = false;
        for pending in self.pending().await? {
            let is_due = pending.events >= DUE_EVENTS
                || pending.rows >= DUE_ROWS
                || pending.age_s >= DUE_AGE_S;
            if !is_due {
                continue;
            }
            let Some(property) = self.directory.by_number(pending.property_no) else {
                continue;
            };
            let folded = self.fold(&property).await?;
            is_more_due |= folded > 0 && pending.events >= DUE_EVENTS;
            if let Some(kept) = kept.get_mut(&property.property_no) {
                kept.folded_at = Instant::now();
            }
        }
        Ok(is_more_due)
    }

    /// Does everything there is to do of a property, due or not.
    pub async fn catch_up(&self, property: &Property) -> Result<(), RollupError> {
        while self.build_day(property).await? {}
        while self.fold(property).await? > 0 {}
        zone::split(self, property).await?;
        while self.merge(property, true).await? {}
        Ok(())
    }

    /// Throws the rollups of a property away and builds them again from its events.
    pub async fn rebuild(&self, property: &Property) -> Result<(), RollupError> {
        self.locked(property, async |client| {
            backfill::forget(client, property.property_no).await
        })
        .await?;
        self.catch_up(property).await
    }

    /// Deletes what a server added to a rollup that another had dropped.
    async fn delete_orphans(&self, property: &Property) -> Result<(), RollupError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [
            (&property.property_no, Type::INT4),
            (&FIRST_DECLARED, Type::INT4),
        ];
        let client = self.pool.get().await?;
        client
            .execute_typed(include_str!("sql/delete_orphans.sql"), &parameters)
            .await?;
        Ok(())
    }

    async fn pending(&self) -> Result<Vec<Pending>, RollupError> {
        let client = self.pool.get().await?;
        let rows = client
            .query_typed(include_str!("sql/pending.sql"), &[])
            .await?;
        let pending = rows.iter().map(|row| Pending {
            property_no: row.get(0),
            events: row.get(1),
            rows: row.get(2),
            age_s: row.get(3),
        });
        Ok(pending.collect())
    }

    /// Makes segments of facts of a property; returns of how many events. 0 as well when another server is
    /// at it.
    async fn fold(&self, property: &Property) -> Result<usize, RollupError> {
        let folded = self
            .locked(property, async |client| {
                let transaction = client.transaction().await?;
                let folded = self.fold_in(&transaction, property, MAX_EVENTS).await?;
                transaction.commit().await?;
                Ok(folded)
            })
            .await?;
        Ok(folded.unwrap_or_default())
    }

    /// Works on a property alone; `None` if another server does. Rollups that cannot be read are thrown
    /// away and built again.
    pub(super) async fn locked<T>(
        &self,
        property: &Property,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, RollupError>,
    ) -> Result<Option<T>, RollupError> {
        let client = self.pool.get().await?;
        let property_no = property.property_no;
        pool::guarded(client, async |client| {
            if self.is_patient {
                lock::take(client, property_no).await?;
            } else if !lock::try_take(client, property_no).await? {
                return Ok(None);
            }
            let mut done = work(client).await.map(Some);
            if let Err(RollupError::Unreadable(reason)) = &done {
                error!(
                    property = property.name,
                    %reason,
                    "a property's rollups cannot be read; they are built again from its events"
                );
                done = backfill::forget(client, property_no).await.map(|()| None);
            }
            lock::give_back(client, property_no).await?;
            done
        })
        .await
    }

    /// Makes segments of at most so many events of facts, in a transaction that has the property's lock.
    pub(super) async fn fold_in(
        &self,
        transaction: &Transaction<'_>,
        property: &Property,
        max_events: i64,
    ) -> Result<usize, RollupError> {
        let property_no = property.property_no;
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&property_no, Type::INT4), (&max_events, Type::INT8)];
        let taken = transaction
            .query_typed(include_str!("sql/take_facts.sql"), &parameters)
            .await?;
        if taken.is_empty() {
            return Ok(0);
        }
        let mut all = Vec::with_capacity(taken.len());
        for row in &taken {
            all.push(Facts::decode(row.get(0), |_| true)?);
        }
        let count = all.iter().map(Facts::len).sum();
        let days = Arc::new(by_day(
            &all,
            &mut LocalDays::new(property.time_zone.clone()),
        ));
        drop((all, taken));
        let covered = stored::coverage(transaction, property_no).await?;
        let attributes = self.attributes.of_facts(days.values()).await?;
        // One after the other, so that only one's segments are in memory.
        for spec in &self.directory.rollups(property_no).specs {
            let Some(covered_since_us) = covered.get(&spec.rollup_no).copied() else {
                continue;
            };
            let built = {
                let (spec, days) = (Arc::clone(spec), Arc::clone(&days));
                let attributes = Arc::clone(&attributes);
                off_thread(move || segments(&spec, &days, covered_since_us, &attributes)).await
            };
            match built {
                Ok(segments) => stored::insert(transaction, property_no, segments).await?,
                // It was declared a moment before these facts were written.
                Err(MissingColumn) => {
                    backfill::forget_rollup(transaction, property_no, spec.rollup_no).await?;
                }
            }
        }
        debug!(events = count, "made segments of facts");
        Ok(count)
    }

    /// Merges segments of one rollup and day; whether there was anything to merge.
    async fn merge(&self, property: &Property, all: bool) -> Result<bool, RollupError> {
        let property_no = property.property_no;
        let merged = self
            .locked(property, async |client| {
                let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&property_no, Type::INT4)];
                let rows = client
                    .query_typed(include_str!("sql/list_segments.sql"), &parameters)
                    .await?;
                let listed: Vec<StoredSegment> = rows.iter().map(stored::stored).collect();
                let mut has_merged = false;
                for together in listed
                    .chunk_by(|one, other| (one.rollup_no, one.day) == (other.rollup_no, other.day))
                {
                    let smallest = match all {
                        true => together.len(),
                        false => to_merge(together),
                    };
                    if smallest > 1 {
                        let chosen = &together[together.len() - smallest..];
                        merge_these(client, property_no, chosen).await?;
                        has_merged = true;
                    }
                }
                Ok(has_merged)
            })
            .await?;
        Ok(merged.unwrap_or_default())
    }
}

/// How many of the smallest are to be merged; they are in order, the largest first.
fn to_merge(together: &[StoredSegment]) -> usize {
    let youngest_s = together
        .iter()
        .map(|one| one.age_s)
        .fold(f64::MAX, f64::min);
    if youngest_s > COLD_S {
        return together.len();
    }
    let mut count = 0;
    let mut events = 0;
    for one in together.iter().rev() {
        if count > 0 && one.events > events * 2 {
            break;
        }
        events += one.events;
        count += 1;
    }
    match count >= SIMILAR {
        true => count,
        false => 0,
    }
}

async fn merge_these(
    client: &mut Client,
    property_no: i32,
    chosen: &[StoredSegment],
) -> Result<(), RollupError> {
    let Some(first) = chosen.first().copied() else {
        return Ok(());
    };
    let transaction = client.transaction().await?;
    let ids: Vec<_> = chosen.iter().map(|one| one.segment_id).collect();
    let segments = stored::read(&transaction, &ids).await?;
    let first_us = chosen.iter().map(|one| one.first_us).min();
    let last_us = chosen.iter().map(|one| one.last_us).max();
    let merged = off_thread(move || {
        EncodedSegment::from(NewSegment {
            rollup_no: first.rollup_no,
            day: first.day,
            first_us: first_us.unwrap_or(first.first_us),
            last_us: last_us.unwrap_or(first.last_us),
            segment: Segment::merge(&segments),
        })
    })
    .await;
    stored::delete(&transaction, &ids).await?;
    stored::insert(&transaction, property_no, vec![merged]).await?;
    transaction.commit().await?;
    Ok(())
}

/// Computes where no call waits for this thread.
pub(super) async fn off_thread<T: Send + 'static>(
    compute: impl FnOnce() -> T + Send + 'static,
) -> T {
    match tokio::task::spawn_blocking(compute).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Facts by the local day that their events are in.
pub(super) fn by_day(all: &[Facts], days: &mut LocalDays) -> BTreeMap<LocalDay, Facts> {
    let mut found: BTreeMap<LocalDay, Facts> = BTreeMap::new();
    for facts in all {
        let Some((first_us, last_us)) = facts.span_us() else {
            continue;
        };
        let first = days.of(first_us);
        if first.contains(last_us) {
            found.entry(first).or_default().append(facts);
            continue;
        }
        let mut places: BTreeMap<LocalDay, Vec<usize>> = BTreeMap::new();
        for (place, time_us) in facts.times_us.iter().enumerate() {
            places.entry(days.of(*time_us)).or_default().push(place);
        }
        for (day, places) in places {
            found.entry(day).or_default().append(&facts.select(&places));
        }
    }
    found
}

/// The segments of a rollup, one a day, as far as it covers the day: what is before that is built from the
/// events later.
fn segments(
    spec: &Spec,
    days: &BTreeMap<LocalDay, Facts>,
    covered_since_us: i64,
    attributes: &Attributes,
) -> Result<Vec<EncodedSegment>, MissingColumn> {
    let mut segments = Vec::new();
    for (day, facts) in days {
        let part;
        let facts = match covered_since_us <= day.since_us {
            true => facts,
            false => {
                let times = facts.times_us.iter().enumerate();
                let places: Vec<usize> = times
                    .filter(|(_, time_us)| **time_us >= covered_since_us)
                    .map(|(place, _)| place)
                    .collect();
                part = facts.select(&places);
                &part
            }
        };
        segments.extend(segment(spec, facts, attributes, *day)?);
    }
    Ok(segments)
}

/// The segment of a rollup over facts of a day; `None` if there are none.
pub(super) fn segment(
    spec: &Spec,
    facts: &Facts,
    attributes: &Attributes,
    day: LocalDay,
) -> Result<Option<EncodedSegment>, MissingColumn> {
    let Some((first_us, last_us)) = facts.span_us() else {
        return Ok(None);
    };
    let segment = NewSegment {
        rollup_no: spec.rollup_no,
        day,
        first_us,
        last_us,
        segment: build(spec, facts, attributes, day.since_us)?,
    };
    Ok(Some(EncodedSegment::from(segment)))
}
