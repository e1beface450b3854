//! `google.protobuf.Struct` → JSON text, within the bounds of event.proto.

use prost_types::value::Kind;
use prost_types::{Struct, Value};

use crate::domain::dimension::PROPERTIES_PREFIX;

use super::rules::{Violations, excerpt};

/// Keys of the object at most.
pub const MAX_KEYS: usize = 64;
/// Bytes of a key at most.
pub const MAX_KEY_BYTES: usize = 128;
/// Objects and lists inside one another at most.
pub const MAX_DEPTH: usize = 5;
/// Bytes of the whole as JSON at most.
pub const MAX_JSON_BYTES: usize = 8_192;

/// The object as JSON; `None` when it is empty or breaks a rule.
pub fn encode(properties: &Struct, violations: &mut Violations) -> Option<Box<str>> {
    if properties.fields.is_empty() {
        return None;
    }
    if properties.fields.len() > MAX_KEYS {
        violations.add(
            "properties",
            format!("{} keys, need at most {MAX_KEYS}", properties.fields.len()),
        );
        return None;
    }
    let mut writer = Writer {
        json: String::with_capacity(128),
        field: "properties".to_owned(),
        fault: None,
    };
    writer.object(properties, 1);
    match writer.fault {
        None => Some(writer.json.into()),
        Some(fault) => {
            violations.add(writer.field, fault);
            None
        }
    }
}

struct Writer {
    json: String,
    /// Path of what is being written, down to the key of the outermost object.
    field: String,
    fault: Option<String>,
}

impl Writer {
    fn object(&mut self, object: &Struct, depth: usize) {
        if !self.may_nest(depth) {
            return;
        }
        self.json.push('{');
        for (place, (key, value)) in object.fields.iter().enumerate() {
            if place > 0 {
                self.json.push(',');
            }
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                self.fail(format!(
                    "a key of {} bytes, need 1–{MAX_KEY_BYTES}",
                    key.len()
                ));
            }
            self.text(key);
            if self.fault.is_some() {
                return;
            }
            if depth == 1 {
                self.field = format!("{PROPERTIES_PREFIX}{}", excerpt(key, MAX_KEY_BYTES));
            }
            self.json.push(':');
            self.value(value, depth);
            if self.fault.is_some() {
                return;
            }
        }
        self.json.push('}');
        self.check_size();
    }

    fn value(&mut self, value: &Value, depth: usize) {
        match &value.kind {
            None | Some(Kind::NullValue(_)) => self.json.push_str("null"),
            Some(Kind::BoolValue(value)) => {
                self.json.push_str(if *value { "true" } else { "false" })
            }
            Some(Kind::NumberValue(number)) => self.number(*number),
            Some(Kind::StringValue(text)) => self.text(text),
            Some(Kind::StructValue(object)) => self.object(object, depth + 1),
            Some(Kind::ListValue(list)) => {
                if !self.may_nest(depth + 1) {
                    return;
                }
                self.json.push('[');
                for (place, value) in list.values.iter().enumerate() {
                    if place > 0 {
                        self.json.push(',');
                    }
                    self.value(value, depth + 1);
                    if self.fault.is_some() {
                        return;
                    }
                }
                self.json.push(']');
            }
        }
        self.check_size();
    }

    fn check_size(&mut self) {
        if self.json.len() > MAX_JSON_BYTES {
            self.fail(format!("more than {MAX_JSON_BYTES} bytes as JSON"));
        }
    }

    fn number(&mut self, number: f64) {
        use std::fmt::Write;
        if !number.is_finite() {
            self.fail(format!("{number} is not a JSON number"));
            return;
        }
        // Whole numbers without a fraction, as every JSON writer in use has them.
        let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
        let written = if is_whole {
            write!(self.json, "{number:.0}")
        } else {
            write!(self.json, "{number:?}")
        };
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }

    fn text(&mut self, text: &str) {
        if text.contains('\0') {
            self.fail("contains a NUL character".to_owned());
            return;
        }
        match serde_json::to_string(text) {
            Ok(quoted) => self.json.push_str(&quoted),
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn may_nest(&mut self, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            self.fail(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        depth <= MAX_DEPTH
    }

    fn fail(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}
