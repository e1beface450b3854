//! The fields of an event as they came, borrowed from the message: most events are valid, and what is
//! kept of them is copied once, into the log.

use bytes::Buf;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_types::{Duration, Struct, Timestamp};

use crate::pb;

/// Fields of `tallymark.v1.Event`. Absent text is empty.
#[derive(Debug, Default, Clone, PartialEq)]
#[expect(missing_docs, reason = "named as the fields of event.proto")]
pub struct EventFields<'a> {
    pub event_id: &'a str,
    pub time: Option<Timestamp>,
    pub name: &'a str,
    pub visitor_id: &'a str,
    pub user_id: &'a str,
    pub session_id: &'a str,
    pub page: &'a str,
    pub title: &'a str,
    pub referrer: &'a str,
    pub user_agent: &'a str,
    pub ip_address: &'a str,
    pub language: &'a str,
    pub screen: &'a str,
    pub duration: Option<Duration>,
    pub scroll_depth: Option<f64>,
    pub page_type: &'a str,
    pub author: &'a str,
    pub categories: Vec<&'a str>,
    pub tags: Vec<&'a str>,
    pub properties: Option<Struct>,
}

impl<'a> EventFields<'a> {
    /// Reads an encoded event. `None` when something is unusual or wrong; prost's decoder is the one
    /// to understand it, or to say what is wrong.
    pub fn read(encoded: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut rest = encoded;
        while !rest.is_empty() {
            let (tag, wire_type) = decode_key(&mut rest).ok()?;
            fields.read_field(tag, wire_type, &mut rest)?;
        }
        Some(fields)
    }

    fn read_field(&mut self, tag: u32, wire_type: WireType, rest: &mut &'a [u8]) -> Option<()> {
        const LAST_TAG: u32 = 20;
        const SCROLL_DEPTH: u32 = 15;
        if tag == SCROLL_DEPTH {
            if wire_type != WireType::SixtyFourBit {
                return None;
            }
            self.scroll_depth = Some(rest.try_get_f64_le().ok()?);
            return Some(());
        }
        if tag > LAST_TAG {
            return skip_field(wire_type, tag, rest, DecodeContext::default()).ok();
        }
        if wire_type != WireType::LengthDelimited {
            return None;
        }
        let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
        let (value, behind) = rest.split_at_checked(length)?;
        *rest = behind;
        let text = match tag {
            1 => &mut self.event_id,
            2 => return once(&mut self.time, value),
            3 => &mut self.name,
            4 => &mut self.visitor_id,
            5 => &mut self.user_id,
            6 => &mut self.session_id,
            7 => &mut self.page,
            8 => &mut self.title,
            9 => &mut self.referrer,
            10 => &mut self.user_agent,
            11 => &mut self.ip_address,
            12 => &mut self.language,
            13 => &mut self.screen,
            14 => return once(&mut self.duration, value),
            16 => &mut self.page_type,
            17 => &mut self.author,
            18 => {
                self.categories.push(str::from_utf8(value).ok()?);
                return Some(());
            }
            19 => {
                self.tags.push(str::from_utf8(value).ok()?);
                return Some(());
            }
            20 => return once(&mut self.properties, value),
            _ => return None,
        };
        *text = str::from_utf8(value).ok()?;
        Some(())
    }
}

/// A message that comes twice would have to be merged.
fn once<M: Message + Default>(field: &mut Option<M>, value: &[u8]) -> Option<()> {
    if field.is_some() {
        return None;
    }
    *field = Some(M::decode(value).ok()?);
    Some(())
}

impl<'a> From<&'a mut pb::Event> for EventFields<'a> {
    /// Takes the properties out of the event.
    fn from(event: &'a mut pb::Event) -> Self {
        Self {
            event_id: &event.event_id,
            time: event.time,
            name: &event.name,
            visitor_id: &event.visitor_id,
            user_id: &event.user_id,
            session_id: &event.session_id,
            page: &event.page,
            title: &event.title,
            referrer: &event.referrer,
            user_agent: &event.user_agent,
            ip_address: &event.ip_address,
            language: &event.language,
            screen: &event.screen,
            duration: event.duration,
            scroll_depth: event.scroll_depth,
            page_type: &event.page_type,
            author: &event.author,
            categories: event.categories.iter().map(String::as_str).collect(),
            tags: event.tags.iter().map(String::as_str).collect(),
            properties: event.properties.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::{encode_key, encode_varint};

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![Just(String::new()), "[a-zä€]{0,9}"]
    }

    prop_compose! {
        fn event()(
            texts in prop::collection::vec(text(), 15),
            labels in prop::collection::vec(text(), 0..4),
            time in prop::option::of((any::<i64>(), any::<i32>())),
            scroll_depth in prop::option::of(any::<f64>()),
            plan in prop::option::of(text()),
        ) -> pb::Event {
            let mut texts = texts.into_iter();
            let mut text = || texts.next().unwrap_or_default();
            pb::Event {
                event_id: text(),
                time: time.map(|(seconds, nanos)| Timestamp { seconds, nanos }),
                name: text(),
                visitor_id: text(),
                user_id: text(),
                session_id: text(),
                page: text(),
                title: text(),
                referrer: text(),
                user_agent: text(),
                ip_address: text(),
                language: text(),
                screen: text(),
                duration: time.map(|(seconds, nanos)| Duration { seconds, nanos }),
                scroll_depth,
                page_type: text(),
                author: text(),
                categories: labels.clone(),
                tags: labels,
                properties: plan.map(|plan| Struct {
                    fields: [("plan".to_owned(), plan.into())].into_iter().collect(),
                }),
            }
        }
    }

    /// The same, but for NaN.
    fn same(one: &EventFields<'_>, other: &EventFields<'_>) -> bool {
        format!("{one:?}") == format!("{other:?}")
    }

    proptest! {
        #[test]
        fn it_reads_what_prost_reads(mut event in event(), extra in 21_u32..2_000, number: u64) {
            let mut encoded = event.encode_to_vec();
            encode_key(extra, WireType::Varint, &mut encoded);
            encode_varint(number, &mut encoded);
            let fields = EventFields::read(&encoded).expect("a usual event");
            prop_assert!(same(&fields, &EventFields::from(&mut event)));
        }

        #[test]
        fn where_it_reads_something_prost_reads_the_same(
            event in event(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            end: prop::sample::Index,
        ) {
            let mut encoded = event.encode_to_vec();
            encoded.push(0);
            for (place, byte) in changes {
                let place = place.index(encoded.len());
                encoded[place] = byte;
            }
            encoded.truncate(end.index(encoded.len()) + 1);
            if let Some(fields) = EventFields::read(&encoded) {
                let mut event = pb::Event::decode(&*encoded).expect("prost reads it too");
                prop_assert!(same(&fields, &EventFields::from(&mut event)));
            }
        }
    }

    #[test]
    fn a_message_that_comes_twice_is_left_to_prost() {
        let time = |seconds| pb::Event {
            time: Some(Timestamp { seconds, nanos: 0 }),
            ..pb::Event::default()
        };
        let mut encoded = time(1).encode_to_vec();
        encoded.extend(time(2).encode_to_vec());
        assert_eq!(EventFields::read(&encoded), None);
    }
}
