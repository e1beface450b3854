//! Meters the requests of our own services.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use tonic::body::Body;
use tower::{Layer, Service};

use super::budget::ReceiveBudget;
use super::metered::MeteredBody;

/// Health and reflection are not ours: a probe is answered however much is under way, and the
/// messages that they take are tiny.
const METERED: &str = "/tallymark.v1.";

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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !request.uri().path().starts_with(METERED) {
            return self.inner.call(request);
        }
        let budget = &self.budget;
        self.inner
            .call(request.map(|body| Body::new(MeteredBody::new(body, budget))))
    }
}
