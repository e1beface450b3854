//! Which version of a property's data the database has, as far as this server knows: what was answered
//! from one version is right as long as it is the newest.
//!
//! | what changes the data | who says so |
//! |---|---|
//! | a batch of this server's log is committed | its loader, before anybody is told |
//! | other servers load events into the same database | [`crate::load::others`], within a second |
//! | retention removes events | [`crate::retention`], after every run |
//! | a property's settings change, here or elsewhere | [`super::directory`], when it reads them |
//!
//! Replayed dead letters are loaded like other events.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The versions.
#[derive(Debug, Default)]
pub struct Versions {
    counts: Mutex<Counts>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Counts {
    all: u64,
    of: HashMap<i32, u64>,
}

/// A version of a property's data. It only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Versions {
    /// The newest version of a property. To be asked before the data is read: what is read then may be
    /// newer, never older.
    pub fn of(&self, property_no: i32) -> Version {
        let counts = self.counts();
        // Neither shrinks, so the sum is the same only if both are.
        Version(counts.all + counts.of.get(&property_no).copied().unwrap_or_default())
    }

    /// Notes that the data of these properties changed.
    pub fn change(&self, properties: impl IntoIterator<Item = i32>) {
        let mut counts = self.counts();
        for property_no in properties {
            *counts.of.entry(property_no).or_default() += 1;
        }
        drop(counts);
        self.changed.send_replace(());
    }

    /// Notes that the data of any property may have changed.
    pub fn change_all(&self) {
        self.counts().all += 1;
        self.changed.send_replace(());
    }

    /// Is told whenever some property's data changes.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
