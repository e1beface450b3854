//! Rollups that are declared for a property.

use std::collections::HashMap;

use deadpool_postgres::Pool;
use jiff::Timestamp;

use crate::domain::dimension::Dimension;
use crate::rollup::describe::Described;
use crate::rollup::spec::Spec;

use super::{StoreError, pg_error};

/// Rollups that can be declared for a property.
pub const MAX_DECLARED: i64 = 32;

/// Why a rollup was not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCreated {
    /// There is one of that name.
    Exists,
    /// There are [`MAX_DECLARED`] already.
    TooMany,
}

/// Declares a rollup.
pub async fn create(
    pool: &Pool,
    property_no: i32,
    name: &str,
    dimensions: &[Dimension],
) -> Result<Result<(), NotCreated>, StoreError> {
    let dimensions: Vec<String> = dimensions.iter().map(ToString::to_string).collect();
    let client = pool.get().await?;
    let created = client
        .execute(
            include_str!("sql/create_rollup.sql"),
            &[&property_no, &name, &dimensions, &MAX_DECLARED],
        )
        .await;
    match created {
        Ok(0) => Ok(Err(NotCreated::TooMany)),
        Ok(_) => Ok(Ok(())),
        Err(error) if pg_error::violates(&error, "rollups_name_key") => Ok(Err(NotCreated::Exists)),
        Err(error) => Err(error.into()),
    }
}

/// Drops a declared rollup, and everything of it; whether there was one.
pub async fn delete(pool: &Pool, property_no: i32, name: &str) -> Result<bool, StoreError> {
    let client = pool.get().await?;
    let deleted = client
        .query(
            include_str!("sql/delete_rollup.sql"),
            &[&property_no, &name],
        )
        .await?;
    Ok(!deleted.is_empty())
}

/// The rollups of a property, and how far they are.
pub async fn describe(pool: &Pool, property_no: i32) -> Result<Vec<Described>, StoreError> {
    let client = pool.get().await?;
    let built_in: Vec<i32> = Spec::built_in().iter().map(|spec| spec.rollup_no).collect();
    let rows = client
        .query(
            include_str!("sql/describe_rollups.sql"),
            &[&property_no, &built_in],
        )
        .await?;
    let built_in: HashMap<i32, &Spec> = Spec::built_in()
        .iter()
        .map(|spec| (spec.rollup_no, spec))
        .collect();
    let events: Option<(Timestamp, Timestamp)> = rows
        .first()
        .and_then(|row| Some((row.get::<_, Option<_>>("oldest")?, row.get("newest"))));
    let described = rows.iter().map(|row| {
        let built_in = built_in.get(&row.get("rollup_no"));
        let dimensions = |spec: &&Spec| spec.dimensions.iter().map(ToString::to_string).collect();
        let number = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or_default();
        Described {
            name: built_in.map_or_else(|| row.get("name"), |spec| spec.name.clone()),
            dimensions: built_in.map_or_else(|| row.get("dimensions"), dimensions),
            is_built_in: built_in.is_some(),
            covered_since: row.get("covered_since"),
            events,
            segments: number("segments"),
            bytes: number("bytes"),
            failure: row.get("failure"),
        }
    });
    Ok(described.collect())
}

/// Notes why the declared rollups of a property that have a dimension cannot be kept, and throws them away.
pub async fn fail(
    client: &tokio_postgres::Client,
    property_no: i32,
    dimension: &Dimension,
    reason: &str,
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            include_str!("sql/fail_rollups.sql"),
            &[&property_no, &dimension.to_string(), &reason],
        )
        .await
        .map(drop)
}
