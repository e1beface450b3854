//! Domain error → reason → gRPC status: the one table, and the only place that builds a `Status`.
//!
//! What a caller reads never contains a word of the database's; that goes to the log, with its
//! chain of causes, at the place where the error is turned into [`ApiError::Internal`].

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Domain of every `google.rpc.ErrorInfo` of this service.
pub const ERROR_DOMAIN: &str = "tallymark";

/// Violations listed for one event or request; the rest are left out.
pub const MAX_VIOLATIONS: usize = 20;

/// Bytes of all violations of a call's error. An error travels in HTTP/2 headers, which many clients
/// take up to 8 KiB only; in them it is a third larger (base64), and its text is there too, and the
/// call's id twice.
const MAX_VIOLATION_BYTES: usize = 2_560;

/// A field that breaks a rule, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field: `event.tags[3]`.
    pub field: String,
    /// What is wrong and what would be right: `0 bytes, need 1–128`.
    pub description: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            description: description.into(),
        }
    }

    /// The same violation, of a field inside `parent`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = match self.field.as_str() {
            // It is about the whole.
            "" => parent.to_owned(),
            field => format!("{parent}.{field}"),
        };
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// Everything that a call can fail with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Fields that break rules; never empty.
    #[error("{}", display_violations(.0))]
    InvalidFields(Vec<Violation>),
    /// A message that is not protobuf of its type; the text is the decoder's.
    #[error("the message does not decode: {0}")]
    MalformedMessage(String),
    /// A message over the limit.
    #[error("the message is larger than {limit_bytes} bytes, before or after decompression")]
    MessageTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// No key was sent.
    #[error("send a key: `authorization: Bearer <key>`")]
    KeyMissing,
    /// The key does not exist or was revoked.
    #[error("the key does not exist or was revoked")]
    KeyInvalid,
    /// The key may not do this; the text says which one may.
    #[error("this needs {needs}")]
    KeyNotAllowed {
        /// What would be needed: `a read key`.
        needs: &'static str,
    },
    /// There is none of that name.
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// Kind of thing: `event`.
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// There is one of that name.
    #[error("there is a {kind} `{name}` already")]
    AlreadyExists {
        /// Kind of thing.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The question took too long.
    #[error("the question took longer than {} ms; ask for less, or allow more", .limit.as_millis())]
    QueryTimeout {
        /// The limit that applied.
        limit: Duration,
    },
    /// The answer would be too large.
    #[error("{what} would have {rows} rows, the limit is {limit_rows}")]
    AnswerTooLarge {
        /// What: `the answer with its gaps filled`.
        what: &'static str,
        /// Rows it would have.
        rows: u64,
        /// The limit.
        limit_rows: u64,
    },
    /// The database cannot be reached.
    #[error("the database cannot be reached; try again")]
    DatabaseUnavailable,
    /// More is under way than the server takes.
    #[error("the server has more under way than it takes; try again")]
    Overloaded,
    /// The caller began a message and did not go on with it.
    #[error("the message did not come in time; send it again, faster or in parts")]
    SenderTooSlow,
    /// Others of the property read its events, and many wait.
    #[error(
        "{limit} questions of this property are being answered from its events, which is the limit; \
         try again"
    )]
    TooManyScans {
        /// How many may be.
        limit: usize,
    },
    /// As many watch as may.
    #[error("{limit} calls watch, which is the limit; try again, or ask instead of watching")]
    TooManyWatchers {
        /// How many may.
        limit: usize,
    },
    /// The events of a question's freshness token are not in the database yet.
    #[error("the events of freshness_token are not in the database yet; ask again")]
    NotFreshYet,
    /// The server is not ready yet.
    #[error("the server is starting; try again")]
    Starting,
    /// The log has no room.
    #[error("the log is full, since the database is away or slow; try again later")]
    LogFull,
    /// The log cannot be written.
    #[error("the server cannot write its log; try again")]
    LogUnavailable,
    /// The server is stopping.
    #[error("the server is stopping; try again")]
    ShuttingDown,
    /// The server is stopping, and so is this stream of events.
    #[error(
        "the server is stopping; {acknowledged_events} events of this stream are acknowledged, send \
         the others again"
    )]
    StreamCutShort {
        /// From the stream's first on.
        acknowledged_events: u64,
    },
    /// A fault of the server; its log says which.
    #[error("internal error; the server's log has the cause")]
    Internal,
}

fn display_violations(violations: &[Violation]) -> String {
    let mut text: Vec<String> = violations
        .iter()
        .take(3)
        .map(Violation::to_string)
        .collect();
    if violations.len() > text.len() {
        text.push(format!("and {} more", violations.len() - text.len()));
    }
    text.join("; ")
}

impl ApiError {
    /// An error about one field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::InvalidFields(vec![Violation::new(field, description)])
    }

    fn code(&self) -> Code {
        match self {
            Self::InvalidFields(_)
            | Self::MalformedMessage(_)
            | Self::MessageTooLarge { .. }
            | Self::AnswerTooLarge { .. } => Code::InvalidArgument,
            Self::KeyMissing | Self::KeyInvalid => Code::Unauthenticated,
            Self::KeyNotAllowed { .. } => Code::PermissionDenied,
            Self::NotFound { .. } => Code::NotFound,
            Self::AlreadyExists { .. } => Code::AlreadyExists,
            Self::QueryTimeout { .. } => Code::DeadlineExceeded,
            Self::Overloaded
            | Self::SenderTooSlow
            | Self::LogFull
            | Self::TooManyScans { .. }
            | Self::TooManyWatchers { .. } => Code::ResourceExhausted,
            Self::DatabaseUnavailable
            | Self::LogUnavailable
            | Self::NotFreshYet
            | Self::Starting
            | Self::ShuttingDown
            | Self::StreamCutShort { .. } => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }

    /// The stable reason; error_reason.proto documents each.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidFields(_) => "INVALID_FIELD",
            Self::MalformedMessage(_) => "MALFORMED_MESSAGE",
            Self::MessageTooLarge { .. } => "MESSAGE_TOO_LARGE",
            Self::KeyMissing => "KEY_MISSING",
            Self::KeyInvalid => "KEY_INVALID",
            Self::KeyNotAllowed { .. } => "KEY_NOT_ALLOWED",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::AlreadyExists { .. } => "ALREADY_EXISTS",
            Self::QueryTimeout { .. } => "QUERY_TIMEOUT",
            Self::AnswerTooLarge { .. } => "ANSWER_TOO_LARGE",
            Self::DatabaseUnavailable => "DATABASE_UNAVAILABLE",
            Self::Overloaded => "OVERLOADED",
            Self::SenderTooSlow => "SENDER_TOO_SLOW",
            Self::NotFreshYet => "NOT_FRESH_YET",
            Self::TooManyScans { .. } => "TOO_MANY_SCANS",
            Self::TooManyWatchers { .. } => "TOO_MANY_WATCHERS",
            Self::Starting => "STARTING",
            Self::LogFull => "LOG_FULL",
            Self::LogUnavailable => "LOG_UNAVAILABLE",
            Self::ShuttingDown | Self::StreamCutShort { .. } => "SHUTTING_DOWN",
            Self::Internal => "INTERNAL",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::DatabaseUnavailable
            | Self::LogUnavailable
            | Self::SenderTooSlow
            | Self::NotFreshYet
            | Self::TooManyScans { .. }
            | Self::Starting
            | Self::ShuttingDown
            | Self::StreamCutShort { .. } => Some(Duration::from_secs(1)),
            Self::LogFull | Self::TooManyWatchers { .. } => Some(Duration::from_secs(5)),
            Self::Overloaded => Some(Duration::from_millis(200)),
            Self::InvalidFields(_)
            | Self::MalformedMessage(_)
            | Self::MessageTooLarge { .. }
            | Self::KeyMissing
            | Self::KeyInvalid
            | Self::KeyNotAllowed { .. }
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::QueryTimeout { .. }
            | Self::AnswerTooLarge { .. }
            | Self::Internal => None,
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::MessageTooLarge { limit_bytes } => {
                HashMap::from([("limit_bytes".to_owned(), limit_bytes.to_string())])
            }
            Self::AnswerTooLarge { limit_rows, .. } => {
                HashMap::from([("limit_rows".to_owned(), limit_rows.to_string())])
            }
            Self::TooManyWatchers { limit } => {
                HashMap::from([("limit_watchers".to_owned(), limit.to_string())])
            }
            Self::TooManyScans { limit } => {
                HashMap::from([("limit_scans".to_owned(), limit.to_string())])
            }
            Self::StreamCutShort {
                acknowledged_events,
            } => HashMap::from([(
                "acknowledged_events".to_owned(),
                acknowledged_events.to_string(),
            )]),
            Self::KeyNotAllowed { needs } => {
                HashMap::from([("needs".to_owned(), (*needs).to_owned())])
            }
            _ => HashMap::new(),
        }
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(error.reason(), ERROR_DOMAIN, error.metadata());
        if let ApiError::InvalidFields(violations) = &error {
            let mut bytes = 0;
            for (place, violation) in violations.iter().take(MAX_VIOLATIONS).enumerate() {
                bytes += violation.field.len() + violation.description.len();
                if place > 0 && bytes > MAX_VIOLATION_BYTES {
                    break;
                }
                details.add_bad_request_violation(&violation.field, &violation.description);
            }
        }
        if let Some(delay) = error.retry_after() {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(error.code(), error.to_string(), details)
    }
}

/// An error with its causes in one line, for the log: `Display` of tokio-postgres leaves them out.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
