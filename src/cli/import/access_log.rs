//! Parser of one line of an Apache or nginx access log, common or combined.
//!
//! ```text
//! address ident user [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 512 "referrer" "user agent"
//! ```
//!
//! Both servers escape what could break a line: `\"`, `\\`, and `\xHH` for other bytes (Apache also
//! `\n`, `\t`…). What is left that is not UTF-8 becomes U+FFFD: it only concerns shown text, and ids
//! are made from the bytes of the line. Anything after the known fields is ignored, since many sites
//! append their own.

use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLine<'a> {
    /// Address of the client, or its name if the server looks names up.
    pub address: Cow<'a, str>,
    /// Name from HTTP authentication.
    pub user: Option<Cow<'a, str>>,
    /// When the request came.
    pub time: Timestamp,
    /// Request line, as sent: `GET /a HTTP/1.1`.
    pub request: Cow<'a, str>,
    /// Status of the reply.
    pub status: u16,
    /// `Referer` header; combined format only.
    pub referrer: Option<Cow<'a, str>>,
    /// `User-Agent` header; combined format only.
    pub user_agent: Option<Cow<'a, str>>,
}

/// Which fields follow the size of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// None.
    Common,
    /// Referrer and user agent.
    Combined,
}

/// Parses a line.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(line: &[u8], layout: Layout) -> Result<AccessLine<'_>, &'static str> {
    let (address, rest) = word(line).ok_or("no address")?;
    let (user, time, rest) = user_and_time(rest)?;
    let (request, rest) = quoted(rest).ok_or("no request in quotes")?;
    let (status, rest) = word(rest).ok_or("no status")?;
    let status = parse_status(status).ok_or("the status is not a number from 100 to 999")?;
    let (size, rest) = word(rest).ok_or("no size of the reply")?;
    if size != b"-" && !size.iter().all(u8::is_ascii_digit) {
        return Err("the size of the reply is not a number");
    }
    let (referrer, user_agent) = match layout {
        Layout::Common => (None, None),
        Layout::Combined => {
            let (referrer, rest) = quoted(rest).ok_or("no referrer in quotes")?;
            let (user_agent, _) = quoted(rest).ok_or("no user agent in quotes")?;
            (present(referrer), present(user_agent))
        }
    };
    Ok(AccessLine {
        address: String::from_utf8_lossy(address),
        user: present(user),
        time,
        request,
        status,
        referrer,
        user_agent,
    })
}

/// Splits a request line into method and target. Targets may hold spaces: nginx logs them as sent.
pub fn split_request(request: &str) -> Option<(&str, &str)> {
    let (method, rest) = request.split_once(' ')?;
    let is_method = !method.is_empty()
        && method.len() <= 32
        && method
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'-' || byte == b'_');
    if !is_method {
        return None;
    }
    let target = match rest.rsplit_once(' ') {
        Some((target, protocol)) if protocol.starts_with("HTTP/") => target,
        _ => rest,
    };
    let target = target.trim();
    (!target.is_empty()).then_some((method, target))
}

fn present(field: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!field.is_empty() && field != "-").then_some(field)
}

/// The next word and what follows it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let bytes = bytes.trim_ascii_start();
    let end = bytes
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(bytes.len());
    (end > 0).then(|| bytes.split_at(end))
}

/// The user may hold spaces, and brackets: the first bracket that opens a time ends it.
fn user_and_time(bytes: &[u8]) -> Result<(Cow<'_, str>, Timestamp, &[u8]), &'static str> {
    let mut error = "no time in brackets";
    for start in memchr_all(b'[', bytes) {
        if start == 0 || bytes[start - 1] != b' ' {
            continue;
        }
        let Some(length) = bytes[start..].iter().position(|byte| *byte == b']') else {
            break;
        };
        let inside = &bytes[start + 1..start + length];
        match parse_time(inside) {
            Some(time) => {
                let names = bytes[..start].trim_ascii();
                let user = match names.iter().position(|byte| *byte == b' ') {
                    Some(end) => &names[end + 1..],
                    None => b"",
                };
                return Ok((unescape(user), time, &bytes[start + length + 1..]));
            }
            None => error = "the time is not like 17/May/2015:10:05:03 +0000",
        }
    }
    Err(error)
}

fn memchr_all(wanted: u8, bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let found = move |(index, byte): (usize, &u8)| (*byte == wanted).then_some(index);
    bytes.iter().enumerate().filter_map(found)
}

/// `17/May/2015:10:05:03 +0000`
fn parse_time(bytes: &[u8]) -> Option<Timestamp> {
    const MONTHS: [&[u8]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let is_shaped = bytes.len() == 26
        && [
            (2, b'/'),
            (6, b'/'),
            (11, b':'),
            (14, b':'),
            (17, b':'),
            (20, b' '),
        ]
        .iter()
        .all(|(index, byte)| bytes[*index] == *byte);
    if !is_shaped {
        return None;
    }
    let month_name = bytes[3..6].to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| *name == month_name)? + 1;
    let day = number(&bytes[0..2])?;
    let year = number(&bytes[7..11])?;
    let hour = number(&bytes[12..14])?;
    let minute = number(&bytes[15..17])?;
    // A leap second is logged as 60.
    let second = match number(&bytes[18..20])? {
        60 => 59,
        second => second,
    };
    let sign = match bytes[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let offset_s =
        i32::from(number(&bytes[22..24])?) * 3600 + i32::from(number(&bytes[24..26])?) * 60;
    let civil = DateTime::new(
        year,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        i8::try_from(hour).ok()?,
        i8::try_from(minute).ok()?,
        i8::try_from(second).ok()?,
        0,
    )
    .ok()?;
    let utc = Offset::UTC.to_timestamp(civil).ok()?;
    utc.checked_sub(SignedDuration::from_secs(i64::from(sign * offset_s)))
        .ok()
}

fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0i16, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + i16::from(digit - b'0'))
    })
}

fn parse_status(word: &[u8]) -> Option<u16> {
    let is_status = word.len() == 3 && word[0] != b'0';
    number(word)
        .filter(|_| is_status)
        .and_then(|status| u16::try_from(status).ok())
}

/// The text between the next quote and the one that closes it, and what follows.
///
/// The closing quote is one before a space or the end: some servers write quotes inside unescaped.
fn quoted(bytes: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let bytes = bytes.trim_ascii_start().strip_prefix(b"\"")?;
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            b'\\' => index += 1,
            b'"' if matches!(bytes.get(index + 1), None | Some(b' ' | b'\t')) => {
                return Some((unescape(&bytes[..index]), &bytes[index + 1..]));
            }
            _ => {}
        }
        index += 1;
    }
    None
}

/// Undoes the servers' escapes. An unknown escape stays as it is.
fn unescape(bytes: &[u8]) -> Cow<'_, str> {
    if !bytes.contains(&b'\\') {
        return String::from_utf8_lossy(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let (byte, used) = match (first, after) {
            (b'\\', [b'x', high, low, ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => (b'\\', 1),
            },
            (b'\\', [quoted @ (b'"' | b'\\'), ..]) => (*quoted, 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (byte, _) => (*byte, 1),
        };
        plain.push(byte);
        rest = &rest[used..];
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
#[path = "access_log_tests.rs"]
mod tests;
