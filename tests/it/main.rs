//! Every test that speaks to a service over the wire, on a real TimescaleDB. One file a behaviour.

mod support;

mod aggregate;
mod answers_equal_sql;
mod bad_input;
mod bad_questions;
mod ingest_stream;
mod ingest_unary;
mod time_zones;
