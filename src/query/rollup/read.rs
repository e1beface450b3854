//! What there is of a rollup: segments, with their parts, and facts.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::error::ApiError;
use crate::query::params::Params;
use crate::query::session::Snapshot;
use crate::rollup::facts::Facts;
use crate::rollup::spec::Column;
use crate::rollup::stored::{self, StoredSegment, timestamp};

/// A part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "as in rollup::segment")]
pub enum Part {
    Day,
    DayVisitors,
    Slots,
    SlotVisitors,
}

impl Part {
    fn column(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::DayVisitors => "day_visitors",
            Self::Slots => "slots",
            Self::SlotVisitors => "slot_visitors",
        }
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<(Uuid, Part), Bytes> for ByBytes {
    fn weight(&self, _key: &(Uuid, Part), bytes: &Bytes) -> u64 {
        // With what the entry itself takes.
        bytes.len() as u64 + 128
    }
}

/// Parts of segments in memory. A segment never changes, so what is in here is never wrong.
#[derive(Debug)]
pub struct PartCache(Option<Cache<(Uuid, Part), Bytes, ByBytes>>);

/// Parts are rarely smaller, so this many have room for their entries.
const USUAL_PART_BYTES: usize = 8 << 10;
/// Segments that are asked for in one statement at most, so that answers come in bounded pieces.
const SEGMENTS_A_STATEMENT: usize = 64;

impl PartCache {
    /// One that holds so many bytes; none if that is 0.
    pub fn new(bytes: usize) -> Self {
        let entries = (bytes / USUAL_PART_BYTES).max(16);
        Self((bytes > 0).then(|| Cache::with_weighter(entries, bytes as u64, ByBytes)))
    }

    /// Parts of segments, in order.
    pub async fn read(
        &self,
        snapshot: &Snapshot<'_>,
        part: Part,
        ids: &[Uuid],
    ) -> Result<Vec<Bytes>, ApiError> {
        let mut found: Vec<Option<Bytes>> = ids
            .iter()
            .map(|id| self.0.as_ref()?.get(&(*id, part)))
            .collect();
        let missing: Vec<Uuid> = ids
            .iter()
            .zip(&found)
            .filter(|(_, bytes)| bytes.is_none())
            .map(|(id, _)| *id)
            .collect();
        if !missing.is_empty() {
            let sql = include_str!("sql/select_part.sql").replace("{part}", part.column());
            let statements = missing.chunks(SEGMENTS_A_STATEMENT).map(|ids| {
                let mut params = Params::default();
                params.bind(ids.to_vec(), Type::UUID_ARRAY);
                let sql = &sql;
                async move { snapshot.query(sql, &params).await }
            });
            let rows = try_join_all(statements).await?;
            let mut read = rows.iter().flatten().map(|row| {
                (
                    row.get::<_, Uuid>(0),
                    Bytes::copy_from_slice(row.get::<_, &[u8]>(1)),
                )
            });
            let mut by_id: HashMap<Uuid, Bytes> = read.by_ref().collect();
            for (id, bytes) in ids.iter().zip(&mut found) {
                if bytes.is_none() {
                    // It is in the snapshot that the list came from.
                    let read = by_id.remove(id).ok_or(ApiError::Internal)?;
                    if let Some(cache) = &self.0 {
                        cache.insert((*id, part), read.clone());
                    }
                    *bytes = Some(read);
                }
            }
        }
        Ok(found.into_iter().flatten().collect())
    }
}

/// What a snapshot has of the rollups of a property in a range of time.
#[derive(Debug)]
pub struct Found {
    /// Since when each rollup has every event.
    pub covered_since_us: HashMap<i32, i64>,
    /// The segments of the rollups that were asked for.
    pub segments: Vec<StoredSegment>,
    /// Facts that no segments were made of yet.
    pub facts: Vec<Facts>,
}

/// Since when each rollup of a property has every event, in microseconds since 1970; not in it: never.
pub async fn coverage(
    snapshot: &Snapshot<'_>,
    property_no: i32,
) -> Result<HashMap<i32, i64>, ApiError> {
    let mut params = Params::default();
    params.bind(property_no, Type::INT4);
    let rows = snapshot.query(stored::COVERAGE_SQL, &params).await?;
    Ok(stored::read_coverage(&rows))
}

/// Looks for segments of some rollups, and for facts with some columns.
pub async fn find(
    snapshot: &Snapshot<'_>,
    property_no: i32,
    rollup_nos: &[i32],
    since_us: i64,
    until_us: i64,
    columns: &[Column],
) -> Result<Found, ApiError> {
    let mut of_segments = Params::default();
    of_segments.bind(property_no, Type::INT4);
    of_segments.bind(rollup_nos.to_vec(), Type::INT4_ARRAY);
    of_segments.bind(timestamp(since_us), Type::TIMESTAMPTZ);
    of_segments.bind(timestamp(until_us), Type::TIMESTAMPTZ);
    let mut of_facts = Params::default();
    of_facts.bind(property_no, Type::INT4);
    of_facts.bind(timestamp(since_us), Type::TIMESTAMPTZ);
    of_facts.bind(timestamp(until_us), Type::TIMESTAMPTZ);
    // Sent together, so that it is one way there and back.
    let (covered, segments, facts) = tokio::try_join!(
        coverage(snapshot, property_no),
        snapshot.query(include_str!("sql/find_segments.sql"), &of_segments),
        snapshot.query(include_str!("sql/find_facts.sql"), &of_facts),
    )?;
    let mut found = Found {
        covered_since_us: covered,
        segments: segments.iter().map(stored::stored).collect(),
        facts: Vec::with_capacity(facts.len()),
    };
    for row in &facts {
        let facts = Facts::decode(row.get(0), |column| columns.contains(column));
        found.facts.push(facts.map_err(unreadable)?);
    }
    Ok(found)
}

/// Rollups that cannot be read: the compactor will build them again; until then nobody is answered from
/// them.
pub fn unreadable(error: crate::rollup::codec::Unreadable) -> ApiError {
    tracing::error!(%error, "rollups cannot be read");
    ApiError::Internal
}
