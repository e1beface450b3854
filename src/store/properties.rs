//! Properties, as an administrator sees them.

use deadpool_postgres::Pool;
use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::property::Retention;
use crate::enrich::ip::IpPolicy;

use super::{StoreError, pg_error};

/// Settings of a property that an administrator may change.
#[derive(Debug, Clone, PartialEq)]
pub struct PropertySettings {
    /// What people call it.
    pub display_name: String,
    /// IANA name of a zone that exists.
    pub time_zone: String,
    /// `None` for the server's limit.
    pub retention: Option<Retention>,
    /// Gap that ends a session, in seconds.
    pub session_gap_s: i32,
    /// What is stored of addresses.
    pub ip_policy: IpPolicy,
    /// Origins that browsers may call from.
    pub allowed_origins: Vec<String>,
}

impl Default for PropertySettings {
    fn default() -> Self {
        Self {
            display_name: String::new(),
            time_zone: "UTC".to_owned(),
            retention: None,
            session_gap_s: 1_800,
            ip_policy: IpPolicy::Truncate,
            allowed_origins: Vec::new(),
        }
    }
}

/// A property with its name and date.
#[derive(Debug, Clone, PartialEq)]
pub struct PropertyDescription {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: PropertySettings,
    /// When it was created.
    pub created_at: Timestamp,
}

impl PropertyDescription {
    fn from_row(row: &Row) -> Self {
        let retention_days: Option<i32> = row.get("retention_days");
        Self {
            name: row.get("name"),
            settings: PropertySettings {
                display_name: row.get("display_name"),
                time_zone: row.get("time_zone"),
                retention: retention_days
                    .and_then(|days| u32::try_from(days).ok())
                    .map(Retention::from_days),
                session_gap_s: row.get("session_gap_s"),
                ip_policy: IpPolicy::from_number(row.get("ip_policy")),
                allowed_origins: row.get("allowed_origins"),
            },
            created_at: row.get("created_at"),
        }
    }
}

fn retention_days(retention: Option<Retention>) -> Option<i32> {
    retention.map(|retention| match retention {
        Retention::Days(days) => i32::try_from(days).unwrap_or(i32::MAX),
        Retention::Forever => 0,
    })
}

/// Creates a property; `None` when there is one of that name.
pub async fn create(
    pool: &Pool,
    name: &str,
    settings: &PropertySettings,
) -> Result<Option<PropertyDescription>, StoreError> {
    let client = pool.get().await?;
    let created = client
        .query_one(
            include_str!("sql/create_property.sql"),
            &[
                &name,
                &settings.display_name,
                &settings.time_zone,
                &retention_days(settings.retention),
                &settings.session_gap_s,
                &settings.ip_policy.number(),
                &settings.allowed_origins,
            ],
        )
        .await;
    match created {
        Ok(row) => Ok(Some(PropertyDescription::from_row(&row))),
        Err(error) if pg_error::violates(&error, "properties_name_key") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The property of that name.
pub async fn get(pool: &Pool, name: &str) -> Result<Option<PropertyDescription>, StoreError> {
    let client = pool.get().await?;
    let row = client
        .query_opt("select * from properties where name = $1", &[&name])
        .await?;
    Ok(row.as_ref().map(PropertyDescription::from_row))
}

/// At most `count` properties by name, after `after`; only the one called `only`, if given.
pub async fn list(
    pool: &Pool,
    only: Option<&str>,
    after: &str,
    count: i64,
) -> Result<Vec<PropertyDescription>, StoreError> {
    let client = pool.get().await?;
    let rows = client
        .query(
            include_str!("sql/list_properties.sql"),
            &[&after, &count, &only],
        )
        .await?;
    Ok(rows.iter().map(PropertyDescription::from_row).collect())
}

/// Gives a property those of the settings that `fields` names, as admin_service.proto does; `None`
/// when there is no property of that name.
pub async fn update(
    pool: &Pool,
    name: &str,
    settings: &PropertySettings,
    fields: &[String],
) -> Result<Option<PropertyDescription>, StoreError> {
    let client = pool.get().await?;
    let row = client
        .query_opt(
            include_str!("sql/update_property.sql"),
            &[
                &name,
                &settings.display_name,
                &settings.time_zone,
                &retention_days(settings.retention),
                &settings.session_gap_s,
                &settings.ip_policy.number(),
                &settings.allowed_origins,
                &fields,
            ],
        )
        .await?;
    Ok(row.as_ref().map(PropertyDescription::from_row))
}
