//! Limits of a message, and tonic's words for a message over them in ours.

use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::error::ApiError;

/// Bytes of a request message at most, before and after decompression.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// What a status that tonic made while it decoded a request means; other statuses stay as they are.
pub fn explain(status: Status) -> Status {
    let message = status.message();
    let is_too_large = match status.code() {
        Code::OutOfRange => message.contains("message length too large"),
        Code::ResourceExhausted => message.starts_with("Error decompressing: size limit"),
        _ => false,
    };
    if is_too_large {
        return ApiError::MessageTooLarge {
            limit_bytes: MAX_MESSAGE_BYTES,
        }
        .into();
    }
    let is_malformed = status.code() == Code::Internal
        && [
            "Error decompressing",
            "protocol error",
            "Missing request message",
            "Unexpected EOF decoding stream",
        ]
        .iter()
        .any(|start| message.starts_with(start));
    if is_malformed {
        let reason = match message.starts_with("Error decompressing") {
            true => "it does not decompress".to_owned(),
            false => message.to_owned(),
        };
        return ApiError::MalformedMessage(reason).into();
    }
    status
}

/// The same for a response that has ended before any message.
pub fn explain_response(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    if !matches!(
        status.code(),
        Code::OutOfRange | Code::ResourceExhausted | Code::Internal
    ) {
        return response;
    }
    let is_ours = !status.details().is_empty();
    if is_ours {
        response
    } else {
        explain(status).into_http()
    }
}
