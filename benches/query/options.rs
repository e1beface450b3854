//! What the environment says.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;

/// What to measure.
pub struct Options {
    /// Connection string of the server.
    pub server: String,
    /// Where DuckDB's files, the services' logs and notes about what is loaded are.
    pub dir: PathBuf,
    /// Sizes, in events.
    pub scales: Vec<u64>,
    /// Of the events.
    pub seed: u64,
    /// How often a question is asked, at most.
    pub runs: usize,
    /// Only questions with this in their names.
    pub only: String,
    /// Events to measure upkeep with.
    pub upkeep_events: u64,
}

impl Options {
    /// Reads them.
    pub fn from_environment() -> anyhow::Result<Self> {
        let scales = match text("BENCH_QUERY_SCALES") {
            Some(scales) => scales
                .split(',')
                .map(|scale| parse("BENCH_QUERY_SCALES", scale.trim()))
                .collect::<Result<_, _>>()?,
            None => vec![number("BENCH_QUERY_EVENTS", 10_000_000)?],
        };
        let run_by_make = "is not set: run this with `make bench-query`";
        Ok(Self {
            server: text("DATABASE_URL").with_context(|| format!("DATABASE_URL {run_by_make}"))?,
            dir: text("BENCH_QUERY_FILES")
                .with_context(|| format!("BENCH_QUERY_FILES {run_by_make}"))?
                .into(),
            // "None" is a way to measure upkeep alone.
            scales: scales.into_iter().filter(|scale| *scale > 0).collect(),
            seed: number("BENCH_QUERY_SEED", 1)?,
            runs: number("BENCH_QUERY_RUNS", 7)?,
            only: text("BENCH_QUERY_ONLY").unwrap_or_default(),
            upkeep_events: number("BENCH_QUERY_UPKEEP_EVENTS", 1_000_000)?,
        })
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number<T: FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    text(name).map_or(Ok(default), |value| parse(name, &value))
}

fn parse<T: FromStr>(name: &str, value: &str) -> anyhow::Result<T> {
    let parsed = value.parse().ok();
    parsed.with_context(|| format!("{name}: `{value}` is not a whole number without separators"))
}
