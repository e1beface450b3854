//! A record: an event with everything that was read off it, ready to be stored.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::Enricher;
use super::channel::{self, Channel};
use super::geo::CountryCode;
use super::page::Page;
use super::query;
use super::referrer::{self, Referrer};
use super::user_agent::Agent;
use super::utm::{self, Utm};
use crate::domain::event::{Event, PAGE_VIEW};
use crate::domain::property::Property;

/// What is stored of an event. Its address is already as the property's policy wants it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named as the fields of event.proto")]
pub struct Record<'a> {
    pub property_no: i32,
    pub event_id: Uuid,
    /// Microseconds since 1970-01-01 UTC.
    pub time_us: i64,
    pub name: &'a str,
    pub is_page_view: bool,
    pub visitor_id: &'a str,
    pub user_id: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub page: Option<Page>,
    pub title: Option<&'a str>,
    pub referrer: Option<Referrer>,
    /// `None` when the page has no utm_* parameter.
    pub utm: Option<Utm>,
    pub channel: Channel,
    pub user_agent: Option<(&'a str, Arc<Agent>)>,
    pub ip_address: Option<IpAddr>,
    pub country: Option<CountryCode>,
    pub language: Option<Box<str>>,
    pub screen: Option<Box<str>>,
    pub duration_ms: Option<i32>,
    /// Hundredths of a percent.
    pub scroll_bp: Option<i16>,
    pub page_type: Option<&'a str>,
    pub author: Option<&'a str>,
    pub categories: Vec<&'a str>,
    pub tags: Vec<&'a str>,
    /// A JSON object.
    pub properties: Option<Box<str>>,
}

impl Record<'_> {
    /// Whether the event came from a crawler or another program without a person.
    pub fn is_bot(&self) -> bool {
        self.user_agent
            .as_ref()
            .is_some_and(|(_, agent)| agent.is_bot)
    }
}

impl Enricher {
    /// Reads off an event what can be read off it. Nothing here fails.
    pub fn enrich<'a>(&self, event: Event<'a>, property: &Property) -> Record<'a> {
        let (utm, click_id) = match event.page_query {
            Some(query) => (utm::read(query), query::click_id(query)),
            None => (Utm::default(), None),
        };
        let page_host = event.page.as_ref().and_then(|page| page.host.as_deref());
        let referrer = event
            .referrer
            .and_then(|raw| referrer::normalise(raw, page_host));
        let domain = referrer.as_ref().map(|referrer| &*referrer.domain);
        let channel = channel::classify(domain, &utm, click_id);
        let address = event
            .ip_address
            .map(|ip| self.address(ip, property.ip_policy));
        let user_agent = event.user_agent.map(|header| {
            let agent = self.agent(header);
            (header, agent)
        });

        Record {
            property_no: property.property_no,
            event_id: event.event_id,
            time_us: event.time_us,
            is_page_view: event.name == PAGE_VIEW,
            name: event.name,
            visitor_id: event.visitor_id,
            user_id: event.user_id,
            session_id: event.session_id,
            page: event.page,
            title: event.title,
            referrer,
            utm: (utm != Utm::default()).then_some(utm),
            channel,
            user_agent,
            ip_address: address.and_then(|address| address.stored),
            country: address.and_then(|address| address.country),
            language: event.language,
            screen: event.screen,
            duration_ms: event.duration_ms,
            scroll_bp: event.scroll_bp,
            page_type: event.page_type,
            author: event.author,
            categories: event.categories,
            tags: event.tags,
            properties: event.properties,
        }
    }
}
