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
mod convert;
mod filter;
mod ids;
mod jsonl;
mod lines;
mod send;
mod summary;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use prost::Message;
use tokio::sync::mpsc::{self, Sender};

use self::access_log::Layout;
use self::convert::{AccessRules, Converter, SkipReason};
use self::filter::{Extensions, Statuses};
use self::ids::EventIds;
use self::lines::{Line, Lines};
use self::send::{Batch, Outcome};
use self::summary::ReadTally;
use crate::cli::connect::ConnectArgs;
use crate::cli::retry::RetryPolicy;

/// A batch is sent when it reaches this size, well below the server's 4 MiB a message.
const BATCH_BYTES: usize = 2 << 20;
/// Batches read ahead of the sending; the reader waits when they are full.
const BATCHES_AHEAD: usize = 4;
/// Lines between two updates of the progress bar.
const PROGRESS_LINES: u64 = 2048;

/// Sends the requests of access logs, or events as JSON lines, to a server.
///
/// Importing a file again adds nothing: events get their ids from the contents of their lines, whatever
/// the file is called and whether it is compressed. Ends with exit status 0 when every event was stored
/// (now or before), 1 when some were rejected or could not be confirmed, or a file could not be read to
/// its end. Lines that are not of the format are skipped, counted and shown, and do not change that.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// Files to read, `-` for stdin. May be compressed with gzip.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Format of the files.
    #[arg(long, value_enum, default_value_t = Format::Combined)]
    pub format: Format,

    /// Count what would be sent, and send nothing; needs no server.
    #[arg(long)]
    pub dry_run: bool,

    /// Events per message, from 1 to 5,000.
    #[arg(long, value_name = "EVENTS", default_value_t = 1000,
          value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub batch_size: u16,

    /// Attempts to send what the server does not confirm, from 1 to 100; the waits between them grow
    /// from 0.2 to 10 seconds, or are what the server asks for.
    #[arg(long, value_name = "ATTEMPTS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_attempts: u32,

    #[command(flatten)]
    pub access_log: AccessLogArgs,

    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// What an access log does not say by itself.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Access logs (formats combined and common)")]
pub struct AccessLogArgs {
    /// Methods to import, separated by commas.
    #[arg(
        long,
        value_name = "METHODS",
        value_delimiter = ',',
        default_value = "GET"
    )]
    pub methods: Vec<String>,

    /// Statuses to import: numbers and ranges, separated by commas.
    #[arg(long, value_name = "STATUSES", default_value = "200-299,304")]
    pub status: Statuses,

    /// Whether to import files that pages load: styles, scripts, images, fonts, sound and video.
    #[arg(long = "static", value_enum, value_name = "WHAT", default_value_t = StaticFiles::Skip)]
    pub static_files: StaticFiles,

    /// Extensions of such files in place of the built-in list, separated by commas: `css,js,png`.
    #[arg(long, value_name = "EXTENSIONS")]
    pub static_extensions: Option<Extensions>,

    /// Host of the site, `example.com`. Pages then have it, and referrers of the same host count as
    /// the site's own. Without it pages are paths, and every referrer counts as another site.
    #[arg(long, value_name = "HOST", value_parser = parse_origin)]
    pub host: Option<String>,

    /// Name of the events.
    #[arg(long, value_name = "NAME", default_value = "page_view")]
    pub name: String,

    /// Text that visitor ids are made with. A log does not know visitors: all requests of one address
    /// with one user agent count as one, so people behind a shared address are merged, and one whose
    /// address changes is counted again. Two logs agree on visitors if imported with the same salt.
    #[arg(long, value_name = "TEXT", default_value = "tallymark")]
    pub visitor_salt: String,

    /// Keep the names of people who signed in with HTTP authentication, as user ids.
    #[arg(long)]
    pub keep_users: bool,
}

/// Format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Apache and nginx, with referrer and user agent.
    Combined,
    /// Apache and nginx, without them.
    Common,
    /// An object a line with the fields of tallymark.v1.Event, named `visitor_id` or `visitorId`.
    Jsonl,
}

/// What to do with files that pages load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StaticFiles {
    /// Leave them out.
    Skip,
    /// Import them like pages.
    Keep,
}

/// `https://example.com` of `example.com`: the scheme is not stored, but makes it a URL.
fn parse_origin(text: &str) -> Result<String, String> {
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let url = url::Url::parse(&with_scheme).map_err(|error| error.to_string())?;
    let is_origin = matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty();
    if !is_origin {
        return Err("need a host such as `example.com`".to_owned());
    }
    Ok(url.origin().ascii_serialization())
}

impl ImportArgs {
    fn converter(&self) -> Converter {
        let layout = match self.format {
            Format::Combined => Layout::Combined,
            Format::Common => Layout::Common,
            Format::Jsonl => return Converter::JsonLines,
        };
        let args = &self.access_log;
        let static_files = match args.static_files {
            StaticFiles::Skip => Some(args.static_extensions.clone().unwrap_or_default()),
            StaticFiles::Keep => None,
        };
        Converter::AccessLog {
            layout,
            rules: Box::new(AccessRules {
                methods: args.methods.clone(),
                statuses: args.status.clone(),
                static_files,
                origin: args.host.clone(),
                name: args.name.clone(),
                visitor_salt: args.visitor_salt.clone(),
                keep_users: args.keep_users,
            }),
        }
    }
}

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
    let mut reader = Reader {
        converter: args.converter(),
        batch_events: usize::from(args.batch_size),
        sender: client.is_some().then_some(sender),
        batch: Batch::default(),
        tally: ReadTally::default(),
        progress: progress.clone(),
    };
    let files = args.files.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let result = reader.read_all(&files);
        (reader.tally, result.err())
    });
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

/// Reads files in a thread of its own.
struct Reader {
    converter: Converter,
    batch_events: usize,
    /// Absent on a dry run; dropped when the sending has stopped.
    sender: Option<Sender<Batch>>,
    batch: Batch,
    tally: ReadTally,
    progress: ProgressBar,
}

/// The sending has stopped, and has said why.
#[derive(Debug)]
struct Stopped;

impl Reader {
    fn read_all(&mut self, files: &[PathBuf]) -> anyhow::Result<()> {
        let mut result = Ok(());
        let mut bytes_before = 0;
        for (index, path) in files.iter().enumerate() {
            match self.read_file(index, path, &mut bytes_before) {
                Ok(Ok(())) => {}
                Ok(Err(Stopped)) => return Ok(()),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        // What was read before an error is sent all the same: the next run recognises it.
        let _ = self.flush();
        self.sender = None;
        result
    }

    fn read_file(
        &mut self,
        index: usize,
        path: &Path,
        bytes_before: &mut u64,
    ) -> anyhow::Result<Result<(), Stopped>> {
        let mut lines =
            Lines::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut ids = EventIds::default();
        let mut number = 0;
        loop {
            let next = lines.next_line();
            let line = next
                .with_context(|| format!("cannot read {} after line {number}", path.display()))?;
            let Some(line) = line else { break };
            number += 1;
            self.tally.lines += 1;
            if self.take(line, (index, number), &mut ids).is_err() {
                return Ok(Err(Stopped));
            }
            if number % PROGRESS_LINES == 0 {
                self.progress
                    .set_position(*bytes_before + lines.bytes_read());
                self.show_rate();
            }
        }
        *bytes_before += lines.bytes_read();
        self.progress.set_position(*bytes_before);
        Ok(Ok(()))
    }

    fn take(
        &mut self,
        line: Line<'_>,
        origin: (usize, u64),
        ids: &mut EventIds,
    ) -> Result<(), Stopped> {
        let converted = match line {
            Line::Bytes(bytes) => self.converter.convert(bytes, ids),
            Line::TooLong => Err(SkipReason::LineTooLong.into()),
        };
        let event = match converted {
            Ok(event) => event,
            Err(skip) => {
                self.tally.skip(origin, skip);
                return Ok(());
            }
        };
        self.tally.events += 1;
        if self.sender.is_none() {
            return Ok(());
        }
        self.batch.encoded_bytes += event.encoded_len();
        self.batch.request.events.push(event);
        self.batch.origins.push(origin);
        let is_full = self.batch.origins.len() >= self.batch_events
            || self.batch.encoded_bytes >= BATCH_BYTES;
        if is_full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        let Some(sender) = &self.sender else {
            return Ok(());
        };
        if self.batch.origins.is_empty() {
            return Ok(());
        }
        sender
            .blocking_send(std::mem::take(&mut self.batch))
            .map_err(|_| Stopped)
    }

    fn show_rate(&self) {
        let seconds = self.progress.elapsed().as_secs_f64().max(0.001);
        let rate = crate::cli::table::decimal(self.tally.lines as f64 / seconds, 0);
        self.progress.set_message(format!("{rate} lines/s"));
    }
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
