//! How every command reaches a server: its address, its key, and errors a person can act on.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt;

use crate::cli::table::printable;
use crate::error::causes;
use crate::pb::admin_service_client::AdminServiceClient;
use crate::pb::ingest_service_client::IngestServiceClient;
use crate::pb::query_service_client::QueryServiceClient;

/// Port of a server whose address names none.
const DEFAULT_PORT: u16 = 50051;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Finds out that a server is gone while a call waits for its reply.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer that is read: an Aggregate of 100,000 rows stays below it.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Which server, and who asks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ConnectArgs {
    /// Address of the server: `host`, `host:port` or `http://host:port`. Port 50051 unless given.
    #[arg(
        long,
        env = "TALLYMARK_ADDRESS",
        default_value = "http://127.0.0.1:50051",
        value_name = "ADDRESS"
    )]
    pub address: String,

    /// Key to send, `tmw_…` for events, `tmr_…` for questions, `tma_…` for administration. Better in the
    /// environment than in the arguments, which other users of this machine can see.
    #[arg(
        long,
        env = "TALLYMARK_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub key: Option<Secret>,

    /// Name of the property, for a server without authentication, or for a server-wide administrator.
    /// With another key it is the key's property.
    #[arg(long, env = "TALLYMARK_PROPERTY", value_name = "NAME")]
    pub property: Option<String>,
}

/// A key that no message, log or panic can print.
#[derive(Clone)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Adds the key and the property to every call.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    // Marked sensitive: its Debug is "Sensitive", and HTTP/2 keeps it out of its header table.
    bearer: Option<MetadataValue<Ascii>>,
    property: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(bearer) = &self.bearer {
            metadata.insert("authorization", bearer.clone());
        }
        if let Some(property) = &self.property {
            metadata.insert("tallymark-property", property.clone());
        }
        Ok(request)
    }
}

/// A channel whose calls carry the credentials.
pub type ClientChannel = InterceptedService<Channel, Credentials>;

/// An open connection to a server.
#[derive(Debug, Clone)]
pub struct Connection {
    address: String,
    channel: ClientChannel,
}

impl Connection {
    /// A connection over a channel that is open already, without credentials.
    pub fn over(channel: Channel, address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            channel: InterceptedService::new(channel, Credentials::default()),
        }
    }

    /// The server's address, in its `http://host:port` form.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A client that manages properties, keys and dead letters.
    pub fn admin(&self) -> AdminServiceClient<ClientChannel> {
        AdminServiceClient::new(self.channel.clone())
    }

    /// A client that sends events.
    pub fn ingest(&self) -> IngestServiceClient<ClientChannel> {
        IngestServiceClient::new(self.channel.clone())
    }

    /// A client that asks questions.
    pub fn query(&self) -> QueryServiceClient<ClientChannel> {
        QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }
}

impl ConnectArgs {
    /// Connects, so that a wrong address is found before any work is done.
    ///
    /// # Errors
    /// An address or key that cannot be right, or a server that cannot be reached within 5 seconds.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let credentials = self.credentials()?;
        Ok(Connection {
            address: full_address(&self.address)?,
            channel: InterceptedService::new(channel(&self.address).await?, credentials),
        })
    }

    fn credentials(&self) -> anyhow::Result<Credentials> {
        let bearer = match &self.key {
            Some(Secret(key)) => {
                let mut value: MetadataValue<Ascii> = format!("Bearer {}", key.trim())
                    .parse()
                    .map_err(|_| anyhow!("the key (--key or TALLYMARK_KEY) is not plain ASCII"))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let property = match &self.property {
            Some(name) => Some(
                name.parse()
                    .map_err(|_| anyhow!("`{}` is not a property's name", printable(name)))?,
            ),
            None => None,
        };
        Ok(Credentials { bearer, property })
    }
}

/// A connection without credentials to `address`: `host:port`, the port 50051 if there is none.
///
/// # Errors
/// An address that cannot be right, or a server that cannot be reached within 5 seconds.
pub async fn channel(address: &str) -> anyhow::Result<Channel> {
    let address = full_address(address)?;
    let endpoint = Endpoint::from_shared(address.clone())
        .with_context(|| format!("`{address}` is not an address"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    endpoint.connect().await.map_err(|error| {
        anyhow!(
            "cannot connect to {address}: {}\n\
             Is a server running there? Start one with `tallymark serve`, or name another with \
             --address or TALLYMARK_ADDRESS.",
            causes(&error)
        )
    })
}

/// The address with scheme and port.
fn full_address(text: &str) -> anyhow::Result<String> {
    let text = text.trim();
    let authority = match text.split_once("://") {
        None => text,
        Some(("http", authority)) => authority.trim_end_matches('/'),
        Some(("https", _)) => bail!(
            "`{text}`: this client speaks gRPC without TLS; use http:// to a server or proxy on \
             this machine or a private network"
        ),
        Some((scheme, _)) => bail!("`{text}`: the scheme is `{scheme}`, need `http`"),
    };
    let parsed: http::uri::Authority = authority
        .parse()
        .map_err(|error| anyhow!("`{text}` is not an address ({error}), need `host:port`"))?;
    if parsed.host().is_empty() || authority.contains('@') {
        bail!("`{text}` is not an address, need `host:port`");
    }
    match parsed.port_u16() {
        Some(port) => Ok(format!("http://{}:{port}", parsed.host())),
        None if authority.ends_with(parsed.host()) => {
            Ok(format!("http://{}:{DEFAULT_PORT}", parsed.host()))
        }
        None => bail!("`{text}` is not an address: the port is from 0 to 65535"),
    }
}

/// What a failed call tells a person: the code, the reason, the fields, and what to do.
pub fn describe(status: &Status) -> String {
    let details = status.get_error_details();
    let mut text = format!("{:?}", status.code());
    if let Some(info) = details.error_info() {
        text.push_str(&format!(" ({})", printable(&info.reason)));
    }
    let message = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    text.push_str(&format!(": {}", printable(message)));
    if let Some(source) = std::error::Error::source(status) {
        let cause = causes(source);
        if !text.contains(&cause) {
            text.push_str(&format!(": {cause}"));
        }
    }
    if let Some(request) = details.bad_request() {
        for violation in &request.field_violations {
            text.push_str(&format!(
                "\n  {}: {}",
                printable(&violation.field),
                printable(&violation.description)
            ));
        }
    }
    let hint = match details.error_info().map(|info| info.reason.as_str()) {
        Some("KEY_MISSING") => "Pass a key with --key or TALLYMARK_KEY.",
        Some("KEY_INVALID") => "Check --key or TALLYMARK_KEY.",
        _ => return text,
    };
    format!("{text}\n{hint}")
}

/// A failed call as an error; `doing` says what failed: `cannot send events`.
pub fn failed(doing: &str, status: &Status) -> anyhow::Error {
    anyhow!("{doing}: {}", describe(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ApiError, Violation};

    #[test]
    fn completes_addresses() {
        for (given, wanted) in [
            ("127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("http://stats.example:80/", "http://stats.example:80"),
            ("localhost", "http://localhost:50051"),
            (" [::1]:7 ", "http://[::1]:7"),
            ("[::1]", "http://[::1]:50051"),
        ] {
            assert_eq!(full_address(given).expect(given), wanted);
        }
        for given in [
            "",
            "https://a.example",
            "ftp://a",
            "http://",
            "a b",
            "u:p@a:1",
            "a:99999",
            "http://a/path",
        ] {
            assert!(full_address(given).is_err(), "{given}");
        }
    }

    #[test]
    fn never_prints_the_key() {
        let args = ConnectArgs {
            address: "a".into(),
            key: Some(Secret::from("tmw_topsecret".to_owned())),
            property: Some("shop".into()),
        };
        let credentials = args.credentials().expect("credentials");
        let text = format!("{args:?} {credentials:?}");
        assert!(!text.contains("topsecret"), "{text}");

        let request = credentials.clone().call(Request::new(())).expect("call");
        let sent = request.metadata();
        assert_eq!(
            sent.get("authorization").expect("key"),
            "Bearer tmw_topsecret"
        );
        assert_eq!(sent.get("tallymark-property").expect("property"), "shop");
        assert!(!format!("{sent:?}").contains("topsecret"));

        let broken = ConnectArgs {
            key: Some(Secret::from("tmw_topsecret\n\u{1}".to_owned())),
            ..args
        };
        let error = broken.credentials().expect_err("control character");
        assert!(!format!("{error:?}").contains("topsecret"));
    }

    #[test]
    fn describes_reasons_fields_and_remedies() {
        let status = Status::from(ApiError::InvalidFields(vec![Violation::new(
            "bucket",
            "9 is none",
        )]));
        let text = describe(&status);
        assert!(text.contains("InvalidArgument (INVALID_FIELD)"), "{text}");
        assert!(text.contains("\n  bucket: 9 is none"), "{text}");
        let text = describe(&ApiError::KeyMissing.into());
        assert!(text.contains("TALLYMARK_KEY"), "{text}");
    }

    #[tokio::test]
    async fn says_which_server_cannot_be_reached() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        drop(listener);
        let args = ConnectArgs {
            address: address.clone(),
            key: None,
            property: None,
        };
        let text = args.connect().await.expect_err("nobody there").to_string();
        assert!(
            text.contains(&address) && text.contains("tallymark serve"),
            "{text}"
        );
    }
}
