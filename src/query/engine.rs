//! Chooses where an answer comes from, and gets it there.

use crate::domain::question::Aggregate;
use crate::error::ApiError;

use super::aggregate;
use super::answer::Answer;
use super::raw_scans::RawScans;
use super::session::Snapshot;

/// Answers Aggregate questions; every report is made of these.
#[derive(Debug, Default)]
pub struct Engine {
    raw_scans: RawScans,
}

impl Engine {
    /// An engine that reads raw events as often at a time as these say.
    pub fn new(raw_scans: RawScans) -> Self {
        Self { raw_scans }
    }

    /// Answers a question from what a snapshot sees. Reports that ask several questions ask them of one
    /// snapshot, so that their numbers fit each other.
    pub async fn aggregate(
        &self,
        snapshot: &Snapshot<'_>,
        question: &Aggregate,
    ) -> Result<Answer, ApiError> {
        let property_no = question.selection.property_no;
        let _turn = self.raw_scans.enter(property_no, snapshot.limit()).await?;
        aggregate::answer(snapshot, question).await
    }
}
