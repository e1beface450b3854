//! What a handler knows about its call: the parts of the service, and whose call it is.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Request, Status};

use crate::domain::property::Property;
use crate::enrich::Enricher;
use crate::error::ApiError;
use crate::load::freshness::{Awaited, Freshness};
use crate::log::Log;
use crate::query::cache::Answers;
use crate::query::engine::Engine;
use crate::query::realtime::watch::Watches;
use crate::query::session::TimeLimit;
use crate::store::directory::Directory;

use super::receive::received::Received;

/// The parts of the service that calls use; complete once the service is ready.
#[derive(Debug)]
pub struct Core {
    /// Connections for questions and administration.
    pub pool: Pool,
    /// Connections for the service's own work.
    pub service_pool: Pool,
    /// Keys and properties.
    pub directory: Arc<Directory>,
    /// Where accepted events go.
    pub log: Log,
    /// What is read off events.
    pub enricher: Arc<Enricher>,
    /// What answers questions.
    pub engine: Arc<Engine>,
    /// What makes questions wait for events.
    pub freshness: Freshness,
    /// What keeps and shares answers.
    pub answers: Answers,
    /// Who watches what happens now.
    pub watches: Watches,
    /// The longest that a question may take.
    pub query_timeout: Duration,
    /// Cancelled when the service stops taking calls.
    pub draining: CancellationToken,
}

/// A call that was let in.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The parts of the service.
    pub core: Arc<Core>,
    /// The property of the caller's key; `None` for a server-wide administrator.
    property: Option<Arc<Property>>,
    /// When the caller waits no longer, if it says so.
    deadline: Option<Instant>,
    /// Cancelled when the service stops and waits no longer for its calls. The gate ends those that have
    /// not been answered; replies that are still being sent end themselves.
    pub cut_off: CancellationToken,
    /// What the call's messages hold of the budget for requests.
    received: Option<Received>,
    /// As long as this lives the call is under way, also while its replies are still being sent.
    _under_way: TaskTrackerToken,
}

impl Scope {
    /// The scope of a call.
    pub fn new(
        core: Arc<Core>,
        property: Option<Arc<Property>>,
        deadline: Option<Duration>,
        cut_off: CancellationToken,
        under_way: TaskTrackerToken,
    ) -> Self {
        Self {
            core,
            property,
            deadline: deadline.and_then(|deadline| Instant::now().checked_add(deadline)),
            cut_off,
            received: None,
            _under_way: under_way,
        }
    }

    /// The scope that the gate gave the request.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let extensions = request.extensions();
        // Every service is behind the gate, so this is a fault of ours.
        let scope = extensions.get::<Self>().ok_or(ApiError::Internal)?;
        Ok(Self {
            received: extensions.get::<Received>().cloned(),
            ..scope.clone()
        })
    }

    /// Gives back what the message held of the budget for requests: to be called when it has been
    /// dropped, before something long is waited for. The end of the call does the same.
    pub fn release_message(&self) {
        if let Some(received) = &self.received {
            received.release();
        }
    }

    /// A freshness token for the events of these records; empty without records.
    pub fn freshness_token(&self, records: Option<Range<u64>>) -> String {
        let property = self.property.as_ref();
        property.map_or_else(String::new, |property| {
            self.core.freshness.token(property.property_no, records)
        })
    }

    /// Reads a question's freshness token.
    pub fn freshness(&self, token: &str) -> Result<Awaited, ApiError> {
        let property_no = self.property()?.property_no;
        self.core.freshness.read(property_no, token)
    }

    /// To be called when a question is read, and its message dropped: gives back what the message held,
    /// and waits until the events of its freshness token are in the database.
    pub async fn until_fresh(&self, awaited: Awaited) -> Result<(), ApiError> {
        self.release_message();
        let limit = self.time_limit().0;
        self.core.freshness.wait(awaited, limit).await
    }

    /// The property whose events are sent or asked about.
    pub fn property(&self) -> Result<&Arc<Property>, ApiError> {
        self.property.as_ref().ok_or(ApiError::KeyNotAllowed {
            needs: "a key of one property",
        })
    }

    /// The name of the only property that the caller may manage; `None` when it may manage all.
    pub fn only_property(&self) -> Option<&str> {
        self.property
            .as_ref()
            .map(|property| property.name.as_str())
    }

    /// The longest that a question of this call may take from now on.
    pub fn time_limit(&self) -> TimeLimit {
        let own = self.core.query_timeout;
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        TimeLimit(
            self.deadline
                .map_or(own, |deadline| left(deadline).min(own)),
        )
    }
}
