//! What can be asked about a property, as far as its events say.

use tokio_postgres::types::Type;

use crate::error::ApiError;
use crate::query::answer::RollupDescription;
use crate::query::engine::Engine;
use crate::query::params::Params;
use crate::query::session::Snapshot;

/// What a property's events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Keys that its newest events have in their properties, in order.
    pub property_keys: Vec<String>,
    /// What is counted ahead.
    pub rollups: Vec<RollupDescription>,
}

/// Looks at the newest events, and at how far rollups are.
pub async fn see(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    property_no: i32,
) -> Result<Seen, ApiError> {
    let mut params = Params::default();
    params.bind(property_no, Type::INT4);
    let rows = snapshot
        .query(include_str!("sql/property_keys.sql"), &params)
        .await?;
    Ok(Seen {
        property_keys: rows.iter().map(|row| row.get("key")).collect(),
        rollups: engine.rollups(snapshot, property_no).await?,
    })
}
