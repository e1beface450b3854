//! The service as a process of its own, and what it is asked to do.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes};
use http::uri::PathAndQuery;
use prost::Message;
use tallymark::cli::connect::channel;
use tallymark::cli::table::{Column, Table, decimal};
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tallymark::pb::query_service_client::QueryServiceClient;
use tokio::process::{Child, Command};
use tonic::Request;
use tonic::client::Grpc;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstDecoder;

const BINARY: &str = env!("CARGO_BIN_EXE_tallymark");
const STREAM_EVENTS: &str = "/tallymark.v1.IngestService/StreamEvents";
const UNARY_CALLERS: usize = 64;
const UNARY_CALLS: usize = 200;

/// How long ingestion took.
pub struct Took {
    /// Until the last event was acknowledged.
    pub acknowledged: Duration,
    /// Until the last event was in the database.
    pub queryable: Duration,
}

/// A connection to a database.
pub async fn connect(database: &str) -> anyhow::Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(database, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A running service.
pub struct Service {
    data_dir: tempfile::TempDir,
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
        let data_dir = tempfile::tempdir()?;
        let process = Command::new(BINARY)
            .args(["serve", "--unauthenticated", "--listen", &address])
            .env("DATABASE_URL", database)
            .env("TALLYMARK_DATA_DIR", data_dir.path())
            .env("TALLYMARK_LOG", "warn")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let service = Self {
            data_dir,
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

    /// Sends everything over several connections at once, and returns how long it took.
    pub async fn ingest(
        &self,
        messages: &[pb::StreamEventsRequest],
        connections: usize,
    ) -> anyhow::Result<Took> {
        // Each connection gets every n-th message, so that all run through time together. They are
        // encoded before the clock starts, as the rows are that psql copies.
        let mut shares: Vec<Vec<Bytes>> = vec![Vec::new(); connections];
        for (place, message) in messages.iter().enumerate() {
            shares[place % connections].push(message.encode_to_vec().into());
        }
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
                    let messages = Request::new(tokio_stream::iter(share));
                    let path = PathAndQuery::from_static(STREAM_EVENTS);
                    anyhow::Ok(client.client_streaming(messages, path, Encoded).await?)
                })
            })
            .collect();
        let mut accepted = 0;
        for task in tasks {
            let summary: pb::StreamEventsResponse = task.await??.into_inner();
            accepted += summary.accepted;
        }
        let acknowledged = started.elapsed();
        let sent: usize = messages.iter().map(|message| message.events.len()).sum();
        if accepted != sent as u64 {
            bail!("{sent} events were sent and {accepted} accepted");
        }
        let loaded = "select coalesce(sum(next - first), 0)::bigint from log_positions";
        while database.query_one(loaded, &[]).await?.get::<_, i64>(0) < i64::try_from(sent)? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Took {
            acknowledged,
            queryable: started.elapsed(),
        })
    }

    /// Times single events from many callers at once, beside the machine's own fsync.
    pub async fn unary(&self) -> anyhow::Result<()> {
        let mut table = Table::new([
            Column::text(format!("IngestEvent, {UNARY_CALLERS} callers")),
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
            self.unary_calls(acknowledgement).await?;
            let started = Instant::now();
            let times = self.unary_calls(acknowledgement).await?;
            let calls = times.len() as f64 / started.elapsed().as_secs_f64();
            table.row(row(name, &times, calls));
        }
        let started = Instant::now();
        let times = fsyncs(self.data_dir.path())?;
        let syncs = times.len() as f64 / started.elapsed().as_secs_f64();
        table.row(row(
            "write and fdatasync of 512 bytes, alone",
            &times,
            syncs,
        ));
        println!("{table}");
        Ok(())
    }

    async fn unary_calls(
        &self,
        acknowledgement: pb::Acknowledgement,
    ) -> anyhow::Result<Vec<Duration>> {
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
fn fsyncs(dir: &std::path::Path) -> anyhow::Result<Vec<Duration>> {
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
