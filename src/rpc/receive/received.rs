//! What a call holds of the budget: its body takes, and its handler may give back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::budget::{Charge, Part, ReceiveBudget};

/// The part of the budget that a call's messages hold. It is in the request's extensions, and what
/// it holds is free at the latest when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Received(Arc<Mutex<Held>>);

#[derive(Debug)]
struct Held {
    /// `None` while the body waits for more, and when it holds nothing any more.
    part: Option<Part>,
    /// What the message that has not ended was charged.
    begun: Charge,
}

impl Received {
    /// Nothing yet.
    pub fn new(budget: &Arc<ReceiveBudget>) -> Self {
        Self(Arc::new(Mutex::new(Held {
            part: Some(budget.part()),
            begun: Charge::default(),
        })))
    }

    /// Gives back what messages that have ended hold; for a handler that has dropped its message.
    ///
    /// What tonic's buffer still has of the same frame is then in no budget. It is plain messages that
    /// came whole, so it is less than a frame.
    pub fn release(&self) {
        let Held { part, begun } = &mut *self.held();
        if let Some(part) = part {
            part.shrink_to(*begun);
        }
    }

    /// More, of which `begun` is for a message that has not ended. When that is not free right now,
    /// the part to wait with.
    pub(super) fn try_grow(&self, charge: Charge, begun: Charge) -> Result<(), Option<Part>> {
        let mut held = self.held();
        held.begun = begun;
        let grown = held.part.as_mut().map(|part| part.try_grow(charge));
        match grown {
            Some(true) => Ok(()),
            Some(false) | None => Err(held.part.take()),
        }
    }

    /// Takes a part back that was waited with.
    pub(super) fn resume(&self, part: Part) {
        self.held().part = Some(part);
    }

    /// Gives everything back, for good.
    pub(super) fn close(&self) {
        self.held().part = None;
    }

    /// Whether somebody waits for what is held.
    pub(super) fn is_waited_for(&self) -> bool {
        let held = self.held();
        held.part.as_ref().is_some_and(Part::is_waited_for)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
