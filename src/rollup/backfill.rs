//! Builds rollups from stored events, a day at a time, from the newest to the oldest: those of events that
//! were stored before there were rollups, and those that are declared later.
//!
//! A rollup covers what is not older than the last day that was built. Facts of older events are left out
//! of it when they are made segments of, since the events are found when their day is built. So a day is
//! built on one snapshot in which no facts are left: then every event is either in a segment, or in facts
//! that come later.

use std::sync::Arc;

use deadpool_postgres::{Client, Transaction};
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::{ToSql, Type};
use tracing::info;

use crate::domain::local_day::LocalDays;
use crate::domain::property::Property;
use crate::domain::time_range::LATEST_US;

use super::compact::{Compactor, off_thread, segment};
use super::raw;
use super::spec::{Spec, columns};
use super::stored::{self, COVERS_ALL_US, RollupError, timestamp};

/// Events of a day that are built at a time.
const PART_EVENTS: i32 = 100_000;

/// Builds a day of a property's rollups that lack one, the newest; whether any lacked one.
pub(super) async fn step(compactor: &Compactor, property: &Property) -> Result<bool, RollupError> {
    let stepped = compactor
        .locked(property, async |client| {
            let transaction = client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead)
                .start()
                .await?;
            let rollups = compactor.directory.rollups(property.property_no);
            let stepped = build_day(compactor, &transaction, property, &rollups.specs).await?;
            transaction.commit().await?;
            Ok(stepped)
        })
        .await?;
    Ok(stepped.unwrap_or_default())
}

async fn build_day(
    compactor: &Compactor,
    transaction: &Transaction<'_>,
    property: &Property,
    specs: &[Arc<Spec>],
) -> Result<bool, RollupError> {
    let property_no = property.property_no;
    let covered = stored::coverage(transaction, property_no).await?;
    let covered_since_us = |spec: &Spec| covered.get(&spec.rollup_no).copied().unwrap_or(LATEST_US);
    let lacking = specs
        .iter()
        .map(|spec| covered_since_us(spec))
        .filter(|since_us| *since_us > COVERS_ALL_US);
    let Some(until_us) = lacking.max() else {
        return Ok(false);
    };
    let due: Vec<Arc<Spec>> = specs
        .iter()
        .filter(|spec| covered_since_us(spec) == until_us)
        .cloned()
        .collect();
    while compactor.fold_in(transaction, property, i64::MAX).await? > 0 {}

    let rollup_nos: Vec<i32> = due.iter().map(|spec| spec.rollup_no).collect();
    let newest_us = stored::newest_event_us(&**transaction, property_no, until_us).await?;
    let Some(newest_us) = newest_us else {
        cover(transaction, property_no, &rollup_nos, COVERS_ALL_US).await?;
        return Ok(true);
    };
    let day = LocalDays::new(property.time_zone.clone()).of(newest_us);
    let span = day.since_us..day.until_us.min(until_us);
    let columns = columns(due.iter().map(AsRef::as_ref));
    let mut parts = raw::Parts::read(
        transaction,
        &compactor.attributes,
        property_no,
        span,
        &columns,
    )
    .await?;
    loop {
        let facts = parts.next(PART_EVENTS).await?;
        if facts.is_empty() {
            break;
        }
        let attributes = compactor.attributes.of_facts([&facts]).await?;
        let facts = Arc::new(facts);
        for spec in &due {
            let (spec, facts) = (Arc::clone(spec), Arc::clone(&facts));
            let attributes = Arc::clone(&attributes);
            let built = off_thread(move || segment(&spec, &facts, &attributes, day)).await;
            // The columns are those of the rollups.
            let built = built.ok().flatten();
            stored::insert(transaction, property_no, Vec::from_iter(built)).await?;
        }
    }
    cover(transaction, property_no, &rollup_nos, day.since_us).await?;
    info!(
        property = property.name,
        rollups = rollup_nos.len(),
        since = %timestamp(day.since_us),
        "built a day of rollups"
    );
    Ok(true)
}

async fn cover(
    transaction: &Transaction<'_>,
    property_no: i32,
    rollup_nos: &[i32],
    since_us: i64,
) -> Result<(), RollupError> {
    let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
        (&property_no, Type::INT4),
        (&rollup_nos, Type::INT4_ARRAY),
        (&timestamp(since_us), Type::TIMESTAMPTZ),
    ];
    transaction
        .execute_typed(include_str!("sql/cover.sql"), &parameters)
        .await?;
    Ok(())
}

/// Throws away everything of a property's rollups, so that they are built again. Needs the lock.
pub(super) async fn forget(client: &mut Client, property_no: i32) -> Result<(), RollupError> {
    let transaction = client.transaction().await?;
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&property_no, Type::INT4)];
    for sql in [
        "delete from rollup_coverage where property_no = $1",
        "delete from rollup_facts where property_no = $1",
        "delete from rollup_segments where property_no = $1",
    ] {
        transaction.execute_typed(sql, &parameters).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Throws away everything of one rollup of a property. Needs the lock.
pub(super) async fn forget_rollup(
    transaction: &Transaction<'_>,
    property_no: i32,
    rollup_no: i32,
) -> Result<(), RollupError> {
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&property_no, Type::INT4), (&rollup_no, Type::INT4)];
    for sql in [
        "delete from rollup_coverage where property_no = $1 and rollup_no = $2",
        "delete from rollup_segments where property_no = $1 and rollup_no = $2",
    ] {
        transaction.execute_typed(sql, &parameters).await?;
    }
    Ok(())
}
