//! Reports: several Aggregate questions, asked of one snapshot, so that their numbers fit each other.
//!
//! ```text
//!  aggregate ──────────────▶ compare ──▶ engine: the range
//!  breakdown ──▶ shares ───▶    │   └──▶ engine: the range before
//!  overview ───▶ lists ────▶    ▼
//!                             rows of both ranges, side by side
//! ```
//!
//! - [`compare`] asks a question of a range and of the one before, and brings their rows together.
//! - [`breakdown`] adds shares and series to the values of a dimension.
//! - [`overview`] is a series with its totals and several breakdowns.
//! - [`metadata`] says what can be asked about a property.

pub mod breakdown;
pub mod compare;
pub mod metadata;
pub mod overview;
mod weigh;

use jiff::Timestamp;

use crate::domain::report::{Breakdown, Compared, Overview};
use crate::error::ApiError;

use super::answer::Plan;
use super::cache::Weigh;
use super::cache::key::Key;
use super::engine::Engine;
use super::session::{Executed, Snapshot};

use self::breakdown::BreakdownAnswer;
use self::compare::ComparedAnswer;
use self::overview::OverviewAnswer;

/// A question, of one kind or another.
pub trait Report: Send + Sync + 'static {
    /// What comes of it.
    type Answer: Weigh + Clone;

    /// What makes it the same as another one.
    fn key(&self, now: Timestamp) -> Key;

    /// Has it answered from what a snapshot sees.
    fn ask(
        &self,
        engine: &Engine,
        snapshot: &Snapshot<'_>,
    ) -> impl Future<Output = Result<(Self::Answer, About), ApiError>> + Send;
}

impl Report for Compared {
    type Answer = ComparedAnswer;

    fn key(&self, now: Timestamp) -> Key {
        let property_no = self.now.selection.property_no;
        Key::of("aggregate", property_no).compared(self, now).done()
    }

    async fn ask(
        &self,
        engine: &Engine,
        snapshot: &Snapshot<'_>,
    ) -> Result<(ComparedAnswer, About), ApiError> {
        let mut answer = compare::answer(engine, snapshot, "rows", self).await?;
        let plans = std::mem::take(&mut answer.plans);
        Ok((answer, About::of(snapshot, plans)))
    }
}

impl Report for Breakdown {
    type Answer = BreakdownAnswer;

    fn key(&self, now: Timestamp) -> Key {
        let property_no = self.values.now.selection.property_no;
        Key::of("breakdown", property_no)
            .breakdown(self, now)
            .done()
    }

    async fn ask(
        &self,
        engine: &Engine,
        snapshot: &Snapshot<'_>,
    ) -> Result<(BreakdownAnswer, About), ApiError> {
        let mut answer = breakdown::answer(engine, snapshot, self, None).await?;
        let plans = std::mem::take(&mut answer.plans);
        Ok((answer, About::of(snapshot, plans)))
    }
}

impl Report for Overview {
    type Answer = OverviewAnswer;

    fn key(&self, now: Timestamp) -> Key {
        let Self {
            series,
            metrics,
            lists,
        } = self;
        let property_no = series.now.selection.property_no;
        let builder = Key::of("overview", property_no)
            .compared(series, now)
            .with(metrics);
        let lists = lists.iter();
        lists
            .fold(builder, |builder, list| builder.breakdown(list, now))
            .done()
    }

    async fn ask(
        &self,
        engine: &Engine,
        snapshot: &Snapshot<'_>,
    ) -> Result<(OverviewAnswer, About), ApiError> {
        let mut answer = overview::answer(engine, snapshot, self).await?;
        let plans = answer.take_plans();
        Ok((answer, About::of(snapshot, plans)))
    }
}

/// How a report was had.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// Every event that was in the database then is in it.
    pub watermark: Timestamp,
    /// Its questions.
    pub plans: Vec<QuestionPlan>,
    /// What was run for it.
    pub executed: Vec<Executed>,
}

/// How the answer to one question of a report was had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionPlan {
    /// Which part of the report it is.
    pub question: String,
    /// How it was had.
    pub plan: Plan,
}

impl About {
    /// What is known when all of a report's questions have been answered.
    pub fn of(snapshot: &Snapshot<'_>, plans: Vec<QuestionPlan>) -> Self {
        Self {
            watermark: snapshot.watermark(),
            plans,
            executed: snapshot.executed(),
        }
    }

    /// Where the numbers come from, each source once.
    pub fn source(&self) -> String {
        let mut sources: Vec<&str> = Vec::new();
        for question in &self.plans {
            if !sources.contains(&question.plan.source.as_str()) {
                sources.push(&question.plan.source);
            }
        }
        sources.join(", ")
    }
}
