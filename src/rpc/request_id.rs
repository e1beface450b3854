//! Request ids: every call has one, its log lines carry it, and the caller is told.
//!
//! A caller's own `x-request-id` is kept if it is fit for a log; else the call gets a UUIDv7. The
//! reply has it as metadata, and an error in google.rpc.RequestInfo too.

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};
use tracing::{Instrument, Span, debug, error, error_span, warn};
use uuid::Uuid;

/// Metadata that holds the id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Metadata that holds the details of an error.
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Bytes of a caller's id at most.
const MAX_ID_BYTES: usize = 128;
/// Bytes of a method's name at most, for the log; ours are far shorter.
const MAX_METHOD_BYTES: usize = 128;
/// Calls that are turned away come in thousands: their line is written this often.
const TURNED_AWAY_EVERY: Duration = Duration::from_secs(1);

/// The caller's id if it is fit for a log, else a new one.
fn id_of(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=MAX_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    match given {
        Some(id) => id.clone(),
        None => new_id(),
    }
}

fn new_id() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
}

/// The span of a call. It is of level ERROR so that every line has it, whatever is left out of the
/// log.
fn span_of(id: &HeaderValue, path: &str) -> Span {
    let method = path.trim_start_matches('/');
    let method = match method.len() {
        0..=MAX_METHOD_BYTES => method,
        _ => "too long",
    };
    error_span!("call", request_id = id.to_str().unwrap_or_default(), method)
}

/// Adds google.rpc.RequestInfo to an error's details. They are a message with a repeated field, and
/// one more element of it can be put at the end.
fn add_request_info(headers: &mut HeaderMap, id: &HeaderValue) {
    let Some(Ok(mut bytes)) = headers
        .get(DETAILS)
        .map(|text| STANDARD_NO_PAD.decode(text))
    else {
        return;
    };
    let mut info = ErrorDetails::new();
    info.set_request_info(id.to_str().unwrap_or_default(), "");
    // Of code 0 and no text, neither of which is written.
    bytes.extend_from_slice(Status::with_error_details(Code::Ok, "", info).details());
    if let Ok(text) = HeaderValue::try_from(STANDARD_NO_PAD.encode(bytes)) {
        headers.insert(DETAILS, text);
    }
}

/// Writes the call's one line. Neither an error's text nor anything that the caller sent is in it.
fn log_end(headers: &HeaderMap) {
    static TURNED_AWAY: LazyLock<Occasionally> = LazyLock::new(Occasionally::default);
    let is_ok = headers
        .get(Status::GRPC_STATUS)
        .is_some_and(|code| code == "0");
    if is_ok {
        debug!("the call ended");
        return;
    }
    let Some(status) = Status::from_header_map(headers) else {
        return;
    };
    let code = status.code();
    let reason = || {
        let details = status.get_error_details();
        let info = details.error_info();
        info.map(|info| info.reason.clone()).unwrap_or_default()
    };
    match code {
        // Without a reason it is tonic's word for a client that broke the protocol.
        Code::Internal if !status.details().is_empty() => {
            error!(?code, reason = reason(), "the call failed");
        }
        Code::Internal | Code::Unavailable | Code::ResourceExhausted => {
            match TURNED_AWAY.ask(Instant::now()) {
                Some(others) => warn!(
                    ?code,
                    reason = reason(),
                    others,
                    "the call was turned away, and others since the last such line"
                ),
                None => debug!(?code, reason = reason(), "the call was turned away"),
            }
        }
        // A connection that breaks is UNKNOWN to tonic.
        _ => debug!(?code, reason = reason(), "the call was refused"),
    }
}

/// Lets something happen once in [`TURNED_AWAY_EVERY`], and counts how often it did not.
#[derive(Debug)]
struct Occasionally {
    started: Instant,
    /// Milliseconds after `started`.
    next_ms: AtomicU64,
    left_out: AtomicU64,
}

impl Default for Occasionally {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            next_ms: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }
}

impl Occasionally {
    /// How often it was left out before, if it may happen now.
    fn ask(&self, now: Instant) -> Option<u64> {
        let now_ms = now.saturating_duration_since(self.started).as_millis() as u64;
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let after_ms = now_ms + TURNED_AWAY_EVERY.as_millis() as u64;
        let is_due = now_ms >= next_ms
            && self
                .next_ms
                .compare_exchange(next_ms, after_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        match is_due {
            true => Some(self.left_out.swap(0, Ordering::Relaxed)),
            false => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

/// Gives every call its id; to be put before everything else.
#[derive(Debug, Clone, Copy)]
pub struct RequestIdLayer;

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestIdService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestIdService(inner)
    }
}

/// A service whose calls have ids.
#[derive(Debug, Clone)]
pub struct RequestIdService<S>(S);

impl<S> Service<Request<Body>> for RequestIdService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let id = id_of(request.headers());
        let span = span_of(&id, request.uri().path());
        let response = self.0.call(request).instrument(span.clone());
        Box::pin(async move { Ok(identify(response.await?, id, span)) })
    }
}

fn identify(mut response: Response<Body>, id: HeaderValue, span: Span) -> Response<Body> {
    response.headers_mut().insert(REQUEST_ID, id.clone());
    // An error that came before any message has no body, and its status is here.
    if response.headers().contains_key(Status::GRPC_STATUS) {
        add_request_info(response.headers_mut(), &id);
        span.in_scope(|| log_end(response.headers()));
        return response;
    }
    response.map(|inner| Body::new(ReplyBody { inner, id, span }))
}

/// A reply whose call is not over before its trailers.
struct ReplyBody {
    inner: Body,
    id: HeaderValue,
    span: Span,
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let _entered = this.span.enter();
        let mut frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            add_request_info(trailers, &this.id);
            log_end(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;

    fn id_for(given: &[u8]) -> HeaderValue {
        let mut headers = HeaderMap::new();
        let given = HeaderValue::from_bytes(given).expect("a header");
        headers.insert(REQUEST_ID, given);
        id_of(&headers)
    }

    #[test]
    fn an_id_that_is_fit_for_a_log_is_kept() {
        for id in ["7", "a-b_c/d:e=f+g", &"x".repeat(MAX_ID_BYTES)] {
            assert_eq!(id_for(id.as_bytes()), *id);
        }
    }

    #[test]
    fn any_other_is_replaced() {
        let long = "x".repeat(MAX_ID_BYTES + 1);
        for id in ["", "two words", "tab\there", "käse", &long] {
            let made = id_for(id.as_bytes());
            let made = Uuid::parse_str(made.to_str().expect("ASCII")).expect("a UUID");
            assert_eq!(made.get_version_num(), 7);
        }
    }

    #[test]
    fn an_error_keeps_its_details_beside_the_id() {
        let error = Status::from(ApiError::Overloaded);
        let mut headers = error.clone().into_http::<Body>().into_parts().0.headers;
        add_request_info(&mut headers, &HeaderValue::from_static("abc"));
        let read = Status::from_header_map(&headers).expect("a status");
        assert_eq!(
            (read.code(), read.message()),
            (error.code(), error.message())
        );
        let details = read.get_error_details();
        assert_eq!(details.request_info().expect("an id").request_id, "abc");
        assert_eq!(details.error_info().expect("a reason").reason, "OVERLOADED");
        assert!(details.retry_info().is_some());
    }

    #[test]
    fn what_happens_often_is_let_through_now_and_then_and_counted() {
        let gate = Occasionally::default();
        let start = gate.started;
        assert_eq!(gate.ask(start), Some(0));
        assert_eq!(gate.ask(start), None);
        assert_eq!(gate.ask(start + TURNED_AWAY_EVERY / 2), None);
        assert_eq!(gate.ask(start + TURNED_AWAY_EVERY), Some(2));
        assert_eq!(gate.ask(start + TURNED_AWAY_EVERY), None);
    }
}
