//! Domain → protobuf.

use std::sync::Arc;

use jiff::Timestamp;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use uuid::Uuid;

use crate::domain::event::Verdict;
use crate::domain::key::KeyKind;
use crate::domain::property::Retention;
use crate::domain::question::Aggregate;
use crate::enrich::ip::IpPolicy;
use crate::error::ApiError;
use crate::pb;
use crate::query::answer::{Answer, AnswerRow};
use crate::query::cache::Answered;
use crate::query::events::StoredEvent;
use crate::store::keys::KeyDescription;
use crate::store::properties::PropertyDescription;
use crate::validate::event::Refused;

/// A time on the wire.
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let nanos = time.subsec_nanosecond();
    // jiff counts back from the second before 1970, protobuf always forward.
    let borrow = i64::from(nanos < 0);
    prost_types::Timestamp {
        seconds: time.as_second() - borrow,
        nanos: nanos + 1_000_000_000 * i32::from(nanos < 0),
    }
}

/// The error of a call whose one event, at `field`, was refused.
pub fn refused_call(refused: Refused, field: &str) -> ApiError {
    let violations = refused.violations.into_iter();
    ApiError::InvalidFields(
        violations
            .map(|violation| violation.within(field))
            .collect(),
    )
}

/// What became of an event.
pub fn event_result(event_id: Option<Uuid>, verdict: Verdict) -> pb::EventResult {
    let (verdict, violations) = match verdict {
        Verdict::Accepted => (pb::Verdict::Accepted, Vec::new()),
        Verdict::Duplicate => (pb::Verdict::Duplicate, Vec::new()),
        Verdict::Rejected(violations) => (pb::Verdict::Rejected, violations),
        Verdict::Retry => (pb::Verdict::Retry, Vec::new()),
    };
    pb::EventResult {
        verdict: verdict.into(),
        event_id: event_id.map(|id| id.to_string()).unwrap_or_default(),
        violations: violations
            .into_iter()
            .map(|violation| pb::FieldViolation {
                field: violation.field,
                description: violation.description,
            })
            .collect(),
    }
}

/// An answer.
pub fn aggregate_response(
    question: &Aggregate,
    answered: Answered<Answer>,
    now: Timestamp,
) -> pb::AggregateResponse {
    let from_cache = answered.from_cache;
    // Copied if it is shared with others; its texts become the message's either way.
    let answer = Arc::unwrap_or_clone(answered.value);
    let starts = question.buckets.starts();
    let range = question.selection.range;
    let row = |row: AnswerRow| pb::AggregateRow {
        bucket_start: starts.get(row.bucket).copied().map(timestamp),
        dimensions: row.dimensions,
        metrics: row.metrics,
    };
    let totals = answer.totals.map(|metrics| pb::AggregateRow {
        bucket_start: Some(timestamp(range.since)),
        dimensions: Vec::new(),
        metrics,
    });
    pb::AggregateResponse {
        dimensions: question
            .dimensions
            .iter()
            .map(ToString::to_string)
            .collect(),
        metrics: question
            .metrics
            .iter()
            .map(|metric| metric.name().to_owned())
            .collect(),
        rows: answer.rows.into_iter().map(row).collect(),
        totals,
        metadata: Some(pb::AnswerMetadata {
            since: Some(timestamp(range.since)),
            until: Some(timestamp(range.until_exclusive)),
            time_zone: question.time_zone.iana_name().unwrap_or("UTC").to_owned(),
            source: answer.plan.source,
            exact: true,
            row_count: i64::try_from(answer.row_count).unwrap_or(i64::MAX),
            from_cache,
            partial_buckets: question
                .buckets
                .partial(range, now)
                .into_iter()
                .map(timestamp)
                .collect(),
        }),
    }
}

/// An event as it is stored.
pub fn stored_event(event: StoredEvent) -> pb::StoredEvent {
    let derived = pb::DerivedFields {
        host: event.host.clone().unwrap_or_default(),
        path: event.path.clone().unwrap_or_default(),
        query: event.query.clone().unwrap_or_default(),
        referrer: event.referrer.unwrap_or_default(),
        channel: event.channel,
        utm_source: event.utm_source.unwrap_or_default(),
        utm_medium: event.utm_medium.unwrap_or_default(),
        utm_campaign: event.utm_campaign.unwrap_or_default(),
        utm_term: event.utm_term.unwrap_or_default(),
        utm_content: event.utm_content.unwrap_or_default(),
        browser: event.browser.unwrap_or_default(),
        browser_version: event.browser_version.unwrap_or_default(),
        os: event.os.unwrap_or_default(),
        os_version: event.os_version.unwrap_or_default(),
        device: event.device.unwrap_or_default(),
        is_bot: event.is_bot,
        country: event.country.unwrap_or_default(),
    };
    let event = pb::Event {
        event_id: event.event_id.to_string(),
        time: Some(timestamp(event.time)),
        name: event.name,
        visitor_id: event.visitor_id,
        user_id: event.user_id.unwrap_or_default(),
        session_id: event.session_id.unwrap_or_default(),
        page: page(
            event.host.as_deref(),
            event.path.as_deref(),
            event.query.as_deref(),
        ),
        title: event.title.unwrap_or_default(),
        referrer: event.referrer_url.unwrap_or_default(),
        user_agent: event.user_agent.unwrap_or_default(),
        ip_address: event
            .ip_address
            .map(|ip| ip.to_string())
            .unwrap_or_default(),
        language: event.language.unwrap_or_default(),
        screen: event.screen.unwrap_or_default(),
        duration: event.duration_ms.map(duration),
        scroll_depth: event
            .scroll_bp
            .map(|hundredths| f64::from(hundredths) / 100.0),
        page_type: event.page_type.unwrap_or_default(),
        author: event.author.unwrap_or_default(),
        categories: event.categories,
        tags: event.tags,
        properties: event.properties.and_then(json_object),
    };
    pb::StoredEvent {
        event: Some(event),
        derived: Some(derived),
    }
}

/// The scheme is not stored, so a page with a host comes back without one.
fn page(host: Option<&str>, path: Option<&str>, query: Option<&str>) -> String {
    let mut page = String::new();
    if let Some(host) = host {
        page.push_str("//");
        page.push_str(host);
    }
    page.push_str(path.unwrap_or_default());
    if let Some(query) = query {
        page.push('?');
        page.push_str(query);
    }
    page
}

fn duration(ms: i32) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::from(ms / 1_000),
        nanos: ms % 1_000 * 1_000_000,
    }
}

fn json_object(json: serde_json::Value) -> Option<Struct> {
    match json_value(json).kind {
        Some(Kind::StructValue(object)) => Some(object),
        _ => None,
    }
}

fn json_value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(values) => Kind::ListValue(prost_types::ListValue {
            values: values.into_iter().map(json_value).collect(),
        }),
        serde_json::Value::Object(fields) => Kind::StructValue(Struct {
            fields: fields
                .into_iter()
                .map(|(key, value)| (key, json_value(value)))
                .collect(),
        }),
    };
    Value { kind: Some(kind) }
}

/// A property.
pub fn property(property: PropertyDescription) -> pb::Property {
    let settings = property.settings;
    let ip_policy = match settings.ip_policy {
        IpPolicy::Truncate => pb::IpPolicy::Truncate,
        IpPolicy::Drop => pb::IpPolicy::Drop,
        IpPolicy::Keep => pb::IpPolicy::Keep,
    };
    pb::Property {
        name: property.name,
        display_name: settings.display_name,
        time_zone: settings.time_zone,
        retention_days: settings.retention.map(|retention| match retention {
            Retention::Days(days) => i32::try_from(days).unwrap_or(i32::MAX),
            Retention::Forever => 0,
        }),
        session_gap: Some(prost_types::Duration {
            seconds: i64::from(settings.session_gap_s),
            nanos: 0,
        }),
        ip_policy: ip_policy.into(),
        allowed_origins: settings.allowed_origins,
        create_time: Some(timestamp(property.created_at)),
    }
}

/// A key, without its secret.
pub fn key(key: KeyDescription) -> pb::Key {
    let kind = match key.kind {
        KeyKind::Write => pb::KeyKind::Write,
        KeyKind::Read => pb::KeyKind::Read,
        KeyKind::Admin => pb::KeyKind::Admin,
    };
    pb::Key {
        key_id: key.key_id,
        kind: kind.into(),
        property: key.property.unwrap_or_default(),
        label: key.label,
        create_time: Some(timestamp(key.created_at)),
        revoke_time: key.revoked_at.map(timestamp),
    }
}
