//! Code generated from proto/tallymark/v1: messages and clients here, servers in [`server`].

#![expect(clippy::doc_markdown, reason = "generated")]

tonic::include_proto!("tallymark.v1");

/// Servers. `StreamEvents` takes [`crate::rpc::stream_batch::StreamBatch`] in place of
/// `StreamEventsRequest`: the same bytes, with its events not decoded yet.
pub mod server {
    include!(concat!(env!("OUT_DIR"), "/server/tallymark.v1.rs"));
}

/// Descriptors of everything in proto/, encoded, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/tallymark.descriptors.bin"));
