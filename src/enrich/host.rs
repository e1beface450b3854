//! Host names: one spelling for each, and which of them belong to one site.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The longest host name DNS can carry in text form (RFC 1035 §2.3.4), in bytes.
const HOST_BYTES_MAX: usize = 253;

/// The part of a URL between `//` and the path, without user name and password.
pub(super) struct Authority<'a> {
    /// Lower case, punycode where it was international, without a trailing dot.
    pub host: Cow<'a, str>,
    pub port: Option<u16>,
}

/// `None` when there is no host, or what stands there cannot be one.
pub(super) fn parse_authority(raw: &str) -> Option<Authority<'_>> {
    // The last '@' ends the user information: a password may hold others unescaped (WHATWG URL).
    let host_and_port = raw.rsplit_once('@').map_or(raw, |(_, rest)| rest);
    if let Some(rest) = host_and_port.strip_prefix('[') {
        let (literal, after) = rest.split_once(']')?;
        let address: Ipv6Addr = literal.parse().ok()?;
        let port = match after.strip_prefix(':') {
            Some(digits) => parse_port(digits)?,
            None if after.is_empty() => None,
            None => return None,
        };
        return Some(Authority {
            host: Cow::Owned(format!("[{address}]")),
            port,
        });
    }
    let (host, port) = match host_and_port.split_once(':') {
        Some((host, digits)) => (host, parse_port(digits)?),
        None => (host_and_port, None),
    };
    Some(Authority {
        host: normalise(host)?,
        port,
    })
}

/// Outer `None`: not a port. Inner `None`: nothing after the colon, which URLs allow.
fn parse_port(digits: &str) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Some)
}

fn normalise(host: &str) -> Option<Cow<'_, str>> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut plain = true;
    let mut upper = false;
    for byte in host.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {}
            b'A'..=b'Z' => upper = true,
            _ => plain = false,
        }
    }
    // Nearly every host ends here without the tables of IDNA and without an allocation.
    let ascii = if plain && !contains_punycode(host) {
        if upper {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        }
    } else {
        let decoded = Cow::from(percent_encoding::percent_decode_str(host));
        let ascii = idna::domain_to_ascii_cow(&decoded, idna::AsciiDenyList::URL).ok()?;
        // IDNA maps other full stops to '.', so a trailing one can appear only now.
        Cow::Owned(ascii.strip_suffix('.').unwrap_or(&ascii).to_owned())
    };
    let well_formed = !ascii.is_empty()
        && ascii.len() <= HOST_BYTES_MAX
        && !ascii.starts_with('.')
        && !ascii.ends_with('.')
        && !ascii.contains("..");
    well_formed.then_some(ascii)
}

fn contains_punycode(host: &str) -> bool {
    host.as_bytes()
        .windows(4)
        .any(|four| four.eq_ignore_ascii_case(b"xn--"))
}

/// Without a leading `www.`, unless that would leave a bare top-level domain (`www.com`).
pub(super) fn without_www(host: &str) -> &str {
    match host.strip_prefix("www.") {
        Some(rest) if rest.contains('.') => rest,
        _ => host,
    }
}

/// Whether the end of `host` is on the public suffix list (publicsuffix.org).
pub(super) fn has_public_suffix(host: &str) -> bool {
    psl::suffix(host.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

/// Two normalised hosts (ports allowed) of one site: equal apart from `www.`, or below the same
/// registrable domain.
pub(super) fn same_site(one: &str, other: &str) -> bool {
    let one = without_www(without_port(one));
    let other = without_www(without_port(other));
    if one == other {
        return true;
    }
    match (registrable(one), registrable(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// `None` for addresses and private names, whose last labels mean nothing: with the list's default
/// rule, 10.0.0.1 and 192.168.0.1 would share the "domain" 0.1.
fn registrable(host: &str) -> Option<&[u8]> {
    let domain = psl::domain(host.as_bytes())?;
    domain.suffix().is_known().then(|| domain.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(raw: &str) -> Option<String> {
        parse_authority(raw).map(|authority| authority.host.into_owned())
    }

    #[test]
    fn one_spelling_for_each_host() {
        for (raw, expected) in [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("user:p@ss@example.com:8080", Some("example.com")),
            ("BÜCHER.example", Some("xn--bcher-kva.example")),
            ("b%C3%BCcher.example", Some("xn--bcher-kva.example")),
            ("XN--BCHER-KVA.example", Some("xn--bcher-kva.example")),
            ("my_app.internal", Some("my_app.internal")),
            ("[2001:DB8::1]:80", Some("[2001:db8::1]")),
            ("[nonsense]", None),
            ("[::1]x", None),
            ("", None),
            (".", None),
            ("a..b", None),
            ("exa mple.com", None),
            ("example.com:http", None),
            ("example.com:70000", None),
            ("xn--\u{0}", None),
        ] {
            assert_eq!(host(raw).as_deref(), expected, "{raw:?}");
        }
        assert_eq!(host(&"a".repeat(254)), None);
    }

    #[test]
    fn sites() {
        assert!(same_site("www.example.com", "example.com:8080"));
        assert!(same_site("docs.example.co.uk", "shop.example.co.uk"));
        assert!(!same_site("a.co.uk", "b.co.uk"));
        assert!(
            !same_site("alice.github.io", "bob.github.io"),
            "private suffixes separate tenants"
        );
        assert!(!same_site("10.0.0.1", "192.168.0.1"));
        assert!(!same_site("one.internal", "two.internal"));
        assert!(same_site("[::1]", "[::1]:3000"));
        assert_eq!(without_www("www.com"), "www.com");
    }
}
