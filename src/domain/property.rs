//! A property: one site or product.

use jiff::tz::TimeZone;

use crate::enrich::ip::IpPolicy;

/// Days that events are kept when neither the property nor the server says otherwise: three months.
pub const DEFAULT_RETENTION_DAYS: u32 = 92;

/// How long events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// This many days.
    Days(u32),
    /// Without a limit.
    Forever,
}

impl Retention {
    /// Reads the number that stands for it: 0 is for ever.
    pub fn from_days(days: u32) -> Self {
        match days {
            0 => Self::Forever,
            days => Self::Days(days),
        }
    }

    /// The oldest time that is kept, in microseconds since 1970, when it is `now_us`.
    pub fn oldest_us(self, now_us: i64) -> Option<i64> {
        const DAY_US: i64 = 86_400_000_000;
        match self {
            Self::Days(days) => Some(now_us - i64::from(days) * DAY_US),
            Self::Forever => None,
        }
    }
}

/// Settings of a property that ingestion and questions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its number in the database.
    pub property_no: i32,
    /// Its name.
    pub name: String,
    /// Zone of its days.
    pub time_zone: TimeZone,
    /// How long its events are kept; the server's limit when it has none of its own.
    pub retention: Retention,
    /// What is stored of addresses.
    pub ip_policy: IpPolicy,
}
