//! One event as a JSON object on a line: proto3 JSON of `tallymark.v1.Event`.
//!
//! Fields go by both of their names (`visitor_id`, `visitorId`); `time` is RFC 3339; `duration` is
//! `"1.5s"` or a number of seconds. A field that does not exist is an error: it would be lost in
//! silence otherwise. What the values may be is for the server to say.

use jiff::Timestamp;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::pb::Event;

/// Integers beyond this are not all exact as IEEE doubles.
const MAX_EXACT_INTEGER: u64 = 1 << 53;
/// google.protobuf.Duration's own bound, about 10,000 years.
const MAX_DURATION_S: i64 = 315_576_000_000;
const NANOS_PER_SECOND: f64 = 1e9;

/// Parses a line. The event may lack an id, and then has a time.
///
/// # Errors
/// What is wrong, in words, with the name of the field.
pub fn parse(line: &str) -> Result<Event, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(fields) = value else {
        return Err("not a JSON object".to_owned());
    };
    let mut event = Event::default();
    for (name, value) in fields {
        // As in proto3 JSON, null is the same as absent.
        if !value.is_null() {
            set(&mut event, &name, value).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    if event.time.is_none() && !carries_time(&event.event_id) {
        return Err("time: absent, and event_id is not a UUIDv7".to_owned());
    }
    Ok(event)
}

/// The time of a protobuf timestamp, if it has one that jiff can hold.
pub fn timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// Without a time of its own, such an event gets the one inside its id; any other would be stored
/// with the time of the import, anew on every import.
fn carries_time(event_id: &str) -> bool {
    Uuid::parse_str(event_id.trim()).is_ok_and(|id| id.get_version_num() == 7)
}

fn set(event: &mut Event, name: &str, value: Value) -> Result<(), String> {
    match name {
        "event_id" | "eventId" => event.event_id = text(value)?,
        "time" => event.time = Some(time(&text(value)?)?),
        "name" => event.name = text(value)?,
        "visitor_id" | "visitorId" => event.visitor_id = text(value)?,
        "user_id" | "userId" => event.user_id = text(value)?,
        "session_id" | "sessionId" => event.session_id = text(value)?,
        "page" => event.page = text(value)?,
        "title" => event.title = text(value)?,
        "referrer" => event.referrer = text(value)?,
        "user_agent" | "userAgent" => event.user_agent = text(value)?,
        "ip_address" | "ipAddress" => event.ip_address = text(value)?,
        "language" => event.language = text(value)?,
        "screen" => event.screen = text(value)?,
        "duration" => event.duration = Some(duration(&value)?),
        "scroll_depth" | "scrollDepth" => {
            event.scroll_depth = Some(value.as_f64().ok_or("not a number")?);
        }
        "page_type" | "pageType" => event.page_type = text(value)?,
        "author" => event.author = text(value)?,
        "categories" => event.categories = texts(value)?,
        "tags" => event.tags = texts(value)?,
        "properties" => match value {
            Value::Object(fields) => event.properties = Some(object(fields)?),
            _ => return Err("not an object".to_owned()),
        },
        _ => return Err("there is no such field; put your own into `properties`".to_owned()),
    }
    Ok(())
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("not a string".to_owned()),
    }
}

fn texts(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(values) => values.into_iter().map(text).collect(),
        _ => Err("not an array of strings".to_owned()),
    }
}

fn time(text: &str) -> Result<prost_types::Timestamp, String> {
    let time: Timestamp = text
        .trim()
        .parse()
        .map_err(|_| "not an RFC 3339 time such as 2026-01-31T12:00:00Z".to_owned())?;
    // Protobuf counts nanoseconds forwards from the second before.
    Ok(prost_types::Timestamp {
        seconds: time.as_nanosecond().div_euclid(1_000_000_000) as i64,
        nanos: time.as_nanosecond().rem_euclid(1_000_000_000) as i32,
    })
}

fn duration(value: &Value) -> Result<prost_types::Duration, String> {
    const NEED: &str = "not a duration, need \"1.5s\" or a number of seconds";
    let parsed = match value {
        Value::String(text) => text.trim().strip_suffix('s').and_then(decimal_seconds),
        Value::Number(number) => number.as_f64().and_then(float_seconds),
        _ => None,
    };
    parsed.ok_or_else(|| NEED.to_owned())
}

/// `-1.000000001`, without going through a float.
fn decimal_seconds(text: &str) -> Option<prost_types::Duration> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_decimal = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_decimal(whole) || !is_decimal(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds: i64 = whole
        .parse()
        .ok()
        .filter(|seconds| *seconds <= MAX_DURATION_S)?;
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    Some(prost_types::Duration {
        seconds: sign * seconds,
        nanos: i32::try_from(sign).ok()? * nanos,
    })
}

fn float_seconds(seconds: f64) -> Option<prost_types::Duration> {
    if !seconds.is_finite() || seconds.abs() > MAX_DURATION_S as f64 {
        return None;
    }
    let mut whole = seconds.trunc() as i64;
    let mut nanos = (seconds.fract() * NANOS_PER_SECOND).round() as i32;
    if nanos.abs() == 1_000_000_000 {
        whole += i64::from(nanos.signum());
        nanos = 0;
    }
    Some(prost_types::Duration {
        seconds: whole,
        nanos,
    })
}

fn object(fields: Map<String, Value>) -> Result<Struct, String> {
    let field = |(name, value)| match kind(value) {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(format!("{name}: {error}")),
    };
    Ok(Struct {
        fields: fields.into_iter().map(field).collect::<Result<_, _>>()?,
    })
}

fn kind(value: Value) -> Result<prost_types::Value, String> {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => {
            let is_exact = match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => value <= MAX_EXACT_INTEGER,
                (None, Some(value)) => value.unsigned_abs() <= MAX_EXACT_INTEGER,
                (None, None) => true,
            };
            if !is_exact {
                return Err(format!("{number} would be rounded; write it as a string"));
            }
            Kind::NumberValue(number.as_f64().ok_or("not a number")?)
        }
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values
                .into_iter()
                .map(self::kind)
                .collect::<Result<_, _>>()?,
        }),
        Value::Object(fields) => Kind::StructValue(object(fields)?),
    };
    Ok(prost_types::Value { kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_spellings_of_every_field() {
        let snake = parse(
            r#"{"event_id":"0198c0de-0000-7000-8000-000000000001","time":"2026-01-31T12:00:00.25+01:00",
            "name":"n","visitor_id":"v","user_id":"u","session_id":"s","page":"/p","title":"t",
            "referrer":"https://r.example","user_agent":"ua","ip_address":"1.2.3.4","language":"de",
            "screen":"1x2","duration":"1.5s","scroll_depth":50.5,"page_type":"pt","author":"a",
            "categories":["c"],"tags":["d","e"],"properties":{"k":[1,null,{"x":true}],"s":"t"}}"#,
        )
        .expect("snake case");
        let camel = parse(
            r#"{"eventId":"0198c0de-0000-7000-8000-000000000001","time":"2026-01-31t11:00:00.250Z",
            "name":"n","visitorId":"v","userId":"u","sessionId":"s","page":"/p","title":"t",
            "referrer":"https://r.example","userAgent":"ua","ipAddress":"1.2.3.4","language":"de",
            "screen":"1x2","duration":1.5,"scrollDepth":50.5,"pageType":"pt","author":"a",
            "categories":["c"],"tags":["d","e"],"properties":{"s":"t","k":[1,null,{"x":true}]}}"#,
        )
        .expect("camel case");
        assert_eq!(snake, camel);
        assert_eq!(snake.user_id, "u");
        assert_eq!(snake.properties.expect("properties").fields.len(), 2);
        let time = snake.time.expect("time");
        assert_eq!((time.seconds, time.nanos), (1_769_857_200, 250_000_000));
    }

    #[test]
    fn durations() {
        for (json, seconds, nanos) in [
            (r#""0s""#, 0, 0),
            (r#""1.000000001s""#, 1, 1),
            (r#""-1.5s""#, -1, -500_000_000),
            ("2", 2, 0),
            ("0.1", 0, 100_000_000),
            ("-0.25", 0, -250_000_000),
            ("0.9999999999", 1, 0),
        ] {
            let event = parse(&format!(
                r#"{{"time":"2026-01-01T00:00:00Z","duration":{json}}}"#
            ));
            let duration = event.expect(json).duration.expect("duration");
            assert_eq!(
                (duration.seconds, duration.nanos),
                (seconds, nanos),
                "{json}"
            );
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (line, wanted) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            (r#"{"nmae":"x"}"#, "nmae: there is no such field"),
            (r#"{"name":1}"#, "name: not a string"),
            (r#"{"tags":"x"}"#, "tags: not an array"),
            (r#"{"tags":[1]}"#, "tags: not a string"),
            (r#"{"time":"yesterday"}"#, "time: not an RFC 3339"),
            (r#"{"time":1700000000}"#, "time: not a string"),
            (r#"{"duration":"1.5"}"#, "duration: not a duration"),
            (
                r#"{"duration":"9999999999999s"}"#,
                "duration: not a duration",
            ),
            (r#"{"duration":1e300}"#, "duration: not a duration"),
            (r#"{"scroll_depth":"50"}"#, "scroll_depth: not a number"),
            (r#"{"properties":[]}"#, "properties: not an object"),
            (
                r#"{"properties":{"a":{"b":9007199254740993}}}"#,
                "properties: a: b: 9007199254740993",
            ),
            (r#"{"name":"x"}"#, "time: absent"),
            (r#"{"name":"x","time":null}"#, "time: absent"),
            (
                r#"{"event_id":"9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"}"#,
                "time: absent",
            ),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.starts_with(wanted), "{line}: {error}");
        }
        assert!(parse(r#"{"event_id":"0198c0de-0000-7000-8000-000000000001"}"#).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics(line in "\\PC{0,80}") {
            let _ = parse(&line);
        }

        #[test]
        fn never_panics_on_objects(
            name in "(time|duration|properties|scroll_depth|tags|event_id)",
            value in r#"(-?[0-9]{1,20}(\.[0-9]{1,12})?(e-?[0-9]{1,3})?|"[-0-9:TZ.s+]{0,24}"|\[.{0,9}\]|null)"#
        ) {
            let _ = parse(&format!(r#"{{"{name}":{value}}}"#));
        }
    }
}
