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

use jiff::Timestamp;

use crate::domain::report::{Breakdown, Compared, Overview};
use crate::error::ApiError;

use super::answer::Plan;
use super::engine::Engine;
use super::session::{Executed, Snapshot};

/// A question, of one kind or another.
pub trait Report: Sync {
    /// What comes of it.
    type Answer: Send;

    /// Has it answered from what a snapshot sees.
    fn ask(
        &self,
        engine: &Engine,
        snapshot: &Snapshot<'_>,
    ) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;
}

impl Report for Compared {
    type Answer = (compare::ComparedAnswer, About);

    async fn ask(
        &self,
        engine: &Engine,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self::Answer, ApiError> {
        let mut answer = compare::answer(engine, snapshot, "rows", self).await?;
        let plans = std::mem::take(&mut answer.plans);
        Ok((answer, About::of(snapshot, plans)))
    }
}

impl Report for Breakdown {
    type Answer = (breakdown::BreakdownAnswer, About);

    async fn ask(
        &self,
        engine: &Engine,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self::Answer, ApiError> {
        let mut answer = breakdown::answer(engine, snapshot, self, None).await?;
        let plans = std::mem::take(&mut answer.plans);
        Ok((answer, About::of(snapshot, plans)))
    }
}

impl Report for Overview {
    type Answer = (overview::OverviewAnswer, About);

    async fn ask(
        &self,
        engine: &Engine,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self::Answer, ApiError> {
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
