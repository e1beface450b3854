//! Single events from many callers at once, beside the machine's own fsync.

use std::path::Path;
use std::time::{Duration, Instant};

use tallymark::cli::table::{Column, Table, decimal};
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;

use super::common::service::Service;

const CALLERS: usize = 64;
const CALLS: usize = 200;

/// Times the events, and small writes in `dir`.
pub async fn run(service: &Service, dir: &Path) -> anyhow::Result<()> {
    let mut table = Table::new([
        Column::text(format!("IngestEvent, {CALLERS} callers")),
        Column::number("p50 ms"),
        Column::number("p90 ms"),
        Column::number("p99 ms"),
        Column::number("slowest"),
        Column::number("a second"),
    ]);
    for (name, acknowledgement) in [
        ("logged: fsynced", pb::Acknowledgement::Logged),
        ("committed", pb::Acknowledgement::Committed),
    ] {
        // Once unmeasured: the day's chunk, connections, caches.
        calls(service, acknowledgement).await?;
        let started = Instant::now();
        let times = calls(service, acknowledgement).await?;
        let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
        table.row(row(name, &times, per_second));
    }
    let started = Instant::now();
    let times = fsyncs(dir)?;
    let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
    table.row(row(
        "write and fdatasync of 512 bytes, alone",
        &times,
        per_second,
    ));
    println!("{table}");
    Ok(())
}

async fn calls(
    service: &Service,
    acknowledgement: pb::Acknowledgement,
) -> anyhow::Result<Vec<Duration>> {
    let client = IngestServiceClient::new(service.channel().await?);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(CALLS);
                for _ in 0..CALLS {
                    let event = pb::Event {
                        name: "page_view".to_owned(),
                        visitor_id: format!("caller-{caller}"),
                        page: "/".to_owned(),
                        ..pb::Event::default()
                    };
                    let started = Instant::now();
                    client
                        .ingest_event(pb::IngestEventRequest {
                            event: Some(event),
                            acknowledgement: acknowledgement.into(),
                        })
                        .await?;
                    times.push(started.elapsed());
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await??);
    }
    times.sort();
    Ok(times)
}

/// A row of latencies, which are sorted.
fn row(name: &str, times: &[Duration], per_second: f64) -> [String; 6] {
    let at = |part: f64| {
        let time = times[((times.len() - 1) as f64 * part) as usize];
        decimal(time.as_secs_f64() * 1_000.0, 2)
    };
    let rate = decimal(per_second, 0);
    [name.to_owned(), at(0.5), at(0.9), at(0.99), at(1.0), rate]
}

/// How long the file system takes to make a small write durable, sorted.
fn fsyncs(dir: &Path) -> anyhow::Result<Vec<Duration>> {
    let file = std::fs::File::create(dir.join("fsync"))?;
    let mut times = Vec::new();
    for place in 0..1_000 {
        let started = Instant::now();
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 512], place * 512)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times)
}
