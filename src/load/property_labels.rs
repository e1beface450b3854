//! Labels of values of properties, where a declared rollup groups by them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::log::event::LoggedEvent;
use crate::rollup::property_text::{MAX_VALUE_BYTES, text};
use crate::rollup::spec::Rollups;
use crate::store::directory::Directory;

use super::dictionary::{Dictionary, Entry};
use super::numbers::Numbers;

/// Numbers the values of properties that the rollups of their events' properties group by. A value that is
/// too long for a label gets none of its own: its rollup fails when it is built.
pub async fn resolve<'a>(
    client: &tokio_postgres::Client,
    labels: &mut Dictionary,
    directory: &Directory,
    events: impl Iterator<Item = &'a LoggedEvent<'a>>,
    numbers: &mut [Numbers],
) -> Result<(), tokio_postgres::Error> {
    // Events come by property; nearly none has such rollups.
    let mut last: Option<(i32, Arc<Rollups>)> = None;
    // Of the events that have any: their place, and the texts.
    let mut found: Vec<(usize, Vec<String>)> = Vec::new();
    for (place, event) in events.enumerate() {
        let rollups = match &last {
            Some((property_no, rollups)) if *property_no == event.property_no => rollups,
            _ => {
                let rollups = directory.rollups(event.property_no);
                &last.insert((event.property_no, rollups)).1
            }
        };
        let keys = rollups.property_keys();
        if keys.len() == 0 {
            continue;
        }
        let properties: Option<Map<String, Value>> = event
            .properties
            .and_then(|json| serde_json::from_str(json).ok());
        let value = |key: &str| properties.as_ref()?.get(key);
        found.push((place, keys.map(|key| text(value(key))).collect()));
    }
    if found.is_empty() {
        return Ok(());
    }
    let mut known: HashMap<&str, i32> = HashMap::from([("", 0)]);
    let mut missing: BTreeMap<&str, Entry> = BTreeMap::new();
    for text in found.iter().flat_map(|(_, texts)| texts) {
        let is_known = known.contains_key(text.as_str()) || missing.contains_key(text.as_str());
        if is_known || text.len() > MAX_VALUE_BYTES {
            continue;
        }
        if let Some(number) = labels.cached(text) {
            known.insert(text, number);
        } else {
            let entry = Entry {
                text: text.clone(),
                derived: Vec::new(),
            };
            missing.insert(text, entry);
        }
    }
    let entries = missing.into_values().collect();
    let added = labels.resolve(client, entries).await?;
    for (place, texts) in &found {
        let label = |text: &String| {
            let number = known.get(text.as_str()).or_else(|| added.get(text));
            number.map_or(0, |number| u32::try_from(*number).unwrap_or_default())
        };
        let is_too_long = texts.iter().any(|text| text.len() > MAX_VALUE_BYTES);
        numbers[*place].property_labels = match is_too_long {
            // Without them the facts lack the columns.
            true => Vec::new(),
            false => texts.iter().map(label).collect(),
        };
    }
    Ok(())
}
