//! One visit: which pages, for how long, and what is done there.

use prost_types::value::Kind;
use prost_types::{Struct, Value};

use crate::cli::traffic::agents::Device;
use crate::cli::traffic::pages::{Page, PageType, Site};
use crate::cli::traffic::random::{Random, Weighted, quantile};
use crate::cli::traffic::sources::{REGULARS_SOURCES, SOURCES, Source};
use crate::cli::traffic::{Visit, Visitor, event_id};
use crate::pb;

/// After the first page, and after every further one, this share goes on to another.
const GOES_ON_FIRST: f64 = 0.58;
const GOES_ON: f64 = 0.66;
const MAX_PAGES: usize = 30;
/// Pages whose end is never reported: browsers that are killed, networks that are gone.
const LOST_EXITS: f64 = 0.06;
const ADDS_TO_CART: f64 = 0.11;
/// Who follows a campaign came in order to buy.
const ADDS_TO_CART_FROM_CAMPAIGN: f64 = 0.2;
const BUYS: f64 = 0.38;
const SIGNS_UP: f64 = 0.14;
const SCROLL_PERCENT: [f64; 7] = [4.0, 16.0, 33.0, 52.0, 71.0, 92.0, 100.0];
const SEARCHES: [&str; 8] = [
    "desk lamp",
    "e27",
    "dimmer",
    "tern",
    "outdoor solar",
    "warm white",
    "oak",
    "gift",
];
const CRAWLER_MAX_PAGES: u64 = 40;

/// The name of a person who is signed in.
pub fn user_id(visitor_no: u32) -> String {
    format!("user-{visitor_no:07}")
}

/// The events of a visit with their times in milliseconds of Unix time.
pub fn events(
    site: &Site,
    visit: Visit,
    visitor: &Visitor,
    random: Random,
) -> Vec<(i64, pb::Event)> {
    let mut session = Session {
        site,
        visitor,
        user_id: visitor.user_id.clone(),
        session_id: String::new(),
        random,
        now_ms: visit.start_ms,
        events: Vec::new(),
    };
    session.session_id = session.random.uuid_v4().to_string();
    match visitor.agent.device {
        Device::Crawler => session.crawl(),
        Device::Desktop | Device::Phone | Device::Tablet => session.browse(visit.visitor_no),
    }
    session.events
}

struct Session<'a> {
    site: &'a Site,
    visitor: &'a Visitor,
    user_id: String,
    session_id: String,
    random: Random,
    now_ms: i64,
    events: Vec<(i64, pb::Event)>,
}

impl<'a> Session<'a> {
    fn browse(&mut self, visitor_no: u32) {
        let source = self.source();
        let is_campaign = source.query.contains("utm_campaign");
        let mut page = match source.path {
            "" => self.site.any(&mut self.random),
            path => self.site.at(path),
        };
        let mut url = self.url(page);
        if !source.query.is_empty() {
            url = format!("{url}?{}", source.query);
        }
        let mut referrer = source.referrer.to_owned();
        let mut cart_cents = 0;
        for number in 0..MAX_PAGES {
            let stay_share = self.random.unit();
            let stay_ms = (quantile(page.page_type.stay_s(), stay_share) * 1000.0) as i64;
            self.add(0, "page_view", page, &url, &referrer);
            cart_cents += self.act(page, &url, stay_ms, is_campaign, visitor_no);
            if page.page_type == PageType::Checkout {
                self.buy(page, &url, stay_ms, &mut cart_cents);
            }
            if !self.random.chance(LOST_EXITS) {
                self.leave(page, &url, stay_ms, stay_share);
            }
            let goes_on = if number == 0 { GOES_ON_FIRST } else { GOES_ON };
            if !self.random.chance(goes_on) && cart_cents == 0 {
                return;
            }
            // A click and the next page's loading.
            self.now_ms += stay_ms + self.random.between(150, 1800) as i64;
            referrer = url;
            let to_checkout = cart_cents > 0 && self.random.chance(0.5);
            if cart_cents > 0 && !to_checkout && self.random.chance(0.5) {
                return;
            }
            page = if to_checkout {
                &self.site.checkout
            } else {
                self.next_page(page)
            };
            url = self.url(page);
        }
    }

    fn crawl(&mut self) {
        for _ in 0..self.random.between(2, CRAWLER_MAX_PAGES) {
            let page = self.random.below(self.site.pages.len() as u64) as usize;
            let page = &self.site.pages[page];
            let url = self.url(page);
            self.add(0, "page_view", page, &url, "");
            self.now_ms += self.random.between(900, 30_000) as i64;
        }
    }

    fn source(&mut self) -> &'static Source {
        if self.visitor.is_regular && self.random.chance(0.5) {
            return &SOURCES[self.random.pick(&REGULARS_SOURCES)];
        }
        let weights = Weighted::new(SOURCES.iter().map(|source| source.weight));
        &SOURCES[weights.sample(&mut self.random)]
    }

    fn url(&self, page: &Page) -> String {
        format!("{}{}", self.site.origin, page.path)
    }

    fn next_page(&mut self, page: &Page) -> &'a Page {
        // One reload in a while; otherwise another page.
        for _ in 0..4 {
            let next = self.site.any(&mut self.random);
            if next.path != page.path {
                return next;
            }
        }
        self.site.at("/")
    }

    /// What is done on a page before it is left. Returns what went into the cart, in cents.
    fn act(
        &mut self,
        page: &'a Page,
        url: &str,
        stay_ms: i64,
        is_campaign: bool,
        visitor_no: u32,
    ) -> u64 {
        let adds = if is_campaign {
            ADDS_TO_CART_FROM_CAMPAIGN
        } else {
            ADDS_TO_CART
        };
        match page.page_type {
            PageType::Product if self.random.chance(adds) => {
                let quantity = self.random.pick(&[1, 1, 1, 1, 2, 2, 3]);
                let value_cents = page.price_cents * quantity;
                let sku = page.path.rsplit('/').next().unwrap_or_default();
                let properties = [
                    ("sku", text(sku)),
                    ("quantity", number(quantity as f64)),
                    ("value", euros(value_cents)),
                    ("currency", text("EUR")),
                ];
                self.add_with(stay_ms * 7 / 10, "add_to_cart", page, url, properties);
                value_cents
            }
            PageType::Membership if self.user_id.is_empty() && self.random.chance(SIGNS_UP) => {
                self.user_id = user_id(visitor_no);
                let plan = self
                    .random
                    .pick(&["free", "free", "free", "plus", "plus", "studio"]);
                let seats = if plan == "studio" {
                    self.random.between(2, 12)
                } else {
                    1
                };
                let properties = [
                    ("plan", text(plan)),
                    ("seats", number(seats as f64)),
                    ("newsletter", boolean(self.random.chance(0.6))),
                ];
                self.add_with(stay_ms * 8 / 10, "signup", page, url, properties);
                0
            }
            PageType::Listing if page.path == "/search" => {
                let query = self.random.pick(&SEARCHES);
                let results = self.random.below(40) as f64;
                let properties = [("query", text(query)), ("results", number(results))];
                self.add_with(stay_ms / 3, "search", page, url, properties);
                0
            }
            _ => 0,
        }
    }

    fn buy(&mut self, page: &'a Page, url: &str, stay_ms: i64, cart_cents: &mut u64) {
        let bought_cents = std::mem::take(cart_cents);
        if bought_cents > 0 && self.random.chance(BUYS) {
            let order_no = self.random.below(1_000_000_000);
            let properties = [
                ("order", text(&format!("N{order_no:09}"))),
                ("value", euros(bought_cents)),
                ("currency", text("EUR")),
                (
                    "payment",
                    text(self.random.pick(&["card", "paypal", "invoice", "sepa"])),
                ),
            ];
            self.add_with(stay_ms * 9 / 10, "purchase", page, url, properties);
        }
    }

    fn leave(&mut self, page: &Page, url: &str, stay_ms: i64, stay_share: f64) {
        // Who stays long mostly reads far.
        let scroll_share = 0.5 * stay_share + 0.5 * self.random.unit();
        let scroll_depth = (quantile(&SCROLL_PERCENT, scroll_share) * 100.0).round() / 100.0;
        let event = self.add(stay_ms, "page_exit", page, url, "");
        event.scroll_depth = Some(scroll_depth);
        event.duration = Some(prost_types::Duration {
            seconds: stay_ms / 1000,
            nanos: (stay_ms % 1000) as i32 * 1_000_000,
        });
    }

    fn add_with<const N: usize>(
        &mut self,
        after_ms: i64,
        name: &str,
        page: &Page,
        url: &str,
        properties: [(&str, Value); N],
    ) {
        let fields = properties
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        self.add(after_ms, name, page, url, "").properties = Some(Struct { fields });
    }

    fn add(
        &mut self,
        after_ms: i64,
        name: &str,
        page: &Page,
        url: &str,
        referrer: &str,
    ) -> &mut pb::Event {
        let time_ms = self.now_ms + after_ms;
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let event = pb::Event {
            event_id: event_id(&mut self.random, time_ms).to_string(),
            time: Some(prost_types::Timestamp {
                seconds: time_ms.div_euclid(1000),
                nanos: time_ms.rem_euclid(1000) as i32 * 1_000_000,
            }),
            name: name.to_owned(),
            visitor_id: self.visitor.id.clone(),
            user_id: self.user_id.clone(),
            session_id: self.session_id.clone(),
            page: url.to_owned(),
            title: page.title.clone(),
            referrer: referrer.to_owned(),
            user_agent: self.visitor.agent.user_agent.to_owned(),
            ip_address: self.visitor.ip_address.clone(),
            language: self.visitor.language.to_owned(),
            screen: self.visitor.screen.clone(),
            page_type: page.page_type.name().to_owned(),
            author: page.author.to_owned(),
            categories: texts(page.categories),
            tags: texts(page.tags),
            ..pb::Event::default()
        };
        self.events.push((time_ms, event));
        &mut self.events.last_mut().expect("pushed just now").1
    }
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn text(text: &str) -> Value {
    value(Kind::StringValue(text.to_owned()))
}

fn number(number: f64) -> Value {
    value(Kind::NumberValue(number))
}

fn boolean(boolean: bool) -> Value {
    value(Kind::BoolValue(boolean))
}

fn euros(cents: u64) -> Value {
    number(cents as f64 / 100.0)
}
