//! Looks acknowledged events up in the database.

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use deadpool_postgres::{Object, Pool};
use futures_util::TryStreamExt;
use uuid::Uuid;

use crate::cli::environment;
use crate::cli::loadgen::source::EventKey;
use crate::cli::table::count;
use crate::config::{Database, database_from_variables};
use crate::store::embedded::running_database_url;
use crate::store::pool;

/// Events that are looked up with one statement.
const EVENTS_PER_STATEMENT: usize = 10_000;
/// How long nothing may come in before what is missing counts as lost, and how often is looked.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);
/// Events by which their property is found.
const SAMPLE_EVENTS: usize = 1_000;

/// A connection that cannot write.
pub struct Verifier(Object);

/// What became of acknowledged events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Looked for.
    pub events: u64,
    /// Not stored.
    pub missing: u64,
    /// Stored more than once.
    pub doubled: u64,
}

impl Verified {
    /// Whether each is stored exactly once.
    pub fn is_right(&self) -> bool {
        self.missing == 0 && self.doubled == 0
    }

    /// As a sentence for stdout.
    pub fn render(&self) -> String {
        let events = count(self.events);
        match self.is_right() {
            true => format!(
                "Verified: all {events} acknowledged events are in the database exactly once.\n"
            ),
            false => format!(
                "NOT verified: of {events} acknowledged events {} are missing in the database and {} \
                 are there more than once.\n",
                count(self.missing),
                count(self.doubled)
            ),
        }
    }
}

impl Verifier {
    /// Connects to the database at `url`, or to the own one that runs here.
    ///
    /// # Errors
    /// No database, or one that cannot be reached.
    pub async fn connect(url: Option<&str>) -> anyhow::Result<Self> {
        let url = database_url(url)?;
        let pool: Pool = pool::open(&url, 1)?;
        let client = pool.get().await.context("cannot connect to the database")?;
        client
            .batch_execute("set default_transaction_read_only = on; set statement_timeout = 0")
            .await
            .context("cannot use the database")?;
        client
            .query_opt("select from events limit 1", &[])
            .await
            .context("the database is not one of tallymark's")?;
        Ok(Self(client))
    }

    /// Looks for each event, by id and time; again while more of them come in, since the server loads
    /// its log in the background.
    ///
    /// # Errors
    /// A statement that fails.
    pub async fn verify(&self, keys: &mut [EventKey]) -> anyhow::Result<Verified> {
        // Neighbours in time are neighbours in the index.
        keys.sort_unstable();
        let mut best = self.look_up(keys).await?;
        let mut given_up_at = Instant::now() + PATIENCE;
        while best.missing > 0 && Instant::now() < given_up_at {
            tokio::time::sleep(PAUSE).await;
            let verified = self.look_up(keys).await?;
            if verified.missing < best.missing {
                given_up_at = Instant::now() + PATIENCE;
            }
            best = verified;
        }
        Ok(best)
    }

    async fn look_up(&self, keys: &[EventKey]) -> anyhow::Result<Verified> {
        let mut verified = Verified {
            events: keys.len() as u64,
            ..Verified::default()
        };
        let (Some(first), Some(last)) = (keys.first().copied(), keys.last().copied()) else {
            return Ok(verified);
        };
        let properties = self.properties(keys).await?;
        for keys in keys.chunks(EVENTS_PER_STATEMENT) {
            let (ids, times) = columns(keys.iter());
            let (since, until) = (times.first().copied(), times.last().copied());
            let sql = include_str!("sql/events_present.sql");
            let row = self
                .0
                .query_one(sql, &[&ids, &times, &properties, &since, &until])
                .await
                .context("cannot look events up")?;
            verified.missing += row.get::<_, i64>(0).unsigned_abs();
            verified.doubled += row.get::<_, i64>(1).unsigned_abs();
        }
        verified.doubled = verified
            .doubled
            .max(self.doubled(keys, first.time_us, last.time_us).await?);
        Ok(verified)
    }

    async fn properties(&self, keys: &[EventKey]) -> anyhow::Result<Vec<i32>> {
        let step = keys.len().div_ceil(SAMPLE_EVENTS).max(1);
        let (ids, times) = columns(keys.iter().step_by(step));
        let rows = self
            .0
            .query(include_str!("sql/events_properties.sql"), &[&ids, &times])
            .await
            .context("cannot look events up")?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// How many of the events have an id that is stored more than once in their range of time.
    async fn doubled(&self, keys: &[EventKey], since: i64, until: i64) -> anyhow::Result<u64> {
        let rows = self
            .0
            .query_raw(include_str!("sql/ids_doubled.sql"), [since, until].iter())
            .await
            .context("cannot look for doubled ids")?;
        let mut rows = pin!(rows);
        let mut ids: Vec<Uuid> = Vec::new();
        while let Some(row) = rows.try_next().await? {
            ids.push(row.get(0));
        }
        ids.sort_unstable();
        let is_doubled = |key: &&EventKey| ids.binary_search(&key.id).is_ok();
        Ok(keys.iter().filter(is_doubled).count() as u64)
    }
}

fn columns<'a>(keys: impl Iterator<Item = &'a EventKey>) -> (Vec<Uuid>, Vec<i64>) {
    keys.map(|key| (key.id, key.time_us)).unzip()
}

/// The address given, else that of the own database that runs here.
fn database_url(given: Option<&str>) -> anyhow::Result<String> {
    let database = database_from_variables(&|name| match (name, given) {
        ("DATABASE_URL", Some(url)) => Some(url.to_owned()),
        _ => environment(name),
    });
    match database {
        Database::Url(url) => Ok(url),
        Database::Embedded { data_dir, .. } => running_url(&data_dir),
    }
}

fn running_url(data_dir: &Path) -> anyhow::Result<String> {
    running_database_url(data_dir).with_context(|| {
        format!(
            "--verify needs the database: no own one runs in {}; name another with --database or \
             DATABASE_URL",
            data_dir.display()
        )
    })
}
