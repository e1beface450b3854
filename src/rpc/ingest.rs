//! IngestService.

use std::collections::VecDeque;

use jiff::Timestamp;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::domain::event::Verdict;
use crate::enrich::record::Record;
use crate::error::ApiError;
use crate::log::{Appended, Outcome};
use crate::metrics::{self, VerdictCounts};
use crate::pb;
use crate::pb::server::ingest_service_server::IngestService;
use crate::validate::event::{self, MAX_EVENTS, Refused};

use super::convert;
use super::scope::Scope;
use super::stream_batch::StreamBatch;
use super::stream_summary::StreamSummary;
use super::wire_limits;

/// Batches of one stream that wait for their commit at most. More would not be faster, and flow
/// control holds the client back while it is reached.
const MAX_PENDING: usize = 8;

/// Memory that a record takes beside its text, in bytes, roughly.
const RECORD_BYTES: usize = 512;

/// The handlers; everything they need is in the call's scope.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ingest;

#[tonic::async_trait]
impl IngestService for Ingest {
    async fn ingest_event(
        &self,
        request: Request<pb::IngestEventRequest>,
    ) -> Result<Response<pb::IngestEventResponse>, Status> {
        let scope = Scope::of(&request)?;
        let property = scope.property()?;
        let event = request
            .into_inner()
            .event
            .ok_or_else(|| ApiError::invalid("event", "is absent"))?;

        let bytes = event.encoded_len() + RECORD_BYTES;
        let event = event::validate(event, property, Timestamp::now().as_microsecond())
            .inspect_err(|refused| {
                metrics::count_event(&Verdict::Rejected(refused.violations.clone()));
            })
            .map_err(|refused| convert::refused_call(refused, "event"))?;
        let event_id = event.event_id;
        let record = scope.core.enricher.enrich(event, property);
        let outcomes = scope
            .core
            .log
            .append(vec![record], bytes)
            .await?
            .committed()
            .await?;

        let verdict = match outcomes.first() {
            Some(Outcome::Stored) => Verdict::Accepted,
            Some(Outcome::Duplicate) => Verdict::Duplicate,
            Some(Outcome::NotStored) | None => {
                metrics::count_event(&Verdict::Retry);
                return Err(ApiError::DatabaseUnavailable.into());
            }
        };
        metrics::count_event(&verdict);
        let result = Some(convert::event_result(Some(event_id), verdict));
        Ok(Response::new(pb::IngestEventResponse { result }))
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
                () = scope.core.draining.cancelled() => Err(ApiError::ShuttingDown.into()),
            };
            let appended = match next {
                Ok(Some(batch)) => stream.append(batch, &scope).await,
                Ok(None) => break Ok(()),
                Err(status) => Err(wire_limits::explain(status)),
            };
            if let Err(status) = appended {
                break Err(status);
            }
        };
        // Whatever ended the stream, what was received before is stored.
        let settled = stream.settle_all().await;
        received.and(settled)?;
        Ok(Response::new(stream.summary.finish()))
    }
}

/// A stream's events: those that wait for their commit, and what became of the others.
#[derive(Debug, Default)]
struct EventStream {
    pending: VecDeque<Pending>,
    summary: StreamSummary,
}

/// A batch that was appended.
#[derive(Debug)]
struct Pending {
    /// Every event of the batch, in order: its id if it was appended, else why not.
    events: Vec<Result<Uuid, Refused>>,
    /// `None` when all were refused.
    appended: Option<Appended>,
}

impl EventStream {
    async fn append(&mut self, batch: StreamBatch, scope: &Scope) -> Result<(), Status> {
        let property = scope.property()?;
        if batch.events.len() > MAX_EVENTS {
            let count = batch.events.len();
            let fault = format!("{count} events in a message, need at most {MAX_EVENTS}");
            return Err(ApiError::invalid("events", fault).into());
        }
        let now_us = Timestamp::now().as_microsecond();
        let mut bytes = 0;
        let mut records: Vec<Record> = Vec::with_capacity(batch.events.len());
        let mut events = Vec::with_capacity(batch.events.len());
        for encoded in batch.events {
            let encoded_bytes = encoded.len();
            match event::decode(encoded, property, now_us) {
                Ok(event) => {
                    bytes += encoded_bytes + RECORD_BYTES;
                    events.push(Ok(event.event_id));
                    records.push(scope.core.enricher.enrich(event, property));
                }
                Err(refused) => events.push(Err(refused)),
            }
        }
        let appended = match records.is_empty() {
            true => None,
            false => Some(scope.core.log.append(records, bytes).await?),
        };
        self.pending.push_back(Pending { events, appended });
        if self.pending.len() >= MAX_PENDING {
            self.settle_one().await?;
        }
        Ok(())
    }

    async fn settle_all(&mut self) -> Result<(), Status> {
        while !self.pending.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    /// Waits for the oldest batch and adds it to the summary.
    async fn settle_one(&mut self) -> Result<(), Status> {
        let Some(pending) = self.pending.pop_front() else {
            return Ok(());
        };
        let outcomes = match pending.appended {
            Some(appended) => appended.committed().await?,
            None => Vec::new(),
        };
        let mut outcomes = outcomes.into_iter();
        let mut counts = VerdictCounts::default();
        for event in pending.events {
            let (event_id, verdict) = match event {
                Ok(event_id) => {
                    let verdict = match outcomes.next() {
                        Some(Outcome::Stored) => Verdict::Accepted,
                        Some(Outcome::Duplicate) => Verdict::Duplicate,
                        Some(Outcome::NotStored) | None => Verdict::Retry,
                    };
                    (Some(event_id), verdict)
                }
                Err(refused) => (refused.event_id, Verdict::Rejected(refused.violations)),
            };
            counts.add(&verdict);
            self.summary.add(event_id, verdict);
        }
        counts.record();
        Ok(())
    }
}
