//! Campaign tags: the five `utm_*` parameters of Urchin and Google Analytics
//! (support.google.com/analytics/answer/10917952).

use percent_encoding::percent_decode;

use super::query;

/// The longest value kept, in bytes; longer ones are cut at a character boundary. Tags are written
/// by hand and read in tables: nothing longer is meant, and each value becomes a row of a
/// dictionary.
pub const VALUE_BYTES_MAX: usize = 256;

/// Decoded values, in the case they were sent; `None` where missing or blank.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Utm {
    pub source: Option<Box<str>>,
    pub medium: Option<Box<str>>,
    pub campaign: Option<Box<str>>,
    pub term: Option<Box<str>>,
    pub content: Option<Box<str>>,
}

/// Reads the tags off a query (without `?`). Names match in any case; the first non-blank value
/// wins.
///
/// Bytes that are not UTF-8 become U+FFFD: a tag in another encoding stays recognisable as one
/// campaign, where dropping it would turn a campaign's visits into direct ones. Control characters
/// are dropped, since `%00` could not be stored.
pub fn read(query: &str) -> Utm {
    let mut utm = Utm::default();
    for part in query::parts(query) {
        let (name, value) = query::name_and_value(part);
        let Some(field) = query::utm_field(name) else {
            continue;
        };
        let slot = match field {
            f if f.eq_ignore_ascii_case("source") => &mut utm.source,
            f if f.eq_ignore_ascii_case("medium") => &mut utm.medium,
            f if f.eq_ignore_ascii_case("campaign") => &mut utm.campaign,
            f if f.eq_ignore_ascii_case("term") => &mut utm.term,
            f if f.eq_ignore_ascii_case("content") => &mut utm.content,
            _ => continue,
        };
        if slot.is_none() {
            *slot = decode(value);
        }
    }
    utm
}

fn decode(raw: &str) -> Option<Box<str>> {
    // Most values are plain words: those cost one allocation, the one that is kept.
    let plain = !raw
        .bytes()
        .any(|b| matches!(b, b'%' | b'+') || b.is_ascii_control() || !b.is_ascii());
    if plain {
        return bounded(raw);
    }
    // An escaped byte takes three, so what stands beyond is cut off anyway.
    let head = &raw.as_bytes()[..raw.len().min(VALUE_BYTES_MAX * 4)];
    let spaced: Vec<u8> = head
        .iter()
        .map(|&b| if b == b'+' { b' ' } else { b })
        .collect();
    let bytes: Vec<u8> = percent_decode(&spaced).collect();
    let text: String = String::from_utf8_lossy(&bytes)
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    bounded(&text)
}

fn bounded(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    let value = text[..text.floor_char_boundary(VALUE_BYTES_MAX)].trim_end();
    (!value.is_empty()).then(|| value.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_decodes() {
        let utm = read(
            "a=1&UTM_Source=News+Letter&utm_medium=e%2Dmail&utm_campaign=Fr%C3%BChling&utm_id=7",
        );
        assert_eq!(utm.source.as_deref(), Some("News Letter"));
        assert_eq!(utm.medium.as_deref(), Some("e-mail"));
        assert_eq!(utm.campaign.as_deref(), Some("Frühling"));
        assert_eq!((utm.term, utm.content), (None, None));
    }

    #[test]
    fn odd_values() {
        let source = |query: &str| read(query).source.map(String::from);
        assert_eq!(source("utm_source="), None);
        assert_eq!(source("utm_source"), None);
        assert_eq!(source("utm_source=%20+%09"), None);
        assert_eq!(
            source("utm_source=&utm_source=b&utm_source=c").as_deref(),
            Some("b")
        );
        assert_eq!(source("utm_source=a%00b%0A").as_deref(), Some("ab"));
        assert_eq!(
            source("utm_source=%FF%zz%").as_deref(),
            Some("\u{FFFD}%zz%")
        );
        assert_eq!(source("utm_source=a=b").as_deref(), Some("a=b"));
        assert_eq!(source("x&amp;utm_source=feed").as_deref(), Some("feed"));
        let long = source(&format!("utm_source={}", "%C3%BC".repeat(200))).unwrap();
        assert_eq!(long, "ü".repeat(128));
        let odd = source(&format!("utm_source=a{}", "ü".repeat(200))).unwrap();
        assert_eq!(odd.len(), 255, "cut between characters");
    }

    proptest! {
        #[test]
        fn any_query_gives_bounded_printable_values(
            query in prop_oneof![".*", "(utm_(source|medium|term)=[ -~%ü\\x00-\\x20]{0,300}&?){0,4}"]
        ) {
            let utm = read(&query);
            for value in [utm.source, utm.medium, utm.campaign, utm.term, utm.content].into_iter().flatten() {
                prop_assert!(!value.is_empty() && value.len() <= VALUE_BYTES_MAX);
                prop_assert!(!value.contains(char::is_control) && value.trim() == &*value);
            }
        }
    }
}
