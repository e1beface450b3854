//! A request's body whose messages have a share of the budget.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::budget::Part;
use super::framing::Framing;
use super::received::Received;
use crate::error::ApiError;

/// How long a message may take from its first byte to its last; and, when a call takes one message, how
/// long the end of the body may take after it.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// While somebody waits for budget, a message has to go on by [`PROGRESS_BYTES`] in this time.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// 64 KiB a second is what any link has that can send a large message within its time.
const PROGRESS_BYTES: u64 = 64 * 1024;

/// How many messages a client may send in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// One, which tonic decodes and then waits for the end of the body, before it calls the handler.
    One,
    /// As many as it likes. Who asks for more has taken those before.
    Many,
}

/// The body: passes data on as it is, each piece once its messages have their share.
pub struct MeteredBody {
    inner: Body,
    messages: Messages,
    framing: Framing,
    received: Received,
    state: State,
    /// What has come of a frame and was not passed on.
    rest: Bytes,
    watch: SenderWatch,
    received_bytes: u64,
    ended_messages: usize,
}

/// What the body is doing.
enum State {
    Passes,
    /// It has a piece that there was no budget for.
    Waits(Pin<Box<dyn Future<Output = Option<Part>> + Send>>, Bytes),
    /// It ended with an error, and holds nothing.
    Failed,
}

impl MeteredBody {
    /// Meters a body.
    pub fn new(inner: Body, messages: Messages, received: Received) -> Self {
        Self {
            inner,
            messages,
            framing: Framing::default(),
            received,
            state: State::Passes,
            rest: Bytes::new(),
            watch: SenderWatch::default(),
            received_bytes: 0,
            ended_messages: 0,
        }
    }

    /// Whether the one message of a call has come.
    fn is_complete(&self) -> bool {
        self.messages == Messages::One && self.ended_messages > 0
    }

    fn fail(&mut self, error: ApiError) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.state = State::Failed;
        self.received.close();
        Poll::Ready(Some(Err(error.into())))
    }
}

impl http_body::Body for MeteredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        match &mut this.state {
            State::Passes => {
                if this.messages == Messages::Many {
                    // Whoever asks for more has taken every message that is complete.
                    this.received.release();
                }
                if this.rest.is_empty() {
                    let frame = match Pin::new(&mut this.inner).poll_frame(context) {
                        Poll::Ready(frame) => frame,
                        Poll::Pending
                            if !this.framing.is_within_message() && !this.is_complete() =>
                        {
                            this.watch.begun = None;
                            return Poll::Pending;
                        }
                        Poll::Pending => {
                            let is_waited_for = this.received.is_waited_for();
                            ready!(this.watch.poll(this.received_bytes, is_waited_for, context));
                            return this.fail(ApiError::SenderTooSlow);
                        }
                    };
                    let data = match frame.map(|frame| frame.map(Frame::into_data)) {
                        Some(Ok(Ok(data))) if !data.is_empty() => data,
                        Some(Ok(Ok(nothing))) => {
                            return Poll::Ready(Some(Ok(Frame::data(nothing))));
                        }
                        Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                        Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                        None => return Poll::Ready(None),
                    };
                    this.received_bytes += data.len() as u64;
                    this.rest = data;
                }
                let has_more = this.is_complete();
                if !this.framing.is_within_message() {
                    // Another message: its time has not begun.
                    this.watch.begun = None;
                }
                let piece = this.framing.advance(&this.rest);
                this.ended_messages += piece.ended;
                if has_more || (this.is_complete() && this.ended_messages > 1) {
                    let fault = "more than one message in a call that takes one".to_owned();
                    return this.fail(ApiError::MalformedMessage(fault));
                }
                let data = this.rest.split_to(piece.bytes);
                match this.received.try_grow(piece.charge, this.framing.begun()) {
                    Ok(()) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(Some(part)) => {
                        this.state = State::Waits(Box::pin(part.grow(piece.charge)), data);
                    }
                    Err(None) => unreachable!("the part is here unless the body waits with it"),
                }
            }
            State::Waits(..) => {}
            State::Failed => return Poll::Ready(None),
        }
        let State::Waits(grown, data) = &mut this.state else {
            unreachable!("the other states have returned");
        };
        match ready!(grown.as_mut().poll(context)) {
            Some(part) => {
                let data = std::mem::take(data);
                this.received.resume(part);
                this.state = State::Passes;
                // The time that this took was not the sender's.
                this.watch.begun = None;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            None => this.fail(ApiError::Overloaded),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.state {
            State::Passes => self.rest.is_empty() && self.inner.is_end_stream(),
            State::Waits(..) => false,
            State::Failed => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.state {
            State::Passes if self.rest.is_empty() => self.inner.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for MeteredBody {
    fn drop(&mut self) {
        // Tonic drops the body of a call with one message before it calls the handler.
        if self.messages == Messages::Many {
            self.received.close();
        }
    }
}

/// Looks, once a [`PROGRESS_EVERY`], whether a sender goes on with its message.
///
/// The timer is not touched when a message ends: a sender that keeps going costs a look at it a
/// second, not one a message.
#[derive(Default)]
struct SenderWatch {
    /// When the message was first waited for; `None` if it has not been.
    begun: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    is_armed: bool,
    received_bytes_before: u64,
}

impl SenderWatch {
    /// Ready when the sender is too slow.
    fn poll(
        &mut self,
        received_bytes: u64,
        is_waited_for: bool,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        loop {
            if !self.is_armed {
                let next = Instant::now() + PROGRESS_EVERY;
                match &mut self.timer {
                    Some(timer) => timer.as_mut().reset(next),
                    none => *none = Some(Box::pin(tokio::time::sleep_until(next))),
                }
                self.is_armed = true;
                self.received_bytes_before = received_bytes;
            }
            let Some(timer) = &mut self.timer else {
                unreachable!("it was made above");
            };
            ready!(timer.as_mut().poll(context));
            self.is_armed = false;
            let took = begun.elapsed();
            // A look that was due for an earlier message says nothing about this one.
            let stalls = took >= PROGRESS_EVERY
                && received_bytes - self.received_bytes_before < PROGRESS_BYTES;
            if took >= MESSAGE_TIMEOUT || (stalls && is_waited_for) {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
#[path = "metered_tests.rs"]
mod tests;
