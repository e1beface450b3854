//! The first screen of a dashboard.

use crate::domain::metric::Metric;
use crate::domain::report::Overview;
use crate::error::ApiError;
use crate::query::engine::Engine;
use crate::query::session::Snapshot;

use super::QuestionPlan;
use super::breakdown::{self, BreakdownAnswer};
use super::compare::{self, ComparedAnswer};

/// The answer to an Overview question.
#[derive(Debug, Clone, PartialEq)]
pub struct OverviewAnswer {
    /// The series, with its totals.
    pub series: ComparedAnswer,
    /// The lists, in the order of the question.
    pub lists: Vec<BreakdownAnswer>,
}

impl OverviewAnswer {
    /// Takes out how its parts were had.
    pub fn take_plans(&mut self) -> Vec<QuestionPlan> {
        let mut plans = std::mem::take(&mut self.series.plans);
        for list in &mut self.lists {
            plans.append(&mut list.plans);
        }
        plans
    }
}

/// Answers a question. The totals are computed once, with the series, and every list has its shares of
/// them.
pub async fn answer(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    question: &Overview,
) -> Result<OverviewAnswer, ApiError> {
    let series = compare::answer(engine, snapshot, "series", &question.series).await?;
    let measured = &question.series.now.metrics;
    let totals = series.totals.as_ref().map(|totals| totals.now.as_slice());
    let total = |metric: &Metric| {
        let place = measured.iter().position(|one| one == metric);
        let value = place.and_then(|place| totals?.get(place));
        value.copied().unwrap_or(f64::NAN)
    };
    let mut lists = Vec::with_capacity(question.lists.len());
    for list in &question.lists {
        let whole: Vec<f64> = list.values.now.metrics.iter().map(total).collect();
        lists.push(breakdown::answer(engine, snapshot, list, Some(&whole)).await?);
    }
    Ok(OverviewAnswer { series, lists })
}
