//! Chooses where an answer comes from, and gets it there.

use std::sync::Arc;

use crate::domain::bucket::{BucketWidth, Buckets};
use crate::domain::question::Aggregate;
use crate::error::ApiError;
use crate::rollup::attributes::AttributeStore;
use crate::store::directory::Directory;

use super::aggregate;
use super::answer::{Answer, RollupDescription};
use super::rollup::answer::{Attempt, RollupReader};
use super::session::Snapshot;

/// Answers Aggregate questions; every report is made of these.
#[derive(Debug)]
pub struct Engine {
    directory: Arc<Directory>,
    rollups: RollupReader,
}

impl Engine {
    /// Answers from rollups where it can, and keeps so many bytes of them in memory.
    pub fn new(
        directory: Arc<Directory>,
        attributes: Arc<AttributeStore>,
        rollup_cache_bytes: usize,
    ) -> Self {
        Self {
            directory,
            rollups: RollupReader::new(attributes, rollup_cache_bytes),
        }
    }

    /// Answers a question from what a snapshot sees. Reports that ask several questions ask them of one
    /// snapshot, so that their numbers fit each other.
    pub async fn aggregate(
        &self,
        snapshot: &Snapshot<'_>,
        question: &Aggregate,
    ) -> Result<Answer, ApiError> {
        let rollups = self.directory.rollups(question.selection.property_no);
        match self.rollups.answer(snapshot, question, &rollups).await? {
            Attempt::Answered(mut answer) => {
                if question.totals {
                    answer.totals = Some(self.totals(snapshot, question).await?);
                }
                Ok(answer)
            }
            Attempt::NotCovered(reason) => {
                let mut answer = aggregate::answer(snapshot, question).await?;
                answer
                    .plan
                    .steps
                    .push(format!("not from a rollup: {reason}"));
                Ok(answer)
            }
        }
    }

    /// The rollups of a property, as far as they are.
    pub async fn rollups(
        &self,
        _snapshot: &Snapshot<'_>,
        _property_no: i32,
    ) -> Result<Vec<RollupDescription>, ApiError> {
        Ok(Vec::new())
    }

    /// Measures the whole range at once, perhaps from another rollup than the rows.
    async fn totals(
        &self,
        snapshot: &Snapshot<'_>,
        question: &Aggregate,
    ) -> Result<Vec<f64>, ApiError> {
        let range = question.selection.range;
        let whole = Buckets::cover(range, BucketWidth::WholeRange, &question.time_zone);
        let question = Aggregate {
            buckets: whole.map_err(|_| ApiError::Internal)?,
            dimensions: Vec::new(),
            order: Vec::new(),
            limit: 1,
            fill_gaps: true,
            totals: false,
            others: false,
            only: None,
            ..question.clone()
        };
        let answer = Box::pin(self.aggregate(snapshot, &question)).await?;
        let row = answer.rows.into_iter().next();
        row.map(|row| row.metrics).ok_or(ApiError::Internal)
    }
}
