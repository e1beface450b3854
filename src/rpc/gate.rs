//! The gate: lets a call in when the service is ready and the key is right for it.
//!
//! Health and reflection need no key: probes cannot send one, and the protocol is public.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response, header};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::domain::key::{Key, KeyKind};
use crate::error::ApiError;
use crate::validate::rules::excerpt;

use super::scope::{Core, Scope};
use super::wire_limits;

/// Metadata that names the property of a call to a service that runs without authentication.
pub const PROPERTY_HEADER: &str = "tallymark-property";
/// The property when nobody says another; it always exists.
pub const DEFAULT_PROPERTY: &str = "default";

/// Whether callers need keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// Every call needs a key.
    Keys,
    /// None does; callers name their property.
    None,
}

/// The gate's state, shared by all connections.
#[derive(Debug)]
pub struct Gate {
    authentication: Authentication,
    core: OnceLock<Arc<Core>>,
    draining: CancellationToken,
    under_way: TaskTracker,
    cut_off: CancellationToken,
}

impl Gate {
    /// A gate that is closed until [`Self::open`]; it closes again when `draining` is cancelled.
    pub fn new(authentication: Authentication, draining: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            authentication,
            core: OnceLock::new(),
            draining,
            under_way: TaskTracker::new(),
            cut_off: CancellationToken::new(),
        })
    }

    /// Lets calls in from now on.
    pub fn open(&self, core: Arc<Core>) {
        let opened_before = self.core.set(core).is_err();
        debug_assert!(!opened_before, "the gate opens once");
    }

    /// Resolves once no call is under way any more; to be asked when no other is let in.
    pub async fn idle(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// Ends every call that is still under way.
    pub fn cut_off(&self) {
        self.cut_off.cancel();
    }

    async fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Option<Scope>, ApiError> {
        let Some(needed) = needed_key(path) else {
            return Ok(None);
        };
        if self.draining.is_cancelled() {
            return Err(ApiError::ShuttingDown);
        }
        let core = self.core.get().ok_or(ApiError::Starting)?;
        let property = match self.authentication {
            Authentication::Keys => {
                let key = bearer_key(headers)?;
                let owner = core
                    .directory
                    .owner_of(&key)
                    .await
                    .ok_or(ApiError::KeyInvalid)?;
                if owner.kind != needed {
                    return Err(ApiError::KeyNotAllowed {
                        needs: needed.needed(),
                    });
                }
                owner.property
            }
            Authentication::None if needed == KeyKind::Admin => None,
            Authentication::None => {
                let name = headers.get(PROPERTY_HEADER).map(|name| name.to_str());
                let name = name.unwrap_or(Ok(DEFAULT_PROPERTY)).unwrap_or_default();
                let property = core.directory.property(name).await;
                let unknown = || ApiError::NotFound {
                    kind: "property",
                    name: excerpt(name, 64),
                };
                Some(property.ok_or_else(unknown)?)
            }
        };
        Ok(Some(Scope::new(
            Arc::clone(core),
            property,
            deadline(headers),
            self.cut_off.clone(),
            self.under_way.token(),
        )))
    }
}

/// The kind of key that a method needs; `None` when it needs none.
fn needed_key(path: &str) -> Option<KeyKind> {
    let service = path.strip_prefix("/tallymark.v1.")?.split('/').next()?;
    match service {
        "IngestService" => Some(KeyKind::Write),
        "QueryService" => Some(KeyKind::Read),
        _ => Some(KeyKind::Admin),
    }
}

fn bearer_key(headers: &HeaderMap) -> Result<Key, ApiError> {
    let header = headers
        .get(header::AUTHORIZATION)
        .ok_or(ApiError::KeyMissing)?;
    let text = header.to_str().map_err(|_| ApiError::KeyInvalid)?;
    let (scheme, key) = text.split_once(' ').ok_or(ApiError::KeyMissing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::KeyMissing);
    }
    Key::parse(key.trim()).ok_or(ApiError::KeyInvalid)
}

/// Reads `grpc-timeout`: up to 8 digits and a unit (gRPC over HTTP/2, "Timeout").
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Puts the gate in front of every service.
#[derive(Debug, Clone)]
pub struct GateLayer(pub Arc<Gate>);

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService {
            gate: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A service behind the gate.
#[derive(Debug, Clone)]
pub struct GateService<S> {
    gate: Arc<Gate>,
    inner: S,
}

impl<S> Service<Request<Body>> for GateService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        // The clone that is ready serves this call; the other has to become ready again.
        let not_ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, not_ready);
        // Taken before the gate is asked: who was let in counts.
        let under_way = gate.under_way.token();
        Box::pin(async move {
            let _under_way = under_way;
            match gate.admit(request.uri().path(), request.headers()).await {
                Ok(Some(scope)) => {
                    request.extensions_mut().insert(scope);
                }
                Ok(None) => {}
                Err(error) => return Ok(Status::from(error).into_http()),
            }
            tokio::select! {
                response = inner.call(request) => Ok(wire_limits::explain_response(response?)),
                () = gate.cut_off.cancelled() => {
                    Ok(Status::from(ApiError::ShuttingDown).into_http())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a header"));
            deadline(&headers)
        };
        assert_eq!(read("5S"), Some(Duration::from_secs(5)));
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("99999999u"), Some(Duration::from_micros(99_999_999)));
        assert_eq!(read("1H"), Some(Duration::from_secs(3_600)));
        for text in ["", "S", "5", "-5S", "5s", "999999999S", "5 S"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn every_service_of_ours_needs_a_key() {
        assert_eq!(
            needed_key("/tallymark.v1.IngestService/StreamEvents"),
            Some(KeyKind::Write)
        );
        assert_eq!(
            needed_key("/tallymark.v1.QueryService/Aggregate"),
            Some(KeyKind::Read)
        );
        assert_eq!(
            needed_key("/tallymark.v1.AdminService/CreateKey"),
            Some(KeyKind::Admin)
        );
        assert_eq!(
            needed_key("/tallymark.v1.NewService/New"),
            Some(KeyKind::Admin)
        );
        assert_eq!(needed_key("/grpc.health.v1.Health/Check"), None);
    }
}
