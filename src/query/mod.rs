//! Answers questions.
//!
//! ```text
//!  question ──▶ scan ──▶ aggregate.sql ──▶ rows ──▶ gaps ──▶ answer
//!               which events, as SQL       ├─ totals.sql
//!                                          └─ others.sql: what the limit left out
//! ```
//!
//! - [`engine`] chooses where an answer comes from: raw events, or rollups.
//! - [`columns`] says where each dimension is stored and how its text is had.
//! - [`filter_sql`] turns a filter into a condition on ids: text is looked up in the dictionaries first.
//! - [`aggregate`] asks an Aggregate question of the raw events.
//! - [`gaps`] adds the rows without events and puts them in their place.
//! - [`reports`] are made of several questions.
//! - [`events`] lists and finds single events.
//! - [`cache`] lets those who ask the same share an answer, and keeps it while the data stays as it is.
//! - [`raw_scans`] lets the questions that read raw events take turns.
//! - [`realtime`] says what happens now, once or again and again.
//! - [`session`] runs a question's statements on one snapshot, within its time limit.

pub mod aggregate;
pub mod answer;
pub mod cache;
pub mod columns;
pub mod engine;
pub mod events;
pub mod filter_sql;
pub mod gaps;
pub mod params;
pub mod raw_scans;
pub mod realtime;
pub mod reports;
pub mod rollup;
pub mod session;
