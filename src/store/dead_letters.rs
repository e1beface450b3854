//! Dead letters, as an administrator sees them: acknowledged events that the database refused.

use bytes::Bytes;
use deadpool_postgres::Pool;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{StoreError, pool};

/// Letters that a replay or a drop takes at a time: one transaction, which is held until the log has
/// them.
const CHUNK_LETTERS: i64 = 1_000;
/// Bytes of records that a replay takes at a time, give or take a record. Far below what the log takes
/// in one append.
const CHUNK_BYTES: i64 = 1 << 20;

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Ascending with the time of the refusal.
    pub number: i64,
    /// Name of its property; `None` when the record could not be read.
    pub property: Option<String>,
    /// When it was refused.
    pub refused_at: Timestamp,
    /// Why.
    pub reason: String,
    /// As it was in the log.
    pub record: Vec<u8>,
}

impl DeadLetter {
    fn from_row(row: &Row) -> Self {
        Self {
            number: row.get("dead_letter_no"),
            property: row.get("property"),
            refused_at: row.get("refused_at"),
            reason: row.get("reason"),
            record: row.get("record"),
        }
    }
}

/// Which dead letters to list.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterList<'a> {
    /// Only those of this property.
    pub property: Option<&'a str>,
    /// Only those with a number above this one.
    pub after: i64,
    /// At most so many.
    pub page_size: usize,
    /// None follows once those before have so many bytes of records.
    pub page_bytes: usize,
}

/// One page of dead letters, the oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Whether there are more after them.
    pub has_more: bool,
}

/// Lists one page.
pub async fn list(pool: &Pool, list: DeadLetterList<'_>) -> Result<DeadLetterPage, StoreError> {
    // One more than a page tells whether there is another.
    let count = i64::try_from(list.page_size + 1).unwrap_or(i64::MAX);
    let bytes = i64::try_from(list.page_bytes).unwrap_or(i64::MAX);
    let client = pool.get().await?;
    let rows = pool::guarded(client, async |client| {
        client
            .query_typed(
                include_str!("sql/list_dead_letters.sql"),
                &[
                    (&list.property, Type::TEXT),
                    (&list.after, Type::INT8),
                    (&count, Type::INT8),
                    (&bytes, Type::INT8),
                ],
            )
            .await
    })
    .await?;
    let candidates: i64 = rows.first().map_or(0, |row| row.get("candidates"));
    let mut letters: Vec<DeadLetter> = rows.iter().map(DeadLetter::from_row).collect();
    letters.truncate(list.page_size);
    Ok(DeadLetterPage {
        has_more: usize::try_from(candidates).unwrap_or_default() > letters.len(),
        letters,
    })
}

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Only those of this property.
    pub property: Option<String>,
    /// Only those with these numbers.
    pub numbers: Option<Vec<i64>>,
}

/// The number of the newest dead letter; 0 if there is none. What is refused later is above it, so
/// that "all" comes to an end.
pub async fn last(pool: &Pool) -> Result<i64, StoreError> {
    let client = pool.get().await?;
    let last = pool::guarded(client, async |client| {
        client
            .query_typed(include_str!("sql/last_dead_letter.sql"), &[])
            .await
    })
    .await?;
    Ok(last.first().map_or(0, |row| row.get(0)))
}

/// Dead letters that were handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedOver {
    /// How many; at least one.
    pub count: usize,
    /// The highest number among them.
    pub last: i64,
}

/// Hands the next records of the selection, those with numbers in `after..=last` but the first, to
/// `take`, and deletes them when that has succeeded. `None` when there are none. Another replay passes
/// over them in the meantime. When the service or the database ends between the two, they are there
/// still and are sent twice: an event is recognised by its identity, so it counts once all the same.
pub async fn hand_over<E, F>(
    pool: &Pool,
    selection: &Selection,
    after: i64,
    last: i64,
    take: impl FnOnce(Vec<Bytes>) -> F,
) -> Result<Option<HandedOver>, E>
where
    E: From<StoreError>,
    F: Future<Output = Result<(), E>>,
{
    let client = pool.get().await.map_err(StoreError::from)?;
    pool::guarded(client, async |client| {
        let transaction = client.transaction().await.map_err(StoreError::from)?;
        let rows = transaction
            .query_typed(
                include_str!("sql/take_dead_letters.sql"),
                &[
                    (&selection.property, Type::TEXT),
                    (&selection.numbers, Type::INT8_ARRAY),
                    (&after, Type::INT8),
                    (&last, Type::INT8),
                    (&CHUNK_LETTERS, Type::INT8),
                    (&CHUNK_BYTES, Type::INT8),
                ],
            )
            .await
            .map_err(StoreError::from)?;
        let numbers: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let Some(last) = numbers.last().copied() else {
            return Ok(None);
        };
        let record = |row: Row| Bytes::from(row.get::<_, Vec<u8>>(1));
        take(rows.into_iter().map(record).collect()).await?;
        transaction
            .execute_typed(
                include_str!("sql/delete_dead_letters.sql"),
                &[(&numbers, Type::INT8_ARRAY)],
            )
            .await
            .map_err(StoreError::from)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(Some(HandedOver {
            count: numbers.len(),
            last,
        }))
    })
    .await
}

/// Deletes the next dead letters of the selection, up to number `last`, and returns how many; 0 when
/// none is left.
pub async fn drop_some(pool: &Pool, selection: &Selection, last: i64) -> Result<u64, StoreError> {
    let client = pool.get().await?;
    let dropped = pool::guarded(client, async |client| {
        client
            .execute_typed(
                include_str!("sql/drop_dead_letters.sql"),
                &[
                    (&selection.property, Type::TEXT),
                    (&selection.numbers, Type::INT8_ARRAY),
                    (&last, Type::INT8),
                    (&CHUNK_LETTERS, Type::INT8),
                ],
            )
            .await
    })
    .await?;
    Ok(dropped)
}
