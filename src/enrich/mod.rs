//! What an event says between the lines: pure steps, no I/O after start.
//!
//! ```text
//!  page ─────┬─▶ page::split ──────────▶ host, path, query
//!            └─▶ utm::read, click_id ──┐
//!  referrer ───▶ referrer::normalise ──┴─▶ channel::classify ─▶ channel
//!  user agent ─▶ user_agent::Agents (cache) ─▶ browser, system, device, bot
//!  address ────▶ geo::Countries ─▶ country
//!            └─▶ ip::IpPolicy ──▶ what is stored
//!  language ───▶ language::primary        screen ─▶ screen::parse
//! ```
//!
//! No step fails an event, except a page that cannot be one. [`Enricher`] holds what the steps
//! share.

pub mod channel;
pub mod geo;
mod host;
pub mod ip;
pub mod language;
pub mod page;
pub mod query;
pub mod record;
pub mod referrer;
pub mod screen;
pub mod user_agent;
pub mod utm;

use std::net::IpAddr;
use std::sync::Arc;

use geo::{Countries, CountryCode};
use ip::IpPolicy;
use user_agent::{Agent, Agents};

/// An address as it may be stored, and where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub country: Option<CountryCode>,
    pub stored: Option<IpAddr>,
}

/// The state that enrichment shares: the cache of agents and the country database. Made once, used
/// from many threads through an `Arc`; no method waits for anything but a cache shard's lock.
#[derive(Debug)]
pub struct Enricher {
    agents: Agents,
    countries: Option<Countries>,
}

impl Enricher {
    /// `agent_entries_max` bounds the cache: see [`Agents::new`]. Without a database no country is
    /// known.
    pub fn new(agent_entries_max: usize, countries: Option<Countries>) -> Self {
        Self {
            agents: Agents::new(agent_entries_max),
            countries,
        }
    }

    /// What a User-Agent header says. A header seen before costs no allocation.
    pub fn agent(&self, header: &str) -> Arc<Agent> {
        self.agents.get(header)
    }

    /// The country is looked up from the whole address, before the policy shortens it.
    pub fn address(&self, address: IpAddr, policy: IpPolicy) -> Address {
        let country = self
            .countries
            .as_ref()
            .and_then(|countries| countries.country(address));
        Address {
            country,
            stored: policy.apply(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let enricher = Enricher::new(16, None);
        let address = enricher.address("192.0.2.7".parse().unwrap(), IpPolicy::Truncate);
        assert_eq!(
            address,
            Address {
                country: None,
                stored: "192.0.2.0".parse().ok()
            }
        );
    }

    #[test]
    fn shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Enricher>();
    }
}
