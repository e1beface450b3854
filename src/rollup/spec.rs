//! Rollup specs: what is counted ahead of the questions. They are data: a name and a list of
//! dimensions. Every rollup is kept at 15 UTC minutes and at the property's local day.

use std::sync::{Arc, LazyLock};

use crate::domain::dimension::Dimension;
use crate::load::dictionary::Kind;

/// Dimensions of a rollup at most.
pub const MAX_DIMENSIONS: usize = 6;
/// Numbers of rollups that are declared for a property begin here; those below are everybody's.
pub const FIRST_DECLARED: i32 = 1_000;

/// A rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its number in the database. One that is given another meaning is given another number.
    pub rollup_no: i32,
    /// Its name.
    pub name: String,
    /// What it groups by, at most [`MAX_DIMENSIONS`]. Whether a bot sent the event is always kept apart.
    pub dimensions: Vec<Dimension>,
}

/// A column of facts: what an event has a number of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Column {
    /// The number of a dictionary, or a list of them.
    Text(Kind),
    /// The channel's number.
    Channel,
    /// The label's number of the text under a key of the event's properties.
    Property(String),
}

/// How a dimension's number is had from a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It is the column's number.
    Number(Column),
    /// It is the label's number of a text that was derived from the column's text: the one at this place
    /// among those of its dictionary.
    Derived(Kind, usize),
    /// Whether a bot sent the event: 1, else 0.
    IsBot,
}

/// Where a dimension is in facts. `None` for those that are nearly one an event or one a visitor (ids,
/// addresses): a rollup by them would be as large as the events.
pub fn source(dimension: &Dimension) -> Option<Source> {
    let text = |kind| Some(Source::Number(Column::Text(kind)));
    match dimension {
        Dimension::Name => text(Kind::Name),
        Dimension::Page => text(Kind::Path),
        Dimension::Host => text(Kind::Host),
        Dimension::Query => text(Kind::Query),
        Dimension::Title => text(Kind::Title),
        Dimension::PageType => text(Kind::PageType),
        Dimension::Author => text(Kind::Author),
        Dimension::Category => text(Kind::Category),
        Dimension::Tag => text(Kind::Tag),
        Dimension::ReferrerUrl => text(Kind::Referrer),
        Dimension::Country => text(Kind::Country),
        Dimension::Language => text(Kind::Language),
        Dimension::Screen => text(Kind::Screen),
        Dimension::Channel => Some(Source::Number(Column::Channel)),
        Dimension::Property(key) => Some(Source::Number(Column::Property(key.clone()))),
        Dimension::Referrer => Some(Source::Derived(Kind::Referrer, 0)),
        Dimension::UtmSource => Some(Source::Derived(Kind::Campaign, 0)),
        Dimension::UtmMedium => Some(Source::Derived(Kind::Campaign, 1)),
        Dimension::UtmCampaign => Some(Source::Derived(Kind::Campaign, 2)),
        Dimension::UtmTerm => Some(Source::Derived(Kind::Campaign, 3)),
        Dimension::UtmContent => Some(Source::Derived(Kind::Campaign, 4)),
        Dimension::Browser => Some(Source::Derived(Kind::Agent, 0)),
        Dimension::BrowserVersion => Some(Source::Derived(Kind::Agent, 1)),
        Dimension::Os => Some(Source::Derived(Kind::Agent, 2)),
        Dimension::OsVersion => Some(Source::Derived(Kind::Agent, 3)),
        Dimension::Device => Some(Source::Derived(Kind::Agent, 4)),
        Dimension::IsBot => Some(Source::IsBot),
        Dimension::IpAddress | Dimension::VisitorId | Dimension::UserId | Dimension::SessionId => {
            None
        }
    }
}

/// Whether an event may have several values of a dimension. Rows of such a rollup count an event more than
/// once, so they must not be added up.
pub fn is_list(dimension: &Dimension) -> bool {
    dimension.is_list()
}

impl Column {
    /// The column that a dimension needs.
    fn of(dimension: &Dimension) -> Option<Self> {
        match source(dimension)? {
            Source::Number(column) => Some(column),
            Source::Derived(kind, _) => Some(Self::Text(kind)),
            Source::IsBot => None,
        }
    }
}

impl Spec {
    /// The rollups that every property has.
    pub fn built_in() -> &'static [Self] {
        static BUILT_IN: LazyLock<Vec<Spec>> = LazyLock::new(|| {
            use Dimension::*;
            let spec = |rollup_no, name: &str, dimensions: &[Dimension]| Spec {
                rollup_no,
                name: name.to_owned(),
                dimensions: dimensions.to_vec(),
            };
            vec![
                spec(1, "totals", &[]),
                spec(2, "name", &[Name]),
                spec(3, "page", &[Page]),
                spec(4, "page_os", &[Page, Os]),
                spec(5, "technology", &[Browser, Os, Device]),
                spec(6, "geography", &[Country, Language]),
                spec(7, "acquisition", &[Channel, Referrer]),
                spec(
                    8,
                    "campaign",
                    &[UtmSource, UtmMedium, UtmCampaign, UtmTerm, UtmContent],
                ),
            ]
        });
        &BUILT_IN
    }

    /// The columns of facts that it needs.
    pub fn columns(&self) -> impl Iterator<Item = Column> {
        self.dimensions.iter().filter_map(Column::of)
    }
}

/// The rollups of a property.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollups {
    /// Each of them.
    pub specs: Vec<Arc<Spec>>,
    /// The columns of facts that they need.
    pub columns: Vec<Column>,
    property_keys: Vec<String>,
}

impl Rollups {
    /// The keys of properties that are among the columns, in their order.
    pub fn property_keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.property_keys.iter().map(String::as_str)
    }

    /// Those that every property has, and these.
    pub fn with(declared: impl IntoIterator<Item = Spec>) -> Self {
        let built_in = Spec::built_in().iter().cloned();
        let specs: Vec<Arc<Spec>> = built_in.chain(declared).map(Arc::new).collect();
        let columns = columns(specs.iter().map(AsRef::as_ref));
        let key = |column: &Column| match column {
            Column::Property(key) => Some(key.clone()),
            Column::Text(_) | Column::Channel => None,
        };
        Self {
            property_keys: columns.iter().filter_map(key).collect(),
            columns,
            specs,
        }
    }
}

/// The columns that several rollups need, each once.
pub fn columns<'a>(specs: impl IntoIterator<Item = &'a Spec>) -> Vec<Column> {
    let mut columns = Vec::new();
    for column in specs.into_iter().flat_map(Spec::columns) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}
