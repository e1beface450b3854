//! What can be measured.

/// A measure of a group of events; query_service.proto defines each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in query_service.proto")]
pub enum Metric {
    Events,
    PageViews,
    Visitors,
    DurationSum,
    DurationMean,
    DurationMin,
    DurationMax,
    DurationP50,
    DurationP90,
    DurationP99,
    ScrollDepthMean,
}

impl Metric {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 11] = [
        Self::Events,
        Self::PageViews,
        Self::Visitors,
        Self::DurationSum,
        Self::DurationMean,
        Self::DurationMin,
        Self::DurationMax,
        Self::DurationP50,
        Self::DurationP90,
        Self::DurationP99,
        Self::ScrollDepthMean,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::PageViews => "page_views",
            Self::Visitors => "visitors",
            Self::DurationSum => "duration_sum",
            Self::DurationMean => "duration_mean",
            Self::DurationMin => "duration_min",
            Self::DurationMax => "duration_max",
            Self::DurationP50 => "duration_p50",
            Self::DurationP90 => "duration_p90",
            Self::DurationP99 => "duration_p99",
            Self::ScrollDepthMean => "scroll_depth_mean",
        }
    }

    /// The metric of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Its value for no events at all.
    pub fn of_nothing(self) -> f64 {
        match self {
            Self::Events | Self::PageViews | Self::Visitors | Self::DurationSum => 0.0,
            Self::DurationMean
            | Self::DurationMin
            | Self::DurationMax
            | Self::DurationP50
            | Self::DurationP90
            | Self::DurationP99
            | Self::ScrollDepthMean => f64::NAN,
        }
    }
}
