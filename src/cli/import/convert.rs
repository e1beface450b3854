//! From a line to an event, or to the reason why it is none.

use std::net::IpAddr;

use crate::cli::import::access_log::{self, AccessLine, Layout};
use crate::cli::import::filter::{Extensions, Statuses};
use crate::cli::import::ids::{self, EventIds};
use crate::cli::import::jsonl;
use crate::pb::Event;

/// What the server takes; a log has longer ones. See event.proto.
const MAX_PAGE_BYTES: usize = 2048;
const MAX_REFERRER_BYTES: usize = 2048;
const MAX_USER_AGENT_BYTES: usize = 1024;
const MAX_USER_ID_BYTES: usize = 128;

/// Names that the server refuses as a user's, because they are everybody's.
const PLACEHOLDERS: [&str; 7] = [
    "null",
    "undefined",
    "anonymous",
    "none",
    "unknown",
    "0",
    "00000000-0000-0000-0000-000000000000",
];

/// Why a line is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// Nothing but white space.
    Blank,
    /// Not of the format.
    Malformed,
    /// JSON has to be UTF-8; access logs are read all the same.
    NotUtf8,
    /// Longer than the longest line.
    LineTooLong,
    /// A request that names no page: `OPTIONS *`, a broken handshake, nothing at all.
    NoPage,
    /// Its page is longer than the server takes.
    PageTooLong,
    /// Not one of the wanted methods.
    Method,
    /// Not one of the wanted statuses.
    Status,
    /// A file that pages load.
    Static,
}

impl SkipReason {
    /// All of them, in the order of the summary.
    pub const ALL: [Self; 9] = [
        Self::Method,
        Self::Status,
        Self::Static,
        Self::NoPage,
        Self::PageTooLong,
        Self::LineTooLong,
        Self::NotUtf8,
        Self::Malformed,
        Self::Blank,
    ];

    /// In words, for the summary.
    pub fn label(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Malformed => "malformed",
            Self::NotUtf8 => "not UTF-8",
            Self::LineTooLong => "line too long",
            Self::NoPage => "no page requested",
            Self::PageTooLong => "page too long",
            Self::Method => "other method",
            Self::Status => "other status",
            Self::Static => "static file",
        }
    }

    /// Whether the line deserves to be shown as an example: it may be a fault of the file.
    pub fn is_fault(self) -> bool {
        match self {
            Self::Malformed | Self::NotUtf8 | Self::LineTooLong | Self::PageTooLong => true,
            Self::Blank | Self::NoPage | Self::Method | Self::Status | Self::Static => false,
        }
    }
}

/// A line that is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Why.
    pub reason: SkipReason,
    /// More about it; may be empty.
    pub detail: String,
}

impl From<SkipReason> for Skip {
    fn from(reason: SkipReason) -> Self {
        Self {
            reason,
            detail: String::new(),
        }
    }
}

/// How lines become events.
#[derive(Debug, Clone)]
pub enum Converter {
    /// Lines of an access log.
    AccessLog {
        /// Its fields.
        layout: Layout,
        /// Which requests count, and what becomes of them.
        rules: Box<AccessRules>,
    },
    /// Lines that hold an event each.
    JsonLines,
}

/// Which requests of an access log are events, and what the log does not say about them.
#[derive(Debug, Clone)]
pub struct AccessRules {
    /// Methods in upper case.
    pub methods: Vec<String>,
    /// Statuses.
    pub statuses: Statuses,
    /// Files to leave out; `None` keeps them.
    pub static_files: Option<Extensions>,
    /// Scheme and host of the site, `https://example.com`, put before paths.
    pub origin: Option<String>,
    /// Name of the events.
    pub name: String,
    /// Mixed into visitor ids.
    pub visitor_salt: String,
    /// Whether names from HTTP authentication become user ids.
    pub keep_users: bool,
}

impl Converter {
    /// Converts a line.
    ///
    /// # Errors
    /// The reason why it is not an event to send.
    pub fn convert(&self, line: &[u8], ids: &mut EventIds) -> Result<Event, Skip> {
        if line.trim_ascii().is_empty() {
            return Err(SkipReason::Blank.into());
        }
        match self {
            Self::AccessLog { layout, rules } => {
                let parsed = access_log::parse(line, *layout).map_err(|error| Skip {
                    reason: SkipReason::Malformed,
                    detail: error.to_owned(),
                })?;
                rules.convert(line, &parsed, ids)
            }
            Self::JsonLines => convert_json(line, ids),
        }
    }
}

fn convert_json(line: &[u8], ids: &mut EventIds) -> Result<Event, Skip> {
    let text = std::str::from_utf8(line).map_err(|_| SkipReason::NotUtf8)?;
    let mut event = jsonl::parse(text).map_err(|detail| Skip {
        reason: SkipReason::Malformed,
        detail,
    })?;
    let time = event.time.as_ref().and_then(jsonl::timestamp);
    if let (true, Some(time)) = (event.event_id.trim().is_empty(), time) {
        event.event_id = ids.next(line, time).to_string();
    }
    Ok(event)
}

impl AccessRules {
    fn convert(
        &self,
        line: &[u8],
        parsed: &AccessLine<'_>,
        ids: &mut EventIds,
    ) -> Result<Event, Skip> {
        let Some((method, target)) = access_log::split_request(&parsed.request) else {
            return Err(SkipReason::NoPage.into());
        };
        if !self
            .methods
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(method))
        {
            return Err(SkipReason::Method.into());
        }
        if !self.statuses.contains(parsed.status) {
            return Err(SkipReason::Status.into());
        }
        let is_static = |extensions: &Extensions| extensions.match_target(target);
        if self.static_files.as_ref().is_some_and(is_static) {
            return Err(SkipReason::Static.into());
        }
        let page = self.page(target).ok_or(SkipReason::NoPage)?;
        if page.len() > MAX_PAGE_BYTES {
            return Err(Skip {
                reason: SkipReason::PageTooLong,
                detail: format!("{} bytes, at most {MAX_PAGE_BYTES}", page.len()),
            });
        }
        // The same visitor in dual-stack logs, however the server writes the address.
        let ip = parsed
            .address
            .parse::<IpAddr>()
            .ok()
            .map(|ip| ip.to_canonical().to_string());
        let address = ip.as_deref().unwrap_or(&parsed.address);
        let user_agent = parsed.user_agent.as_deref().unwrap_or_default();
        let user = parsed
            .user
            .as_deref()
            .filter(|_| self.keep_users)
            .unwrap_or_default();
        Ok(Event {
            event_id: ids.next(line, parsed.time).to_string(),
            time: Some(prost_types::Timestamp {
                seconds: parsed.time.as_second(),
                nanos: 0,
            }),
            name: self.name.clone(),
            visitor_id: ids::visitor_id(&self.visitor_salt, address, user_agent),
            user_id: user_id(user),
            page,
            referrer: referrer(parsed.referrer.as_deref().unwrap_or_default()),
            user_agent: shorten(&clean(user_agent), MAX_USER_AGENT_BYTES).to_owned(),
            ip_address: ip.unwrap_or_default(),
            ..Event::default()
        })
    }

    /// The page as URL if the site's host is known, so that the server tells its own pages among the
    /// referrers; requests through a proxy name the host themselves.
    fn page(&self, target: &str) -> Option<String> {
        if target.starts_with('/') {
            let target = clean(target);
            return Some(match &self.origin {
                Some(origin) => format!("{origin}{target}"),
                // By itself `//a/b` would be the page /b of the host a.
                None => format!("/{}", target.trim_start_matches(['/', '\\'])),
            });
        }
        let scheme = target.split_once("://")?.0;
        let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        is_http.then(|| clean(target))
    }
}

/// The server refuses NUL; other control characters mean nothing here either.
fn clean(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "\u{fffd}")
}

fn user_id(user: &str) -> String {
    let user = clean(user);
    let is_placeholder = PLACEHOLDERS
        .iter()
        .any(|name| user.eq_ignore_ascii_case(name));
    if is_placeholder || user.len() > MAX_USER_ID_BYTES {
        return String::new();
    }
    user
}

/// Query and fragment are not stored anyway, so a long one need not cost the event.
fn referrer(text: &str) -> String {
    let text = clean(text);
    if text.len() <= MAX_REFERRER_BYTES {
        return text;
    }
    let without_query = text.split(['?', '#']).next().unwrap_or_default();
    if without_query.len() > MAX_REFERRER_BYTES {
        return String::new();
    }
    without_query.to_owned()
}

fn shorten(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
