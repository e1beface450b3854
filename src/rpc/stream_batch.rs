//! A `StreamEventsRequest` whose events are still bytes.

use bytes::Bytes;

/// One message of `StreamEvents` with its events not decoded yet.
///
/// On the wire a nested message and a byte string look the same, so this decodes what clients send
/// as `StreamEventsRequest`, without copying. Each event is then decoded by itself: broken UTF-8 in
/// one of them is a verdict on that one, not the end of the stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamBatch {
    /// The encoded events.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub events: Vec<Bytes>,
}
