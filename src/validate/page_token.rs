//! Page tokens: where the next page begins, tied to the question that the page before answered.
//!
//! A token is base64url of: 8 bytes of a hash over the question, start and end of its range in
//! microseconds, time in microseconds and id of the last event. It holds nothing that its owner has
//! not seen, so it is not encrypted; the hash is there to catch a token that is used with another
//! question, not an attacker: the property always comes from the key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use prost::Message;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::question::EventPosition;
use crate::domain::time_range::{EARLIEST_US, LATEST_US, TimeRange};
use crate::pb;

/// Start of a hash over a question.
pub type QuestionHash = [u8; 8];

const TOKEN_BYTES: usize = 48;

/// What a token of ListEvents says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Range of the first page.
    pub range: TimeRange,
    /// Last event of the page before.
    pub after: EventPosition,
}

/// Hashes what may not change from page to page.
pub fn hash_question(request: &pb::ListEventsRequest, property_no: i32) -> QuestionHash {
    let fixed = pb::ListEventsRequest {
        page_token: String::new(),
        page_size: 0,
        freshness_token: String::new(),
        ..request.clone()
    };
    let mut hash = Sha256::new();
    hash.update(property_no.to_be_bytes());
    hash.update(fixed.encode_to_vec());
    let digest: [u8; 32] = hash.finalize().into();
    let mut start = QuestionHash::default();
    start.copy_from_slice(&digest[..8]);
    start
}

/// The token of the page after `token.after`.
pub fn encode(token: &Token, question: QuestionHash) -> String {
    let mut bytes = [0_u8; TOKEN_BYTES];
    bytes[..8].copy_from_slice(&question);
    bytes[8..16].copy_from_slice(&token.range.since.as_microsecond().to_be_bytes());
    bytes[16..24].copy_from_slice(&token.range.until_exclusive.as_microsecond().to_be_bytes());
    bytes[24..32].copy_from_slice(&token.after.time_us.to_be_bytes());
    bytes[32..].copy_from_slice(token.after.event_id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token; `None` when it is none of this question.
pub fn decode(text: &str, question: QuestionHash) -> Option<Token> {
    let bytes: [u8; TOKEN_BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let number = |place: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[place..place + 8]);
        i64::from_be_bytes(number)
    };
    // Times that no token of ours says are beyond what the database can take.
    let times = [number(8), number(16), number(24)];
    let is_ours = |time: &i64| (EARLIEST_US..=LATEST_US).contains(time);
    if bytes[..8] != question || !times.iter().all(is_ours) {
        return None;
    }
    Some(Token {
        range: TimeRange {
            since: Timestamp::from_microsecond(number(8)).ok()?,
            until_exclusive: Timestamp::from_microsecond(number(16)).ok()?,
        },
        after: EventPosition {
            time_us: number(24),
            event_id: Uuid::from_slice(&bytes[32..]).ok()?,
        },
    })
}
