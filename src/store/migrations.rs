//! Applies migrations/: in order, once, under an advisory lock. Its README has the rules.

use deadpool_postgres::Pool;
use sha2::{Digest, Sha256};
use tracing::info;

/// Key of the advisory lock: "tallymrk" in ASCII, so that it is recognised in pg_locks.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"tallymrk");

/// The migrations, in order: file name and text.
const MIGRATIONS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// No connection was to be had.
    #[error("no connection to the database")]
    Pool(#[from] deadpool_postgres::PoolError),
    /// A statement outside a migration failed.
    #[error("the table of migrations could not be used")]
    Bookkeeping(#[from] tokio_postgres::Error),
    /// A migration failed, and was rolled back.
    #[error("migration {name} failed")]
    Failed {
        /// File name.
        name: String,
        /// What the database said.
        source: tokio_postgres::Error,
    },
    /// An applied migration is not the one this program has.
    #[error(
        "migration {0} was applied with another text than this version of tallymark has; \
         run the version that applied it, or restore the file"
    )]
    Changed(String),
    /// The database is ahead of this program.
    #[error(
        "the database has migration {0}, which this version of tallymark does not know; \
         run a newer version"
    )]
    Unknown(String),
}

/// Applies what is missing. Several servers may call this at once; they wait for one another.
pub async fn apply(pool: &Pool) -> Result<(), MigrationError> {
    let mut client = pool.get().await?;
    client
        .execute("select pg_advisory_lock($1)", &[&LOCK_KEY])
        .await?;
    let result = apply_locked(&mut client).await;
    client
        .execute("select pg_advisory_unlock($1)", &[&LOCK_KEY])
        .await?;
    result
}

async fn apply_locked(client: &mut deadpool_postgres::Client) -> Result<(), MigrationError> {
    client
        .batch_execute(include_str!("sql/create_schema_migrations.sql"))
        .await?;
    let rows = client
        .query(
            "select name, sha256 from schema_migrations order by name",
            &[],
        )
        .await?;
    let applied: Vec<(String, Vec<u8>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();

    for (name, sha256) in &applied {
        let Some((_, text)) = MIGRATIONS.iter().find(|(known, _)| known == name) else {
            return Err(MigrationError::Unknown(name.clone()));
        };
        if *sha256 != Sha256::digest(text).to_vec() {
            return Err(MigrationError::Changed(name.clone()));
        }
    }
    for (name, text) in MIGRATIONS {
        if applied.iter().any(|(known, _)| known == name) {
            continue;
        }
        let failed = |source| MigrationError::Failed {
            name: (*name).to_owned(),
            source,
        };
        let transaction = client.transaction().await?;
        transaction.batch_execute(text).await.map_err(failed)?;
        transaction
            .execute(
                "insert into schema_migrations (name, sha256) values ($1, $2)",
                &[name, &Sha256::digest(text).to_vec()],
            )
            .await?;
        transaction.commit().await.map_err(failed)?;
        info!(migration = *name, "applied a migration");
    }
    Ok(())
}
