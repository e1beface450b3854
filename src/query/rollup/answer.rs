//! An answer from a rollup.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashSet;
use uuid::Uuid;

use crate::domain::dimension::Dimension;
use crate::domain::metric::Metric;
use crate::domain::question::{Aggregate, MAX_ROWS, RowKey};
use crate::error::ApiError;
use crate::query::answer::{Answer, AnswerRow, Plan};
use crate::query::gaps;
use crate::query::session::Snapshot;
use crate::rollup::attributes::AttributeStore;
use crate::rollup::cell::Cell;
use crate::rollup::facts::Facts;
use crate::rollup::raw;
use crate::rollup::segment::SLOT_US;
use crate::rollup::spec::{Column, Rollups, Spec, columns};
use crate::rollup::stored::StoredSegment;
use crate::rollup::visitors::Sets;

use super::choose;
use super::filter;
use super::order::{TextsOfNumbers, in_order, metrics};
use super::read::{Found, Part, PartCache, find, unreadable};
use super::scan::{Asked, Grain, Scan, starts_us};
use super::texts::Texts;

/// Answers from rollups.
#[derive(Debug)]
pub struct RollupReader {
    attributes: Arc<AttributeStore>,
    parts: PartCache,
    texts: Texts,
}

/// What came of it.
pub enum Attempt {
    /// An answer.
    Answered(Answer),
    /// No rollup can answer: why.
    NotCovered(&'static str),
}

const NOT_BUILT: &str = "the rollups that have its dimensions do not reach back so far yet";
const LACKS_COLUMN: &str = "events of the last moments lack a number that the rollup needs";

impl RollupReader {
    /// Keeps parts of segments in memory, at most so many bytes.
    pub fn new(attributes: Arc<AttributeStore>, cache_bytes: usize) -> Self {
        Self {
            attributes,
            parts: PartCache::new(cache_bytes),
            texts: Texts::default(),
        }
    }

    /// Answers a question, if a rollup can.
    pub async fn answer(
        &self,
        snapshot: &Snapshot<'_>,
        question: &Aggregate,
        rollups: &Rollups,
    ) -> Result<Attempt, ApiError> {
        let candidates = match choose::candidates(question, rollups) {
            Ok(candidates) => candidates,
            Err(reason) => return Ok(Attempt::NotCovered(reason)),
        };
        let range = question.selection.range;
        let (since_us, until_us) = (
            range.since.as_microsecond(),
            range.until_exclusive.as_microsecond(),
        );
        let filter = match &question.selection.filter {
            Some(filter) => Some(filter::resolve(snapshot, filter).await?),
            None => None,
        };
        let mut wanted: Vec<Dimension> = question.dimensions.clone();
        if let Some(filter) = &filter {
            let mut filtered = HashSet::new();
            filter.dimensions(&mut filtered);
            wanted.extend(filtered);
        }
        let columns = columns([&Spec {
            rollup_no: 0,
            name: String::new(),
            dimensions: wanted,
        }]);
        let rollup_nos: Vec<i32> = candidates.iter().map(|spec| spec.rollup_no).collect();
        let mut found = find(
            snapshot,
            question.selection.property_no,
            &rollup_nos,
            since_us,
            until_us,
            &columns,
        )
        .await?;
        let covers = |spec: &&Arc<Spec>| {
            let covered = found.covered_since_us.get(&spec.rollup_no);
            covered.is_some_and(|covered_since_us| *covered_since_us <= since_us)
        };
        let Some(spec) = candidates.iter().find(covers).cloned() else {
            return Ok(Attempt::NotCovered(NOT_BUILT));
        };
        found
            .segments
            .retain(|segment| segment.rollup_no == spec.rollup_no);

        let edges = Edges::of(since_us..until_us, &found);
        let Some(core_us) = edges.core_us.clone() else {
            return Ok(Attempt::NotCovered("the range is within 15 minutes"));
        };
        let asked = Asked {
            spec: Arc::clone(&spec),
            dimensions: question.dimensions.clone(),
            filter,
            include_bots: question.selection.include_bots,
            starts_us: starts_us(question.buckets.starts()),
            visitors: question.metrics.contains(&Metric::Visitors),
        };
        let mut edge_facts = Vec::new();
        for edge_us in &edges.raw_us {
            let facts = self
                .events(snapshot, question, edge_us.clone(), &columns)
                .await?;
            edge_facts.push((edge_us.clone(), facts));
        }
        let all_facts = found
            .facts
            .iter()
            .chain(edge_facts.iter().map(|(_, facts)| facts));
        let attributes = self.attributes.of_facts(all_facts).await?;

        let grains: Vec<Grain> = found
            .segments
            .iter()
            .map(|segment| asked.grain(segment, &core_us))
            .collect();
        let days = self
            .read(snapshot, Part::Day, &found.segments, |_| true)
            .await?;
        let slots = self
            .read(snapshot, Part::Slots, &found.segments, |place| {
                grains[place] == Grain::Slots
            })
            .await?;
        let plan = plan(&spec, &found, &grains, &edges);
        let Found {
            segments, facts, ..
        } = found;
        let segments: Arc<[StoredSegment]> = segments.into();
        let scanned = {
            let (segments, grains) = (Arc::clone(&segments), grains.clone());
            off_thread(move || {
                let mut scan = Scan::new(asked, core_us.clone());
                for (place, segment) in segments.iter().enumerate() {
                    let day = days[place].as_ref().ok_or(UNREAD)?;
                    match grains[place] {
                        Grain::Day { bucket } => scan.add_day(place, bucket, day)?,
                        Grain::Slots => {
                            let slots = slots[place].as_ref().ok_or(UNREAD)?;
                            scan.add_slots(place, segment, day, slots)?;
                        }
                    }
                }
                let mut has_columns = true;
                for facts in &facts {
                    has_columns &= scan.add_facts(facts, &attributes, &core_us);
                }
                for (span_us, facts) in &edge_facts {
                    has_columns &= scan.add_facts(facts, &attributes, span_us);
                }
                Ok((scan, has_columns))
            })
            .await?
        };
        let (mut scan, has_columns) = scanned.map_err(unreadable)?;
        if !has_columns {
            return Ok(Attempt::NotCovered(LACKS_COLUMN));
        }

        let mut visitors = vec![0; scan.groups().len()];
        let wants_visitors = question.metrics.contains(&Metric::Visitors);
        if wants_visitors {
            let needed = scan.needed_sets();
            let sets = self
                .read_sets(snapshot, &segments, &grains, &needed)
                .await?;
            (scan, visitors) = off_thread(move || {
                let counted = scan.visitors(&read_sets(&sets)?)?;
                Ok((scan, counted))
            })
            .await?
            .map_err(unreadable)?;
        }
        let row_count = scan.groups().len() as u64;
        if row_count > MAX_ROWS as u64 && question.fill_gaps {
            return Err(gaps::too_large(row_count));
        }
        let texts = self.texts(snapshot, question, &scan).await?;
        let (scan, ordered) = {
            let question = question.clone();
            off_thread(move || {
                let ordered = in_order(&question, scan.groups(), &visitors, &texts);
                (scan, ordered)
            })
            .await?
        };
        let mut left_out = ordered.left_out;
        let mut answer = Answer {
            rows: ordered.rows,
            row_count,
            totals: None,
            others: None,
            plan,
        };
        if question.fill_gaps {
            let keys: Vec<RowKey> = match question.others {
                true => answer.rows.iter().map(AnswerRow::key).collect(),
                false => Vec::new(),
            };
            gaps::fill(&mut answer, question)?;
            // Rows without events count to the limit, so it is known only now what is over it.
            let kept: HashSet<RowKey> = answer.rows.iter().map(AnswerRow::key).collect();
            let places = keys.iter().zip(ordered.places);
            left_out.extend(
                places
                    .filter(|(key, _)| !kept.contains(*key))
                    .map(|(_, place)| place),
            );
        }
        if question.others && !left_out.is_empty() {
            let mut is_left_out = vec![false; scan.groups().len()];
            let mut cell = Cell::default();
            for place in left_out {
                is_left_out[place] = true;
                cell.add(&scan.groups()[place].cell);
            }
            let mut together = 0;
            if wants_visitors {
                let needed = scan.needed_sets_of(&is_left_out);
                let sets = self
                    .read_sets(snapshot, &segments, &grains, &needed)
                    .await?;
                together =
                    off_thread(move || scan.visitors_together(&is_left_out, &read_sets(&sets)?))
                        .await?
                        .map_err(unreadable)?;
            }
            answer.others = Some(metrics(&question.metrics, &cell, together).collect());
        }
        Ok(Attempt::Answered(answer))
    }

    /// The events of a span of time, as facts.
    async fn events(
        &self,
        snapshot: &Snapshot<'_>,
        question: &Aggregate,
        span_us: Range<i64>,
        columns: &[Column],
    ) -> Result<Facts, ApiError> {
        let property_no = question.selection.property_no;
        let reading = raw::read(snapshot.transaction(), property_no, span_us, columns);
        let rows = snapshot.guarded(reading).await?;
        let facts = raw::facts(&self.attributes, &rows, columns).await;
        facts.map_err(|error| {
            tracing::error!(
                error = crate::error::causes(&error),
                "events cannot be read"
            );
            ApiError::Internal
        })
    }

    /// A part of the segments that need it.
    async fn read(
        &self,
        snapshot: &Snapshot<'_>,
        part: Part,
        segments: &[StoredSegment],
        is_needed: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<Bytes>>, ApiError> {
        let places: Vec<usize> = (0..segments.len())
            .filter(|place| is_needed(*place))
            .collect();
        let ids: Vec<Uuid> = places
            .iter()
            .map(|place| segments[*place].segment_id)
            .collect();
        let mut parts = vec![None; segments.len()];
        if !ids.is_empty() {
            let read = self.parts.read(snapshot, part, &ids).await?;
            for (place, bytes) in places.into_iter().zip(read) {
                parts[place] = Some(bytes);
            }
        }
        Ok(parts)
    }

    /// The sets of some segments, of the grain that each was read at.
    async fn read_sets(
        &self,
        snapshot: &Snapshot<'_>,
        segments: &[StoredSegment],
        grains: &[Grain],
        needed: &[usize],
    ) -> Result<Vec<Option<Bytes>>, ApiError> {
        let is_needed = |place| needed.binary_search(&place).is_ok();
        let of_days = self
            .read(snapshot, Part::DayVisitors, segments, |place| {
                is_needed(place) && grains[place] != Grain::Slots
            })
            .await?;
        let of_slots = self
            .read(snapshot, Part::SlotVisitors, segments, |place| {
                is_needed(place) && grains[place] == Grain::Slots
            })
            .await?;
        let either = of_days.into_iter().zip(of_slots);
        Ok(either.map(|(day, slot)| day.or(slot)).collect())
    }

    /// The texts of the numbers in the groups, by dimension.
    async fn texts(
        &self,
        snapshot: &Snapshot<'_>,
        question: &Aggregate,
        scan: &Scan,
    ) -> Result<Vec<TextsOfNumbers>, ApiError> {
        let mut texts = Vec::with_capacity(question.dimensions.len());
        for (place, dimension) in question.dimensions.iter().enumerate() {
            let numbers: FxHashSet<u32> =
                scan.groups().iter().map(|group| group.key[place]).collect();
            let numbers: Vec<u32> = numbers.into_iter().collect();
            let pool = self.attributes.pool();
            texts.push(self.texts.of(snapshot, pool, dimension, &numbers).await?);
        }
        Ok(texts)
    }
}

const UNREAD: crate::rollup::codec::Unreadable =
    crate::rollup::codec::Unreadable("a part that was not read");

fn read_sets(
    bytes: &[Option<Bytes>],
) -> Result<Vec<Option<Sets<'_>>>, crate::rollup::codec::Unreadable> {
    bytes
        .iter()
        .map(|bytes| bytes.as_ref().map(|bytes| Sets::read(bytes)).transpose())
        .collect()
}

async fn off_thread<T: Send + 'static>(
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(compute).await.map_err(|panic| {
        tracing::error!(%panic, "an answer from rollups could not be computed");
        ApiError::Internal
    })
}

/// What of a range is read from the events, since it cuts slots in which there are others.
struct Edges {
    raw_us: Vec<Range<i64>>,
    /// The rest; `None` if there is none.
    core_us: Option<Range<i64>>,
}

impl Edges {
    fn of(range_us: Range<i64>, found: &Found) -> Self {
        let floor = |us: i64| us.div_euclid(SLOT_US) * SLOT_US;
        let (since_us, until_us) = (range_us.start, range_us.end);
        let (first_slot, last_slot) = (floor(since_us), floor(until_us));
        // A segment with events on both sides of a cut, as far as it says, and some of them in the slot.
        let is_cut = |cut_us: i64, slot_us: i64| {
            cut_us != slot_us
                && found.segments.iter().any(|segment| {
                    segment.first_us < cut_us
                        && segment.last_us >= cut_us
                        && segment.last_us >= slot_us
                        && segment.first_us < slot_us + SLOT_US
                })
        };
        let mut core_us = since_us..until_us;
        let mut raw_us = Vec::new();
        if is_cut(since_us, first_slot) {
            core_us.start = first_slot + SLOT_US;
            raw_us.push(since_us..core_us.start.min(until_us));
        }
        if is_cut(until_us, last_slot) && last_slot >= core_us.start {
            core_us.end = last_slot;
            raw_us.push(last_slot..until_us);
        }
        Self {
            raw_us,
            core_us: (core_us.start < core_us.end).then_some(core_us),
        }
    }
}

fn plan(spec: &Spec, found: &Found, grains: &[Grain], edges: &Edges) -> Plan {
    let days = grains
        .iter()
        .filter(|grain| **grain != Grain::Slots)
        .count();
    let facts: usize = found.facts.iter().map(Facts::len).sum();
    let mut steps = vec![format!(
        "read rollup `{}`: {days} segments by the day, {} by 15 minutes",
        spec.name,
        grains.len() - days
    )];
    if facts > 0 {
        steps.push(format!("added {facts} events of the last moments"));
    }
    for edge_us in &edges.raw_us {
        steps.push(format!(
            "read the events from {} to {}, in 15 minutes that the range cuts",
            crate::rollup::stored::timestamp(edge_us.start),
            crate::rollup::stored::timestamp(edge_us.end)
        ));
    }
    Plan {
        source: format!("rollup {}", spec.name),
        steps,
    }
}
