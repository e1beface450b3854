//! Every test that speaks to a service over the wire, on a real TimescaleDB. One file a behaviour.

mod support;

mod aggregate;
mod answers_equal_sql;
mod bad_input;
mod bad_questions;
mod embedded_engine;
mod import_log;
mod ingest_stream;
mod ingest_unary;
mod requirements;
mod retention;
mod serve_process;
mod time_zones;
