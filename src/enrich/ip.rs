//! Addresses: read them, and make them less personal before they are stored.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Bits kept of an IPv4 address when truncating: the last octet goes, as in Google Analytics' IP
/// masking (support.google.com/analytics/answer/2763052).
pub const V4_KEPT_BITS: u32 = 24;

/// Bits kept of an IPv6 address: the last 80 bits go, as on the same page of Google's. One end site is
/// given a /48 or less (RFC 6177), so keeping more would single out a household.
pub const V6_KEPT_BITS: u32 = 48;

/// What happens to addresses before storage. The country is looked up from the whole address first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IpPolicy {
    /// Keep [`V4_KEPT_BITS`] or [`V6_KEPT_BITS`]; zero the rest.
    #[default]
    Truncate,
    /// Store none.
    Drop,
    /// Store the whole address.
    Keep,
}

impl IpPolicy {
    /// The number that the database holds for it; stable.
    pub fn number(self) -> i16 {
        match self {
            Self::Truncate => 1,
            Self::Drop => 2,
            Self::Keep => 3,
        }
    }

    /// The policy of that number; truncating is the default.
    pub fn from_number(number: i16) -> Self {
        match number {
            2 => Self::Drop,
            3 => Self::Keep,
            _ => Self::Truncate,
        }
    }

    /// The address to store, if any.
    pub fn apply(self, address: IpAddr) -> Option<IpAddr> {
        match self {
            Self::Truncate => Some(truncate(address)),
            Self::Drop => None,
            Self::Keep => Some(address),
        }
    }

    /// The name in settings and in the database; stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncate => "truncate",
            Self::Drop => "drop",
            Self::Keep => "keep",
        }
    }
}

impl fmt::Display for IpPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No policy has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not one of truncate, drop, keep")]
pub struct UnknownIpPolicy;

impl FromStr for IpPolicy {
    type Err = UnknownIpPolicy;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Truncate, Self::Drop, Self::Keep]
            .into_iter()
            .find(|policy| policy.as_str() == name)
            .ok_or(UnknownIpPolicy)
    }
}

/// Reads one address: IPv4, IPv6, either with a port (`1.2.3.4:80`, `[::1]:80`), or IPv6 in
/// brackets. IPv4 mapped into IPv6 (`::ffff:1.2.3.4`, what a dual-stack socket reports) becomes
/// IPv4, so that one visitor has one address. Zone identifiers (`fe80::1%eth0`) and lists are
/// refused.
pub fn parse(raw: &str) -> Option<IpAddr> {
    let raw = raw.trim();
    let address = raw
        .parse::<IpAddr>()
        .ok()
        .or_else(|| raw.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| {
            raw.strip_prefix('[')?
                .strip_suffix(']')?
                .parse::<Ipv6Addr>()
                .ok()
                .map(IpAddr::V6)
        })?;
    Some(address.to_canonical())
}

fn truncate(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << (32 - V4_KEPT_BITS))).into()
        }
        IpAddr::V6(v6) => {
            Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - V6_KEPT_BITS))).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        for (raw, expected) in [
            ("192.0.2.7", Some("192.0.2.7")),
            (" 192.0.2.7:8080 ", Some("192.0.2.7")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("2001:DB8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[::ffff:192.0.2.7]:443", Some("192.0.2.7")),
            ("fe80::1%eth0", None),
            ("192.0.2.7, 192.0.2.8", None),
            ("192.0.2", None),
            ("192.0.2.256", None),
            ("[192.0.2.7]", None),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(
                parse(raw).map(|ip| ip.to_string()).as_deref(),
                expected,
                "{raw}"
            );
        }
    }

    #[test]
    fn policies() {
        let stored = |policy: IpPolicy, raw: &str| {
            policy.apply(parse(raw).unwrap()).map(|ip| ip.to_string())
        };
        assert_eq!(
            stored(IpPolicy::Truncate, "192.0.2.7").as_deref(),
            Some("192.0.2.0")
        );
        assert_eq!(
            stored(IpPolicy::Truncate, "2001:db8:1:2:3:4:5:6").as_deref(),
            Some("2001:db8:1::")
        );
        assert_eq!(stored(IpPolicy::Drop, "192.0.2.7"), None);
        assert_eq!(
            stored(IpPolicy::Keep, "192.0.2.7").as_deref(),
            Some("192.0.2.7")
        );
        // Not from `parse`, so still mapped: a /48 of it would be zero, and a /24 is meant.
        let mapped = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(
            IpPolicy::Truncate.apply(mapped).unwrap().to_string(),
            "192.0.2.0"
        );
        for policy in [IpPolicy::Truncate, IpPolicy::Drop, IpPolicy::Keep] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("Keep".parse::<IpPolicy>(), Err(UnknownIpPolicy));
    }
}
