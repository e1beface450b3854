//! `tallymark import`: access logs and JSON lines into a running server.
//!
//! ```text
//! file, stdin ─ lines ─ access_log │ jsonl ─ convert (filter, ids) ─ batches ─ send ─ summary
//!             (gunzip)              one thread                        bounded   async
//! ```
//!
//! Memory stays the same for any size of file: reading waits for sending, and sending keeps one call's
//! events until they are confirmed.

mod access_log;
mod args;
mod convert;
mod filter;
mod ids;
mod jsonl;
mod lines;
mod reader;
pub(in crate::cli) mod send;
mod summary;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

pub use self::args::{AccessLogArgs, Format, ImportArgs, StaticFiles};
pub use self::filter::{Extensions, STATIC_EXTENSIONS, Statuses};
use self::reader::Reader;
use self::send::Outcome;
use self::summary::ReadTally;
use crate::cli::retry::RetryPolicy;

/// Batches read ahead of the sending; the reader waits when they are full.
const BATCHES_AHEAD: usize = 4;

/// What an import came to.
#[derive(Debug)]
struct Report {
    tally: ReadTally,
    /// Absent on a dry run.
    outcome: Option<Outcome>,
    read_error: Option<anyhow::Error>,
    elapsed: Duration,
}

/// Runs the command: the summary goes to stdout, progress and errors to stderr.
///
/// # Errors
/// A server that cannot be reached or arguments that cannot be right. What happens later is reported
/// after the summary and gives exit status 1.
pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let report = import(&args).await?;
    let summary = report.summary(&args.files);
    std::io::stdout()
        .write_all(summary.as_bytes())
        .context("cannot write the summary")?;
    for error in report.errors() {
        eprintln!("error: {error:#}");
    }
    Ok(if report.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Report {
    fn summary(&self, files: &[PathBuf]) -> String {
        summary::render(files, &self.tally, self.outcome.as_ref(), self.elapsed)
    }

    fn errors(&self) -> impl Iterator<Item = &anyhow::Error> {
        let send_error = self
            .outcome
            .as_ref()
            .and_then(|outcome| outcome.error.as_ref());
        send_error.into_iter().chain(&self.read_error)
    }

    /// Whether every event of every file is stored.
    fn is_complete(&self) -> bool {
        let outcome = self.outcome.as_ref();
        self.errors().next().is_none()
            && outcome.is_none_or(|outcome| outcome.rejected == 0 && outcome.unconfirmed == 0)
    }
}

async fn import(args: &ImportArgs) -> anyhow::Result<Report> {
    if args
        .files
        .iter()
        .filter(|file| file.as_path() == Path::new("-"))
        .count()
        > 1
    {
        bail!("stdin can only be read once");
    }
    let started = Instant::now();
    let client = match args.dry_run {
        true => None,
        false => Some(args.connect.connect().await?.ingest()),
    };
    let progress = progress_bar(&args.files);
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    // Without a server nobody would take the batches.
    let sender = client.is_some().then_some(sender);
    let batch_events = usize::from(args.batch_size);
    let reader = Reader::new(args.converter(), batch_events, sender, progress.clone());
    let files = args.files.clone();
    let reading = tokio::task::spawn_blocking(move || reader.run(&files));
    let outcome = match client {
        Some(client) => {
            let policy = RetryPolicy {
                max_attempts: args.max_attempts,
                ..RetryPolicy::default()
            };
            Some(send::send_all(client, receiver, policy, &progress).await)
        }
        None => None,
    };
    let (tally, read_error) = reading.await.context("reading failed")?;
    progress.finish_and_clear();
    Ok(Report {
        tally,
        outcome,
        read_error,
        elapsed: started.elapsed(),
    })
}

/// Bytes of the files as they lie on disk; a spinner when a size is not known. It hides itself where
/// stderr is not a terminal.
fn progress_bar(files: &[PathBuf]) -> ProgressBar {
    let size = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        metadata.is_file().then_some(metadata.len())
    };
    let (bar, template) = match files.iter().map(size).sum::<Option<u64>>() {
        Some(total) => (
            ProgressBar::new(total),
            "{wide_bar} {bytes}/{total_bytes}  {msg}  {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {bytes}  {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
