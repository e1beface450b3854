//! Facts → segment: groups the events of one day by the key of a rollup and by slot.

use rustc_hash::FxHashMap;

use super::attributes::Attributes;
use super::cell::Cell;
use super::facts::{BOT, Facts, Values};
use super::segment::{Entry, Key, SLOT_US, Segment};
use super::spec::{Source, Spec, source};

/// Facts lack a column that is needed: whoever wrote them did not know yet that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingColumn;

/// The numbers of a dimension in facts.
#[derive(Debug)]
pub enum Numbers<'a> {
    /// One or several an event.
    Plain(&'a Values),
    /// One an event, by way of another.
    Derived {
        /// The column that it is derived from.
        from: &'a Values,
        /// What it is for each number of that column.
        attributes: &'a FxHashMap<u32, Box<[u32]>>,
        /// Which of the derived ones.
        place: usize,
    },
    /// 1 for a bot's events, else 0.
    IsBot(&'a [u8]),
}

impl<'a> Numbers<'a> {
    /// The numbers of what `source` says.
    pub fn new(
        source: &Source,
        facts: &'a Facts,
        attributes: &'a Attributes,
    ) -> Result<Self, MissingColumn> {
        Ok(match source {
            Source::Number(column) => Self::Plain(facts.column(column).ok_or(MissingColumn)?),
            Source::Derived(kind, place) => Self::Derived {
                from: facts
                    .column(&super::spec::Column::Text(*kind))
                    .ok_or(MissingColumn)?,
                attributes: attributes.of(*kind),
                place: *place,
            },
            Source::IsBot => Self::IsBot(&facts.flags),
        })
    }

    /// Calls `take` with each number of the event at `place`.
    #[inline]
    pub fn each(&self, place: usize, mut take: impl FnMut(u32)) {
        match self {
            Self::Plain(values) => values.of(place).iter().copied().for_each(take),
            Self::Derived {
                from,
                attributes,
                place: which,
            } => {
                let number = from.of(place)[0];
                let derived = attributes.get(&number);
                take(derived.map_or(0, |derived| derived[*which]));
            }
            Self::IsBot(flags) => take(u32::from(flags[place] & BOT != 0)),
        }
    }
}

/// Fills in the numbers of the event at `place`, the first of each key those of the first of `numbers`. Every
/// value of a list makes keys of its own.
pub fn extend_keys(keys: &mut Vec<Key>, numbers: &[Numbers<'_>], place: usize) {
    for (column, numbers) in numbers.iter().enumerate() {
        let before = keys.len();
        let mut times = 0;
        numbers.each(place, |number| {
            if times > 0 {
                keys.extend_from_within(..before);
            }
            for key in &mut keys[times * before..(times + 1) * before] {
                key[column] = number;
            }
            times += 1;
        });
    }
}

/// The segment of a rollup over facts that lie in the day that begins at `since_us`. `attributes` must
/// know what the facts need.
pub fn build(
    spec: &Spec,
    facts: &Facts,
    attributes: &Attributes,
    since_us: i64,
) -> Result<Segment, MissingColumn> {
    let numbers: Vec<Numbers<'_>> = spec
        .dimensions
        .iter()
        .filter_map(source)
        .map(|source| Numbers::new(&source, facts, attributes))
        .collect::<Result<_, _>>()?;

    // Keys as they are met, and for each event which it has.
    let mut places: FxHashMap<Key, u32> = FxHashMap::default();
    let mut met: Vec<Key> = Vec::new();
    // Key (as met), slot, event.
    let mut order: Vec<(u32, u32, u32)> = Vec::with_capacity(facts.len());
    let mut keys: Vec<Key> = Vec::new();
    for event in 0..facts.len() {
        let mut first = Key::default();
        first[spec.dimensions.len()] = u32::from(facts.flags[event] & BOT != 0);
        keys.clear();
        keys.push(first);
        extend_keys(&mut keys, &numbers, event);
        let slot = ((facts.times_us[event] - since_us) / SLOT_US) as u32;
        for key in &keys {
            let place = *places.entry(*key).or_insert_with(|| {
                met.push(*key);
                met.len() as u32 - 1
            });
            order.push((place, slot, event as u32));
        }
    }

    // From the order in which keys were met to their own.
    let mut sorted: Vec<(Key, u32)> = met.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    let mut rank = vec![0_u32; sorted.len()];
    for (place, (_, as_met)) in sorted.iter().enumerate() {
        rank[*as_met as usize] = place as u32;
    }
    for (place, _, _) in &mut order {
        *place = rank[*place as usize];
    }
    order.sort_unstable();

    let mut segment = Segment {
        width: spec.dimensions.len() + 1,
        keys: sorted.into_iter().map(|(key, _)| key).collect(),
        ..Segment::default()
    };
    let mut scratch = Vec::new();
    for group in order.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
        let mut cell = Cell::default();
        scratch.clear();
        for (_, _, event) in group {
            cell.add_event(facts, *event as usize);
            scratch.push(facts.visitors[*event as usize]);
        }
        scratch.sort_unstable();
        scratch.dedup();
        segment.visitors.extend_from_slice(&scratch);
        segment.entries.push(Entry {
            key: group[0].0,
            slot: group[0].1,
            cell,
            visitors_end: segment.visitors.len() as u32,
        });
    }
    Ok(segment)
}
