//! Batch → facts: what a loader adds to the rollups in the transaction that stores the events.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};

use crate::load::dictionary::Kind;
use crate::load::numbers::Numbers;
use crate::log::event::LoggedEvent;
use crate::store::directory::Directory;

use super::facts::{Facts, Measures, Values, unsigned};
use super::spec::Column;
use super::spec::Rollups;

/// Events of a property and a span of time that share a row of facts.
#[derive(Debug)]
struct Row {
    property_no: i32,
    first_us: i64,
    last_us: i64,
    facts: Facts,
}

/// A row holds events of at most so long a time, unless it has few: who asks about one day is not to
/// read the facts of a year that was imported.
const SPAN_US: i64 = 86_400_000_000;
const FEW: usize = 256;

/// The facts of a batch.
#[derive(Debug, Default)]
pub struct Collected {
    rows: Vec<Row>,
}

impl Collected {
    /// The facts of events with their numbers, in order of property and time.
    pub fn of<'e>(
        directory: &Directory,
        events: impl Iterator<Item = (&'e LoggedEvent<'e>, &'e Numbers)>,
    ) -> Self {
        let mut collected = Self::default();
        let mut last: Option<(i32, Arc<Rollups>)> = None;
        for (event, numbers) in events {
            let known = last.take();
            let (property_no, rollups) = known
                .filter(|(property_no, _)| *property_no == event.property_no)
                .unwrap_or_else(|| (event.property_no, directory.rollups(event.property_no)));
            collected.add(event, numbers, &rollups);
            last = Some((property_no, rollups));
        }
        collected
    }

    fn add(&mut self, event: &LoggedEvent<'_>, numbers: &Numbers, rollups: &Rollups) {
        let fits = self.rows.last().is_some_and(|row| {
            row.property_no == event.property_no
                && (row.facts.len() < FEW || event.time_us - row.first_us < SPAN_US)
        });
        if !fits {
            self.rows.push(Row {
                property_no: event.property_no,
                first_us: event.time_us,
                last_us: event.time_us,
                facts: Facts::new(&rollups.columns),
            });
        }
        let Some(row) = self.rows.last_mut() else {
            unreachable!("one was just added");
        };
        row.last_us = event.time_us;
        row.facts.push(Measures {
            time_us: event.time_us,
            visitor_no: numbers.visitor_no,
            is_page_view: event.is_page_view,
            is_bot: event.is_bot,
            duration_ms: event.duration_ms,
            scroll_bp: event.scroll_bp,
        });
        if numbers.property_labels.len() != rollups.property_keys().len() {
            // A value has no label, or the rollup was declared after the labels were looked up.
            let columns = &mut row.facts.columns;
            columns.retain(|(column, _)| !matches!(column, Column::Property(_)));
        }
        let mut labels = numbers.property_labels.iter();
        for (column, values) in &mut row.facts.columns {
            push_numbers(values, column, event, numbers, &mut labels);
        }
    }

    /// Writes them in the transaction that stores the events.
    pub async fn insert(self, transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut property_nos = Vec::new();
        let mut firsts = Vec::new();
        let mut lasts = Vec::new();
        let mut counts = Vec::new();
        let mut facts = Vec::new();
        for row in &self.rows {
            property_nos.push(row.property_no);
            firsts.push(Timestamp::from_microsecond(row.first_us).unwrap_or_default());
            lasts.push(Timestamp::from_microsecond(row.last_us).unwrap_or_default());
            counts.push(i32::try_from(row.facts.len()).unwrap_or(i32::MAX));
            facts.push(row.facts.encode());
        }
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&property_nos, Type::INT4_ARRAY),
            (&firsts, Type::TIMESTAMPTZ_ARRAY),
            (&lasts, Type::TIMESTAMPTZ_ARRAY),
            (&counts, Type::INT4_ARRAY),
            (&facts, Type::BYTEA_ARRAY),
        ];
        transaction
            .execute_typed(include_str!("sql/insert_facts.sql"), &parameters)
            .await
            .map(drop)
    }
}

fn push_numbers(
    values: &mut Values,
    column: &Column,
    event: &LoggedEvent<'_>,
    numbers: &Numbers,
    labels: &mut std::slice::Iter<'_, u32>,
) {
    match (values, column) {
        (Values::One(column_values), Column::Text(kind)) => {
            column_values.push(unsigned(numbers.single[*kind as usize]));
        }
        (Values::One(column_values), Column::Channel) => {
            column_values.push(unsigned(i32::from(event.channel)));
        }
        (Values::One(column_values), Column::Property(_)) => {
            column_values.push(labels.next().copied().unwrap_or_default());
        }
        (
            Values::List {
                ends,
                numbers: list,
            },
            column,
        ) => {
            let own = match column {
                Column::Text(Kind::Category) => &numbers.category_nos,
                _ => &numbers.tag_nos,
            };
            list.extend(own.iter().map(|number| unsigned(*number)));
            ends.push(list.len() as u32);
        }
    }
}
