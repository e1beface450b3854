//! Callers that wait until their events are committed in the database.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// What became of an event when it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored now.
    Stored,
    /// Was stored already.
    Duplicate,
    /// Refused by the database, and kept as a dead letter.
    DeadLetter,
}

/// The caller of consecutive records.
#[derive(Debug)]
struct Caller {
    outcomes: Vec<Option<Outcome>>,
    remaining: usize,
    reply: oneshot::Sender<Vec<Outcome>>,
}

/// Who waits for which records, by the first one's sequence number. A caller is here before a loader
/// can see its records, so no outcome is missed.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<BTreeMap<u64, Caller>>);

impl Waiting {
    /// Adds the caller of `records` records from number `first` on.
    pub fn add(&self, first: u64, records: usize, reply: oneshot::Sender<Vec<Outcome>>) {
        if records == 0 || reply.is_closed() {
            return;
        }
        let caller = Caller {
            outcomes: vec![None; records],
            remaining: records,
            reply,
        };
        self.lock().insert(first, caller);
    }

    /// Whether somebody waits.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Tells the callers of records from number `first` on what became of them.
    pub fn settle(&self, first: u64, outcomes: &[Outcome]) {
        let settled = first..first + outcomes.len() as u64;
        let mut callers = self.lock();
        // Callers' ranges do not overlap, so only one that begins before can reach into this one.
        let begin = callers
            .range(..settled.start)
            .next_back()
            .map_or(settled.start, |(first, _)| *first);
        let mut done = Vec::new();
        for (caller_first, caller) in callers.range_mut(begin..settled.end) {
            let own = *caller_first..*caller_first + caller.outcomes.len() as u64;
            for sequence in overlap(&own, &settled) {
                let place = |from: u64| usize::try_from(sequence - from).unwrap_or(usize::MAX);
                let outcome = outcomes[place(settled.start)];
                if caller.outcomes[place(own.start)].replace(outcome).is_none() {
                    caller.remaining -= 1;
                }
            }
            if caller.remaining == 0 {
                done.push(*caller_first);
            }
        }
        for first in done {
            if let Some(caller) = callers.remove(&first) {
                let outcomes = caller.outcomes.into_iter().flatten().collect();
                let _caller_left = caller.reply.send(outcomes);
            }
        }
    }

    /// Forgets callers that no longer wait.
    pub fn sweep(&self) {
        self.lock().retain(|_, caller| !caller.reply.is_closed());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Caller>> {
        // Nothing under this lock leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    one.start.max(other.start)..one.end.min(other.end)
}

#[cfg(test)]
mod tests {
    use super::Outcome::{DeadLetter, Duplicate, Stored};
    use super::*;

    fn wait(waiting: &Waiting, first: u64, records: usize) -> oneshot::Receiver<Vec<Outcome>> {
        let (reply, outcome) = oneshot::channel();
        waiting.add(first, records, reply);
        outcome
    }

    #[test]
    fn a_caller_hears_when_its_last_record_is_settled_in_whatever_order() {
        let waiting = Waiting::default();
        let mut caller = wait(&waiting, 10, 3);
        let mut next = wait(&waiting, 13, 1);
        waiting.settle(12, &[Stored, DeadLetter]);
        assert_eq!(next.try_recv(), Ok(vec![DeadLetter]));
        assert!(caller.try_recv().is_err());
        waiting.settle(8, &[Stored, Stored, Stored, Duplicate]);
        assert_eq!(caller.try_recv(), Ok(vec![Stored, Duplicate, Stored]));
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_caller_that_left_is_forgotten() {
        let waiting = Waiting::default();
        drop(wait(&waiting, 0, 1));
        assert!(!waiting.is_empty());
        waiting.sweep();
        assert!(waiting.is_empty());
    }
}
