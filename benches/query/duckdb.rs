//! DuckDB, as a process of its own that is asked over pipes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::dictionaries::{AGENTS, CHANNELS, CRAWLERS, DEVICES, NAMES, PLACES, PLANS, SOURCES};
use super::events::{PAGES, Shape, page_path};
use super::forms::{LINE_COLUMNS, write_line};

/// As many as the service and PostgreSQL can use on the machine that the ratios are about.
const THREADS: &str = "2";
const WORKER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/benches/query/duckdb_worker.py"
);
/// Events that are written to a file and read by DuckDB at a time: some 150 MB.
const EVENTS_PER_FILE: usize = 1_000_000;

/// A database file that is open.
pub struct DuckDb {
    requests: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
    // Ends when its standard input is closed; kept so that it does not outlive a failure.
    _process: Child,
}

#[derive(Deserialize)]
struct Reply {
    error: Option<String>,
    #[serde(default)]
    rows: Vec<Vec<Value>>,
    #[serde(default)]
    ms: f64,
}

impl DuckDb {
    /// Opens a database file, which is made if there is none.
    pub fn open(file: &Path) -> anyhow::Result<Self> {
        let python = std::env::var_os("BENCH_QUERY_PYTHON").context(
            "BENCH_QUERY_PYTHON names no Python with DuckDB: run this with `make bench-query`",
        )?;
        let mut process = Command::new(&python)
            .arg(WORKER)
            .arg(file)
            .arg(THREADS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", python.display()))?;
        let requests = process.stdin.take().context("no standard input")?;
        let replies = process.stdout.take().context("no standard output")?;
        Ok(Self {
            requests,
            replies: BufReader::new(replies).lines(),
            _process: process,
        })
    }

    async fn ask(&mut self, request: Value) -> anyhow::Result<Reply> {
        self.requests
            .write_all(format!("{request}\n").as_bytes())
            .await
            .context("DuckDB's process ended; its words are above")?;
        let line = self.replies.next_line().await?;
        let line = line.context("DuckDB's process ended; its words are above")?;
        let reply: Reply = serde_json::from_str(&line)?;
        if let Some(error) = reply.error {
            bail!("DuckDB: {error}\n{request}");
        }
        Ok(reply)
    }

    /// Runs statements.
    pub async fn execute(&mut self, sql: &str) -> anyhow::Result<()> {
        self.ask(json!({ "execute": sql })).await?;
        Ok(())
    }

    /// The rows of a question.
    pub async fn rows(&mut self, sql: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        Ok(self.ask(json!({ "rows": sql })).await?.rows)
    }

    /// How long questions take, one after the other.
    pub async fn time(&mut self, sql: &[&str]) -> anyhow::Result<Duration> {
        let reply = self.ask(json!({ "time": sql })).await?;
        Ok(Duration::from_secs_f64(reply.ms / 1_000.0))
    }

    /// Fills a new file with the events of a shape, by way of files beside it.
    pub async fn load(&mut self, shape: Shape, dir: &Path) -> anyhow::Result<()> {
        self.execute(&schema()).await?;
        let mut events = shape.events();
        loop {
            let file = tempfile::Builder::new().suffix(".csv").tempfile_in(dir)?;
            let target = file.reopen()?;
            let (rest, written) = tokio::task::spawn_blocking(move || {
                let mut target = std::io::BufWriter::new(target);
                let mut written = 0;
                for event in events.by_ref().take(EVENTS_PER_FILE) {
                    write_line(&mut target, &event)?;
                    written += 1;
                }
                std::io::Write::flush(&mut target)?;
                std::io::Result::Ok((events, written))
            })
            .await??;
            events = rest;
            let insert = include_str!("sql/duckdb/load.sql")
                .replace(
                    "{file}",
                    &file.path().display().to_string().replace('\'', "''"),
                )
                .replace("{columns}", LINE_COLUMNS);
            self.execute(&insert).await?;
            if written < EVENTS_PER_FILE {
                break;
            }
        }
        self.execute("checkpoint").await
    }
}

/// The table, with the texts that there are.
fn schema() -> String {
    let pages: Vec<String> = (0..PAGES).map(page_path).collect();
    let agents = || AGENTS.iter().chain(&CRAWLERS);
    let utm = |place: usize| distinct(SOURCES.iter().map(move |source| source.utm[place]));
    let enums = [
        ("name", distinct(NAMES)),
        ("page", distinct(pages.iter().map(String::as_str))),
        ("os", distinct(agents().map(|agent| agent.os))),
        ("browser", distinct(agents().map(|agent| agent.browser))),
        ("device", distinct(DEVICES)),
        (
            "country",
            distinct(PLACES.iter().map(|place| place.country)),
        ),
        (
            "language",
            distinct(PLACES.iter().map(|place| place.language)),
        ),
        (
            "referrer",
            distinct(SOURCES.iter().map(|source| source.referrer)),
        ),
        ("channel", distinct(CHANNELS)),
        ("utm_source", utm(0)),
        ("utm_medium", utm(1)),
        ("utm_campaign", utm(2)),
        ("plan", distinct(PLANS)),
    ];
    let mut schema = include_str!("sql/duckdb/schema.sql").to_owned();
    for (column, texts) in enums {
        let texts: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
        let texts = format!("enum ({})", texts.join(", "));
        schema = schema.replace(&format!("{{{column}}}"), &texts);
    }
    schema
}

/// Each text once, without the empty one.
fn distinct<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    texts.into_iter().filter(|text| !text.is_empty()).collect()
}
