//! Opens the database for a command that works on it directly.

use clap::Args;
use deadpool_postgres::Pool;

use crate::app::{AppError, Unreachable, open_database};
use crate::config::{Database, database_from_variables};
use crate::store::embedded::{Engine, EngineError, running_database_url};

use super::environment;

/// Connections that a command needs at most.
const POOL_SIZE: usize = 4;

/// Where the database is.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Directory of the service's own database; stands for TALLYMARK_DATA_DIR. Unused with
    /// DATABASE_URL.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data_dir: Option<String>,
}

/// The database, and the engine if it was started for this command.
pub struct Store {
    /// Connections to it; its schema is up to date.
    pub pool: Pool,
    engine: Option<Engine>,
}

impl Store {
    /// Opens the database that `tallymark serve` would use with the same variables. An own one that
    /// is running is used as it is; else it is started, and stopped by [`Self::close`].
    pub async fn open(args: StoreArgs) -> Result<Self, AppError> {
        let mut database = database_from_variables(&|name| match name {
            "TALLYMARK_DATA_DIR" => args.data_dir.clone().or_else(|| environment(name)),
            _ => environment(name),
        });
        if let Database::Embedded { data_dir, .. } = &database
            && let Some(url) = running_database_url(data_dir)
        {
            database = Database::Url(url);
        }
        let mut engine = None;
        let opened = open_database(&database, POOL_SIZE, Unreachable::Fail, &mut engine).await?;
        let pool = opened.pool;
        Ok(Self { pool, engine })
    }

    /// Stops the engine if it was started for this command.
    pub async fn close(self) -> Result<(), EngineError> {
        drop(self.pool);
        match self.engine {
            Some(engine) => engine.stop().await,
            None => Ok(()),
        }
    }
}
