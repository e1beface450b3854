//! Made-up events for questions: a fixed shape at any size.
//!
//! ```text
//! seed ─ sessions, in the order of their starts ─ up to ten events each ─ merged by time
//! ```
//!
//! One event in twenty is another visitor's first, so a visitor has as many events whatever the size; pages,
//! agents, places and sources stay the same. The same seed, size and first day give the same events,
//! ids included. Memory grows with the sessions that are under way, of which there are few.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tallymark::cli::traffic::random::{Random, Weighted};
use uuid::Uuid;

use super::dictionaries::{AGENTS, Agent, CRAWLERS, NAMES, PLACES, PLANS, Place, SOURCES, Source};

/// Days of events.
pub const DAYS: u32 = 30;
/// Pages of the site.
pub const PAGES: usize = 200;
/// Events for each visitor there is.
pub const EVENTS_PER_VISITOR: u64 = 20;
/// Crawlers are no people: their events do not count unless asked for.
const CRAWLERS_COUNT: u64 = 100;
const CRAWLER_SHARE: f64 = 0.01;
/// Every tenth visitor is a regular: three in ten sessions that are not a visitor's first are theirs.
const REGULARS_STEP: u64 = 10;
const REGULARS_SHARE: f64 = 0.3;
/// Events of ten sessions, in an order that is drawn.
const SESSION_EVENTS: [u64; 10] = [1, 2, 3, 4, 5, 5, 6, 7, 8, 9];
const EVENTS_PER_BLOCK: u64 = 50;
const MAX_GAP_US: u64 = 75_000_000;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// No session starts later, so that none goes past midnight.
const LAST_START_US: i64 = DAY_US - 12 * 60_000_000;
/// Sessions by hour of the day.
const HOURS: [f64; 24] = [
    2.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 7.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 7.0, 8.0,
    9.0, 9.0, 8.0, 6.0, 4.0,
];

/// Which events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many.
    pub events: u64,
    /// Of the random numbers.
    pub seed: u64,
    /// First of the [`DAYS`], in UTC.
    pub first_day: Date,
}

/// An event, before it is written down in one form or another.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// A UUIDv7.
    pub id: Uuid,
    /// In microseconds of Unix time.
    pub time_us: i64,
    /// What happened.
    pub name: &'static str,
    /// Number of the visitor, from 0.
    pub visitor: u64,
    /// Number of the page, from 0, the most popular first.
    pub page: usize,
    /// The visitor's browser.
    pub agent: &'static Agent,
    /// Where the visitor is.
    pub place: &'static Place,
    /// Where the session came from; later events of a session come from nowhere.
    pub source: &'static Source,
    /// In milliseconds.
    pub duration_ms: Option<u32>,
    /// The property `plan`.
    pub plan: Option<&'static str>,
    /// The property `price`.
    pub price: Option<u32>,
}

impl Shape {
    /// How many visitors there are, crawlers aside.
    pub fn visitors(&self) -> u64 {
        (self.events / EVENTS_PER_VISITOR).max(REGULARS_STEP)
    }

    /// The events, by time.
    pub fn events(self) -> impl Iterator<Item = Event> + Send {
        Events::new(self).take(usize::try_from(self.events).unwrap_or(usize::MAX))
    }

    fn random(&self, purpose: u64, number: u64) -> Random {
        Random::new(&[self.seed, purpose, number])
    }
}

struct Events {
    shape: Shape,
    pages: Weighted,
    agents: Weighted,
    places: Weighted,
    sources: Weighted,
    hours: Vec<f64>,
    first_us: i64,
    /// Sessions there are.
    sessions: u64,
    /// The session that begins next, and when.
    next: Option<(u64, i64)>,
    /// Sessions under way, by the time of their next event.
    open: BinaryHeap<Reverse<(i64, u64)>>,
    under_way: HashMap<u64, Session>,
}

struct Session {
    random: Random,
    visitor: u64,
    agent: &'static Agent,
    place: &'static Place,
    source: &'static Source,
    left: u64,
}

impl Events {
    fn new(shape: Shape) -> Self {
        let midnight = shape.first_day.to_zoned(TimeZone::UTC);
        let first_us = midnight.map_or(0, |midnight| midnight.timestamp().as_microsecond());
        let total: f64 = HOURS.iter().sum();
        let mut passed = 0.0;
        let hours = std::iter::once(0.0).chain(HOURS.iter().map(|weight| {
            passed += weight / total;
            passed
        }));
        let mut events = Self {
            pages: Weighted::zipf(PAGES, 2.0),
            agents: Weighted::new(AGENTS.iter().map(|agent| agent.weight)),
            places: Weighted::new(PLACES.iter().map(|place| place.weight)),
            sources: Weighted::new(SOURCES.iter().map(|source| source.weight)),
            hours: hours.collect(),
            first_us,
            sessions: shape.events.div_ceil(EVENTS_PER_BLOCK) * SESSION_EVENTS.len() as u64,
            next: None,
            open: BinaryHeap::new(),
            under_way: HashMap::new(),
            shape,
        };
        events.next = Some((0, events.start_us(0)));
        events
    }

    /// When a session starts: they are spread evenly over the days, and over a day by its hours.
    fn start_us(&self, session: u64) -> i64 {
        let days = u64::from(DAYS);
        let day = session * days / self.sessions;
        let first_of_day = (day * self.sessions).div_ceil(days);
        let of_day = ((day + 1) * self.sessions).div_ceil(days) - first_of_day;
        let share = (session - first_of_day) as f64 / of_day as f64;
        let hour = (self.hours.partition_point(|passed| *passed <= share) - 1).min(HOURS.len() - 1);
        let of_hour = (share - self.hours[hour]) / (self.hours[hour + 1] - self.hours[hour]);
        let of_day_us = ((hour as f64 + of_hour) * HOUR_US as f64) as i64;
        // Squeezed rather than cut, so that the last session is as likely as any.
        let squeezed =
            (i128::from(of_day_us) * i128::from(LAST_START_US) / i128::from(DAY_US)) as i64;
        self.first_us + day as i64 * DAY_US + squeezed
    }

    fn begin(&mut self, session: u64, start_us: i64) {
        let mut random = self.shape.random(1, session);
        let visitor = self.visitor(session, &mut random);
        let is_crawler = visitor >= self.shape.visitors();
        // What a visitor always has.
        let mut of_visitor = self.shape.random(2, visitor);
        let agent = match is_crawler {
            true => of_visitor.pick(&CRAWLERS.each_ref()),
            false => &AGENTS[self.agents.sample(&mut of_visitor)],
        };
        let begun = Session {
            visitor,
            agent,
            place: &PLACES[self.places.sample(&mut of_visitor)],
            source: &SOURCES[self.sources.sample(&mut random)],
            left: self.session_events(session),
            random,
        };
        self.under_way.insert(session, begun);
        self.open.push(Reverse((start_us, session)));
    }

    /// Each visitor has one session of their own; the rest are of those who come back.
    fn visitor(&self, session: u64, random: &mut Random) -> u64 {
        let visitors = self.shape.visitors();
        let first_of = |session: u64| session * visitors / self.sessions;
        if first_of(session + 1) > first_of(session) {
            return first_of(session);
        }
        if random.chance(CRAWLER_SHARE) {
            return visitors + random.below(CRAWLERS_COUNT);
        }
        if random.chance(REGULARS_SHARE) {
            return random.below(visitors / REGULARS_STEP) * REGULARS_STEP;
        }
        random.below(visitors)
    }

    fn session_events(&self, session: u64) -> u64 {
        let mut sizes = SESSION_EVENTS;
        let block = sizes.len() as u64;
        let mut random = self.shape.random(3, session / block);
        for place in (1..sizes.len()).rev() {
            sizes.swap(place, random.below(place as u64 + 1) as usize);
        }
        sizes[(session % block) as usize]
    }

    /// The next event of a session under way.
    fn event(&mut self, session_no: u64, time_us: i64) -> Option<Event> {
        let session = self.under_way.get_mut(&session_no)?;
        let source = std::mem::replace(&mut session.source, &SOURCES[0]);
        let random = &mut session.random;
        let name = match random.below(100) {
            0..70 => NAMES[0],
            70..90 => NAMES[1],
            90..97 => NAMES[2],
            97..99 => NAMES[3],
            _ => NAMES[4],
        };
        let bits =
            (u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())).to_le_bytes();
        let mut id_bits = [0; 10];
        id_bits.copy_from_slice(&bits[..10]);
        let millis = u64::try_from(time_us / 1_000).unwrap_or_default();
        let has_plan = random.chance(0.2);
        let event = Event {
            id: uuid::Builder::from_unix_timestamp_millis(millis, &id_bits).into_uuid(),
            time_us,
            name,
            visitor: session.visitor,
            page: self.pages.sample(random),
            agent: session.agent,
            place: session.place,
            source,
            duration_ms: random
                .chance(0.6)
                .then(|| random.between(200, 120_000) as u32),
            plan: has_plan.then(|| random.pick(&PLANS)),
            price: (has_plan && random.chance(0.5)).then(|| random.between(1, 500) as u32),
        };
        let gap_us = random.between(1_000_000, MAX_GAP_US) as i64;
        session.left -= 1;
        if session.left == 0 {
            self.under_way.remove(&session_no);
        } else {
            self.open.push(Reverse((time_us + gap_us, session_no)));
        }
        Some(event)
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            let open_us = self.open.peek().map(|Reverse((time_us, _))| *time_us);
            match (self.next, open_us) {
                (Some((session, start_us)), open_us)
                    if open_us.is_none_or(|open| start_us <= open) =>
                {
                    self.begin(session, start_us);
                    let following = session + 1;
                    self.next =
                        (following < self.sessions).then(|| (following, self.start_us(following)));
                }
                _ => {
                    let Reverse((time_us, session)) = self.open.pop()?;
                    return self.event(session, time_us);
                }
            }
        }
    }
}

/// Day after the last.
pub fn end_day(first_day: Date) -> Date {
    first_day.saturating_add(i64::from(DAYS).days())
}

/// Path of a page. Popularity falls with the number; what kind of page it is does not depend on it.
pub fn page_path(page: usize) -> String {
    match (page, page % 4) {
        (0, _) => "/".to_owned(),
        (_, 0) => format!("/shop/item-{page}"),
        (_, 2) => format!("/docs/chapter-{page}"),
        _ => format!("/blog/article-{page}"),
    }
}
