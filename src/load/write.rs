//! Commits a batch, exactly once an event.
//!
//! Most events are new, so the batch is copied straight into `events`. Only when the unique index
//! refuses one is the batch copied into a staging table instead and merged from there. While
//! batches keep having duplicates (a file imported again, a client that resends), the first try is
//! left out.

use std::collections::HashSet;
use std::pin::pin;

use bytes::BytesMut;
use deadpool_postgres::Transaction;
use futures_util::SinkExt;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::batch::{Batch, Identity};
use super::numbers::Numbers;
use super::row;

/// Bytes of rows that are sent at a time.
const SEND_BYTES: usize = 256 * 1024;

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No connection was to be had.
    #[error("no connection to the database")]
    Pool(#[from] deadpool_postgres::PoolError),
    /// The database did not finish in time; the connection was given up.
    #[error("the database did not store the batch in time")]
    TimedOut,
    /// The database refused.
    #[error("the database refused the batch")]
    Database(#[from] tokio_postgres::Error),
}

/// Writes batches.
#[derive(Debug, Default)]
pub struct Writer {
    /// Whether the last batch had events that were stored before.
    expects_duplicates: bool,
}

impl Writer {
    /// Writes the batch in one transaction and marks what was stored before.
    pub async fn write(
        &mut self,
        client: &mut deadpool_postgres::Client,
        batch: &mut Batch,
        numbers: &[Numbers],
    ) -> Result<(), WriteError> {
        if numbers.is_empty() {
            return Ok(());
        }
        if !self.expects_duplicates {
            match copy_new(client, batch, numbers).await {
                Err(WriteError::Database(error))
                    if error.code() == Some(&SqlState::UNIQUE_VIOLATION) =>
                {
                    self.expects_duplicates = true;
                }
                result => return result,
            }
        }
        let stored = merge(client, batch, numbers).await?;
        self.expects_duplicates = stored.len() < numbers.len();
        batch.mark_duplicates(&stored);
        Ok(())
    }
}

async fn copy_new(
    client: &mut deadpool_postgres::Client,
    batch: &Batch,
    numbers: &[Numbers],
) -> Result<(), WriteError> {
    let transaction = client.transaction().await?;
    copy(&transaction, "events", batch, numbers).await?;
    transaction.commit().await?;
    Ok(())
}

async fn merge(
    client: &mut deadpool_postgres::Client,
    batch: &Batch,
    numbers: &[Numbers],
) -> Result<HashSet<Identity>, WriteError> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(include_str!("sql/create_staging.sql"))
        .await?;
    copy(&transaction, "pg_temp.events_staging", batch, numbers).await?;
    let rows = transaction
        .query_typed(include_str!("sql/merge_staging.sql"), &[])
        .await?;
    let stored = rows
        .iter()
        .map(|row| {
            let time: jiff::Timestamp = row.get(1);
            (row.get(0), time.as_microsecond(), row.get::<_, Uuid>(2))
        })
        .collect();
    transaction.commit().await?;
    Ok(stored)
}

async fn copy(
    transaction: &Transaction<'_>,
    table: &'static str,
    batch: &Batch,
    numbers: &[Numbers],
) -> Result<(), tokio_postgres::Error> {
    let statement = format!(
        "copy {table} ({}) from stdin with (format binary)",
        row::COLUMNS
    );
    let mut sink = pin!(transaction.copy_in(&statement).await?);
    let mut buffer = BytesMut::with_capacity(SEND_BYTES + 4_096);
    row::put_header(&mut buffer);
    for (record, numbers) in batch.unique().zip(numbers) {
        row::put(&mut buffer, record, numbers);
        if buffer.len() >= SEND_BYTES {
            sink.feed(buffer.split().freeze()).await?;
            buffer.reserve(SEND_BYTES + 4_096);
        }
    }
    row::put_trailer(&mut buffer);
    sink.feed(buffer.freeze()).await?;
    sink.finish().await?;
    Ok(())
}
