//! `tallymark database exec`: a program beside an own engine, for tests and benchmarks.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use tokio::process::Command;

use crate::config::{Database, database_from_variables};
use crate::store::embedded::{Engine, EngineOptions};

use super::environment;

/// Run a program beside an own PostgreSQL with TimescaleDB.
#[derive(Debug, Args)]
pub struct DatabaseArgs {
    #[command(subcommand)]
    command: DatabaseCommand,
}

#[derive(Debug, Subcommand)]
enum DatabaseCommand {
    /// Start the database of a data directory, run a program with DATABASE_URL set to it and psql in
    /// its search path, and stop the database when the program ends. Exits with the program's exit code.
    Exec {
        /// Directory of the database [default: TALLYMARK_DATA_DIR, else ./tallymark-data].
        #[arg(long, value_name = "DIRECTORY")]
        data_dir: Option<String>,
        /// Setting of PostgreSQL, `NAME=VALUE`; may be repeated.
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
        settings: Vec<(String, String)>,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, required = true, value_name = "PROGRAM")]
        program: Vec<String>,
    },
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("need NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The search path with the engine's programs first, so that `psql` is the right one.
fn path_with(bin_dir: &Path) -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(bin_dir.to_path_buf()).chain(std::env::split_paths(&path));
    std::env::join_paths(dirs).context("the search path cannot be set")
}

/// Runs `tallymark database`.
pub async fn run(args: DatabaseArgs) -> anyhow::Result<ExitCode> {
    let DatabaseCommand::Exec {
        data_dir,
        settings,
        program,
    } = args.command;
    let without_url = |name: &str| match name {
        "DATABASE_URL" => None,
        "TALLYMARK_DATA_DIR" => data_dir.clone().or_else(|| environment(name)),
        _ => environment(name),
    };
    let Database::Embedded {
        data_dir,
        engine_dir,
    } = database_from_variables(&without_url)
    else {
        unreachable!("there is no URL");
    };
    let engine = Engine::start(EngineOptions {
        data_dir,
        engine_dir,
        extra_settings: settings,
        ..EngineOptions::default()
    })
    .await?;
    let (name, arguments) = program.split_first().context("no program was given")?;
    // Ctrl-C reaches the program from the terminal; we only have to outlive it.
    let ignore_interrupts = tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let status = Command::new(name)
        .args(arguments)
        .env("DATABASE_URL", engine.database_url())
        .env("PATH", path_with(engine.bin_dir())?)
        .status()
        .await
        .with_context(|| format!("cannot run `{name}`"));
    ignore_interrupts.abort();
    engine.stop().await?;
    let code = status?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
