//! Numbers for a batch's text: from caches, else from the database, in bulk.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::Client;

use crate::enrich::record::Record;
use crate::enrich::user_agent::Agent;
use crate::enrich::utm::Utm;

use super::dictionary::{Dictionary, Entry, Kind};
use super::ids::{FoundIds, IdKind, Ids, MissingIds};

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

#[derive(Debug, Default)]
struct Found {
    texts: Vec<HashMap<String, i32>>,
    visitors: FoundIds,
    users: FoundIds,
}
