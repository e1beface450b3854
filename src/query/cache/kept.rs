//! Answers that are kept, within a budget of bytes.

use std::any::Any;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::unsync::Cache;
use quick_cache::{Lifecycle, Weighter};

use crate::metrics;
use crate::store::versions::Version;

use super::key::Key;
use super::window::Window;

/// How long an answer is kept at most: what is changed in the database behind the services' backs is seen
/// after that, too.
const MAX_AGE: Duration = Duration::from_secs(300);
/// What an answer takes beside its own bytes, roughly.
const ENTRY_BYTES: usize = 256;
/// Answers larger than this part of the budget are not kept: they would drive out all others.
const LARGEST_PART: usize = 4;
/// Bytes of a usual answer, from which it is estimated how many there will be.
const USUAL_BYTES: usize = 8 << 10;

/// An answer and how long it is right.
pub struct Entry {
    version: Version,
    computed_at: Instant,
    /// Where the moving instants of the question may be, in the order of [`Key::moving`].
    windows: Vec<Window>,
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

impl Entry {
    /// An answer of this size that was computed just now, from this version of the data or a newer one.
    pub fn new(
        version: Version,
        windows: Vec<Window>,
        value: Arc<dyn Any + Send + Sync>,
        value_bytes: usize,
    ) -> Self {
        Self {
            version,
            computed_at: Instant::now(),
            bytes: value_bytes + ENTRY_BYTES + size_of_val(windows.as_slice()),
            windows,
            value,
        }
    }

    /// Whether it is the answer to this question, if its digest is the same.
    pub fn answers(&self, key: &Key, version: Version) -> bool {
        self.version == version
            && self.computed_at.elapsed() < MAX_AGE
            && self.windows.len() == key.moving.len()
            && self
                .windows
                .iter()
                .zip(&key.moving)
                .all(|(window, instant)| window.holds(*instant))
    }

    /// The answer. `None` if it is none of this type.
    pub fn value<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.value).downcast().ok()
    }
}

type Digest = [u8; 32];
type Store = Cache<Digest, Arc<Entry>, ByBytes, RandomState, CountEvictions>;

/// Answers that are kept.
pub struct Kept {
    max_bytes: usize,
    store: Mutex<Store>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} of {} bytes)", self.bytes(), self.max_bytes)
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Digest, Arc<Entry>> for ByBytes {
    fn weight(&self, _: &Digest, entry: &Arc<Entry>) -> u64 {
        entry.bytes as u64
    }
}

#[derive(Clone)]
struct CountEvictions;

impl Lifecycle<Digest, Arc<Entry>> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Digest, _: Arc<Entry>) {
        metrics::count_evicted_answer();
    }
}

impl Kept {
    /// Keeps so many bytes at most; none if it is 0.
    pub fn new(max_bytes: usize) -> Self {
        let store = Cache::with(
            max_bytes / USUAL_BYTES,
            max_bytes as u64,
            ByBytes,
            RandomState::new(),
            CountEvictions,
        );
        Self {
            max_bytes,
            store: Mutex::new(store),
        }
    }

    /// The answer to a question, if it is kept and right.
    pub fn get(&self, key: &Key, version: Version) -> Option<Arc<Entry>> {
        let store = self.store();
        let entry = store.get(&key.digest)?;
        entry.answers(key, version).then(|| Arc::clone(entry))
    }

    /// Keeps an answer, in the place of an older one.
    pub fn insert(&self, digest: Digest, entry: &Arc<Entry>) {
        if entry.bytes <= self.max_bytes / LARGEST_PART {
            self.store().insert(digest, Arc::clone(entry));
        }
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.store().weight()).unwrap_or(usize::MAX)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::versions::Versions;

    fn key(number: usize) -> Key {
        Key::of("test", 1).with(&number).done()
    }

    #[test]
    fn it_never_holds_more_than_its_budget() {
        let kept = Kept::new(100_000);
        let version = Versions::default().of(1);
        for number in 0..500 {
            let bytes = number * 37 % 20_000;
            let entry = Arc::new(Entry::new(version, Vec::new(), Arc::new(number), bytes));
            kept.insert(key(number).digest, &entry);
            assert!(kept.bytes() <= 100_000, "{}", kept.bytes());
            let found = kept
                .get(&key(number), version)
                .expect("it was put in just now");
            assert_eq!(found.value::<usize>().as_deref(), Some(&number));
        }
        let large = Arc::new(Entry::new(version, Vec::new(), Arc::new(0_usize), 26_000));
        kept.insert(key(9_999).digest, &large);
        assert!(kept.get(&key(9_999), version).is_none(), "too large a part");
        assert!(kept.bytes() > 50_000, "the others stay: {}", kept.bytes());
    }

    #[test]
    fn what_was_computed_from_older_data_is_not_an_answer() {
        let (kept, versions) = (Kept::new(100_000), Versions::default());
        let keep = |property_no| {
            let version = versions.of(property_no);
            let entry = Arc::new(Entry::new(version, Vec::new(), Arc::new(()), 0));
            kept.insert(key(0).digest, &entry);
        };
        let is_there = |property_no| kept.get(&key(0), versions.of(property_no)).is_some();
        keep(1);
        versions.change([2]);
        assert!(is_there(1));
        versions.change([1]);
        assert!(!is_there(1));
        keep(1);
        assert!(is_there(1));
        versions.change_all();
        assert!(!is_there(1));
    }

    #[test]
    fn a_cache_without_a_budget_keeps_nothing() {
        let kept = Kept::new(0);
        let version = Versions::default().of(1);
        let entry = Arc::new(Entry::new(version, Vec::new(), Arc::new(()), 0));
        kept.insert(key(0).digest, &entry);
        assert!(kept.get(&key(0), version).is_none());
        assert_eq!(kept.bytes(), 0);
    }
}
