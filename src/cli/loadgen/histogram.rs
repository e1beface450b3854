//! Percentiles of latencies in constant memory.

use std::time::Duration;

/// Steps of every power of two: a percentile is at most 1/64 too high.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Microseconds up to 2^42, 50 days.
const BUCKETS: usize = ((42 - STEP_BITS as usize) + 1) * STEPS as usize;

/// Counts of latencies by microseconds: exact below 64, then 64 steps for every power of two.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            max: Duration::ZERO,
        }
    }
}

impl Histogram {
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.max = self.max.max(latency);
    }

    /// How many were recorded.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The latency that this share of all, from 0 to 1, does not exceed; `None` of nothing.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(Duration::from_micros(last_of(index)).min(self.max));
            }
        }
        None
    }
}

fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let shift = micros.ilog2() - STEP_BITS;
    let index = u64::from(shift) * STEPS + (micros >> shift);
    (index as usize).min(BUCKETS - 1)
}

/// The longest latency of a bucket, in microseconds.
fn last_of(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    ((index - shift * STEPS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_what_they_say() {
        for index in 0..BUCKETS - 1 {
            let last = last_of(index);
            assert_eq!(bucket(last), index, "{last}");
            assert_eq!(bucket(last + 1), index + 1, "{last}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        let mut histogram = Histogram::default();
        let micros: Vec<u64> = (0..10_000).map(|n| (n * n) % 1_000_003).collect();
        for &latency in &micros {
            histogram.record(Duration::from_micros(latency));
        }
        let mut sorted = micros;
        sorted.sort_unstable();
        for share in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = sorted[(share * 10_000.0) as usize - 1] as f64;
            let found = histogram.quantile(share).expect("some").as_micros() as f64;
            assert!(
                found >= exact && found <= exact * (1.0 + 1.0 / 64.0) + 1.0,
                "{share}: {found} for {exact}"
            );
        }
        assert_eq!(histogram.quantile(1.0), Some(histogram.max()));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
