//! Made-up events, made ahead of the sending on a thread of their own.

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, Receiver};
use uuid::Uuid;

use crate::cli::traffic::{Traffic, TrafficOptions};
use crate::pb;

/// Event times lie in so many microseconds before the sending.
const SPREAD_US: i64 = 5 * 60 * 1_000_000;
/// Days of traffic before it repeats itself: more events than anybody sends over one connection.
const DAYS: u32 = 10_000;
/// Events made ahead, at least one message.
const AHEAD_EVENTS: usize = 10_000;

/// What identifies an event in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey {
    /// In microseconds of Unix time.
    pub time_us: i64,
    pub id: Uuid,
}

/// Events of one connection. Its people are its own; the site is the same for all.
#[derive(Debug)]
pub struct Source(Mutex<Receiver<Vec<pb::Event>>>);

impl Source {
    /// Begins to make events, in messages of this size.
    pub fn start(seed: u64, connection_no: u16, message_events: usize) -> Self {
        let (sender, receiver) = mpsc::channel((AHEAD_EVENTS / message_events).max(1));
        // No two seeds share a connection's traffic.
        let seed = seed
            .wrapping_mul(0x1_0001)
            .wrapping_add(connection_no.into());
        // The days only order the visits; the times are set when events are sent.
        let options = TrafficOptions {
            days: DAYS,
            ..TrafficOptions::of_day(date(2000, 1, 1))
        };
        tokio::task::spawn_blocking(move || {
            let traffic = Traffic::new(seed, options);
            let mut events = traffic.events();
            loop {
                let mut message: Vec<_> = events.by_ref().take(message_events).collect();
                if message.is_empty() {
                    events = traffic.events();
                    message = events.by_ref().take(message_events).collect();
                }
                // The run is over.
                if sender.blocking_send(message).is_err() {
                    return;
                }
            }
        });
        Self(Mutex::new(receiver))
    }

    /// The messages of a call of so many events, with new ids and times, and what to look for in the
    /// database. `None` when the making of events has ended, which it only does by a panic.
    pub async fn call(&self, mut events: u64) -> Option<(Vec<Vec<pb::Event>>, Vec<EventKey>)> {
        let now_us = Timestamp::now().as_microsecond();
        let mut messages = Vec::new();
        let mut keys = Vec::new();
        while events > 0 {
            let mut message = self.0.lock().await.recv().await?;
            message.truncate(usize::try_from(events).unwrap_or(usize::MAX));
            events -= message.len() as u64;
            keys.extend(message.iter_mut().map(|event| mint(event, now_us)));
            messages.push(message);
        }
        Some((messages, keys))
    }
}

/// Gives the event an id of its own and a time up to [`SPREAD_US`] before now.
fn mint(event: &mut pb::Event, now_us: i64) -> EventKey {
    let time_us = now_us - rand::random_range(0..SPREAD_US);
    let millis = u64::try_from(time_us / 1_000).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
    let time = SignedDuration::from_micros(time_us);
    event.event_id = id.to_string();
    event.time = Some(prost_types::Timestamp {
        seconds: time.as_secs(),
        nanos: time.subsec_nanos(),
    });
    EventKey { time_us, id }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn events_are_of_now_and_have_ids_of_their_own() {
        let source = Source::start(1, 0, 400);
        let before = Timestamp::now().as_microsecond();
        let mut ids = HashSet::new();
        for _ in 0..3 {
            let (messages, keys) = source.call(1_000).await.expect("events");
            let sizes: Vec<usize> = messages.iter().map(Vec::len).collect();
            assert_eq!(sizes, [400, 400, 200]);
            for (event, key) in messages.iter().flatten().zip(&keys) {
                assert_eq!(event.event_id, key.id.to_string());
                let time = event.time.as_ref().expect("a time");
                let time_us = time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000;
                assert_eq!(time_us, key.time_us);
                assert!(
                    time_us > before - SPREAD_US && time_us <= Timestamp::now().as_microsecond()
                );
                let (seconds, nanos) = key.id.get_timestamp().expect("version 7").to_unix();
                let id_ms = seconds as i64 * 1_000 + i64::from(nanos) / 1_000_000;
                assert_eq!(id_ms, key.time_us / 1_000);
                assert!(ids.insert(key.id));
            }
        }
        assert_eq!(ids.len(), 3_000);
    }

    #[tokio::test]
    async fn a_seed_makes_the_same_people() {
        let mut people = Vec::new();
        for (seed, connection_no) in [(7, 0), (7, 0), (7, 1), (8, 0)] {
            let source = Source::start(seed, connection_no, 100);
            let (messages, _) = source.call(100).await.expect("events");
            let ids = messages.into_iter().flatten().map(|event| event.visitor_id);
            people.push(ids.collect::<Vec<_>>());
        }
        assert_eq!(people[0], people[1]);
        assert_ne!(people[0], people[2]);
        assert_ne!(people[0], people[3]);
    }
}
