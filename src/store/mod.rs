//! The database: where it is, what it must be able to do, its schema, and the meaning of its errors.

pub mod dead_letters;
pub mod directory;
pub mod embedded;
pub mod keys;
pub mod migrations;
pub mod pg_error;
pub mod pool;
pub mod properties;
pub mod requirements;
pub mod rollups;
pub mod seal;
pub mod versions;

use deadpool_postgres::{PoolError, TimeoutType};

use crate::error::{ApiError, causes};

/// The database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection was to be had.
    #[error("no connection to the database")]
    Pool(#[from] PoolError),
    /// The database did not answer in time; the connection was given up.
    #[error("the database did not answer in time")]
    TimedOut,
    /// A statement failed.
    #[error("the database refused a statement")]
    Database(#[from] tokio_postgres::Error),
}

impl StoreError {
    /// Whether the same may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Pool(_) | Self::TimedOut => true,
            Self::Database(error) => pg_error::is_passing(error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Pool(PoolError::Timeout(TimeoutType::Wait)) = error {
            // Others have all the connections.
            return Self::Overloaded;
        }
        if error.is_passing() {
            tracing::warn!(error = causes(&error), "the database cannot be used");
            Self::DatabaseUnavailable
        } else {
            tracing::error!(error = causes(&error), "the database refused a statement");
            Self::Internal
        }
    }
}
