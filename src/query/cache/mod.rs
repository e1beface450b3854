//! Answers: each is computed once for all who ask the same, and kept while the data stays as it is.
//!
//! ```text
//!  key ──▶ kept? ───────────────────────────────▶ answer
//!            │ no
//!            ▼
//!          being computed? ──▶ wait with the others ──▶ answer
//!            │ no                                        ▲
//!            ▼                                           │
//!          snapshot · compute · windows ── keep ─────────┘
//! ```
//!
//! - [`key`] says which questions are the same, though their ranges end now.
//! - [`window`] says how far "now" may move before an answer changes.
//! - [`kept`] holds the answers, with the version of the data ([`crate::store::versions`]) that each is of.
//!
//! A computation belongs to all who wait for it: it goes on while one of them does, and when the last one
//! leaves, or its time is over, it is dropped, which cancels its statement.

pub mod kept;
pub mod key;
pub mod window;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::error::ApiError;
use crate::metrics::{self, AnswerSource};
use crate::store::versions::{Version, Versions};

use super::answer::Answer;
use super::engine::Engine;
use super::session::{Session, Snapshot, TimeLimit, within};

use self::kept::{Entry, Kept};
use self::key::Key;
use self::window::Window;

/// How often a question waits for somebody else's answer, which turns out not to be its own since an event
/// lies between the two ends, before it computes its own whatever others do.
const MAX_JOINS: usize = 2;

/// Something that can be kept: it says how large it is.
pub trait Weigh: Any + Send + Sync {
    /// Bytes that it takes, roughly.
    fn bytes(&self) -> usize;
}

impl Weigh for Answer {
    fn bytes(&self) -> usize {
        let texts = |texts: &[String]| -> usize {
            texts
                .iter()
                .map(|text| size_of::<String>() + text.len())
                .sum()
        };
        let rows: usize = self
            .rows
            .iter()
            .map(|row| size_of_val(row) + texts(&row.dimensions) + size_of_val(&*row.metrics))
            .sum();
        let metrics =
            |metrics: &Option<Vec<f64>>| metrics.as_ref().map_or(0, |m| size_of_val(&**m));
        size_of::<Self>()
            + rows
            + metrics(&self.totals)
            + metrics(&self.others)
            + self.plan.source.len()
            + texts(&self.plan.steps)
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.iter().map(Weigh::bytes).sum::<usize>()
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(size_of::<Self>(), Weigh::bytes)
    }
}

impl<T: Weigh, U: Weigh> Weigh for (T, U) {
    fn bytes(&self) -> usize {
        self.0.bytes() + self.1.bytes()
    }
}

/// An answer, and whether it was computed for this question.
#[derive(Debug)]
pub struct Answered<T> {
    /// The answer, shared with whoever asks the same.
    pub value: Arc<T>,
    /// Whether it was computed for an earlier question, or for the same one of another caller.
    pub from_cache: bool,
}

type Flight = Shared<BoxFuture<'static, Result<Arc<Entry>, ApiError>>>;
type WeakFlight = WeakShared<BoxFuture<'static, Result<Arc<Entry>, ApiError>>>;
type Place = ([u8; 32], Version);

/// Answers questions.
#[derive(Debug, Clone)]
pub struct Answers(Arc<Parts>);

struct Parts {
    pool: Pool,
    engine: Arc<Engine>,
    versions: Arc<Versions>,
    /// The longest that a question may take.
    limit: TimeLimit,
    kept: Kept,
    under_way: Mutex<UnderWay>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers")
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

/// What is being computed, each with a number of its own.
#[derive(Default)]
struct UnderWay {
    next: u64,
    flights: HashMap<Place, (u64, WeakFlight)>,
}

/// How a question gets its answer.
enum Way {
    Kept(Arc<Entry>),
    Joined(Flight),
    Own(Flight),
}

impl Answers {
    /// Answers through these connections, and keeps at most `kept_bytes` of answers.
    pub fn new(
        pool: Pool,
        engine: Arc<Engine>,
        versions: Arc<Versions>,
        limit: Duration,
        kept_bytes: usize,
    ) -> Self {
        Self(Arc::new(Parts {
            pool,
            engine,
            versions,
            limit: TimeLimit(limit),
            kept: Kept::new(kept_bytes),
            under_way: Mutex::default(),
        }))
    }

    /// Bytes of answers that are kept.
    pub fn kept_bytes(&self) -> usize {
        self.0.kept.bytes()
    }

    /// The versions of the data that is asked about.
    pub fn versions(&self) -> &Arc<Versions> {
        &self.0.versions
    }

    /// Answers a question within its caller's limit: with what is kept under `key`, what somebody else
    /// has asked for just now, or what `compute` makes of a snapshot. `anew` leaves out all but the last.
    pub async fn get<T, C>(
        &self,
        key: Key,
        anew: bool,
        limit: TimeLimit,
        compute: C,
    ) -> Result<Answered<T>, ApiError>
    where
        T: Weigh,
        C: for<'a, 's> FnOnce(&'a Engine, &'a Snapshot<'s>) -> BoxFuture<'a, Result<T, ApiError>>
            + Send
            + 'static,
    {
        if anew {
            metrics::count_answer(AnswerSource::Bypass);
            let value = within(limit, async {
                let mut session = Session::open(&self.0.pool, limit).await?;
                let snapshot = session.snapshot().await?;
                compute(&self.0.engine, &snapshot).await
            });
            return Ok(Answered {
                value: Arc::new(value.await?),
                from_cache: false,
            });
        }
        let (entry, from_cache) = within(limit, self.entry(&key, compute)).await?;
        Ok(Answered {
            // The key names the kind of the report, so this would be a fault of ours.
            value: entry.value().ok_or(ApiError::Internal)?,
            from_cache,
        })
    }

    async fn entry<T, C>(&self, key: &Key, compute: C) -> Result<(Arc<Entry>, bool), ApiError>
    where
        T: Weigh,
        C: for<'a, 's> FnOnce(&'a Engine, &'a Snapshot<'s>) -> BoxFuture<'a, Result<T, ApiError>>
            + Send
            + 'static,
    {
        let mut compute = Some(compute);
        for joins in 0.. {
            // Before the snapshot is taken, so that what it sees is as new, or newer.
            let version = self.0.versions.of(key.property_no);
            match self.way(key, version, joins < MAX_JOINS, &mut compute)? {
                Way::Kept(entry) => {
                    metrics::count_answer(AnswerSource::Kept);
                    return Ok((entry, true));
                }
                Way::Own(flight) => {
                    metrics::count_answer(AnswerSource::Computed);
                    return Ok((flight.await?, false));
                }
                Way::Joined(flight) => {
                    let entry = flight.await?;
                    if entry.answers(key, version) {
                        metrics::count_answer(AnswerSource::Shared);
                        return Ok((entry, true));
                    }
                }
            }
        }
        Err(ApiError::Internal)
    }

    fn way<T, C>(
        &self,
        key: &Key,
        version: Version,
        may_join: bool,
        compute: &mut Option<C>,
    ) -> Result<Way, ApiError>
    where
        T: Weigh,
        C: for<'a, 's> FnOnce(&'a Engine, &'a Snapshot<'s>) -> BoxFuture<'a, Result<T, ApiError>>
            + Send
            + 'static,
    {
        let place = (key.digest, version);
        let mut under_way = self.0.under_way();
        // An answer is kept before it is no longer under way, so under this lock it is one of the two.
        if let Some(entry) = self.0.kept.get(key, version) {
            return Ok(Way::Kept(entry));
        }
        if may_join
            && let Some((_, flight)) = under_way.flights.get(&place)
            && let Some(flight) = flight.upgrade()
        {
            return Ok(Way::Joined(flight));
        }
        let compute = compute.take().ok_or(ApiError::Internal)?;
        let number = under_way.next;
        under_way.next += 1;
        let done = RemoveWhenDone {
            parts: Arc::clone(&self.0),
            place,
            number,
        };
        let flight = fly(done, key.clone(), version, compute).boxed().shared();
        if let Some(weak) = flight.downgrade() {
            under_way.flights.insert(place, (number, weak));
        }
        Ok(Way::Own(flight))
    }
}

/// Computes an answer and keeps it.
async fn fly<T, C>(
    done: RemoveWhenDone,
    key: Key,
    version: Version,
    compute: C,
) -> Result<Arc<Entry>, ApiError>
where
    T: Weigh,
    C: for<'a, 's> FnOnce(&'a Engine, &'a Snapshot<'s>) -> BoxFuture<'a, Result<T, ApiError>>
        + Send
        + 'static,
{
    let parts = &done.parts;
    // The server's limit: a caller with less time leaves by itself, and others may have more.
    let mut session = Session::open(&parts.pool, parts.limit).await?;
    let snapshot = session.snapshot().await?;
    let value = compute(&parts.engine, &snapshot).await?;
    let mut windows = Vec::with_capacity(key.moving.len());
    for instant in &key.moving {
        windows.push(Window::around(&snapshot, key.property_no, *instant).await?);
    }
    let bytes = value.bytes();
    let entry = Arc::new(Entry::new(version, windows, Arc::new(value), bytes));
    parts.kept.insert(key.digest, &entry);
    Ok(entry)
}

/// Takes a computation off the list when it has ended, or when nobody waits for it any more.
struct RemoveWhenDone {
    parts: Arc<Parts>,
    place: Place,
    number: u64,
}

impl Drop for RemoveWhenDone {
    fn drop(&mut self) {
        let mut under_way = self.parts.under_way();
        // Another one may have taken its place.
        if let Some((number, _)) = under_way.flights.get(&self.place)
            && *number == self.number
        {
            under_way.flights.remove(&self.place);
        }
    }
}

impl Parts {
    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
