//! grpc.health.v1: one status per service, and `""` for the whole.
//!
//! Everything is NOT_SERVING until the service is ready and from the moment it drains. In between
//! ingestion follows the log, since events are taken as long as it has room, whether or not the
//! database answers. Questions and administration follow the database. The whole serves while all of
//! them do.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::log::Log;

/// How often the database is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

const INGEST: &str = "tallymark.v1.IngestService";
/// Names that probes may ask about.
const SERVICES: [&str; 4] = [
    "",
    INGEST,
    "tallymark.v1.QueryService",
    "tallymark.v1.AdminService",
];

/// Sets the status of every service.
pub async fn set_all(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

/// Tells everybody that the service drains, and ends the calls that watch: they would keep it from
/// stopping.
pub async fn end(reporter: &mut HealthReporter) {
    set_all(reporter, ServingStatus::NotServing).await;
    for service in SERVICES {
        // A watcher is sent the last status, then its stream ends with the sender.
        reporter.clear_service_status(service).await;
    }
    set_all(reporter, ServingStatus::NotServing).await;
}

/// Keeps the statuses true until `draining`; ends with `stop`.
pub async fn run(
    reporter: HealthReporter,
    pool: Pool,
    log: Log,
    draining: CancellationToken,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = draining.cancelled() => break,
        }
        let now = Able {
            ingest: log.takes_events(),
            answer: answers(&pool).await,
        };
        if before == Some(now) || draining.is_cancelled() {
            continue;
        }
        let was = before.replace(now);
        if was.is_none_or(|was| was.answer != now.answer) {
            match now.answer {
                true => info!("the database answers: serving questions"),
                false => warn!("the database does not answer: not serving questions"),
            }
        }
        if was.is_none_or(|was| was.ingest != now.ingest) {
            match now.ingest {
                true => info!("the log has room: taking events"),
                false => warn!("the log is full or cannot be written: not taking events"),
            }
        }
        for service in SERVICES {
            let status = match now.serves(service) {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            };
            reporter.set_service_status(service, status).await;
        }
    }
    stop.cancelled().await;
}

/// What the service can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Able {
    ingest: bool,
    answer: bool,
}

impl Able {
    fn serves(self, service: &str) -> bool {
        match service {
            "" => self.ingest && self.answer,
            INGEST => self.ingest,
            _ => self.answer,
        }
    }
}

async fn answers(pool: &Pool) -> bool {
    let ask = async {
        let client = pool.get().await.ok()?;
        client.query_one("select 1", &[]).await.ok()
    };
    matches!(tokio::time::timeout(PATIENCE, ask).await, Ok(Some(_)))
}
