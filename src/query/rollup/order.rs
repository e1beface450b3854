//! Groups → rows, in the order asked for.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::domain::metric::Metric;
use crate::domain::question::{Aggregate, RowKey, Sort, SortKey};
use crate::query::answer::AnswerRow;
use crate::query::gaps;
use crate::rollup::cell::Cell;
use crate::rollup::segment::Key;

use super::scan::Group;

/// The texts of a dimension's numbers.
pub type TextsOfNumbers = HashMap<u32, Arc<str>>;

/// Groups in the order asked for.
pub struct Ordered {
    /// Rows of those that are wanted.
    pub rows: Vec<AnswerRow>,
    /// The place of each row's group.
    pub places: Vec<usize>,
    /// The places of the groups that were left out.
    pub left_out: Vec<usize>,
}

/// The rows that are asked for, in the order asked for. Where gaps are to be filled these are all.
///
/// Groups are sorted by numbers that are in the order of their texts, which is much quicker than by texts;
/// rows are made of those that are wanted only.
pub fn in_order(
    question: &Aggregate,
    groups: &[Group],
    visitors: &[u64],
    texts: &[TextsOfNumbers],
) -> Ordered {
    let ranks: Vec<FxHashMap<u32, u32>> = texts.iter().map(ranks).collect();
    let width = question.metrics.len();
    let mut values = Vec::with_capacity(groups.len() * width);
    let mut keys = Vec::with_capacity(groups.len());
    for (group, visitors) in groups.iter().zip(visitors) {
        values.extend(metrics(&question.metrics, &group.cell, *visitors));
        let mut key = Key::default();
        for (place, ranks) in ranks.iter().enumerate() {
            key[place] = ranks.get(&group.key[place]).copied().unwrap_or_default();
        }
        keys.push(key);
    }
    let by_key = |sort: &Sort, one: usize, other: usize| match sort.key {
        SortKey::Bucket => sort.directed(groups[one].bucket.cmp(&groups[other].bucket)),
        SortKey::Dimension(place) => sort.directed(keys[one][place].cmp(&keys[other][place])),
        SortKey::Metric(place) => {
            let value = |group: usize| values[group * width + place];
            gaps::compare_metrics(value(one), value(other), *sort)
        }
    };
    let mut places: Vec<usize> = (0..groups.len()).collect();
    places.sort_unstable_by(|one, other| {
        let mut orderings = question.order.iter().map(|sort| by_key(sort, *one, *other));
        let first = orderings.find(|ordering| ordering.is_ne());
        first.unwrap_or(Ordering::Equal)
    });
    let left_out: Vec<usize> = match &question.only {
        Some(only) => {
            let only = ranked(only, texts, &ranks);
            let is_wanted = |place: &usize| only.contains(&(groups[*place].bucket, keys[*place]));
            let (wanted, left_out) = places.into_iter().partition(is_wanted);
            places = wanted;
            left_out
        }
        None if question.fill_gaps => Vec::new(),
        None => places.split_off(places.len().min(question.limit)),
    };
    let row = |place: usize| {
        let group = &groups[place];
        let text = |(place, texts): (usize, &TextsOfNumbers)| {
            let text = texts.get(&group.key[place]);
            text.map_or_else(String::new, |text| (**text).to_owned())
        };
        AnswerRow {
            bucket: group.bucket as usize,
            dimensions: texts.iter().enumerate().map(text).collect(),
            metrics: values[place * width..(place + 1) * width].to_vec(),
        }
    };
    Ordered {
        rows: places.iter().copied().map(row).collect(),
        places,
        left_out,
    }
}

/// Rows that are asked for by their texts, with ranks instead, as far as there are such texts.
fn ranked(
    only: &HashSet<RowKey>,
    texts: &[TextsOfNumbers],
    ranks: &[FxHashMap<u32, u32>],
) -> FxHashSet<(u32, Key)> {
    let of_texts: Vec<HashMap<&str, u32>> = texts
        .iter()
        .zip(ranks)
        .map(|(texts, ranks)| {
            let texts = texts.iter();
            texts
                .filter_map(|(number, text)| Some((&**text, *ranks.get(number)?)))
                .collect()
        })
        .collect();
    let key = |values: &[String]| {
        let mut key = Key::default();
        for (place, value) in values.iter().enumerate() {
            key[place] = *of_texts[place].get(value.as_str())?;
        }
        Some(key)
    };
    only.iter()
        .filter_map(|(bucket, values)| Some((u32::try_from(*bucket).ok()?, key(values)?)))
        .collect()
}

/// For each number its place among the texts; equal texts share one.
fn ranks(texts: &TextsOfNumbers) -> FxHashMap<u32, u32> {
    let mut sorted: Vec<(&Arc<str>, u32)> =
        texts.iter().map(|(number, text)| (text, *number)).collect();
    sorted.sort_unstable();
    let mut ranks = FxHashMap::default();
    for (rank, group) in (0..).zip(sorted.chunk_by(|one, other| one.0 == other.0)) {
        ranks.extend(group.iter().map(|(_, number)| (*number, rank)));
    }
    ranks
}

/// The values of metrics.
pub fn metrics<'m>(
    wanted: &'m [Metric],
    cell: &'m Cell,
    visitors: u64,
) -> impl Iterator<Item = f64> + 'm {
    let mean = |sum: u64, count: u64, unit: f64| match count {
        0 => f64::NAN,
        _ => sum as f64 / count as f64 / unit,
    };
    let of_durations = |ms: u32| match cell.durations {
        0 => f64::NAN,
        _ => f64::from(ms) / 1_000.0,
    };
    wanted.iter().map(move |metric| match metric {
        Metric::Events => cell.events as f64,
        Metric::PageViews => cell.page_views as f64,
        Metric::Visitors => visitors as f64,
        Metric::DurationSum => cell.duration_sum_ms as f64 / 1_000.0,
        Metric::DurationMean => mean(cell.duration_sum_ms, cell.durations, 1_000.0),
        Metric::DurationMin => of_durations(cell.duration_min_ms),
        Metric::DurationMax => of_durations(cell.duration_max_ms),
        Metric::ScrollDepthMean => mean(cell.scroll_sum_bp, cell.scrolls, 100.0),
        // `choose` has seen to it that they are not asked for.
        Metric::DurationP50 | Metric::DurationP90 | Metric::DurationP99 => f64::NAN,
    })
}
