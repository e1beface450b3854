//! Aggregate, answered from the raw events.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::domain::metric::Metric;
use crate::domain::question::{Aggregate, MAX_ROWS, Selection, Sort, SortKey};
use crate::error::ApiError;

use super::answer::{Answer, AnswerRow, Plan};
use super::columns::{Grouping, grouping};
use super::filter_sql;
use super::gaps;
use super::params::Params;
use super::session::Snapshot;

/// Answers a question from the raw events.
pub async fn answer(snapshot: &Snapshot<'_>, question: &Aggregate) -> Result<Answer, ApiError> {
    let (sql, params) = rows_statement(question);
    let found = snapshot.query(&sql, &params).await?;
    let row_count = found
        .first()
        .map_or(0, |row| row.get::<_, i64>("row_count"));
    let mut answer = Answer {
        rows: found.iter().map(|row| read_row(row, question)).collect(),
        row_count: u64::try_from(row_count).unwrap_or_default(),
        totals: None,
        others: None,
        plan: Plan::raw(),
    };
    if question.totals {
        let (sql, params) = totals_statement(question);
        let found = snapshot.query(&sql, &params).await?;
        answer.totals = found.first().map(|row| read_metrics(row, question));
    }
    if question.fill_gaps {
        gaps::fill(&mut answer, question)?;
    }
    Ok(answer)
}

fn read_row(row: &Row, question: &Aggregate) -> AnswerRow {
    let bucket: i32 = row.get("bucket");
    AnswerRow {
        // width_bucket counts from 1.
        bucket: usize::try_from(bucket - 1).unwrap_or_default(),
        dimensions: (0..question.dimensions.len())
            .map(|place| row.get(format!("d{place}").as_str()))
            .collect(),
        metrics: read_metrics(row, question),
    }
}

fn read_metrics(row: &Row, question: &Aggregate) -> Vec<f64> {
    (0..question.metrics.len())
        .map(|place| {
            row.get::<_, Option<f64>>(format!("m{place}").as_str())
                .unwrap_or(f64::NAN)
        })
        .collect()
}

fn rows_statement(question: &Aggregate) -> (String, Params) {
    let mut params = Params::default();
    let selected = selection(&question.selection, &mut params);
    let groupings: Vec<Grouping> = question
        .dimensions
        .iter()
        .map(|dimension| grouping(dimension, &mut params))
        .collect();

    let bucket = match question.buckets.starts() {
        [_] => "1".to_owned(),
        starts => {
            let starts = params.bind(starts.to_vec(), Type::TIMESTAMPTZ_ARRAY);
            format!("width_bucket(e.time, {starts})")
        }
    };
    let mut key_joins: Vec<&str> = Vec::new();
    for join in groupings.iter().flat_map(|grouping| &grouping.key_joins) {
        if !key_joins.contains(join) {
            key_joins.push(join);
        }
    }
    let numbered = || groupings.iter().enumerate();
    let keys: String = numbered()
        .map(|(place, grouping)| format!(", {} as k{place}", grouping.key))
        .collect();
    let key_columns: String = numbered()
        .map(|(place, _)| format!(", {}", place + 2))
        .collect();
    let texts: String = numbered()
        .map(|(place, grouping)| format!(", {} as d{place}", in_place(&grouping.text, place)))
        .collect();
    let text_joins: Vec<String> = numbered()
        .filter_map(|(place, grouping)| Some(in_place(grouping.text_join.as_ref()?, place)))
        .collect();

    // With gaps to fill the limit counts filled rows, so all are needed; one more than allowed tells
    // that there are too many.
    let limit = if question.fill_gaps {
        MAX_ROWS + 1
    } else {
        question.limit
    };
    let limit = params.bind(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8);

    let sql = include_str!("sql/aggregate.sql")
        .replace("{bucket}", &bucket)
        .replace("{keys}", &keys)
        .replace("{key_columns}", &key_columns)
        .replace("{metrics}", &metric_columns(question))
        .replace("{key_joins}", &key_joins.join("\n    "))
        .replace("{selected}", &selected)
        .replace("{texts}", &texts)
        .replace("{columns}", &columns(question))
        .replace("{text_joins}", &text_joins.join("\n"))
        .replace("{order}", &order(&question.order))
        .replace("{limit}", &limit);
    (sql, params)
}

fn totals_statement(question: &Aggregate) -> (String, Params) {
    let mut params = Params::default();
    let selected = selection(&question.selection, &mut params);
    let sql = include_str!("sql/totals.sql")
        .replace(
            "{metrics}",
            metric_columns(question).trim_start_matches(", "),
        )
        .replace("{selected}", &selected);
    (sql, params)
}

fn columns(question: &Aggregate) -> String {
    let dimensions = (0..question.dimensions.len()).map(|place| format!(", d{place}"));
    let metrics = (0..question.metrics.len()).map(|place| format!(", m{place}"));
    dimensions.chain(metrics).collect()
}

fn in_place(template: &str, place: usize) -> String {
    template
        .replace("{key}", &format!("g.k{place}"))
        .replace("{alias}", &format!("t{place}"))
}

/// Which events `e`, as a boolean expression. Binds the property's number as `$1`.
pub fn selection(selection: &Selection, params: &mut Params) -> String {
    let property = params.bind(selection.property_no, Type::INT4);
    let since = params.bind(selection.range.since, Type::TIMESTAMPTZ);
    let until = params.bind(selection.range.until_exclusive, Type::TIMESTAMPTZ);
    let mut selected =
        format!("e.property_no = {property} and e.time >= {since} and e.time < {until}");
    if !selection.include_bots {
        selected.push_str(" and not e.is_bot");
    }
    if let Some(filter) = &selection.filter {
        selected.push_str(" and ");
        selected.push_str(&filter_sql::condition(filter, params));
    }
    selected
}

fn metric_columns(question: &Aggregate) -> String {
    question
        .metrics
        .iter()
        .enumerate()
        .map(|(place, metric)| format!(", ({})::double precision as m{place}", metric_sql(*metric)))
        .collect()
}

/// Sums are of whole milliseconds and hundredths of a percent, so they are exact in any order.
fn metric_sql(metric: Metric) -> &'static str {
    match metric {
        Metric::Events => "count(*)",
        Metric::PageViews => "count(*) filter (where e.is_page_view)",
        Metric::Visitors => "count(distinct e.visitor_no)",
        Metric::DurationSum => "coalesce(sum(e.duration_ms), 0)::double precision / 1000",
        Metric::DurationMean => {
            "sum(e.duration_ms)::double precision / nullif(count(e.duration_ms), 0) / 1000"
        }
        Metric::DurationMin => "min(e.duration_ms)::double precision / 1000",
        Metric::DurationMax => "max(e.duration_ms)::double precision / 1000",
        Metric::DurationP50 => "percentile_cont(0.5) within group (order by e.duration_ms) / 1000",
        Metric::DurationP90 => "percentile_cont(0.9) within group (order by e.duration_ms) / 1000",
        Metric::DurationP99 => "percentile_cont(0.99) within group (order by e.duration_ms) / 1000",
        Metric::ScrollDepthMean => {
            "sum(e.scroll_bp)::double precision / nullif(count(e.scroll_bp), 0) / 100"
        }
    }
}

/// Text is compared byte by byte, so that the order does not depend on the database's locale.
fn order(order: &[Sort]) -> String {
    let keys: Vec<String> = order
        .iter()
        .map(|sort| {
            let key = match sort.key {
                SortKey::Bucket => "bucket".to_owned(),
                SortKey::Dimension(place) => format!("d{place} collate \"C\""),
                SortKey::Metric(place) => format!("m{place}"),
            };
            let direction = if sort.descending { "desc" } else { "asc" };
            format!("{key} {direction} nulls last")
        })
        .collect();
    keys.join(", ")
}
