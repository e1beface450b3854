//! Rows of `events` in PostgreSQL's binary COPY format, straight into the send buffer.
//!
//! The format: a header, then per row the number of columns (i16) and per column its length (i32,
//! -1 for null) and its bytes in network order; at the end an i16 of -1. Source: PostgreSQL's
//! documentation of COPY, "Binary Format", and the send functions of the types.

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::Type;

use crate::log::event::LoggedEvent;

use super::numbers::Numbers;

/// The columns of [`put`], in its order, for the COPY statement.
pub const COLUMNS: &str = "time, event_id, property_no, visitor_no, name_no, user_no, host_no, \
     path_no, query_no, title_no, referrer_no, campaign_no, agent_no, language_no, screen_no, \
     country_no, page_type_no, author_no, duration_ms, scroll_bp, channel, is_page_view, is_bot, \
     category_nos, tag_nos, session_id, ip_address, properties";
const COLUMN_COUNT: i16 = 28;

/// 2000-01-01, PostgreSQL's epoch, in microseconds since 1970.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;
/// PGSQL_AF_INET and PGSQL_AF_INET6 of utils/inet.h, on every platform.
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 3;
/// Version of jsonb's binary form.
const JSONB_VERSION: u8 = 1;

/// Starts a COPY stream.
pub fn put_header(out: &mut BytesMut) {
    out.put_slice(b"PGCOPY\n\xff\r\n\0");
    out.put_i32(0);
    out.put_i32(0);
}

/// Ends a COPY stream.
pub fn put_trailer(out: &mut BytesMut) {
    out.put_i16(-1);
}

/// Adds one row.
pub fn put(out: &mut BytesMut, event: &LoggedEvent<'_>, numbers: &Numbers) {
    use super::dictionary::Kind;
    let number = |kind: Kind| Some(numbers.single[kind as usize]).filter(|number| *number != 0);

    out.put_i16(COLUMN_COUNT);
    out.put_i32(8);
    out.put_i64(event.time_us - POSTGRES_EPOCH_US);
    put_bytes(out, event.event_id().as_bytes());
    put_i32(out, Some(event.property_no));
    put_i32(out, Some(numbers.visitor_no));
    put_i32(out, Some(numbers.single[Kind::Name as usize]));
    put_i32(out, Some(numbers.user_no).filter(|number| *number != 0));
    put_i32(out, number(Kind::Host));
    put_i32(out, number(Kind::Path));
    put_i32(out, number(Kind::Query));
    put_i32(out, number(Kind::Title));
    put_i32(out, number(Kind::Referrer));
    put_i32(out, number(Kind::Campaign));
    put_i32(out, number(Kind::Agent));
    put_i32(out, number(Kind::Language));
    put_i32(out, number(Kind::Screen));
    put_i32(out, number(Kind::Country));
    put_i32(out, number(Kind::PageType));
    put_i32(out, number(Kind::Author));
    put_i32(out, event.duration_ms);
    put_i16(out, event.scroll_bp);
    put_i16(out, Some(event.channel));
    put_bool(out, event.is_page_view);
    put_bool(out, event.is_bot);
    put_i32_array(out, &numbers.category_nos);
    put_i32_array(out, &numbers.tag_nos);
    put_text(out, event.session_id);
    put_inet(out, event.ip_address);
    put_jsonb(out, event.properties);
}

fn put_length(out: &mut BytesMut, length: usize) {
    // Texts are bounded to a few thousand bytes when they are validated.
    out.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
}

fn put_null(out: &mut BytesMut) {
    out.put_i32(-1);
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

fn put_i32(out: &mut BytesMut, value: Option<i32>) {
    match value {
        Some(value) => {
            out.put_i32(4);
            out.put_i32(value);
        }
        None => put_null(out),
    }
}

fn put_i16(out: &mut BytesMut, value: Option<i16>) {
    match value {
        Some(value) => {
            out.put_i32(2);
            out.put_i16(value);
        }
        None => put_null(out),
    }
}

fn put_bool(out: &mut BytesMut, value: bool) {
    out.put_i32(1);
    out.put_u8(u8::from(value));
}

fn put_text(out: &mut BytesMut, value: Option<&str>) {
    match value {
        Some(text) => put_bytes(out, text.as_bytes()),
        None => put_null(out),
    }
}

/// Null when there is nothing in it: an empty array would take room in every row.
fn put_i32_array(out: &mut BytesMut, values: &[i32]) {
    if values.is_empty() {
        return put_null(out);
    }
    const HEADER_BYTES: usize = 20;
    const ELEMENT_BYTES: usize = 8;
    put_length(out, HEADER_BYTES + values.len() * ELEMENT_BYTES);
    out.put_i32(1); // dimensions
    out.put_i32(0); // no nulls
    out.put_u32(Type::INT4.oid());
    put_length(out, values.len());
    out.put_i32(1); // lower bound
    for value in values {
        put_i32(out, Some(*value));
    }
}

fn put_inet(out: &mut BytesMut, address: Option<IpAddr>) {
    let mut put_address = |family, bytes: &[u8]| {
        const HEADER_BYTES: usize = 4;
        put_length(out, HEADER_BYTES + bytes.len());
        out.put_u8(family);
        out.put_u8(u8::try_from(bytes.len() * 8).unwrap_or(u8::MAX)); // bits of the mask: a host
        out.put_u8(0); // not a cidr
        out.put_u8(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        out.put_slice(bytes);
    };
    match address {
        Some(IpAddr::V4(address)) => put_address(FAMILY_IPV4, &address.octets()),
        Some(IpAddr::V6(address)) => put_address(FAMILY_IPV6, &address.octets()),
        None => put_null(out),
    }
}

fn put_jsonb(out: &mut BytesMut, json: Option<&str>) {
    match json {
        Some(json) => {
            put_length(out, 1 + json.len());
            out.put_u8(JSONB_VERSION);
            out.put_slice(json.as_bytes());
        }
        None => put_null(out),
    }
}
