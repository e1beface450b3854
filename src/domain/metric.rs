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

    /// How it is computed, for people, and its unit.
    pub fn description(self) -> (&'static str, &'static str) {
        match self {
            Self::Events => ("Number of events", "count"),
            Self::PageViews => ("Number of events named page_view", "count"),
            Self::Visitors => ("Number of different visitors, each once, exact", "count"),
            Self::DurationSum => ("Sum of the durations of events that have one", "seconds"),
            Self::DurationMean => ("Mean of the durations of events that have one", "seconds"),
            Self::DurationMin => ("Shortest duration", "seconds"),
            Self::DurationMax => ("Longest duration", "seconds"),
            Self::DurationP50 => ("Median of the durations, interpolated", "seconds"),
            Self::DurationP90 => ("90th percentile of the durations, interpolated", "seconds"),
            Self::DurationP99 => ("99th percentile of the durations, interpolated", "seconds"),
            Self::ScrollDepthMean => (
                "Mean of the scroll depths of events that have one",
                "percent",
            ),
        }
    }

    /// Whether a part of the events can have a share of it.
    pub fn has_shares(self) -> bool {
        match self {
            Self::Events | Self::PageViews | Self::Visitors | Self::DurationSum => true,
            Self::DurationMean
            | Self::DurationMin
            | Self::DurationMax
            | Self::DurationP50
            | Self::DurationP90
            | Self::DurationP99
            | Self::ScrollDepthMean => false,
        }
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
