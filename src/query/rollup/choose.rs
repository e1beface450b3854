//! Which rollup answers a question, if any.

use std::sync::Arc;

use crate::domain::dimension::Dimension;
use crate::domain::filter::{Field, Filter, TextComparison};
use crate::domain::metric::Metric;
use crate::domain::question::Aggregate;
use crate::rollup::segment::SLOT_US;
use crate::rollup::spec::{MAX_DIMENSIONS, Rollups, Spec, is_list};

/// The rollups that can answer a question, the smallest first; or why none can.
pub fn candidates(question: &Aggregate, rollups: &Rollups) -> Result<Vec<Arc<Spec>>, &'static str> {
    if question.metrics.iter().any(|metric| is_percentile(*metric)) {
        return Err("percentiles are computed from the events");
    }
    // The first bucket starts where it likes: what is before the range is not asked for.
    let inner = question.buckets.starts().iter().skip(1);
    if inner
        .clone()
        .any(|start| start.as_microsecond() % SLOT_US != 0)
    {
        return Err("buckets shorter than 15 minutes are computed from the events");
    }
    if question.dimensions.len() > MAX_DIMENSIONS {
        return Err("no rollup has so many dimensions");
    }
    if question.others && question.dimensions.iter().any(is_list) {
        return Err("an event may be in several of the rows that are left out, and counts once");
    }
    let mut filtered = Vec::new();
    if let Some(filter) = &question.selection.filter {
        filter_dimensions(filter, &mut filtered)?;
    }
    let mut found: Vec<Arc<Spec>> = rollups
        .specs
        .iter()
        .filter(|spec| serves(spec, &question.dimensions, &filtered))
        .cloned()
        .collect();
    found.sort_by_key(|spec| (spec.dimensions.len(), spec.rollup_no));
    match found.is_empty() {
        true => Err("no rollup has all dimensions of the question and its filter"),
        false => Ok(found),
    }
}

fn is_percentile(metric: Metric) -> bool {
    match metric {
        Metric::DurationP50 | Metric::DurationP90 | Metric::DurationP99 => true,
        Metric::Events
        | Metric::PageViews
        | Metric::Visitors
        | Metric::DurationSum
        | Metric::DurationMean
        | Metric::DurationMin
        | Metric::DurationMax
        | Metric::ScrollDepthMean => false,
    }
}

fn serves(spec: &Spec, grouped: &[Dimension], filtered: &[&Dimension]) -> bool {
    let has = |dimension: &Dimension| {
        *dimension == Dimension::IsBot || spec.dimensions.contains(dimension)
    };
    // Its rows count an event once for each value of a list, so they must not be added up over these
    // values; and a filter on them selects events with all their values.
    let lists = spec
        .dimensions
        .iter()
        .filter(|dimension| is_list(dimension));
    grouped.iter().all(has)
        && filtered
            .iter()
            .all(|dimension| has(dimension) && !is_list(dimension))
        && lists.clone().all(|list| grouped.contains(list))
}

fn filter_dimensions<'f>(
    filter: &'f Filter,
    found: &mut Vec<&'f Dimension>,
) -> Result<(), &'static str> {
    match filter {
        Filter::All(filters) | Filter::Any(filters) => filters
            .iter()
            .try_for_each(|filter| filter_dimensions(filter, found)),
        Filter::Not(inner) => filter_dimensions(inner, found),
        // Some match the empty text, which an event without the key does not have.
        Filter::Text {
            dimension: Dimension::Property(_),
            comparison: TextComparison::MatchesRegex,
            ..
        } => Err("regular expressions on properties are applied to the events"),
        Filter::Text { dimension, .. } | Filter::Absent(Field::Dimension(dimension)) => {
            found.push(dimension);
            Ok(())
        }
        Filter::Number { .. } | Filter::Absent(Field::Measure(_)) => {
            Err("a filter on numbers is applied to the events")
        }
    }
}
