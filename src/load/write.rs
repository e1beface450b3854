//! Commits a batch, exactly once an event, together with the note that it is loaded.
//!
//! Most events are new, so the batch is copied straight into `events`. Only when the unique index
//! refuses one is the batch copied into a staging table instead and merged from there. While
//! batches keep having duplicates (a file imported again, a client that resends), the first try is
//! left out.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use deadpool_postgres::Transaction;
use futures_util::SinkExt;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::log::event::{Identity, LoggedEvent};
use crate::rollup::collect::Collected;
use crate::store::directory::Directory;
use crate::store::pg_error;

use super::batch::Batch;
use super::numbers::Numbers;
use super::positions::{self, Place};
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

impl WriteError {
    /// Whether some event of the batch is at fault.
    pub fn is_about_values(&self) -> bool {
        matches!(self, Self::Database(error) if pg_error::is_about_values(error))
    }

    /// What to tell whoever reads dead letters: the database's own words. They may hold values of the
    /// event, so they are not for the service's log.
    pub fn reason(&self) -> String {
        match self {
            Self::Database(error) => pg_error::words(error),
            Self::Pool(_) | Self::TimedOut => crate::error::causes(self),
        }
    }

    /// Kind of the refusal: PostgreSQL's code.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.code().map(SqlState::code),
            Self::Pool(_) | Self::TimedOut => None,
        }
    }
}

/// Writes batches.
#[derive(Debug)]
pub struct Writer {
    /// Whose rollups get what is stored; `None` when none are kept.
    rollups: Option<Arc<Directory>>,
    /// Whether the last batch had events that were stored before.
    expects_duplicates: bool,
}

impl Writer {
    /// A writer that adds what it stores to the rollups that a directory knows, if it is given one.
    pub fn new(rollups: Option<Arc<Directory>>) -> Self {
        Self {
            rollups,
            expects_duplicates: false,
        }
    }

    /// Whose rollups get what is stored, if any are kept.
    pub fn rollups(&self) -> Option<&Directory> {
        self.rollups.as_deref()
    }

    /// Writes the batch in one transaction and marks in it what was stored before. Does nothing if it
    /// is loaded already.
    pub async fn write(
        &mut self,
        client: &mut deadpool_postgres::Client,
        place: Place,
        batch: &mut Batch<'_>,
        numbers: &[Numbers],
    ) -> Result<(), WriteError> {
        if !self.expects_duplicates {
            match self.copy_new(client, place, batch, numbers).await {
                Err(WriteError::Database(error))
                    if error.code() == Some(&SqlState::UNIQUE_VIOLATION) =>
                {
                    self.expects_duplicates = true;
                }
                result => return result,
            }
        }
        if let Some(stored) = self.merge(client, place, batch, numbers).await? {
            self.expects_duplicates = stored < numbers.len();
        }
        Ok(())
    }

    async fn copy_new(
        &self,
        client: &mut deadpool_postgres::Client,
        place: Place,
        batch: &Batch<'_>,
        numbers: &[Numbers],
    ) -> Result<(), WriteError> {
        let collected = self.collect(batch.unique().zip(numbers));
        let transaction = client.transaction().await?;
        if !positions::insert(&transaction, place).await? {
            return Ok(());
        }
        copy(&transaction, "events", batch, numbers).await?;
        collected.insert(&transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// How many events were new; `None` if all of them were loaded before.
    async fn merge(
        &self,
        client: &mut deadpool_postgres::Client,
        place: Place,
        batch: &mut Batch<'_>,
        numbers: &[Numbers],
    ) -> Result<Option<usize>, WriteError> {
        let transaction = client.transaction().await?;
        if !positions::insert(&transaction, place).await? {
            return Ok(None);
        }
        transaction
            .batch_execute(include_str!("sql/create_staging.sql"))
            .await?;
        copy(&transaction, "pg_temp.events_staging", batch, numbers).await?;
        let rows = transaction
            .query_typed(include_str!("sql/merge_staging.sql"), &[])
            .await?;
        let stored: HashSet<Identity> = rows
            .iter()
            .map(|row| {
                let time: jiff::Timestamp = row.get(1);
                (row.get(0), time.as_microsecond(), row.get::<_, Uuid>(2))
            })
            .collect();
        let new = batch.unique().zip(numbers);
        let new = new.filter(|(event, _)| stored.contains(&event.identity()));
        self.collect(new).insert(&transaction).await?;
        // Before the commit: if its reply is lost, this is what became of the events all the same.
        batch.mark_stored(&stored);
        transaction.commit().await?;
        Ok(Some(stored.len()))
    }

    /// What is added to the rollups for events that are stored, in order.
    fn collect<'e>(
        &self,
        events: impl Iterator<Item = (&'e LoggedEvent<'e>, &'e Numbers)>,
    ) -> Collected {
        match &self.rollups {
            Some(directory) => Collected::of(directory, events),
            None => Collected::default(),
        }
    }
}

async fn copy(
    transaction: &Transaction<'_>,
    table: &'static str,
    batch: &Batch<'_>,
    numbers: &[Numbers],
) -> Result<(), tokio_postgres::Error> {
    let statement = format!(
        "copy {table} ({}) from stdin with (format binary)",
        row::COLUMNS
    );
    let mut sink = pin!(transaction.copy_in(&statement).await?);
    let mut buffer = BytesMut::with_capacity(SEND_BYTES + 4_096);
    row::put_header(&mut buffer);
    for (event, numbers) in batch.unique().zip(numbers) {
        row::put(&mut buffer, event, numbers);
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
