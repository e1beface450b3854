//! What other servers load into the same database, seen by looking at `log_positions`.
//!
//! Every second as a rule, so that answers that were kept are given up when the data changes; more often
//! while a caller waits for events of another server's log. One worker looks for all.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

use crate::error::causes;
use crate::store::versions::Versions;
use crate::store::{StoreError, pool};

use super::feed::Feed;
use super::progress::Progress;

/// How old what is known of other servers may be, give or take what the database takes to say it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same while somebody waits.
const LOOK_EVERY_FOR_WAITERS: Duration = Duration::from_millis(50);
/// How long the database may take to say it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is loaded of all logs.
#[derive(Debug, Default)]
pub struct Others {
    logs: Mutex<HashMap<Uuid, Progress>>,
    looked: watch::Sender<()>,
    waiting: AtomicUsize,
    wake: Notify,
}

/// Somebody waits for another server's log, as long as this lives.
struct Waiting<'a>(&'a Others);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Others {
    /// What is loaded now: to be looked at before any question is answered.
    pub async fn look(pool: &Pool) -> Result<Self, StoreError> {
        Ok(Self {
            logs: Mutex::new(read(pool).await?),
            ..Self::default()
        })
    }

    /// Waits until all of these records of a log are loaded.
    pub async fn until_loaded(&self, log_id: Uuid, records: &Range<u64>) {
        let mut looked = self.looked.subscribe();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(self);
        self.wake.notify_one();
        loop {
            let is_loaded = self
                .logs()
                .get(&log_id)
                .is_some_and(|progress| progress.has(records));
            if is_loaded || looked.changed().await.is_err() {
                return;
            }
        }
    }

    /// Looks until told to stop. Whatever is loaded beside what `feed` knows changes `versions`.
    pub async fn run(
        self: Arc<Self>,
        pool: Pool,
        feed: Feed,
        versions: Arc<Versions>,
        stop: CancellationToken,
    ) {
        loop {
            let looked = tokio::select! {
                looked = read(&pool) => looked,
                () = stop.cancelled() => return,
            };
            match looked {
                Ok(logs) => self.note(logs, &feed, &versions),
                // The loaders say loudly what is wrong with the database.
                Err(error) => debug!(error = causes(&error), "other servers cannot be seen"),
            }
            let pause = match self.waiting.load(Ordering::Relaxed) {
                0 => LOOK_EVERY,
                _ => LOOK_EVERY_FOR_WAITERS,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified(), if pause == LOOK_EVERY => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn note(&self, logs: HashMap<Uuid, Progress>, feed: &Feed, versions: &Versions) {
        // After the database was read: the feed knows of a commit a moment later than the database, and
        // much later if its reply was lost.
        let own = (feed.log().id(), feed.loaded());
        let mut known = self.logs();
        let is_news = |(log_id, progress): (&Uuid, &Progress)| {
            if *log_id == own.0 {
                return progress.loaded() > own.1;
            }
            known.get(log_id).map(Progress::loaded) != Some(progress.loaded())
        };
        let changed = logs.iter().any(is_news);
        if changed {
            // Before anybody who waits is told.
            versions.change_all();
        }
        *known = logs;
        drop(known);
        self.looked.send_replace(());
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<Uuid, Progress>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(pool: &Pool) -> Result<HashMap<Uuid, Progress>, StoreError> {
    let client = pool.get().await?;
    let reading = pool::bounded(client, PATIENCE, async |client| {
        client
            .query_typed(include_str!("sql/all_positions.sql"), &[])
            .await
    });
    let rows = reading.await.ok_or(StoreError::TimedOut)??;
    let mut logs: HashMap<Uuid, Progress> = HashMap::new();
    for row in &rows {
        let number = |place| u64::try_from(row.get::<_, i64>(place)).unwrap_or_default();
        let log = logs.entry(row.get(0)).or_insert_with(|| Progress::new(0));
        log.add(number(1)..number(2));
    }
    Ok(logs)
}
