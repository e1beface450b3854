//! Facts from the stored events themselves: where rollups are built, checked, or do not reach.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Portal, Row, Transaction};

use crate::load::dictionary::Kind;

use super::attributes::AttributeStore;
use super::facts::{Facts, Measures, Values, unsigned};
use super::property_text::MAX_VALUE_BYTES;
use super::spec::Column;
use super::stored::{RollupError, timestamp};

/// The statement that reads the events of a property in a span of time.
struct Statement {
    sql: String,
    /// Of properties.
    keys: Vec<String>,
    property_no: i32,
    since: Timestamp,
    until: Timestamp,
}

impl Statement {
    fn new(property_no: i32, span_us: &Range<i64>, columns: &[Column]) -> Self {
        let mut keys = Vec::new();
        let selected: String = columns
            .iter()
            .map(|column| match column {
                Column::Property(key) => {
                    keys.push(key.clone());
                    format!(", coalesce(e.properties ->> $4[{}], '')", keys.len())
                }
                column => format!(", {}", sql_column(column)),
            })
            .collect();
        Self {
            keys,
            sql: include_str!("sql/select_events.sql").replace("{columns}", &selected),
            property_no,
            since: timestamp(span_us.start),
            until: timestamp(span_us.end),
        }
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 4] {
        [
            (&self.property_no, Type::INT4),
            (&self.since, Type::TIMESTAMPTZ),
            (&self.until, Type::TIMESTAMPTZ),
            (&self.keys, Type::TEXT_ARRAY),
        ]
    }
}

/// The rows of a property's events in a span of time, for [`facts`].
pub async fn read(
    transaction: &Transaction<'_>,
    property_no: i32,
    span_us: Range<i64>,
    columns: &[Column],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = Statement::new(property_no, &span_us, columns);
    transaction
        .query_typed(&statement.sql, &statement.parameters())
        .await
}

/// The events of a property in a span of time, one part after the other. Between two parts the
/// transaction may be used for other statements.
pub struct Parts<'t> {
    transaction: &'t Transaction<'t>,
    attributes: &'t AttributeStore,
    portal: Portal,
    columns: Vec<Column>,
}

impl<'t> Parts<'t> {
    /// Begins to read.
    pub async fn read(
        transaction: &'t Transaction<'t>,
        attributes: &'t AttributeStore,
        property_no: i32,
        span_us: Range<i64>,
        columns: &[Column],
    ) -> Result<Self, tokio_postgres::Error> {
        let statement = Statement::new(property_no, &span_us, columns);
        let parameters = statement.parameters();
        let types = parameters.clone().map(|(_, kind)| kind);
        let prepared = transaction.prepare_typed(&statement.sql, &types).await?;
        let portal = transaction
            .bind(&prepared, &parameters.map(|(value, _)| value))
            .await?;
        Ok(Self {
            transaction,
            attributes,
            portal,
            columns: columns.to_vec(),
        })
    }

    /// The next so many events, or what is left; none at the end.
    pub async fn next(&mut self, events: i32) -> Result<Facts, RollupError> {
        let rows = self.transaction.query_portal(&self.portal, events).await?;
        facts(self.attributes, &rows, &self.columns).await
    }
}

/// Facts of rows that were read with these columns.
pub async fn facts(
    attributes: &AttributeStore,
    rows: &[Row],
    columns: &[Column],
) -> Result<Facts, RollupError> {
    let mut facts = Facts::new(columns);
    rows.iter().for_each(|row| push(&mut facts, row));
    for (place, (column, values)) in facts.columns.iter_mut().enumerate() {
        let (Column::Property(key), Values::One(numbers)) = (column, values) else {
            continue;
        };
        let place = OWN_COLUMNS + place;
        let mut texts: BTreeSet<&str> = rows.iter().map(|row| row.get(place)).collect();
        if texts.iter().any(|text| text.len() > MAX_VALUE_BYTES) {
            return Err(RollupError::ValueTooLong { key: key.clone() });
        }
        texts.remove("");
        let labels = attributes.labels(texts).await?;
        numbers.extend(rows.iter().map(|row| {
            let label = labels.get(row.get::<_, &str>(place));
            label.map_or(0, |label| unsigned(*label))
        }));
    }
    Ok(facts)
}

/// Columns of a row before those that were asked for.
const OWN_COLUMNS: usize = 6;

fn push(facts: &mut Facts, row: &Row) {
    let time: Timestamp = row.get(0);
    facts.push(Measures {
        time_us: time.as_microsecond(),
        visitor_no: row.get(1),
        is_page_view: row.get(2),
        is_bot: row.get(3),
        duration_ms: row.get(4),
        scroll_bp: row.get(5),
    });
    for (place, (column, values)) in facts.columns.iter_mut().enumerate() {
        let place = OWN_COLUMNS + place;
        match (values, column) {
            // All at once, later.
            (Values::One(_), Column::Property(_)) => {}
            (Values::One(numbers), Column::Channel) => {
                numbers.push(unsigned(i32::from(row.get::<_, i16>(place))));
            }
            (Values::One(numbers), Column::Text(_)) => {
                numbers.push(row.get::<_, Option<i32>>(place).map_or(0, unsigned));
            }
            (Values::List { ends, numbers }, _) => {
                let list: Option<Vec<i32>> = row.get(place);
                numbers.extend(list.into_iter().flatten().map(unsigned));
                ends.push(numbers.len() as u32);
            }
        }
    }
}

fn sql_column(column: &Column) -> &'static str {
    match column {
        Column::Channel => "e.channel",
        Column::Property(_) => "''",
        Column::Text(kind) => match kind {
            Kind::Name => "e.name_no",
            Kind::Host => "e.host_no",
            Kind::Path => "e.path_no",
            Kind::Query => "e.query_no",
            Kind::Title => "e.title_no",
            Kind::Language => "e.language_no",
            Kind::Screen => "e.screen_no",
            Kind::Country => "e.country_no",
            Kind::PageType => "e.page_type_no",
            Kind::Author => "e.author_no",
            Kind::Referrer => "e.referrer_no",
            Kind::Campaign => "e.campaign_no",
            Kind::Agent => "e.agent_no",
            Kind::Category => "e.category_nos",
            Kind::Tag => "e.tag_nos",
            Kind::Label => "null::integer",
        },
    }
}
