//! `tallymark database exec`: a program beside an own engine, for tests and benchmarks.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use clap::{Args, Subcommand};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

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
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env("DATABASE_URL", engine.database_url())
        .env("PATH", path_with(engine.bin_dir())?);
    let status = run_to_its_end(command).await;
    engine.stop().await?;
    let status = status.with_context(|| format!("cannot run `{name}`"))?;
    Ok(ExitCode::from(exit_code(status)))
}

/// Runs the program, and outlives it: the database is stopped after it, whoever is asked to stop.
async fn run_to_its_end(mut command: Command) -> std::io::Result<ExitStatus> {
    // Ctrl-C reaches the program from the terminal, SIGTERM and the end of the terminal do not.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut child = command.kill_on_drop(true).spawn()?;
    loop {
        let passed_on = tokio::select! {
            ended = child.wait() => return ended,
            _ = interrupt.recv() => continue,
            _ = terminate.recv() => Signal::TERM,
            _ = hangup.recv() => Signal::HUP,
        };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // One that is gone already is what was wanted.
            let _ = kill_process(pid, passed_on);
        }
    }
}

/// The program's own code; for one that a signal ended 128 and the signal, as shells say it.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
