//! Rollups: what is counted ahead of the questions, exactly and never behind the events.
//!
//! ```text
//!  loader ──▶ collect ──▶ facts ─────────────── in the transaction that stores the events
//!                           │ compact: one worker, a property at a time
//!                           ▼
//!              build: by key and slot ──▶ segments ──▶ merge ──▶ fewer, larger segments
//!                           ▲
//!  events ──▶ raw ──▶ backfill: days that a rollup does not have yet, the newest first
//! ```
//!
//! - [`spec`] says which rollups there are: a list of dimensions each.
//! - [`facts`] are the events of a batch as columns of numbers; [`collect`] makes them of a batch,
//!   [`raw`] of stored events.
//! - [`segment`] is what a rollup has of some events of a day: counts, sums ([`cell`]) and exact sets
//!   of visitors ([`visitors`]) by key, at 15 minutes and at the day. [`build`] makes one of facts.
//! - [`verify`] compares rollups with the events.
//! - [`compact`] is the worker; [`stored`] is what it stores.
//! - [`attributes`] knows browser, system and so on of the numbers that events have.
//!
//! Every event that a snapshot of the database sees in `events` is, in the same snapshot, in exactly one
//! row of facts or one segment of each rollup that covers its time. So a question that reads both has
//! every event once, whatever the compactor does meanwhile.

pub mod attributes;
mod backfill;
pub mod build;
pub mod cell;
pub mod codec;
pub mod collect;
pub mod compact;
pub mod describe;
pub mod facts;
mod lock;
pub mod property_text;
pub mod raw;
pub mod segment;
pub mod spec;
pub mod stored;
mod trim;
pub mod verify;
pub mod visitors;
mod zone;
