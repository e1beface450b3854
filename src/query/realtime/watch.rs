//! Watching what happens now: one task a question computes it, for all who watch the same.
//!
//! It looks every second, while somebody watches. Those who watch see the newest state only, so one who is
//! slow costs no memory. What an error does: nothing for [`PATIENCE`], then it is told to all, and they come
//! back with their tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use crate::domain::realtime::RealtimeQuestion;
use crate::domain::time_range::to_microseconds;
use crate::error::ApiError;
use crate::query::cache::Answers;
use crate::query::cache::key::Key;
use crate::query::session::TimeLimit;

use super::Realtime;

/// How often it is looked; who watches is not told more often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the last state stands when the database does not give another.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one look may take.
const LIMIT: TimeLimit = TimeLimit(PATIENCE);

/// Start of a hash over a question and what was the case.
pub type StateHash = [u8; 8];

/// What was the case at a moment.
#[derive(Debug, Clone)]
pub struct State {
    /// The moment.
    pub as_of: Timestamp,
    /// What was the case then.
    pub realtime: Arc<Realtime>,
    /// Another one when something else is the case.
    pub hash: StateHash,
}

/// The newest state, an error, or nothing yet.
pub type Newest = Option<Result<State, ApiError>>;

/// All who watch.
#[derive(Debug, Clone)]
pub struct Watches(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    answers: Answers,
    max: usize,
    free: Arc<Semaphore>,
    /// By hash of the question. A sender is there as long as its task runs.
    watched: Mutex<HashMap<[u8; 32], watch::Sender<Newest>>>,
}

/// One who watches.
#[derive(Debug)]
pub struct Watcher {
    /// What is watched.
    pub newest: watch::Receiver<Newest>,
    _place: OwnedSemaphorePermit,
}

impl Watches {
    /// Nobody yet, and at most `max`.
    pub fn new(answers: Answers, max: usize) -> Self {
        Self(Arc::new(Parts {
            answers,
            max,
            free: Arc::new(Semaphore::new(max)),
            watched: Mutex::default(),
        }))
    }

    /// How many watch.
    pub fn count(&self) -> usize {
        self.0.max - self.0.free.available_permits()
    }

    /// Begins to watch.
    pub fn watch(&self, question: &RealtimeQuestion) -> Result<Watcher, ApiError> {
        let place = Arc::clone(&self.0.free).try_acquire_owned();
        let place = place.map_err(|_none_free| ApiError::TooManyWatchers { limit: self.0.max })?;
        let key = Key::of("watch", question.property_no).with(question).done();
        let mut watched = self.0.watched();
        let newest = watched
            .entry(key.digest)
            .or_insert_with(|| {
                let newest = watch::Sender::new(None);
                let run = run(
                    Arc::clone(&self.0),
                    newest.clone(),
                    key.digest,
                    question.clone(),
                );
                tokio::spawn(run);
                newest
            })
            .subscribe();
        Ok(Watcher {
            newest,
            _place: place,
        })
    }
}

impl Parts {
    fn watched(&self) -> MutexGuard<'_, HashMap<[u8; 32], watch::Sender<Newest>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what nobody watches; false if somebody does.
    fn forget(&self, digest: &[u8; 32], newest: &watch::Sender<Newest>) -> bool {
        // Whoever begins to watch has this lock, so nobody is missed.
        let mut watched = self.watched();
        let is_unwatched = newest.receiver_count() == 0;
        if is_unwatched {
            watched.remove(digest);
        }
        is_unwatched
    }
}

/// Takes a question off the list even if its task panics: those who come then start another.
struct RemoveAtEnd {
    parts: Arc<Parts>,
    digest: [u8; 32],
    is_done: bool,
}

impl Drop for RemoveAtEnd {
    fn drop(&mut self) {
        if !self.is_done {
            self.parts.watched().remove(&self.digest);
        }
    }
}

async fn run(
    parts: Arc<Parts>,
    newest: watch::Sender<Newest>,
    digest: [u8; 32],
    question: RealtimeQuestion,
) {
    let mut at_end = RemoveAtEnd {
        parts: Arc::clone(&parts),
        digest,
        is_done: false,
    };
    let question = Arc::new(question);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_success = None;
    loop {
        let looked = async {
            ticks.tick().await;
            look(&parts.answers, &question).await
        };
        tokio::select! {
            looked = looked => publish(&newest, looked, &mut last_success),
            () = newest.closed() => {
                if parts.forget(&digest, &newest) {
                    at_end.is_done = true;
                    return;
                }
            }
        }
    }
}

async fn look(answers: &Answers, question: &Arc<RealtimeQuestion>) -> Result<State, ApiError> {
    let now = to_microseconds(Timestamp::now());
    let asked = Arc::clone(question);
    let key = super::key(question, now);
    let answered = answers.get(key, false, LIMIT, move |engine, snapshot| {
        async move { super::answer(engine, snapshot, &asked, now).await }.boxed()
    });
    let realtime = answered.await?.value;
    let digest: [u8; 32] = Sha256::digest(format!("{question:?} {realtime:?}")).into();
    let mut hash = StateHash::default();
    hash.copy_from_slice(&digest[..8]);
    Ok(State {
        as_of: now,
        realtime,
        hash,
    })
}

fn publish(
    newest: &watch::Sender<Newest>,
    looked: Result<State, ApiError>,
    last_success: &mut Option<Instant>,
) {
    match looked {
        Ok(state) => {
            *last_success = Some(Instant::now());
            newest.send_if_modified(|newest| {
                let hash = |newest: &Newest| match newest {
                    Some(Ok(state)) => Some(state.hash),
                    Some(Err(_)) | None => None,
                };
                let is_news = hash(newest) != Some(state.hash);
                *newest = Some(Ok(state));
                is_news
            });
        }
        Err(error) => {
            if last_success.is_none_or(|last| last.elapsed() >= PATIENCE) {
                newest.send_replace(Some(Err(error)));
            }
        }
    }
}
