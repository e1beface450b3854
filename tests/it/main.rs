//! Every test that speaks to a service over the wire, on a real TimescaleDB. One file a behaviour.

mod support;

mod admin;
mod aggregate;
mod answers_equal_sql;
mod bad_input;
mod bad_questions;
mod crash;
mod database_away;
mod dead_letters;
mod dead_letters_lists;
mod drain;
mod embedded_engine;
mod events_lists;
mod freshness;
mod given_up;
mod health_reflection;
mod import_log;
mod ingest_stream;
mod ingest_unary;
mod keys;
mod loadgen;
mod loading;
mod log_faults;
mod metrics_page;
mod overload;
mod pipe;
mod protection;
mod realtime;
mod request_ids;
mod requirements;
mod result_cache;
mod retention;
mod rolling_restart;
mod serve_process;
mod time_zones;
