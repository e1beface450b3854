//! Aggregate, answered from the raw events.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::domain::dimension::Dimension;
use crate::domain::metric::Metric;
use crate::domain::question::{Aggregate, MAX_ROWS, RowKey, Selection, Sort, SortKey};
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
    gaps::choose(&mut answer, question)?;
    if question.others {
        answer.others = others(snapshot, question, &answer).await?;
    }
    Ok(answer)
}

async fn others(
    snapshot: &Snapshot<'_>,
    question: &Aggregate,
    answer: &Answer,
) -> Result<Option<Vec<f64>>, ApiError> {
    let (sql, params) = match &question.only {
        Some(only) => others_statement(question, only.iter()),
        None if answer.row_count == answer.rows.len() as u64 => return Ok(None),
        None => {
            let kept: Vec<RowKey> = answer.rows.iter().map(AnswerRow::key).collect();
            others_statement(question, kept.iter())
        }
    };
    let found = snapshot.query(&sql, &params).await?;
    let row = found.first().ok_or(ApiError::Internal)?;
    let event_count: i64 = row.get("event_count");
    Ok((event_count > 0).then(|| read_metrics(row, question)))
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

/// The pieces of a statement that groups events.
struct Grouped {
    selected: String,
    groupings: Vec<Grouping>,
    bucket: String,
    key_joins: String,
}

impl Grouped {
    fn by(question: &Aggregate, params: &mut Params) -> Self {
        // Binds the property's number as $1, which groupings need.
        let selected = selection(&question.selection, params);
        let groupings: Vec<Grouping> = question
            .dimensions
            .iter()
            .map(|dimension| grouping(dimension, params))
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
        Self {
            key_joins: key_joins.join("\n    "),
            selected,
            groupings,
            bucket,
        }
    }

    /// A piece for each dimension, one after the other.
    fn each(&self, piece: impl Fn(usize, &Grouping) -> String) -> String {
        let numbered = self.groupings.iter().enumerate();
        numbered
            .map(|(place, grouping)| piece(place, grouping))
            .collect()
    }
}

fn rows_statement(question: &Aggregate) -> (String, Params) {
    let mut params = Params::default();
    let grouped = Grouped::by(question, &mut params);
    let wanted = match &question.only {
        None => "true".to_owned(),
        Some(only) => {
            let rows = bind_rows(only.iter(), question.dimensions.len(), &mut params);
            let columns = grouped.each(|place, _| format!(", w{place}"));
            let same = grouped.each(|place, _| format!(" and w{place} = d{place}"));
            format!(
                "exists (select from {rows} as w (w_bucket{columns}) where w_bucket = bucket{same})"
            )
        }
    };
    // With gaps to fill the limit counts filled rows, so all are needed; one more than allowed tells
    // that there are too many.
    let limit = match &question.only {
        Some(only) => only.len(),
        None if question.fill_gaps => MAX_ROWS + 1,
        None => question.limit,
    };
    let limit = params.bind(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8);

    let sql = include_str!("sql/aggregate.sql")
        .replace("{bucket}", &grouped.bucket)
        .replace(
            "{keys}",
            &grouped.each(|place, grouping| format!(", {} as k{place}", grouping.key)),
        )
        .replace(
            "{key_columns}",
            &grouped.each(|place, _| format!(", {}", place + 2)),
        )
        .replace("{metrics}", &metric_columns(question))
        .replace("{key_joins}", &grouped.key_joins)
        .replace("{selected}", &grouped.selected)
        .replace(
            "{texts}",
            &grouped.each(|place, grouping| {
                format!(", {} as d{place}", in_place(&grouping.text, place))
            }),
        )
        .replace("{columns}", &columns(question))
        .replace(
            "{text_joins}",
            &grouped.each(|place, grouping| {
                let join = grouping.text_join.as_deref().unwrap_or_default();
                in_place(join, place) + "\n    "
            }),
        )
        .replace("{wanted}", &wanted)
        .replace("{order}", &order(&question.order))
        .replace("{limit}", &limit);
    (sql, params)
}

fn others_statement<'k>(
    question: &Aggregate,
    kept: impl Iterator<Item = &'k RowKey>,
) -> (String, Params) {
    let mut params = Params::default();
    let grouped = Grouped::by(question, &mut params);
    let kept_rows = bind_rows(kept, question.dimensions.len(), &mut params);
    let from_text = |template: &str, place: usize| {
        template
            .replace("{text}", &format!("k.d{place}"))
            .replace("{alias}", &format!("n{place}"))
    };
    let is_in_several = question.dimensions.iter().any(Dimension::is_list);
    let is_kept = format!("k.bucket = {}", grouped.bucket)
        + &grouped.each(|place, grouping| format!(" and k.k{place} = {}", grouping.key));
    let sql = include_str!("sql/others.sql")
        .replace(
            "{kept_keys}",
            &grouped.each(|place, grouping| {
                let key = from_text(&grouping.key_of_text, place);
                format!(", {key} as k{place}")
            }),
        )
        .replace("{kept_rows}", &kept_rows)
        .replace(
            "{text_columns}",
            &grouped.each(|place, _| format!(", d{place}")),
        )
        .replace(
            "{number_joins}",
            &grouped.each(|place, grouping| {
                let join = grouping.key_of_text_join.as_deref().unwrap_or_default();
                from_text(join, place) + "\n    "
            }),
        )
        .replace("{distinct}", if is_in_several { "distinct" } else { "" })
        .replace("{key_joins}", &grouped.key_joins)
        .replace("{selected}", &grouped.selected)
        .replace("{is_kept}", &is_kept)
        .replace("{metrics}", &metric_columns(question));
    (sql, params)
}

/// Binds rows as arrays: their buckets, from 1 as width_bucket counts, and the values of each dimension.
fn bind_rows<'k>(
    rows: impl Iterator<Item = &'k RowKey>,
    dimensions: usize,
    params: &mut Params,
) -> String {
    let mut buckets: Vec<i32> = Vec::new();
    let mut texts: Vec<Vec<String>> = vec![Vec::new(); dimensions];
    for (bucket, values) in rows {
        buckets.push(i32::try_from(bucket + 1).unwrap_or(i32::MAX));
        for (texts, value) in texts.iter_mut().zip(values) {
            texts.push(value.clone());
        }
    }
    let mut arrays = vec![params.bind(buckets, Type::INT4_ARRAY)];
    arrays.extend(
        texts
            .into_iter()
            .map(|texts| params.bind(texts, Type::TEXT_ARRAY)),
    );
    format!("unnest({})", arrays.join(", "))
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
