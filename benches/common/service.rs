//! The service as a process of its own, and what it is asked to do.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes};
use http::uri::PathAndQuery;
use tallymark::cli::connect::channel;
use tallymark::pb;
use tokio::process::{Child, Command};
use tokio_stream::Stream;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstDecoder;

use super::database::connect;

const BINARY: &str = env!("CARGO_BIN_EXE_tallymark");
const STREAM_EVENTS: &str = "/tallymark.v1.IngestService/StreamEvents";

/// How long ingestion took.
pub struct Took {
    /// Until the last event was acknowledged.
    pub acknowledged: Duration,
    /// Until the last event was in the database.
    pub queryable: Duration,
}

/// Shares for so many connections: each gets every n-th message, so that all run through time
/// together.
pub fn shares(messages: impl Iterator<Item = Bytes>, connections: usize) -> Vec<Vec<Bytes>> {
    let mut shares = vec![Vec::new(); connections];
    for (place, message) in messages.enumerate() {
        shares[place % connections].push(message);
    }
    shares
}

/// A running service.
pub struct Service {
    process: Child,
    /// Where it listens.
    pub address: String,
    /// Connection string of its database.
    pub database: String,
}

impl Service {
    /// Starts one on a database, with its log in a directory and further settings, and waits until it
    /// serves.
    pub async fn start(
        database: &str,
        data_dir: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new(BINARY)
            .args(["serve", "--unauthenticated", "--listen", &address])
            .env("DATABASE_URL", database)
            .env("TALLYMARK_DATA_DIR", data_dir)
            // It warns at every start that it lets everybody in.
            .env("TALLYMARK_LOG", "warn,tallymark::app=error")
            .envs(settings.iter().copied())
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

    /// Sends everything over several connections at once, one for each share, and returns how long it
    /// took. The database was empty before.
    pub async fn ingest<S>(&self, shares: Vec<S>, events: u64) -> anyhow::Result<Took>
    where
        S: Stream<Item = Bytes> + Send + 'static,
    {
        let mut senders = Vec::new();
        for share in shares {
            senders.push((Grpc::new(self.channel().await?), share));
        }
        let database = connect(&self.database).await?;
        let started = Instant::now();
        let tasks: Vec<_> = senders
            .into_iter()
            .map(|(mut client, share)| {
                tokio::spawn(async move {
                    client.ready().await?;
                    let path = PathAndQuery::from_static(STREAM_EVENTS);
                    let sent = client.client_streaming(Request::new(share), path, Encoded);
                    anyhow::Ok(sent.await?)
                })
            })
            .collect();
        let mut accepted = 0;
        for task in tasks {
            let summary: pb::StreamEventsResponse = task.await??.into_inner();
            accepted += summary.accepted;
        }
        let acknowledged = started.elapsed();
        if accepted != events {
            bail!("{events} events were sent and {accepted} accepted");
        }
        let loaded = "select coalesce(sum(next - first), 0)::bigint from log_positions";
        while database.query_one(loaded, &[]).await?.get::<_, i64>(0) < i64::try_from(events)? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Took {
            acknowledged,
            queryable: started.elapsed(),
        })
    }

    /// Its number in /proc.
    pub fn process_id(&self) -> anyhow::Result<u32> {
        self.process.id().context("the service ended")
    }

    /// Memory of the service in MB, by its name in /proc (Linux): `VmRSS` now, `VmHWM` at most so far.
    pub fn memory_mb(&self, name: &str) -> anyhow::Result<u64> {
        let process_id = self.process_id()?;
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
        let process_id = self.process_id()?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(process_id)?);
        rustix::process::kill_process(pid.context("no process")?, rustix::process::Signal::TERM)?;
        let status = self.process.wait().await?;
        if !status.success() {
            bail!("the service ended with {status}");
        }
        Ok(())
    }
}

/// Sends messages that are encoded already.
#[derive(Debug, Clone, Copy)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = pb::StreamEventsResponse;
    type Encoder = Self;
    type Decoder = ProstDecoder<pb::StreamEventsResponse>;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, message: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        target.put(message);
        Ok(())
    }
}
