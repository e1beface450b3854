//! How long questions take, beside one pass over the same table.

use std::time::{Duration, Instant};

use tallymark::cli::table::{Column, Table, count, decimal};
use tallymark::pb::filter::Kind;
use tallymark::pb::{self, AggregateRequest, Bucket};
use tokio_postgres::NoTls;

use crate::baseline::execute;
use crate::median;
use crate::service::Service;

const REPETITIONS: usize = 7;

/// Asks each question several times and prints medians.
pub async fn run(service: &Service) -> anyhow::Result<()> {
    execute(&service.database, "vacuum analyze").await?;
    let scan = full_scan(service).await?;
    let mut table = Table::new([
        Column::text("last 40 days, over gRPC"),
        Column::number("rows"),
        Column::number("ms"),
        Column::number("full scans"),
    ]);
    let mut row = |name: &str, rows: String, time: Duration| {
        table.row([
            name.to_owned(),
            rows,
            decimal(time.as_secs_f64() * 1_000.0, 1),
            decimal(time.as_secs_f64() / scan.as_secs_f64(), 2),
        ]);
    };
    row(
        "(select sum(duration_ms) from events, in psql's place)",
        String::new(),
        scan,
    );
    let mut client = service.query().await?;
    for (name, question) in questions() {
        let mut times = Vec::new();
        let mut rows = 0;
        for _ in 0..REPETITIONS {
            let started = Instant::now();
            rows = client
                .aggregate(question.clone())
                .await?
                .into_inner()
                .rows
                .len();
            times.push(started.elapsed());
        }
        row(name, count(rows as u64), median(times));
    }
    println!("{table}");
    Ok(())
}

/// One pass over all events.
async fn full_scan(service: &Service) -> anyhow::Result<Duration> {
    let (client, connection) = tokio_postgres::connect(&service.database, NoTls).await?;
    tokio::spawn(connection);
    let mut times = Vec::new();
    for _ in 0..REPETITIONS {
        let started = Instant::now();
        client
            .query_one("select sum(duration_ms) from events", &[])
            .await?;
        times.push(started.elapsed());
    }
    Ok(median(times))
}

fn questions() -> Vec<(&'static str, AggregateRequest)> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let days = pb::TimeRange {
        range: Some(pb::time_range::Range::Relative("last_40_days".to_owned())),
    };
    let question = |bucket: Bucket, dimensions: &[&str], metrics: &[&str]| AggregateRequest {
        range: Some(days.clone()),
        bucket: bucket.into(),
        dimensions: names(dimensions),
        metrics: names(metrics),
        limit: 100_000,
        ..AggregateRequest::default()
    };
    let pages = pb::Condition {
        dimension: "page".to_owned(),
        values: names(&["/", "/membership"]),
        ..pb::Condition::default()
    };
    vec![
        ("events by day", question(Bucket::Day, &[], &["events"])),
        (
            "day × page × os: events, mean duration",
            question(Bucket::Day, &["page", "os"], &["events", "duration_mean"]),
        ),
        (
            "the same of two pages",
            AggregateRequest {
                filter: Some(pb::Filter {
                    kind: Some(Kind::Where(pages)),
                }),
                ..question(Bucket::Day, &["page", "os"], &["events", "duration_mean"])
            },
        ),
        (
            "day × page × os: the same and visitors",
            question(
                Bucket::Day,
                &["page", "os"],
                &["events", "duration_mean", "visitors"],
            ),
        ),
        ("visitors by day", question(Bucket::Day, &[], &["visitors"])),
        (
            "pages by visitors",
            question(Bucket::WholeRange, &["page"], &["visitors"]),
        ),
        (
            "duration percentiles by day",
            question(
                Bucket::Day,
                &[],
                &["duration_p50", "duration_p90", "duration_p99"],
            ),
        ),
    ]
}
