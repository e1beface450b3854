//! grpc.health.v1: one status per service, and `""` for the whole.
//!
//! Everything is NOT_SERVING until the service is ready and from the moment it drains. In between a
//! status follows the database: while it does not answer, nothing can be stored or read.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

/// How often the database is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names that probes may ask about.
const SERVICES: [&str; 4] = [
    "",
    "tallymark.v1.IngestService",
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
    draining: CancellationToken,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_serving = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = draining.cancelled() => break,
        }
        let is_serving = answers(&pool).await;
        if was_serving == Some(is_serving) || draining.is_cancelled() {
            continue;
        }
        was_serving = Some(is_serving);
        if is_serving {
            info!("the database answers: serving");
            set_all(&reporter, ServingStatus::Serving).await;
        } else {
            warn!("the database does not answer: not serving");
            set_all(&reporter, ServingStatus::NotServing).await;
        }
    }
    stop.cancelled().await;
}

async fn answers(pool: &Pool) -> bool {
    let ask = async {
        let client = pool.get().await.ok()?;
        client.query_one("select 1", &[]).await.ok()
    };
    matches!(tokio::time::timeout(PATIENCE, ask).await, Ok(Some(_)))
}
