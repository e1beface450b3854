//! Randomness that is the same on every machine and in every version.
//!
//! SplitMix64 (Steele, Lea, Flood 2014) and arithmetic that IEEE 754 defines to the bit; generators of
//! libraries may change between versions, logarithms and powers differ between platforms.

use uuid::Uuid;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Random {
    /// A stream of its own for every list of numbers.
    pub fn new(parts: &[u64]) -> Self {
        let state = parts.iter().fold(GOLDEN_GAMMA, |state, part| {
            mix(state.rotate_left(23) ^ mix(part.wrapping_add(GOLDEN_GAMMA)))
        });
        Self(state)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        mix(self.0)
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 to below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// From `first` to `last`, both included.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of the items, all alike.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// A random UUID, version 4.
    pub fn uuid_v4(&mut self) -> Uuid {
        let bits = u128::from(self.next_u64()) << 64 | u128::from(self.next_u64());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

/// The value at `share` (0 to 1) of a distribution given by its quantiles at equal steps.
pub fn quantile(quantiles: &[f64], share: f64) -> f64 {
    let position = share * (quantiles.len() - 1) as f64;
    let index = (position as usize).min(quantiles.len() - 2);
    let (low, high) = (quantiles[index], quantiles[index + 1]);
    low + (high - low) * (position - index as f64)
}

/// Indices drawn by their weights.
#[derive(Debug, Clone)]
pub struct Weighted(Vec<f64>);

impl Weighted {
    /// Of these weights, at least one of them over 0.
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let sums = weights.into_iter().scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self(sums.collect())
    }

    /// Zipf's law: the n-th is drawn in proportion to 1/(n + shift).
    pub fn zipf(items: usize, shift: f64) -> Self {
        Self::new((1..=items).map(|rank| 1.0 / (rank as f64 + shift)))
    }

    /// An index.
    pub fn sample(&self, random: &mut Random) -> usize {
        let total = self.0.last().copied().unwrap_or(0.0);
        let drawn = random.unit() * total;
        let index = self.0.partition_point(|sum| *sum <= drawn);
        index.min(self.0.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_pinned() {
        // SplitMix64's published first outputs for the state 1234567.
        let mut random = Random(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
        assert_ne!(Random::new(&[1, 2]).0, Random::new(&[2, 1]).0);
        assert_ne!(Random::new(&[0]).0, Random::new(&[0, 0]).0);
    }

    #[test]
    fn draws_in_proportion() {
        let mut random = Random::new(&[1]);
        let weights = Weighted::new([1.0, 0.0, 3.0]);
        let mut counts = [0; 3];
        for _ in 0..4000 {
            counts[weights.sample(&mut random)] += 1;
        }
        assert!(
            counts[1] == 0 && (900..1100).contains(&counts[0]),
            "{counts:?}"
        );
        for _ in 0..1000 {
            assert!((3..=5).contains(&random.between(3, 5)));
        }
        assert_eq!(quantile(&[0.0, 10.0, 30.0], 0.0), 0.0);
        assert_eq!(quantile(&[0.0, 10.0, 30.0], 0.75), 20.0);
        assert_eq!(quantile(&[0.0, 10.0, 30.0], 1.0), 30.0);
    }
}
