//! Senders that go on until their server is gone, and what they know of the events they sent.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tokio::sync::{mpsc, watch};
use tokio_postgres::Client;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::page_view;

/// Events of a message at most.
const MESSAGE_EVENTS: usize = 60;
/// Messages of a stream.
const STREAM_MESSAGES: usize = 3;
/// Unary calls at a time.
const CALLS: usize = 8;
/// Messages of a pipe that are not acknowledged at most.
const MAX_IN_FLIGHT: usize = 24;
/// How far back the times of events go.
const MAX_AGE_US: i64 = 2 * 86_400_000_000;
/// How long the server may take to load what it logged.
const PATIENCE: Duration = Duration::from_secs(120);

/// An event as it must be in the database: its id, and its time in microseconds since 1970.
type Identity = (Uuid, i64);

/// How a sender sends.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// IngestEvent, several at a time.
    Unary,
    /// StreamEvents, one call after the other.
    Stream,
    /// PipeEvents.
    Pipe,
}

/// What a sender knows of the events it sent.
#[derive(Default)]
pub struct Ledger {
    acknowledged: HashMap<Uuid, i64>,
    /// Sent in a call that broke: stored or not. They are sent again, most of them.
    unknown: Vec<pb::Event>,
    /// The others of them, which nobody sends again.
    given_up: HashMap<Uuid, i64>,
}

/// One of several senders.
pub struct Sender {
    way: Way,
    random: StdRng,
    /// What it knows.
    pub ledger: Ledger,
}

impl Sender {
    /// One of each kind. The seed decides what they send.
    pub fn one_of_each(seed: u64) -> Vec<Self> {
        [Way::Unary, Way::Stream, Way::Stream, Way::Pipe, Way::Pipe]
            .into_iter()
            .zip(seed..)
            .map(|(way, seed)| Self {
                way,
                random: StdRng::seed_from_u64(seed),
                ledger: Ledger::default(),
            })
            .collect()
    }

    /// Sends until a call breaks, or in order until `stop`; what broke before is sent first.
    /// `acknowledged` counts along, for whoever waits for load.
    pub async fn send(
        &mut self,
        channel: Channel,
        acknowledged: &watch::Sender<usize>,
        stop: &CancellationToken,
    ) -> Result<(), Status> {
        let mut client = IngestServiceClient::new(channel);
        match self.way {
            Way::Pipe => return self.pipe(&mut client, acknowledged, stop).await,
            Way::Unary | Way::Stream => {}
        }
        while !stop.is_cancelled() {
            let before = self.ledger.acknowledged.len();
            let sent = match self.way {
                Way::Unary => self.calls(&client).await,
                Way::Stream | Way::Pipe => self.stream(&mut client).await,
            };
            let new = self.ledger.acknowledged.len() - before;
            acknowledged.send_modify(|count| *count += new);
            sent?;
        }
        Ok(())
    }

    async fn calls(&mut self, client: &IngestServiceClient<Channel>) -> Result<(), Status> {
        let events = self.events(CALLS);
        let calls = events.iter().map(|event| {
            let request = pb::IngestEventRequest {
                event: Some(event.clone()),
                acknowledgement: self.acknowledgement(),
            };
            let mut client = client.clone();
            async move { client.ingest_event(request).await }
        });
        let calls: Vec<_> = calls.collect();
        let mut broken = Ok(());
        for (event, reply) in events.into_iter().zip(join_all(calls).await) {
            match reply {
                Ok(_) => self.ledger.acknowledge(&event),
                Err(status) => {
                    assert_worth_a_retry(&status);
                    self.ledger.unknown.push(event);
                    broken = Err(status);
                }
            }
        }
        broken
    }

    async fn stream(&mut self, client: &mut IngestServiceClient<Channel>) -> Result<(), Status> {
        let mut events = self.events(MESSAGE_EVENTS * STREAM_MESSAGES);
        let acknowledgement = self.acknowledgement();
        let messages: Vec<pb::StreamEventsRequest> = events
            .chunks(MESSAGE_EVENTS)
            .map(|events| pb::StreamEventsRequest {
                events: events.to_vec(),
                acknowledgement,
            })
            .collect();
        match client.stream_events(tokio_stream::iter(messages)).await {
            Ok(summary) => {
                let summary = summary.into_inner();
                let count = events.len() as u64;
                assert_eq!((summary.received, summary.rejected), (count, 0));
                // Which ones are to be sent again is listed, too; all of them is as good.
                match summary.retry {
                    0 => events
                        .iter()
                        .for_each(|event| self.ledger.acknowledge(event)),
                    _ => self.ledger.unknown.extend(events),
                }
                Ok(())
            }
            Err(status) => {
                assert_worth_a_retry(&status);
                let rest = events.split_off(acknowledged_events(&status).unwrap_or(0));
                events
                    .iter()
                    .for_each(|event| self.ledger.acknowledge(event));
                self.ledger.unknown.extend(rest);
                Err(status)
            }
        }
    }

    async fn pipe(
        &mut self,
        client: &mut IngestServiceClient<Channel>,
        acknowledged: &watch::Sender<usize>,
        stop: &CancellationToken,
    ) -> Result<(), Status> {
        let (sender, messages) = mpsc::channel(2);
        let mut sender = Some(sender);
        let reply = client.pipe_events(ReceiverStream::new(messages)).await;
        let mut replies = reply.inspect_err(assert_worth_a_retry)?.into_inner();
        let mut in_flight: VecDeque<(u64, Vec<pb::Event>)> = VecDeque::new();
        let mut message_id = 0;
        let ended = loop {
            let room = in_flight.len() < MAX_IN_FLIGHT;
            tokio::select! {
                permit = reserve(sender.clone()), if room => {
                    message_id += 1;
                    let count = self.random.random_range(0..=MESSAGE_EVENTS);
                    let events = self.events(count);
                    permit.send(pb::PipeEventsRequest {
                        events: events.clone(),
                        acknowledgement: self.acknowledgement(),
                        message_id,
                    });
                    in_flight.push_back((message_id, events));
                }
                reply = replies.message() => match reply {
                    Ok(Some(reply)) => {
                        let (message_id, events) = in_flight.pop_front().expect("one that was sent");
                        assert_eq!(reply.message_id, message_id);
                        let count = self.ledger.take_reply(&reply, events);
                        acknowledged.send_modify(|acknowledged| *acknowledged += count);
                    }
                    Ok(None) => {
                        assert!(sender.is_none() && in_flight.is_empty(), "the pipe ended by itself");
                        break Ok(());
                    }
                    Err(status) => break Err(status),
                },
                () = stop.cancelled(), if sender.is_some() => sender = None,
            }
        };
        let left = in_flight.into_iter().flat_map(|(_, events)| events);
        self.ledger.unknown.extend(left);
        ended.inspect_err(assert_worth_a_retry)
    }

    /// Events to send: first those that nobody knows the fate of.
    fn events(&mut self, count: usize) -> Vec<pb::Event> {
        let again = self.ledger.unknown.len().min(count);
        let mut events: Vec<pb::Event> = self.ledger.unknown.drain(..again).collect();
        if again > 0 && self.random.random_bool(0.2) {
            let given_up = events.drain(..).map(|event| identity(&event));
            self.ledger.given_up.extend(given_up);
        }
        while events.len() < count {
            let number: u8 = self.random.random();
            let mut event = page_view(&format!("visitor-{number}"), "/");
            // Others get their time from their id.
            if self.random.random() {
                let age_us = self.random.random_range(0..MAX_AGE_US);
                let time_us = jiff::Timestamp::now().as_microsecond() - age_us;
                event.time = Some(prost_types::Timestamp {
                    seconds: time_us.div_euclid(1_000_000),
                    nanos: i32::try_from(time_us.rem_euclid(1_000_000) * 1_000).expect("nanos"),
                });
            }
            events.push(event);
        }
        events
    }

    fn acknowledgement(&self) -> i32 {
        match rand::random_bool(0.2) {
            true => pb::Acknowledgement::Committed.into(),
            false => pb::Acknowledgement::Logged.into(),
        }
    }
}

impl Ledger {
    fn acknowledge(&mut self, event: &pb::Event) {
        let (id, time_us) = identity(event);
        self.acknowledged.insert(id, time_us);
    }

    /// Returns how many events are acknowledged.
    fn take_reply(&mut self, reply: &pb::PipeEventsResponse, events: Vec<pb::Event>) -> usize {
        let sum = reply.accepted + reply.duplicates + reply.rejected + reply.retry;
        assert_eq!((sum as usize, reply.rejected), (events.len(), 0));
        let again: Vec<u64> = reply.failures.iter().map(|failure| failure.index).collect();
        assert_eq!(again.len(), reply.retry as usize);
        for (index, event) in (0..).zip(events) {
            match again.contains(&index) {
                true => self.unknown.push(event),
                false => self.acknowledge(&event),
            }
        }
        (sum - reply.retry) as usize
    }

    /// How many events are acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Sends what nobody knows the fate of once more, until it is committed.
    pub async fn resend(&mut self, channel: Channel) {
        let mut client = IngestServiceClient::new(channel);
        let unknown = std::mem::take(&mut self.unknown);
        let messages: Vec<pb::StreamEventsRequest> = unknown
            .chunks(MESSAGE_EVENTS)
            .map(|events| super::committed_batch(events.to_vec()))
            .collect();
        let reply = client.stream_events(tokio_stream::iter(messages)).await;
        let summary = reply.expect("the stream ends OK").into_inner();
        let stored = summary.accepted + summary.duplicates;
        assert_eq!(stored, unknown.len() as u64, "{summary:?}");
        unknown.iter().for_each(|event| self.acknowledge(event));
    }

    /// Adds what another sender knows.
    pub fn merge(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.unknown.extend(other.unknown);
        self.given_up.extend(other.given_up);
    }

    /// Waits until everything that was acknowledged is in the database. Then that and nothing that
    /// nobody sent is there, each once.
    pub async fn assert_exactly_once(&self, client: &Client) {
        assert!(self.unknown.is_empty(), "resend first");
        let started = tokio::time::Instant::now();
        loop {
            let rows = client.query("select event_id, time from events", &[]).await;
            let stored: Vec<Identity> = rows
                .expect("the events")
                .iter()
                .map(|row| {
                    (
                        row.get(0),
                        row.get::<_, jiff::Timestamp>(1).as_microsecond(),
                    )
                })
                .collect();
            let once: HashMap<Uuid, i64> = stored.iter().copied().collect();
            assert_eq!(stored.len() - once.len(), 0, "events stored more than once");
            let lost = missing(&self.acknowledged, &once);
            if lost > 0 && started.elapsed() < PATIENCE {
                continue;
            }
            assert_eq!(
                lost,
                0,
                "events acknowledged and lost, of {}",
                self.acknowledged()
            );
            let sent: HashMap<Uuid, i64> = [&self.acknowledged, &self.given_up]
                .into_iter()
                .flatten()
                .map(|(id, time_us)| (*id, *time_us))
                .collect();
            assert_eq!(missing(&once, &sent), 0, "events that nobody sent");
            return;
        }
    }
}

/// How many of these are not among those.
fn missing(these: &HashMap<Uuid, i64>, those: &HashMap<Uuid, i64>) -> usize {
    these
        .iter()
        .filter(|(id, time_us)| those.get(id) != Some(time_us))
        .count()
}

/// How many events of a stream that was ended are acknowledged, from its first on.
pub fn acknowledged_events(status: &Status) -> Option<usize> {
    let details = status.get_error_details();
    let text = details.error_info()?.metadata.get("acknowledged_events")?;
    Some(text.parse().expect("a number"))
}

async fn reserve<T>(sender: Option<mpsc::Sender<T>>) -> mpsc::OwnedPermit<T> {
    if let Some(sender) = sender
        && let Ok(permit) = sender.reserve_owned().await
    {
        return permit;
    }
    // The call has ended: its end is among the replies.
    std::future::pending().await
}

/// Fails on an error that sending again does not help with. What a broken connection looks like is the
/// client library's choice.
#[track_caller]
fn assert_worth_a_retry(status: &Status) {
    let is_hopeless = [
        Code::InvalidArgument,
        Code::OutOfRange,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::NotFound,
        Code::Unimplemented,
    ]
    .contains(&status.code());
    assert!(!is_hopeless, "{status:?}");
}

fn identity(event: &pb::Event) -> Identity {
    let id: Uuid = event.event_id.parse().expect("an id");
    let (seconds, nanos) = match event.time {
        Some(time) => (time.seconds, i64::from(time.nanos)),
        None => {
            let (seconds, nanos) = id.get_timestamp().expect("version 7").to_unix();
            (i64::try_from(seconds).expect("a time"), i64::from(nanos))
        }
    };
    (id, seconds * 1_000_000 + nanos / 1_000)
}
