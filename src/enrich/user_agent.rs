//! Browser, operating system and kind of device of a User-Agent header.
//!
//! ```text
//! header ─▶ cache ──hit──────────────────────────────────────────────▶ Arc<Agent>
//!             └─miss─▶ bots (table, then words) ─▶ woothee ─▶ corrections ─┘
//! ```
//!
//! woothee knows agents up to about 2020. What it gets wrong or does not know is corrected by
//! tables: `bots` for automated agents, `rules` for browsers, systems and devices; `parse` puts
//! them together.

mod bots;
mod parse;
mod rules;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use quick_cache::sync::Cache;

/// Longer headers are cut here, in bytes, before anything looks at them: it bounds a cache key and
/// the time of a parse. Real agents stay below 600; the longest come from in-app browsers.
pub const AGENT_BYTES_MAX: usize = 1024;

/// What a User-Agent header says about its sender. Everything in it can be made up by the sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Agent {
    /// `Chrome`, `Safari`, `Samsung Internet`, `Instagram` (in-app)…; for a bot its own name.
    /// `None` where unknown. Brave, Arc and others that send Chrome's agent unchanged are `Chrome`.
    pub browser: Option<Cow<'static, str>>,
    /// `major` or `major.minor`, a minor of zero left out: `126`, `17.4`. Finer versions would make
    /// thousands of values nobody groups by.
    pub browser_version: Option<Box<str>>,
    /// `Windows`, `macOS`, `iOS`, `iPadOS`, `Android`, `Linux`, `ChromeOS`…; `None` where unknown
    /// and for bots.
    pub os: Option<Cow<'static, str>>,
    /// As for the browser. `None` where browsers freeze it: macOS since 10.15, Android in reduced
    /// agents (`Android 10; K`), ChromeOS. Windows `10` is 10 or 11, which agents cannot tell
    /// apart.
    pub os_version: Option<Box<str>>,
    pub device: Device,
    /// Crawlers, monitors, link previews, feed readers, headless browsers, HTTP libraries and
    /// command-line tools. Not the HTTP stacks of mobile apps (okhttp, CFNetwork, Dalvik, Dart): an
    /// app's own events carry these. A missing agent is no bot either: back-ends often do not pass
    /// one on.
    pub is_bot: bool,
}

impl Agent {
    fn unknown() -> Self {
        Self {
            browser: None,
            browser_version: None,
            os: None,
            os_version: None,
            device: Device::Unknown,
            is_bot: false,
        }
    }

    fn bot(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            browser: Some(name.into()),
            device: Device::Bot,
            is_bot: true,
            ..Self::unknown()
        }
    }
}

/// What kind of thing the agent runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Device {
    /// Computers. iPads that ask for desktop pages send a Mac's agent and end up here.
    Desktop,
    /// Phones, watches and hand-held players.
    Mobile,
    /// Tablets and e-readers.
    Tablet,
    /// Television sets and the boxes attached to them.
    Tv,
    /// Game consoles, hand-held ones too.
    Console,
    /// No device of a person: see [`Agent::is_bot`].
    Bot,
    Unknown,
}

impl Device {
    pub const ALL: [Self; 7] = [
        Self::Desktop,
        Self::Mobile,
        Self::Tablet,
        Self::Tv,
        Self::Console,
        Self::Bot,
        Self::Unknown,
    ];

    /// The name in the database and on the wire; stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Tv => "tv",
            Self::Console => "console",
            Self::Bot => "bot",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No kind of device has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not one of desktop, mobile, tablet, tv, console, bot, unknown")]
pub struct UnknownDevice;

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|device| device.as_str() == name)
            .ok_or(UnknownDevice)
    }
}

/// Parses headers and remembers the answers. A hit takes one read lock of one shard and no
/// allocation; a miss takes some ten microseconds. Two threads that miss the same header at once
/// both parse it.
pub struct Agents {
    cache: Cache<Box<str>, Arc<Agent>>,
    unknown: Arc<Agent>,
}

impl Agents {
    /// Keeps about `entries_max` answers and drops the least used (S3-FIFO). An entry takes about
    /// 300 bytes, and never more than [`AGENT_BYTES_MAX`] and 300: 10,000 entries are 3 MB, 13 MB
    /// under attack.
    pub fn new(entries_max: usize) -> Self {
        Self {
            cache: Cache::new(entries_max),
            unknown: Arc::new(Agent::unknown()),
        }
    }

    /// Never fails: a header that says nothing gives an agent of which nothing is known.
    pub fn get(&self, header: &str) -> Arc<Agent> {
        let header = header.trim_ascii();
        let header = &header[..header.floor_char_boundary(AGENT_BYTES_MAX)];
        // "-" is how access logs write a missing header.
        if header.is_empty() || header == "-" {
            return Arc::clone(&self.unknown);
        }
        if let Some(agent) = self.cache.get(header) {
            return agent;
        }
        let agent = Arc::new(parse::parse(header));
        self.cache.insert(header.into(), Arc::clone(&agent));
        agent
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents")
            .field("entries", &self.cache.len())
            .finish()
    }
}
