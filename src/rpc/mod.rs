//! The wire: thin handlers, and the layers in front of them.
//!
//! ```text
//!  call ──▶ request id ──▶ gate: ready? key? ──▶ receive: room? ──▶ service: parse · call · wrap ──▶ reply
//!                                               ingest, pipe ──▶ intake: validate · enrich · log
//! ```

pub mod admin;
pub mod answers;
pub mod codec;
pub mod connections;
pub mod convert;
pub mod dead_letters;
pub mod describe;
pub mod gate;
pub mod health;
pub mod ingest;
pub mod intake;
pub mod pipe;
pub mod query;
pub mod realtime;
pub mod receive;
pub mod request_id;
mod rollups;
pub mod scope;
pub mod server;
pub mod stream_batch;
pub mod stream_summary;
pub mod wire_limits;
