//! Segments: what one rollup has of some events of one day. They never change; the compactor replaces
//! several by one.
//!
//! A segment is a list of entries, each one key (the numbers of the rollup's dimensions, and whether a
//! bot sent the event) in one slot of 15 minutes: a [`Cell`] and the set of visitors. It is stored in
//! four parts, so that a question reads only what it needs:
//!
//! | part | has, by key | has, by key and slot |
//! |---|---|---|
//! | `day` | keys, cells, how many visitors | |
//! | `day_visitors` | sets of visitors | |
//! | `slots` | | cells, how many visitors |
//! | `slot_visitors` | | sets of visitors |
//!
//! Bytes ([`super::codec`]). `day`: version · numbers a key · number of keys · a column for each number
//! of the keys · cells · number of visitors. `slots`: version · number of entries · keys' places (delta)
//! · slots · cells · number of visitors. The other two: [`Sets`].

use std::ops::Range;

use super::cell::{Cell, put_cells, read_cells};
use super::codec::{Source, Unreadable, put_column, put_delta_column, put_number};
use super::spec::MAX_DIMENSIONS;
use super::visitors::{SetWriter, Sets, each_visitor};

/// Length of a slot: 15 minutes, in microseconds. Every offset from UTC in use since 2000 is a multiple.
pub const SLOT_US: i64 = 900_000_000;

const VERSION: u8 = 1;

/// Numbers of the dimensions, then 1 for a bot's events, else 0, then zeros.
pub type Key = [u32; MAX_DIMENSIONS + 1];

/// Counts by key and slot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segment {
    /// Numbers that each key has, the bot's included.
    pub width: usize,
    /// In order, each once.
    pub keys: Vec<Key>,
    /// In order of key and slot, each pair once.
    pub entries: Vec<Entry>,
    /// The visitors of every entry, one after the other; those of an entry in order, each once.
    pub visitors: Vec<u32>,
}

/// One key in one slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// Place of the key.
    pub key: u32,
    /// Number of the slot, from the start of the day.
    pub slot: u32,
    /// What was counted.
    pub cell: Cell,
    /// Where its visitors end in those of the segment.
    pub visitors_end: u32,
}

/// The four parts.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named in the module's comment")]
pub struct Parts {
    pub day: Vec<u8>,
    pub day_visitors: Vec<u8>,
    pub slots: Vec<u8>,
    pub slot_visitors: Vec<u8>,
}

/// A read `day`.
#[derive(Debug, Clone)]
pub struct Day {
    /// Numbers a key.
    pub width: usize,
    /// The keys.
    pub keys: Vec<Key>,
    /// What was counted of each.
    pub cells: Vec<Cell>,
    /// How many visitors each has.
    pub visitors: Vec<u32>,
}

/// A read `slots`.
#[derive(Debug, Clone)]
pub struct Slots {
    /// Place of each entry's key.
    pub keys: Vec<u32>,
    /// Slot of each entry.
    pub slots: Vec<u32>,
    /// What was counted of each.
    pub cells: Vec<Cell>,
    /// How many visitors each has.
    pub visitors: Vec<u32>,
}

impl Segment {
    /// How many events are in it.
    pub fn events(&self) -> u64 {
        self.entries.iter().map(|entry| entry.cell.events).sum()
    }

    /// The visitors of the entry at `place`.
    pub fn visitors_of(&self, place: usize) -> &[u32] {
        let start = place
            .checked_sub(1)
            .map_or(0, |before| self.entries[before].visitors_end);
        &self.visitors[start as usize..self.entries[place].visitors_end as usize]
    }

    /// One segment of several of the same rollup and day.
    pub fn merge(segments: &[Self]) -> Self {
        let width = segments.first().map_or(1, |segment| segment.width);
        let mut keys: Vec<Key> = segments
            .iter()
            .flat_map(|segment| segment.keys.iter().copied())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        // (key, slot) → where its entries are.
        let count = segments.iter().map(|segment| segment.entries.len()).sum();
        let mut order: Vec<(u64, u32, u32)> = Vec::with_capacity(count);
        for (number, segment) in segments.iter().enumerate() {
            let mut place_of_key = Vec::with_capacity(segment.keys.len());
            let mut from = 0;
            for key in &segment.keys {
                // Both are in order, so what comes next lies behind.
                from += keys[from..].partition_point(|other| other < key);
                place_of_key.push(from as u64);
            }
            for (place, entry) in segment.entries.iter().enumerate() {
                let key = place_of_key[entry.key as usize];
                order.push((
                    key << 32 | u64::from(entry.slot),
                    number as u32,
                    place as u32,
                ));
            }
        }
        order.sort_unstable();

        let mut merged = Self {
            width,
            keys,
            ..Self::default()
        };
        let mut scratch = Vec::new();
        for group in order.chunk_by(|one, other| one.0 == other.0) {
            let mut cell = Cell::default();
            scratch.clear();
            for (_, number, place) in group {
                let segment = &segments[*number as usize];
                cell.add(&segment.entries[*place as usize].cell);
                scratch.extend_from_slice(segment.visitors_of(*place as usize));
            }
            if group.len() > 1 {
                scratch.sort_unstable();
                scratch.dedup();
            }
            merged.visitors.extend_from_slice(&scratch);
            merged.entries.push(Entry {
                key: (group[0].0 >> 32) as u32,
                slot: group[0].0 as u32,
                cell,
                visitors_end: merged.visitors.len() as u32,
            });
        }
        merged
    }

    /// The entries of some slots, counted from a slot that comes `shift` later; `None` if there are none.
    pub fn part(&self, slots: Range<u32>, shift: i64) -> Option<Self> {
        let mut part = Self {
            width: self.width,
            ..Self::default()
        };
        let mut last_key = None;
        for (place, entry) in self.entries.iter().enumerate() {
            if !slots.contains(&entry.slot) {
                continue;
            }
            if last_key != Some(entry.key) {
                last_key = Some(entry.key);
                part.keys.push(self.keys[entry.key as usize]);
            }
            part.visitors.extend_from_slice(self.visitors_of(place));
            part.entries.push(Entry {
                key: part.keys.len() as u32 - 1,
                slot: (i64::from(entry.slot) - shift) as u32,
                cell: entry.cell,
                visitors_end: part.visitors.len() as u32,
            });
        }
        (!part.entries.is_empty()).then_some(part)
    }

    /// As bytes.
    pub fn encode(&self) -> Parts {
        let mut day_cells = vec![Cell::default(); self.keys.len()];
        let mut day_counts = vec![0_u32; self.keys.len()];
        let mut day_sets = SetWriter::default();
        let mut slot_sets = SetWriter::default();
        let mut slot_counts = Vec::with_capacity(self.entries.len());
        let mut scratch = Vec::new();
        let mut place = 0;
        for group in self.entries.chunk_by(|one, other| one.key == other.key) {
            scratch.clear();
            let key = group[0].key as usize;
            for entry in group {
                day_cells[key].add(&entry.cell);
                let visitors = self.visitors_of(place);
                slot_sets.push(visitors);
                slot_counts.push(visitors.len() as u32);
                scratch.extend_from_slice(visitors);
                place += 1;
            }
            scratch.sort_unstable();
            scratch.dedup();
            day_sets.push(&scratch);
            day_counts[key] = scratch.len() as u32;
        }

        let mut day = vec![VERSION];
        put_number(&mut day, self.width as u64);
        put_number(&mut day, self.keys.len() as u64);
        for number in 0..self.width {
            match number {
                0 => put_delta_column(&mut day, self.keys.iter().map(|key| i64::from(key[0]))),
                _ => put_column(&mut day, self.keys.iter().map(|key| u64::from(key[number]))),
            }
        }
        put_cells(&mut day, &day_cells);
        put_column(&mut day, day_counts.iter().map(|count| u64::from(*count)));

        let mut slots = vec![VERSION];
        put_number(&mut slots, self.entries.len() as u64);
        let entries = || self.entries.iter();
        put_delta_column(&mut slots, entries().map(|entry| i64::from(entry.key)));
        put_column(&mut slots, entries().map(|entry| u64::from(entry.slot)));
        let cells: Vec<Cell> = entries().map(|entry| entry.cell).collect();
        put_cells(&mut slots, &cells);
        put_column(
            &mut slots,
            slot_counts.iter().map(|count| u64::from(*count)),
        );

        Parts {
            day,
            day_visitors: day_sets.finish(),
            slots,
            slot_visitors: slot_sets.finish(),
        }
    }

    /// From bytes: the parts `day`, `slots` and `slot_visitors` have everything.
    pub fn decode(day: &[u8], slots: &[u8], slot_visitors: &[u8]) -> Result<Self, Unreadable> {
        let day = Day::read(day)?;
        let slots = Slots::read(slots)?;
        let sets = Sets::read(slot_visitors)?;
        if sets.len() != slots.keys.len() {
            return Err(Unreadable("parts that do not belong together"));
        }
        let mut segment = Self {
            width: day.width,
            keys: day.keys,
            entries: Vec::with_capacity(slots.keys.len()),
            visitors: Vec::new(),
        };
        for (place, cell) in slots.cells.iter().enumerate() {
            each_visitor(sets.of(place), |visitor| segment.visitors.push(visitor))?;
            segment.entries.push(Entry {
                key: slots.keys[place],
                slot: slots.slots[place],
                cell: *cell,
                visitors_end: segment.visitors.len() as u32,
            });
        }
        Ok(segment)
    }
}

impl Day {
    /// From bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut source = Source::new(bytes);
        if source.byte()? != VERSION {
            return Err(Unreadable("a segment of another version"));
        }
        let width = source.count()?;
        if !(1..=MAX_DIMENSIONS + 1).contains(&width) {
            return Err(Unreadable("keys of an impossible width"));
        }
        let count = source.count()?;
        let mut keys = vec![Key::default(); count];
        for number in 0..width {
            let mut column = source.column()?;
            for key in &mut keys {
                key[number] = column.small()?;
            }
        }
        let cells = read_cells(&mut source, count)?;
        let visitors = source.column()?.smalls(count)?;
        Ok(Self {
            width,
            keys,
            cells,
            visitors,
        })
    }
}

impl Slots {
    /// From bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut source = Source::new(bytes);
        if source.byte()? != VERSION {
            return Err(Unreadable("a segment of another version"));
        }
        let count = source.count()?;
        let keys = source.column()?.smalls(count)?;
        let slots = source.column()?.smalls(count)?;
        let cells = read_cells(&mut source, count)?;
        let visitors = source.column()?.smalls(count)?;
        Ok(Self {
            keys,
            slots,
            cells,
            visitors,
        })
    }
}
