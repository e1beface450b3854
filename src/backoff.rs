//! How long to wait before trying again.

use std::time::Duration;

/// The wait after attempt number `attempt` (from 1): `first`, doubled after every further one up to
/// `max`, of which a random part of at most half is left out. Never below half, or it would not back
/// off; never all alike, or those who wait come in step.
pub fn jittered(attempt: u32, first: Duration, max: Duration) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let whole = first.saturating_mul(1 << doublings).min(max);
    whole.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_bound_and_keeps_at_least_half() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(1));
        for (attempt, whole_ms) in [(1, 100), (2, 200), (4, 800), (5, 1_000), (u32::MAX, 1_000)] {
            let whole = Duration::from_millis(whole_ms);
            let wait = jittered(attempt, first, max);
            assert!((whole / 2..=whole).contains(&wait), "{attempt}: {wait:?}");
        }
    }
}
