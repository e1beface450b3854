//! The database's memory of what is loaded of a log, and the worker that keeps it and the log short.

use std::ops::Range;
use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use tokio::time::MissedTickBehavior;
use tokio_postgres::types::{ToSql, Type};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use uuid::Uuid;

use crate::error::causes;
use crate::log::Log;
use crate::log::disk::Usage;
use crate::store::{StoreError, pool};

use super::feed::Feed;
use super::progress::Progress;

/// How long the database may take to say what is loaded, and to merge ranges.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often loaded ranges are merged and the log is trimmed behind them.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// A log and a database that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The log has lost its end.
    #[error(
        "the database has {loaded} records of this log, which has only {logged}: the log is an older \
         copy, or lost its end. Bring the right one back; or, to go on with this one, delete the \
         file `id` in its directory"
    )]
    LogIsOlder {
        /// The number after the last record that is loaded.
        loaded: u64,
        /// The number that the next record gets.
        logged: u64,
    },
    /// The database has lost its end.
    #[error(
        "the log begins at record {oldest}, the database has it up to {loaded} only: the database is \
         an older copy, and the events between are not in the log any more. Bring the right one back; \
         or, to go on without them, delete the file `id` in the log's directory"
    )]
    DatabaseIsOlder {
        /// The first record that is not loaded.
        loaded: u64,
        /// The oldest record of the log.
        oldest: u64,
    },
}

/// Consecutive records of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The log.
    pub log_id: Uuid,
    /// The first record's number.
    pub first: u64,
    /// How many there are.
    pub records: usize,
}

/// Why it is not known what is loaded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PositionError {
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the database has of a log.
pub async fn load(pool: &Pool, log: &Log) -> Result<Progress, PositionError> {
    let client = pool.get().await.map_err(StoreError::from)?;
    let loading = pool::bounded(client, PATIENCE, async |client| {
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&log.id(), Type::UUID)];
        // The log is locked, so whoever loads it is left over from a server that is gone. What it
        // committed is known afterwards, and it does not hold up the loaders.
        for statement in [
            include_str!("sql/end_loaders.sql"),
            include_str!("sql/await_loaders.sql"),
        ] {
            client.query_typed(statement, &parameters).await?;
        }
        client
            .query_typed(include_str!("sql/select_positions.sql"), &parameters)
            .await
    });
    let rows = match loading.await {
        Some(rows) => rows.map_err(StoreError::from)?,
        None => return Err(StoreError::TimedOut.into()),
    };
    let progress = progress(ranges(&rows).collect(), log.usage(), log.is_new())?;
    if rows.is_empty() && progress.low() > 0 {
        // So that it is known what is loaded even if the first batches are not committed in order.
        let client = pool.get().await.map_err(StoreError::from)?;
        note(&client, log.id(), progress.low())
            .await
            .map_err(StoreError::from)?;
    }
    Ok(progress)
}

/// Notes that everything before a record is loaded.
async fn note(
    client: &tokio_postgres::Client,
    log_id: Uuid,
    low: u64,
) -> Result<(), tokio_postgres::Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&log_id, Type::UUID), (&number(low), Type::INT8)];
    client
        .execute_typed(include_str!("sql/merge_positions.sql"), &parameters)
        .await
        .map(drop)
}

fn ranges(rows: &[tokio_postgres::Row]) -> impl Iterator<Item = Range<u64>> {
    let number = |row: &tokio_postgres::Row, column| {
        u64::try_from(row.get::<_, i64>(column)).unwrap_or_default()
    };
    rows.iter().map(move |row| number(row, 0)..number(row, 1))
}

fn progress(ranges: Vec<Range<u64>>, usage: Usage, log_is_new: bool) -> Result<Progress, Mismatch> {
    if ranges.is_empty() && (log_is_new || usage.oldest == 0) {
        // A log that this database never met.
        return Ok(Progress::new(usage.oldest));
    }
    let progress: Progress = ranges.into_iter().collect();
    if progress.high() > usage.next {
        return Err(Mismatch::LogIsOlder {
            loaded: progress.high(),
            logged: usage.next,
        });
    }
    if progress.low() < usage.oldest {
        return Err(Mismatch::DatabaseIsOlder {
            loaded: progress.low(),
            oldest: usage.oldest,
        });
    }
    Ok(progress)
}

/// Notes, in a batch's own transaction and before anything else in it, that its records are loaded.
/// False if they are already: then the commit of an earlier attempt succeeded without a reply.
pub async fn insert(
    transaction: &Transaction<'_>,
    place: Place,
) -> Result<bool, tokio_postgres::Error> {
    let next = place.first + place.records as u64;
    let changed = transaction
        .execute_typed(
            include_str!("sql/insert_position.sql"),
            &[
                (&place.log_id, Type::UUID),
                (&number(place.first), Type::INT8),
                (&number(next), Type::INT8),
            ],
        )
        .await?;
    Ok(changed > 0)
}

/// As the database holds it; a log that writes a million records a second gets there in 292,000 years.
pub fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// Merges ranges and trims the log behind them until told to stop. Forgets callers that left, too.
pub async fn keep(pool: Pool, feed: Feed, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(KEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Some(reason) = feed.log().failure() {
            // Ending ends the service: what is on disk is known again once the log is opened anew.
            error!(reason, "the event log failed");
            return;
        }
        feed.log().sweep();
        let low = feed.low();
        if low == 0 || kept == Some(low) {
            continue;
        }
        let merging = merge(&pool, feed.log().id(), low);
        let merged = tokio::select! {
            merged = merging => merged,
            () = stop.cancelled() => return,
        };
        match merged {
            Ok(stored) if stored < low => {
                // After a fail-over to a standby that was behind, or a power failure of a database
                // that commits without fsync. The log still has it: the next start loads it again.
                error!(
                    stored,
                    loaded = low,
                    "the database has forgotten events that it had committed"
                );
                return;
            }
            Ok(_) => {}
            Err(error) => {
                // The loaders say loudly what is wrong with the database.
                debug!(error = causes(&error), "loaded ranges could not be merged");
                continue;
            }
        }
        match feed.log().trim(low).await {
            Ok(_) => kept = Some(low),
            Err(error) => warn!(%error, "the log could not be trimmed"),
        }
    }
}

/// Merges the ranges before `low`, if the database has all of them; says up to where it has.
async fn merge(pool: &Pool, log_id: Uuid, low: u64) -> Result<u64, StoreError> {
    let client = pool.get().await?;
    let merging = pool::bounded(client, PATIENCE, async |client| {
        let id: [(&(dyn ToSql + Sync), Type); 1] = [(&log_id, Type::UUID)];
        let rows = client
            .query_typed(include_str!("sql/select_positions.sql"), &id)
            .await?;
        let stored: Progress = ranges(&rows).collect();
        if stored.low() >= low {
            note(client, log_id, low).await?;
        }
        Ok::<_, tokio_postgres::Error>(stored.low())
    });
    match merging.await {
        Some(merged) => merged.map_err(StoreError::from),
        // The next tick tries again.
        None => Err(StoreError::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(oldest: u64, next: u64) -> Usage {
        Usage {
            used_bytes: 0,
            max_bytes: 0,
            oldest,
            next,
        }
    }

    #[test]
    fn a_log_that_the_database_never_met_is_loaded_from_its_oldest_record_on() {
        assert_eq!(progress(vec![], usage(7, 9), true), Ok(Progress::new(7)));
        assert_eq!(progress(vec![], usage(0, 9), false), Ok(Progress::new(0)));
        // One that it should have met: the database is another, or was restored from before.
        let other_database = Mismatch::DatabaseIsOlder {
            loaded: 0,
            oldest: 7,
        };
        assert_eq!(progress(vec![], usage(7, 9), false), Err(other_database));
    }

    #[test]
    fn what_other_loaders_finished_is_not_loaded_again() {
        let progress = progress(vec![0..5, 8..9], usage(3, 12), false).expect("they fit");
        assert_eq!(progress.gap(0), 5..8);
        assert_eq!(progress.gap(8), 9..u64::MAX);
    }

    #[test]
    fn a_log_and_a_database_that_do_not_belong_together_are_refused() {
        let older_log = Mismatch::LogIsOlder {
            loaded: 9,
            logged: 8,
        };
        assert_eq!(
            progress(vec![0..3, 5..9], usage(0, 8), false),
            Err(older_log)
        );
        let older_database = Mismatch::DatabaseIsOlder {
            loaded: 3,
            oldest: 4,
        };
        assert_eq!(
            progress(std::iter::once(0..3).collect(), usage(4, 8), false),
            Err(older_database)
        );
    }
}
