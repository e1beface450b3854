//! What the database must be able to do, checked at start, with an answer for each that is missing.

use deadpool_postgres::Pool;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::error::causes;

/// The oldest TimescaleDB that the schema was tried on.
const MIN_TIMESCALEDB: (u32, u32) = (2, 19);

/// What is missing, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    /// It cannot be reached; may pass.
    #[error("cannot connect to the database: {0}")]
    Unreachable(String),
    /// A question to it failed; may pass.
    #[error("the database did not answer")]
    NoAnswer(#[from] tokio_postgres::Error),
    /// The extension's files are not there.
    #[error(
        "the PostgreSQL server has no TimescaleDB; install the package for PostgreSQL {postgres}, \
         or unset DATABASE_URL to let tallymark run its own"
    )]
    NotInstalled {
        /// The server's version.
        postgres: String,
    },
    /// The library is not loaded at start.
    #[error(
        "TimescaleDB is installed but not preloaded; set `shared_preload_libraries = 'timescaledb'` \
         in postgresql.conf and restart PostgreSQL"
    )]
    NotPreloaded,
    /// It is too old.
    #[error(
        "the database has TimescaleDB {found}, need {}.{} or later; install it and run \
         `alter extension timescaledb update`", MIN_TIMESCALEDB.0, MIN_TIMESCALEDB.1
    )]
    TooOld {
        /// The version that is there.
        found: String,
    },
    /// The role may not create the extension.
    #[error(
        "the role `{role}` may not create the extension timescaledb in `{database}`; run \
         `create extension timescaledb` there once as a superuser or as the database's owner"
    )]
    MayNotCreateExtension {
        /// Our role.
        role: String,
        /// Our database.
        database: String,
    },
    /// The role may not create tables.
    #[error(
        "the role `{role}` may not create tables in `{database}`; run \
         `grant create on schema public to \"{role}\"` there once as its owner"
    )]
    MayNotCreateTables {
        /// Our role.
        role: String,
        /// Our database.
        database: String,
    },
    /// The text of the database is not UTF-8.
    #[error("the database `{database}` has the encoding {encoding}, need UTF8")]
    NotUtf8 {
        /// Our database.
        database: String,
        /// Its encoding.
        encoding: String,
    },
}

impl RequirementError {
    /// Whether waiting may help: the database is starting, or the network is down.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::NoAnswer(error) => super::pg_error::is_passing(error),
            _ => false,
        }
    }
}

/// Checks everything, and creates the extension when it is not there yet.
pub async fn check(pool: &Pool) -> Result<(), RequirementError> {
    let client = pool
        .get()
        .await
        .map_err(|error| RequirementError::Unreachable(causes(&error)))?;
    let facts = client
        .query_one(include_str!("sql/requirements.sql"), &[])
        .await?;
    let role: String = facts.get("role");
    let database: String = facts.get("database");

    let encoding: String = facts.get("encoding");
    if encoding != "UTF8" {
        return Err(RequirementError::NotUtf8 { database, encoding });
    }
    let created: Option<String> = facts.get("created_version");
    if created.is_none() {
        if !facts.get::<_, bool>("is_installed") {
            return Err(RequirementError::NotInstalled {
                postgres: facts.get("postgres"),
            });
        }
        if !facts.get::<_, bool>("is_preloaded") {
            return Err(RequirementError::NotPreloaded);
        }
        create_extension(&client, &role, &database).await?;
    }
    // Asked again: only now is the extension certain to be there.
    let version: String = client
        .query_one(
            "select extversion from pg_extension where extname = 'timescaledb'",
            &[],
        )
        .await?
        .get(0);
    if !is_new_enough(&version) {
        return Err(RequirementError::TooOld { found: version });
    }
    if !facts.get::<_, bool>("may_create_tables") {
        return Err(RequirementError::MayNotCreateTables { role, database });
    }
    Ok(())
}

async fn create_extension(
    client: &Client,
    role: &str,
    database: &str,
) -> Result<(), RequirementError> {
    match client
        .batch_execute("create extension if not exists timescaledb")
        .await
    {
        Ok(()) => Ok(()),
        // Another server created it at the same moment.
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Err(RequirementError::MayNotCreateExtension {
                role: role.to_owned(),
                database: database.to_owned(),
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or_default());
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    ) >= MIN_TIMESCALEDB
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(is_new_enough("2.19.3"));
        assert!(is_new_enough("2.100.0"));
        assert!(is_new_enough("3.0"));
        assert!(!is_new_enough("2.9.9"));
        assert!(!is_new_enough("1.99.0"));
        assert!(!is_new_enough(""));
    }
}
