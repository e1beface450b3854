//! What the service counts and times, and the page that shows it in Prometheus' text format.
//!
//! | name | kind | what |
//! |---|---|---|
//! | `tallymark_events_total{verdict}` | counter | events by what became of them |
//! | `tallymark_violations_total{field}` | counter | rules broken by rejected events, by field of event.proto |
//! | `tallymark_loaded_events_total{outcome}` | counter | events of the log by what became of them in the database: `stored`, `duplicate`, `dead_letter` |
//! | `tallymark_batch_events` | histogram | events written in a transaction |
//! | `tallymark_batch_seconds` | histogram | how long writing a batch took, retries included |
//! | `tallymark_commit_lag_seconds` | histogram | from the receipt of a batch's oldest event to its commit |
//! | `tallymark_log_bytes` | gauge | size of the log, loaded events that were not deleted yet included |
//! | `tallymark_log_limit_bytes` | gauge | the size at which the log takes nothing more |
//! | `tallymark_log_queue_bytes` | gauge | events that wait to be written to the log's disk |
//! | `tallymark_log_waiting_events` | gauge | events in the log that are not in the database yet |
//! | `tallymark_log_oldest_seconds` | gauge | age of the oldest of them, 0 if there is none |
//! | `tallymark_answers_total{source}` | counter | questions by where their answer came from: `kept`, `shared` (computed for another caller at the same time), `computed`, `bypass` (computed, since the caller wanted that) |
//! | `tallymark_result_cache_bytes` | gauge | answers that are kept |
//! | `tallymark_result_cache_evictions_total` | counter | answers that had to go for others |
//! | `tallymark_watchers` | gauge | calls that watch what happens now |
//! | `tallymark_receiving_bytes` | gauge | requests received and not handled yet |
//! | `tallymark_grpc_connections` | gauge | connections of clients |
//! | `tallymark_connections{pool,state}` | gauge | connections to the database, `idle` or `busy` |
//!
//! The recorder is the process's: services in one process, as in tests, add up.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::event::Verdict;
use crate::error::Violation;
use crate::load::feed::Feed;
use crate::log::waiting::Outcome;

const EVENTS: &str = "tallymark_events_total";
const VIOLATIONS: &str = "tallymark_violations_total";
const BATCH_EVENTS: &str = "tallymark_batch_events";
const BATCH_SECONDS: &str = "tallymark_batch_seconds";
const COMMIT_LAG_SECONDS: &str = "tallymark_commit_lag_seconds";
const LOADED_EVENTS: &str = "tallymark_loaded_events_total";
const LOG_BYTES: &str = "tallymark_log_bytes";
const LOG_LIMIT_BYTES: &str = "tallymark_log_limit_bytes";
const LOG_QUEUE_BYTES: &str = "tallymark_log_queue_bytes";
const LOG_WAITING_EVENTS: &str = "tallymark_log_waiting_events";
const LOG_OLDEST_SECONDS: &str = "tallymark_log_oldest_seconds";
const ANSWERS: &str = "tallymark_answers_total";
const RESULT_CACHE_BYTES: &str = "tallymark_result_cache_bytes";
const RESULT_CACHE_EVICTIONS: &str = "tallymark_result_cache_evictions_total";
const WATCHERS: &str = "tallymark_watchers";
const RECEIVING_BYTES: &str = "tallymark_receiving_bytes";
const GRPC_CONNECTIONS: &str = "tallymark_grpc_connections";
const CONNECTIONS: &str = "tallymark_connections";

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
/// Upper bounds of the buckets of batch sizes.
const SIZES: [f64; 8] = [
    1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0,
];

/// How often the histograms are brought up to date.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Clients at a time; the next ones wait.
const MAX_CLIENTS: usize = 16;

/// Starts recording, once a process.
fn recorder() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| match install() {
        Ok(handle) => Some(handle),
        Err(error) => {
            tracing::warn!(%error, "metrics are not recorded");
            None
        }
    });
    handle.as_ref()
}

fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(BATCH_EVENTS.to_owned()), &SIZES)?
        .install_recorder()?;
    describe_counter!(EVENTS, "Events by what became of them.");
    describe_counter!(VIOLATIONS, "Rules broken by rejected events, by field.");
    describe_histogram!(BATCH_EVENTS, "Events written in a transaction.");
    describe_histogram!(
        BATCH_SECONDS,
        Unit::Seconds,
        "How long writing a batch took."
    );
    describe_histogram!(
        COMMIT_LAG_SECONDS,
        Unit::Seconds,
        "From the receipt of a batch's oldest event to its commit."
    );
    describe_counter!(
        LOADED_EVENTS,
        "Events of the log by what became of them in the database."
    );
    describe_gauge!(LOG_BYTES, Unit::Bytes, "Size of the log.");
    describe_gauge!(
        LOG_LIMIT_BYTES,
        Unit::Bytes,
        "The size at which the log takes nothing more."
    );
    describe_gauge!(
        LOG_QUEUE_BYTES,
        Unit::Bytes,
        "Events that wait to be written to the log's disk."
    );
    describe_gauge!(
        LOG_WAITING_EVENTS,
        "Events in the log that are not in the database yet."
    );
    describe_gauge!(
        LOG_OLDEST_SECONDS,
        Unit::Seconds,
        "Age of the oldest event that is not in the database yet."
    );
    describe_counter!(ANSWERS, "Questions by where their answer came from.");
    describe_gauge!(RESULT_CACHE_BYTES, Unit::Bytes, "Answers that are kept.");
    describe_counter!(
        RESULT_CACHE_EVICTIONS,
        "Kept answers that had to go for others."
    );
    describe_gauge!(WATCHERS, "Calls that watch what happens now.");
    describe_gauge!(
        RECEIVING_BYTES,
        Unit::Bytes,
        "Requests received and not handled yet."
    );
    describe_gauge!(GRPC_CONNECTIONS, "Connections of clients.");
    describe_gauge!(CONNECTIONS, "Connections to the database.");
    Ok(handle)
}

/// Counts what became of events.
#[derive(Debug, Default)]
pub struct VerdictCounts {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    retry: u64,
}

impl VerdictCounts {
    /// Adds one event. Violations are counted at once, since few events have any.
    pub fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Duplicate => self.duplicates += 1,
            Verdict::Rejected(violations) => {
                self.rejected += 1;
                violations.iter().for_each(count_violation);
            }
            Verdict::Retry => self.retry += 1,
        }
    }

    /// Brings the counts to the recorder.
    pub fn record(self) {
        for (verdict, count) in [
            ("accepted", self.accepted),
            ("duplicate", self.duplicates),
            ("rejected", self.rejected),
            ("retry", self.retry),
        ] {
            if count > 0 {
                counter!(EVENTS, "verdict" => verdict).increment(count);
            }
        }
    }
}

/// Counts what became of one event.
pub fn count_event(verdict: &Verdict) {
    let mut counts = VerdictCounts::default();
    counts.add(verdict);
    counts.record();
}

/// By the field of the event alone: `tags[3]` as `tags`, so that there are only so many.
fn count_violation(violation: &Violation) {
    let end = violation
        .field
        .find(['.', '['])
        .unwrap_or(violation.field.len());
    counter!(VIOLATIONS, "field" => violation.field[..end].to_owned()).increment(1);
}

/// Counts a batch's events and times it: how long it took from `started`, and how long ago its oldest
/// event was received, in microseconds since 1970.
pub fn record_batch(outcomes: &[Outcome], started: Instant, oldest_us: i64) {
    let is_stored = |outcome: &&Outcome| **outcome == Outcome::Stored;
    let stored = outcomes.iter().filter(is_stored).count();
    for (outcome, count) in [("stored", stored), ("duplicate", outcomes.len() - stored)] {
        if count > 0 {
            counter!(LOADED_EVENTS, "outcome" => outcome).increment(count as u64);
        }
    }
    histogram!(BATCH_EVENTS).record(outcomes.len() as f64);
    histogram!(BATCH_SECONDS).record(started.elapsed());
    histogram!(COMMIT_LAG_SECONDS).record(age_seconds(oldest_us));
}

/// Counts an event that the database refused.
pub fn count_dead_letter() {
    counter!(LOADED_EVENTS, "outcome" => "dead_letter").increment(1);
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerSource {
    /// It was kept.
    Kept,
    /// It was computed for another caller at the same time.
    Shared,
    /// It was computed for this question.
    Computed,
    /// The same, since the caller wanted that.
    Bypass,
}

/// Counts an answer.
pub fn count_answer(source: AnswerSource) {
    let source = match source {
        AnswerSource::Kept => "kept",
        AnswerSource::Shared => "shared",
        AnswerSource::Computed => "computed",
        AnswerSource::Bypass => "bypass",
    };
    counter!(ANSWERS, "source" => source).increment(1);
}

/// Counts a kept answer that had to go for others.
pub fn count_evicted_answer() {
    counter!(RESULT_CACHE_EVICTIONS).increment(1);
}

/// Seconds since a time in microseconds since 1970.
fn age_seconds(time_us: i64) -> f64 {
    let age_us = Timestamp::now().as_microsecond().saturating_sub(time_us);
    age_us.max(0) as f64 / 1e6
}

/// A figure that is looked up.
pub type Reading = Arc<dyn Fn() -> usize + Send + Sync>;

/// What is looked at whenever the page is asked for.
#[derive(Clone)]
pub struct Gauges {
    /// Connections to the database, by what they are for.
    pub pools: [(&'static str, Pool); 2],
    /// The log, and what of it is loaded.
    pub feed: Feed,
    /// Bytes of requests received and not handled yet.
    pub receiving_bytes: Reading,
    /// Calls that watch what happens now.
    pub watchers: Reading,
    /// Bytes of answers that are kept.
    pub kept_answer_bytes: Reading,
    /// Connections of clients.
    pub grpc_connections: Reading,
}

impl Gauges {
    fn read(&self) {
        let usage = self.feed.log().usage();
        gauge!(LOG_BYTES).set(usage.used_bytes as f64);
        gauge!(LOG_LIMIT_BYTES).set(usage.max_bytes as f64);
        gauge!(LOG_QUEUE_BYTES).set(self.feed.log().queued_bytes() as f64);
        gauge!(LOG_WAITING_EVENTS).set(self.feed.waiting_events() as f64);
        gauge!(LOG_OLDEST_SECONDS).set(self.feed.oldest_us().map_or(0.0, age_seconds));
        gauge!(RECEIVING_BYTES).set((self.receiving_bytes)() as f64);
        gauge!(WATCHERS).set((self.watchers)() as f64);
        gauge!(RESULT_CACHE_BYTES).set((self.kept_answer_bytes)() as f64);
        gauge!(GRPC_CONNECTIONS).set((self.grpc_connections)() as f64);
        for (name, pool) in &self.pools {
            let status = pool.status();
            let busy = status.size.saturating_sub(status.available);
            gauge!(CONNECTIONS, "pool" => *name, "state" => "idle").set(status.available as f64);
            gauge!(CONNECTIONS, "pool" => *name, "state" => "busy").set(busy as f64);
        }
    }
}

/// Serves `GET /metrics` until told to stop.
pub async fn serve(listener: TcpListener, gauges: Gauges, stop: CancellationToken) {
    let Some(handle) = recorder() else {
        return stop.cancelled().await;
    };
    let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = upkeep.tick() => {
                handle.run_upkeep();
            }
            Some(_) = clients.join_next() => {}
            accepted = listener.accept(), if clients.len() < MAX_CLIENTS => {
                let Ok((connection, _)) = accepted else { continue };
                let gauges = gauges.clone();
                let answer = service_fn(move |request| {
                    gauges.read();
                    std::future::ready(Ok::<_, Infallible>(page(&request, handle)))
                });
                clients.spawn(
                    http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADER_TIMEOUT)
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(connection), answer),
                );
            }
        }
    }
}

/// Starts recording if the metrics are to be shown; else nothing is spent on them.
pub fn start() {
    recorder();
}

fn page(request: &Request<Incoming>, handle: &PrometheusHandle) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, handle.render()),
        _ => (
            StatusCode::NOT_FOUND,
            "There is GET /metrics here.\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
