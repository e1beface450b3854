//! Retention: events older than their property keeps them go.
//!
//! A chunk that is too old for every property is dropped whole, which costs nothing. What a property
//! with a shorter limit has in chunks that others still need is deleted. Neither needs more than
//! TimescaleDB's Apache edition.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::property::{Property, Retention};
use crate::error::causes;

use super::StoreError;
use super::directory::Directory;
use super::versions::Versions;

/// How often the worker looks. A chunk holds a day, so this is often enough.
const EVERY: Duration = Duration::from_secs(3_600);

/// Runs until told to stop.
pub async fn run(
    pool: Pool,
    directory: Arc<Directory>,
    versions: Arc<Versions>,
    stop: CancellationToken,
) {
    let mut is_first = true;
    loop {
        let mut has_removed = false;
        let properties = directory.properties();
        if let Err(error) = remove(&pool, &properties, Timestamp::now(), &mut has_removed).await {
            warn!(
                error = causes(&error),
                "old events could not be removed; trying again later"
            );
        }
        // Even if nothing was removed: another server may have done so since the last time.
        if has_removed || !is_first {
            versions.change_all();
        }
        is_first = false;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Removes what is too old at `now`.
pub async fn apply(
    pool: &Pool,
    properties: &[Arc<Property>],
    now: Timestamp,
) -> Result<(), StoreError> {
    remove(pool, properties, now, &mut false).await
}

/// The same, and says if there was something, even if it fails in the midst of it.
async fn remove(
    pool: &Pool,
    properties: &[Arc<Property>],
    now: Timestamp,
    has_removed: &mut bool,
) -> Result<(), StoreError> {
    let client = pool.get().await?;
    let now_us = now.as_microsecond();
    let oldest = |property: &Property| {
        let oldest_us = property.retention.oldest_us(now_us)?;
        Timestamp::from_microsecond(oldest_us).ok()
    };

    // `None` as soon as one property keeps its events for ever.
    let needed_since: Option<Timestamp> = properties
        .iter()
        .map(|property| oldest(property))
        .min()
        .flatten();
    if let Some(needed_since) = needed_since {
        let dropped = client
            .query(include_str!("sql/drop_old_chunks.sql"), &[&needed_since])
            .await?;
        if !dropped.is_empty() {
            *has_removed = true;
            info!(chunks = dropped.len(), before = %needed_since, "dropped chunks of old events");
        }
    }
    for property in properties {
        let (Retention::Days(days), Some(oldest)) = (property.retention, oldest(property)) else {
            continue;
        };
        let deleted = client
            .execute(
                include_str!("sql/delete_old_events.sql"),
                &[&property.property_no, &oldest],
            )
            .await?;
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
    Ok(())
}
