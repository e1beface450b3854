//! Keys, as an administrator sees them.

use deadpool_postgres::Pool;
use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::key::{Key, KeyKind};

use super::{StoreError, pg_error};

/// A key without its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyDescription {
    /// Public part.
    pub key_id: String,
    /// What it may do.
    pub kind: KeyKind,
    /// Name of its property; `None` for a server-wide admin key.
    pub property: Option<String>,
    /// A note for people.
    pub label: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl KeyDescription {
    fn from_row(row: &Row) -> Self {
        Self {
            key_id: row.get("key_id"),
            // The check constraint allows no other number.
            kind: KeyKind::from_number(row.get("kind")).unwrap_or(KeyKind::Write),
            property: row.get("property"),
            label: row.get("label"),
            created_at: row.get("created_at"),
            revoked_at: row.get("revoked_at"),
        }
    }
}

/// What became of a key that was to be stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// It is stored.
    Key(KeyDescription),
    /// There is no property of that name.
    NoSuchProperty,
    /// There is a key of this public part.
    IdTaken,
}

/// Stores the hash of a key. Without a property it is a server-wide admin key.
pub async fn create(
    pool: &Pool,
    key: &Key,
    property: Option<&str>,
    label: &str,
) -> Result<Created, StoreError> {
    let client = pool.get().await?;
    let created = client
        .query_opt(
            include_str!("sql/create_key.sql"),
            &[
                &key.id,
                &key.kind.number(),
                &property,
                &key.sha256().as_slice(),
                &label,
            ],
        )
        .await;
    match created {
        Ok(Some(row)) => Ok(Created::Key(KeyDescription::from_row(&row))),
        Ok(None) => Ok(Created::NoSuchProperty),
        Err(error) if pg_error::violates(&error, "api_keys_pkey") => Ok(Created::IdTaken),
        Err(error) => Err(error.into()),
    }
}

/// Which keys to list.
#[derive(Debug, Clone, Copy)]
pub struct KeyList<'a> {
    /// Only those of this property.
    pub property: Option<&'a str>,
    /// Revoked ones too.
    pub include_revoked: bool,
    /// Only those after this one.
    pub after: Option<(Timestamp, &'a str)>,
    /// At most so many.
    pub count: i64,
}

/// Keys, the oldest first.
pub async fn list(pool: &Pool, list: KeyList<'_>) -> Result<Vec<KeyDescription>, StoreError> {
    let client = pool.get().await?;
    let (after_time, after_id) = list.after.unzip();
    let rows = client
        .query(
            include_str!("sql/list_keys.sql"),
            &[
                &list.property,
                &list.include_revoked,
                &after_time,
                &after_id,
                &list.count,
            ],
        )
        .await?;
    Ok(rows.iter().map(KeyDescription::from_row).collect())
}

/// Revokes a key; only one of `property`, if given. `None` when there is no such key.
pub async fn revoke(
    pool: &Pool,
    key_id: &str,
    property: Option<&str>,
) -> Result<Option<KeyDescription>, StoreError> {
    let client = pool.get().await?;
    let row = client
        .query_opt(include_str!("sql/revoke_key.sql"), &[&key_id, &property])
        .await?;
    Ok(row.as_ref().map(KeyDescription::from_row))
}
