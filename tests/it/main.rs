//! Every test that speaks to a service over the wire, on a real TimescaleDB. One file a behaviour.

mod support;

mod admin;
mod aggregate;
mod answers_equal_sql;
mod bad_input;
mod bad_questions;
mod drain;
mod events_lists;
mod health_reflection;
mod ingest_stream;
mod ingest_unary;
mod keys;
mod time_zones;
