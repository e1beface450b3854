//! A batch: events that are written in one transaction.

use std::collections::HashSet;

use crate::log::event::{Identity, LoggedEvent};
use crate::log::waiting::Outcome;

/// Events that are written together.
#[derive(Debug)]
pub struct Batch<'a> {
    events: &'a [LoggedEvent<'a>],
    /// Of every event, in order.
    outcomes: Vec<Outcome>,
    /// The places of the events with an identity of their own, in order of their identities. That
    /// order lets the index grow at its end, and two loaders that store the same events wait for each
    /// other in one direction.
    unique: Vec<usize>,
}

impl<'a> Batch<'a> {
    /// A batch of all of these.
    pub fn new(events: &'a [LoggedEvent<'a>]) -> Self {
        let mut outcomes = vec![Outcome::Stored; events.len()];
        let mut order: Vec<(Identity, usize)> = events
            .iter()
            .enumerate()
            .map(|(place, event)| (event.identity(), place))
            .collect();
        // By place too, so that of two with one identity the first is stored.
        order.sort_unstable();
        order.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            if is_same {
                outcomes[later.1] = Outcome::Duplicate;
            }
            is_same
        });
        Self {
            events,
            outcomes,
            unique: order.into_iter().map(|(_, place)| place).collect(),
        }
    }

    /// The events, each identity once, in order of their identities.
    pub fn unique(&self) -> impl ExactSizeIterator<Item = &'a LoggedEvent<'a>> + Clone {
        self.unique.iter().map(|place| &self.events[*place])
    }

    /// Of the unique events those are stored whose identity is in `stored`; the others were there
    /// before.
    pub fn mark_stored(&mut self, stored: &HashSet<Identity>) {
        for place in &self.unique {
            self.outcomes[*place] = match stored.contains(&self.events[*place].identity()) {
                true => Outcome::Stored,
                false => Outcome::Duplicate,
            };
        }
    }

    /// What became of every event, in order.
    pub fn outcomes(self) -> Vec<Outcome> {
        self.outcomes
    }
}
