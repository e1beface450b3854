//! IngestService.

use std::collections::VecDeque;
use std::ops::Range;

use jiff::Timestamp;
use tonic::{Request, Response, Status, Streaming};

use crate::domain::event::Verdict;
use crate::error::ApiError;
use crate::log::cover;
use crate::log::event::Records;
use crate::metrics;
use crate::pb;
use crate::pb::server::ingest_service_server::IngestService;
use crate::validate::event;

use super::convert;
use super::intake::{self, Pending, Verdicts};
use super::pipe::{self, Replies};
use super::scope::Scope;
use super::stream_batch::{PipeBatch, StreamBatch};
use super::stream_summary::StreamSummary;
use super::wire_limits;

/// Messages of one stream that wait for their acknowledgement at most. More would not be faster, and
/// flow control holds the client back while it is reached.
const MAX_PENDING: usize = 8;

/// The handlers; everything they need is in the call's scope.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ingest;

#[tonic::async_trait]
impl IngestService for Ingest {
    type PipeEventsStream = Replies;

    async fn ingest_event(
        &self,
        request: Request<pb::IngestEventRequest>,
    ) -> Result<Response<pb::IngestEventResponse>, Status> {
        let scope = Scope::of(&request)?;
        let property = scope.property()?;
        scope.core.log.check_room()?;
        let request = request.into_inner();
        let until = intake::until(request.acknowledgement)?;
        let mut sent = request
            .event
            .ok_or_else(|| ApiError::invalid("event", "is absent"))?;

        let now_us = Timestamp::now().as_microsecond();
        let event = event::validate((&mut sent).into(), property, now_us)
            .inspect_err(|refused| {
                metrics::count_event(&Verdict::Rejected(refused.violations.clone()));
            })
            .map_err(|refused| convert::refused_call(refused, "event"))?;
        let event_id = event.event_id;
        let mut records = Records::with_capacity(1);
        records.push(&scope.core.enricher.enrich(event, property), now_us);
        drop(sent);
        let mut appended = scope.core.log.append(records.finish(), until).await?;
        // The log has the event, in a budget of its own.
        scope.release_message();
        let verdict = Verdicts::new(appended.acknowledged().await?).of_next();
        metrics::count_event(&verdict);
        match verdict {
            Verdict::Accepted | Verdict::Duplicate => {
                let result = Some(convert::event_result(Some(event_id), verdict));
                Ok(Response::new(pb::IngestEventResponse {
                    result,
                    freshness_token: scope.freshness_token(appended.logged()),
                }))
            }
            Verdict::Rejected(violations) => {
                let within = |violation: crate::error::Violation| violation.within("event");
                let violations = violations.into_iter().map(within).collect();
                Err(ApiError::InvalidFields(violations).into())
            }
            Verdict::Retry => Err(ApiError::DatabaseUnavailable.into()),
        }
    }

    async fn stream_events(
        &self,
        request: Request<Streaming<StreamBatch>>,
    ) -> Result<Response<pb::StreamEventsResponse>, Status> {
        let scope = Scope::of(&request)?;
        let mut batches = request.into_inner();
        let mut stream = EventStream::default();
        let received = loop {
            let next = tokio::select! {
                next = batches.message() => next,
                () = scope.core.draining.cancelled() => break Err(None),
            };
            let appended = match next {
                Ok(Some(batch)) => stream.append(batch, &scope).await.map_err(Status::from),
                Ok(None) => break Ok(()),
                Err(status) => Err(wire_limits::explain(status)),
            };
            if let Err(status) = appended {
                break Err(Some(status));
            }
        };
        // Nobody reads on, so nothing of it has to be kept while commits are waited for.
        drop(batches);
        // Whatever ended the stream, what was received before is stored.
        let settled = stream.settle_all().await;
        match received {
            Ok(()) => settled?,
            Err(Some(status)) => {
                // Who is told of a bad message takes those before it for stored.
                settled?;
                return Err(status);
            }
            Err(None) => {
                let acknowledged_events = stream.summary.acknowledged();
                let error = ApiError::StreamCutShort {
                    acknowledged_events,
                };
                return Err(error.into());
            }
        }
        let freshness_token = scope.freshness_token(stream.logged);
        Ok(Response::new(stream.summary.finish(freshness_token)))
    }

    async fn pipe_events(
        &self,
        request: Request<Streaming<PipeBatch>>,
    ) -> Result<Response<Self::PipeEventsStream>, Status> {
        let scope = Scope::of(&request)?;
        scope.property()?;
        Ok(Response::new(pipe::replies(scope, request.into_inner())))
    }
}

/// A stream's events: those that wait for their acknowledgement, and what became of the others.
#[derive(Debug, Default)]
struct EventStream {
    pending: VecDeque<Pending>,
    summary: StreamSummary,
    /// Covers the records of those that were acknowledged.
    logged: Option<Range<u64>>,
}

impl EventStream {
    async fn append(&mut self, batch: StreamBatch, scope: &Scope) -> Result<(), ApiError> {
        let pending = Pending::new(scope, batch.events, batch.acknowledgement).await?;
        self.pending.push_back(pending);
        while self.pending.len() >= MAX_PENDING || !intake::has_room(self.pending.iter()) {
            self.settle_one().await?;
        }
        Ok(())
    }

    async fn settle_all(&mut self) -> Result<(), ApiError> {
        while !self.pending.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    /// Waits for the oldest message and adds it to the summary.
    async fn settle_one(&mut self) -> Result<(), ApiError> {
        let Some(mut pending) = self.pending.pop_front() else {
            return Ok(());
        };
        let acknowledged = pending.acknowledged().await?;
        cover(&mut self.logged, pending.logged());
        pending.settle(acknowledged, |event_id, verdict| {
            self.summary.add(event_id, verdict);
        });
        Ok(())
    }
}
