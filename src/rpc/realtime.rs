//! Realtime and WatchRealtime.
//!
//! Messages of a watch are made when HTTP/2 can send them, from the newest state: a client that does not
//! read holds nothing up and costs nothing.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{FutureExt, Stream};
use jiff::Timestamp;
use tokio::time::Instant;
use tonic::Status;

use crate::error::ApiError;
use crate::pb;
use crate::query::realtime::watch::{State, StateHash, Watcher};
use crate::query::realtime::{self, Counts, Realtime};
use crate::store::seal::{Purpose, Seal};
use crate::validate;
use crate::validate::realtime::Watch;

use super::convert::timestamp;
use super::scope::Scope;

/// The messages of a watch.
pub type Messages = Pin<Box<dyn Stream<Item = Result<pb::WatchRealtimeResponse, Status>> + Send>>;

/// Realtime.
pub async fn answer(
    scope: &Scope,
    request: pb::RealtimeRequest,
) -> Result<pb::RealtimeResponse, ApiError> {
    let awaited = scope.freshness(&request.freshness_token)?;
    let (now, anew) = (Timestamp::now(), request.no_cache);
    let question = validate::realtime::question(request.question, scope.property()?)?;
    scope.until_fresh(awaited).await?;
    let key = realtime::key(&question, now);
    let limit = scope.time_limit();
    let answered = scope
        .core
        .answers
        .get(key, anew, limit, move |engine, snapshot| {
            async move { realtime::answer(engine, snapshot, &question, now).await }.boxed()
        });
    let answered = answered.await?;
    Ok(pb::RealtimeResponse {
        snapshot: Some(snapshot(&answered.value, now)),
        from_cache: answered.from_cache,
    })
}

/// WatchRealtime.
pub fn watch(scope: Scope, request: pb::WatchRealtimeRequest) -> Result<Messages, ApiError> {
    let property = Arc::clone(scope.property()?);
    let seen = match request.resume_token.as_str() {
        "" => None,
        token => {
            let seen = Seen::read(scope.core.freshness.seal(), property.property_no, token);
            Some(seen.ok_or_else(|| ApiError::invalid("resume_token", "is none of this property"))?)
        }
    };
    let watch = validate::realtime::watch(request, &property)?;
    scope.release_message();
    let watching = Watching {
        watcher: scope.core.watches.watch(&watch.question)?,
        property_no: property.property_no,
        scope,
        watch,
        seen,
        next_snapshot_at: Instant::now(),
        last_message_at: Instant::now(),
        has_ended: false,
    };
    Ok(Box::pin(futures_util::stream::unfold(
        watching,
        |mut watching| async {
            let message = watching.next().await?;
            Some((message, watching))
        },
    )))
}

/// What a client has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    as_of_us: i64,
    hash: StateHash,
}

const SEEN_BYTES: usize = 16;

impl Seen {
    fn of(state: &State) -> Self {
        Self {
            as_of_us: state.as_of.as_microsecond(),
            hash: state.hash,
        }
    }

    fn token(self, seal: &Seal, property_no: i32) -> String {
        let mut payload = [0; SEEN_BYTES];
        payload[..8].copy_from_slice(&self.as_of_us.to_be_bytes());
        payload[8..].copy_from_slice(&self.hash);
        seal.close(Purpose::Resume, property_no, &payload)
    }

    fn read(seal: &Seal, property_no: i32, token: &str) -> Option<Self> {
        let payload: [u8; SEEN_BYTES] = seal.open(Purpose::Resume, property_no, token)?;
        let (as_of_us, hash) = payload.split_at(8);
        Some(Self {
            as_of_us: i64::from_be_bytes(as_of_us.try_into().ok()?),
            hash: hash.try_into().ok()?,
        })
    }
}

struct Watching {
    scope: Scope,
    property_no: i32,
    watch: Watch,
    watcher: Watcher,
    /// The last snapshot that was sent.
    seen: Option<Seen>,
    next_snapshot_at: Instant,
    last_message_at: Instant,
    has_ended: bool,
}

impl Watching {
    /// The next message; `None` when the call has ended.
    async fn next(&mut self) -> Option<Result<pb::WatchRealtimeResponse, Status>> {
        if self.has_ended {
            return None;
        }
        let message = self.message().await;
        self.has_ended = message.is_err();
        self.last_message_at = Instant::now();
        Some(message.map_err(Status::from))
    }

    async fn message(&mut self) -> Result<pb::WatchRealtimeResponse, ApiError> {
        loop {
            let has_news = self.has_news()?;
            let heartbeat_at = self.last_message_at + self.watch.heartbeat_interval;
            tokio::select! {
                biased;
                () = self.scope.core.draining.cancelled() => return Err(ApiError::ShuttingDown),
                () = tokio::time::sleep_until(self.next_snapshot_at), if has_news => {
                    if let Some(message) = self.snapshot()? {
                        return Ok(message);
                    }
                }
                // Without one that was sent there is nothing to go on from.
                () = tokio::time::sleep_until(heartbeat_at), if self.seen.is_some() => {
                    return Ok(self.heartbeat());
                }
                changed = self.watcher.newest.changed() => {
                    // Whoever computes it has died; the next call starts another.
                    changed.map_err(|_gone| ApiError::Internal)?;
                }
            }
        }
    }

    /// Whether the newest state is to be sent.
    fn has_news(&mut self) -> Result<bool, ApiError> {
        match &*self.watcher.newest.borrow_and_update() {
            Some(Ok(state)) => Ok(is_news(state, self.seen)),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(false),
        }
    }

    /// The newest state, if it is still to be sent.
    fn snapshot(&mut self) -> Result<Option<pb::WatchRealtimeResponse>, ApiError> {
        let state = match self.watcher.newest.borrow_and_update().clone() {
            Some(state) => state?,
            None => return Ok(None),
        };
        if !is_news(&state, self.seen) {
            return Ok(None);
        }
        let seen = Seen::of(&state);
        self.seen = Some(seen);
        self.next_snapshot_at = Instant::now() + self.watch.min_interval;
        Ok(Some(pb::WatchRealtimeResponse {
            snapshot: Some(snapshot(&state.realtime, state.as_of)),
            resume_token: self.token(),
        }))
    }

    fn heartbeat(&mut self) -> pb::WatchRealtimeResponse {
        if let Some(Ok(state)) = &*self.watcher.newest.borrow()
            && let Some(seen) = &mut self.seen
            && seen.hash == state.hash
        {
            // Nothing has changed up to here.
            seen.as_of_us = seen.as_of_us.max(state.as_of.as_microsecond());
        }
        pb::WatchRealtimeResponse {
            snapshot: None,
            resume_token: self.token(),
        }
    }

    fn token(&self) -> String {
        let seal = self.scope.core.freshness.seal();
        let token = |seen: Seen| seen.token(seal, self.property_no);
        self.seen.map(token).unwrap_or_default()
    }
}

/// Whether a state is newer than what was seen, and another.
fn is_news(state: &State, seen: Option<Seen>) -> bool {
    seen.is_none_or(|seen| state.as_of.as_microsecond() > seen.as_of_us && state.hash != seen.hash)
}

fn snapshot(realtime: &Realtime, as_of: Timestamp) -> pb::RealtimeSnapshot {
    let entries = |entries: &[(String, Counts)]| {
        let entry = |(value, counts): &(String, Counts)| pb::RealtimeEntry {
            value: value.clone(),
            visitors: counts.visitors,
            page_views: counts.page_views,
            events: counts.events,
        };
        entries.iter().map(entry).collect()
    };
    let minute = |(start, counts): &(Timestamp, Counts)| pb::RealtimeMinute {
        start_time: Some(timestamp(*start)),
        visitors: counts.visitors,
        page_views: counts.page_views,
        events: counts.events,
    };
    pb::RealtimeSnapshot {
        as_of_time: Some(timestamp(as_of)),
        visitors: realtime.now.visitors,
        page_views: realtime.now.page_views,
        events: realtime.now.events,
        minutes: realtime.minutes.iter().map(minute).collect(),
        series_visitors: realtime.series_visitors,
        pages: entries(&realtime.pages),
        referrers: entries(&realtime.referrers),
        countries: entries(&realtime.countries),
    }
}
