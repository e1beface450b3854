//! A day of a web shop's traffic, or many: made up, but shaped like the real thing.
//!
//! ```text
//! seed ─ visitors (the same every day) ─ visits of a day ─ sessions ─ events, merged by time
//! ```
//!
//! People come back over the days, mostly look at a few popular pages, at the hours of their own time
//! zone, from search engines, campaigns and newsletters, with today's browsers; crawlers come too. The
//! same seed and options give the same events to the byte, ids included: all randomness comes from
//! [`Random`], and nothing is computed with functions that round differently between machines.
//!
//! Memory grows with the visits of one day (some 24 bytes each), not with the events.

mod agents;
mod pages;
mod places;
pub mod random;
mod session;
mod sources;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::iter::Peekable;
use std::vec;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use uuid::Uuid;

use self::agents::{Agent, CRAWLERS, Device, PEOPLE};
use self::pages::Site;
use self::places::{PLACES, Place};
use self::random::{Random, Weighted};
use crate::pb;

const DAY_MS: i64 = 86_400_000;
/// People there are for each that comes on an average day.
const PEOPLE_PER_DAILY_VISITOR: u32 = 3;
/// A fifth of the people are regulars; the rest come so often that a third of all come on a day.
const REGULAR_SHARE: f64 = 0.2;
const REGULAR_COMES: f64 = 0.6;
const OTHER_COMES: f64 =
    (1.0 / PEOPLE_PER_DAILY_VISITOR as f64 - REGULAR_SHARE * REGULAR_COMES) / (1.0 - REGULAR_SHARE);
/// People who are signed in whenever they come.
const SIGNED_IN_SHARE: f64 = 0.12;
/// Of each visitor's day: comes a second time, and a third, and so on.
const COMES_AGAIN: f64 = 0.18;
const MAX_VISITS_A_DAY: u64 = 4;

/// What is random, each with a stream of its own, so that changing one leaves the others as they are.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Visitor = 1,
    Visits = 2,
    Session = 3,
}

/// What traffic to make.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficOptions {
    /// The first day, in UTC.
    pub day: Date,
    /// How many days.
    pub days: u32,
    /// People on an average day. Three times as many exist.
    pub visitors: u32,
    /// Crawlers on every day.
    pub crawlers: u32,
    /// Pages of the site, at least those of the built-in shop.
    pub pages: usize,
    /// Host of the site.
    pub host: String,
}

impl TrafficOptions {
    /// One day of 2,000 people and 40 crawlers on a site of 150 pages: about 14,000 events.
    pub fn of_day(day: Date) -> Self {
        Self {
            day,
            days: 1,
            visitors: 2_000,
            crawlers: 40,
            pages: 150,
            host: "www.nordlicht.example".to_owned(),
        }
    }
}

/// A generator of events.
#[derive(Debug, Clone)]
pub struct Traffic {
    seed: u64,
    options: TrafficOptions,
    site: Site,
    people: Weighted,
    crawlers: Weighted,
    places: Weighted,
}

/// Who comes: the same on every day.
#[derive(Debug, Clone)]
struct Visitor {
    id: String,
    user_id: String,
    agent: &'static Agent,
    place: &'static Place,
    language: &'static str,
    screen: String,
    ip_address: String,
    is_regular: bool,
}

/// The start of a visit. Ordered by time, ties by number, so that the order is always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    start_ms: i64,
    visitor_no: u32,
    visit_no: u32,
}

impl Traffic {
    /// Traffic of this seed.
    pub fn new(seed: u64, options: TrafficOptions) -> Self {
        Self {
            seed,
            site: Site::new(options.pages, &options.host),
            options,
            people: Weighted::new(PEOPLE.iter().map(|agent| agent.weight)),
            crawlers: Weighted::new(CRAWLERS.iter().map(|agent| agent.weight)),
            places: Weighted::new(PLACES.iter().map(|place| place.weight)),
        }
    }

    /// The events in the order of their times, from midnight of the first day to that after the last.
    pub fn events(&self) -> impl Iterator<Item = pb::Event> + Send + use<> {
        Events {
            // A copy of its own, so that the iterator can go to another thread.
            traffic: self.clone(),
            days_begun: 0,
            visits: Vec::new().into_iter().peekable(),
            pending: BinaryHeap::new(),
            sequence: 0,
        }
    }

    fn random(&self, purpose: Purpose, parts: [u64; 3]) -> Random {
        Random::new(&[self.seed, purpose as u64, parts[0], parts[1], parts[2]])
    }

    /// Midnight of a day, in milliseconds of Unix time.
    fn day_start_ms(&self, day: u32) -> i64 {
        let date = self.options.day.saturating_add(i64::from(day).days());
        let midnight = date
            .to_zoned(TimeZone::UTC)
            .map(|midnight| midnight.timestamp());
        midnight.map_or(0, |midnight| midnight.as_millisecond())
    }

    fn population(&self) -> u32 {
        self.options
            .visitors
            .saturating_mul(PEOPLE_PER_DAILY_VISITOR)
    }

    /// Visitors with a number from the population on are crawlers.
    fn is_crawler(&self, visitor_no: u32) -> bool {
        visitor_no >= self.population()
    }

    fn visitor(&self, visitor_no: u32) -> Visitor {
        let mut random = self.random(Purpose::Visitor, [u64::from(visitor_no), 0, 0]);
        let id = random.uuid_v4().to_string();
        let is_regular = random.chance(REGULAR_SHARE);
        if self.is_crawler(visitor_no) {
            let agent = &CRAWLERS[self.crawlers.sample(&mut random)];
            return Visitor {
                id,
                user_id: String::new(),
                agent,
                place: &PLACES[0],
                language: "",
                screen: String::new(),
                ip_address: places::data_centre_address(&mut random),
                is_regular,
            };
        }
        let place = &PLACES[self.places.sample(&mut random)];
        let agent = &PEOPLE[self.people.sample(&mut random)];
        let is_signed_in = random.chance(SIGNED_IN_SHARE);
        Visitor {
            id,
            user_id: if is_signed_in {
                session::user_id(visitor_no)
            } else {
                String::new()
            },
            agent,
            place,
            language: place.language(&mut random),
            screen: agent.device.screen(&mut random).to_owned(),
            ip_address: place.address(&mut random),
            is_regular,
        }
    }

    /// All visits that begin on a day, by time.
    fn visits(&self, day: u32) -> Vec<Visit> {
        let day_start_ms = self.day_start_ms(day);
        let mut visits = Vec::new();
        for visitor_no in 0..self.population().saturating_add(self.options.crawlers) {
            let is_crawler = self.is_crawler(visitor_no);
            let (is_regular, utc_offset_h) = match is_crawler {
                true => (true, 0),
                false => {
                    let visitor = self.visitor(visitor_no);
                    (visitor.is_regular, visitor.place.utc_offset_h)
                }
            };
            let mut random =
                self.random(Purpose::Visits, [u64::from(visitor_no), u64::from(day), 0]);
            let comes = if is_regular {
                REGULAR_COMES
            } else {
                OTHER_COMES
            };
            if !is_crawler && !random.chance(comes) {
                continue;
            }
            let mut visit_no = 0;
            loop {
                let local_ms = match is_crawler {
                    true => random.below(DAY_MS as u64) as i64,
                    false => places::local_time_ms(&mut random),
                };
                let utc_ms = (local_ms - utc_offset_h * 3_600_000).rem_euclid(DAY_MS);
                visits.push(Visit {
                    start_ms: day_start_ms + utc_ms,
                    visitor_no,
                    visit_no,
                });
                visit_no += 1;
                if u64::from(visit_no) >= MAX_VISITS_A_DAY || !random.chance(COMES_AGAIN) {
                    break;
                }
            }
        }
        visits.sort_unstable();
        visits
    }

    fn session_events(&self, visit: Visit) -> Vec<(i64, pb::Event)> {
        let parts = [
            u64::from(visit.visitor_no),
            visit.start_ms as u64,
            u64::from(visit.visit_no),
        ];
        let random = self.random(Purpose::Session, parts);
        let visitor = self.visitor(visit.visitor_no);
        session::events(&self.site, visit, &visitor, random)
    }
}

/// Merges the sessions under way.
struct Events {
    traffic: Traffic,
    days_begun: u32,
    visits: Peekable<vec::IntoIter<Visit>>,
    pending: BinaryHeap<Reverse<Pending>>,
    sequence: u64,
}

/// An event of a session under way.
struct Pending {
    time_ms: i64,
    sequence: u64,
    event: Box<pb::Event>,
}

impl Pending {
    fn key(&self) -> (i64, u64) {
        (self.time_ms, self.sequence)
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Pending {}

impl Events {
    /// The start of the next visit, of the next day if need be.
    fn next_start_ms(&mut self) -> Option<i64> {
        while self.visits.peek().is_none() && self.days_begun < self.traffic.options.days {
            self.visits = self.traffic.visits(self.days_begun).into_iter().peekable();
            self.days_begun += 1;
        }
        self.visits.peek().map(|visit| visit.start_ms)
    }

    fn begin_next_visit(&mut self) {
        let Some(visit) = self.visits.next() else {
            return;
        };
        for (time_ms, event) in self.traffic.session_events(visit) {
            self.pending.push(Reverse(Pending {
                time_ms,
                sequence: self.sequence,
                event: Box::new(event),
            }));
            self.sequence += 1;
        }
    }
}

impl Iterator for Events {
    type Item = pb::Event;

    fn next(&mut self) -> Option<pb::Event> {
        let end_ms = self.traffic.day_start_ms(self.traffic.options.days);
        loop {
            let pending_ms = self.pending.peek().map(|Reverse(pending)| pending.time_ms);
            match (pending_ms, self.next_start_ms()) {
                (None, None) => return None,
                (Some(time_ms), start_ms) if start_ms.is_none_or(|start| time_ms < start) => {
                    let Reverse(pending) = self.pending.pop()?;
                    // What a session does after the last midnight belongs to a day not asked for.
                    return (time_ms < end_ms).then_some(*pending.event);
                }
                _ => self.begin_next_visit(),
            }
        }
    }
}

/// A UUIDv7 of the time, its other bits from the generator.
fn event_id(random: &mut Random, time_ms: i64) -> Uuid {
    let mut bits = [0; 10];
    bits[..8].copy_from_slice(&random.next_u64().to_le_bytes());
    bits[8..].copy_from_slice(&random.next_u64().to_le_bytes()[..2]);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(time_ms).unwrap_or(0), &bits)
        .into_uuid()
}

impl Device {
    fn screen(self, random: &mut Random) -> &'static str {
        random.pick(self.screens())
    }
}

#[cfg(test)]
#[path = "traffic/tests.rs"]
mod tests;
