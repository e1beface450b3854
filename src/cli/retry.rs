//! When to send the same again, and after how long.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::backoff::jittered;

/// The longest wait that a server's RetryInfo is believed: more is a fault of some proxy.
const MAX_RETRY_INFO: Duration = Duration::from_secs(60);

/// Bounds of the retries of one call.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub max_attempts: u32,
    /// Wait after the first attempt; it doubles after every further one.
    pub first_delay: Duration,
    /// The longest wait.
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    /// Ten attempts over about 40 seconds: a restart of the server fits in.
    fn default() -> Self {
        Self {
            max_attempts: 10,
            first_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt number `attempt` (from 1) ended with `status`; `None` when
    /// another attempt cannot help or was the last one.
    pub fn delay(&self, attempt: u32, status: &Status) -> Option<Duration> {
        if !is_retryable(status) {
            return None;
        }
        let asked = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        self.backoff(attempt, asked)
    }

    /// The same for a call that succeeded but left something to do again.
    pub fn backoff(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let own = jittered(attempt, self.first_delay, self.max_delay);
        Some(own.max(asked.unwrap_or_default().min(MAX_RETRY_INFO)))
    }
}

/// Whether sending the same again can help.
///
/// A status with a source was made on this side, by a connection that broke: tonic gives those
/// codes such as Unknown. Events have ids, so sending them once more is safe then too.
pub fn is_retryable(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted => true,
        Code::Unknown | Code::Internal | Code::Cancelled => status.source().is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;
    use tonic_types::ErrorDetails;

    #[test]
    fn honours_retry_info_and_bounds() {
        let policy = RetryPolicy::default();
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(Duration::from_secs(20)));
        let asked = Status::with_error_details(Code::Unavailable, "later", details);
        assert!(policy.delay(1, &asked).expect("retry") >= Duration::from_secs(20));
        assert_eq!(policy.delay(10, &asked), None);

        let plain = Status::unavailable("gone");
        for attempt in 1..10 {
            let delay = policy.delay(attempt, &plain).expect("retry");
            assert!(delay >= Duration::from_millis(100) && delay <= policy.max_delay);
        }
        assert_eq!(policy.delay(1, &ApiError::KeyInvalid.into()), None);
        assert_eq!(policy.delay(1, &ApiError::Internal.into()), None);
        assert!(policy.delay(1, &ApiError::Overloaded.into()).is_some());
    }
}
