//! The one reply of a stream: counts, and the first failures.

use uuid::Uuid;

use crate::domain::event::Verdict;
use crate::pb;

use super::convert;

/// Failures that are listed at most.
const MAX_FAILURES: usize = 1_000;

/// Adds up what became of a stream's events, in their order.
#[derive(Debug, Default)]
pub struct StreamSummary {
    response: pb::StreamEventsResponse,
    first_failure: Option<u64>,
}

impl StreamSummary {
    /// Notes what became of the next event.
    pub fn add(&mut self, event_id: Option<Uuid>, verdict: Verdict) {
        let summary = &mut self.response;
        let index = summary.received;
        summary.received += 1;
        match &verdict {
            Verdict::Accepted => {
                summary.accepted += 1;
                return;
            }
            Verdict::Duplicate => {
                summary.duplicates += 1;
                return;
            }
            Verdict::Rejected(_) => summary.rejected += 1,
            Verdict::Retry => summary.retry += 1,
        }
        self.first_failure.get_or_insert(index);
        if summary.failures.len() < MAX_FAILURES {
            let result = Some(convert::event_result(event_id, verdict));
            summary.failures.push(pb::EventFailure { index, result });
        } else {
            summary.failures_omitted += 1;
        }
    }

    /// How many events from the stream's first on are acknowledged: those before the first that was
    /// refused or has to be sent again, since a status does not say which that was.
    pub fn acknowledged(&self) -> u64 {
        self.first_failure.unwrap_or(self.response.received)
    }

    /// The reply.
    pub fn finish(self, freshness_token: String) -> pb::StreamEventsResponse {
        pb::StreamEventsResponse {
            freshness_token,
            ..self.response
        }
    }
}
