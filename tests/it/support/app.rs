//! A service in this process.

use std::collections::HashMap;
use std::net::SocketAddr;

use tallymark::app::{App, AppError};
use tallymark::config::Config;
use tallymark::domain::key::{Key, KeyKind};
use tallymark::pb;
use tallymark::pb::admin_service_client::AdminServiceClient;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tallymark::pb::query_service_client::QueryServiceClient;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::database::TestDatabase;
use super::events::committed_batch;
use super::forwarder::Forwarder;
use super::rollups;

/// A channel that sends a key with every call.
pub type KeyedChannel = InterceptedService<Channel, SendKey>;

/// Sends a key with every call.
#[derive(Clone)]
pub struct SendKey(MetadataValue<Ascii>);

impl SendKey {
    /// Sends this one.
    pub fn new(key: &str) -> Self {
        Self(format!("Bearer {key}").parse().expect("ASCII"))
    }
}

impl tonic::service::Interceptor for SendKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Keys of one property.
pub struct PropertyKeys {
    /// For senders.
    pub write_key: String,
    /// For readers.
    pub read_key: String,
    /// For its administrators.
    pub admin_key: String,
}

/// A service on a port and a database of its own, with keys for the property `default`.
pub struct TestApp {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it shows metrics, if it does.
    pub metrics_address: Option<SocketAddr>,
    /// A connection to it that sends no key.
    pub channel: Channel,
    /// Server-wide.
    pub admin_key: Key,
    /// Of `default`.
    pub write_key: Key,
    /// Of `default`.
    pub read_key: Key,
    stop: CancellationToken,
    service: JoinHandle<Result<(), AppError>>,
    /// Dropped last.
    pub database: TestDatabase,
}

impl TestApp {
    /// A service that is ready.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A service that is ready, with these variables set.
    pub async fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_on(TestDatabase::create().await, variables).await
    }

    /// A service on a given database.
    pub async fn start_on(database: TestDatabase, variables: &[(&str, &str)]) -> Self {
        let mut app = Self::launch_on(database, variables).await;
        tokio::select! {
            () = wait_until(app.channel.clone(), ServingStatus::Serving) => {}
            ended = &mut app.service => panic!("the service could not start: {ended:?}"),
        }
        app
    }

    /// A service whose way to its database can be disturbed.
    pub async fn start_behind_forwarder(variables: &[(&str, &str)]) -> (Self, Forwarder) {
        let database = TestDatabase::create().await;
        let forwarder = database.forwarder().await;
        let url = database.url_through(&forwarder);
        let variables = [&[("DATABASE_URL", url.as_str())], variables].concat();
        (Self::start_on(database, &variables).await, forwarder)
    }

    /// A service on a given database that listens and need not be ready.
    pub async fn launch_on(database: TestDatabase, variables: &[(&str, &str)]) -> Self {
        let [admin_key, write_key, read_key] =
            [KeyKind::Admin, KeyKind::Write, KeyKind::Read].map(Key::generate);
        let mut settings: HashMap<String, String> = HashMap::from([
            ("DATABASE_URL".to_owned(), database.url()),
            ("TALLYMARK_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            (
                "TALLYMARK_DATA_DIR".to_owned(),
                database.data_dir.path().display().to_string(),
            ),
            ("TALLYMARK_POOL_SIZE".to_owned(), "4".to_owned()),
            (
                "TALLYMARK_ADMIN_KEY".to_owned(),
                admin_key.reveal().to_owned(),
            ),
            (
                "TALLYMARK_WRITE_KEY".to_owned(),
                write_key.reveal().to_owned(),
            ),
            (
                "TALLYMARK_READ_KEY".to_owned(),
                read_key.reveal().to_owned(),
            ),
        ]);
        for (name, value) in variables {
            settings.insert((*name).to_owned(), (*value).to_owned());
        }
        let config = Config::from_variables(&|name| settings.get(name).cloned());
        let app = App::bind(config.expect("valid settings"))
            .await
            .expect("a free port");
        let address = app.local_addr().expect("an address");
        let metrics_address = app.metrics_addr();
        let stop = CancellationToken::new();
        let service = tokio::spawn(app.run(stop.clone()));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect().await.expect("the service listens");
        Self {
            address,
            metrics_address,
            channel,
            admin_key,
            write_key,
            read_key,
            stop,
            service,
            database,
        }
    }

    /// Waits until the service as a whole has this health.
    pub async fn wait_until(&self, wanted: ServingStatus) {
        wait_until(self.channel.clone(), wanted).await;
    }

    /// Asks the service to stop, as SIGTERM does.
    pub fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops the service and returns its database.
    pub async fn stop(self) -> TestDatabase {
        self.stop.cancel();
        self.service
            .await
            .expect("no panic")
            .expect("an orderly stop");
        self.database
    }

    /// Waits until the service ends though nobody asked it to, and returns its database.
    pub async fn end_by_itself(self) -> TestDatabase {
        let patience = std::time::Duration::from_secs(60);
        let ended = tokio::time::timeout(patience, self.service).await;
        let ended = ended.expect("it ends").expect("no panic");
        ended.expect_err("it says that something is wrong");
        self.database
    }

    /// A channel that sends this key.
    pub fn with_key(&self, key: &str) -> KeyedChannel {
        InterceptedService::new(self.channel.clone(), SendKey::new(key))
    }

    /// A client for ingestion into `default`.
    pub fn ingest(&self) -> IngestServiceClient<KeyedChannel> {
        IngestServiceClient::new(self.with_key(self.write_key.reveal()))
    }

    /// A client for questions about `default`.
    pub fn query(&self) -> QueryServiceClient<KeyedChannel> {
        QueryServiceClient::new(self.with_key(self.read_key.reveal()))
            .max_decoding_message_size(64 << 20)
    }

    /// A client for administration of the whole server.
    pub fn admin(&self) -> AdminServiceClient<KeyedChannel> {
        AdminServiceClient::new(self.with_key(self.admin_key.reveal()))
    }

    /// A client for ingestion with this key.
    pub fn ingest_with(&self, key: &str) -> IngestServiceClient<KeyedChannel> {
        IngestServiceClient::new(self.with_key(key))
    }

    /// A client for questions with this key.
    pub fn query_with(&self, key: &str) -> QueryServiceClient<KeyedChannel> {
        QueryServiceClient::new(self.with_key(key))
    }

    /// A client for administration with this key.
    pub fn admin_with(&self, key: &str) -> AdminServiceClient<KeyedChannel> {
        AdminServiceClient::new(self.with_key(key))
    }

    /// A new property with a key of every kind.
    pub async fn create_property(&self, name: &str) -> PropertyKeys {
        let property = Some(pb::Property {
            name: name.to_owned(),
            ..pb::Property::default()
        });
        self.admin()
            .create_property(pb::CreatePropertyRequest { property })
            .await
            .expect("a new property");
        PropertyKeys {
            write_key: self.create_key(pb::KeyKind::Write, name).await,
            read_key: self.create_key(pb::KeyKind::Read, name).await,
            admin_key: self.create_key(pb::KeyKind::Admin, name).await,
        }
    }

    /// A new key of a property; without one, of the whole server.
    pub async fn create_key(&self, kind: pb::KeyKind, property: &str) -> String {
        let request = pb::CreateKeyRequest {
            kind: kind.into(),
            property: property.to_owned(),
            label: "made by a test".to_owned(),
        };
        let created = self.admin().create_key(request).await;
        created.expect("a new key").into_inner().secret
    }

    /// Sends events in messages of 500 and returns the summary.
    pub async fn send(&self, events: Vec<pb::Event>) -> pb::StreamEventsResponse {
        let messages: Vec<pb::StreamEventsRequest> = events
            .chunks(500)
            .map(|events| committed_batch(events.to_vec()))
            .collect();
        let sent = self
            .ingest()
            .stream_events(tokio_stream::iter(messages))
            .await;
        sent.expect("the stream ends OK").into_inner()
    }

    /// Sends events that all must be stored now.
    pub async fn send_new(&self, events: Vec<pb::Event>) {
        let count = events.len() as u64;
        let summary = self.send(events).await;
        assert_eq!(
            (summary.received, summary.accepted),
            (count, count),
            "{summary:?}"
        );
    }

    /// Asks an Aggregate question that must have an answer.
    pub async fn aggregate(&self, question: pb::AggregateRequest) -> pb::AggregateResponse {
        self.query()
            .aggregate(question)
            .await
            .expect("an answer")
            .into_inner()
    }

    /// How many events of the last 30 days `default` has, without those of bots.
    pub async fn event_count(&self) -> f64 {
        let question = pb::AggregateRequest {
            totals: true,
            ..pb::AggregateRequest::default()
        };
        let answer = self.aggregate(question).await;
        answer.totals.expect("totals").metrics[0]
    }

    /// Waits until `default` and every other property together have so many events in the database.
    /// More of them are a failure.
    pub async fn until_stored(&self, wanted: i64) {
        let client = self.database.client().await;
        let stored = async {
            loop {
                let row = client.query_one("select count(*) from events", &[]).await;
                let count: i64 = row.expect("a count").get(0);
                assert!(count <= wanted, "{count} events, {wanted} are right");
                if count == wanted {
                    return;
                }
            }
        };
        let patience = std::time::Duration::from_secs(60);
        let reached = tokio::time::timeout(patience, stored).await;
        reached.unwrap_or_else(|_| panic!("there are never {wanted} events"));
    }

    /// Declares a rollup of `default`.
    pub async fn declare_rollup(&self, name: &str, dimensions: &[&str]) {
        let request = pb::CreateRollupRequest {
            property: "default".to_owned(),
            rollup: Some(pb::PropertyRollup {
                name: name.to_owned(),
                dimensions: dimensions.iter().map(|name| (*name).to_owned()).collect(),
                ..pb::PropertyRollup::default()
            }),
        };
        let created = self.admin().create_rollup(request).await;
        created.expect("a new rollup");
    }

    /// Makes segments of everything that the rollups of every property have, and merges them.
    pub async fn compact(&self) {
        rollups::compact(&self.database.url()).await;
    }

    /// Asks an Aggregate question that must not have an answer.
    pub async fn aggregate_error(&self, question: pb::AggregateRequest) -> Status {
        self.query()
            .aggregate(question)
            .await
            .expect_err("no answer")
    }

    /// Lets `default` keep its events for ever, for tests with times long past.
    pub async fn keep_for_ever(&self) {
        self.update_default(
            pb::Property {
                retention_days: Some(0),
                ..pb::Property::default()
            },
            "retention_days",
        )
        .await;
    }

    /// Sets the time zone of `default`.
    pub async fn set_time_zone(&self, zone: &str) {
        self.update_default(
            pb::Property {
                time_zone: zone.to_owned(),
                ..pb::Property::default()
            },
            "time_zone",
        )
        .await;
    }

    async fn update_default(&self, property: pb::Property, field: &str) {
        let request = pb::UpdatePropertyRequest {
            property: Some(pb::Property {
                name: "default".to_owned(),
                ..property
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec![field.to_owned()],
            }),
        };
        self.admin()
            .update_property(request)
            .await
            .expect("an updated property");
    }
}

/// The public part of a key.
pub fn key_id(key: &str) -> String {
    let (id, _secret) = key.rsplit_once('_').expect("a key");
    id.to_owned()
}

async fn wait_until(channel: Channel, wanted: ServingStatus) {
    let whole = HealthCheckRequest {
        service: String::new(),
    };
    let mut health = HealthClient::new(channel);
    let mut statuses = health
        .watch(whole)
        .await
        .expect("health is there")
        .into_inner();
    while let Some(status) = statuses.message().await.expect("health goes on") {
        if status.status() == wanted {
            return;
        }
    }
    panic!("the service ended before it was {wanted:?}");
}
