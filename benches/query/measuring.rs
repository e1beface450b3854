//! One question after the other, of all three.

use std::time::Duration;

use anyhow::Context;
use tallymark::cli::table::count;
use tallymark::pb::query_service_client::QueryServiceClient;
use tonic::transport::Channel;

use super::answers::{ensure_equal, of_duckdb, of_plain_sql, of_service};
use super::common::service::Service;
use super::common::{database, median};
use super::duckdb::DuckDb;
use super::loading::{Loaded, SETTINGS};
use super::options::Options;
use super::questions::{self, Question};

const MOST_MESSAGE_BYTES: usize = 64 << 20;
/// One that takes this long in all is not asked again.
const ENOUGH: Duration = Duration::from_secs(20);

/// What one size gave.
pub struct Measured {
    /// Each question.
    pub questions: Vec<Timed>,
    /// Most memory the service had while it answered.
    pub peak_memory_mb: u64,
}

/// A question's times.
pub struct Timed {
    /// The question's name.
    pub name: String,
    /// Rows of the answer.
    pub rows: usize,
    /// The service's first answer after its start.
    pub first: Duration,
    /// Later ones.
    pub service: Times,
    /// DuckDB's.
    pub duckdb: Times,
    /// PostgreSQL's.
    pub plain: Times,
}

/// Times of the same thing.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// The middle one in milliseconds.
    pub fn median_ms(&self) -> f64 {
        milliseconds(median(self.0.clone()))
    }

    /// The shortest and the longest in milliseconds.
    pub fn extremes_ms(&self) -> [f64; 2] {
        let shortest = self.0.iter().min().copied().unwrap_or_default();
        let longest = self.0.iter().max().copied().unwrap_or_default();
        [shortest, longest].map(milliseconds)
    }

    fn are_enough(&self, runs: usize) -> bool {
        !self.0.is_empty() && (self.0.len() >= runs || self.0.iter().sum::<Duration>() >= ENOUGH)
    }
}

/// In milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Asks all questions about loaded events.
pub async fn measure(options: &Options, loaded: &Loaded) -> anyhow::Result<Measured> {
    let mut questions = questions::all(loaded.note.first_day);
    questions.retain(|question| question.name.contains(&options.only));

    eprintln!("first answers, each of a service that has just started…");
    let mut firsts = Vec::new();
    for question in &questions {
        let service = start(loaded).await?;
        firsts.push(of_service(&mut client(&service).await?, question).await?.0);
        service.stop().await?;
    }

    let service = start(loaded).await?;
    let mut asked = Asked {
        service: client(&service).await?,
        duckdb: DuckDb::open(&loaded.duckdb_file)?,
        plain: database::connect(&loaded.database).await?,
    };
    let mut timed = Vec::new();
    for (question, first) in questions.iter().zip(firsts) {
        eprintln!("{}…", question.name);
        let context = || format!("“{}” was not answered as it should be", question.name);
        timed.push(
            asked
                .time(question, first, options.runs)
                .await
                .with_context(context)?,
        );
    }
    let peak_memory_mb = service.memory_mb("VmHWM")?;
    service.stop().await?;
    Ok(Measured {
        questions: timed,
        peak_memory_mb,
    })
}

async fn start(loaded: &Loaded) -> anyhow::Result<Service> {
    Service::start(&loaded.database, &loaded.log_dir, &SETTINGS).await
}

async fn client(service: &Service) -> anyhow::Result<QueryServiceClient<Channel>> {
    let client = QueryServiceClient::new(service.channel().await?);
    Ok(client.max_decoding_message_size(MOST_MESSAGE_BYTES))
}

struct Asked {
    service: QueryServiceClient<Channel>,
    duckdb: DuckDb,
    plain: tokio_postgres::Client,
}

impl Asked {
    /// Compares the answers first, which warms all three. Then they take turns, so that what else the
    /// machine does falls on all of them.
    async fn time(
        &mut self,
        question: &Question,
        first: Duration,
        runs: usize,
    ) -> anyhow::Result<Timed> {
        let (_, ours) = of_service(&mut self.service, question).await?;
        ensure_equal(
            &ours,
            &of_duckdb(&mut self.duckdb, question).await?,
            "DuckDB",
        )?;
        let (_, theirs) = of_plain_sql(&self.plain, question).await?;
        ensure_equal(&ours, &theirs, "plain SQL")?;

        let sql: Vec<&str> = question
            .tables
            .iter()
            .map(|table| table.duckdb.as_str())
            .collect();
        let mut timed = Timed {
            name: question.name.clone(),
            rows: ours.iter().map(Vec::len).sum(),
            first,
            service: Times::default(),
            duckdb: Times::default(),
            plain: Times::default(),
        };
        for _ in 0..runs.max(1) {
            if !timed.service.are_enough(runs) {
                timed
                    .service
                    .0
                    .push(of_service(&mut self.service, question).await?.0);
            }
            if !timed.duckdb.are_enough(runs) {
                timed.duckdb.0.push(self.duckdb.time(&sql).await?);
            }
            if !timed.plain.are_enough(runs) {
                timed
                    .plain
                    .0
                    .push(of_plain_sql(&self.plain, question).await?.0);
            }
        }
        Ok(timed)
    }
}

/// Sizes of both databases, for the report.
pub async fn sizes(loaded: &Loaded) -> anyhow::Result<String> {
    let client = database::connect(&loaded.database).await?;
    let sizes = client.query_one(include_str!("sql/sizes.sql"), &[]).await?;
    let megabytes = |bytes: u64| count(bytes >> 20);
    let bytes = |name: &str| u64::try_from(sizes.get::<_, i64>(name)).unwrap_or_default();
    Ok(format!(
        "database {} MB, of which events {} MB and rollups {} MB; DuckDB's file {} MB",
        megabytes(bytes("whole")),
        megabytes(bytes("events")),
        megabytes(bytes("rollups")),
        megabytes(std::fs::metadata(&loaded.duckdb_file)?.len()),
    ))
}
