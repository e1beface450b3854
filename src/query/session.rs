//! One question's statements: on one snapshot, read only, within a time limit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Pool, Transaction};
use jiff::Timestamp;
use tokio_postgres::{CancelToken, Row};

use crate::error::ApiError;
use crate::store::{StoreError, pg_error, pool};

use super::params::Params;

/// The longest that a question may take, and what is left of it.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit(pub Duration);

/// Works on a question, at most for `limit`: waiting for a connection and all of its statements.
pub async fn within<T>(
    limit: TimeLimit,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let done = tokio::time::timeout(limit.0, work).await;
    done.unwrap_or(Err(ApiError::QueryTimeout { limit: limit.0 }))
}

/// A connection for one question. If the question is given up (its caller left, its time is over)
/// while a statement runs, the statement is cancelled and the connection closed: a cancellation that
/// comes late would hit the next question on it.
pub struct Session {
    /// There until the session is dropped.
    client: Option<Client>,
    was_given_up: Arc<AtomicBool>,
    limit: TimeLimit,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(client) = self.client.take()
            && self.was_given_up.load(Ordering::Relaxed)
        {
            drop(Client::take(client));
        }
    }
}

impl Session {
    /// Takes a connection from the pool.
    pub async fn open(pool: &Pool, limit: TimeLimit) -> Result<Self, ApiError> {
        let client = pool.get().await.map_err(StoreError::from)?;
        Ok(Self {
            client: Some(client),
            was_given_up: Arc::default(),
            limit,
        })
    }

    /// Starts a snapshot: what its statements see does not change.
    pub async fn snapshot(&mut self) -> Result<Snapshot<'_>, ApiError> {
        let limit = self.limit;
        // Only dropping takes it away.
        let client = self.client.as_mut().ok_or(ApiError::Internal)?;
        let begun_at = Timestamp::now();
        let cancel_token = client.cancel_token();
        let transaction = client
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await
            .map_err(|error| failure(error, limit))?;
        // A number that we format ourselves: `set` takes no parameters.
        let set = format!(
            "set local statement_timeout = {}",
            limit.0.as_millis().max(1)
        );
        transaction
            .batch_execute(&set)
            .await
            .map_err(|error| failure(error, limit))?;
        Ok(Snapshot {
            transaction,
            cancel_token,
            was_given_up: Arc::clone(&self.was_given_up),
            limit,
            begun_at,
            executed: Mutex::default(),
        })
    }
}

/// A statement that was run.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// What it does, in words.
    pub step: String,
    /// How long it took, the way there and back included.
    pub took: Duration,
    /// Rows that it returned.
    pub rows: usize,
}

/// Statements that see the same state of the database. It is only read, so dropping it ends it.
pub struct Snapshot<'s> {
    transaction: Transaction<'s>,
    cancel_token: CancelToken,
    was_given_up: Arc<AtomicBool>,
    limit: TimeLimit,
    begun_at: Timestamp,
    executed: Mutex<Vec<Executed>>,
}

impl Snapshot<'_> {
    /// The longest that its question may take.
    pub fn limit(&self) -> Duration {
        self.limit.0
    }

    /// A time before it was taken: it sees all that was in the database then.
    pub fn watermark(&self) -> Timestamp {
        self.begun_at
    }

    /// What was run, in the order in which it ended.
    pub fn executed(&self) -> Vec<Executed> {
        self.executed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Runs a statement. What it does is said by its first line, if that is a comment.
    pub async fn query(&self, sql: &str, params: &Params) -> Result<Vec<Row>, ApiError> {
        let begun_at = Instant::now();
        let rows = self
            .guarded(self.transaction.query_typed(sql, &params.as_slice()))
            .await?;
        let executed = Executed {
            step: title(sql).to_owned(),
            took: begun_at.elapsed(),
            rows: rows.len(),
        };
        self.executed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(executed);
        Ok(rows)
    }

    /// Its transaction, for statements that are run within [`Self::guarded`].
    pub fn transaction(&self) -> &tokio_postgres::Transaction<'_> {
        &self.transaction
    }

    /// Waits for statements of its transaction. Whoever gives up waiting cancels them.
    pub async fn guarded<T>(
        &self,
        statements: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, ApiError> {
        let mut guard = CancelOnDrop {
            token: Some(self.cancel_token.clone()),
            was_given_up: Arc::clone(&self.was_given_up),
        };
        let result = statements.await;
        guard.token = None;
        result.map_err(|error| failure(error, self.limit))
    }
}

/// The first sentence of a statement's header.
fn title(sql: &str) -> &str {
    let line = sql.lines().next().unwrap_or_default();
    match line.strip_prefix("-- ") {
        Some(header) => header
            .split(". ")
            .next()
            .unwrap_or(header)
            .trim_end_matches('.'),
        None => "Looks up texts",
    }
}

/// Cancels the running statement unless it was disarmed.
struct CancelOnDrop {
    token: Option<CancelToken>,
    was_given_up: Arc<AtomicBool>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.was_given_up.store(true, Ordering::Relaxed);
            pool::cancel(token);
        }
    }
}

fn failure(error: tokio_postgres::Error, limit: TimeLimit) -> ApiError {
    if pg_error::is_timeout(&error) {
        return ApiError::QueryTimeout { limit: limit.0 };
    }
    if pg_error::is_bad_regex(&error) {
        let said = error
            .as_db_error()
            .map(|error| error.message())
            .unwrap_or_default();
        let reason = said
            .strip_prefix("invalid regular expression: ")
            .unwrap_or("it is invalid");
        return ApiError::invalid(
            "filter",
            format!("a regular expression does not parse: {reason}"),
        );
    }
    StoreError::from(error).into()
}
