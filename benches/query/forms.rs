//! The two forms an event is written down in: a message for the service, a line for DuckDB.

use std::fmt::Write;

use bytes::Bytes;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Duration, Struct, Timestamp, Value};
use tallymark::pb;
use uuid::Uuid;

use super::events::{Event, page_path};

const HOST: &str = "https://www.nordlicht.example";

/// Encoded messages of so many events each.
pub fn messages(
    mut events: impl Iterator<Item = Event> + Send,
    events_per_message: usize,
) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || {
        let events: Vec<_> = events.by_ref().take(events_per_message).collect();
        if events.is_empty() {
            return None;
        }
        let message = pb::StreamEventsRequest {
            events: events.iter().map(wire).collect(),
            ..pb::StreamEventsRequest::default()
        };
        Some(message.encode_to_vec().into())
    })
}

fn wire(event: &Event) -> pb::Event {
    let mut page = format!("{HOST}{}", page_path(event.page));
    if let [source, medium, campaign] = event.source.utm
        && !source.is_empty()
    {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "?utm_source={source}&utm_medium={medium}&utm_campaign={campaign}"
        );
    }
    pb::Event {
        event_id: event.id.to_string(),
        time: Some(Timestamp {
            seconds: event.time_us.div_euclid(1_000_000),
            nanos: (event.time_us.rem_euclid(1_000_000) * 1_000) as i32,
        }),
        name: event.name.to_owned(),
        visitor_id: visitor_id(event.visitor),
        page,
        referrer: event.source.referrer_url.to_owned(),
        user_agent: event.agent.header.to_owned(),
        ip_address: event.place.address.to_owned(),
        language: event.place.language.to_owned(),
        duration: event.duration_ms.map(|duration_ms| Duration {
            seconds: i64::from(duration_ms / 1_000),
            nanos: (duration_ms % 1_000) as i32 * 1_000_000,
        }),
        properties: properties(event),
        ..pb::Event::default()
    }
}

/// A UUID, as browsers keep one.
fn visitor_id(visitor: u64) -> String {
    let spread =
        u128::from(visitor.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    uuid::Builder::from_random_bytes(spread.to_be_bytes())
        .into_uuid()
        .to_string()
}

fn properties(event: &Event) -> Option<Struct> {
    let plan = event.plan?;
    let value = |kind| Value { kind: Some(kind) };
    let mut fields = [("plan".to_owned(), value(Kind::StringValue(plan.to_owned())))]
        .into_iter()
        .collect();
    let price = event.price.map(|price| {
        (
            "price".to_owned(),
            value(Kind::NumberValue(f64::from(price))),
        )
    });
    Extend::extend(&mut fields, price);
    Some(Struct { fields })
}

/// Columns of [`write_line`]'s lines, as DuckDB's `read_csv` wants them.
pub const LINE_COLUMNS: &str = "{'event_id': 'uuid', 'time_us': 'bigint', 'name': 'varchar', 'visitor': 'uinteger', \
     'page': 'varchar', 'os': 'varchar', 'browser': 'varchar', 'device': 'varchar', 'is_bot': 'boolean', \
     'country': 'varchar', 'language': 'varchar', 'referrer': 'varchar', 'channel': 'varchar', \
     'utm_source': 'varchar', 'utm_medium': 'varchar', 'utm_campaign': 'varchar', 'duration_ms': 'integer', \
     'plan': 'varchar', 'price': 'integer'}";

/// Writes an event as a line of CSV. None of the values has a comma or a quote; what is not there is empty.
pub fn write_line(line: &mut impl std::io::Write, event: &Event) -> std::io::Result<()> {
    let Event {
        agent,
        place,
        source,
        ..
    } = event;
    let [utm_source, utm_medium, utm_campaign] = source.utm;
    write!(
        line,
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{utm_source},{utm_medium},{utm_campaign},",
        event
            .id
            .as_hyphenated()
            .encode_lower(&mut Uuid::encode_buffer()),
        event.time_us,
        event.name,
        event.visitor,
        page_path(event.page),
        agent.os,
        agent.browser,
        agent.device,
        agent.is_bot,
        place.country,
        place.language,
        source.referrer,
        source.channel,
    )?;
    if let Some(duration_ms) = event.duration_ms {
        write!(line, "{duration_ms}")?;
    }
    write!(line, ",{},", event.plan.unwrap_or_default())?;
    if let Some(price) = event.price {
        write!(line, "{price}")?;
    }
    writeln!(line)
}
