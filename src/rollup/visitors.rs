//! Sets of visitors: as bytes, and their union.
//!
//! A few visitors are a list of differences, many a roaring bitmap in its portable format. Bytes: a
//! number, the lowest bit of which says what follows: 0, so many visitors, each the difference to the
//! one before; 1, a bitmap of so many bytes.

use roaring::RoaringBitmap;

use super::codec::{Source, Unreadable, put_column, put_number};

/// Sets larger than this are bitmaps.
const MAX_LIST: usize = 32;

/// Adds a set: numbers in order, each once.
pub fn put_set(out: &mut Vec<u8>, visitors: &[u32]) {
    if visitors.len() > MAX_LIST {
        let bitmap: RoaringBitmap = visitors.iter().copied().collect();
        put_number(out, (bitmap.serialized_size() as u64) << 1 | 1);
        if let Err(error) = bitmap.serialize_into(out) {
            unreachable!("a vector takes anything: {error}");
        }
        return;
    }
    put_number(out, (visitors.len() as u64) << 1);
    let mut last = 0;
    for visitor in visitors {
        put_number(out, u64::from(visitor - last));
        last = *visitor;
    }
}

/// Calls `take` with every visitor of a set.
pub fn each_visitor(bytes: &[u8], mut take: impl FnMut(u32)) -> Result<(), Unreadable> {
    let mut source = Source::new(bytes);
    let head = source.number()?;
    if head & 1 == 1 {
        read_bitmap(source.rest())?.iter().for_each(take);
        return Ok(());
    }
    let mut last = 0_u32;
    for _ in 0..head >> 1 {
        last = last.wrapping_add(source.small()?);
        take(last);
    }
    Ok(())
}

fn read_bitmap(bytes: &[u8]) -> Result<RoaringBitmap, Unreadable> {
    RoaringBitmap::deserialize_from(bytes)
        .map_err(|_| Unreadable("a bitmap that is not in the portable format"))
}

/// Many sets, one after the other, each found by its place. Bytes: a column with the length of each,
/// and the sets.
#[derive(Debug, Clone)]
pub struct Sets<'a> {
    /// Where each set ends.
    ends: Vec<u32>,
    bytes: &'a [u8],
}

/// Collects sets.
#[derive(Debug, Default)]
pub struct SetWriter {
    lengths: Vec<u32>,
    bytes: Vec<u8>,
}

impl SetWriter {
    /// Adds the next set: numbers in order, each once.
    pub fn push(&mut self, visitors: &[u32]) {
        let before = self.bytes.len();
        put_set(&mut self.bytes, visitors);
        self.lengths.push((self.bytes.len() - before) as u32);
    }

    /// All of them as bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + self.lengths.len() + 16);
        put_number(&mut out, self.lengths.len() as u64);
        put_column(
            &mut out,
            self.lengths.iter().map(|length| u64::from(*length)),
        );
        out.extend_from_slice(&self.bytes);
        out
    }
}

impl<'a> Sets<'a> {
    /// The sets in these bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let mut source = Source::new(bytes);
        let count = source.count()?;
        let mut ends = source.column()?.smalls(count)?;
        let mut end = 0_u32;
        for length in &mut ends {
            end = end
                .checked_add(*length)
                .ok_or(Unreadable("sets that are too long"))?;
            *length = end;
        }
        match end as usize == source.rest().len() {
            true => Ok(Self {
                ends,
                bytes: source.rest(),
            }),
            false => Err(Unreadable("sets that do not end where they should")),
        }
    }

    /// The bytes of the set at `place`.
    pub fn of(&self, place: usize) -> &'a [u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[place] as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Counts different visitors: numbers are nearly dense, so a bit each is the fastest set there is. Kept
/// from group to group, for its memory.
#[derive(Debug, Default)]
pub struct Union {
    words: Vec<u64>,
    count: u64,
}

impl Union {
    /// Adds a visitor.
    #[inline]
    pub fn add(&mut self, visitor: u32) {
        let (place, bit) = ((visitor >> 6) as usize, visitor & 63);
        if place >= self.words.len() {
            self.words.resize(place + 1, 0);
        }
        let word = &mut self.words[place];
        self.count += 1 - (*word >> bit & 1);
        *word |= 1 << bit;
    }

    /// Adds a set.
    pub fn add_set(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let mut source = Source::new(bytes);
        if source.number()? & 1 == 1 {
            return self.add_bitmap(source.rest());
        }
        each_visitor(bytes, |visitor| self.add(visitor))
    }

    /// Reads the portable format as it lies there, which spares making a bitmap of it first. Source: the
    /// RoaringFormatSpec. The form with runs is not written here; the library reads it.
    fn add_bitmap(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        const COOKIE_WITHOUT_RUNS: u32 = 12_346;
        const MAX_ARRAY: usize = 4_096;
        const BITMAP_BYTES: usize = 8_192;
        let mut source = Source::new(bytes);
        let mut word = || -> Result<u32, Unreadable> {
            let bytes = source.bytes(4)?;
            Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        if word()? != COOKIE_WITHOUT_RUNS {
            read_bitmap(bytes)?
                .iter()
                .for_each(|visitor| self.add(visitor));
            return Ok(());
        }
        let containers = word()? as usize;
        let headers = source.bytes(containers.saturating_mul(4))?;
        let _offsets = source.bytes(containers.saturating_mul(4))?;
        for header in headers.chunks_exact(4) {
            let high = u32::from(u16::from_le_bytes([header[0], header[1]])) << 16;
            let cardinality = usize::from(u16::from_le_bytes([header[2], header[3]])) + 1;
            if cardinality <= MAX_ARRAY {
                let last = ((high | 0xffff) >> 6) as usize;
                if last >= self.words.len() {
                    self.words.resize(last + 1, 0);
                }
                let words = &mut self.words[(high >> 6) as usize..=last];
                let mut added = 0;
                for low in source.bytes(cardinality * 2)?.chunks_exact(2) {
                    let low = u16::from_le_bytes([low[0], low[1]]);
                    let (place, bit) = (usize::from(low >> 6), low & 63);
                    let word = &mut words[place];
                    added += 1 - (*word >> bit & 1);
                    *word |= 1 << bit;
                }
                self.count += added;
            } else {
                let first = (high >> 6) as usize;
                let last = first + BITMAP_BYTES / 8;
                if last > self.words.len() {
                    self.words.resize(last, 0);
                }
                let container = source.bytes(BITMAP_BYTES)?;
                for (word, bytes) in self.words[first..last]
                    .iter_mut()
                    .zip(container.chunks_exact(8))
                {
                    let mut other = [0; 8];
                    other.copy_from_slice(bytes);
                    let other = u64::from_le_bytes(other);
                    self.count += u64::from((other & !*word).count_ones());
                    *word |= other;
                }
            }
        }
        Ok(())
    }

    /// How many visitors were added since this was asked last, each counted once.
    pub fn take_count(&mut self) -> u64 {
        self.words.fill(0);
        std::mem::take(&mut self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn visitors() -> impl Strategy<Value = BTreeSet<u32>> {
        prop_oneof![
            prop::collection::btree_set(0_u32..200, 0..40),
            prop::collection::btree_set(0_u32..1_000_000, 0..400),
            // Containers that are bitmaps: more than 4,096 of 65,536.
            (0_u32..70_000, 1_u32..3).prop_map(|(start, step)| (start..start + 9_000)
                .filter(|visitor| visitor % step == 0)
                .collect()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sets_come_back_and_their_union_is_counted(
            sets in prop::collection::vec(visitors(), 1..5)
        ) {
            let mut writer = SetWriter::default();
            for set in &sets {
                writer.push(&set.iter().copied().collect::<Vec<_>>());
            }
            let bytes = writer.finish();
            let read = Sets::read(&bytes).unwrap();
            prop_assert_eq!(read.len(), sets.len());
            let mut union = Union::default();
            // Twice, since the memory is used again.
            for _ in 0..2 {
                let mut all: BTreeSet<u32> = BTreeSet::new();
                for (place, set) in sets.iter().enumerate() {
                    let mut found = BTreeSet::new();
                    each_visitor(read.of(place), |visitor| {
                        found.insert(visitor);
                    }).unwrap();
                    prop_assert_eq!(&found, set);
                    union.add_set(read.of(place)).unwrap();
                    all.extend(set);
                }
                prop_assert_eq!(union.take_count(), all.len() as u64);
            }
        }
    }
}
