//! The connection pool.

use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Config, NoTls};

use crate::error::causes;

/// How long a caller waits for a free connection, and for a new one to be made.
const WAIT: Duration = Duration::from_secs(5);
/// How long the database's machine may be silent before a connection to it counts as broken.
const SILENCE: Duration = Duration::from_secs(30);

/// The database's address cannot be used. Never shows what is in it, since that may be a password.
#[derive(Debug, thiserror::Error)]
pub enum BadUrl {
    /// It does not parse.
    #[error("DATABASE_URL does not parse: {0}")]
    Unreadable(#[source] tokio_postgres::Error),
    /// It asks for an encrypted connection.
    #[error(
        "DATABASE_URL asks for TLS with sslmode=require, which tallymark does not speak to its \
         database; leave sslmode out where the network is trusted, or connect through a proxy that \
         speaks TLS"
    )]
    NeedsTls,
}

/// A pool of at most `size` connections to the database at `url`; none is made before it is needed.
pub fn open(url: &str, size: usize) -> Result<Pool, BadUrl> {
    let mut config: Config = url.parse().map_err(BadUrl::Unreadable)?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(BadUrl::NeedsTls);
    }
    if config.get_application_name().is_none() {
        config.application_name("tallymark");
    }
    config.connect_timeout(WAIT);
    config.keepalives_idle(SILENCE);
    config.tcp_user_timeout(SILENCE);
    let manager = Manager::from_config(
        config,
        NoTls,
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    let pool = Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(WAIT))
        .recycle_timeout(Some(WAIT))
        .build();
    match pool {
        Ok(pool) => Ok(pool),
        Err(error) => unreachable!("a runtime is set: {error}"),
    }
}

/// Works with a connection, at most for `limit`; `None` if that was not enough. What the database was
/// asked to do may still happen then, as after [`guarded`] work that is dropped.
pub async fn bounded<T>(
    client: Client,
    limit: Duration,
    work: impl AsyncFnOnce(&mut Client) -> T,
) -> Option<T> {
    tokio::time::timeout(limit, guarded(client, work))
        .await
        .ok()
}

/// Works with a connection. If the work is dropped before its end (its time is over, its caller left),
/// its statement is cancelled and the connection closed: nobody else is to wait behind that statement,
/// or to be hit by a cancellation that comes late. Without the cancellation a statement that waits for
/// a lock would stay in the database, and each try would leave one more there.
pub async fn guarded<T>(client: Client, work: impl AsyncFnOnce(&mut Client) -> T) -> T {
    let mut guard = CloseOnDrop(Some(client));
    let Some(client) = &mut guard.0 else {
        unreachable!("it was put in just now");
    };
    let result = work(client).await;
    // Back into the pool.
    drop(guard.0.take());
    result
}

/// Cancels a statement that nobody waits for any more, without waiting for that either.
pub fn cancel(statement: CancelToken) {
    tokio::spawn(async move {
        if let Err(error) = statement.cancel_query(NoTls).await {
            tracing::debug!(error = causes(&error), "a statement could not be cancelled");
        }
    });
}

/// Closes a connection in the midst of its work.
struct CloseOnDrop(Option<Client>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        let statement = client.cancel_token();
        drop(Client::take(client));
        cancel(statement);
    }
}

/// A session of the database's: its process, and when that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Session {
    pid: i32,
    started: jiff::Timestamp,
}

/// Does work that is tried again when it takes too long, on connections that may hang.
///
/// A connection that hangs cannot be closed: the database goes on waiting for it, in a transaction
/// with locks, perhaps for hours, and the next attempt at the same work waits for these. So whoever was
/// given up is ended, by way of the connection of the next attempt.
#[derive(Debug, Default)]
pub struct Persistent {
    given_up: Vec<Session>,
}

impl Persistent {
    /// Works with a connection, at most for `limit`; `None` if that was not enough.
    pub async fn bounded<T, E: From<tokio_postgres::Error>>(
        &mut self,
        client: Client,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let mut session = None;
        let given_up = &mut self.given_up;
        let done = bounded(client, limit, async |client| {
            let row = client
                .query_typed(include_str!("sql/select_session.sql"), &[])
                .await?;
            session = row.first().map(|row| Session {
                pid: row.get(0),
                started: row.get(1),
            });
            for session in given_up.iter() {
                let parameters: [(&(dyn ToSql + Sync), Type); 2] = [
                    (&session.pid, Type::INT4),
                    (&session.started, Type::TIMESTAMPTZ),
                ];
                client
                    .query_typed(include_str!("sql/end_session.sql"), &parameters)
                    .await?;
            }
            given_up.clear();
            work(client).await
        })
        .await;
        if done.is_none() {
            self.given_up.extend(session);
        }
        done
    }
}
