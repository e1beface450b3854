//! Lanes: each makes one call after the other, on one of the connections.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::bail;
use prost::Message as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::cli::connect::{ClientChannel, failed};
use crate::cli::loadgen::args::LoadgenArgs;
use crate::cli::loadgen::pace::{Plan, Slot};
use crate::cli::loadgen::source::Source;
use crate::cli::loadgen::tally::Tally;
use crate::cli::retry::RetryPolicy;
use crate::pb::ingest_service_client::IngestServiceClient;
use crate::pb::{
    Acknowledgement, Event, EventFailure, EventResult, FieldViolation, IngestEventRequest,
    StreamEventsRequest, StreamEventsResponse, Verdict,
};

/// Messages of a call, at most: its events are kept until it is acknowledged.
pub const MESSAGES_PER_CALL: u64 = 20;
/// With a rate: calls a second on each connection, and how many of them may be under way.
pub const RATED_CALLS_A_SECOND: f64 = 8.0;
pub const RATED_LANES: usize = 4;

/// What all lanes share.
#[derive(Debug)]
pub struct Run {
    pub plan: Plan,
    /// Cancelled, no further call is begun.
    pub stop: CancellationToken,
    pub is_unary: bool,
    pub acknowledgement: Acknowledgement,
    pub policy: RetryPolicy,
    /// With --pipe: messages of a lane that wait for their acknowledgement, at most.
    pub in_flight_messages: usize,
    tally: Mutex<Tally>,
}

impl Run {
    pub fn new(plan: Plan, stop: CancellationToken, args: &LoadgenArgs, tally: Tally) -> Self {
        Self {
            plan,
            stop,
            is_unary: args.unary,
            acknowledgement: match args.committed {
                true => Acknowledgement::Committed,
                false => Acknowledgement::Logged,
            },
            policy: RetryPolicy::default(),
            in_flight_messages: args.in_flight_messages(),
            tally: Mutex::new(tally),
        }
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        // Nothing under this lock leaves the tally half changed.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes calls until the plan has no more, or the run is to stop, or a call failed for good, which
    /// stops the other lanes too.
    pub async fn drive(&self, mut client: IngestServiceClient<ClientChannel>, source: &Source) {
        while let Some(slot) = self.next(&mut None).await {
            let Some((messages, keys)) = source.call(slot.events).await else {
                self.stop.cancel();
                return;
            };
            let bytes = messages
                .iter()
                .flatten()
                .map(|event| event.encoded_len() as u64);
            self.tally().begin(slot.events, bytes.sum());
            let began = slot.due.unwrap_or_else(Instant::now);
            match self.send(&mut client, messages, slot.events).await {
                Ok(summary) => self.tally().end(&summary, keys, began.elapsed()),
                Err(error) => return self.fail(error),
            }
        }
    }

    /// What to send next, when it is due; `None` when nothing more is to be sent. What is dropped
    /// while it waits stays in `taken`, for the next time.
    pub async fn next(&self, taken: &mut Option<Slot>) -> Option<Slot> {
        if self.stop.is_cancelled() {
            return None;
        }
        if taken.is_none() {
            *taken = self.plan.take(Instant::now());
        }
        let slot = (*taken)?;
        if let Some(due) = slot.due {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(due) => {}
            }
        }
        Some(slot)
    }

    /// Ends the run because of this.
    pub fn fail(&self, error: anyhow::Error) {
        self.stop.cancel();
        self.tally().error.get_or_insert(error);
    }

    /// Sends the same events until the server has a verdict on each, or cannot have one.
    async fn send(
        &self,
        client: &mut IngestServiceClient<ClientChannel>,
        messages: Vec<Vec<Event>>,
        events: u64,
    ) -> anyhow::Result<StreamEventsResponse> {
        let messages: Vec<_> = messages
            .into_iter()
            .map(|events| StreamEventsRequest {
                events,
                acknowledgement: self.acknowledgement.into(),
            })
            .collect();
        // What an attempt stored comes back as duplicates of itself.
        let mut accepted_before = 0;
        for attempt in 1.. {
            let made = match self.is_unary {
                true => one_event(client, &messages).await,
                false => all_events(client, &messages).await,
            };
            let delay = match made {
                Ok(summary) if summary.received != events => bail!(
                    "cannot send events: the server confirmed {} of {events} in a call",
                    summary.received
                ),
                Ok(mut summary) => {
                    let again = match summary.retry {
                        0 => None,
                        _ => self.policy.backoff(attempt, None),
                    };
                    let Some(delay) = again else {
                        let stored_before = accepted_before.min(summary.duplicates);
                        summary.accepted += stored_before;
                        summary.duplicates -= stored_before;
                        return Ok(summary);
                    };
                    accepted_before += summary.accepted;
                    delay
                }
                Err(status) => match self.policy.delay(attempt, &status) {
                    Some(delay) => delay,
                    None => return Err(given_up(attempt, &status)),
                },
            };
            self.tally().retries += 1;
            tokio::time::sleep(delay).await;
        }
        unreachable!("attempts end in a return")
    }
}

/// Why nothing more is sent after so many attempts.
pub fn given_up(attempts: u32, status: &Status) -> anyhow::Error {
    match attempts {
        1 => failed("cannot send events", status),
        _ => failed(
            &format!("cannot send events, tried {attempts} times"),
            status,
        ),
    }
}

async fn all_events(
    client: &mut IngestServiceClient<ClientChannel>,
    messages: &[StreamEventsRequest],
) -> Result<StreamEventsResponse, Status> {
    let messages = tokio_stream::iter(messages.to_vec());
    Ok(client.stream_events(messages).await?.into_inner())
}

/// The one event of a call of IngestEvent, with its verdict in the form of a stream's.
async fn one_event(
    client: &mut IngestServiceClient<ClientChannel>,
    messages: &[StreamEventsRequest],
) -> Result<StreamEventsResponse, Status> {
    let message = messages.iter().find(|message| !message.events.is_empty());
    let request = IngestEventRequest {
        event: message.and_then(|message| message.events.first().cloned()),
        acknowledgement: message.map_or(0, |message| message.acknowledgement),
    };
    let result = match client.ingest_event(request).await {
        Ok(response) => response.into_inner().result.unwrap_or_default(),
        Err(status) => rejection(&status).ok_or(status)?,
    };
    let counted = |verdict| u64::from(result.verdict() == verdict);
    let mut summary = StreamEventsResponse {
        received: 1,
        accepted: counted(Verdict::Accepted),
        duplicates: counted(Verdict::Duplicate),
        rejected: counted(Verdict::Rejected),
        ..StreamEventsResponse::default()
    };
    if summary.accepted + summary.duplicates == 0 {
        summary.retry = 1 - summary.rejected;
        summary.failures.push(EventFailure {
            index: 0,
            result: Some(result),
        });
    }
    Ok(summary)
}

/// A status that says that the event, not the call, is at fault.
fn rejection(status: &Status) -> Option<EventResult> {
    let details = status.get_details_bad_request()?;
    let of_event = status.code() == Code::InvalidArgument;
    of_event.then(|| EventResult {
        verdict: Verdict::Rejected.into(),
        violations: details
            .field_violations
            .into_iter()
            .map(|violation| FieldViolation {
                field: violation.field,
                description: violation.description,
            })
            .collect(),
        ..EventResult::default()
    })
}
