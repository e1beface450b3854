//! PipeEvents: an acknowledgement per message, in order, for as long as the client likes.
//!
//! Replies are made when HTTP/2 can send them. A client that does not take them is not read from
//! either, so a pipe holds [`MAX_PENDING`] messages at most.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;

use futures_util::Stream;
use tonic::{Status, Streaming};

use crate::domain::event::Verdict;
use crate::error::ApiError;
use crate::log::cover;
use crate::pb;

use super::convert;
use super::intake::{self, Pending};
use super::scope::Scope;
use super::stream_batch::PipeBatch;
use super::wire_limits;

/// Messages that wait for their acknowledgement at most; ingest_service.proto promises it.
const MAX_PENDING: usize = 64;

/// The acknowledgements of a call.
pub type Replies = Pin<Box<dyn Stream<Item = Result<pb::PipeEventsResponse, Status>> + Send>>;

/// The acknowledgements of these messages.
pub fn replies(scope: Scope, messages: Streaming<PipeBatch>) -> Replies {
    let pipe = Pipe {
        scope,
        messages: Some(messages),
        pending: VecDeque::new(),
        logged: None,
        end: None,
    };
    Box::pin(futures_util::stream::unfold(pipe, |mut pipe| async {
        let reply = pipe.next().await?;
        Some((reply, pipe))
    }))
}

struct Pipe {
    scope: Scope,
    /// Dropped when they are read no further.
    messages: Option<Streaming<PipeBatch>>,
    /// The client's number of a message, and its events.
    pending: VecDeque<(u64, Pending)>,
    /// Covers the records of the messages that were acknowledged.
    logged: Option<Range<u64>>,
    /// How the call ends once everything is acknowledged; `None` while messages are read.
    end: Option<Result<(), Status>>,
}

impl Pipe {
    /// The next reply; `None` when the call has ended.
    async fn next(&mut self) -> Option<Result<pb::PipeEventsResponse, Status>> {
        loop {
            let is_reading = self.end.is_none();
            tokio::select! {
                // What is acknowledged goes out before more is read.
                biased;
                acknowledged = acknowledged(&mut self.pending), if !self.pending.is_empty() => {
                    let (message_id, pending) = self.pending.pop_front()?;
                    match acknowledged {
                        Ok(acknowledged) => {
                            let mut reply = Reply::new(message_id);
                            cover(&mut self.logged, pending.logged());
                            reply.response.freshness_token =
                                self.scope.freshness_token(self.logged.clone());
                            pending.settle(acknowledged, |id, verdict| reply.add(id, verdict));
                            return Some(Ok(reply.response));
                        }
                        // The messages behind it may be logged: the client sends them again.
                        Err(error) => return Some(Err(self.break_off(error))),
                    }
                }
                () = self.scope.cut_off.cancelled(), if !self.pending.is_empty() => {
                    return Some(Err(self.break_off(ApiError::ShuttingDown)));
                }
                () = self.scope.core.draining.cancelled(), if is_reading => {
                    self.stop_reading(Err(ApiError::ShuttingDown.into()));
                }
                message = next_message(&mut self.messages), if is_reading && self.has_room() =>
                {
                    if let Err(end) = self.take(message).await {
                        self.stop_reading(end);
                    }
                }
                else => return self.end.replace(Ok(()))?.err().map(Err),
            }
        }
    }

    fn has_room(&self) -> bool {
        let pending = self.pending.iter().map(|(_, pending)| pending);
        self.pending.len() < MAX_PENDING && intake::has_room(pending)
    }

    /// Ends the call without the acknowledgements that are still missing.
    fn break_off(&mut self, error: ApiError) -> Status {
        self.pending.clear();
        self.stop_reading(Ok(()));
        error.into()
    }

    fn stop_reading(&mut self, end: Result<(), Status>) {
        self.messages = None;
        self.end = Some(end);
    }

    /// Appends a message's events. An error is how the call ends.
    async fn take(
        &mut self,
        message: Result<Option<PipeBatch>, Status>,
    ) -> Result<(), Result<(), Status>> {
        let message = message.map_err(|status| Err(wire_limits::explain(status)))?;
        let batch = message.ok_or(Ok(()))?;
        let pending = Pending::new(&self.scope, batch.events, batch.acknowledgement).await;
        let pending = pending.map_err(|error| Err(error.into()))?;
        self.pending.push_back((batch.message_id, pending));
        Ok(())
    }
}

async fn next_message(
    messages: &mut Option<Streaming<PipeBatch>>,
) -> Result<Option<PipeBatch>, Status> {
    match messages {
        Some(messages) => messages.message().await,
        None => Ok(None),
    }
}

async fn acknowledged(
    pending: &mut VecDeque<(u64, Pending)>,
) -> Result<crate::log::Acknowledged, ApiError> {
    match pending.front_mut() {
        Some((_, oldest)) => oldest.acknowledged().await,
        None => std::future::pending().await,
    }
}

/// The acknowledgement of a message.
#[derive(Default)]
struct Reply {
    response: pb::PipeEventsResponse,
    index: u64,
}

impl Reply {
    fn new(message_id: u64) -> Self {
        let mut reply = Self::default();
        reply.response.message_id = message_id;
        reply
    }

    fn add(&mut self, event_id: Option<uuid::Uuid>, verdict: Verdict) {
        let index = self.index;
        self.index += 1;
        let response = &mut self.response;
        match verdict {
            Verdict::Accepted => response.accepted += 1,
            Verdict::Duplicate => response.duplicates += 1,
            Verdict::Rejected(_) => response.rejected += 1,
            Verdict::Retry => response.retry += 1,
        }
        let verdict = match verdict {
            Verdict::Accepted | Verdict::Duplicate => return,
            other => other,
        };
        let result = Some(convert::event_result(event_id, verdict));
        response.failures.push(pb::EventFailure { index, result });
    }
}
