//! A message of events on its way: validated, appended to the log, and settled event by event.

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::event::Verdict;
use crate::error::{ApiError, Violation};
use crate::log::event::Records;
use crate::log::waiting::Outcome;
use crate::log::{Acknowledged, Appended, Until};
use crate::metrics::VerdictCounts;
use crate::pb::{self, Acknowledgement};
use crate::validate::event::{self, MAX_EVENTS, Refused};

use super::scope::Scope;

/// What a request's acknowledgement waits for.
pub fn until(acknowledgement: i32) -> Result<Until, ApiError> {
    match Acknowledgement::try_from(acknowledgement) {
        Ok(Acknowledgement::Unspecified | Acknowledgement::Logged) => Ok(Until::Logged),
        Ok(Acknowledgement::Committed) => Ok(Until::Committed),
        Err(_) => Err(ApiError::invalid(
            "acknowledgement",
            format!("{acknowledgement} is not LOGGED (1) or COMMITTED (2)"),
        )),
    }
}

/// Events of one call that wait for their acknowledgement at most before more are read, and refused
/// ones among them, which take more memory; a message more may go over it.
const MAX_PENDING_EVENTS: usize = 20_000;
const MAX_PENDING_REFUSED: usize = 5_000;
/// Refused events of a message whose violations are kept.
const MAX_EXPLAINED: usize = 1_000;

/// Whether more may be read of a call with these messages pending.
pub fn has_room<'p>(pending: impl Iterator<Item = &'p Pending>) -> bool {
    let (mut events, mut refused) = (0, 0);
    for pending in pending {
        events += pending.events.len();
        refused += pending.refused;
    }
    events < MAX_PENDING_EVENTS && refused < MAX_PENDING_REFUSED
}

/// A message whose events are not settled yet.
#[derive(Debug)]
pub struct Pending {
    /// Every event, in order: its id if it was appended, else why not.
    events: Vec<Result<Uuid, Refused>>,
    /// How many of them were refused.
    refused: usize,
    /// `None` when all were refused.
    appended: Option<Appended>,
}

impl Pending {
    /// Validates a message's events and appends those that are valid. Waits while the log's queue is
    /// full; a log that is full refuses before anything is decoded.
    pub async fn new(
        scope: &Scope,
        encoded_events: Vec<Bytes>,
        acknowledgement: i32,
    ) -> Result<Self, ApiError> {
        let property = scope.property()?;
        scope.core.log.check_room()?;
        let until = until(acknowledgement)?;
        if encoded_events.len() > MAX_EVENTS {
            let count = encoded_events.len();
            let fault = format!("{count} events in a message, need at most {MAX_EVENTS}");
            return Err(ApiError::invalid("events", fault));
        }
        let now_us = Timestamp::now().as_microsecond();
        let mut records = Records::with_capacity(encoded_events.len());
        let mut unusual = pb::Event::default();
        let mut events = Vec::with_capacity(encoded_events.len());
        let mut refusals = 0;
        for encoded in encoded_events {
            match event::decode(&encoded, &mut unusual, property, now_us) {
                Ok(event) => {
                    events.push(Ok(event.event_id));
                    records.push(&scope.core.enricher.enrich(event, property), now_us);
                }
                Err(mut refused) => {
                    refusals += 1;
                    if refusals > MAX_EXPLAINED {
                        refused.violations = Vec::new();
                    }
                    events.push(Err(refused));
                }
            }
        }
        let appended = match records.is_empty() {
            true => None,
            false => Some(scope.core.log.append(records.finish(), until).await?),
        };
        // The log has the records, in a budget of its own.
        scope.release_message();
        Ok(Self {
            events,
            refused: refusals,
            appended,
        })
    }

    /// Waits for the acknowledgement. Dropping the future loses nothing.
    pub async fn acknowledged(&mut self) -> Result<Acknowledged, ApiError> {
        match &mut self.appended {
            Some(appended) => appended.acknowledged().await,
            None => Ok(Acknowledged::Logged),
        }
    }

    /// A range of the log's records that covers the events, once they are in the log.
    pub fn logged(&self) -> Option<Range<u64>> {
        self.appended.as_ref()?.logged()
    }

    /// Tells what became of every event, in order, with the id it can be named by; and counts it.
    pub fn settle(self, acknowledged: Acknowledged, mut tell: impl FnMut(Option<Uuid>, Verdict)) {
        let mut verdicts = Verdicts::new(acknowledged);
        let mut counts = VerdictCounts::default();
        for event in self.events {
            let (event_id, verdict) = match event {
                Ok(event_id) => (Some(event_id), verdicts.of_next()),
                Err(refused) => (refused.event_id, Verdict::Rejected(refused.violations)),
            };
            counts.add(&verdict);
            tell(event_id, verdict);
        }
        counts.record();
    }
}

/// The verdicts on appended events, one after the other.
pub struct Verdicts {
    is_logged: bool,
    outcomes: std::vec::IntoIter<Outcome>,
}

impl Verdicts {
    /// From what the log says.
    pub fn new(acknowledged: Acknowledged) -> Self {
        let is_logged = matches!(acknowledged, Acknowledged::Logged);
        let outcomes = match acknowledged {
            Acknowledged::Committed(outcomes) => outcomes,
            Acknowledged::Logged | Acknowledged::Unconfirmed => Vec::new(),
        };
        Self {
            is_logged,
            outcomes: outcomes.into_iter(),
        }
    }

    /// On the next event.
    pub fn of_next(&mut self) -> Verdict {
        match self.outcomes.next() {
            Some(Outcome::Stored) => Verdict::Accepted,
            Some(Outcome::Duplicate) => Verdict::Duplicate,
            Some(Outcome::DeadLetter) => Verdict::Rejected(vec![Violation::new(
                "",
                "the database refused the event; an administrator finds it among the dead letters",
            )]),
            None if self.is_logged => Verdict::Accepted,
            None => Verdict::Retry,
        }
    }
}
