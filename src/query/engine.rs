//! Chooses where an answer comes from, and gets it there.

use crate::domain::question::Aggregate;
use crate::error::ApiError;

use super::aggregate;
use super::answer::Answer;
use super::session::Snapshot;

/// Answers Aggregate questions; every report is made of these.
#[derive(Debug, Default)]
pub struct Engine {}

impl Engine {
    /// Answers a question from what a snapshot sees. Reports that ask several questions ask them of one
    /// snapshot, so that their numbers fit each other.
    pub async fn aggregate(
        &self,
        snapshot: &Snapshot<'_>,
        question: &Aggregate,
    ) -> Result<Answer, ApiError> {
        aggregate::answer(snapshot, question).await
    }
}
