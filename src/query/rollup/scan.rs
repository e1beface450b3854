//! Goes through segments and facts, and adds up what a question asks for, by bucket and dimensions.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;
use rustc_hash::FxHashMap;

use crate::domain::dimension::Dimension;
use crate::rollup::attributes::Attributes;
use crate::rollup::build::{Numbers, extend_keys};
use crate::rollup::cell::Cell;
use crate::rollup::codec::Unreadable;
use crate::rollup::facts::{BOT, Facts};
use crate::rollup::segment::{Day, Key, SLOT_US, Slots};
use crate::rollup::spec::{Spec, source};
use crate::rollup::stored::StoredSegment;
use crate::rollup::visitors::{Sets, Union};

use super::filter::NumberFilter;

/// What is asked, in terms of a rollup.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The rollup.
    pub spec: std::sync::Arc<Spec>,
    /// What to group by.
    pub dimensions: Vec<Dimension>,
    /// Which keys.
    pub filter: Option<NumberFilter>,
    /// Whether bots' events count.
    pub include_bots: bool,
    /// Starts of the buckets, in microseconds since 1970.
    pub starts_us: Vec<i64>,
    /// Whether visitors are asked for.
    pub visitors: bool,
}

/// A row before its numbers have texts.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Place of the bucket.
    pub bucket: u32,
    /// The numbers of the dimensions.
    pub key: Key,
    /// What was counted.
    pub cell: Cell,
}

/// Where a set of visitors of a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Contribution {
    group: u32,
    /// Place of the segment.
    segment: u32,
    /// Place of the set in its part.
    place: u32,
    /// How many visitors are in it.
    count: u32,
}

/// What was added up so far.
#[derive(Debug)]
pub struct Scan {
    asked: Asked,
    /// What is answered: the range, but for what is read from the events.
    core_us: Range<i64>,
    groups: Vec<Group>,
    places: FxHashMap<(u32, Key), u32>,
    contributions: Vec<Contribution>,
    /// Visitors of groups that no set has, by group.
    singles: Vec<(u32, u32)>,
}

/// How a segment is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Whole: all of its events are in one bucket.
    Day {
        /// Place of the bucket.
        bucket: u32,
    },
    /// By its slots.
    Slots,
}

impl Asked {
    fn bucket_of(&self, time_us: i64) -> u32 {
        let after = self.starts_us.partition_point(|start| *start <= time_us);
        after.saturating_sub(1) as u32
    }

    /// How to read a segment, when `core_us` is answered.
    pub fn grain(&self, segment: &StoredSegment, core_us: &Range<i64>) -> Grain {
        let is_inside = segment.first_us >= core_us.start && segment.last_us < core_us.end;
        let bucket = self.bucket_of(segment.first_us);
        match is_inside && bucket == self.bucket_of(segment.last_us) {
            true => Grain::Day { bucket },
            false => Grain::Slots,
        }
    }

    /// The place of a dimension's number in a key of the rollup.
    fn place_in_key(&self, wanted: &Dimension) -> usize {
        let own = &self.spec.dimensions;
        let place = own.iter().position(|dimension| dimension == wanted);
        // What it does not have as a dimension is whether a bot sent the event, which comes last.
        place.unwrap_or(own.len())
    }

    /// For each key of a segment its key of the question; `None` if it is not asked for.
    fn project(&self, keys: &[Key]) -> Vec<Option<Key>> {
        let wanted = self.dimensions.iter();
        let projection: Vec<usize> = wanted.map(|wanted| self.place_in_key(wanted)).collect();
        let bot = self.place_in_key(&Dimension::IsBot);
        let project = |key: &Key| {
            if key[bot] == 1 && !self.include_bots {
                return None;
            }
            if let Some(filter) = &self.filter
                && !filter.holds(&|wanted: &Dimension| key[self.place_in_key(wanted)])
            {
                return None;
            }
            let mut projected = Key::default();
            for (place, from) in projection.iter().enumerate() {
                projected[place] = key[*from];
            }
            Some(projected)
        };
        keys.iter().map(project).collect()
    }
}

impl Scan {
    /// Nothing yet. `core_us` is what segments and facts answer.
    pub fn new(asked: Asked, core_us: Range<i64>) -> Self {
        Self {
            asked,
            core_us,
            groups: Vec::new(),
            places: FxHashMap::default(),
            contributions: Vec::new(),
            singles: Vec::new(),
        }
    }

    /// The groups so far.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn group(&mut self, bucket: u32, key: Key) -> u32 {
        *self.places.entry((bucket, key)).or_insert_with(|| {
            self.groups.push(Group {
                bucket,
                key,
                cell: Cell::default(),
            });
            self.groups.len() as u32 - 1
        })
    }

    /// Adds what a segment has of a group at `place` of its part: a cell, and so many visitors.
    fn add(&mut self, group: u32, cell: &Cell, segment: usize, place: usize, count: u32) {
        self.groups[group as usize].cell.add(cell);
        if self.asked.visitors {
            self.contributions.push(Contribution {
                group,
                segment: segment as u32,
                place: place as u32,
                count,
            });
        }
    }

    /// Adds a segment that lies in one bucket as a whole; `segment` is its place.
    pub fn add_day(&mut self, segment: usize, bucket: u32, day: &Bytes) -> Result<(), Unreadable> {
        let day = Day::read(day)?;
        for (place, key) in self.asked.project(&day.keys).into_iter().enumerate() {
            let Some(key) = key else { continue };
            let group = self.group(bucket, key);
            self.add(
                group,
                &day.cells[place],
                segment,
                place,
                day.visitors[place],
            );
        }
        Ok(())
    }

    /// Adds the slots of a segment that are in the range; `segment` is its place.
    pub fn add_slots(
        &mut self,
        segment: usize,
        stored: &StoredSegment,
        day: &Bytes,
        slots: &Bytes,
    ) -> Result<(), Unreadable> {
        let keys = self.asked.project(&Day::read(day)?.keys);
        let slots = Slots::read(slots)?;
        // The bucket of each slot; `None` if it is not in the range.
        let count = (stored.day.until_us - stored.day.since_us) / SLOT_US;
        // A slot that the range cuts is read whole where all of this segment's events in it are asked for.
        let bucket_of_slot: Vec<Option<u32>> = (0..count)
            .map(|slot| {
                let start_us = stored.day.since_us + slot * SLOT_US;
                let first_us = start_us.max(stored.first_us);
                let last_us = (start_us + SLOT_US - 1).min(stored.last_us);
                let is_inside = first_us >= self.core_us.start && last_us < self.core_us.end;
                (first_us <= last_us && is_inside).then(|| self.asked.bucket_of(first_us))
            })
            .collect();
        let mut last: Option<(u32, u32, u32)> = None;
        for (place, slot) in slots.slots.iter().enumerate() {
            let Some(Some(bucket)) = bucket_of_slot.get(*slot as usize) else {
                continue;
            };
            let key_place = slots.keys[place];
            let Some(Some(key)) = keys.get(key_place as usize) else {
                continue;
            };
            // Slots of one key follow one another.
            let group = match last {
                Some((key, last_bucket, group)) if key == key_place && last_bucket == *bucket => {
                    group
                }
                _ => self.group(*bucket, *key),
            };
            last = Some((key_place, *bucket, group));
            self.add(
                group,
                &slots.cells[place],
                segment,
                place,
                slots.visitors[place],
            );
        }
        Ok(())
    }

    /// Adds those of some facts that are in `span_us`; whether the facts have all columns. If not, the
    /// question has to be answered from the events.
    pub fn add_facts(
        &mut self,
        facts: &Facts,
        attributes: &Attributes,
        span_us: &Range<i64>,
    ) -> bool {
        let of = |dimension: &Dimension| {
            let source = source(dimension)?;
            Numbers::new(&source, facts, attributes).ok()
        };
        let Some(grouped) = self
            .asked
            .dimensions
            .iter()
            .map(of)
            .collect::<Option<Vec<_>>>()
        else {
            return false;
        };
        let mut filtered = std::collections::HashSet::new();
        if let Some(filter) = &self.asked.filter {
            filter.dimensions(&mut filtered);
        }
        let Some(filtered) = filtered
            .iter()
            .map(|dimension| Some((dimension, of(dimension)?)))
            .collect::<Option<Vec<_>>>()
        else {
            return false;
        };
        let mut keys: Vec<Key> = Vec::new();
        for place in 0..facts.len() {
            let time_us = facts.times_us[place];
            let is_bot = facts.flags[place] & BOT != 0;
            if !span_us.contains(&time_us) || (is_bot && !self.asked.include_bots) {
                continue;
            }
            if let Some(filter) = &self.asked.filter {
                let number = |wanted: &Dimension| {
                    let mut found = 0;
                    for (dimension, numbers) in &filtered {
                        if *dimension == wanted {
                            numbers.each(place, |number| found = number);
                        }
                    }
                    found
                };
                if !filter.holds(&number) {
                    continue;
                }
            }
            keys.clear();
            keys.push(Key::default());
            extend_keys(&mut keys, &grouped, place);
            let bucket = self.asked.bucket_of(time_us);
            for key in &keys {
                let group = self.group(bucket, *key);
                self.groups[group as usize].cell.add_event(facts, place);
                if self.asked.visitors {
                    self.singles.push((group, facts.visitors[place]));
                }
            }
        }
        true
    }

    /// The places of the segments whose sets [`Self::visitors`] needs, for groups that have several.
    pub fn needed_sets(&mut self) -> Vec<usize> {
        self.contributions.sort_unstable();
        self.singles.sort_unstable();
        self.singles.dedup();
        let mut needed = BTreeSet::new();
        let mut singles = self.singles.iter().peekable();
        for one_group in self
            .contributions
            .chunk_by(|one, other| one.group == other.group)
        {
            let group = one_group[0].group;
            while singles.next_if(|(other, _)| *other < group).is_some() {}
            let has_singles = singles.peek().is_some_and(|(other, _)| *other == group);
            if one_group.len() > 1 || has_singles {
                needed.extend(one_group.iter().map(|one| one.segment as usize));
            }
        }
        needed.into_iter().collect()
    }

    /// How many visitors each group has. `sets` has the sets of every segment that needs them.
    pub fn visitors(&self, sets: &[Option<Sets<'_>>]) -> Result<Vec<u64>, Unreadable> {
        let mut counts = vec![0; self.groups.len()];
        let mut union = Union::default();
        let mut contributions = self.contributions.as_slice();
        let mut singles = self.singles.as_slice();
        for (group, count) in (0..).zip(&mut counts) {
            let own_sets = take_group(&mut contributions, group, |one| one.group);
            let own_singles = take_group(&mut singles, group, |one| one.0);
            if let ([only], []) = (own_sets, own_singles) {
                *count = u64::from(only.count);
                continue;
            }
            if own_sets.is_empty() {
                // In order, and each once.
                *count = own_singles.len() as u64;
                continue;
            }
            add_to(&mut union, own_sets, own_singles, sets)?;
            *count = union.take_count();
        }
        Ok(counts)
    }

    /// The places of the segments whose sets [`Self::visitors_together`] needs for some groups.
    pub fn needed_sets_of(&self, groups: &[bool]) -> Vec<usize> {
        let own = self.contributions.iter();
        let mut needed: Vec<usize> = own
            .filter(|one| groups[one.group as usize])
            .map(|one| one.segment as usize)
            .collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// How many visitors some groups have together, each counted once.
    pub fn visitors_together(
        &self,
        groups: &[bool],
        sets: &[Option<Sets<'_>>],
    ) -> Result<u64, Unreadable> {
        let mut union = Union::default();
        for one in &self.contributions {
            if groups[one.group as usize] {
                add_to(&mut union, &[*one], &[], sets)?;
            }
        }
        for (group, visitor) in &self.singles {
            if groups[*group as usize] {
                union.add(*visitor);
            }
        }
        Ok(union.take_count())
    }
}

fn take_group<'s, T>(rest: &mut &'s [T], group: u32, group_of: fn(&T) -> u32) -> &'s [T] {
    let count = rest.iter().take_while(|one| group_of(one) == group).count();
    let (own, others) = rest.split_at(count);
    *rest = others;
    own
}

fn add_to(
    union: &mut Union,
    contributions: &[Contribution],
    singles: &[(u32, u32)],
    sets: &[Option<Sets<'_>>],
) -> Result<(), Unreadable> {
    for one in contributions {
        let sets = sets.get(one.segment as usize).and_then(Option::as_ref);
        let sets = sets.ok_or(Unreadable("sets that were not read"))?;
        union.add_set(sets.of(one.place as usize))?;
    }
    for (_, visitor) in singles {
        union.add(*visitor);
    }
    Ok(())
}

/// The starts of buckets as the scan takes them.
pub fn starts_us(starts: &[Timestamp]) -> Vec<i64> {
    starts.iter().map(|start| start.as_microsecond()).collect()
}
