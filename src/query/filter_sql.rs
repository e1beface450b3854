//! Filters as SQL over events `e`.
//!
//! A condition may come out as null where an event lacks the dimension. Under "and" and "or" that
//! counts as false, as it should; a negation therefore asks whether its inside "is not true".

use tokio_postgres::types::Type;

use crate::domain::dimension::Dimension;
use crate::domain::filter::{Field, Filter, Measure, NumberComparison, TextComparison};

use super::columns::{CHANNEL_TEXT, Place, place};
use super::params::Params;

/// The filter as a boolean expression. `$1` must be the property's number.
pub fn condition(filter: &Filter, params: &mut Params) -> String {
    match filter {
        Filter::All(filters) => combined(filters, " and ", "true", params),
        Filter::Any(filters) => combined(filters, " or ", "false", params),
        Filter::Not(inner) => format!("({} is not true)", condition(inner, params)),
        Filter::Text {
            dimension,
            comparison,
            values,
        } => text(dimension, *comparison, values, params),
        Filter::Number {
            measure,
            comparison,
            value,
        } => number(measure, *comparison, *value, params),
        Filter::Absent(Field::Dimension(dimension)) => absent(dimension, params),
        Filter::Absent(Field::Measure(measure)) => match measure {
            Measure::Duration => "(e.duration_ms is null)".to_owned(),
            Measure::ScrollDepth => "(e.scroll_bp is null)".to_owned(),
            Measure::Property(key) => absent(&Dimension::Property(key.clone()), params),
        },
    }
}

fn combined(filters: &[Filter], operator: &str, of_none: &str, params: &mut Params) -> String {
    let parts: Vec<String> = filters
        .iter()
        .map(|filter| condition(filter, params))
        .collect();
    if parts.is_empty() {
        return of_none.to_owned();
    }
    format!("({})", parts.join(operator))
}

fn text(
    dimension: &Dimension,
    comparison: TextComparison,
    values: &[String],
    params: &mut Params,
) -> String {
    match place(dimension) {
        Place::Key(column) | Place::Attribute(column) => {
            let compared = compare(column.text, comparison, values, params);
            let (number, table) = (column.number, column.table);
            format!("(e.{number} in (select {number} from {table} where {compared}))")
        }
        Place::Identity(column) => {
            let compared = compare(column.text, comparison, values, params);
            let (number, table) = (column.number, column.table);
            format!(
                "(e.{number} in (select {number} from {table} where property_no = $1 and {compared}))"
            )
        }
        Place::List {
            numbers,
            dictionary,
        } => {
            let compared = compare(dictionary.text, comparison, values, params);
            let (number, table) = (dictionary.number, dictionary.table);
            format!("(e.{numbers} && (select array_agg({number}) from {table} where {compared}))")
        }
        Place::Inline(expression) => compare(expression, comparison, values, params),
        Place::Channel => compare(
            &CHANNEL_TEXT.replace("{key}", "e.channel"),
            comparison,
            values,
            params,
        ),
        Place::Property(key) => {
            let key = params.bind(key, Type::TEXT);
            compare(
                &format!("(e.properties ->> {key})"),
                comparison,
                values,
                params,
            )
        }
    }
}

/// How `expression` compares with one of the values.
pub fn compare(
    expression: &str,
    comparison: TextComparison,
    values: &[String],
    params: &mut Params,
) -> String {
    if comparison == TextComparison::Equals {
        let values = params.bind(values.to_vec(), Type::TEXT_ARRAY);
        return format!("({expression} = any({values}))");
    }
    let parts: Vec<String> = values
        .iter()
        .map(|value| {
            let value = params.bind(value.clone(), Type::TEXT);
            match comparison {
                TextComparison::Equals => format!("{expression} = {value}"),
                TextComparison::StartsWith => format!("starts_with({expression}, {value})"),
                TextComparison::Contains => format!("strpos({expression}, {value}) > 0"),
                TextComparison::MatchesRegex => format!("{expression} ~ {value}"),
            }
        })
        .collect();
    format!("({})", parts.join(" or "))
}

fn number(
    measure: &Measure,
    comparison: NumberComparison,
    value: f64,
    params: &mut Params,
) -> String {
    let operator = match comparison {
        NumberComparison::Less => "<",
        NumberComparison::LessOrEqual => "<=",
        NumberComparison::Greater => ">",
        NumberComparison::GreaterOrEqual => ">=",
    };
    match measure {
        Measure::Duration => {
            let value = params.bind(value * 1_000.0, Type::FLOAT8);
            format!("(e.duration_ms {operator} {value})")
        }
        Measure::ScrollDepth => {
            let value = params.bind(value * 100.0, Type::FLOAT8);
            format!("(e.scroll_bp {operator} {value})")
        }
        Measure::Property(key) => {
            let key = params.bind(key.clone(), Type::TEXT);
            let value = params.bind(value, Type::FLOAT8);
            // A cast outside of the case could be tried on values that are not numbers.
            format!(
                "(case when jsonb_typeof(e.properties -> {key}) = 'number' \
                 then (e.properties ->> {key})::double precision {operator} {value} end)"
            )
        }
    }
}

fn absent(dimension: &Dimension, params: &mut Params) -> String {
    match place(dimension) {
        Place::Key(column) | Place::Identity(column) => format!("(e.{} is null)", column.number),
        Place::Attribute(column) => {
            let (number, table, text) = (column.number, column.table, column.text);
            format!(
                "((e.{number} in (select {number} from {table} where {text} is not null)) is not true)"
            )
        }
        Place::List { numbers, .. } => format!("(e.{numbers} is null)"),
        Place::Inline(expression) => format!("({expression} is null)"),
        Place::Channel => "false".to_owned(),
        Place::Property(key) => {
            let key = params.bind(key, Type::TEXT);
            format!("(coalesce(e.properties ->> {key}, '') = '')")
        }
    }
}
