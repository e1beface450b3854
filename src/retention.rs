//! Retention: events older than their property keeps them go, and with them what rollups have of them.
//!
//! A chunk that is too old for every property is dropped whole, which costs nothing. What a property
//! with a shorter limit has in chunks that others still need is deleted. Neither needs more than
//! TimescaleDB's Apache edition.
//!
//! The limit is a multiple of 15 minutes, the smallest part that a rollup can be cut to.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::property::{Property, Retention};
use crate::error::causes;
use crate::rollup::compact::Compactor;
use crate::rollup::segment::SLOT_US;
use crate::rollup::stored::{RollupError, timestamp};
use crate::store::StoreError;
use crate::store::versions::Versions;

/// How often the worker looks. A chunk holds a day, so this is often enough.
const EVERY: Duration = Duration::from_secs(3_600);
/// Wait before it is tried again when another server keeps the rollups of a property just then.
const BUSY: Duration = Duration::from_secs(1);

/// Runs until told to stop.
pub async fn run(pool: Pool, rollups: Compactor, versions: Arc<Versions>, stop: CancellationToken) {
    let mut is_first = true;
    loop {
        let mut has_removed = false;
        let applied = remove(&pool, &rollups, Timestamp::now(), &mut has_removed).await;
        // Even if nothing was removed: another server may have done so since the last time.
        if has_removed || !is_first && !matches!(applied, Ok(false)) {
            versions.change_all();
        }
        is_first = false;
        let wait = match applied {
            Ok(true) => EVERY,
            Ok(false) => BUSY,
            Err(error) => {
                warn!(
                    error = causes(&error),
                    "old events could not be removed; trying again later"
                );
                EVERY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Removes what is too old at `now`; whether that was all of it.
pub async fn apply(pool: &Pool, rollups: &Compactor, now: Timestamp) -> Result<bool, RollupError> {
    remove(pool, rollups, now, &mut false).await
}

/// The same, and says if there was something, even if it fails in the midst of it.
async fn remove(
    pool: &Pool,
    rollups: &Compactor,
    now: Timestamp,
    has_removed: &mut bool,
) -> Result<bool, RollupError> {
    let properties = rollups.properties();
    let oldest_us = |property: &Property| {
        let oldest_us = property.retention.oldest_us(now.as_microsecond())?;
        Some(oldest_us.div_euclid(SLOT_US) * SLOT_US)
    };

    // `None` as soon as one property keeps its events for ever.
    let needed_since_us: Option<i64> = properties
        .iter()
        .map(|property| oldest_us(property))
        .min()
        .flatten();
    if let Some(needed_since_us) = needed_since_us {
        let needed_since = timestamp(needed_since_us);
        let client = pool.get().await.map_err(StoreError::from)?;
        let dropped = client
            .query(
                include_str!("store/sql/drop_old_chunks.sql"),
                &[&needed_since],
            )
            .await?;
        if !dropped.is_empty() {
            *has_removed = true;
            info!(chunks = dropped.len(), before = %needed_since, "dropped chunks of old events");
        }
    }
    let mut is_done = true;
    for property in &properties {
        let (Retention::Days(days), Some(oldest_us)) = (property.retention, oldest_us(property))
        else {
            continue;
        };
        let Some(deleted) = rollups.delete_before(property, oldest_us).await? else {
            is_done = false;
            continue;
        };
        if deleted > 0 {
            *has_removed = true;
            info!(
                property = property.name,
                events = deleted,
                days,
                "deleted old events"
            );
        }
    }
    Ok(is_done)
}
