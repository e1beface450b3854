//! Lanes of `--pipe`: each makes one call, with many messages under way, for as long as the call lasts.
//!
//! A message is kept until it is acknowledged. A call that breaks is made again and begins with the
//! first message that is not: the events of it that were stored come back as duplicates of themselves,
//! where the commit is waited for.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::anyhow;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::cli::connect::ClientChannel;
use crate::cli::loadgen::drive::{Run, given_up};
use crate::cli::loadgen::pace::Slot;
use crate::cli::loadgen::source::{EventKey, Source};
use crate::pb::ingest_service_client::IngestServiceClient;
use crate::pb::{PipeEventsRequest, PipeEventsResponse, StreamEventsResponse};

/// Messages under way, at most: what the server promises to hold of one call.
pub const MAX_IN_FLIGHT_MESSAGES: usize = 64;
/// And so many events, since all are kept.
pub const MAX_IN_FLIGHT_EVENTS: usize = 64_000;

impl Run {
    /// Makes calls until everything that the plan has is acknowledged, or one failed for good, which
    /// stops the other lanes too.
    pub async fn pipe(&self, mut client: IngestServiceClient<ClientChannel>, source: &Source) {
        let mut lane = Lane {
            run: self,
            source,
            taken: None,
            is_finished: false,
            unacknowledged: VecDeque::new(),
            next_id: 0,
            attempt: 0,
        };
        while !lane.is_done() {
            lane.attempt += 1;
            let delay = match lane.call(&mut client).await {
                Ok(()) => return,
                Err(End::Again(delay)) => Some(delay),
                Err(End::Broken(status)) => {
                    let delay = self.policy.delay(lane.attempt, &status);
                    if delay.is_none() && !lane.is_done() {
                        return self.fail(given_up(lane.attempt, &status));
                    }
                    delay
                }
                Err(End::Wrong(error)) => return self.fail(error),
            };
            // Without a message to send again the call is not made again either.
            if let Some(delay) = delay.filter(|_| !lane.is_done()) {
                self.tally().retries += 1;
                tokio::time::sleep(delay).await;
            }
        }
    }
}

/// How a call ended, other than well.
enum End {
    /// With events that the server wants again, after this delay.
    Again(Duration),
    Broken(Status),
    /// With something that no server should say.
    Wrong(anyhow::Error),
}

/// A message that is not acknowledged yet.
struct Message {
    request: PipeEventsRequest,
    keys: Vec<EventKey>,
    began: Instant,
    /// Events of it that an attempt stored, as its acknowledgement said.
    accepted_before: u64,
}

struct Lane<'a> {
    run: &'a Run,
    source: &'a Source,
    /// What the plan gave and was not due yet.
    taken: Option<Slot>,
    /// Nothing more is to be sent than what is unacknowledged.
    is_finished: bool,
    /// In the order of sending.
    unacknowledged: VecDeque<Message>,
    next_id: u64,
    /// Calls since the last acknowledgement.
    attempt: u32,
}

impl Lane<'_> {
    fn is_done(&self) -> bool {
        self.is_finished && self.unacknowledged.is_empty()
    }

    /// One call: sends what is unacknowledged, then new messages, and ends well when nothing is left.
    async fn call(&mut self, client: &mut IngestServiceClient<ClientChannel>) -> Result<(), End> {
        // As many messages as are ever under way: sending one never has to wait.
        let (sender, messages) = mpsc::channel(self.run.in_flight_messages);
        // Dropped, it closes this side of the call.
        let mut sender = Some(sender);
        // A call that has ended takes no more; its reply says why.
        let send = |sender: &Option<mpsc::Sender<_>>, request: &PipeEventsRequest| {
            if let Some(sender) = sender {
                let _ = sender.try_send(request.clone());
            }
        };
        for message in &self.unacknowledged {
            send(&sender, &message.request);
        }
        let replies = client.pipe_events(ReceiverStream::new(messages)).await;
        let mut replies = replies.map_err(End::Broken)?.into_inner();
        loop {
            if self.is_finished {
                sender = None;
            }
            let has_room = self.unacknowledged.len() < self.run.in_flight_messages;
            tokio::select! {
                // A latency ends when its acknowledgement is here, not when more was sent.
                biased;
                reply = replies.message() => match reply.map_err(End::Broken)? {
                    Some(reply) => self.acknowledge(reply)?,
                    None if self.is_done() => return Ok(()),
                    None => return Err(End::Wrong(anyhow!(
                        "cannot send events: the server ended a call with {} messages unacknowledged",
                        self.unacknowledged.len()
                    ))),
                },
                message = next(self.run, self.source, &mut self.taken),
                    if has_room && !self.is_finished => match message {
                    Some(message) => self.begin(message, |request| send(&sender, request)),
                    None => self.is_finished = true,
                }
            }
        }
    }

    fn begin(&mut self, mut message: Message, send: impl FnOnce(&PipeEventsRequest)) {
        self.taken = None;
        message.request.message_id = self.next_id;
        self.next_id += 1;
        let events = &message.request.events;
        let bytes = events.iter().map(|event| event.encoded_len() as u64);
        self.run.tally().begin(events.len() as u64, bytes.sum());
        send(&message.request);
        self.unacknowledged.push_back(message);
    }

    /// Takes the verdicts on the oldest message.
    fn acknowledge(&mut self, reply: PipeEventsResponse) -> Result<(), End> {
        let message_id = reply.message_id;
        let mut summary = StreamEventsResponse {
            accepted: reply.accepted.into(),
            duplicates: reply.duplicates.into(),
            rejected: reply.rejected.into(),
            retry: reply.retry.into(),
            failures: reply.failures,
            ..StreamEventsResponse::default()
        };
        summary.received = summary.accepted + summary.duplicates + summary.rejected + summary.retry;
        let oldest = self.unacknowledged.front_mut().filter(|oldest| {
            oldest.request.message_id == message_id
                && oldest.request.events.len() as u64 == summary.received
        });
        let Some(oldest) = oldest else {
            return Err(End::Wrong(anyhow!(
                "cannot send events: the server acknowledged {} events of message {message_id} out of turn",
                summary.received
            )));
        };
        if summary.retry > 0
            && let Some(delay) = self.run.policy.backoff(self.attempt, None)
        {
            oldest.accepted_before += summary.accepted;
            return Err(End::Again(delay));
        }
        let stored_before = oldest.accepted_before.min(summary.duplicates);
        summary.accepted += stored_before;
        summary.duplicates -= stored_before;
        self.attempt = 0;
        if let Some(message) = self.unacknowledged.pop_front() {
            let latency = message.began.elapsed();
            self.run.tally().end(&summary, message.keys, latency);
        }
        Ok(())
    }
}

/// The next message, when it is due; `None` when there are no more. Dropping the future loses nothing.
async fn next(run: &Run, source: &Source, taken: &mut Option<Slot>) -> Option<Message> {
    let slot = run.next(taken).await?;
    let Some((messages, keys)) = source.call(slot.events).await else {
        run.stop.cancel();
        return None;
    };
    let request = PipeEventsRequest {
        events: messages.into_iter().flatten().collect(),
        acknowledgement: run.acknowledgement.into(),
        message_id: 0,
    };
    Some(Message {
        request,
        keys,
        began: slot.due.unwrap_or_else(Instant::now),
        accepted_before: 0,
    })
}
