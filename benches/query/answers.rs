//! Answers of three kinds in one form, so that they can be compared.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use tallymark::pb::query_service_client::QueryServiceClient;
use tokio_postgres::Client;
use tonic::transport::Channel;

use super::duckdb::DuckDb;
use super::questions::{Call, Question, Range};

/// Answers add up means in different orders, so their last digits differ.
const TOLERANCE: f64 = 1e-9;

/// The rows of one table, in any order.
pub type Rows = Vec<Row>;

/// A row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    bucket_us: i64,
    /// Empty where there is none.
    dimensions: Vec<String>,
    /// NaN where there is nothing to measure.
    metrics: Vec<f64>,
}

/// Asks the service; the time is until the last answer is decoded.
pub async fn of_service(
    client: &mut QueryServiceClient<Channel>,
    question: &Question,
) -> anyhow::Result<(Duration, Vec<Rows>)> {
    let mut answers = Vec::new();
    let started = Instant::now();
    for call in &question.calls {
        match call {
            Call::Aggregate(request) => {
                let answer = client.aggregate(request.clone()).await;
                let answer = answer.with_context(|| format!("the service: {}", question.name))?;
                answers.push(answer.into_inner());
            }
        }
    }
    let took = started.elapsed();
    let tables = answers.into_iter().map(|answer| {
        let rows = answer.rows.into_iter();
        rows.map(|row| Row {
            bucket_us: row.bucket_start.map_or(0, |start| {
                start.seconds * 1_000_000 + i64::from(start.nanos / 1_000)
            }),
            dimensions: row.dimensions,
            metrics: row.metrics,
        })
        .collect()
    });
    Ok((took, tables.collect()))
}

/// Asks PostgreSQL; the time is until the last row is here.
pub async fn of_plain_sql(
    client: &Client,
    question: &Question,
) -> anyhow::Result<(Duration, Vec<Rows>)> {
    let mut answers = Vec::new();
    let started = Instant::now();
    for table in &question.tables {
        let Range { since, until } = table.range;
        let (since, until) = (midnight(since)?, midnight(until)?);
        let rows = client.query(&table.plain, &[&since, &until]).await;
        let rows = rows.with_context(|| format!("plain SQL: {}", table.plain))?;
        answers.push((table.dimensions, rows));
    }
    let took = started.elapsed();
    let tables = answers.into_iter().map(|(dimensions, rows)| {
        let rows = rows.iter().map(|row| Row {
            bucket_us: row.get::<_, Timestamp>(0).as_microsecond(),
            dimensions: (1..=dimensions)
                .map(|place| row.get::<_, Option<String>>(place).unwrap_or_default())
                .collect(),
            metrics: (dimensions + 1..row.len())
                .map(|place| row.get::<_, Option<f64>>(place).unwrap_or(f64::NAN))
                .collect(),
        });
        rows.collect()
    });
    Ok((took, tables.collect()))
}

fn midnight(day: Date) -> anyhow::Result<Timestamp> {
    Ok(day.to_zoned(TimeZone::UTC)?.timestamp())
}

/// Asks DuckDB, unmeasured.
pub async fn of_duckdb(duckdb: &mut DuckDb, question: &Question) -> anyhow::Result<Vec<Rows>> {
    let mut answers = Vec::new();
    for table in &question.tables {
        let rows = duckdb.rows(&table.duckdb).await?;
        let rows: Option<Rows> = rows
            .iter()
            .map(|row| json_row(row, table.dimensions))
            .collect();
        answers.push(rows.with_context(|| format!("not a row of an answer: {}", table.duckdb))?);
    }
    Ok(answers)
}

fn json_row(row: &[Value], dimensions: usize) -> Option<Row> {
    let (bucket, values) = row.split_first()?;
    let (texts, metrics) = values.split_at_checked(dimensions)?;
    let text = |value: &Value| match value {
        Value::Null => Some(String::new()),
        value => value.as_str().map(str::to_owned),
    };
    let number = |value: &Value| match value {
        Value::Null => Some(f64::NAN),
        value => value.as_f64(),
    };
    Some(Row {
        bucket_us: bucket.as_i64()?,
        dimensions: texts.iter().map(text).collect::<Option<_>>()?,
        metrics: metrics.iter().map(number).collect::<Option<_>>()?,
    })
}

/// Fails unless two answers are equal, row by row.
pub fn ensure_equal(ours: &[Rows], theirs: &[Rows], who: &str) -> anyhow::Result<()> {
    ensure!(
        ours.len() == theirs.len(),
        "the service answers with {} tables, {who} with {}",
        ours.len(),
        theirs.len()
    );
    for (ours, theirs) in ours.iter().zip(theirs) {
        let (ours, theirs) = (sorted(ours), sorted(theirs));
        let differs = ours.iter().zip(&theirs).find(|(a, b)| !equal(a, b));
        if let Some((ours, theirs)) = differs {
            bail!("the service says {ours:?}, {who} {theirs:?}");
        }
        ensure!(
            ours.len() == theirs.len(),
            "the service answers with {} rows, {who} with {}",
            ours.len(),
            theirs.len()
        );
    }
    Ok(())
}

fn sorted(rows: &Rows) -> Vec<&Row> {
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_by(|a, b| match a.bucket_us.cmp(&b.bucket_us) {
        Ordering::Equal => a.dimensions.cmp(&b.dimensions),
        unequal => unequal,
    });
    sorted
}

fn equal(a: &Row, b: &Row) -> bool {
    let close = |(a, b): (&f64, &f64)| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
    };
    a.bucket_us == b.bucket_us
        && a.dimensions == b.dimensions
        && a.metrics.len() == b.metrics.len()
        && a.metrics.iter().zip(&b.metrics).all(close)
}
