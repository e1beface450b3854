//! What of the log is loaded: ranges of record numbers, since loaders finish in any order.

use std::collections::BTreeMap;
use std::ops::Range;

/// Loaded ranges. Everything before [`Self::low`] is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    low: u64,
    /// Above `low`: half-open, apart from one another, by their first numbers.
    ranges: BTreeMap<u64, u64>,
}

impl Progress {
    /// Everything before `low` is loaded.
    pub fn new(low: u64) -> Self {
        Self {
            low,
            ranges: BTreeMap::new(),
        }
    }

    /// The first number that is not loaded.
    pub fn low(&self) -> u64 {
        self.low
    }

    /// The number after the last that is loaded.
    pub fn high(&self) -> u64 {
        self.ranges
            .last_key_value()
            .map_or(self.low, |(_, next)| *next)
    }

    /// How many numbers are loaded, those before the log's oldest included.
    pub fn loaded(&self) -> u64 {
        let above: u64 = self.ranges.iter().map(|(first, next)| next - first).sum();
        self.low + above
    }

    /// Adds a range. Those that meet become one.
    pub fn add(&mut self, range: Range<u64>) {
        let (mut first, mut next) = (range.start, range.end);
        let touching: Vec<u64> = self
            .ranges
            .range(..=next)
            .rev()
            .take_while(|(_, end)| **end >= first)
            .map(|(start, _)| *start)
            .collect();
        for start in touching {
            let end = self.ranges.remove(&start).unwrap_or(next);
            first = first.min(start);
            next = next.max(end);
        }
        if first <= self.low {
            self.low = self.low.max(next);
        } else {
            self.ranges.insert(first, next);
        }
    }

    /// Whether all of these are loaded.
    pub fn has(&self, range: &Range<u64>) -> bool {
        self.gap(range.start).start >= range.end
    }

    /// The first range from `position` on that is not loaded; its end is `u64::MAX` if none follows.
    pub fn gap(&self, position: u64) -> Range<u64> {
        let mut start = position.max(self.low);
        if let Some((_, next)) = self.ranges.range(..=start).next_back() {
            start = start.max(*next);
        }
        let end = self.ranges.range(start..).next();
        start..end.map_or(u64::MAX, |(first, _)| *first)
    }
}

impl FromIterator<Range<u64>> for Progress {
    /// What these ranges say; nothing else is loaded.
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut progress = Self::new(0);
        for range in ranges {
            progress.add(range);
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_knows_what_a_set_of_numbers_knows(
            low in 0_u64..5,
            ranges in prop::collection::vec((0_u64..60, 1_u64..9), 0..24),
        ) {
            let mut progress = Progress::new(low);
            let mut loaded: std::collections::BTreeSet<u64> = (0..low).collect();
            for (first, length) in ranges {
                progress.add(first..first + length);
                loaded.extend(first..first + length);
                let lowest = (0..).find(|number| !loaded.contains(number)).unwrap();
                prop_assert_eq!(progress.low(), lowest);
                let highest = loaded.last().map_or(0, |last| last + 1);
                prop_assert_eq!(progress.high(), highest.max(low));
                prop_assert_eq!(progress.loaded(), loaded.len() as u64);
                for (start, end) in [(0, lowest), (first, first + length), (lowest, lowest + 1), (first, first + 9)] {
                    let all = (start..end).all(|number| loaded.contains(&number));
                    prop_assert_eq!(progress.has(&(start..end)), all);
                }
                for position in 0..70 {
                    let gap = progress.gap(position);
                    let start = (position..).find(|number| !loaded.contains(number)).unwrap();
                    let end = loaded.range(start..).next().copied();
                    prop_assert_eq!(gap, start..end.unwrap_or(u64::MAX));
                }
            }
        }
    }
}
