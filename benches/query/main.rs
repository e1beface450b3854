//! `make bench-query`: how fast questions are answered, beside DuckDB and SQL on the raw events.
//!
//! ```text
//! events.rs ─┬─ forms.rs: messages ─▶ service ◀─ calls ─────────┐
//!  (seeded)  │                           │                      │
//!            │                       PostgreSQL ◀─ plain SQL ── questions.rs ─▶ answers.rs: equal?
//!            └─ forms.rs: CSV ───────▶ DuckDB ◀─ DuckDB's SQL ──┘
//! ```
//!
//! All three answer in one run on one machine and take turns, so that the ratios can be trusted more than
//! the times. DuckDB is given what was sent, not what the service made of it.

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod dictionaries;
mod duckdb;
mod events;
mod forms;
mod loading;
mod measuring;
mod options;
mod processor;
mod questions;
mod report;
mod upkeep;

use options::Options;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::from_environment()?;
    std::fs::create_dir_all(&options.dir)?;
    let mut measured = Vec::new();
    for &events in &options.scales {
        let loaded = loading::load(&options, events).await?;
        let answered = measuring::measure(&options, &loaded).await?;
        let sizes = measuring::sizes(&loaded).await?;
        report::print_questions(events, &loaded.note, &answered, &sizes);
        measured.push((events, answered));
    }
    if measured.len() > 1 {
        report::print_growth(&measured);
    }
    if options.upkeep_events > 0 {
        upkeep::run(&options).await?;
    }
    Ok(())
}
