//! Segments and facts in the database.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::GenericClient;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::domain::local_day::LocalDay;
use crate::domain::time_range::EARLIEST_US;

use super::codec::Unreadable;
use super::property_text::MAX_VALUE_BYTES;
use super::segment::{Parts, SLOT_US, Segment};

/// Why rollups were not kept.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RollupError {
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("the database refused work on rollups")]
    Database(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(
        "`properties.{key}` has a value of more than {MAX_VALUE_BYTES} bytes, which no rollup takes"
    )]
    ValueTooLong { key: String },
}

impl From<deadpool_postgres::PoolError> for RollupError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Store(error.into())
    }
}

/// A segment that is to be stored.
#[derive(Debug)]
pub struct NewSegment {
    /// Its rollup.
    pub rollup_no: i32,
    /// Its day.
    pub day: LocalDay,
    /// No event is before.
    pub first_us: i64,
    /// No event is after.
    pub last_us: i64,
    /// What is in it.
    pub segment: Segment,
}

/// The same, ready to be sent.
#[derive(Debug)]
pub struct EncodedSegment {
    rollup_no: i32,
    day: LocalDay,
    first_us: i64,
    last_us: i64,
    events: i64,
    parts: Parts,
}

impl From<NewSegment> for EncodedSegment {
    fn from(new: NewSegment) -> Self {
        Self {
            rollup_no: new.rollup_no,
            day: new.day,
            first_us: new.first_us,
            last_us: new.last_us,
            events: i64::try_from(new.segment.events()).unwrap_or(i64::MAX),
            parts: new.segment.encode(),
        }
    }
}

/// A segment that is stored, without its parts.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "as in NewSegment")]
pub struct StoredSegment {
    pub segment_id: Uuid,
    pub rollup_no: i32,
    pub day: LocalDay,
    pub first_us: i64,
    pub last_us: i64,
    pub events: i64,
    pub age_s: f64,
}

/// A time as the database takes it.
pub fn timestamp(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or_default()
}

fn microseconds(row: &tokio_postgres::Row, column: &str) -> i64 {
    row.get::<_, Timestamp>(column).as_microsecond()
}

/// Stores segments of a property.
pub async fn insert(
    transaction: &Transaction<'_>,
    property_no: i32,
    segments: Vec<EncodedSegment>,
) -> Result<(), tokio_postgres::Error> {
    if segments.is_empty() {
        return Ok(());
    }
    let of = |time: fn(&EncodedSegment) -> i64| -> Vec<Timestamp> {
        segments
            .iter()
            .map(|segment| timestamp(time(segment)))
            .collect()
    };
    let ids: Vec<Uuid> = segments.iter().map(|_| Uuid::now_v7()).collect();
    let rollup_nos: Vec<i32> = segments.iter().map(|segment| segment.rollup_no).collect();
    let since = of(|segment| segment.day.since_us);
    let until = of(|segment| segment.day.until_us);
    let first = of(|segment| segment.first_us);
    let last = of(|segment| segment.last_us);
    let events: Vec<i64> = segments.iter().map(|segment| segment.events).collect();
    let part = |of: fn(&Parts) -> &[u8]| -> Vec<&[u8]> {
        segments.iter().map(|segment| of(&segment.parts)).collect()
    };
    let day = part(|parts| &parts.day);
    let day_visitors = part(|parts| &parts.day_visitors);
    let slots = part(|parts| &parts.slots);
    let slot_visitors = part(|parts| &parts.slot_visitors);
    let parameters: [(&(dyn ToSql + Sync), Type); 12] = [
        (&ids, Type::UUID_ARRAY),
        (&property_no, Type::INT4),
        (&rollup_nos, Type::INT4_ARRAY),
        (&since, Type::TIMESTAMPTZ_ARRAY),
        (&until, Type::TIMESTAMPTZ_ARRAY),
        (&first, Type::TIMESTAMPTZ_ARRAY),
        (&last, Type::TIMESTAMPTZ_ARRAY),
        (&events, Type::INT8_ARRAY),
        (&day, Type::BYTEA_ARRAY),
        (&day_visitors, Type::BYTEA_ARRAY),
        (&slots, Type::BYTEA_ARRAY),
        (&slot_visitors, Type::BYTEA_ARRAY),
    ];
    transaction
        .execute_typed(include_str!("sql/insert_segments.sql"), &parameters)
        .await
        .map(drop)
}

/// Deletes segments.
pub async fn delete(
    transaction: &Transaction<'_>,
    ids: &[Uuid],
) -> Result<(), tokio_postgres::Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::UUID_ARRAY)];
    transaction
        .execute_typed(include_str!("sql/delete_segments.sql"), &parameters)
        .await
        .map(drop)
}

/// Reads segments whole, in the order of their ids.
pub async fn read(
    transaction: &Transaction<'_>,
    ids: &[Uuid],
) -> Result<Vec<Segment>, RollupError> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::UUID_ARRAY)];
    let rows = transaction
        .query_typed(include_str!("sql/select_parts.sql"), &parameters)
        .await?;
    let mut segments = Vec::with_capacity(rows.len());
    for row in rows {
        segments.push(Segment::decode(row.get(1), row.get(2), row.get(3))?);
    }
    Ok(segments)
}

/// A segment as a list of them has it.
pub fn stored(row: &tokio_postgres::Row) -> StoredSegment {
    StoredSegment {
        segment_id: row.get("segment_id"),
        rollup_no: row.get("rollup_no"),
        day: LocalDay {
            since_us: microseconds(row, "since"),
            until_us: microseconds(row, "until"),
        },
        first_us: microseconds(row, "first_time"),
        last_us: microseconds(row, "last_time"),
        events: row.get("events"),
        age_s: row.try_get("age_s").unwrap_or_default(),
    }
}

impl StoredSegment {
    /// The same with what is in it.
    pub fn with(self, segment: Segment) -> NewSegment {
        NewSegment {
            rollup_no: self.rollup_no,
            day: self.day,
            first_us: self.first_us,
            last_us: self.last_us,
            segment,
        }
    }
}

/// The segments of a property.
pub async fn list(
    client: &impl GenericClient,
    property_no: i32,
) -> Result<Vec<StoredSegment>, tokio_postgres::Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&property_no, Type::INT4)];
    let rows = client
        .query_typed(include_str!("sql/all_segments.sql"), &parameters)
        .await?;
    Ok(rows.iter().map(stored).collect())
}

/// The time of a property's newest event before a time, if there is one.
pub async fn newest_event_us(
    client: &impl GenericClient,
    property_no: i32,
    before_us: i64,
) -> Result<Option<i64>, tokio_postgres::Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [
        (&property_no, Type::INT4),
        (&timestamp(before_us), Type::TIMESTAMPTZ),
    ];
    let rows = client
        .query_typed(include_str!("sql/newest_event.sql"), &parameters)
        .await?;
    Ok(rows.first().map(|row| microseconds(row, "time")))
}

/// The statement that [`read_coverage`] reads the rows of; `$1` is the property.
pub const COVERAGE_SQL: &str = include_str!("sql/coverage.sql");

/// Since when each rollup of a property has every event, in microseconds since 1970; not in it: never.
pub fn read_coverage(rows: &[tokio_postgres::Row]) -> HashMap<i32, i64> {
    rows.iter()
        .map(|row| (row.get("rollup_no"), microseconds(row, "covered_since")))
        .collect()
}

/// [`read_coverage`] of what a transaction sees.
pub async fn coverage(
    transaction: &Transaction<'_>,
    property_no: i32,
) -> Result<HashMap<i32, i64>, tokio_postgres::Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&property_no, Type::INT4)];
    let rows = transaction.query_typed(COVERAGE_SQL, &parameters).await?;
    Ok(read_coverage(&rows))
}

/// What [`coverage`] says of a rollup that has everything.
pub const COVERS_ALL_US: i64 = EARLIEST_US;

impl NewSegment {
    /// What of it lies in a span of time that begins and ends at slots, as a segment of `day`.
    pub fn part(&self, span: std::ops::Range<i64>, day: LocalDay) -> Option<Self> {
        let slot = |time_us: i64| ((time_us - self.day.since_us).max(0) / SLOT_US) as u32;
        let shift = (day.since_us - self.day.since_us) / SLOT_US;
        let part = self.segment.part(slot(span.start)..slot(span.end), shift)?;
        Some(Self {
            rollup_no: self.rollup_no,
            day,
            first_us: self.first_us.max(span.start),
            last_us: self.last_us.min(span.end - 1),
            segment: part,
        })
    }
}
