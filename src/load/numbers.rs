//! Numbers for a batch's text: from caches, else from the database, in bulk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use quick_cache::Equivalent;
use quick_cache::unsync::Cache;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::enrich::record::Record;
use crate::enrich::user_agent::Agent;
use crate::enrich::utm::Utm;

use super::dictionary::{Dictionary, Entry, Kind};

/// Visitors that are remembered, and users. 262,144 ids of 36 bytes are about 30 MB.
const CACHED_IDS: usize = 262_144;

/// How many dictionaries an event has at most one number of.
pub const SINGLE_KINDS: usize = 13;

/// The numbers of one record.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// By [`Kind`], those before [`Kind::Category`]; 0 is "none".
    pub single: [i32; SINGLE_KINDS],
    /// Of the visitor.
    pub visitor_no: i32,
    /// Of the user; 0 is "none".
    pub user_no: i32,
    /// Of the categories.
    pub category_nos: Vec<i32>,
    /// Of the tags.
    pub tag_nos: Vec<i32>,
}

/// Knows numbers and finds out new ones.
#[derive(Debug)]
pub struct Numbering {
    dictionaries: Vec<Dictionary>,
    visitors: Ids,
    users: Ids,
}

impl Numbering {
    /// With empty caches.
    pub fn new() -> Self {
        Self {
            dictionaries: Kind::ALL.into_iter().map(Dictionary::new).collect(),
            visitors: Ids::new(IdKind::Visitor),
            users: Ids::new(IdKind::User),
        }
    }

    /// The numbers of every record, in order.
    pub async fn resolve<'a>(
        &mut self,
        client: &Client,
        records: impl Iterator<Item = &'a Record> + Clone,
    ) -> Result<Vec<Numbers>, tokio_postgres::Error> {
        let mut missing = Missing::default();
        for record in records.clone() {
            each_text(record, |kind, text| {
                if self.dictionaries[kind as usize].cached(text).is_none() {
                    missing.add(kind, text, record);
                }
            });
            self.visitors.note_missing(
                record.property_no,
                &record.visitor_id,
                &mut missing.visitors,
            );
            if let Some(user_id) = &record.user_id {
                self.users
                    .note_missing(record.property_no, user_id, &mut missing.users);
            }
        }

        let mut found = Found::default();
        for dictionary_and_entries in self.dictionaries.iter_mut().zip(missing.texts) {
            let (dictionary, entries) = dictionary_and_entries;
            let entries = entries.into_values().collect();
            found.texts.push(dictionary.resolve(client, entries).await?);
        }
        found.visitors = self.visitors.resolve(client, missing.visitors).await?;
        found.users = self.users.resolve(client, missing.users).await?;

        Ok(records.map(|record| self.numbers(record, &found)).collect())
    }

    fn numbers(&self, record: &Record, found: &Found) -> Numbers {
        let mut numbers = Numbers::default();
        each_text(record, |kind, text| {
            // What was just found out may have been evicted from the cache already.
            let number = found.texts[kind as usize]
                .get(text)
                .copied()
                .or_else(|| self.dictionaries[kind as usize].cached(text))
                .unwrap_or_default();
            match kind {
                Kind::Category => numbers.category_nos.push(number),
                Kind::Tag => numbers.tag_nos.push(number),
                kind => numbers.single[kind as usize] = number,
            }
        });
        let property_no = record.property_no;
        numbers.visitor_no = self
            .visitors
            .number(property_no, &record.visitor_id, &found.visitors);
        if let Some(user_id) = &record.user_id {
            numbers.user_no = self.users.number(property_no, user_id, &found.users);
        }
        numbers
    }
}

impl Default for Numbering {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls `take` with every text of a record that a dictionary numbers.
fn each_text(record: &Record, mut take: impl FnMut(Kind, &str)) {
    take(Kind::Name, &record.name);
    if let Some(page) = &record.page {
        if let Some(host) = &page.host {
            take(Kind::Host, host);
        }
        take(Kind::Path, &page.path);
        if let Some(query) = &page.query {
            take(Kind::Query, query);
        }
    }
    let mut optional = |kind, text: &Option<Box<str>>| {
        if let Some(text) = text {
            take(kind, text);
        }
    };
    optional(Kind::Title, &record.title);
    optional(Kind::Language, &record.language);
    optional(Kind::Screen, &record.screen);
    optional(Kind::PageType, &record.page_type);
    optional(Kind::Author, &record.author);
    if let Some(country) = &record.country {
        take(Kind::Country, country.as_str());
    }
    if let Some(referrer) = &record.referrer {
        take(Kind::Referrer, &referrer.url);
    }
    if let Some(utm) = &record.utm {
        take(Kind::Campaign, &campaign_key(utm));
    }
    if let Some((header, _)) = &record.user_agent {
        take(Kind::Agent, header);
    }
    for category in &record.categories {
        take(Kind::Category, category);
    }
    for tag in &record.tags {
        take(Kind::Tag, tag);
    }
}

fn utm_values(utm: &Utm) -> [Option<&str>; 5] {
    [
        &utm.source,
        &utm.medium,
        &utm.campaign,
        &utm.term,
        &utm.content,
    ]
    .map(Option::as_deref)
}

fn campaign_key(utm: &Utm) -> String {
    serde_json::Value::from_iter(utm_values(utm)).to_string()
}

/// What a dictionary keeps beside a text.
fn derived(kind: Kind, record: &Record) -> Vec<Option<String>> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    match kind {
        Kind::Referrer => {
            vec![
                record
                    .referrer
                    .as_ref()
                    .map(|referrer| referrer.domain.to_string()),
            ]
        }
        Kind::Campaign => record.utm.iter().flat_map(utm_values).map(owned).collect(),
        Kind::Agent => record
            .user_agent
            .iter()
            .flat_map(|(_, agent)| agent_values(agent))
            .collect(),
        _ => Vec::new(),
    }
}

fn agent_values(agent: &Agent) -> [Option<String>; 6] {
    [
        agent.browser.as_deref().map(str::to_owned),
        agent.browser_version.as_deref().map(str::to_owned),
        agent.os.as_deref().map(str::to_owned),
        agent.os_version.as_deref().map(str::to_owned),
        Some(agent.device.as_str().to_owned()),
        Some(agent.is_bot.to_string()),
    ]
}

/// Sorted, so that loaders that add the same texts do it in one order.
#[derive(Debug)]
struct Missing {
    texts: Vec<BTreeMap<String, Entry>>,
    visitors: MissingIds,
    users: MissingIds,
}

impl Default for Missing {
    fn default() -> Self {
        let texts = Kind::ALL.map(|_| BTreeMap::new()).into();
        Self {
            texts,
            visitors: MissingIds::new(),
            users: MissingIds::new(),
        }
    }
}

impl Missing {
    fn add(&mut self, kind: Kind, text: &str, record: &Record) {
        let texts = &mut self.texts[kind as usize];
        if !texts.contains_key(text) {
            let entry = Entry {
                text: text.to_owned(),
                derived: derived(kind, record),
            };
            texts.insert(text.to_owned(), entry);
        }
    }
}

/// Ids by property.
type MissingIds = BTreeMap<i32, BTreeSet<String>>;
/// Numbers by property and id.
type FoundIds = HashMap<(i32, String), i32>;

#[derive(Debug, Default)]
struct Found {
    texts: Vec<HashMap<String, i32>>,
    visitors: FoundIds,
    users: FoundIds,
}

#[derive(Debug, Clone, Copy)]
enum IdKind {
    Visitor,
    User,
}

/// Ids of one kind, numbered within a property, with those met lately.
#[derive(Debug)]
struct Ids {
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
    fn new(kind: IdKind) -> Self {
        Self {
            kind,
            cache: Cache::new(CACHED_IDS),
        }
    }

    fn note_missing(&self, property_no: i32, id: &str, missing: &mut MissingIds) {
        if self.cache.get(&IdRef(property_no, id)).is_none() {
            missing
                .entry(property_no)
                .or_default()
                .insert(id.to_owned());
        }
    }

    fn number(&self, property_no: i32, id: &str, found: &FoundIds) -> i32 {
        self.cache
            .get(&IdRef(property_no, id))
            .or_else(|| found.get(&(property_no, id.to_owned())))
            .copied()
            .unwrap_or_default()
    }

    async fn resolve(
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
