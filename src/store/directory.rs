//! Who may do what: keys and properties, in memory, refreshed from the database.
//!
//! Every call needs them, so they are looked up without a query. A change made elsewhere is seen
//! within [`REFRESH_EVERY`]; a key that is not known yet is looked for at once, at most so often.
//! While the database is away the last known state goes on serving.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use deadpool_postgres::Pool;
use jiff::tz::TimeZone;
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::domain::dimension::Dimension;
use crate::domain::key::{Key, KeyKind};
use crate::domain::property::{Property, Retention};
use crate::enrich::ip::IpPolicy;
use crate::error::causes;
use crate::rollup::spec::{Rollups, Spec};

use super::StoreError;
use super::versions::Versions;

/// How old the copy may be.
pub const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// How often an unknown key may cause a refresh: what stops a flood of wrong keys from becoming a
/// flood of queries. Those that come sooner wait for the next one together, since the key may have
/// been created just now.
const UNKNOWN_KEY_REFRESH_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct StoredKey {
    kind: KeyKind,
    property_no: Option<i32>,
    sha256: [u8; 32],
}

#[derive(Debug, Default)]
struct Snapshot {
    keys: HashMap<String, StoredKey>,
    properties: HashMap<i32, Arc<Property>>,
    /// Of the properties that have declared ones.
    rollups: HashMap<i32, Arc<Rollups>>,
}

/// What a valid key stands for.
#[derive(Debug, Clone)]
pub struct KeyOwner {
    /// What it may do.
    pub kind: KeyKind,
    /// Its property; `None` for a server-wide admin key.
    pub property: Option<Arc<Property>>,
}

/// The directory.
#[derive(Debug)]
pub struct Directory {
    pool: Pool,
    default_retention: Retention,
    snapshot: RwLock<Arc<Snapshot>>,
    last_refresh: Mutex<Option<Instant>>,
    /// What is told when a property's settings changed.
    versions: OnceLock<Arc<Versions>>,
}

impl Directory {
    /// A directory that knows what the database has now. `default_retention` is that of properties
    /// that set none.
    pub async fn load(pool: Pool, default_retention: Retention) -> Result<Self, StoreError> {
        let directory = Self {
            pool,
            default_retention,
            snapshot: RwLock::default(),
            last_refresh: Mutex::default(),
            versions: OnceLock::new(),
        };
        directory.refresh().await?;
        Ok(directory)
    }

    /// Tells these from now on when a property's settings changed.
    pub fn tell(&self, versions: Arc<Versions>) {
        let told_before = self.versions.set(versions).is_err();
        debug_assert!(!told_before, "there is one to tell");
    }

    /// Refreshes until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(REFRESH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_reachable = true;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let refreshed = self.refresh().await;
            if let Err(error) = &refreshed
                && was_reachable
            {
                warn!(
                    error = causes(error),
                    "keys and properties could not be refreshed"
                );
            }
            was_reachable = refreshed.is_ok();
        }
    }

    /// Reads everything from the database.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut last_refresh = self.last_refresh.lock().await;
        self.read(&mut last_refresh).await
    }

    /// Returns when everything that was stored before the call has been read, or could not be.
    async fn catch_up(&self) {
        let asked_at = Instant::now();
        let mut last_refresh = self.last_refresh.lock().await;
        if let Some(last) = *last_refresh {
            if last > asked_at {
                return;
            }
            tokio::time::sleep_until(last + UNKNOWN_KEY_REFRESH_EVERY).await;
        }
        if let Err(error) = self.read(&mut last_refresh).await {
            debug!(
                error = causes(&error),
                "keys could not be refreshed for an unknown one"
            );
        }
    }

    async fn read(&self, last_refresh: &mut Option<Instant>) -> Result<(), StoreError> {
        // Also of one that fails: those who wait meanwhile need not each try it again.
        *last_refresh = Some(Instant::now());
        let client = self.pool.get().await?;
        let mut snapshot = Snapshot::default();
        for row in client
            .query(include_str!("sql/all_properties.sql"), &[])
            .await?
        {
            let zone: String = row.get("time_zone");
            let retention_days: Option<i32> = row.get("retention_days");
            let property_no = row.get("property_no");
            let property = Property {
                property_no,
                name: row.get("name"),
                time_zone: TimeZone::get(&zone).unwrap_or(TimeZone::UTC),
                retention: retention_days
                    .and_then(|days| u32::try_from(days).ok())
                    .map_or(self.default_retention, Retention::from_days),
                ip_policy: IpPolicy::from_number(row.get("ip_policy")),
            };
            snapshot.properties.insert(property_no, Arc::new(property));
        }
        for row in client
            .query(include_str!("sql/valid_keys.sql"), &[])
            .await?
        {
            let sha256: Vec<u8> = row.get("secret_sha256");
            let (Some(kind), Ok(sha256)) =
                (KeyKind::from_number(row.get("kind")), sha256.try_into())
            else {
                continue;
            };
            let key = StoredKey {
                kind,
                property_no: row.get("property_no"),
                sha256,
            };
            snapshot.keys.insert(row.get("key_id"), key);
        }
        let mut declared: HashMap<i32, Vec<Spec>> = HashMap::new();
        for row in client
            .query(include_str!("sql/all_rollups.sql"), &[])
            .await?
        {
            let names: Vec<&str> = row.get("dimensions");
            let spec = Spec {
                rollup_no: row.get("rollup_no"),
                name: row.get("name"),
                dimensions: names.into_iter().filter_map(Dimension::from_name).collect(),
            };
            declared
                .entry(row.get("property_no"))
                .or_default()
                .push(spec);
        }
        snapshot.rollups = declared
            .into_iter()
            .map(|(property_no, specs)| (property_no, Arc::new(Rollups::with(specs))))
            .collect();
        let before = self.snapshot();
        let is_other = |property_no: &i32| {
            before.properties.get(property_no) != snapshot.properties.get(property_no)
                || before.rollups.get(property_no) != snapshot.rollups.get(property_no)
        };
        let changed: Vec<i32> = snapshot
            .properties
            .keys()
            .copied()
            .filter(is_other)
            .collect();
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        if let Some(versions) = self.versions.get()
            && !changed.is_empty()
        {
            versions.change(changed);
        }
        Ok(())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whom a key belongs to; `None` when it does not exist or was revoked.
    pub async fn owner_of(&self, key: &Key) -> Option<KeyOwner> {
        if let Some(owner) = self.known_owner_of(key) {
            return Some(owner);
        }
        self.catch_up().await;
        self.known_owner_of(key)
    }

    fn known_owner_of(&self, key: &Key) -> Option<KeyOwner> {
        let snapshot = self.snapshot();
        let stored = snapshot.keys.get(&key.id)?;
        if stored.kind != key.kind || !key.matches(&stored.sha256) {
            return None;
        }
        let property = match stored.property_no {
            Some(property_no) => Some(Arc::clone(snapshot.properties.get(&property_no)?)),
            None => None,
        };
        Some(KeyOwner {
            kind: stored.kind,
            property,
        })
    }

    /// The property of that name.
    pub async fn property(&self, name: &str) -> Option<Arc<Property>> {
        let find = |snapshot: &Snapshot| {
            snapshot
                .properties
                .values()
                .find(|property| property.name == name)
                .cloned()
        };
        if let Some(property) = find(&self.snapshot()) {
            return Some(property);
        }
        self.catch_up().await;
        find(&self.snapshot())
    }

    /// The property of that number.
    pub fn by_number(&self, property_no: i32) -> Option<Arc<Property>> {
        self.snapshot().properties.get(&property_no).cloned()
    }

    /// The rollups of a property.
    pub fn rollups(&self, property_no: i32) -> Arc<Rollups> {
        static BUILT_IN: LazyLock<Arc<Rollups>> = LazyLock::new(|| Arc::new(Rollups::with([])));
        let snapshot = self.snapshot();
        let declared = snapshot.rollups.get(&property_no);
        Arc::clone(declared.unwrap_or(&BUILT_IN))
    }

    /// Every property.
    pub fn properties(&self) -> Vec<Arc<Property>> {
        self.snapshot().properties.values().cloned().collect()
    }
}
