//! Single events: listed, and found by id.

use std::net::IpAddr;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use crate::domain::question::{EventPosition, ListEvents};
use crate::error::ApiError;

use super::aggregate::selection;
use super::params::Params;
use super::session::Session;

/// An event as it is stored, with its text.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named as the fields of event.proto")]
pub struct StoredEvent {
    pub event_id: Uuid,
    pub time: Timestamp,
    pub name: String,
    pub visitor_id: String,
    pub user_id: Option<String>,
    pub session_id: Option<String>,
    pub host: Option<String>,
    pub path: Option<String>,
    pub query: Option<String>,
    pub title: Option<String>,
    pub referrer: Option<String>,
    pub referrer_url: Option<String>,
    pub channel: String,
    pub utm_source: Option<String>,
    pub utm_medium: Option<String>,
    pub utm_campaign: Option<String>,
    pub utm_term: Option<String>,
    pub utm_content: Option<String>,
    pub user_agent: Option<String>,
    pub browser: Option<String>,
    pub browser_version: Option<String>,
    pub os: Option<String>,
    pub os_version: Option<String>,
    pub device: Option<String>,
    pub is_bot: bool,
    pub country: Option<String>,
    pub language: Option<String>,
    pub screen: Option<String>,
    pub ip_address: Option<IpAddr>,
    pub duration_ms: Option<i32>,
    pub scroll_bp: Option<i16>,
    pub page_type: Option<String>,
    pub author: Option<String>,
    pub categories: Vec<String>,
    pub tags: Vec<String>,
    pub properties: Option<serde_json::Value>,
}

impl StoredEvent {
    /// Where the event is in a list.
    pub fn position(&self) -> EventPosition {
        EventPosition {
            time_us: self.time.as_microsecond(),
            event_id: self.event_id,
        }
    }

    fn from_row(row: &Row) -> Self {
        Self {
            event_id: row.get("event_id"),
            time: row.get("time"),
            name: row.get("name"),
            visitor_id: row.get("visitor_id"),
            user_id: row.get("user_id"),
            session_id: row.get("session_id"),
            host: row.get("host"),
            path: row.get("path"),
            query: row.get("query"),
            title: row.get("title"),
            referrer: row.get("referrer"),
            referrer_url: row.get("referrer_url"),
            channel: row.get("channel"),
            utm_source: row.get("utm_source"),
            utm_medium: row.get("utm_medium"),
            utm_campaign: row.get("utm_campaign"),
            utm_term: row.get("utm_term"),
            utm_content: row.get("utm_content"),
            user_agent: row.get("user_agent"),
            browser: row.get("browser"),
            browser_version: row.get("browser_version"),
            os: row.get("os"),
            os_version: row.get("os_version"),
            device: row.get("device"),
            is_bot: row.get("is_bot"),
            country: row.get("country"),
            language: row.get("language"),
            screen: row.get("screen"),
            ip_address: row.get("ip_address"),
            duration_ms: row.get("duration_ms"),
            scroll_bp: row.get("scroll_bp"),
            page_type: row.get("page_type"),
            author: row.get("author"),
            categories: row.get::<_, Option<_>>("categories").unwrap_or_default(),
            tags: row.get::<_, Option<_>>("tags").unwrap_or_default(),
            properties: row
                .get::<_, Option<Json<_>>>("properties")
                .map(|Json(value)| value),
        }
    }
}

/// One page of events, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Whether there are more after them.
    pub has_more: bool,
}

/// Lists one page of events.
pub async fn list(session: &mut Session, question: &ListEvents) -> Result<EventPage, ApiError> {
    let mut params = Params::default();
    let mut selected = selection(&question.selection, &mut params);
    if let Some(after) = question.after {
        let time = Timestamp::from_microsecond(after.time_us)
            .map_err(|_| ApiError::invalid("page_token", "is not one of this question's"))?;
        let time = params.bind(time, Type::TIMESTAMPTZ);
        let event_id = params.bind(after.event_id, Type::UUID);
        selected.push_str(&format!(" and (e.time, e.event_id) < ({time}, {event_id})"));
    }
    // One more than a page tells whether there is another.
    let count = i64::try_from(question.page_size + 1).unwrap_or(i64::MAX);
    let count = params.bind(count, Type::INT8);
    let sql = include_str!("sql/list_events.sql")
        .replace("{stored_event}", include_str!("sql/stored_event.sql"))
        .replace("{selected}", &selected)
        .replace("{count}", &count);

    let snapshot = session.snapshot().await?;
    let rows = snapshot.query(&sql, &params).await?;
    Ok(EventPage {
        events: rows
            .iter()
            .take(question.page_size)
            .map(StoredEvent::from_row)
            .collect(),
        has_more: rows.len() > question.page_size,
    })
}

/// How far from the time inside its id an event is looked for first, and then, before everything is
/// searched: an event's time is usually that of its id, give or take a queue in between.
const NEAR_US: [i64; 2] = [60_000_000, 86_400_000_000];

/// Finds an event of a property by its id; the newest when it was stored with several times.
pub async fn get(
    session: &mut Session,
    property_no: i32,
    event_id: Uuid,
) -> Result<Option<StoredEvent>, ApiError> {
    let snapshot = session.snapshot().await?;
    let sql = include_str!("sql/get_event.sql")
        .replace("{stored_event}", include_str!("sql/stored_event.sql"));
    for (since, until) in search_ranges(event_id) {
        let mut params = Params::default();
        params.bind(property_no, Type::INT4);
        params.bind(event_id, Type::UUID);
        params.bind(since, Type::TIMESTAMPTZ);
        params.bind(until, Type::TIMESTAMPTZ);
        let rows = snapshot.query(&sql, &params).await?;
        if let Some(row) = rows.first() {
            return Ok(Some(StoredEvent::from_row(row)));
        }
    }
    Ok(None)
}

/// Where to look for an event, the likeliest range first.
fn search_ranges(event_id: Uuid) -> Vec<(Timestamp, Timestamp)> {
    let near = |id_us: i64| {
        NEAR_US.into_iter().filter_map(move |distance_us| {
            let since = Timestamp::from_microsecond(id_us.checked_sub(distance_us)?).ok()?;
            let until = Timestamp::from_microsecond(id_us.checked_add(distance_us)?).ok()?;
            Some((since, until))
        })
    };
    let id_us = crate::domain::event::time_of_id_us(event_id);
    let everything = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
    id_us
        .into_iter()
        .flat_map(near)
        .chain([everything])
        .collect()
}
