//! Events that the database refuses, kept with the reason so that they do not hold up others.

use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::Pool;
use tokio_postgres::types::{ToSql, Type};

use crate::store::pool::Persistent;

use super::positions::{self, Place};
use super::write::WriteError;

/// A record that is not to be tried again by itself.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// `None` when the record cannot be read.
    pub property_no: Option<i32>,
    /// What was wrong.
    pub reason: &'a str,
    /// As it is in the log.
    pub record: &'a Bytes,
    /// Where it is in the log.
    pub place: Place,
}

/// Keeps it, and notes that its record is loaded.
pub async fn insert(
    pool: &Pool,
    connection: &mut Persistent,
    patience: Duration,
    letter: &DeadLetter<'_>,
) -> Result<(), WriteError> {
    let client = pool.get().await?;
    let work = connection.bounded(client, patience, async |client| {
        let transaction = client.transaction().await?;
        if positions::insert(&transaction, letter.place).await? {
            let record: &[u8] = letter.record;
            let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
                (&letter.property_no, Type::INT4),
                (&letter.reason, Type::TEXT),
                (&record, Type::BYTEA),
                (&letter.place.log_id, Type::UUID),
                (&positions::number(letter.place.first), Type::INT8),
            ];
            transaction
                .execute_typed(include_str!("sql/insert_dead_letter.sql"), &parameters)
                .await?;
        }
        transaction.commit().await?;
        Ok::<_, WriteError>(())
    });
    work.await.unwrap_or(Err(WriteError::TimedOut))
}
