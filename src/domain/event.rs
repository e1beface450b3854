//! An event: as validated, and what became of it.

use std::net::IpAddr;

use uuid::Uuid;

use crate::enrich::page::Page;
use crate::error::Violation;

/// The event name that counts as a page view.
pub const PAGE_VIEW: &str = "page_view";

/// An event that keeps every rule of event.proto; nothing later checks them again.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// Identity for deduplication, together with property and time.
    pub event_id: Uuid,
    /// When it happened, in microseconds since 1970-01-01 UTC.
    pub time_us: i64,
    /// What happened.
    pub name: &'a str,
    /// The device, or the user that stands in for it.
    pub visitor_id: &'a str,
    /// The known person.
    pub user_id: Option<&'a str>,
    /// The caller's own session.
    pub session_id: Option<&'a str>,
    /// Host, path and query of the page.
    pub page: Option<Page>,
    /// Query of the page as sent, with its utm_* parameters and click ids.
    pub page_query: Option<&'a str>,
    /// Title of the page.
    pub title: Option<&'a str>,
    /// Referrer, as sent.
    pub referrer: Option<&'a str>,
    /// User-Agent header.
    pub user_agent: Option<&'a str>,
    /// Address of the visitor; never stored as it is here.
    pub ip_address: Option<IpAddr>,
    /// BCP 47 tag in normal form.
    pub language: Option<Box<str>>,
    /// `1920x1080`.
    pub screen: Option<Box<str>>,
    /// Duration in milliseconds.
    pub duration_ms: Option<i32>,
    /// Scroll depth in hundredths of a percent.
    pub scroll_bp: Option<i16>,
    /// Kind of page.
    pub page_type: Option<&'a str>,
    /// Author of the content.
    pub author: Option<&'a str>,
    /// Sections, each once.
    pub categories: Vec<&'a str>,
    /// Labels, each once.
    pub tags: Vec<&'a str>,
    /// JSON object, never an empty one.
    pub properties: Option<Box<str>>,
}

/// What became of one event of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Stored.
    Accepted,
    /// Stored before.
    Duplicate,
    /// Breaks these rules.
    Rejected(Vec<Violation>),
    /// Not stored for a passing reason.
    Retry,
}

/// The time inside a UUIDv7, in microseconds since 1970.
pub fn time_of_id_us(id: Uuid) -> Option<i64> {
    if id.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    i64::try_from(seconds)
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(i64::from(nanos) / 1_000)
}
