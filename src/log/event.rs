//! An event as the log keeps it: everything that is stored of it, nothing else.
//!
//! The log holds enriched events rather than the messages they came in, so that an address which the
//! property's policy shortens or drops is never written to disk as it came. A record is one byte of
//! [`VERSION`] and the [`LoggedEvent`] in postcard's format. Decoding borrows from the record and
//! allocates nothing but lists of labels.

use std::net::IpAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::enrich::record::Record;

/// Of the format. Changing [`LoggedEvent`] means a new version, and reading both until the old one
/// cannot be in a log any more.
const VERSION: u8 = 1;

/// What is stored of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as the fields of event.proto")]
pub struct LoggedEvent<'a> {
    /// When the service received it, in microseconds since 1970.
    pub received_us: i64,
    pub property_no: i32,
    event_id: [u8; 16],
    /// Microseconds since 1970-01-01 UTC.
    pub time_us: i64,
    pub name: &'a str,
    pub is_page_view: bool,
    pub is_bot: bool,
    pub visitor_id: &'a str,
    pub user_id: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub host: Option<&'a str>,
    pub path: Option<&'a str>,
    pub query: Option<&'a str>,
    pub title: Option<&'a str>,
    /// Domain, and domain with path.
    pub referrer: Option<(&'a str, &'a str)>,
    /// Source, medium, campaign, term, content.
    pub utm: Option<[Option<&'a str>; 5]>,
    /// Its number of src/enrich/channel.rs.
    pub channel: i16,
    pub user_agent: Option<&'a str>,
    /// As the property's policy wants it.
    pub ip_address: Option<IpAddr>,
    pub country: Option<&'a str>,
    pub language: Option<&'a str>,
    pub screen: Option<&'a str>,
    pub duration_ms: Option<i32>,
    /// Hundredths of a percent.
    pub scroll_bp: Option<i16>,
    pub page_type: Option<&'a str>,
    pub author: Option<&'a str>,
    pub categories: Vec<&'a str>,
    pub tags: Vec<&'a str>,
    /// A JSON object.
    pub properties: Option<&'a str>,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Another version of this program wrote it.
    #[error("format version {0} is not known to this version of the server")]
    Version(u8),
    /// It is not what its version says.
    #[error("the record cannot be read: {0}")]
    Malformed(postcard::Error),
}

/// Identity of an event: two with the same one are the same event.
pub type Identity = (i32, i64, Uuid);

impl<'a> LoggedEvent<'a> {
    /// The event of a record.
    pub fn decode(record: &'a [u8]) -> Result<Self, RecordFault> {
        match record.split_first() {
            Some((&VERSION, event)) => postcard::from_bytes(event).map_err(RecordFault::Malformed),
            Some((other, _)) => Err(RecordFault::Version(*other)),
            None => Err(RecordFault::Malformed(
                postcard::Error::DeserializeUnexpectedEnd,
            )),
        }
    }

    /// Its id.
    pub fn event_id(&self) -> Uuid {
        Uuid::from_bytes(self.event_id)
    }

    /// Its identity.
    pub fn identity(&self) -> Identity {
        (self.property_no, self.time_us, self.event_id())
    }

    fn new(record: &'a Record<'_>, received_us: i64) -> Self {
        let page = record.page.as_ref();
        Self {
            received_us,
            property_no: record.property_no,
            event_id: *record.event_id.as_bytes(),
            time_us: record.time_us,
            name: record.name,
            is_page_view: record.is_page_view,
            is_bot: record.is_bot(),
            visitor_id: record.visitor_id,
            user_id: record.user_id,
            session_id: record.session_id,
            host: page.and_then(|page| page.host.as_deref()),
            path: page.map(|page| page.path.as_str()),
            query: page.and_then(|page| page.query.as_deref()),
            title: record.title,
            referrer: record
                .referrer
                .as_ref()
                .map(|referrer| (&*referrer.domain, &*referrer.url)),
            utm: record.utm.as_ref().map(|utm| {
                [
                    &utm.source,
                    &utm.medium,
                    &utm.campaign,
                    &utm.term,
                    &utm.content,
                ]
                .map(Option::as_deref)
            }),
            channel: record.channel.number(),
            user_agent: record.user_agent.as_ref().map(|(header, _)| *header),
            ip_address: record.ip_address,
            country: record.country.as_ref().map(|country| country.as_str()),
            language: record.language.as_deref(),
            screen: record.screen.as_deref(),
            duration_ms: record.duration_ms,
            scroll_bp: record.scroll_bp,
            page_type: record.page_type,
            author: record.author,
            categories: record.categories.clone(),
            tags: record.tags.clone(),
            properties: record.properties.as_deref(),
        }
    }
}

/// Records of events, in one allocation.
#[derive(Debug, Default)]
pub struct Records {
    encoded: Vec<u8>,
    ends: Vec<usize>,
}

impl Records {
    /// With room for so many events of usual size.
    pub fn with_capacity(events: usize) -> Self {
        const USUAL_BYTES: usize = 384;
        Self {
            encoded: Vec::with_capacity(events * USUAL_BYTES),
            ends: Vec::with_capacity(events),
        }
    }

    /// Adds the record of an event that was received at `received_us`, in microseconds since 1970.
    pub fn push(&mut self, event: &Record<'_>, received_us: i64) {
        let mut out = std::mem::take(&mut self.encoded);
        out.push(VERSION);
        self.encoded = postcard::to_extend(&LoggedEvent::new(event, received_us), out)
            .unwrap_or_else(|error| unreachable!("a vector takes any event: {error}"));
        self.ends.push(self.encoded.len());
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The records, in order.
    pub fn finish(self) -> Vec<Bytes> {
        let mut encoded = Bytes::from(self.encoded);
        let mut begin = 0;
        self.ends
            .into_iter()
            .map(|end| encoded.split_to(end - std::mem::replace(&mut begin, end)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::property::{Property, Retention};
    use crate::enrich::Enricher;
    use crate::enrich::ip::IpPolicy;
    use crate::pb;
    use crate::validate::event::validate;

    fn record(event: &mut pb::Event) -> Record<'_> {
        let property = Property {
            property_no: 7,
            name: "shop".to_owned(),
            time_zone: jiff::tz::TimeZone::UTC,
            retention: Retention::Forever,
            ip_policy: IpPolicy::Truncate,
        };
        let event =
            validate(event.into(), &property, 1_800_000_000_000_000).expect("a valid event");
        Enricher::new(16, None).enrich(event, &property)
    }

    fn encode(record: &Record<'_>) -> Bytes {
        let mut records = Records::with_capacity(1);
        records.push(record, 5);
        records.finish().remove(0)
    }

    #[test]
    fn everything_of_an_event_comes_back() {
        let mut event = pb::Event {
            event_id: "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".to_owned(),
            name: "page_view".to_owned(),
            visitor_id: "ada".to_owned(),
            user_id: "u1".to_owned(),
            session_id: "s1".to_owned(),
            page: "https://example.com/a?b=c&utm_source=news&utm_content=top".to_owned(),
            title: "Ä title".to_owned(),
            referrer: "https://www.google.com/search".to_owned(),
            user_agent: "Googlebot/2.1 (+http://www.google.com/bot.html)".to_owned(),
            ip_address: "192.0.2.77".to_owned(),
            language: "de-AT".to_owned(),
            screen: "1920x1080".to_owned(),
            duration: Some(prost_types::Duration {
                seconds: 3,
                nanos: 0,
            }),
            scroll_depth: Some(42.5),
            page_type: "article".to_owned(),
            author: "bob".to_owned(),
            categories: vec!["a".to_owned(), "b".to_owned()],
            tags: vec!["t".to_owned()],
            ..pb::Event::default()
        };
        let record = record(&mut event);
        let bytes = encode(&record);
        let event = LoggedEvent::decode(&bytes).expect("a record");
        assert_eq!(event, LoggedEvent::new(&record, 5));
        assert_eq!(
            event.identity(),
            (7, record.time_us, record.event_id),
            "{event:?}"
        );
        assert!(event.is_bot);
        assert_eq!(event.ip_address, "192.0.2.0".parse().ok());
        assert_eq!(event.utm.expect("tags")[4], Some("top"));
    }

    #[test]
    fn a_record_of_another_version_is_named_as_such() {
        assert_eq!(
            LoggedEvent::decode(&[9, 1, 2]),
            Err(RecordFault::Version(9))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let versioned: Vec<u8> = [VERSION].into_iter().chain(bytes).collect();
            let _any = LoggedEvent::decode(&versioned);
        }

        #[test]
        fn a_record_that_was_cut_is_refused(cut in 1_usize..60) {
            let mut event = pb::Event {
                name: "signup".to_owned(),
                visitor_id: "ada".to_owned(),
                ..pb::Event::default()
            };
            let bytes = encode(&record(&mut event));
            let kept = bytes.len().saturating_sub(cut);
            prop_assert!(LoggedEvent::decode(&bytes[..kept]).is_err());
        }
    }
}
