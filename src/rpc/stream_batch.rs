//! `StreamEventsRequest` and `PipeEventsRequest` with events that are still bytes.
//!
//! On the wire a nested message and a byte string look the same, so these decode what clients send,
//! without copying. Each event is then decoded by itself: broken UTF-8 in one of them is a verdict on
//! that one, not the end of the stream.

use bytes::Bytes;

use crate::pb::Acknowledgement;

/// One message of `StreamEvents`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamBatch {
    /// The encoded events.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub events: Vec<Bytes>,
    /// What its verdicts wait for.
    #[prost(enumeration = "Acknowledgement", tag = "2")]
    pub acknowledgement: i32,
}

/// One message of `PipeEvents`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PipeBatch {
    /// The encoded events.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub events: Vec<Bytes>,
    /// What its acknowledgement waits for.
    #[prost(enumeration = "Acknowledgement", tag = "2")]
    pub acknowledgement: i32,
    /// The client's number of it.
    #[prost(uint64, tag = "3")]
    pub message_id: u64,
}
