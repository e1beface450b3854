//! What events can be grouped and filtered by.

use std::fmt;

/// Starts the name of a dimension that is a key of the event's own properties.
pub const PROPERTIES_PREFIX: &str = "properties.";

/// A dimension of an event; query_service.proto lists them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in query_service.proto")]
pub enum Dimension {
    Name,
    Page,
    Host,
    Query,
    Title,
    PageType,
    Author,
    Category,
    Tag,
    Referrer,
    ReferrerUrl,
    Channel,
    UtmSource,
    UtmMedium,
    UtmCampaign,
    UtmTerm,
    UtmContent,
    Browser,
    BrowserVersion,
    Os,
    OsVersion,
    Device,
    IsBot,
    Country,
    Language,
    Screen,
    IpAddress,
    VisitorId,
    UserId,
    SessionId,
    /// A key of the event's properties.
    Property(String),
}

impl Dimension {
    /// All but the keys of properties, in the order in which they are offered.
    pub const NAMED: [(&'static str, Self); 30] = [
        ("name", Self::Name),
        ("page", Self::Page),
        ("host", Self::Host),
        ("query", Self::Query),
        ("title", Self::Title),
        ("page_type", Self::PageType),
        ("author", Self::Author),
        ("category", Self::Category),
        ("tag", Self::Tag),
        ("referrer", Self::Referrer),
        ("referrer_url", Self::ReferrerUrl),
        ("channel", Self::Channel),
        ("utm_source", Self::UtmSource),
        ("utm_medium", Self::UtmMedium),
        ("utm_campaign", Self::UtmCampaign),
        ("utm_term", Self::UtmTerm),
        ("utm_content", Self::UtmContent),
        ("browser", Self::Browser),
        ("browser_version", Self::BrowserVersion),
        ("os", Self::Os),
        ("os_version", Self::OsVersion),
        ("device", Self::Device),
        ("is_bot", Self::IsBot),
        ("country", Self::Country),
        ("language", Self::Language),
        ("screen", Self::Screen),
        ("ip_address", Self::IpAddress),
        ("visitor_id", Self::VisitorId),
        ("user_id", Self::UserId),
        ("session_id", Self::SessionId),
    ];

    /// Whether an event may have several values of it.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::Category | Self::Tag)
    }

    /// What it is, for people.
    pub fn description(&self) -> &'static str {
        match self {
            Self::Name => "Name of the event",
            Self::Page => "Path of the page",
            Self::Host => "Host of the page",
            Self::Query => "Query of the page, without utm_* and click ids",
            Self::Title => "Title of the page",
            Self::PageType => "Kind of page, as sent",
            Self::Author => "Author of the content, as sent",
            Self::Category => "Sections of the content, as sent",
            Self::Tag => "Labels of the content, as sent",
            Self::Referrer => "Domain that the visitor came from",
            Self::ReferrerUrl => "Page that the visitor came from, without its query",
            Self::Channel => {
                "Way that the visitor came: direct, search, social, email, campaign or referral"
            }
            Self::UtmSource => "utm_source of the page",
            Self::UtmMedium => "utm_medium of the page",
            Self::UtmCampaign => "utm_campaign of the page",
            Self::UtmTerm => "utm_term of the page",
            Self::UtmContent => "utm_content of the page",
            Self::Browser => "Browser",
            Self::BrowserVersion => "Version of the browser",
            Self::Os => "Operating system",
            Self::OsVersion => "Version of the operating system",
            Self::Device => "Kind of device",
            Self::IsBot => "Whether a crawler or another bot sent it",
            Self::Country => "Country of the visitor's address",
            Self::Language => "Language of the browser",
            Self::Screen => "Size of the screen, in pixels",
            Self::IpAddress => "Address of the visitor, as far as it is stored",
            Self::VisitorId => "Id of the device",
            Self::UserId => "Id of the known person",
            Self::SessionId => "Id of the sender's own session",
            Self::Property(_) => "Value of a key of the event's properties",
        }
    }

    /// The dimension of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(key) = name.strip_prefix(PROPERTIES_PREFIX) {
            return (!key.is_empty()).then(|| Self::Property(key.to_owned()));
        }
        Self::NAMED
            .into_iter()
            .find(|(candidate, _)| *candidate == name)
            .map(|(_, dimension)| dimension)
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Property(key) = self {
            return write!(f, "{PROPERTIES_PREFIX}{key}");
        }
        let name = Self::NAMED.iter().find(|(_, dimension)| dimension == self);
        f.write_str(name.map_or("", |(name, _)| *name))
    }
}
