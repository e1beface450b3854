//! `pb::Event` → [`Event`].

use std::net::IpAddr;

use jiff::Timestamp;
use prost::Message;
use uuid::Uuid;

use crate::domain::event::{Event, PAGE_VIEW, time_of_id_us};
use crate::domain::property::{Property, Retention};
use crate::domain::time_range::EARLIEST_US;
use crate::enrich::{ip, language, page, screen};
use crate::error::Violation;
use crate::pb;

use super::fields::EventFields;
use super::properties_json;
use super::rules::{Violations, decoding_fault, excerpt};

/// Clock skew allowed into the future, in microseconds: one hour.
pub const MAX_FUTURE_US: i64 = 3_600_000_000;
/// Events of one message at most.
pub const MAX_EVENTS: usize = 5_000;
/// Categories, and tags, of one event at most.
pub const MAX_LABELS: usize = 32;
/// Longest duration, in milliseconds: 7 days.
pub const MAX_DURATION_MS: i64 = 7 * 86_400_000;

const ID_BYTES: usize = 128;
const LABEL_BYTES: usize = 128;

/// An event that was refused, with the id it can be named by.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The id that was sent, if it is one.
    pub event_id: Option<Uuid>,
    /// What is wrong; never empty.
    pub violations: Vec<Violation>,
}

/// Decodes and validates one event of a batch.
///
/// `unusual` is room for the event in the rare case that it cannot be borrowed from its bytes.
pub fn decode<'a>(
    encoded: &'a [u8],
    unusual: &'a mut pb::Event,
    property: &Property,
    now_us: i64,
) -> Result<Event<'a>, Refused> {
    if let Some(fields) = EventFields::read(encoded) {
        return validate(fields, property, now_us);
    }
    *unusual = pb::Event::decode(encoded).map_err(|error| Refused {
        event_id: None,
        violations: vec![decoding_fault(&error)],
    })?;
    validate(unusual.into(), property, now_us)
}

/// Validates one event. `now_us` is the time of its arrival, in microseconds since 1970.
pub fn validate<'a>(
    event: EventFields<'a>,
    property: &Property,
    now_us: i64,
) -> Result<Event<'a>, Refused> {
    let mut violations = Violations::default();
    let v = &mut violations;

    let is_given = |text: &str| !text.trim().is_empty();
    let is_somebody = is_given(event.visitor_id) || is_given(event.user_id);
    let has_page = is_given(event.page);

    let sent_id = event_id(event.event_id, v);
    let event_id = sent_id.unwrap_or_else(Uuid::now_v7);
    let time_us = event_time_us(event.time, event_id, property, now_us, v);
    let name = v.text("name", event.name, 1, 128);
    let visitor_id = v.id("visitor_id", event.visitor_id, ID_BYTES);
    let user_id = v.id("user_id", event.user_id, ID_BYTES);
    let session_id = v.text("session_id", event.session_id, 0, ID_BYTES);
    if !is_somebody {
        v.add("visitor_id", "0 bytes, need 1–128 (or a user_id)");
    }

    let page = v.text("page", event.page, 0, 2_048);
    if !has_page && name == Some(PAGE_VIEW) {
        v.add("page", "0 bytes, need 1–2048 for a page_view");
    }
    let page_query = page.map(page::raw_query).filter(|query| !query.is_empty());
    let page = page.and_then(|raw| match page::split(raw) {
        Ok(page) => Some(page),
        Err(error) => {
            v.add("page", error.to_string());
            None
        }
    });
    let title = v.text("title", event.title, 0, 512);
    let referrer = v.text("referrer", event.referrer, 0, 2_048);
    let user_agent = v.text("user_agent", event.user_agent, 0, 1_024);
    let ip_address = ip_address(v.text("ip_address", event.ip_address, 0, 64), v);
    // What browsers fill in by themselves is dropped when it makes no sense, and the event kept.
    let language = v.text("language", event.language, 0, 128);
    let language = language.and_then(language::primary).map(Into::into);
    let screen = v.text("screen", event.screen, 0, 32);
    let screen = screen
        .and_then(screen::parse)
        .map(|size| size.to_string().into());
    let duration_ms = event
        .duration
        .and_then(|duration| duration_ms(&duration, v));
    let scroll_bp = event.scroll_depth.and_then(|percent| scroll_bp(percent, v));
    let page_type = v.text("page_type", event.page_type, 0, LABEL_BYTES);
    let author = v.text("author", event.author, 0, 256);
    let categories = labels("categories", event.categories, v);
    let tags = labels("tags", event.tags, v);
    let properties = event
        .properties
        .as_ref()
        .and_then(|object| properties_json::encode(object, v));

    let refused = |violations| Refused {
        event_id: sent_id,
        violations,
    };
    let (Some(name), Some(visitor_id)) = (name, visitor_id.or(user_id)) else {
        return Err(refused(violations.finish(()).err().unwrap_or_default()));
    };
    violations
        .finish(Event {
            event_id,
            time_us,
            name,
            visitor_id,
            user_id,
            session_id,
            page,
            page_query,
            title,
            referrer,
            user_agent,
            ip_address,
            language,
            screen,
            duration_ms,
            scroll_bp,
            page_type,
            author,
            categories,
            tags,
            properties,
        })
        .map_err(refused)
}

/// The id that was sent; `None` when none was, or a bad one.
fn event_id(text: &str, v: &mut Violations) -> Option<Uuid> {
    if text.is_empty() {
        return None;
    }
    match Uuid::try_parse(text) {
        Ok(id) if id.is_nil() => {
            v.add(
                "event_id",
                "the nil UUID is a placeholder, need a real id or nothing",
            );
            None
        }
        Ok(id) if text.len() == 36 => Some(id),
        _ => {
            v.add(
                "event_id",
                format!("`{}` is not a UUID of 36 characters", excerpt(text, 40)),
            );
            None
        }
    }
}

fn event_time_us(
    time: Option<prost_types::Timestamp>,
    event_id: Uuid,
    property: &Property,
    now_us: i64,
    v: &mut Violations,
) -> i64 {
    let time_us = match time {
        Some(time) => match micros(&time) {
            Some(time_us) => time_us,
            None => {
                v.add(
                    "time",
                    format!("{} s and {} ns are not a time", time.seconds, time.nanos),
                );
                return now_us;
            }
        },
        None => match time_of_id_us(event_id) {
            Some(time_us) => time_us,
            None => {
                v.add(
                    "time",
                    "is absent, need it with an event_id that is not a UUIDv7: \
                     at another time a retry would be another event",
                );
                return now_us;
            }
        },
    };
    let show = |us: i64| {
        Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| time.to_string())
    };
    if time_us < EARLIEST_US {
        v.add(
            "time",
            format!("{}, need 2000-01-01T00:00:00Z or later", show(time_us)),
        );
    } else if time_us > now_us + MAX_FUTURE_US {
        v.add(
            "time",
            format!(
                "{} is more than 1 hour after now, {}",
                show(time_us),
                show(now_us)
            ),
        );
    } else if let Retention::Days(days) = property.retention
        && property
            .retention
            .oldest_us(now_us)
            .is_some_and(|oldest| time_us < oldest)
    {
        v.add(
            "time",
            format!(
                "{} is older than the {days} days that this property keeps events",
                show(time_us)
            ),
        );
    }
    time_us
}

fn micros(time: &prost_types::Timestamp) -> Option<i64> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return None;
    }
    time.seconds
        .checked_mul(1_000_000)?
        .checked_add(i64::from(time.nanos) / 1_000)
}

fn ip_address(text: Option<&str>, v: &mut Violations) -> Option<IpAddr> {
    let text = text?;
    let parsed = ip::parse(text);
    if parsed.is_none() {
        v.add("ip_address", "not an IPv4 or IPv6 address");
    }
    parsed
}

fn duration_ms(duration: &prost_types::Duration, v: &mut Violations) -> Option<i32> {
    let nanos = i64::from(duration.nanos);
    let ms = duration
        .seconds
        .checked_mul(1_000)
        .and_then(|ms| ms.checked_add((nanos + 500_000).div_euclid(1_000_000)))
        .filter(|ms| (0..=MAX_DURATION_MS).contains(ms))
        .filter(|_| duration.seconds >= 0 && (0..1_000_000_000).contains(&nanos));
    if ms.is_none() {
        v.add(
            "duration",
            format!(
                "{} s and {nanos} ns, need from 0 s to 7 days",
                duration.seconds
            ),
        );
    }
    ms.and_then(|ms| i32::try_from(ms).ok())
}

fn scroll_bp(percent: f64, v: &mut Violations) -> Option<i16> {
    if !(0.0..=100.0).contains(&percent) {
        v.add("scroll_depth", format!("{percent}, need from 0 to 100"));
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 10,000")]
    Some((percent * 100.0).round() as i16)
}

fn labels<'a>(field: &str, mut labels: Vec<&'a str>, v: &mut Violations) -> Vec<&'a str> {
    if labels.len() > MAX_LABELS {
        v.add(
            field,
            format!("{} values, need at most {MAX_LABELS}", labels.len()),
        );
        return Vec::new();
    }
    let mut kept = 0;
    for place in 0..labels.len() {
        let fault_field = || format!("{field}[{place}]");
        let trimmed = labels[place].trim();
        if trimmed.is_empty() || trimmed.len() > LABEL_BYTES {
            v.add(
                fault_field(),
                format!("{} bytes, need 1–{LABEL_BYTES}", trimmed.len()),
            );
        } else if trimmed.contains('\0') {
            v.add(fault_field(), "contains a NUL character");
        } else if !labels[..kept].contains(&trimmed) {
            labels[kept] = trimmed;
            kept += 1;
        }
    }
    labels.truncate(kept);
    labels
}
