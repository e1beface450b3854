//! Chooses where an answer comes from, and gets it there.

use std::sync::Arc;

use crate::domain::bucket::{BucketWidth, Buckets};
use crate::domain::question::{Aggregate, ListEvents, Selection};
use crate::error::ApiError;
use crate::rollup::attributes::AttributeStore;
use crate::rollup::stored::COVERS_ALL_US;
use crate::store::directory::Directory;

use super::aggregate;
use super::answer::{Answer, RollupDescription};
use super::raw_scans::{RawScan, RawScans};
use super::rollup::answer::{Attempt, RollupReader};
use super::rollup::read::coverage;
use super::session::{Snapshot, TimeLimit};

/// Answers Aggregate questions; every report is made of these.
#[derive(Debug)]
pub struct Engine {
    directory: Arc<Directory>,
    rollups: RollupReader,
    raw_scans: RawScans,
}

impl Engine {
    /// Answers from rollups where it can, and keeps so many bytes of them in memory; else from raw
    /// events, so many questions of a property at a time.
    pub fn new(
        directory: Arc<Directory>,
        attributes: Arc<AttributeStore>,
        rollup_cache_bytes: usize,
        raw_scans: usize,
    ) -> Self {
        Self {
            directory,
            rollups: RollupReader::new(attributes, rollup_cache_bytes),
            raw_scans: RawScans::new(raw_scans),
        }
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
        let rollups = self.directory.rollups(question.selection.property_no);
        let reason = match self.rollups.answer(snapshot, question, &rollups).await {
            Ok(Attempt::Answered(mut answer)) => {
                if question.totals {
                    let totals = self.totals(snapshot, question).await?;
                    answer.plan.add("totals", totals.plan);
                    answer.totals = totals.rows.into_iter().next().map(|row| row.metrics);
                }
                return Ok(answer);
            }
            Ok(Attempt::NotCovered(reason)) => reason,
            // The events know it all the same; the log says what is wrong with the rollups.
            Err(ApiError::Internal) => "the rollups cannot be read",
            Err(error) => return Err(error),
        };
        let property_no = question.selection.property_no;
        let _turn = self.raw_scans.enter(property_no, snapshot.limit()).await?;
        let mut answer = aggregate::answer(snapshot, question).await?;
        answer
            .plan
            .steps
            .push(format!("not from a rollup: {reason}"));
        Ok(answer)
    }

    /// The rollups of a property, as far as they are.
    pub async fn rollups(
        &self,
        snapshot: &Snapshot<'_>,
        property_no: i32,
    ) -> Result<Vec<RollupDescription>, ApiError> {
        let covered_since_us = coverage(snapshot, property_no).await?;
        let is_ready = |rollup_no: i32| {
            let since_us = covered_since_us.get(&rollup_no);
            since_us.is_some_and(|since_us| *since_us <= COVERS_ALL_US)
        };
        let rollups = self.directory.rollups(property_no);
        let described = rollups.specs.iter().map(|spec| RollupDescription {
            name: spec.name.clone(),
            dimensions: spec.dimensions.clone(),
            grains: vec![BucketWidth::FifteenMinutes, BucketWidth::Day],
            is_ready: is_ready(spec.rollup_no),
        });
        Ok(described.collect())
    }

    /// Measures the whole range at once, perhaps from another rollup than the rows.
    async fn totals(
        &self,
        snapshot: &Snapshot<'_>,
        question: &Aggregate,
    ) -> Result<Answer, ApiError> {
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
        Box::pin(self.aggregate(snapshot, &question)).await
    }
}
