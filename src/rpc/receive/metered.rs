//! A request's body whose messages have a share of the budget.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::budget::{Part, ReceiveBudget};
use super::framing::Framing;
use crate::error::ApiError;

/// How long a message may take from its first byte to its last.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// While somebody waits for budget, a message has to go on by [`PROGRESS_BYTES`] in this time.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// 64 KiB a second is what any link has that can send a large message within its time.
const PROGRESS_BYTES: u64 = 64 * 1024;

/// The body: passes frames on as they are, each once its messages have their share.
pub struct MeteredBody {
    inner: Body,
    framing: Framing,
    budget: State,
    watch: SenderWatch,
    received_bytes: u64,
}

/// What the body holds, or waits for.
enum State {
    Holds(Part),
    /// A frame has come that there was no budget for.
    Waits(Pin<Box<dyn Future<Output = Option<Part>> + Send>>, Bytes),
    /// It ended with an error, and holds nothing.
    Failed,
}

impl MeteredBody {
    /// Meters a body.
    pub fn new(inner: Body, budget: &Arc<ReceiveBudget>) -> Self {
        Self {
            inner,
            framing: Framing::default(),
            budget: State::Holds(budget.part()),
            watch: SenderWatch::default(),
            received_bytes: 0,
        }
    }

    fn fail(&mut self, error: ApiError) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.budget = State::Failed;
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
        match &mut this.budget {
            State::Holds(part) => {
                // Whoever asks for more has taken every message that is complete.
                part.shrink_to(this.framing.begun());
                let frame = match Pin::new(&mut this.inner).poll_frame(context) {
                    Poll::Ready(frame) => frame,
                    Poll::Pending if !this.framing.is_within_message() => {
                        this.watch.begun = None;
                        return Poll::Pending;
                    }
                    Poll::Pending => {
                        let is_waited_for = part.is_waited_for();
                        ready!(this.watch.poll(this.received_bytes, is_waited_for, context));
                        return this.fail(ApiError::SenderTooSlow);
                    }
                };
                let data = match frame.map(|frame| frame.map(Frame::into_data)) {
                    Some(Ok(Ok(data))) => data,
                    Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                    Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                    None => return Poll::Ready(None),
                };
                this.received_bytes += data.len() as u64;
                let was_within = this.framing.is_within_message();
                let charge = this.framing.advance(&data);
                if !charge.is_zero() || !was_within {
                    // Another message: its time has not begun.
                    this.watch.begun = None;
                }
                if part.try_grow(charge) {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                let State::Holds(part) = std::mem::replace(&mut this.budget, State::Failed) else {
                    unreachable!("it was matched above");
                };
                this.budget = State::Waits(Box::pin(part.grow(charge)), data);
            }
            State::Waits(..) => {}
            State::Failed => return Poll::Ready(None),
        }
        let State::Waits(grown, data) = &mut this.budget else {
            unreachable!("the other states have returned");
        };
        match ready!(grown.as_mut().poll(context)) {
            Some(part) => {
                let data = std::mem::take(data);
                this.budget = State::Holds(part);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            None => this.fail(ApiError::Overloaded),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.budget {
            State::Holds(_) => self.inner.is_end_stream(),
            State::Waits(..) => false,
            State::Failed => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.budget {
            State::Holds(_) => self.inner.size_hint(),
            State::Waits(..) | State::Failed => SizeHint::default(),
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
