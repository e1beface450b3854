//! The text of a value of an event's properties, as PostgreSQL's `properties ->> key` has it: rollups
//! group by the same text as questions about events do.

use serde_json::{Map, Value};

/// Bytes of a value that a rollup takes at most: each has a row in an index.
pub const MAX_VALUE_BYTES: usize = 1_000;

/// The text of a value; empty where `->>` has none.
pub fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => {
            let mut out = String::new();
            write(&mut out, other);
            out
        }
    }
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // Stored without a fraction, and numeric has no sign of zero.
        Value::Number(number) if number.as_f64() == Some(0.0) => out.push('0'),
        Value::Number(number) => out.push_str(&numeric(&number.to_string())),
        Value::String(text) => write_string(out, text),
        Value::Array(values) => {
            out.push('[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                write(out, value);
            }
            out.push(']');
        }
        Value::Object(fields) => write_object(out, fields),
    }
}

/// jsonb has the keys of an object by length, then byte by byte.
fn write_object(out: &mut String, fields: &Map<String, Value>) {
    let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| (key.len(), *key));
    out.push('{');
    for (place, (key, value)) in fields.into_iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        write_string(out, key);
        out.push_str(": ");
        write(out, value);
    }
    out.push('}');
}

/// As escape_json of PostgreSQL.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// A JSON number that is not zero as numeric writes it: without an exponent.
fn numeric(number: &str) -> String {
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", number),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().unwrap_or_default()),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    // Where the point is, counted from the first digit.
    let point = whole.len() as i64 + exponent;
    let (whole, fraction) = if point <= 0 {
        let zeros = usize::try_from(-point).unwrap_or_default();
        ("0".to_owned(), format!("{}{digits}", "0".repeat(zeros)))
    } else {
        let point = usize::try_from(point).unwrap_or_default();
        match digits.split_at_checked(point) {
            Some((whole, fraction)) => (whole.to_owned(), fraction.to_owned()),
            None => {
                let zeros = point - digits.len();
                (format!("{digits}{}", "0".repeat(zeros)), String::new())
            }
        }
    };
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    match fraction.is_empty() {
        true => format!("{sign}{whole}"),
        false => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_postgresql_does() {
        let properties: Value = serde_json::from_str(
            r#"{"s":"a\"b\\","n":-1.5,"big":1e22,"small":1.5e-7,"zero":-0,"i":42,
                "list":[1,"x\n",null,true],"o":{"bb":1,"a":{"c":[]}},"null":null,"t":true}"#,
        )
        .expect("JSON");
        let text = |key: &str| text(properties.get(key));
        assert_eq!(text("s"), "a\"b\\");
        assert_eq!(text("n"), "-1.5");
        assert_eq!(text("big"), "10000000000000000000000");
        assert_eq!(text("small"), "0.00000015");
        assert_eq!(text("i"), "42");
        assert_eq!(text("list"), r#"[1, "x\n", null, true]"#);
        assert_eq!(text("o"), r#"{"a": {"c": []}, "bb": 1}"#);
        assert_eq!((text("null"), text("none")), (String::new(), String::new()));
        assert_eq!(text("t"), "true");
        assert_eq!(text("zero"), "0");
    }
}
