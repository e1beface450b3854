//! Properties and keys: protobuf → domain.

use crate::domain::key::KeyKind;
use crate::domain::property::Retention;
use crate::enrich::ip::IpPolicy;
use crate::error::ApiError;
use crate::pb;
use crate::store::properties::PropertySettings;

use super::range::find_time_zone;
use super::rules::{Violations, excerpt};

/// Origins of a property at most.
const MAX_ORIGINS: usize = 32;
/// Days that events are kept at most, if not for ever.
const MAX_RETENTION_DAYS: i32 = 36_500;

/// A property to be created: its name and settings.
pub fn create(property: pb::Property) -> Result<(String, PropertySettings), ApiError> {
    let mut violations = Violations::default();
    let name = property.name.clone();
    if !is_name(&name) {
        violations.add(
            "property.name",
            format!(
                "`{}`, need 1–64 of a-z, 0-9, - and _, the first a letter or digit",
                excerpt(&name, 64)
            ),
        );
    }
    let settings = settings(property, &mut violations);
    violations.finish_call((name, settings))
}

/// Whether a property can be called so.
pub fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| is_word(byte) || byte == b'-' || byte == b'_')
        && name.bytes().next().is_some_and(is_word)
}

/// Fields that an update may change.
const CHANGEABLE: [&str; 6] = [
    "display_name",
    "time_zone",
    "retention_days",
    "session_gap",
    "ip_policy",
    "allowed_origins",
];

/// An update of a property: its new settings, and the fields that are to get them.
pub fn update(
    update: pb::Property,
    mask: Option<prost_types::FieldMask>,
) -> Result<(PropertySettings, Vec<String>), ApiError> {
    let mut violations = Violations::default();
    let fields = mask.map(|mask| mask.paths).unwrap_or_default();
    if fields.is_empty() {
        violations.add("update_mask", "is empty, need the fields to change");
    }
    for (place, field) in fields.iter().enumerate() {
        if !CHANGEABLE.contains(&field.as_str()) {
            violations.add(
                format!("update_mask.paths[{place}]"),
                format!(
                    "`{}` cannot be changed; display_name, time_zone, retention_days, \
                     session_gap, ip_policy and allowed_origins can",
                    excerpt(field, 40)
                ),
            );
        }
    }
    let settings = settings(update, &mut violations);
    violations.finish_call((settings, fields))
}

fn settings(property: pb::Property, v: &mut Violations) -> PropertySettings {
    let defaults = PropertySettings::default();
    let display_name = v.text("property.display_name", &property.display_name, 0, 128);
    let time_zone = match property.time_zone.as_str() {
        "" => defaults.time_zone,
        name => {
            if find_time_zone(name).is_none() {
                v.add(
                    "property.time_zone",
                    format!(
                        "there is no time zone `{}`, need an IANA name such as Asia/Kathmandu",
                        excerpt(name, 40)
                    ),
                );
            }
            name.to_owned()
        }
    };
    let retention = property.retention_days.map(|days| {
        if !(0..=MAX_RETENTION_DAYS).contains(&days) {
            v.add(
                "property.retention_days",
                format!("{days}, need 1–{MAX_RETENTION_DAYS}, or 0 for ever"),
            );
        }
        Retention::from_days(u32::try_from(days).unwrap_or_default())
    });
    let session_gap_s = match property.session_gap {
        None => defaults.session_gap_s,
        Some(gap) => {
            let seconds = i32::try_from(gap.seconds).unwrap_or(-1);
            if !(60..=86_400).contains(&seconds) || gap.nanos != 0 {
                v.add(
                    "property.session_gap",
                    format!(
                        "{} s and {} ns, need whole seconds from 60 to 86400",
                        gap.seconds, gap.nanos
                    ),
                );
            }
            seconds
        }
    };
    let ip_policy = match pb::IpPolicy::try_from(property.ip_policy) {
        Ok(pb::IpPolicy::Unspecified | pb::IpPolicy::Truncate) => IpPolicy::Truncate,
        Ok(pb::IpPolicy::Drop) => IpPolicy::Drop,
        Ok(pb::IpPolicy::Keep) => IpPolicy::Keep,
        Err(_) => {
            v.add(
                "property.ip_policy",
                format!("{} is no policy", property.ip_policy),
            );
            IpPolicy::Truncate
        }
    };
    if property.allowed_origins.len() > MAX_ORIGINS {
        let count = property.allowed_origins.len();
        v.add(
            "property.allowed_origins",
            format!("{count} origins, need at most {MAX_ORIGINS}"),
        );
    }
    for (place, origin) in property.allowed_origins.iter().enumerate() {
        if !is_origin(origin) {
            v.add(
                format!("property.allowed_origins[{place}]"),
                format!(
                    "`{}` is not an origin, need https://host[:port]",
                    excerpt(origin, 60)
                ),
            );
        }
    }
    PropertySettings {
        display_name: display_name.map(Into::into).unwrap_or_default(),
        time_zone,
        retention,
        session_gap_s,
        ip_policy,
        allowed_origins: property.allowed_origins,
    }
}

fn is_origin(origin: &str) -> bool {
    let host = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty()
            && host.len() <= 260
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    })
}

/// A key to be created: its kind, its property if it has one, and its label.
pub fn create_key(
    request: pb::CreateKeyRequest,
) -> Result<(KeyKind, Option<String>, String), ApiError> {
    let mut violations = Violations::default();
    let v = &mut violations;
    let kind = match pb::KeyKind::try_from(request.kind) {
        Ok(pb::KeyKind::Write) => Some(KeyKind::Write),
        Ok(pb::KeyKind::Read) => Some(KeyKind::Read),
        Ok(pb::KeyKind::Admin) => Some(KeyKind::Admin),
        Ok(pb::KeyKind::Unspecified) | Err(_) => None,
    };
    if kind.is_none() {
        v.add(
            "kind",
            "need one of KEY_KIND_WRITE, KEY_KIND_READ, KEY_KIND_ADMIN",
        );
    }
    let property = Some(request.property).filter(|name| !name.is_empty());
    if property.is_none() && kind.is_some_and(|kind| kind != KeyKind::Admin) {
        v.add(
            "property",
            "0 bytes, need the name of a property for a write or read key",
        );
    }
    if property.as_deref().is_some_and(|name| !is_name(name)) {
        v.add("property", "is not the name of a property");
    }
    let label = v
        .text("label", &request.label, 0, 128)
        .map(Into::into)
        .unwrap_or_default();
    violations.finish_call((kind.unwrap_or(KeyKind::Write), property, label))
}
