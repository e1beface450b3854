//! Chooses where an answer comes from, and gets it there.

use crate::domain::question::{Aggregate, ListEvents, Selection};
use crate::error::ApiError;

use super::aggregate;
use super::answer::Answer;
use super::raw_scans::{RawScan, RawScans};
use super::session::{Snapshot, TimeLimit};

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

    /// Waits for the turn of a list of events, which may read all of its range if it has a filter.
    pub async fn turn_to_list(
        &self,
        question: &ListEvents,
        limit: TimeLimit,
    ) -> Result<Option<RawScan>, ApiError> {
        let Selection {
            property_no,
            filter,
            ..
        } = &question.selection;
        if filter.is_none() {
            return Ok(None);
        }
        self.raw_scans.enter(*property_no, limit.0).await.map(Some)
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
