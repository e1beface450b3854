//! Meters the requests of our own services.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use tonic::body::Body;
use tower::{Layer, Service};

use super::budget::ReceiveBudget;
use super::metered::{Messages, MeteredBody};
use super::received::Received;

/// Health and reflection are not ours: a probe is answered however much is under way, and the
/// messages that they take are tiny.
const METERED: &str = "/tallymark.v1.";

/// The methods whose clients send any number of messages; all others take one.
const STREAMING: [&str; 2] = [
    "/tallymark.v1.IngestService/StreamEvents",
    "/tallymark.v1.IngestService/PipeEvents",
];

fn messages_of(path: &str) -> Messages {
    match STREAMING.contains(&path) {
        true => Messages::Many,
        false => Messages::One,
    }
}

/// Puts the meter before every service; to be put behind the gate, which refuses calls unread.
#[derive(Debug, Clone)]
pub struct ReceiveLayer(pub Arc<ReceiveBudget>);

impl<S> Layer<S> for ReceiveLayer {
    type Service = ReceiveService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReceiveService {
            budget: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A service whose requests are metered.
#[derive(Debug, Clone)]
pub struct ReceiveService<S> {
    budget: Arc<ReceiveBudget>,
    inner: S,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for ReceiveService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if !path.starts_with(METERED) {
            return self.inner.call(request);
        }
        let messages = messages_of(path);
        let received = Received::new(&self.budget);
        request.extensions_mut().insert(received.clone());
        let metered = |body| Body::new(MeteredBody::new(body, messages, received));
        self.inner.call(request.map(metered))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::pb;

    #[test]
    fn the_methods_that_stream_are_those_of_the_protocol() {
        let files = FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).expect("descriptors");
        let mut count = 0;
        for file in files.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let expected = match method.client_streaming() {
                        true => Messages::Many,
                        false => Messages::One,
                    };
                    assert_eq!(messages_of(&path), expected, "{path}");
                    count += 1;
                }
            }
        }
        assert!(count > STREAMING.len());
    }
}
