//! Sends batches through `StreamEvents`, and again what was not confirmed.
//!
//! ```text
//! reader ─ batches (bounded) ─▶ window: one call, kept until its summary ─▶ counts
//!                                  ▲                │ UNAVAILABLE, RESOURCE_EXHAUSTED,
//!                                  └── send again ◀─┘ verdict RETRY
//! ```
//!
//! A window is what one call sends. Its batches are kept until the server has confirmed them all, and
//! all of them are sent again when it has not: event ids make that safe. Its size bounds both the
//! memory and what a broken connection costs.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;
use indicatif::ProgressBar;
use tokio::sync::mpsc::Receiver;
use tonic::Status;

use crate::cli::connect::{ClientChannel, failed};
use crate::cli::retry::RetryPolicy;
use crate::cli::table::printable;
use crate::pb::ingest_service_client::IngestServiceClient;
use crate::pb::{
    Acknowledgement, Event, EventFailure, StreamEventsRequest, StreamEventsResponse, Verdict,
};

/// A call ends with the message that brings it to one of these.
const WINDOW_EVENTS: usize = 50_000;
const WINDOW_BYTES: usize = 32 << 20;
/// Rejected events that are kept for the summary.
const MAX_EXAMPLES: usize = 5;

/// One message, and where its events come from.
#[derive(Debug, Default)]
pub struct Batch {
    /// The message.
    pub request: StreamEventsRequest,
    /// File (index among the arguments) and line (from 1) of each event.
    pub origins: Vec<(usize, u64)>,
    /// Size of the message when encoded.
    pub encoded_bytes: usize,
}

/// An event that the server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// File and line.
    pub origin: (usize, u64),
    /// `field: what is wrong`, joined.
    pub reasons: String,
}

/// What became of what was sent.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Events sent, each counted once.
    pub sent: u64,
    /// Stored.
    pub accepted: u64,
    /// Stored before.
    pub duplicates: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Not stored after all attempts, those that were never confirmed included.
    pub unconfirmed: u64,
    /// Calls that were made once more.
    pub retries: u64,
    /// The first refused events.
    pub examples: Vec<Rejected>,
    /// Whether events were refused for a time in the past.
    pub has_too_old: bool,
    /// What ended the sending before its end.
    pub error: Option<anyhow::Error>,
}

/// Sends batches until there are no more of them or the server cannot take them.
pub async fn send_all(
    mut client: IngestServiceClient<ClientChannel>,
    batches: Receiver<Batch>,
    policy: RetryPolicy,
    progress: &ProgressBar,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut batches = batches;
    loop {
        let Some(first) = batches.recv().await else {
            return outcome;
        };
        let window = SharedWindow::starting_with(first, batches);
        let result = send_window(&mut client, &window, policy, progress, &mut outcome).await;
        let (events, receiver) = window.close();
        match (result, receiver) {
            (Ok(()), Some(receiver)) => batches = receiver,
            (Ok(()), None) => return outcome,
            (Err(error), _) => {
                outcome.sent += events;
                outcome.unconfirmed += events;
                outcome.error = Some(error);
                return outcome;
            }
        }
    }
}

/// One window, as often as it takes.
async fn send_window(
    client: &mut IngestServiceClient<ClientChannel>,
    window: &SharedWindow,
    policy: RetryPolicy,
    progress: &ProgressBar,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    // Events that an earlier attempt stored come back as duplicates of themselves.
    let mut accepted_before = 0;
    for attempt in 1.. {
        let (delay, why) = match client.stream_events(window.stream()).await {
            Ok(response) => {
                let summary = response.into_inner();
                let events = window.lock().events as u64;
                if summary.received != events {
                    anyhow::bail!(
                        "cannot send events: the server confirmed {} of {events} in a call",
                        summary.received
                    );
                }
                let again = match summary.retry {
                    0 => None,
                    _ => policy.backoff(attempt, None),
                };
                match again {
                    Some(delay) => {
                        accepted_before += summary.accepted;
                        (delay, format!("{} events to send again", summary.retry))
                    }
                    None => {
                        window.account(&summary, accepted_before, outcome);
                        return Ok(());
                    }
                }
            }
            Err(status) => match policy.delay(attempt, &status) {
                Some(delay) => (
                    delay,
                    printable(&format!("{:?}: {}", status.code(), status.message())),
                ),
                None => return Err(given_up(attempt, &status)),
            },
        };
        outcome.retries += 1;
        let seconds = delay.as_secs_f64();
        progress.suspend(|| eprintln!("sending again in {seconds:.1} s after {why}"));
        tokio::time::sleep(delay).await;
    }
    unreachable!("attempts end in a return")
}

fn given_up(attempts: u32, status: &Status) -> anyhow::Error {
    match attempts {
        1 => failed("cannot send events", status),
        _ => failed(
            &format!("cannot send events, tried {attempts} times"),
            status,
        ),
    }
}

struct Window {
    batches: Vec<Arc<Batch>>,
    events: usize,
    bytes: usize,
    /// Where more come from; `None` once the window is full, closed, or there are no more.
    more: Option<Receiver<Batch>>,
    /// Of a full window: goes on to the next one.
    spare: Option<Receiver<Batch>>,
}

#[derive(Clone)]
struct SharedWindow(Arc<Mutex<Window>>);

impl SharedWindow {
    fn starting_with(first: Batch, more: Receiver<Batch>) -> Self {
        let mut window = Window {
            batches: Vec::new(),
            events: 0,
            bytes: 0,
            more: Some(more),
            spare: None,
        };
        window.push(first);
        Self(Arc::new(Mutex::new(window)))
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        // Nothing under this lock leaves the window half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream(&self) -> WindowStream {
        WindowStream {
            window: self.clone(),
            next: 0,
        }
    }

    /// Ends the window. A stream of an attempt that failed may be alive for a while inside the
    /// transport: from here on it gets nothing, so that no batch can vanish in it.
    fn close(&self) -> (u64, Option<Receiver<Batch>>) {
        let mut window = self.lock();
        let receiver = window.spare.take().or_else(|| window.more.take());
        (window.events as u64, receiver)
    }

    fn account(&self, summary: &StreamEventsResponse, accepted_before: u64, outcome: &mut Outcome) {
        let window = self.lock();
        let again = accepted_before.min(summary.duplicates);
        outcome.sent += window.events as u64;
        outcome.accepted += summary.accepted + again;
        outcome.duplicates += summary.duplicates - again;
        outcome.rejected += summary.rejected;
        outcome.unconfirmed += summary.retry;
        for failure in &summary.failures {
            window.account_failure(failure, outcome);
        }
    }
}

impl Window {
    fn push(&mut self, batch: Batch) {
        self.events += batch.request.events.len();
        self.bytes += batch.encoded_bytes;
        self.batches.push(Arc::new(batch));
        if self.events >= WINDOW_EVENTS || self.bytes >= WINDOW_BYTES {
            self.spare = self.more.take();
        }
    }

    /// The batch at `index`, read on demand, so that reading and sending overlap.
    fn poll_batch(&mut self, index: usize, cx: &mut Context<'_>) -> Poll<Option<Arc<Batch>>> {
        if let Some(batch) = self.batches.get(index) {
            return Poll::Ready(Some(Arc::clone(batch)));
        }
        let Some(more) = &mut self.more else {
            return Poll::Ready(None);
        };
        match more.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.more = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(batch)) => {
                self.push(batch);
                Poll::Ready(self.batches.get(index).map(Arc::clone))
            }
        }
    }

    fn account_failure(&self, failure: &EventFailure, outcome: &mut Outcome) {
        let Some(result) = &failure.result else {
            return;
        };
        if result.verdict() != Verdict::Rejected {
            return;
        }
        let Some((event, origin)) = self.find(failure.index) else {
            return;
        };
        let is_about_time = result.violations.iter().any(|v| v.field == "time");
        outcome.has_too_old |= is_about_time && is_past(event);
        if outcome.examples.len() < MAX_EXAMPLES {
            let reasons = result
                .violations
                .iter()
                .map(|v| format!("{}: {}", v.field, v.description));
            outcome.examples.push(Rejected {
                origin,
                reasons: reasons.collect::<Vec<_>>().join("; "),
            });
        }
    }

    fn find(&self, index: u64) -> Option<(&Event, (usize, u64))> {
        let mut index = usize::try_from(index).ok()?;
        for batch in &self.batches {
            let events = &batch.request.events;
            if let Some(event) = events.get(index) {
                return Some((event, *batch.origins.get(index)?));
            }
            index -= events.len();
        }
        None
    }
}

fn is_past(event: &Event) -> bool {
    let time = event.time.as_ref().map(|time| time.seconds);
    time.is_none_or(|seconds| seconds < jiff::Timestamp::now().as_second())
}

struct WindowStream {
    window: SharedWindow,
    next: usize,
}

impl Stream for WindowStream {
    type Item = StreamEventsRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let index = self.next;
        let polled = self.window.lock().poll_batch(index, cx);
        polled.map(|batch| {
            self.next += 1;
            batch.map(|batch| StreamEventsRequest {
                // So that the summary tells what was stored before.
                acknowledgement: Acknowledgement::Committed.into(),
                ..batch.request.clone()
            })
        })
    }
}

#[cfg(test)]
#[path = "send_tests.rs"]
pub(in crate::cli) mod tests;
