//! Tallymark: event analytics over gRPC on PostgreSQL and TimescaleDB.
//!
//! ```text
//!  RPC → auth → validate → enrich → log (fsync) ──acknowledged──▶ caller
//!                                    │
//!                                    ▼ loaders: one transaction per batch
//!                dictionaries → position → COPY events (on conflict: merge)
//!  RPC ◀ answer ◀ query ◀────────────────── TimescaleDB
//! ```
//!
//! The modules, in the order of the flow. What may use what: rpc → validate, enrich, log, query, store;
//! validate → enrich; load → enrich, log, store; query → store. [`domain`] knows no protobuf and no
//! SQL, and only [`app`] knows rpc.

pub mod app;
pub mod backoff;
pub mod config;
pub mod lifecycle;
pub mod metrics;
pub mod open_files;
pub mod retention;
pub mod telemetry;

pub mod domain;
pub mod error;
pub mod pb;

pub mod enrich;
pub mod load;
pub mod log;
pub mod query;
pub mod rollup;
pub mod rpc;
pub mod store;
pub mod validate;

pub mod cli;
