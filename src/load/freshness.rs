//! Freshness tokens: what a sender is given for its events, and a question waits for.
//!
//! A token is a sealed ([`crate::store::seal`]) log id and a range of its records. The range covers the
//! sender's records and what others appended between them: loaders take all of it in that order anyway.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::error::ApiError;
use crate::store::seal::{Purpose, Seal};

use super::feed::Feed;
use super::others::Others;

/// How long a question waits for its events at most; query_service.proto promises it.
pub const MAX_WAIT: Duration = Duration::from_secs(5);

const PAYLOAD_BYTES: usize = 32;

/// Makes tokens and waits for them.
#[derive(Debug, Clone)]
pub struct Freshness {
    feed: Feed,
    others: Arc<Others>,
    seal: Seal,
}

/// Events that a question waits for; none if it has no token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a question without its events is answered wrongly"]
pub struct Awaited(Option<(Uuid, Range<u64>)>);

impl Freshness {
    /// Of this server's log, and of those that `others` sees.
    pub fn new(feed: Feed, others: Arc<Others>, seal: Seal) -> Self {
        Self { feed, others, seal }
    }

    /// What seals tokens.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The token of records of this server's log, for callers of a property; empty without records.
    pub fn token(&self, property_no: i32, records: Option<Range<u64>>) -> String {
        let Some(records) = records else {
            return String::new();
        };
        let mut payload = [0; PAYLOAD_BYTES];
        payload[..16].copy_from_slice(self.feed.log().id().as_bytes());
        payload[16..24].copy_from_slice(&records.start.to_be_bytes());
        payload[24..].copy_from_slice(&records.end.to_be_bytes());
        self.seal.close(Purpose::Freshness, property_no, &payload)
    }

    /// Reads a question's token.
    pub fn read(&self, property_no: i32, token: &str) -> Result<Awaited, ApiError> {
        if token.is_empty() {
            return Ok(Awaited(None));
        }
        let opened = self.seal.open(Purpose::Freshness, property_no, token);
        let payload: [u8; PAYLOAD_BYTES] = opened
            .ok_or_else(|| ApiError::invalid("freshness_token", "is none of this property"))?;
        let number = |place: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&payload[place..place + 8]);
            u64::from_be_bytes(number)
        };
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&payload[..16]);
        Ok(Awaited(Some((
            Uuid::from_bytes(log_id),
            number(16)..number(24),
        ))))
    }

    /// Waits until the events are in the database, at most for `limit` and [`MAX_WAIT`].
    pub async fn wait(&self, awaited: Awaited, limit: Duration) -> Result<(), ApiError> {
        let Some((log_id, records)) = awaited.0 else {
            return Ok(());
        };
        let waiting = async {
            if log_id == self.feed.log().id() {
                self.feed.until_loaded(&records).await;
            } else {
                self.others.until_loaded(log_id, &records).await;
            }
        };
        tokio::time::timeout(limit.min(MAX_WAIT), waiting)
            .await
            .map_err(|_elapsed| ApiError::NotFreshYet)
    }
}
