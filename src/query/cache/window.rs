//! How far an instant may move without passing an event.
//!
//! A range selects the events from its start on and before its end. If an end (or a start) moves from `a`
//! to `b`, what is selected changes by exactly the events of `[a, b)`; so while there are none, every
//! number stays the same. Which events lie next to an instant is looked up on the snapshot that the numbers
//! come from, for all events of the property, whatever the question's filter. It stays true until the
//! property's data changes, and then nothing is kept ([`crate::store::versions`]).

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::types::Type;

use crate::error::ApiError;
use crate::query::params::Params;
use crate::query::session::Snapshot;

/// How far back is looked: questions that are asked later may have an earlier `now`, by as much as calls
/// overtake each other.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(1);

/// Where an instant may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Later than this.
    after: Timestamp,
    /// Not later than this, if there is such an event.
    up_to: Option<Timestamp>,
}

impl Window {
    /// Where `instant` may move to.
    pub async fn around(
        snapshot: &Snapshot<'_>,
        property_no: i32,
        instant: Timestamp,
    ) -> Result<Self, ApiError> {
        let back_to = instant.checked_sub(LOOK_BACK).unwrap_or(instant);
        let mut params = Params::default();
        params.bind(property_no, Type::INT4);
        params.bind(instant, Type::TIMESTAMPTZ);
        params.bind(back_to, Type::TIMESTAMPTZ);
        let sql = include_str!("../sql/events_beside.sql");
        let rows = snapshot.query(sql, &params).await?;
        let row = rows.first().ok_or(ApiError::Internal)?;
        Ok(Self {
            after: row.get::<_, Option<_>>("before").unwrap_or(back_to),
            up_to: row.get("after"),
        })
    }

    /// Whether an instant lies in it.
    pub fn holds(&self, instant: Timestamp) -> bool {
        instant > self.after && self.up_to.is_none_or(|up_to| instant <= up_to)
    }
}
