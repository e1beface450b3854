//! Where each dimension is stored.

use tokio_postgres::types::Type;

use crate::domain::dimension::Dimension;

use super::params::Params;

/// How to group by a dimension. Neither expression is ever null: what is absent is 0 or empty, so
/// that rows can be compared and joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// What to group events `e` by.
    pub key: String,
    /// Joins that the key needs, each written once however many dimensions need it.
    pub key_joins: Vec<&'static str>,
    /// Join from a group `g` to the text of its key; `{key}` stands for the key's column.
    pub text_join: Option<String>,
    /// Text of the key; `{key}` stands for its column and `{alias}` for the joined table.
    pub text: String,
}

/// A dictionary that an event holds a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DictionaryColumn {
    /// Column of `events`, and of the dictionary.
    pub number: &'static str,
    /// The dictionary.
    pub table: &'static str,
    /// Column of the dictionary.
    pub text: &'static str,
}

/// Where the text of a dimension is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a dictionary, of which it is the key: one number, one text.
    Key(DictionaryColumn),
    /// In a dictionary, beside the key: several numbers may have the same text.
    Attribute(DictionaryColumn),
    /// In a dictionary, of which an event holds a list of numbers.
    List {
        /// Column of `events` with the numbers.
        numbers: &'static str,
        /// The dictionary; its number column is not one of `events`.
        dictionary: DictionaryColumn,
    },
    /// In a table whose numbers belong to one property.
    Identity(DictionaryColumn),
    /// In the event itself, as this expression.
    Inline(&'static str),
    /// In the event's properties, under this key.
    Property(String),
    /// The event's channel.
    Channel,
}

const AGENTS: &str = "left join agents a on a.agent_no = e.agent_no";
const CAMPAIGNS: &str = "left join campaigns c on c.campaign_no = e.campaign_no";
const REFERRERS: &str = "left join referrers r on r.referrer_no = e.referrer_no";

/// Where a dimension is stored.
pub fn place(dimension: &Dimension) -> Place {
    let key = |number, table, text| {
        Place::Key(DictionaryColumn {
            number,
            table,
            text,
        })
    };
    let agent = |text| {
        Place::Attribute(DictionaryColumn {
            number: "agent_no",
            table: "agents",
            text,
        })
    };
    let campaign = |text| {
        Place::Attribute(DictionaryColumn {
            number: "campaign_no",
            table: "campaigns",
            text,
        })
    };
    match dimension {
        Dimension::Name => key("name_no", "names", "name"),
        Dimension::Page => key("path_no", "paths", "path"),
        Dimension::Host => key("host_no", "hosts", "host"),
        Dimension::Query => key("query_no", "queries", "query"),
        Dimension::Title => key("title_no", "titles", "title"),
        Dimension::PageType => key("page_type_no", "page_types", "page_type"),
        Dimension::Author => key("author_no", "authors", "author"),
        Dimension::Country => key("country_no", "countries", "country"),
        Dimension::Language => key("language_no", "languages", "language"),
        Dimension::Screen => key("screen_no", "screens", "screen"),
        Dimension::ReferrerUrl => key("referrer_no", "referrers", "referrer_url"),
        Dimension::Referrer => Place::Attribute(DictionaryColumn {
            number: "referrer_no",
            table: "referrers",
            text: "referrer",
        }),
        Dimension::UtmSource => campaign("utm_source"),
        Dimension::UtmMedium => campaign("utm_medium"),
        Dimension::UtmCampaign => campaign("utm_campaign"),
        Dimension::UtmTerm => campaign("utm_term"),
        Dimension::UtmContent => campaign("utm_content"),
        Dimension::Browser => agent("browser"),
        Dimension::BrowserVersion => agent("browser_version"),
        Dimension::Os => agent("os"),
        Dimension::OsVersion => agent("os_version"),
        Dimension::Device => agent("device"),
        Dimension::Category => Place::List {
            numbers: "category_nos",
            dictionary: DictionaryColumn {
                number: "category_no",
                table: "categories",
                text: "category",
            },
        },
        Dimension::Tag => Place::List {
            numbers: "tag_nos",
            dictionary: DictionaryColumn {
                number: "tag_no",
                table: "tags",
                text: "tag",
            },
        },
        Dimension::VisitorId => Place::Identity(DictionaryColumn {
            number: "visitor_no",
            table: "visitors",
            text: "visitor_id",
        }),
        Dimension::UserId => Place::Identity(DictionaryColumn {
            number: "user_no",
            table: "users",
            text: "user_id",
        }),
        Dimension::SessionId => Place::Inline("e.session_id"),
        Dimension::IpAddress => Place::Inline("host(e.ip_address)"),
        Dimension::IsBot => Place::Inline("e.is_bot::text"),
        Dimension::Channel => Place::Channel,
        Dimension::Property(name) => Place::Property(name.clone()),
    }
}

/// How to group by a dimension. `$1` must be the property's number.
pub fn grouping(dimension: &Dimension, params: &mut Params) -> Grouping {
    match place(dimension) {
        Place::Key(column) => Grouping {
            key: format!("coalesce(e.{}, 0)", column.number),
            key_joins: Vec::new(),
            text_join: Some(format!(
                "left join {} {{alias}} on {{alias}}.{} = {{key}}",
                column.table, column.number
            )),
            text: joined_text(column),
        },
        Place::Attribute(column) => {
            let (alias, join) = match column.table {
                "agents" => ("a", AGENTS),
                "campaigns" => ("c", CAMPAIGNS),
                _ => ("r", REFERRERS),
            };
            Grouping {
                key: format!("coalesce({alias}.{}, '')", column.text),
                key_joins: vec![join],
                text_join: None,
                text: "{key}".to_owned(),
            }
        }
        Place::List {
            numbers,
            dictionary,
        } => {
            let join = match numbers {
                "category_nos" => {
                    "left join lateral unnest(e.category_nos) as in_category (no) on true"
                }
                _ => "left join lateral unnest(e.tag_nos) as in_tag (no) on true",
            };
            let alias = if numbers == "category_nos" {
                "in_category"
            } else {
                "in_tag"
            };
            Grouping {
                key: format!("coalesce({alias}.no, 0)"),
                key_joins: vec![join],
                text_join: Some(format!(
                    "left join {} {{alias}} on {{alias}}.{} = {{key}}",
                    dictionary.table, dictionary.number
                )),
                text: joined_text(dictionary),
            }
        }
        Place::Identity(column) => Grouping {
            key: format!("coalesce(e.{}, 0)", column.number),
            key_joins: Vec::new(),
            text_join: Some(format!(
                "left join {} {{alias}} on {{alias}}.property_no = $1 and {{alias}}.{} = {{key}}",
                column.table, column.number
            )),
            text: joined_text(column),
        },
        Place::Inline(expression) => inline(format!("coalesce({expression}, '')")),
        Place::Property(name) => {
            let name = params.bind(name, Type::TEXT);
            inline(format!("coalesce(e.properties ->> {name}, '')"))
        }
        Place::Channel => Grouping {
            key: "e.channel".to_owned(),
            key_joins: Vec::new(),
            text_join: None,
            text: CHANNEL_TEXT.to_owned(),
        },
    }
}

fn inline(key: String) -> Grouping {
    Grouping {
        key,
        key_joins: Vec::new(),
        text_join: None,
        text: "{key}".to_owned(),
    }
}

fn joined_text(column: DictionaryColumn) -> String {
    format!("coalesce({{alias}}.{}, '')", column.text)
}

/// The names of channels, in the order of their numbers, from 1.
pub const CHANNELS: [&str; 6] = [
    "direct", "search", "social", "email", "campaign", "referral",
];
/// The names of [`Channel`](crate::enrich::channel::Channel), in the order of their numbers.
pub const CHANNEL_TEXT: &str =
    "(array['direct', 'search', 'social', 'email', 'campaign', 'referral'])[{key}]";
