//! Filters on numbers: texts are compared once, in the dictionaries.

use std::collections::HashSet;
use std::pin::Pin;

use rustc_hash::FxHashSet;
use tokio_postgres::types::Type;

use crate::domain::dimension::Dimension;
use crate::domain::filter::{Field, Filter, TextComparison};
use crate::error::ApiError;
use crate::load::dictionary::Kind;
use crate::query::columns::CHANNELS;
use crate::query::filter_sql::compare;
use crate::query::params::Params;
use crate::query::session::Snapshot;
use crate::rollup::spec::{Column, Source, source};

/// A filter on the numbers of an event's or a key's dimensions.
#[derive(Debug, Clone)]
pub enum NumberFilter {
    /// All hold.
    All(Vec<NumberFilter>),
    /// At least one holds.
    Any(Vec<NumberFilter>),
    /// Does not hold.
    Not(Box<NumberFilter>),
    /// The number of the dimension is one of these.
    In(Dimension, FxHashSet<u32>),
}

impl NumberFilter {
    /// Whether it holds, given the number of each dimension.
    pub fn holds(&self, number: &impl Fn(&Dimension) -> u32) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.holds(number)),
            Self::Any(filters) => filters.iter().any(|filter| filter.holds(number)),
            Self::Not(inner) => !inner.holds(number),
            Self::In(dimension, numbers) => numbers.contains(&number(dimension)),
        }
    }

    /// The dimensions that it asks for.
    pub fn dimensions(&self, found: &mut HashSet<Dimension>) {
        match self {
            Self::All(filters) | Self::Any(filters) => {
                filters.iter().for_each(|filter| filter.dimensions(found));
            }
            Self::Not(inner) => inner.dimensions(found),
            Self::In(dimension, _) => {
                found.insert(dimension.clone());
            }
        }
    }
}

/// The filter on numbers that selects the same. It has text conditions only.
pub fn resolve<'r>(
    snapshot: &'r Snapshot<'r>,
    filter: &'r Filter,
) -> Pin<Box<dyn Future<Output = Result<NumberFilter, ApiError>> + Send + 'r>> {
    Box::pin(async move {
        Ok(match filter {
            Filter::All(filters) => NumberFilter::All(resolve_all(snapshot, filters).await?),
            Filter::Any(filters) => NumberFilter::Any(resolve_all(snapshot, filters).await?),
            Filter::Not(inner) => NumberFilter::Not(Box::new(resolve(snapshot, inner).await?)),
            Filter::Text {
                dimension,
                comparison,
                values,
            } => {
                let numbers = numbers(snapshot, dimension, *comparison, values).await?;
                NumberFilter::In(dimension.clone(), numbers)
            }
            Filter::Absent(Field::Dimension(dimension)) => {
                let absent = match dimension {
                    Dimension::IsBot | Dimension::Channel => FxHashSet::default(),
                    _ => FxHashSet::from_iter([0]),
                };
                NumberFilter::In(dimension.clone(), absent)
            }
            // `choose` has seen to it that there is none.
            Filter::Number { .. } | Filter::Absent(Field::Measure(_)) => {
                return Err(ApiError::Internal);
            }
        })
    })
}

async fn resolve_all(
    snapshot: &Snapshot<'_>,
    filters: &[Filter],
) -> Result<Vec<NumberFilter>, ApiError> {
    let mut resolved = Vec::with_capacity(filters.len());
    for filter in filters {
        resolved.push(resolve(snapshot, filter).await?);
    }
    Ok(resolved)
}

async fn numbers(
    snapshot: &Snapshot<'_>,
    dimension: &Dimension,
    comparison: TextComparison,
    values: &[String],
) -> Result<FxHashSet<u32>, ApiError> {
    let mut params = Params::default();
    let sql = match source(dimension) {
        Some(Source::IsBot) => {
            let compared = compare("flag", comparison, values, &mut params);
            format!(
                "select no from (values (0, 'false'), (1, 'true')) as flags (no, flag) where {compared}"
            )
        }
        Some(Source::Number(Column::Channel)) => {
            let channels = params.bind(CHANNELS.to_vec(), Type::TEXT_ARRAY);
            let compared = compare("channel", comparison, values, &mut params);
            format!(
                "select no::integer from unnest({channels}) with ordinality as channels (channel, no) where {compared}"
            )
        }
        Some(Source::Number(Column::Text(kind))) => {
            of_dictionary(kind, comparison, values, &mut params)
        }
        Some(Source::Number(Column::Property(_)) | Source::Derived(..)) => {
            of_dictionary(Kind::Label, comparison, values, &mut params)
        }
        None => return Err(ApiError::Internal),
    };
    let rows = snapshot.query(&sql, &params).await?;
    Ok(rows
        .iter()
        .filter_map(|row| u32::try_from(row.get::<_, i32>(0)).ok())
        .collect())
}

fn of_dictionary(
    kind: Kind,
    comparison: TextComparison,
    values: &[String],
    params: &mut Params,
) -> String {
    let (table, number, text) = kind.names();
    let compared = compare(text, comparison, values, params);
    format!("select {number} from {table} where {compared}")
}
