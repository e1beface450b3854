//! Answers questions from rollups.
//!
//! ```text
//!  question ──▶ choose: the smallest rollup that has its dimensions and filters, and covers its range
//!                 │
//!                 ▼ one snapshot
//!  read ──▶ segments · facts · events of slots that the range cuts
//!                 │
//!                 ▼ scan: filter, project, add up      ──▶ groups
//!  visitors: how many are in the union of a group's sets ──▶ rows ──▶ texts · order · limit
//! ```
//!
//! - [`choose`] decides whether a rollup can answer, and which.
//! - [`filter`] turns texts of a filter into numbers, by way of the dictionaries.
//! - [`read`] finds what there is, and keeps parts of segments in memory; they never change.
//! - [`scan`] goes through it.
//! - [`texts`] turns numbers back into texts; [`order`] makes rows of groups.
//! - [`answer`] does all of that.

pub mod answer;
pub mod choose;
pub mod filter;
pub mod order;
pub mod read;
pub mod scan;
pub mod texts;
