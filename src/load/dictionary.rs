//! Dictionaries: one table a kind, text → number.

use std::collections::HashMap;

use quick_cache::unsync::Cache;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// Texts of a kind that are remembered. 65,536 of 60 bytes are about 8 MB.
const CACHED_TEXTS: usize = 65_536;

/// The dictionaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as their tables")]
pub enum Kind {
    Name,
    Host,
    Path,
    Query,
    Title,
    Language,
    Screen,
    Country,
    PageType,
    Author,
    Referrer,
    Campaign,
    Agent,
    Category,
    Tag,
    Label,
}

impl Kind {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 16] = [
        Self::Name,
        Self::Host,
        Self::Path,
        Self::Query,
        Self::Title,
        Self::Language,
        Self::Screen,
        Self::Country,
        Self::PageType,
        Self::Author,
        Self::Referrer,
        Self::Campaign,
        Self::Agent,
        Self::Category,
        Self::Tag,
        Self::Label,
    ];

    /// Table, number column and text column.
    pub fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Name => ("names", "name_no", "name"),
            Self::Host => ("hosts", "host_no", "host"),
            Self::Path => ("paths", "path_no", "path"),
            Self::Query => ("queries", "query_no", "query"),
            Self::Title => ("titles", "title_no", "title"),
            Self::Language => ("languages", "language_no", "language"),
            Self::Screen => ("screens", "screen_no", "screen"),
            Self::Country => ("countries", "country_no", "country"),
            Self::PageType => ("page_types", "page_type_no", "page_type"),
            Self::Author => ("authors", "author_no", "author"),
            Self::Referrer => ("referrers", "referrer_no", "referrer_url"),
            Self::Campaign => ("campaigns", "campaign_no", "campaign_key"),
            Self::Agent => ("agents", "agent_no", "user_agent"),
            Self::Category => ("categories", "category_no", "category"),
            Self::Tag => ("tags", "tag_no", "tag"),
            Self::Label => ("labels", "label_no", "label"),
        }
    }

    /// Columns that hold what was derived from the text, in the order of [`Entry::derived`].
    fn derived_columns(self) -> &'static [&'static str] {
        match self {
            Self::Referrer => &["referrer"],
            Self::Campaign => &[
                "utm_source",
                "utm_medium",
                "utm_campaign",
                "utm_term",
                "utm_content",
            ],
            Self::Agent => &[
                "browser",
                "browser_version",
                "os",
                "os_version",
                "device",
                "is_bot::boolean",
            ],
            _ => &[],
        }
    }

    fn select_sql(self) -> String {
        let (table, number, text) = self.names();
        include_str!("sql/select_dictionary.sql")
            .replace("{table}", table)
            .replace("{number}", number)
            .replace("{text}", text)
    }

    fn insert_sql(self) -> String {
        let (table, number, text) = self.names();
        let derived = self.derived_columns();
        let column_name = |column: &str| column.split("::").next().unwrap_or_default().to_owned();
        let columns: String = derived
            .iter()
            .map(|column| format!(", {}", column_name(column)))
            .collect();
        let values: String = derived.iter().map(|column| format!(", {column}")).collect();
        let parameters: String = (0..derived.len())
            .map(|place| format!(", ${}::text[]", place + 2))
            .collect();
        include_str!("sql/insert_dictionary.sql")
            .replace("{table}", table)
            .replace("{number}", number)
            .replace("{text}", text)
            .replace("{columns}", &columns)
            .replace("{values}", &values)
            .replace("{parameters}", &parameters)
    }
}

/// The dictionaries whose texts others are derived from, and how many; those are labels too.
pub const DERIVED: [(Kind, usize); 3] =
    [(Kind::Referrer, 1), (Kind::Campaign, 5), (Kind::Agent, 5)];

/// A text to be numbered, with what is stored beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The text.
    pub text: String,
    /// What was derived from it, in the order of the table's columns.
    pub derived: Vec<Option<String>>,
}

/// One dictionary, with the texts it met lately.
#[derive(Debug)]
pub struct Dictionary {
    kind: Kind,
    cache: Cache<Box<str>, i32>,
    select_sql: String,
    insert_sql: String,
}

impl Dictionary {
    /// The dictionary of a kind, with an empty cache.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            cache: Cache::new(CACHED_TEXTS),
            select_sql: kind.select_sql(),
            insert_sql: kind.insert_sql(),
        }
    }

    /// The number of a text met lately.
    pub fn cached(&self, text: &str) -> Option<i32> {
        self.cache.get(text).copied()
    }

    /// Numbers entries, which must be sorted and unlike, and remembers them. Those that the table
    /// does not have are added.
    pub async fn resolve(
        &mut self,
        client: &Client,
        entries: Vec<Entry>,
    ) -> Result<HashMap<String, i32>, tokio_postgres::Error> {
        let mut numbers = HashMap::with_capacity(entries.len());
        if entries.is_empty() {
            return Ok(numbers);
        }
        let mut missing = entries;
        self.select(client, &mut missing, &mut numbers).await?;
        if !missing.is_empty() {
            self.insert(client, &mut missing, &mut numbers).await?;
        }
        if !missing.is_empty() {
            // Another loader added these in between.
            self.select(client, &mut missing, &mut numbers).await?;
        }
        debug_assert!(
            missing.is_empty(),
            "{:?} left texts without a number",
            self.kind
        );
        for (text, number) in &numbers {
            self.cache.insert(text.as_str().into(), *number);
        }
        Ok(numbers)
    }

    async fn select(
        &self,
        client: &Client,
        missing: &mut Vec<Entry>,
        numbers: &mut HashMap<String, i32>,
    ) -> Result<(), tokio_postgres::Error> {
        let texts: Vec<&str> = missing.iter().map(|entry| entry.text.as_str()).collect();
        let rows = client
            .query_typed(&self.select_sql, &[(&texts, Type::TEXT_ARRAY)])
            .await?;
        Self::take(&rows, missing, numbers);
        Ok(())
    }

    async fn insert(
        &self,
        client: &Client,
        missing: &mut Vec<Entry>,
        numbers: &mut HashMap<String, i32>,
    ) -> Result<(), tokio_postgres::Error> {
        let texts: Vec<&str> = missing.iter().map(|entry| entry.text.as_str()).collect();
        let derived: Vec<Vec<Option<&str>>> = (0..self.kind.derived_columns().len())
            .map(|place| {
                missing
                    .iter()
                    .map(|entry| entry.derived[place].as_deref())
                    .collect()
            })
            .collect();
        let mut parameters: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), Type)> =
            vec![(&texts, Type::TEXT_ARRAY)];
        for column in &derived {
            parameters.push((column, Type::TEXT_ARRAY));
        }
        let rows = client.query_typed(&self.insert_sql, &parameters).await?;
        Self::take(&rows, missing, numbers);
        Ok(())
    }

    fn take(
        rows: &[tokio_postgres::Row],
        missing: &mut Vec<Entry>,
        numbers: &mut HashMap<String, i32>,
    ) {
        for row in rows {
            numbers.insert(row.get(1), row.get(0));
        }
        missing.retain(|entry| !numbers.contains_key(&entry.text));
    }
}
