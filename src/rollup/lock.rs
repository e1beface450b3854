//! The lock of a property's rollups: whoever changes them has it, on any server.
//!
//! It belongs to the session, not to a transaction, so that a transaction that begins after it sees
//! everything that whoever had it before has done.

use deadpool_postgres::Client;
use tokio_postgres::types::Type;

/// Takes it, unless somebody else has it.
pub async fn try_take(client: &Client, property_no: i32) -> Result<bool, tokio_postgres::Error> {
    let sql = "select pg_try_advisory_lock(hashtextextended('rollups', $1::integer))";
    let rows = client
        .query_typed(sql, &[(&property_no, Type::INT4)])
        .await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Takes it, however long that takes.
pub async fn take(client: &Client, property_no: i32) -> Result<(), tokio_postgres::Error> {
    let sql = "select pg_advisory_lock(hashtextextended('rollups', $1::integer))";
    client
        .query_typed(sql, &[(&property_no, Type::INT4)])
        .await
        .map(drop)
}

/// Gives it back.
pub async fn give_back(client: &Client, property_no: i32) -> Result<(), tokio_postgres::Error> {
    let sql = "select pg_advisory_unlock(hashtextextended('rollups', $1::integer))";
    client
        .query_typed(sql, &[(&property_no, Type::INT4)])
        .await
        .map(drop)
}
