//! Visitors and users: ids that belong to a property, numbered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use quick_cache::Equivalent;
use quick_cache::unsync::Cache;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// Visitors that a loader remembers, and users. 131,072 ids of 36 bytes are about 15 MB.
const CACHED_IDS: usize = 131_072;

/// Ids by property.
pub type MissingIds = BTreeMap<i32, BTreeSet<String>>;
/// Numbers by property and id.
pub type FoundIds = HashMap<(i32, String), i32>;

/// What is numbered.
#[derive(Debug, Clone, Copy)]
pub enum IdKind {
    /// Within its property, densely, so that a set of them is a small bitmap.
    Visitor,
    /// In one sequence.
    User,
}

/// Ids of one kind, numbered within a property, with those met lately.
#[derive(Debug)]
pub struct Ids {
    kind: IdKind,
    cache: Cache<(i32, Box<str>), i32>,
}

/// Looks like the cache's key without owning its text.
#[derive(Hash)]
struct IdRef<'a>(i32, &'a str);

impl Equivalent<(i32, Box<str>)> for IdRef<'_> {
    fn equivalent(&self, key: &(i32, Box<str>)) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}

impl Ids {
    /// None met yet.
    pub fn new(kind: IdKind) -> Self {
        Self {
            kind,
            cache: Cache::new(CACHED_IDS),
        }
    }

    /// The number of an id that was met lately.
    pub fn cached(&self, property_no: i32, id: &str) -> Option<i32> {
        self.cache.get(&IdRef(property_no, id)).copied()
    }

    /// The number of an id that was met or found; 0 if neither.
    pub fn number(&self, property_no: i32, id: &str, found: &FoundIds) -> i32 {
        self.cached(property_no, id)
            .or_else(|| found.get(&(property_no, id.to_owned())).copied())
            .unwrap_or_default()
    }

    /// Numbers ids and remembers them. Those that the table does not have are added.
    pub async fn resolve(
        &mut self,
        client: &Client,
        missing: MissingIds,
    ) -> Result<FoundIds, tokio_postgres::Error> {
        let mut found = FoundIds::new();
        for (property_no, ids) in missing {
            let mut ids: Vec<String> = ids.into_iter().collect();
            self.select(client, property_no, &mut ids, &mut found)
                .await?;
            if !ids.is_empty() {
                self.insert(client, property_no, &mut ids, &mut found)
                    .await?;
            }
            if !ids.is_empty() {
                // Another loader added these in between.
                self.select(client, property_no, &mut ids, &mut found)
                    .await?;
            }
        }
        for ((property_no, id), number) in &found {
            self.cache
                .insert((*property_no, id.as_str().into()), *number);
        }
        Ok(found)
    }

    async fn select(
        &self,
        client: &Client,
        property_no: i32,
        ids: &mut Vec<String>,
        found: &mut FoundIds,
    ) -> Result<(), tokio_postgres::Error> {
        let sql = match self.kind {
            IdKind::Visitor => include_str!("sql/select_visitors.sql"),
            IdKind::User => include_str!("sql/select_users.sql"),
        };
        let rows = client
            .query_typed(
                sql,
                &[(&property_no, Type::INT4), (&*ids, Type::TEXT_ARRAY)],
            )
            .await?;
        take(&rows, property_no, ids, found);
        Ok(())
    }

    async fn insert(
        &self,
        client: &Client,
        property_no: i32,
        ids: &mut Vec<String>,
        found: &mut FoundIds,
    ) -> Result<(), tokio_postgres::Error> {
        let rows = match self.kind {
            IdKind::Visitor => {
                let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
                let taken = client
                    .query_typed(
                        include_str!("sql/take_visitor_numbers.sql"),
                        &[(&property_no, Type::INT4), (&count, Type::INT8)],
                    )
                    .await?;
                // Without the property the visitors are refused.
                let first: i64 = taken.first().map_or(1, |row| row.get(0));
                client
                    .query_typed(
                        include_str!("sql/insert_visitors.sql"),
                        &[
                            (&property_no, Type::INT4),
                            (&*ids, Type::TEXT_ARRAY),
                            (&first, Type::INT8),
                        ],
                    )
                    .await?
            }
            IdKind::User => {
                client
                    .query_typed(
                        include_str!("sql/insert_users.sql"),
                        &[(&property_no, Type::INT4), (&*ids, Type::TEXT_ARRAY)],
                    )
                    .await?
            }
        };
        take(&rows, property_no, ids, found);
        Ok(())
    }
}

fn take(
    rows: &[tokio_postgres::Row],
    property_no: i32,
    ids: &mut Vec<String>,
    found: &mut FoundIds,
) {
    let known: HashMap<String, i32> = rows.iter().map(|row| (row.get(1), row.get(0))).collect();
    ids.retain(|id| !known.contains_key(id));
    found.extend(
        known
            .into_iter()
            .map(|(id, number)| ((property_no, id), number)),
    );
}
