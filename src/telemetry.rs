//! Logging: readable sentences with fields, to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

const DRIVER: &str = "tokio_postgres";

/// Starts logging. A second call changes nothing.
pub fn start(config: &LogConfig) {
    let mut filter = EnvFilter::new(&config.filter);
    if !config.filter.contains(DRIVER) {
        // It repeats the database's notices: "already exists, skipping".
        filter = match format!("{DRIVER}=warn").parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_) => filter,
        };
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            // A call's span is the only one; in the list it would stand twice.
            .with_span_list(false)
            .try_init(),
        LogFormat::Text => builder
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
    };
    // Somebody else's subscriber, in a test, is as good.
    drop(started);
}
