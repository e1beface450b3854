//! Which rows an answer has: those for buckets without events too, if they are wanted.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

use crate::domain::question::{Aggregate, MAX_ROWS, Sort, SortKey};
use crate::error::ApiError;

use super::answer::{Answer, AnswerRow};

/// Keeps the rows that the question wants, in order.
pub fn choose(answer: &mut Answer, question: &Aggregate) -> Result<(), ApiError> {
    if let Some(only) = &question.only {
        answer.rows.retain(|row| only.contains(&row.key()));
    } else if question.fill_gaps {
        fill(answer, question)?;
    } else {
        answer.rows.truncate(question.limit);
    }
    Ok(())
}

/// Gives every combination of dimension values a row in every bucket, and brings all in order.
pub fn fill(answer: &mut Answer, question: &Aggregate) -> Result<(), ApiError> {
    let mut combinations: BTreeSet<Vec<String>> = answer
        .rows
        .iter()
        .map(|row| row.dimensions.clone())
        .collect();
    if question.dimensions.is_empty() {
        combinations.insert(Vec::new());
    }
    let filled = combinations.len() as u64 * question.buckets.count() as u64;
    if filled.max(answer.row_count) > MAX_ROWS as u64 {
        return Err(too_large(filled.max(answer.row_count)));
    }

    let present: HashSet<(usize, Vec<String>)> = answer
        .rows
        .iter()
        .map(|row| (row.bucket, row.dimensions.clone()))
        .collect();
    let nothing: Vec<f64> = question
        .metrics
        .iter()
        .map(|metric| metric.of_nothing())
        .collect();
    for dimensions in combinations {
        for bucket in 0..question.buckets.count() {
            let key = (bucket, dimensions.clone());
            if !present.contains(&key) {
                let (bucket, dimensions) = key;
                answer.rows.push(AnswerRow {
                    bucket,
                    dimensions,
                    metrics: nothing.clone(),
                });
            }
        }
    }
    answer
        .rows
        .sort_by(|one, other| compare(one, other, &question.order));
    answer.row_count = answer.rows.len() as u64;
    answer.rows.truncate(question.limit);
    Ok(())
}

/// The answer would have so many rows with its gaps filled.
pub fn too_large(rows: u64) -> ApiError {
    ApiError::AnswerTooLarge {
        what: "the answer with its gaps filled",
        rows,
        limit_rows: MAX_ROWS as u64,
    }
}

/// How two values of a metric are ordered: what has no value last, either way.
pub fn compare_metrics(one: f64, other: f64, sort: Sort) -> Ordering {
    match one.is_nan() || other.is_nan() {
        true => one.is_nan().cmp(&other.is_nan()),
        false => sort.directed(one.total_cmp(&other)),
    }
}

/// The order that aggregate.sql has: text byte by byte, what has no value last either way.
pub fn compare(one: &AnswerRow, other: &AnswerRow, order: &[Sort]) -> Ordering {
    let by_key = |sort: &Sort| match sort.key {
        SortKey::Bucket => sort.directed(one.bucket.cmp(&other.bucket)),
        SortKey::Dimension(place) => {
            sort.directed(one.dimensions[place].cmp(&other.dimensions[place]))
        }
        SortKey::Metric(place) => compare_metrics(one.metrics[place], other.metrics[place], *sort),
    };
    order
        .iter()
        .map(by_key)
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}
