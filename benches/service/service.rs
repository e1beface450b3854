//! The service as a process of its own, and what it is asked to do.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tallymark::cli::connect::channel;
use tallymark::cli::table::{Column, Table, decimal};
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tallymark::pb::query_service_client::QueryServiceClient;
use tokio::process::{Child, Command};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const BINARY: &str = env!("CARGO_BIN_EXE_tallymark");
const UNARY_CALLERS: usize = 64;
const UNARY_CALLS: usize = 200;

/// A running service.
pub struct Service {
    process: Child,
    /// Where it listens.
    pub address: String,
    /// Connection string of its database.
    pub database: String,
}

impl Service {
    /// Starts one on a database and waits until it serves.
    pub async fn start(database: &str) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new(BINARY)
            .args(["serve", "--unauthenticated", "--listen", &address])
            .env("DATABASE_URL", database)
            .env("TALLYMARK_LOG", "warn")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let service = Self {
            process,
            address,
            database: database.to_owned(),
        };
        let started = tokio::time::timeout(Duration::from_secs(30), service.wait_until_serving());
        started.await.context("the service did not start")??;
        Ok(service)
    }

    async fn wait_until_serving(&self) -> anyhow::Result<()> {
        let connected = loop {
            match channel(&self.address).await {
                Ok(connected) => break connected,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let whole = HealthCheckRequest {
            service: String::new(),
        };
        let mut statuses = HealthClient::new(connected)
            .watch(whole)
            .await?
            .into_inner();
        while let Some(status) = statuses.message().await? {
            if status.status() == ServingStatus::Serving {
                return Ok(());
            }
        }
        bail!("the service stopped")
    }

    /// A new connection.
    pub async fn channel(&self) -> anyhow::Result<Channel> {
        channel(&self.address).await
    }

    /// A client for questions.
    pub async fn query(&self) -> anyhow::Result<QueryServiceClient<Channel>> {
        Ok(QueryServiceClient::new(self.channel().await?).max_decoding_message_size(64 << 20))
    }

    /// Sends everything over several connections at once, and returns how long it took until all was
    /// acknowledged.
    pub async fn ingest(
        &self,
        messages: &[pb::StreamEventsRequest],
        connections: usize,
    ) -> anyhow::Result<Duration> {
        // Each connection gets every n-th message, so that all run through time together.
        let mut shares: Vec<Vec<pb::StreamEventsRequest>> = vec![Vec::new(); connections];
        for (place, message) in messages.iter().enumerate() {
            shares[place % connections].push(message.clone());
        }
        let mut senders = Vec::new();
        for share in shares {
            senders.push((IngestServiceClient::new(self.channel().await?), share));
        }
        let started = Instant::now();
        let tasks: Vec<_> = senders
            .into_iter()
            .map(|(mut client, share)| {
                tokio::spawn(async move { client.stream_events(tokio_stream::iter(share)).await })
            })
            .collect();
        let mut accepted = 0;
        for task in tasks {
            accepted += task.await??.into_inner().accepted;
        }
        let took = started.elapsed();
        let sent: usize = messages.iter().map(|message| message.events.len()).sum();
        if accepted != sent as u64 {
            bail!("{sent} events were sent and {accepted} accepted");
        }
        Ok(took)
    }

    /// Times single events from many callers at once.
    pub async fn unary(&self) -> anyhow::Result<()> {
        let client = IngestServiceClient::new(self.channel().await?);
        let callers: Vec<_> = (0..UNARY_CALLERS)
            .map(|caller| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    let mut times = Vec::with_capacity(UNARY_CALLS);
                    for _ in 0..UNARY_CALLS {
                        let event = pb::Event {
                            name: "page_view".to_owned(),
                            visitor_id: format!("caller-{caller}"),
                            page: "/".to_owned(),
                            ..pb::Event::default()
                        };
                        let started = Instant::now();
                        client
                            .ingest_event(pb::IngestEventRequest { event: Some(event) })
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
        let at =
            |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1_000.0;
        let mut table = Table::new([
            Column::text(format!("IngestEvent, committed, {UNARY_CALLERS} callers")),
            Column::number("ms"),
        ]);
        for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("slowest", 1.0)] {
            table.row([name.to_owned(), decimal(at(part), 2)]);
        }
        println!("{table}");
        Ok(())
    }

    /// Memory of the service in MB, by its name in /proc (Linux): `VmRSS` now, `VmHWM` at most so far.
    pub fn memory_mb(&self, name: &str) -> anyhow::Result<u64> {
        let process_id = self.process.id().context("the service ended")?;
        let status = std::fs::read_to_string(format!("/proc/{process_id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kb = line.and_then(|line| {
            let number = line.trim_start_matches(':').trim().trim_end_matches("kB");
            number.trim().parse::<u64>().ok()
        });
        Ok(kb.context("no such line in /proc")? / 1_024)
    }

    /// Stops it in order.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let process_id = self.process.id().context("the service ended")?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(process_id)?);
        rustix::process::kill_process(pid.context("no process")?, rustix::process::Signal::TERM)?;
        let status = self.process.wait().await?;
        if !status.success() {
            bail!("the service ended with {status}");
        }
        Ok(())
    }
}
