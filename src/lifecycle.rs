//! How background work starts, stops, and is noticed when it dies.
//!
//! A worker is a future that ends when its token is cancelled. One that ends before that, by itself
//! or by a panic, has died: the service cannot do its job without it, so it stops.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// How long workers have to stop that did not finish.
const LAST_BUDGET: Duration = Duration::from_secs(2);

/// Background work of the service.
#[derive(Debug)]
pub struct Workers {
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
}

impl Workers {
    /// None yet; cancelling `stop` will end them.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            stop,
        }
    }

    /// The token whose cancellation ends the workers.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a worker.
    pub fn start(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            work.await;
            name
        });
    }

    /// Resolves when a worker dies. Never, if none does.
    pub async fn died(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(name)) => error!(worker = name, "a worker ended though nobody stopped it"),
            Some(Err(panic)) => error!(%panic, "a worker panicked"),
            None => std::future::pending().await,
        }
    }

    /// Waits for workers that end by themselves, at most for `budget`; then stops the others.
    pub async fn finish(mut self, budget: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(budget, all).await.is_err() {
            self.stop(LAST_BUDGET).await;
        }
    }

    /// Stops the workers and waits for them, at most for `budget`.
    pub async fn stop(mut self, budget: Duration) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(budget, all).await.is_err() {
            warn!(remaining = self.tasks.len(), "workers did not stop in time");
        }
    }
}
