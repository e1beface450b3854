//! What was derived from agents, referrers and campaigns, as numbers of labels.
//!
//! Events hold the number of an agent; rollups count by browser, system and device. Labels give those
//! texts numbers. Both tables only grow, so what was looked up once stays true, until somebody corrects
//! an agent's row by hand: then rollups are to be rebuilt and services started again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use deadpool_postgres::Pool;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::Mutex;
use tokio_postgres::types::Type;

use crate::load::dictionary::{DERIVED, Dictionary, Entry, Kind};
use crate::store::StoreError;

use super::facts::{Facts, Values, unsigned};
use super::spec::Column;

/// Numbers that are remembered, of all three dictionaries; then all are forgotten. Each takes some 60 bytes.
const MAX_KNOWN: usize = 500_000;

/// For each number of a dictionary, the numbers of its derived texts; 0 is "none".
#[derive(Debug, Clone, Default)]
pub struct Attributes([FxHashMap<u32, Box<[u32]>>; DERIVED.len()]);

impl Attributes {
    /// Those of a dictionary.
    pub fn of(&self, kind: Kind) -> &FxHashMap<u32, Box<[u32]>> {
        let place = DERIVED.iter().position(|(derived, _)| *derived == kind);
        &self.0[place.unwrap_or_default()]
    }

    fn missing(&self, wanted: &[FxHashSet<u32>; DERIVED.len()]) -> [Vec<i32>; DERIVED.len()] {
        let unknown = |place: usize| {
            wanted[place]
                .iter()
                .filter(|number| **number != 0 && !self.0[place].contains_key(number))
                .filter_map(|number| i32::try_from(*number).ok())
                .collect()
        };
        std::array::from_fn(unknown)
    }

    fn len(&self) -> usize {
        self.0.iter().map(FxHashMap::len).sum()
    }
}

/// Looks attributes up and remembers them.
#[derive(Debug)]
pub struct AttributeStore {
    pool: Pool,
    labels: Mutex<Dictionary>,
    known: RwLock<Arc<Attributes>>,
}

impl AttributeStore {
    /// Knows none yet. Labels that are new are added through `pool`.
    pub fn new(pool: Pool) -> Self {
        Self {
            pool,
            labels: Mutex::new(Dictionary::new(Kind::Label)),
            known: RwLock::default(),
        }
    }

    /// Connections that see what was committed just now.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Attributes that have everything these facts need.
    pub async fn of_facts<'f>(
        &self,
        facts: impl IntoIterator<Item = &'f Facts>,
    ) -> Result<Arc<Attributes>, StoreError> {
        let mut wanted: [FxHashSet<u32>; DERIVED.len()] = Default::default();
        for facts in facts {
            for ((kind, _), wanted) in DERIVED.into_iter().zip(&mut wanted) {
                if let Some(Values::One(numbers)) = facts.column(&Column::Text(kind)) {
                    wanted.extend(numbers);
                }
            }
        }
        if self.known().len() > MAX_KNOWN {
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        }
        loop {
            let known = self.known();
            let missing = known.missing(&wanted);
            if missing.iter().all(Vec::is_empty) {
                return Ok(known);
            }
            drop(known);
            self.look_up(missing).await?;
        }
    }

    /// The numbers of labels, which are added if they are new.
    pub async fn labels(&self, texts: BTreeSet<&str>) -> Result<HashMap<String, i32>, StoreError> {
        let entry = |text: &str| Entry {
            text: text.to_owned(),
            derived: Vec::new(),
        };
        let entries: Vec<Entry> = texts.into_iter().map(entry).collect();
        if entries.is_empty() {
            return Ok(HashMap::new());
        }
        let client = self.pool.get().await?;
        Ok(self.labels.lock().await.resolve(&client, entries).await?)
    }

    async fn look_up(&self, missing: [Vec<i32>; DERIVED.len()]) -> Result<(), StoreError> {
        let client = self.pool.get().await?;
        let mut found: Vec<(usize, u32, Vec<Option<String>>)> = Vec::new();
        for (place, ((kind, _), numbers)) in DERIVED.into_iter().zip(&missing).enumerate() {
            if numbers.is_empty() {
                continue;
            }
            let sql = match kind {
                Kind::Referrer => include_str!("sql/select_referrers.sql"),
                Kind::Campaign => include_str!("sql/select_campaigns.sql"),
                _ => include_str!("sql/select_agents.sql"),
            };
            for row in client
                .query_typed(sql, &[(numbers, Type::INT4_ARRAY)])
                .await?
            {
                let texts = (1..row.len()).map(|column| row.get(column)).collect();
                let number: i32 = row.get(0);
                found.push((place, unsigned(number), texts));
            }
        }
        drop(client);
        let texts = found
            .iter()
            .flat_map(|(_, _, texts)| texts.iter().flatten());
        let labels = self.labels(texts.map(String::as_str).collect()).await?;

        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let attributes = Arc::make_mut(&mut known);
        // One that the table does not have has nothing derived from it.
        for (place, numbers) in missing.iter().enumerate() {
            let nothing = vec![0; DERIVED[place].1];
            attributes.0[place].extend(
                numbers
                    .iter()
                    .filter_map(|number| u32::try_from(*number).ok())
                    .map(|number| (number, nothing.clone().into())),
            );
        }
        for (place, number, texts) in found {
            let numbers = texts.iter().map(|text| {
                let label = text.as_ref().and_then(|text| labels.get(text));
                label.map_or(0, |label| unsigned(*label))
            });
            attributes.0[place].insert(number, numbers.collect());
        }
        Ok(())
    }

    fn known(&self) -> Arc<Attributes> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}
