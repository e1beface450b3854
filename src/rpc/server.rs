//! Puts the services on a listener.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::pb;
use crate::pb::server::admin_service_server::AdminServiceServer;
use crate::pb::server::ingest_service_server::IngestServiceServer;
use crate::pb::server::query_service_server::QueryServiceServer;

use super::admin::Admin;
use super::connections::Connections;
use super::gate::{Gate, GateLayer};
use super::ingest::Ingest;
use super::query::Query;
use super::receive::budget::ReceiveBudget;
use super::receive::layer::ReceiveLayer;
use super::request_id::RequestIdLayer;
use super::wire_limits::MAX_MESSAGE_BYTES;

/// An idle connection is probed after this long, and closed when it does not answer in as long.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Calls of one connection at a time. A client that reads no replies makes each of them stay, at some
/// kilobytes; one that has more to call waits for the first to end.
const MAX_STREAMS: u32 = 256;
/// Bytes of a message to health or reflection: a name, and nobody has to show a key to send it.
const MAX_PROBE_BYTES: usize = 4 * 1024;
/// Bytes of a connection, and of one of its calls, that a client may send unread. They are outside
/// the budget for requests, so they are as small as costs nothing: with four senders flat out, windows
/// of 64 KiB to 1 MiB a call took the same time of the processor and gave the same events a second.
/// What they do limit is one call over a long way: 256 KiB in 50 ms are 5 MB/s.
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Serves until `stop`, then until every call has ended.
pub async fn serve(
    listener: TcpListener,
    connections: Connections,
    receiving: Arc<ReceiveBudget>,
    gate: Arc<Gate>,
    health: HealthReporter,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
            // The types of error details, so that grpcurl can show them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (Ok(reflection_v1), Ok(reflection_v1alpha)) =
        (reflection().build_v1(), reflection().build_v1alpha())
    else {
        unreachable!("the descriptors were made by our own build");
    };
    let health = HealthServer::new(HealthService::from_health_reporter(health))
        .max_decoding_message_size(MAX_PROBE_BYTES);
    let reflection_v1 = reflection_v1.max_decoding_message_size(MAX_PROBE_BYTES);
    let reflection_v1alpha = reflection_v1alpha.max_decoding_message_size(MAX_PROBE_BYTES);
    let ingest = IngestServiceServer::new(Ingest)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    let query = QueryServiceServer::new(Query)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd);
    let admin = AdminServiceServer::new(Admin).max_decoding_message_size(MAX_MESSAGE_BYTES);

    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .layer(RequestIdLayer)
        .layer(GateLayer(gate))
        .layer(ReceiveLayer(receiving))
        .add_service(health)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha)
        .add_service(ingest)
        .add_service(query)
        .add_service(admin)
        .serve_with_incoming_shutdown(connections.accept(listener), stop.cancelled_owned())
        .await
}
