//! Which way a visitor came: one of six channels.
//!
//! Google Analytics 4's default channel group (support.google.com/analytics/answer/9756891), folded
//! into the six that every tool shows, with the sites of Matomo's and Plausible's public lists. The
//! first rule that fits decides. Everything is compared without regard to case.
//!
//! | # | when | channel | in GA4 |
//! |---|------|---------|--------|
//! | 1 | medium or source is `email`, `e-mail`, `e_mail`, `e mail`, or medium `newsletter` | Email | Email |
//! | 2 | medium is paid (`cpc`, `ppc`, `paid…`, `retargeting`), or one of `display`, `banner`, `cpm`, `affiliate`, `sms`, `push`…, or there is the click id of an ad | Campaign | Paid …, Display, Affiliates, SMS, Push |
//! | 3 | medium is `organic` | Search | Organic Search |
//! | 4 | medium is `social`, `social-network`, `sm`… | Social | Organic Social |
//! | 5 | medium is `referral`, `app` or `link` | Referral | Referral |
//! | 6 | no medium and no campaign, and the source is a site we know (`google`, `facebook`, `t.co`) | that site's | the same |
//! | 7 | any other source, medium or campaign tag | Campaign | Unassigned |
//! | 8 | the referrer is a search engine, social network or web mail | Search, Social, Email | the same |
//! | 9 | any other referrer | Referral | Referral |
//! | 10 | no referrer, but a social network's click id (in-app browsers send only that) | Social | Organic Social |
//! | 11 | nothing | Direct | Direct |
//!
//! - Video sites count as social, as in Matomo; GA4 has a channel of its own for them.
//! - Assistants (chatgpt.com, perplexity.ai, gemini.google.com…) count as referral: they send
//!   visitors through a link in an answer, which is closer to an article than to a page of results.
//! - The own site never gets here: [`super::referrer::normalise`] takes it out.

mod sites;

use std::fmt;
use std::str::FromStr;

use super::query::ClickId;
use super::utm::Utm;
pub use sites::site_channel;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    Direct,
    Search,
    Social,
    Email,
    Campaign,
    Referral,
}

impl Channel {
    pub const ALL: [Self; 6] = [
        Self::Direct,
        Self::Search,
        Self::Social,
        Self::Email,
        Self::Campaign,
        Self::Referral,
    ];

    /// The name in the database and on the wire; stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Search => "search",
            Self::Social => "social",
            Self::Email => "email",
            Self::Campaign => "campaign",
            Self::Referral => "referral",
        }
    }
}

impl Channel {
    /// The number that the database holds for it; stable.
    pub fn number(self) -> i16 {
        match self {
            Self::Direct => 1,
            Self::Search => 2,
            Self::Social => 3,
            Self::Email => 4,
            Self::Campaign => 5,
            Self::Referral => 6,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No channel has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not one of direct, search, social, email, campaign, referral")]
pub struct UnknownChannel;

impl FromStr for Channel {
    type Err = UnknownChannel;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == name)
            .ok_or(UnknownChannel)
    }
}

static EMAIL_NAMES: &[&str] = &["e mail", "e-mail", "e_mail", "email", "newsletter"];

/// Mediums of GA4's paid, display, affiliate, audio, SMS and push channels. `paid…` is matched
/// apart.
static CAMPAIGN_MEDIUMS: &[&str] = &[
    "affiliate",
    "affiliates",
    "audio",
    "banner",
    "cpa",
    "cpc",
    "cpm",
    "cpv",
    "display",
    "expandable",
    "interstitial",
    "mobile",
    "notification",
    "ppc",
    "push",
    "remarketing",
    "retargeting",
    "sms",
];

static SOCIAL_MEDIUMS: &[&str] = &[
    "sm",
    "social",
    "social media",
    "social network",
    "social-media",
    "social-network",
];

static REFERRAL_MEDIUMS: &[&str] = &["app", "link", "referral"];

/// Applies the rules at the top of this module. `referrer_domain` is
/// [`super::referrer::Referrer::domain`].
pub fn classify(referrer_domain: Option<&str>, utm: &Utm, click_id: Option<ClickId>) -> Channel {
    let medium = utm.medium.as_deref().unwrap_or("");
    let source = utm.source.as_deref().unwrap_or("");
    if is_one_of(medium, EMAIL_NAMES) || is_one_of(source, &EMAIL_NAMES[..4]) {
        return Channel::Email;
    }
    if is_one_of(medium, CAMPAIGN_MEDIUMS)
        || starts_with_paid(medium)
        || click_id == Some(ClickId::Ad)
    {
        return Channel::Campaign;
    }
    if medium.eq_ignore_ascii_case("organic") {
        return Channel::Search;
    }
    if is_one_of(medium, SOCIAL_MEDIUMS) {
        return Channel::Social;
    }
    if is_one_of(medium, REFERRAL_MEDIUMS) {
        return Channel::Referral;
    }
    if medium.is_empty() && utm.campaign.is_none() && !source.is_empty() {
        return sites::source_channel(source).unwrap_or(Channel::Campaign);
    }
    if !medium.is_empty() || utm.campaign.is_some() {
        return Channel::Campaign;
    }
    match (referrer_domain, click_id) {
        (Some(domain), _) => site_channel(domain).unwrap_or(Channel::Referral),
        (None, Some(ClickId::Social)) => Channel::Social,
        (None, _) => Channel::Direct,
    }
}

/// The lists are short and the texts rarely present, so a scan beats lower-casing for a binary
/// search.
fn is_one_of(text: &str, names: &[&str]) -> bool {
    !text.is_empty() && names.iter().any(|name| name.eq_ignore_ascii_case(text))
}

fn starts_with_paid(medium: &str) -> bool {
    medium
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("paid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(query: &str, referrer: Option<&str>) -> Channel {
        classify(
            referrer,
            &super::super::utm::read(query),
            super::super::query::click_id(query),
        )
    }

    #[test]
    fn rules_in_order() {
        use Channel::*;
        for (query, referrer, expected) in [
            ("", None, Direct),
            ("", Some("google.de"), Search),
            ("", Some("l.facebook.com"), Social),
            ("", Some("mail.google.com"), Email),
            ("", Some("example.com"), Referral),
            ("", Some("chatgpt.com"), Referral),
            ("fbclid=x", None, Social),
            ("fbclid=x", Some("example.com"), Referral),
            ("gclid=x", Some("google.com"), Campaign),
            ("gclid=x&utm_medium=email", None, Email),
            ("utm_medium=E-Mail", Some("google.com"), Email),
            (
                "utm_source=newsletter&utm_medium=email&utm_campaign=may",
                None,
                Email,
            ),
            (
                "utm_source=google&utm_medium=cpc",
                Some("google.com"),
                Campaign,
            ),
            ("utm_medium=Paid_Social", Some("facebook.com"), Campaign),
            ("utm_medium=organic", None, Search),
            ("utm_source=x&utm_medium=Social-Media", None, Social),
            ("utm_source=partner&utm_medium=referral", None, Referral),
            ("utm_source=Google", None, Search),
            ("utm_source=facebook.com", None, Social),
            ("utm_source=ig", None, Social),
            ("utm_source=gmail", None, Email),
            ("utm_source=chatgpt.com", None, Referral),
            ("utm_source=partner", Some("google.com"), Campaign),
            (
                "utm_source=facebook&utm_campaign=may",
                Some("facebook.com"),
                Campaign,
            ),
            ("utm_campaign=may", None, Campaign),
            ("utm_term=shoes", None, Direct),
            ("utm_term=shoes", Some("bing.com"), Search),
        ] {
            assert_eq!(
                tagged(query, referrer),
                expected,
                "{query} from {referrer:?}"
            );
        }
    }

    #[test]
    fn names_are_stable_and_unique() {
        for channel in Channel::ALL {
            assert_eq!(channel.to_string().parse(), Ok(channel));
        }
        assert_eq!("Direct".parse::<Channel>(), Err(UnknownChannel));
    }
}
