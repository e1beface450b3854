//! Rules that many fields share, and the collector of their violations.

use crate::error::{ApiError, MAX_VIOLATIONS, Violation};

/// Values that stand for "nobody" in many clients; as an id they would merge everybody into one.
const PLACEHOLDERS: [&str; 10] = [
    "null",
    "undefined",
    "anonymous",
    "none",
    "nil",
    "nan",
    "unknown",
    "0",
    "00000000-0000-0000-0000-000000000000",
    "[object object]",
];

/// Collects what is wrong with a message.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes that `field` breaks a rule. No more than [`MAX_VIOLATIONS`] are kept.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        if self.0.len() < MAX_VIOLATIONS {
            self.0.push(Violation::new(field, description));
        }
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value` if nothing is wrong, else what is.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<Violation>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }

    /// `value` if nothing is wrong, else the error of a whole call.
    pub fn finish_call<T>(self, value: T) -> Result<T, ApiError> {
        self.finish(value).map_err(ApiError::InvalidFields)
    }

    /// Trims `text` and checks its length; empty text is `None` where `min_bytes` is 0.
    pub fn text<'t>(
        &mut self,
        field: &str,
        text: &'t str,
        min_bytes: usize,
        max_bytes: usize,
    ) -> Option<&'t str> {
        let trimmed = text.trim();
        if trimmed.len() < min_bytes || trimmed.len() > max_bytes {
            let need = match min_bytes {
                0 => format!("at most {max_bytes}"),
                min => format!("{min}–{max_bytes}"),
            };
            self.add(field, format!("{} bytes, need {need}", trimmed.len()));
            return None;
        }
        if trimmed.as_bytes().contains(&0) {
            self.add(field, "contains a NUL character");
            return None;
        }
        (!trimmed.is_empty()).then_some(trimmed)
    }

    /// Like [`Self::text`] for an id: placeholders are refused.
    pub fn id<'t>(&mut self, field: &str, text: &'t str, max_bytes: usize) -> Option<&'t str> {
        let id = self.text(field, text, 0, max_bytes)?;
        if is_placeholder(id) {
            self.add(
                field,
                format!("`{id}` is a placeholder, need a real id or nothing"),
            );
            return None;
        }
        Some(id)
    }
}

fn is_placeholder(id: &str) -> bool {
    PLACEHOLDERS
        .iter()
        .any(|placeholder| placeholder.eq_ignore_ascii_case(id))
}

/// At most `max_chars` characters of hostile text, for showing it back in an error.
pub fn excerpt(text: &str, max_chars: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(max_chars)
        .filter(|c| !c.is_control())
        .collect();
    if text.chars().nth(max_chars).is_some() {
        shown.push('…');
    }
    shown
}

/// What is wrong with a message that does not decode, and with which of its fields.
pub fn decoding_fault(error: &prost::DecodeError) -> Violation {
    read_decoding_fault(&error.to_string())
}

/// Turns prost's "failed to decode Protobuf message: Timestamp.seconds: Event.time: invalid varint",
/// where the innermost field comes first, into a violation of `time.seconds`.
fn read_decoding_fault(text: &str) -> Violation {
    let mut reason = text
        .strip_prefix("failed to decode Protobuf message: ")
        .unwrap_or(text);
    let mut fields: Vec<&str> = Vec::new();
    while let Some((head, rest)) = reason.split_once(": ")
        && let Some((message, field)) = head.split_once('.')
        && [message, field].iter().all(|word| !word.contains(' '))
    {
        fields.insert(0, field);
        reason = rest;
    }
    Violation::new(fields.join("."), reason)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::pb;

    #[test]
    fn a_decoding_error_names_its_field() {
        // Field 3, name, of broken UTF-8; field 2, time, whose seconds are text.
        for (bytes, expected) in [
            (
                &[0x1a_u8, 1, 0xff][..],
                "name: invalid string value: data is not UTF-8 encoded",
            ),
            (
                &[0x12, 2, 0x0a, 0],
                "time.seconds: invalid wire type: LengthDelimited (expected Varint)",
            ),
        ] {
            let error = pb::Event::decode(bytes).expect_err("broken");
            assert_eq!(decoding_fault(&error).to_string(), expected);
        }
        assert_eq!(
            read_decoding_fault("buffer underflow"),
            Violation::new("", "buffer underflow")
        );
    }
}
