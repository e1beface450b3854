//! The parameters of a URL's query that say how the visitor came, rather than what the page shows.

/// What a click identifier, added to a link by the platform it was clicked on, tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClickId {
    /// Added to paid ads only: Google (`gclid`, `gbraid`, `wbraid`, `dclid`), Microsoft
    /// (`msclkid`), TikTok, LinkedIn, Reddit, Snapchat, Pinterest, Yandex Direct…
    Ad,
    /// Added to every outgoing link of a social network, paid or not: Facebook (`fbclid`),
    /// Instagram (`igsh`), X (`twclid`).
    Social,
}

/// Parameters that identify a click. Lower case, sorted.
static CLICK_IDS: &[(&str, ClickId)] = &[
    ("dclid", ClickId::Ad),
    ("epik", ClickId::Ad),
    ("fbclid", ClickId::Social),
    ("gad_campaignid", ClickId::Ad),
    ("gad_source", ClickId::Ad),
    ("gbraid", ClickId::Ad),
    ("gclid", ClickId::Ad),
    ("gclsrc", ClickId::Ad),
    ("igsh", ClickId::Social),
    ("igshid", ClickId::Social),
    ("irclickid", ClickId::Ad),
    ("li_fat_id", ClickId::Ad),
    ("msclkid", ClickId::Ad),
    ("rdt_cid", ClickId::Ad),
    ("sccid", ClickId::Ad),
    ("ttclid", ClickId::Ad),
    ("twclid", ClickId::Social),
    ("wbraid", ClickId::Ad),
    ("yclid", ClickId::Ad),
];

/// Parameters that identify a person or a mailing and say nothing about the channel; left in, each
/// would make a page of its own. Lower case, sorted.
static PERSON_IDS: &[&str] = &[
    "__hsfp",
    "__hssc",
    "__hstc",
    "_branch_match_id",
    "_ga",
    "_gl",
    "_hsenc",
    "_hsmi",
    "_openstat",
    "hsctatracking",
    "mc_cid",
    "mc_eid",
    "mkt_tok",
    "oly_anon_id",
    "oly_enc_id",
    "srsltid",
    "vero_id",
    "ysclid",
];

/// Longer than any name in the tables above, in bytes.
const NAME_BYTES_MAX: usize = 24;

/// The parts between the ampersands, empty and blank ones left out.
pub(super) fn parts(query: &str) -> impl Iterator<Item = &str> {
    query
        .split('&')
        .filter(|part| part.bytes().any(|b| b != b' '))
}

/// Name and raw value of one part. Links in feeds and mails are often escaped once too often, so
/// `amp;utm_source` counts as `utm_source`.
pub(super) fn name_and_value(part: &str) -> (&str, &str) {
    let part = part.strip_prefix("amp;").unwrap_or(part);
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    (name.trim_matches(' '), value)
}

/// The rest of a name that starts with `utm_` in any case.
pub(super) fn utm_field(name: &str) -> Option<&str> {
    let (prefix, field) = name.split_at_checked(4)?;
    prefix.eq_ignore_ascii_case("utm_").then_some(field)
}

/// Whether this part tells how the visitor came and so does not belong to the page.
pub(super) fn is_tracking(part: &str) -> bool {
    let (name, _) = name_and_value(part);
    if !may_be_tracking(name) {
        return false;
    }
    if utm_field(name).is_some() {
        return true;
    }
    let mut buffer = [0; NAME_BYTES_MAX];
    let Some(name) = lower(name, &mut buffer) else {
        return false;
    };
    find_click_id(name).is_some()
        || PERSON_IDS
            .binary_search_by(|id| id.as_bytes().cmp(name))
            .is_ok()
}

/// Cheap, and no for most names: ours are 3 bytes long or more and begin with one of a few
/// characters.
fn may_be_tracking(name: &str) -> bool {
    let first = name.as_bytes().first().map(u8::to_ascii_lowercase);
    name.len() >= 3 && first.is_some_and(|first| b"_defghilmorstuvwy".contains(&first))
}

/// The click identifier in a query; one of an ad wins over one of a social network.
pub fn click_id(query: &str) -> Option<ClickId> {
    let mut found = None;
    for part in parts(query) {
        let (name, value) = name_and_value(part);
        let mut buffer = [0; NAME_BYTES_MAX];
        if value.is_empty() || !may_be_tracking(name) {
            continue;
        }
        match lower(name, &mut buffer).and_then(find_click_id) {
            Some(ClickId::Ad) => return Some(ClickId::Ad),
            Some(ClickId::Social) => found = Some(ClickId::Social),
            None => {}
        }
    }
    found
}

fn find_click_id(name: &[u8]) -> Option<ClickId> {
    let at = CLICK_IDS
        .binary_search_by(|(id, _)| id.as_bytes().cmp(name))
        .ok()?;
    Some(CLICK_IDS[at].1)
}

/// Lower-cased on the stack: this runs for every parameter of every event.
fn lower<'b>(name: &str, buffer: &'b mut [u8; NAME_BYTES_MAX]) -> Option<&'b [u8]> {
    let target = buffer.get_mut(..name.len())?;
    target.copy_from_slice(name.as_bytes());
    target.make_ascii_lowercase();
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_lower_case_and_fit() {
        assert!(CLICK_IDS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(PERSON_IDS.is_sorted_by(|a, b| a < b));
        for name in CLICK_IDS.iter().map(|(name, _)| name).chain(PERSON_IDS) {
            assert!(
                name.len() < NAME_BYTES_MAX && !name.bytes().any(|b| b.is_ascii_uppercase()),
                "{name}"
            );
            assert!(may_be_tracking(name), "{name}");
        }
    }

    #[test]
    fn click_ids() {
        assert_eq!(click_id("a=1&gclid=x"), Some(ClickId::Ad));
        assert_eq!(click_id("fbclid=x&msclkid=y"), Some(ClickId::Ad));
        assert_eq!(click_id("FBCLID=x"), Some(ClickId::Social));
        assert_eq!(click_id("ScCid=x"), Some(ClickId::Ad));
        assert_eq!(
            click_id("gclid=&b=gclid"),
            None,
            "an empty id identifies nothing"
        );
        assert!(
            is_tracking("amp;utm_source=x")
                && is_tracking("UTM_anything")
                && is_tracking("mc_eid=1")
        );
        assert!(!is_tracking("utm") && !is_tracking("page=2") && !is_tracking("é€utm_"));
    }
}
