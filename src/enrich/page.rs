//! Splits what a caller calls a page into host, path and query.
//!
//! Hand-written instead of a full URL parser: most values are plain paths or URLs that a browser
//! has already put in order, and this runs for every event. It differs from the WHATWG URL standard
//! on purpose: the path and the query keep the caller's own bytes (no percent-encoding, no
//! resolving of `..`), because a report should show what the site calls its pages.

use std::borrow::Cow;

use super::host::{Authority, parse_authority};
use super::query;

/// One page of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Lower case, punycode where it was international, `www.` kept; a port only if it is not the
    /// scheme's own. `None` when the caller gave a path alone.
    pub host: Option<String>,
    /// Starts with `/`. Never more than one byte longer than the input.
    pub path: String,
    /// Without `?`, without `utm_*` and click identifiers, in the caller's order; never empty.
    pub query: Option<String>,
}

/// Why a text cannot be a page. The messages are short enough for a field violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("is empty")]
    Empty,
    #[error("has a scheme other than http or https")]
    Scheme,
    #[error("has no valid host")]
    Host,
}

/// Splits an absolute http(s) URL, a scheme-relative URL (`//host/path`) or a path.
///
/// A bare word is taken as a path (`docs/a` is `/docs/a`), unless it starts with `www.` or is a
/// name and a port (`localhost:3000/x`). Fragment, user information and control characters are
/// dropped: the latter because browsers do so too, and because PostgreSQL cannot store a NUL.
///
/// # Errors
/// [`PageError`] when nothing is left, the scheme is another one, or the host is none.
pub fn split(raw: &str) -> Result<Page, PageError> {
    let raw = clean(raw);
    if raw.is_empty() {
        return Err(PageError::Empty);
    }
    let (origin, rest) = split_origin(&raw)?;
    let host = match origin {
        Some((authority, scheme_ports)) => Some(host_text(authority, scheme_ports)?),
        None => None,
    };
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok(Page {
        host,
        path: path_text(path),
        query: own_query(query),
    })
}

/// The whole query of a page as the caller sent it, `utm_*` included; empty when there is none.
pub fn raw_query(raw: &str) -> &str {
    let before_fragment = raw.split_once('#').map_or(raw, |(before, _)| before);
    before_fragment
        .split_once('?')
        .map_or("", |(_, query)| query)
        .trim_end_matches(|c| c <= ' ')
}

/// Without control characters, and without blanks at both ends.
pub(super) fn clean(raw: &str) -> Cow<'_, str> {
    let trimmed = raw.trim_matches(|c| c <= ' ');
    if !trimmed.bytes().any(|b| b.is_ascii_control()) {
        return Cow::Borrowed(trimmed);
    }
    let kept: String = trimmed.chars().filter(|c| !c.is_ascii_control()).collect();
    // Blanks that stood inside behind a control character may now be at an end.
    Cow::Owned(kept.trim_matches(' ').to_owned())
}

/// An authority with the ports that its scheme implies.
type Origin<'a> = (&'a str, &'static [u16]);

fn split_origin(raw: &str) -> Result<(Option<Origin<'_>>, &str), PageError> {
    let is_slash = |b: &u8| matches!(b, b'/' | b'\\');
    let bytes = raw.as_bytes();
    if bytes.first().is_some_and(is_slash) {
        if bytes.get(1).is_some_and(is_slash) {
            return Ok(with_authority(&raw[2..], &[80, 443]));
        }
        return Ok((None, raw));
    }
    let Some(end) = bytes
        .iter()
        .position(|b| matches!(b, b':' | b'/' | b'?' | b'#'))
    else {
        return Ok(bare(raw));
    };
    if bytes[end] != b':' || !is_scheme(&raw[..end]) {
        return Ok(bare(raw));
    }
    let (scheme, after) = (&raw[..end], &raw[end + 1..]);
    let ports: &'static [u16] = if scheme.eq_ignore_ascii_case("https") {
        &[443]
    } else if scheme.eq_ignore_ascii_case("http") {
        &[80]
    } else if (scheme == "localhost" || scheme.contains('.')) && starts_with_port(after) {
        return Ok(with_authority(raw, &[80, 443]));
    } else {
        return Err(PageError::Scheme);
    };
    let after_bytes = after.as_bytes();
    if !(after_bytes.first().is_some_and(is_slash) && after_bytes.get(1).is_some_and(is_slash)) {
        return Err(PageError::Host);
    }
    Ok(with_authority(&after[2..], ports))
}

fn bare(raw: &str) -> (Option<Origin<'_>>, &str) {
    match raw.get(..4) {
        Some(start) if start.eq_ignore_ascii_case("www.") => with_authority(raw, &[80, 443]),
        _ => (None, raw),
    }
}

fn with_authority<'a>(text: &'a str, ports: &'static [u16]) -> (Option<Origin<'a>>, &'a str) {
    // Browsers read '\' as '/' here; not doing so would let "//good.example\@evil" name another
    // host.
    let end = text.find(['/', '\\', '?', '#']).unwrap_or(text.len());
    (Some((&text[..end], ports)), &text[end..])
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn starts_with_port(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=5).contains(&digits)
        && matches!(text.as_bytes().get(digits), None | Some(b'/' | b'?' | b'#'))
}

fn host_text(authority: &str, scheme_ports: &[u16]) -> Result<String, PageError> {
    let Authority { host, port } = parse_authority(authority).ok_or(PageError::Host)?;
    Ok(match port {
        Some(port) if !scheme_ports.contains(&port) => format!("{host}:{port}"),
        _ => host.into_owned(),
    })
}

fn path_text(path: &str) -> String {
    let path = path.trim_end_matches(' ');
    if path.starts_with('/') {
        return path.to_owned();
    }
    // "\docs" is "/docs" to a browser.
    let rest = path.strip_prefix('\\').unwrap_or(path);
    let mut text = String::with_capacity(rest.len() + 1);
    text.push('/');
    text.push_str(rest);
    text
}

fn own_query(query: &str) -> Option<String> {
    if query.is_empty() {
        return None;
    }
    let mut kept = String::with_capacity(query.len());
    for part in query::parts(query).filter(|part| !query::is_tracking(part)) {
        if !kept.is_empty() {
            kept.push('&');
        }
        kept.push_str(part);
    }
    kept.truncate(kept.trim_end_matches(' ').len());
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(host: &str, path: &str, query: &str) -> Result<Page, PageError> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Page {
            host: some(host),
            path: path.to_owned(),
            query: some(query),
        })
    }

    #[test]
    fn splits() {
        for (raw, expected) in [
            ("/docs?a=1#x", page("", "/docs", "a=1")),
            ("/", page("", "/", "")),
            ("?a=1", page("", "/", "a=1")),
            ("#top", page("", "/", "")),
            ("docs/intro", page("", "/docs/intro", "")),
            ("/a#b?c=1", page("", "/a", "")),
            ("/a?b=1?c=2", page("", "/a", "b=1?c=2")),
            ("/a:b/c", page("", "/a:b/c", "")),
            ("/Case/Kept?Q=Ä", page("", "/Case/Kept", "Q=Ä")),
            ("https://Example.COM", page("example.com", "/", "")),
            (
                "HTTPS://www.example.com:443/a?b#c",
                page("www.example.com", "/a", "b"),
            ),
            ("http://example.com:443/", page("example.com:443", "/", "")),
            ("http://example.com:8080", page("example.com:8080", "/", "")),
            (
                "https://user:pw@example.com/x",
                page("example.com", "/x", ""),
            ),
            ("//cdn.example.com:80/x", page("cdn.example.com", "/x", "")),
            (
                "https://bücher.example/größe",
                page("xn--bcher-kva.example", "/größe", ""),
            ),
            ("https://example.com?x=1", page("example.com", "/", "x=1")),
            (
                "https://good.example\\@evil.example/",
                page("good.example", "/@evil.example/", ""),
            ),
            (
                "http://[2001:DB8::1]:3000/x",
                page("[2001:db8::1]:3000", "/x", ""),
            ),
            ("www.example.com/a", page("www.example.com", "/a", "")),
            ("localhost:3000/a", page("localhost:3000", "/a", "")),
            ("  /a\tb\n ", page("", "/ab", "")),
            ("/a\0b", page("", "/ab", "")),
            ("javascript:alert(1)", Err(PageError::Scheme)),
            ("data:text/html,x", Err(PageError::Scheme)),
            ("file:///etc/passwd", Err(PageError::Scheme)),
            ("mailto:a@example.com", Err(PageError::Scheme)),
            ("java\nscript:alert(1)", Err(PageError::Scheme)),
            ("http:/example.com", Err(PageError::Host)),
            ("https://", Err(PageError::Host)),
            ("https:///path", Err(PageError::Host)),
            ("https://exa mple.com/", Err(PageError::Host)),
            ("", Err(PageError::Empty)),
            (" \n", Err(PageError::Empty)),
        ] {
            assert_eq!(split(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn takes_tracking_off_the_query_and_keeps_the_rest_in_order() {
        for (raw, expected) in [
            ("/?utm_source=a&z=1&gclid=x&a=2&fbclid=y", Some("z=1&a=2")),
            ("/?utm_source=a&amp;utm_medium=b", None),
            ("/?&&a=1&&", Some("a=1")),
            ("/?q=utm_source", Some("q=utm_source")),
            ("/?a=1&a=2&A=3", Some("a=1&a=2&A=3")),
            ("/?flag", Some("flag")),
        ] {
            assert_eq!(split(raw).unwrap().query.as_deref(), expected, "{raw}");
        }
        assert_eq!(
            raw_query("https://e.com/?utm_source=a&b=1#c?d"),
            "utm_source=a&b=1"
        );
        assert_eq!(raw_query("/plain"), "");
    }

    proptest! {
        #[test]
        fn any_text_is_split_or_refused_and_splitting_again_changes_nothing(
            raw in prop_oneof![
                ".*",
                "(http|HTTPS|ftp)?:?/{0,3}[a-zA-Z.:@\\[\\]\\\\%ü0-9-]{0,20}[/?#][ -~\\x00-\\x1f]{0,40}",
            ]
        ) {
            let Ok(page) = split(&raw) else { return Ok(()) };
            prop_assert!(page.path.starts_with('/') && page.path.len() <= raw.len() + 1);
            prop_assert!(page.query.as_ref().is_none_or(|q| !q.is_empty() && q.len() <= raw.len()));
            prop_assert!(page.host.as_ref().is_none_or(|h| h.len() <= 253 + 6));
            // A lone "//x" would read as a host, so the second pass always gets one.
            let host = page.host.clone().unwrap_or_else(|| "e.com".to_owned());
            let query = page.query.as_ref().map_or(String::new(), |q| format!("?{q}"));
            let again = split(&format!("//{host}{}{query}", page.path)).unwrap();
            prop_assert_eq!((again.path, again.query), (page.path, page.query));
            prop_assert_eq!(again.host.as_deref(), Some(host.as_str()));
        }
    }
}
