//! What the benchmarks share: a service as a process of its own, databases, the middle of some times.

pub mod database;
pub mod service;

use std::time::Duration;

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
