//! Numbers for a batch's text: from caches, else from the database, in bulk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio_postgres::Client;

use crate::enrich::Enricher;
use crate::enrich::user_agent::Agent;
use crate::log::event::LoggedEvent;
use crate::store::directory::Directory;

use super::dictionary::{DERIVED, Dictionary, Entry, Kind};
use super::ids::{FoundIds, IdKind, Ids, MissingIds};
use super::property_labels;

/// How many dictionaries an event has at most one number of.
pub const SINGLE_KINDS: usize = 13;

/// The numbers of one event.
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
    /// Of the values of properties that rollups group by, in the order of their columns.
    pub property_labels: Vec<u32>,
}

impl Numbers {
    fn set(&mut self, kind: Kind, number: i32) {
        match kind {
            Kind::Category => self.category_nos.push(number),
            Kind::Tag => self.tag_nos.push(number),
            kind => self.single[kind as usize] = number,
        }
    }
}

/// Knows numbers and finds out new ones.
#[derive(Debug)]
pub struct Numbering {
    dictionaries: Vec<Dictionary>,
    visitors: Ids,
    users: Ids,
    enricher: Arc<Enricher>,
}

impl Numbering {
    /// With empty caches. `enricher` knows what is kept beside a user agent.
    pub fn new(enricher: Arc<Enricher>) -> Self {
        Self {
            dictionaries: Kind::ALL.into_iter().map(Dictionary::new).collect(),
            visitors: Ids::new(IdKind::Visitor),
            users: Ids::new(IdKind::User),
            enricher,
        }
    }

    /// The numbers of every event, in order, with the labels that a directory's rollups need, if one is
    /// given.
    pub async fn resolve<'a>(
        &mut self,
        client: &Client,
        events: impl ExactSizeIterator<Item = &'a LoggedEvent<'a>> + Clone,
        rollups: Option<&Directory>,
    ) -> Result<Vec<Numbers>, tokio_postgres::Error> {
        let mut all = Vec::with_capacity(events.len());
        let mut missing = Missing::default();
        for event in events.clone() {
            all.push(self.cached(event, &mut missing));
        }
        if !missing.events.is_empty() {
            self.find(client, events.clone(), missing, &mut all).await?;
        }
        if let Some(directory) = rollups {
            let labels = &mut self.dictionaries[Kind::Label as usize];
            property_labels::resolve(client, labels, directory, events, &mut all).await?;
        }
        Ok(all)
    }

    /// Finds out what the caches do not know, and completes the numbers of the events that miss it.
    async fn find<'a>(
        &mut self,
        client: &Client,
        events: impl Iterator<Item = &'a LoggedEvent<'a>>,
        missing: Missing,
        all: &mut [Numbers],
    ) -> Result<(), tokio_postgres::Error> {
        // Before the rows that they are derived from: whoever sees an event finds the labels of what was
        // derived from it.
        let labels = missing.labels();
        self.dictionaries[Kind::Label as usize]
            .resolve(client, labels)
            .await?;
        let mut found = Found::default();
        for (dictionary, entries) in self.dictionaries.iter_mut().zip(missing.texts) {
            let entries = entries.into_values().collect();
            found.texts.push(dictionary.resolve(client, entries).await?);
        }
        found.visitors = self.visitors.resolve(client, missing.visitors).await?;
        found.users = self.users.resolve(client, missing.users).await?;

        let mut incomplete = missing.events.into_iter().peekable();
        for (place, event) in events.enumerate() {
            if incomplete.next_if_eq(&place).is_some() {
                all[place] = self.complete(event, &found);
            }
        }
        Ok(())
    }

    /// The numbers as far as the caches know them; notes what they do not know.
    fn cached(&self, event: &LoggedEvent<'_>, missing: &mut Missing) -> Numbers {
        let mut numbers = Numbers::default();
        let mut is_complete = true;
        each_text(event, |kind, text| {
            match self.dictionaries[kind as usize].cached(text) {
                Some(number) => numbers.set(kind, number),
                None => {
                    is_complete = false;
                    missing.add(kind, text, || derived(kind, event, &self.enricher));
                }
            }
        });
        let property_no = event.property_no;
        match self.visitors.cached(property_no, event.visitor_id) {
            Some(number) => numbers.visitor_no = number,
            None => {
                is_complete = false;
                note(&mut missing.visitors, property_no, event.visitor_id);
            }
        }
        if let Some(user_id) = event.user_id {
            match self.users.cached(property_no, user_id) {
                Some(number) => numbers.user_no = number,
                None => {
                    is_complete = false;
                    note(&mut missing.users, property_no, user_id);
                }
            }
        }
        if !is_complete {
            missing.events.push(missing.seen);
        }
        missing.seen += 1;
        numbers
    }

    fn complete(&self, event: &LoggedEvent<'_>, found: &Found) -> Numbers {
        let mut numbers = Numbers::default();
        each_text(event, |kind, text| {
            // What was just found out may have been evicted from the cache already.
            let number = found.texts[kind as usize].get(text).copied();
            let number = number.or_else(|| self.dictionaries[kind as usize].cached(text));
            numbers.set(kind, number.unwrap_or_default());
        });
        let property_no = event.property_no;
        numbers.visitor_no = self
            .visitors
            .number(property_no, event.visitor_id, &found.visitors);
        if let Some(user_id) = event.user_id {
            numbers.user_no = self.users.number(property_no, user_id, &found.users);
        }
        numbers
    }
}

/// Calls `take` with every text of an event that a dictionary numbers.
fn each_text(event: &LoggedEvent<'_>, mut take: impl FnMut(Kind, &str)) {
    take(Kind::Name, event.name);
    let mut optional = |kind, text: Option<&str>| {
        if let Some(text) = text {
            take(kind, text);
        }
    };
    optional(Kind::Host, event.host);
    optional(Kind::Path, event.path);
    optional(Kind::Query, event.query);
    optional(Kind::Title, event.title);
    optional(Kind::Language, event.language);
    optional(Kind::Screen, event.screen);
    optional(Kind::Country, event.country);
    optional(Kind::PageType, event.page_type);
    optional(Kind::Author, event.author);
    optional(Kind::Referrer, event.referrer.map(|(_, url)| url));
    optional(Kind::Agent, event.user_agent);
    if let Some(utm) = event.utm {
        take(Kind::Campaign, &campaign_key(utm));
    }
    for category in &event.categories {
        take(Kind::Category, category);
    }
    for tag in &event.tags {
        take(Kind::Tag, tag);
    }
}

fn campaign_key(utm: [Option<&str>; 5]) -> String {
    serde_json::Value::from_iter(utm).to_string()
}

/// What a dictionary keeps beside a text.
fn derived(kind: Kind, event: &LoggedEvent<'_>, enricher: &Enricher) -> Vec<Option<String>> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    match kind {
        Kind::Referrer => vec![owned(event.referrer.map(|(domain, _)| domain))],
        Kind::Campaign => event.utm.into_iter().flatten().map(owned).collect(),
        Kind::Agent => event
            .user_agent
            .iter()
            .flat_map(|header| agent_values(&enricher.agent(header)))
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

fn note(missing: &mut MissingIds, property_no: i32, id: &str) {
    let ids = missing.entry(property_no).or_default();
    if !ids.contains(id) {
        ids.insert(id.to_owned());
    }
}

/// What the caches do not know. Sorted, so that loaders that add the same texts do it in one order.
#[derive(Debug)]
struct Missing {
    texts: Vec<BTreeMap<String, Entry>>,
    visitors: MissingIds,
    users: MissingIds,
    /// Places of the events that miss something, ascending, among those seen.
    events: Vec<usize>,
    seen: usize,
}

impl Default for Missing {
    fn default() -> Self {
        Self {
            texts: Kind::ALL.map(|_| BTreeMap::new()).into(),
            visitors: MissingIds::new(),
            users: MissingIds::new(),
            events: Vec::new(),
            seen: 0,
        }
    }
}

impl Missing {
    /// The texts that were derived from what is missing.
    fn labels(&self) -> Vec<Entry> {
        let texts: BTreeSet<&String> = DERIVED
            .into_iter()
            .flat_map(|(kind, count)| {
                let entries = self.texts[kind as usize].values();
                entries.flat_map(move |entry| entry.derived.iter().take(count).flatten())
            })
            .collect();
        let entry = |text: &String| Entry {
            text: text.clone(),
            derived: Vec::new(),
        };
        texts.into_iter().map(entry).collect()
    }

    fn add(&mut self, kind: Kind, text: &str, derived: impl FnOnce() -> Vec<Option<String>>) {
        let texts = &mut self.texts[kind as usize];
        if !texts.contains_key(text) {
            let entry = Entry {
                text: text.to_owned(),
                derived: derived(),
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
