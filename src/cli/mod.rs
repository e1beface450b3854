//! The command line.
//!
//! ```text
//!  serve · demo ────────▶ app
//!  property · key · rollup ─▶ store      (no server needed)
//!  database exec ───────▶ own engine
//!  import · dead-letters · healthcheck ─▶ connect ──▶ a server, as any other client
//!  loadgen ─────────────▶ connect, and store to verify
//! ```

pub mod connect;
pub mod database;
pub mod dead_letters;
pub mod demo;
pub mod healthcheck;
pub mod import;
pub mod key;
pub mod loadgen;
pub mod property;
pub mod retry;
pub mod rollup;
pub mod serve;
pub mod store;
pub mod table;
pub mod traffic;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::AppError;
use crate::config::{ConfigError, LogConfig};
use crate::error::causes;
use crate::telemetry;

/// Exit code for a bad setting: EX_USAGE of sysexits.h.
const EXIT_CONFIG: u8 = 64;

/// Self-hosted event analytics over gRPC, on PostgreSQL and TimescaleDB.
#[derive(Debug, Parser)]
#[command(name = "tallymark", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM or Ctrl-C.
    Serve(serve::ServeArgs),
    /// Manage keys, directly in the database.
    Key(key::KeyArgs),
    /// Manage properties, directly in the database.
    Property(property::PropertyArgs),
    /// Check pre-aggregates, or build them again, directly in the database.
    Rollup(rollup::RollupArgs),
    /// List, replay and drop events that the database refused, by way of a running server.
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Send the lines of a log file to a running server.
    Import(Box<import::ImportArgs>),
    // Without words here, so that those of its arguments, which say what is measured, are its help.
    Loadgen(Box<loadgen::LoadgenArgs>),
    /// Start a service with a database of its own, send it a made-up day, print answers, and stop.
    Demo(demo::DemoArgs),
    /// Ask a running server whether it serves; exits 0 if so, else 1.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Run a program beside an own PostgreSQL with TimescaleDB.
    Database(database::DatabaseArgs),
}

/// Looks a variable of the environment up.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs the command that the process was started with.
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    match LogConfig::from_variables(&environment) {
        Ok(config) => telemetry::start(&config),
        Err(error) => return report(&error.into()),
    }
    let done = match cli.command {
        Command::Serve(args) => serve::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Key(args) => key::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Property(args) => property::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Rollup(args) => rollup::run(args).await,
        Command::DeadLetters(args) => dead_letters::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Import(args) => import::run(*args).await,
        Command::Loadgen(args) => loadgen::run(*args).await,
        Command::Demo(args) => demo::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Healthcheck(args) => healthcheck::run(args).await,
        Command::Database(args) => database::run(args).await,
    };
    done.unwrap_or_else(|error| report(&error))
}

/// Says on standard error why the command failed, and which exit code that is.
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("tallymark: {}", causes(error.as_ref()));
    let is_bad_setting =
        error.is::<ConfigError>() || error.downcast_ref().is_some_and(AppError::is_bad_setting);
    match is_bad_setting {
        true => ExitCode::from(EXIT_CONFIG),
        false => ExitCode::FAILURE,
    }
}
