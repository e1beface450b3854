//! What PostgreSQL does with the same events when nobody stands in between.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::process::Command;

use super::common::database;

/// How long the two COPYs took.
pub struct Copied {
    /// Rows of text, as a table without dictionaries has them.
    pub wide: Duration,
    /// The service's own rows.
    pub narrow: Duration,
}

/// Copies the events that the service stored in `source` into fresh databases with psql.
pub async fn copy_again(server: &str, source: &str) -> anyhow::Result<Copied> {
    let dir = tempfile::tempdir()?;
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (wide, narrow) = (file("wide.bin"), file("narrow.bin"));
    psql(
        source,
        &format!("\\copy (select * from events_readable) to '{wide}' (format binary)"),
    )
    .await?;
    psql(
        source,
        &format!("\\copy (select * from events) to '{narrow}' (format binary)"),
    )
    .await?;
    let schema = file("schema.sql");
    write_schema(&schema)?;

    let target = database::create(server, "bench_wide").await?;
    psql_file(&target, &schema).await?;
    database::execute(&target, include_str!("wide.sql")).await?;
    let started = Instant::now();
    psql(
        &target,
        &format!("\\copy events_wide from '{wide}' (format binary)"),
    )
    .await?;
    let wide = started.elapsed();

    let target = database::create(server, "bench_narrow").await?;
    psql_file(&target, &schema).await?;
    let started = Instant::now();
    psql(
        &target,
        &format!("\\copy events from '{narrow}' (format binary)"),
    )
    .await?;
    let narrow = started.elapsed();
    Ok(Copied { wide, narrow })
}

/// The migrations, as the service applies them.
fn write_schema(target: &str) -> anyhow::Result<()> {
    let mut sql = String::from("create extension timescaledb;\n");
    let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    for file in files {
        if file.extension().is_some_and(|extension| extension == "sql") {
            sql.push_str(&std::fs::read_to_string(file)?);
        }
    }
    std::fs::write(target, sql)?;
    Ok(())
}

async fn psql(url: &str, command: &str) -> anyhow::Result<()> {
    run(url, &["-c", command]).await
}

async fn psql_file(url: &str, file: &str) -> anyhow::Result<()> {
    run(url, &["-f", file]).await
}

async fn run(url: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url])
        .args(arguments)
        .output()
        .await
        .context("psql cannot be run")?;
    if !output.status.success() {
        bail!(
            "psql {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
