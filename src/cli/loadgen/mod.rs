//! `tallymark loadgen`: realistic events into a running server, at a set rate or flat out, measured.
//!
//! ```text
//! source: events, made ahead ──▶ lane: one call after the other ──▶ tally ──▶ live line, summary
//!   (one a connection)     plan ──▶ (when)      retry ◀─┘              └──▶ verify: in the database?
//! ```
//!
//! With --pipe a lane is one long call, and what it repeats is the messages that are not acknowledged.
//!
//! Memory is bounded by the calls under way, some 20,000 events each at most, with --pipe 64,000; but for
//! --verify, which keeps 24 bytes of every acknowledged event.

mod args;
mod drive;
mod histogram;
mod pace;
mod pipe;
mod source;
mod tally;
mod verify;

use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

pub use self::args::LoadgenArgs;
use self::drive::Run;
use self::pace::Plan;
use self::source::Source;
use self::tally::Tally;
use self::verify::Verifier;
use crate::cli::serve::stop_on_signal;
use crate::cli::table::{count, decimal};

/// How often the line of a terminal changes, and how often others get one.
const LIVE_INTERVAL: Duration = Duration::from_secs(1);
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Runs the command: the summary goes to stdout, progress and errors to stderr.
///
/// # Errors
/// A server or database that cannot be reached, or a call that failed before anything was stored. What
/// happens later is reported after the summary and gives exit status 1.
pub async fn run(args: LoadgenArgs) -> anyhow::Result<ExitCode> {
    if args.verify {
        // A wrong address is to be found before anything is sent.
        Verifier::connect(args.database.as_deref()).await?;
    }
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let (mut tally, elapsed) = drive(&args, stop).await?;
    let error = tally.error.take();
    let is_complete = error.is_none() && tally.is_complete();
    if tally.acknowledged() == 0
        && let Some(error) = error
    {
        return Err(error);
    }
    say(&tally.render(elapsed, args.steps()))?;
    if let Some(error) = &error {
        eprintln!("error: {error:#}");
    }
    let mut is_right = true;
    if let Some(mut keys) = tally.to_verify.take() {
        // Anew: the database may have been started again in the meantime, as load tests do.
        let verifier = Verifier::connect(args.database.as_deref()).await?;
        let verified = verifier.verify(&mut keys).await?;
        is_right = verified.is_right() && verified.events == tally.acknowledged();
        say(&format!("\n{}", verified.render()))?;
    }
    Ok(match is_complete && is_right {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn say(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write the summary")
}

/// Sends what is to be sent; ends when everything has its verdict.
async fn drive(args: &LoadgenArgs, stop: CancellationToken) -> anyhow::Result<(Tally, Duration)> {
    let events_per_call = args.events_per_call();
    let message_events = usize::from(args.batch).min(events_per_call as usize);
    let mut connections = Vec::new();
    for connection_no in 0..args.connections {
        let client = args.connect.connect().await?.ingest();
        let source = Source::start(args.seed, connection_no, message_events);
        connections.push((client, Arc::new(source)));
    }
    let started = Instant::now();
    let plan = Plan {
        started,
        events_per_call,
        events: args.events.map(Into::into),
        until: args.until(),
        rate: args.rate,
        taken: AtomicU64::new(0),
    };
    let tally = Tally {
        to_verify: args.verify.then(Vec::new),
        ..Tally::default()
    };
    let run = Arc::new(Run::new(plan, stop, args, tally));

    let mut lanes = JoinSet::new();
    for (client, source) in connections.iter().cycle().take(args.lanes()) {
        let (run, client, source) = (Arc::clone(&run), client.clone(), Arc::clone(source));
        let is_pipe = args.pipe;
        lanes.spawn(async move {
            match is_pipe {
                true => run.pipe(client, &source).await,
                false => run.drive(client, &source).await,
            }
        });
    }
    let ended = async { while lanes.join_next().await.is_some() {} };
    tokio::select! {
        () = ended => {}
        () = show(&run) => {}
    }
    let elapsed = started.elapsed();
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let tally = std::mem::take(&mut *run.tally());
    Ok((tally, elapsed))
}

/// Shows how it goes until it is dropped: on a terminal one line that changes, else a line now and then.
async fn show(run: &Run) {
    let is_terminal = std::io::stderr().is_terminal();
    let interval = match is_terminal {
        true => LIVE_INTERVAL,
        false => LOG_INTERVAL,
    };
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut then, mut acknowledged_then) = (run.plan.started, 0);
    loop {
        let now = ticks.tick().await;
        let line = {
            let tally = run.tally();
            let acknowledged = tally.acknowledged();
            let seconds = now.saturating_duration_since(then).as_secs_f64();
            let rate = (acknowledged - acknowledged_then) as f64 / seconds.max(0.001);
            let p99 = tally.latencies.quantile(0.99).unwrap_or_default();
            (then, acknowledged_then) = (now, acknowledged);
            format!(
                "{} s: {} acknowledged, {} events/s now, {} under way, {} rejected, p99 {} ms, {} \
                 calls repeated",
                now.saturating_duration_since(run.plan.started).as_secs(),
                count(acknowledged),
                decimal(rate, 0),
                count(tally.unacknowledged()),
                count(tally.rejected),
                decimal(p99.as_secs_f64() * 1e3, 0),
                count(tally.retries),
            )
        };
        match is_terminal {
            true => eprint!("\r\x1b[K{line}"),
            false => eprintln!("{line}"),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
