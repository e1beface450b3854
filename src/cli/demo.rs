//! `tallymark demo`: a day of traffic in, three answers out, each as a table.
//!
//! The service runs in this process, on a database of its own in a temporary directory, and is spoken
//! to over gRPC like any other.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::app::App;
use crate::cli::connect::{ClientChannel, Connection, channel, failed};
use crate::cli::environment;
use crate::cli::serve::stop_on_signal;
use crate::cli::table::{Column, Table, count, decimal};
use crate::cli::traffic::{Traffic, TrafficOptions};
use crate::config::Config;
use crate::pb::filter::Kind;
use crate::pb::ingest_service_client::IngestServiceClient;
use crate::pb::query_service_client::QueryServiceClient;
use crate::pb::{
    Acknowledgement, AggregateRequest, AggregateResponse, Bucket, Condition, DateInterval, Filter,
    FilterList, Operator, OrderBy, StreamEventsRequest, StreamEventsResponse, TimeRange,
    time_range,
};

/// People in the demo's day: enough for every table to have something in every row.
const VISITORS: u32 = 5_000;
const CRAWLERS: u32 = 100;
const EVENTS_PER_MESSAGE: usize = 1_000;

/// Start a service with a database of its own, send it a made-up day, print answers, and stop.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Seed of the made-up traffic: the same seed makes the same day.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
}

/// Runs `tallymark demo`.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let data_dir = DemoDirectory::create()?;
    let settings = |name: &str| match name {
        "TALLYMARK_DATA_DIR" => data_dir.0.to_str().map(str::to_owned),
        "TALLYMARK_ENGINE_DIR" => environment(name),
        "TALLYMARK_LISTEN" => Some("127.0.0.1:0".to_owned()),
        "TALLYMARK_UNAUTHENTICATED" => Some("true".to_owned()),
        _ => None,
    };
    let app = App::bind(Config::from_variables(&settings)?).await?;
    let address = app.local_addr()?.to_string();
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let mut service = tokio::spawn(app.run(stop.clone()));

    let shown = tokio::select! {
        shown = show(&address, args.seed) => shown,
        ended = &mut service => {
            ended??;
            bail!("interrupted");
        }
    };
    stop.cancel();
    service.await??;
    shown
}

async fn show(address: &str, seed: u64) -> anyhow::Result<()> {
    let channel = channel(address).await?;
    wait_until_serving(channel.clone()).await?;
    send_and_ask(channel, seed).await
}

/// Waits, without polling, until the server says that it serves.
async fn wait_until_serving(channel: Channel) -> anyhow::Result<()> {
    let whole = HealthCheckRequest {
        service: String::new(),
    };
    let mut statuses = HealthClient::new(channel).watch(whole).await?.into_inner();
    while let Some(status) = statuses.message().await? {
        if status.status() == ServingStatus::Serving {
            return Ok(());
        }
    }
    bail!("the server stopped before it was ready")
}

/// A directory of this demo's own, gone when the demo ends.
struct DemoDirectory(PathBuf);

impl DemoDirectory {
    /// Not in the user's own temporary directory: as root, the database runs as another user, who
    /// must be able to enter it.
    fn create() -> anyhow::Result<Self> {
        let name = format!("tallymark-demo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for DemoDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "cannot remove the demo's data");
        }
    }
}

/// Streams yesterday's made-up traffic to the server and prints three answers about it.
///
/// Yesterday, because it is whole: every hour has its events, none lies in the future. Running it again
/// on the same day sends the same events, which the server recognises.
///
/// # Errors
/// A call that fails, or an event that the server does not take.
pub async fn send_and_ask(channel: Channel, seed: u64) -> anyhow::Result<()> {
    let connection = Connection::over(channel, "the demo's server");
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let day = today.checked_sub(1.days()).context("no yesterday")?;
    let options = TrafficOptions {
        visitors: VISITORS,
        crawlers: CRAWLERS,
        ..TrafficOptions::of_day(day)
    };
    println!(
        "A day of a web shop: {day} (UTC), {} people, seed {seed}.\n",
        count(VISITORS.into())
    );
    send(connection.ingest(), &Traffic::new(seed, options)).await?;

    let range = TimeRange {
        range: Some(time_range::Range::Dates(DateInterval {
            since: day.to_string(),
            until: today.to_string(),
        })),
    };
    let mut questions = Questions {
        client: connection.query(),
        range,
    };
    questions.by_hour_page_and_os().await?;
    questions.top_pages().await?;
    questions.carts_by_campaign().await
}

async fn send(
    mut client: IngestServiceClient<ClientChannel>,
    traffic: &Traffic,
) -> anyhow::Result<()> {
    let mut events = traffic.events().peekable();
    let mut messages = Vec::new();
    while events.peek().is_some() {
        let events = events.by_ref().take(EVENTS_PER_MESSAGE).collect();
        messages.push(StreamEventsRequest {
            events,
            // The questions come right after.
            acknowledgement: Acknowledgement::Committed.into(),
        });
    }
    let message_count = messages.len();
    // Only the sending is timed: making the events up is no work of the server's.
    let started = Instant::now();
    let summary = client
        .stream_events(tokio_stream::iter(messages))
        .await
        .map_err(|status| failed("cannot send events", &status))?
        .into_inner();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "StreamEvents: {} events in {message_count} messages, committed and acknowledged in {} s \
         ({} events/s).\nOf these {} were stored now, {} had been stored before, {} were rejected.\n",
        count(summary.received),
        decimal(seconds, 2),
        decimal(summary.received as f64 / seconds.max(0.001), 0),
        count(summary.accepted),
        count(summary.duplicates),
        count(summary.rejected),
    );
    complain(&summary)
}

fn complain(summary: &StreamEventsResponse) -> anyhow::Result<()> {
    if summary.rejected == 0 && summary.retry == 0 {
        return Ok(());
    }
    let first = summary
        .failures
        .first()
        .and_then(|failure| failure.result.as_ref());
    let violation = first.and_then(|result| result.violations.first());
    bail!(
        "the server rejected {} events and wants {} again{}",
        summary.rejected,
        summary.retry,
        violation.map_or_else(String::new, |v| format!(
            "; first {}: {}",
            v.field, v.description
        ))
    )
}

struct Questions {
    client: QueryServiceClient<ClientChannel>,
    range: TimeRange,
}

impl Questions {
    async fn by_hour_page_and_os(&mut self) -> anyhow::Result<()> {
        let question = AggregateRequest {
            bucket: Bucket::Hour.into(),
            dimensions: strings(["page", "os"]),
            metrics: strings(["events", "visitors", "duration_mean"]),
            order_by: vec![descending("events")],
            limit: 12,
            ..self.question()
        };
        let title = "1. When is what read, and on what? Each hour by page and operating system,\n   \
                     the busiest first; durations in seconds.";
        self.ask(title, question).await
    }

    async fn top_pages(&mut self) -> anyhow::Result<()> {
        let question = AggregateRequest {
            bucket: Bucket::WholeRange.into(),
            dimensions: strings(["page", "page_type"]),
            metrics: strings([
                "page_views",
                "visitors",
                "duration_mean",
                "scroll_depth_mean",
            ]),
            order_by: vec![descending("visitors")],
            limit: 10,
            ..self.question()
        };
        let title = "2. Which pages do most people see, how long do they stay (seconds), how far do \
                     they\n   scroll (percent)?";
        self.ask(title, question).await
    }

    async fn carts_by_campaign(&mut self) -> anyhow::Result<()> {
        let conditions = vec![
            condition("name", Operator::Equals, &["add_to_cart"]),
            condition("properties.value", Operator::GreaterOrEqual, &["50"]),
            Filter {
                kind: Some(Kind::Not(Box::new(condition(
                    "utm_campaign",
                    Operator::IsAbsent,
                    &[],
                )))),
            },
        ];
        let question = AggregateRequest {
            bucket: Bucket::WholeRange.into(),
            dimensions: strings(["utm_campaign", "device"]),
            metrics: strings(["events", "visitors"]),
            filter: Some(Filter {
                kind: Some(Kind::All(FilterList {
                    filters: conditions,
                })),
            }),
            limit: 10,
            ..self.question()
        };
        let title = "3. Which campaigns fill carts with 50 EUR or more, and on which devices?\n   \
                     (name = add_to_cart and properties.value >= 50 and utm_campaign is present)";
        self.ask(title, question).await
    }

    fn question(&self) -> AggregateRequest {
        AggregateRequest {
            range: Some(self.range.clone()),
            time_zone: "UTC".to_owned(),
            totals: true,
            ..AggregateRequest::default()
        }
    }

    async fn ask(&mut self, title: &str, question: AggregateRequest) -> anyhow::Result<()> {
        let has_buckets = question.bucket() != Bucket::WholeRange;
        let started = Instant::now();
        let answer = self
            .client
            .aggregate(question)
            .await
            .map_err(|status| failed("cannot answer", &status))?
            .into_inner();
        let millis = started.elapsed().as_secs_f64() * 1000.0;
        let row_count = answer
            .metadata
            .as_ref()
            .map_or(0, |metadata| metadata.row_count);
        println!("{title}\n\n{}", answer_table(&answer, has_buckets));
        println!(
            "  {} of {} rows, answered in {} ms.\n",
            count(answer.rows.len() as u64),
            count(row_count.unsigned_abs()),
            decimal(millis, 1)
        );
        if answer.rows.is_empty() {
            bail!("the answer is empty, and the events were acknowledged");
        }
        Ok(())
    }
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

fn descending(key: &str) -> OrderBy {
    OrderBy {
        key: key.to_owned(),
        descending: true,
    }
}

fn condition(dimension: &str, operator: Operator, values: &[&str]) -> Filter {
    Filter {
        kind: Some(Kind::Where(Condition {
            dimension: dimension.to_owned(),
            operator: operator.into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        })),
    }
}

/// The answer as a table; totals, when there are any, below it.
fn answer_table(answer: &AggregateResponse, has_buckets: bool) -> Table {
    let bucket = has_buckets.then(|| Column::text("from (UTC)"));
    let dimensions = answer
        .dimensions
        .iter()
        .map(|name| Column::text(name).at_most(42));
    let metrics = answer
        .metrics
        .iter()
        .map(|name| Column::number(name.replace('_', " ")));
    let mut table = Table::new(bucket.into_iter().chain(dimensions).chain(metrics));

    let measured = |values: &[f64]| {
        let cell = |(name, value): (&String, &f64)| decimal(*value, decimals(name));
        answer
            .metrics
            .iter()
            .zip(values)
            .map(cell)
            .collect::<Vec<_>>()
    };
    for row in &answer.rows {
        let mut cells = Vec::new();
        if has_buckets {
            cells.push(row.bucket_start.as_ref().map(hour).unwrap_or_default());
        }
        cells.extend(row.dimensions.iter().cloned());
        cells.extend(measured(&row.metrics));
        table.row(cells);
    }
    if let Some(totals) = &answer.totals {
        let mut cells = vec![String::new(); usize::from(has_buckets) + answer.dimensions.len()];
        if let Some(first) = cells.first_mut() {
            *first = "all rows".to_owned();
        }
        cells.extend(measured(&totals.metrics));
        table.totals(cells);
    }
    table
}

/// Counts are whole; sums, means and percentiles are not.
fn decimals(metric: &str) -> usize {
    match metric {
        "events" | "page_views" | "visitors" => 0,
        _ => 1,
    }
}

fn hour(time: &prost_types::Timestamp) -> String {
    let time = Timestamp::new(time.seconds, time.nanos).unwrap_or_default();
    time.strftime("%m-%d %H:%M").to_string()
}

#[cfg(test)]
#[path = "demo_tests.rs"]
mod tests;
