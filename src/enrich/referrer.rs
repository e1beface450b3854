//! The page a visitor came from, in the form it is counted by.

use super::host::{has_public_suffix, parse_authority, same_site, without_www};
use super::page::clean;

/// The longest [`Referrer::url`], in bytes; longer ones are cut at a character boundary.
pub const URL_BYTES_MAX: usize = 1024;

/// The longest Android package name taken, in bytes; the Play store allows 150.
const PACKAGE_BYTES_MAX: usize = 150;

/// A page of another site. Query, fragment, user information and port are gone: they hold search
/// terms, sessions and names that a site owner has no business storing, and they would make every
/// visit unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Referrer {
    /// Lower case, without `www.`; the package name when an Android app sent the visitor
    /// (`com.google.android.gm`).
    pub domain: Box<str>,
    /// Domain and path, no scheme: `example.com/blog`; the domain alone for a site's front page.
    pub url: Box<str>,
}

/// Normalises an http(s) URL, an `android-app://` URL, or a bare domain with an optional path.
///
/// `None` for anything else and for the own site. Own is: the same host, also with or without
/// `www.`, or any host below the same registrable domain (public suffix list), as GA4 ignores
/// self-referrals between subdomains. Private suffixes count, so `a.github.io` and `b.github.io`
/// are two sites. Without a `page_host` nothing is known to be own.
pub fn normalise(raw: &str, page_host: Option<&str>) -> Option<Referrer> {
    let raw = clean(raw);
    let rest = match raw.split_once("://") {
        Some((scheme, rest)) if is_http(scheme) => rest,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("android-app") => {
            return from_android(rest);
        }
        Some((before, _)) if !before.contains(['/', '?', '#']) => return None,
        _ => raw.strip_prefix("//").unwrap_or(&raw),
    };
    let has_scheme = rest.len() != raw.len();

    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let authority = parse_authority(&rest[..end])?;
    // A word alone, such as "newsletter" or "(direct)", is not a domain; "google.com" is.
    if !has_scheme && !has_public_suffix(&authority.host) {
        return None;
    }
    if page_host.is_some_and(|own| same_site(own, &authority.host)) {
        return None;
    }

    let domain = without_www(&authority.host);
    let path = rest[end..]
        .split(['?', '#'])
        .next()
        .unwrap_or("")
        .trim_end_matches(' ');
    let path = if path.len() <= 1 { "" } else { path };
    let mut url = String::with_capacity(domain.len() + path.len());
    url.push_str(domain);
    url.push_str(path);
    url.truncate(url.floor_char_boundary(URL_BYTES_MAX));
    url.truncate(url.trim_end_matches(' ').len());
    Some(Referrer {
        domain: domain.into(),
        url: url.into(),
    })
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
}

/// `android-app://{package}/{scheme}/{host}/{path}` (developer.android.com, App Indexing): only the
/// package says who sent the visitor, the rest repeats where they went.
fn from_android(rest: &str) -> Option<Referrer> {
    let package = rest
        .split(['/', '?', '#'])
        .next()
        .unwrap_or("")
        .to_ascii_lowercase();
    let valid = package.len() <= PACKAGE_BYTES_MAX
        && package.contains('.')
        && package.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
    valid.then(|| Referrer {
        domain: package.as_str().into(),
        url: package.as_str().into(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(raw: &str, page_host: Option<&str>) -> Option<(String, String)> {
        normalise(raw, page_host).map(|r| (r.domain.into(), r.url.into()))
    }

    #[test]
    fn normalises() {
        for (raw, expected) in [
            (
                "https://www.Google.com/",
                Some(("google.com", "google.com")),
            ),
            (
                "https://www.google.com/search?q=secret#x",
                Some(("google.com", "google.com/search")),
            ),
            (
                "http://user:pw@Blog.example.com:8080/a/b",
                Some(("blog.example.com", "blog.example.com/a/b")),
            ),
            ("//t.co/Abc", Some(("t.co", "t.co/Abc"))),
            ("google.com", Some(("google.com", "google.com"))),
            (
                "twitter.com/someone?s=1",
                Some(("twitter.com", "twitter.com/someone")),
            ),
            (
                "https://localhost:3000/x",
                Some(("localhost", "localhost/x")),
            ),
            (
                "https://bücher.example/x",
                Some(("xn--bcher-kva.example", "xn--bcher-kva.example/x")),
            ),
            (
                "android-app://com.google.android.gm/",
                Some(("com.google.android.gm", "com.google.android.gm")),
            ),
            ("android-app://com.slack", Some(("com.slack", "com.slack"))),
            ("android-app://nonsense", None),
            ("about:blank", None),
            ("data:text/html,x", None),
            ("javascript:alert(1)", None),
            ("ftp://example.com/", None),
            ("/docs", None),
            ("newsletter", None),
            ("(direct)", None),
            ("-", None),
            ("", None),
            ("https://", None),
        ] {
            let expected = expected.map(|(domain, url)| (domain.to_owned(), url.to_owned()));
            assert_eq!(parts(raw, None), expected, "{raw}");
        }
    }

    #[test]
    fn own_site_is_no_referrer() {
        for (raw, page_host, own) in [
            ("https://example.com/a", "example.com", true),
            ("https://www.example.com/a", "example.com:8080", true),
            ("https://docs.example.com/a", "www.example.com", true),
            ("https://a.github.io/", "b.github.io", false),
            ("https://other.com/", "example.com", false),
            ("http://10.0.0.1/", "192.168.0.1", false),
        ] {
            assert_eq!(
                normalise(raw, Some(page_host)).is_none(),
                own,
                "{raw} on {page_host}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_bounded_result_that_stays_the_same(
            raw in prop_oneof![".*", "https?://[a-zA-Z.:@ü0-9-]{1,20}[/?#][ -~ü]{0,40}", "android-app://[a-z.]*"]
        ) {
            let Some(referrer) = normalise(&raw, Some("own.example")) else { return Ok(()) };
            prop_assert!(referrer.domain.len() <= 253 && referrer.url.len() <= URL_BYTES_MAX);
            prop_assert!(referrer.url.starts_with(&*referrer.domain));
            prop_assert!(!referrer.url.contains(['?', '#', '\0']));
            if !raw.to_ascii_lowercase().contains("android-app") {
                prop_assert_eq!(normalise(&format!("https://{}", referrer.url), None), Some(referrer));
            }
        }
    }
}
