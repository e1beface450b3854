//! The language a visitor prefers, as one BCP 47 tag (RFC 5646).

/// The longest tag returned, in bytes: RFC 5646 §4.4.1 lets implementations stop at 35.
pub const TAG_BYTES_MAX: usize = 35;

/// The preferred tag of an `Accept-Language` header, of `navigator.language`, or of a POSIX locale
/// (`de_DE.UTF-8`), in canonical case: `en-US`, `zh-Hant-TW`.
///
/// Extensions and private use (`-u-…`, `-x-…`) are dropped: they tell about calendars and sorting,
/// not the language. Of several languages the one with the highest weight counts, the first among
/// equals; invalid ones and `*` are passed over. `None` when nothing valid is left.
pub fn primary(raw: &str) -> Option<String> {
    let mut best: Option<(u16, String)> = None;
    for range in raw.split(',') {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        let weight = weight_thousandths(parameters);
        if weight == 0 || best.as_ref().is_some_and(|(best, _)| *best >= weight) {
            continue;
        }
        if let Some(tag) = canonical(tag) {
            // Nothing after a full weight can win.
            if weight == 1000 {
                return Some(tag);
            }
            best = Some((weight, tag));
        }
    }
    best.map(|(_, tag)| tag)
}

/// `q=0.8` is 800 (RFC 9110 §12.4.2: three decimals at most). Absent or unreadable means 1000.
fn weight_thousandths(parameters: &str) -> u16 {
    let value = parameters
        .trim()
        .strip_prefix(['q', 'Q'])
        .and_then(|rest| rest.trim_start().strip_prefix('='));
    match value.and_then(|value| value.trim().parse::<f32>().ok()) {
        // The cast saturates, and the range is checked.
        Some(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0).round() as u16,
        _ => 1000,
    }
}

fn canonical(raw: &str) -> Option<String> {
    let raw = raw.trim();
    let raw = raw.split(['.', '@']).next().unwrap_or(raw);
    let mut subtags = raw.split(['-', '_']);
    let language = subtags.next()?;
    let is_letters = |text: &str| text.bytes().all(|b| b.is_ascii_alphabetic());
    // Two or three letters are ISO 639; longer ones were never registered. "und" means
    // undetermined.
    if !matches!(language.len(), 2 | 3)
        || !is_letters(language)
        || language.eq_ignore_ascii_case("und")
    {
        return None;
    }

    let mut tag = String::with_capacity(TAG_BYTES_MAX);
    tag.push_str(language);
    tag.make_ascii_lowercase();
    let mut dropping = false;
    for subtag in subtags {
        if !matches!(subtag.len(), 1..=8) || !subtag.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        // A single letter or digit starts an extension, which lasts to the end or to the next one.
        dropping |= subtag.len() == 1;
        if dropping {
            continue;
        }
        if tag.len() + 1 + subtag.len() > TAG_BYTES_MAX {
            return None;
        }
        tag.push('-');
        let start = tag.len();
        tag.push_str(subtag);
        let (_, added) = tag.split_at_mut(start);
        // RFC 5646 §2.1.1: regions upper case, scripts title case, the rest lower case.
        added.make_ascii_lowercase();
        match added.len() {
            2 => added.make_ascii_uppercase(),
            4 if is_letters(added) => added[..1].make_ascii_uppercase(),
            _ => {}
        }
    }
    Some(tag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_and_preferred() {
        for (raw, expected) in [
            ("en-US,en;q=0.9", Some("en-US")),
            ("en", Some("en")),
            ("EN-us", Some("en-US")),
            ("zh-hant-tw", Some("zh-Hant-TW")),
            ("es-419", Some("es-419")),
            ("sl-rozaj-biske", Some("sl-rozaj-biske")),
            ("de-1996", Some("de-1996")),
            ("de_DE.UTF-8", Some("de-DE")),
            ("de-DE-u-co-phonebk", Some("de-DE")),
            ("en-x-private", Some("en")),
            ("en;q=0.1, fr;q=0.8, de;q=0.8", Some("fr")),
            ("*;q=0.5, nb ; q = 0.3", Some("nb")),
            ("en;q=0, fr;q=0.1", Some("fr")),
            ("nonsense!, pt-br", Some("pt-BR")),
            ("en;q=abc", Some("en")),
            ("fil", Some("fil")),
            ("*", None),
            ("C", None),
            ("POSIX", None),
            ("und", None),
            ("i-klingon", None),
            ("en--US", None),
            ("en-toolongsubtag", None),
            ("null", None),
            ("ü", None),
            ("", None),
        ] {
            assert_eq!(primary(raw).as_deref(), expected, "{raw}");
        }
        assert_eq!(primary(&format!("en{}", "-abcdefgh".repeat(5))), None);
    }

    proptest! {
        #[test]
        fn any_text_gives_a_bounded_tag_that_stays_the_same(
            raw in prop_oneof![".*", "([a-zA-Z0-9*]{0,9}[-_,;.q= ]{0,2}){0,12}"]
        ) {
            let Some(tag) = primary(&raw) else { return Ok(()) };
            prop_assert!(tag.len() <= TAG_BYTES_MAX && tag.is_ascii());
            prop_assert_eq!(primary(&tag), Some(tag));
        }
    }
}
