//! What a run came to: counted, shown while it runs, and told at its end.

use std::time::Duration;

use crate::cli::loadgen::histogram::Histogram;
use crate::cli::loadgen::source::EventKey;
use crate::cli::table::{Column, Table, count, decimal, printable};
use crate::pb::{StreamEventsResponse, Verdict};

/// Counts of a run so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Events of all calls, each counted once.
    pub sent: u64,
    /// Their size, encoded.
    pub bytes: u64,
    /// Stored.
    pub accepted: u64,
    /// Stored by an attempt that broke off before its acknowledgement.
    pub duplicates: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Calls made once more.
    pub retries: u64,
    /// Of whole calls that ended, or messages of --pipe that were acknowledged.
    pub latencies: Histogram,
    /// Why the first of the rejected events was.
    pub rejection: Option<String>,
    /// Acknowledged events, if they are to be verified.
    pub to_verify: Option<Vec<EventKey>>,
    /// What ended the run before its end.
    pub error: Option<anyhow::Error>,
}

impl Tally {
    /// Counts events that are about to be sent.
    pub fn begin(&mut self, events: u64, bytes: u64) {
        self.sent += events;
        self.bytes += bytes;
    }

    /// Counts a call or message that has its verdicts. `keys` are those of its events, in order.
    pub fn end(&mut self, summary: &StreamEventsResponse, keys: Vec<EventKey>, latency: Duration) {
        self.accepted += summary.accepted;
        self.duplicates += summary.duplicates;
        self.rejected += summary.rejected;
        self.latencies.record(latency);
        let results = summary.failures.iter().flat_map(|failure| &failure.result);
        let mut rejected = results.filter(|result| result.verdict() == Verdict::Rejected);
        if self.rejection.is_none()
            && let Some(result) = rejected.next()
        {
            let reasons = result.violations.iter();
            let reasons = reasons.map(|v| format!("{}: {}", v.field, v.description));
            self.rejection = Some(reasons.collect::<Vec<_>>().join("; "));
        }
        let Some(to_verify) = &mut self.to_verify else {
            return;
        };
        // With failures that are not listed nobody knows which events are stored. The run has failed
        // by then, whatever verifying says.
        if summary.failures_omitted > 0 {
            return;
        }
        let mut failures = summary
            .failures
            .iter()
            .map(|failure| failure.index)
            .peekable();
        for (index, key) in (0..).zip(keys) {
            if failures.next_if_eq(&index).is_none() {
                to_verify.push(key);
            }
        }
    }

    /// Events that the server said are stored.
    pub fn acknowledged(&self) -> u64 {
        self.accepted + self.duplicates
    }

    /// Events without a verdict.
    pub fn unacknowledged(&self) -> u64 {
        self.sent
            .saturating_sub(self.acknowledged() + self.rejected)
    }

    /// Whether everything that was sent is stored, as far as the server says.
    pub fn is_complete(&self) -> bool {
        self.error.is_none() && self.sent > 0 && self.acknowledged() == self.sent
    }

    /// Everything, as the text for stdout. `steps` is what was measured: calls, or messages.
    pub fn render(&self, elapsed: Duration, steps: &str) -> String {
        let seconds = elapsed.as_secs_f64();
        let a_second = |amount: f64| amount / seconds.max(0.001);
        let mut table = Table::new([Column::text("load"), Column::number("measured")]);
        table.row(["events sent".to_owned(), count(self.sent)]);
        table.row(["  accepted".to_owned(), count(self.accepted)]);
        table.row([
            "  duplicates, of attempts that broke off".to_owned(),
            count(self.duplicates),
        ]);
        table.row(["  rejected".to_owned(), count(self.rejected)]);
        table.row(["  unacknowledged".to_owned(), count(self.unacknowledged())]);
        table.row([steps.to_owned(), count(self.latencies.total())]);
        table.row(["calls repeated".to_owned(), count(self.retries)]);
        table.row(["seconds".to_owned(), decimal(seconds, 2)]);
        table.row([
            "acknowledged events/s".to_owned(),
            decimal(a_second(self.acknowledged() as f64), 0),
        ]);
        table.row([
            "sent MB/s".to_owned(),
            decimal(a_second(self.bytes as f64 / 1e6), 1),
        ]);
        let median = format!("latency of {steps}, p50");
        for (title, share) in [
            (median.as_str(), 0.5),
            ("  p90", 0.9),
            ("  p99", 0.99),
            ("  p99.9", 0.999),
        ] {
            let latency = self.latencies.quantile(share);
            table.row([title.to_owned(), latency.map(millis).unwrap_or_default()]);
        }
        table.row(["  max".to_owned(), millis(self.latencies.max())]);
        let mut text = table.to_string();
        if let Some(rejection) = &self.rejection {
            let rejection = printable(rejection);
            text.push_str(&format!("\nThe first rejected event: {rejection}\n"));
        }
        text
    }
}

fn millis(latency: Duration) -> String {
    format!("{} ms", decimal(latency.as_secs_f64() * 1e3, 1))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::pb::{EventFailure, EventResult, FieldViolation};

    #[test]
    fn only_what_is_acknowledged_is_verified() {
        let keys: Vec<EventKey> = (0..5)
            .map(|time_us| EventKey {
                time_us,
                id: Uuid::from_u128(9),
            })
            .collect();
        let failure = |index, verdict: Verdict| EventFailure {
            index,
            result: Some(EventResult {
                verdict: verdict.into(),
                violations: vec![FieldViolation {
                    field: "name".to_owned(),
                    description: "empty".to_owned(),
                }],
                ..EventResult::default()
            }),
        };
        let summary = StreamEventsResponse {
            received: 5,
            accepted: 2,
            duplicates: 1,
            rejected: 1,
            retry: 1,
            failures: vec![failure(1, Verdict::Retry), failure(4, Verdict::Rejected)],
            ..StreamEventsResponse::default()
        };
        let mut tally = Tally {
            to_verify: Some(Vec::new()),
            ..Tally::default()
        };
        tally.begin(5, 1_000);
        tally.end(&summary, keys.clone(), Duration::from_millis(8));
        let verified = tally.to_verify.as_deref().expect("kept");
        assert_eq!(verified, [keys[0], keys[2], keys[3]]);
        assert_eq!((tally.acknowledged(), tally.unacknowledged()), (3, 1));
        assert!(!tally.is_complete());

        let text = tally.render(Duration::from_secs(1), "calls");
        assert!(
            text.contains("The first rejected event: name: empty"),
            "{text}"
        );
        for (label, value) in [
            ("events sent", "5"),
            ("  unacknowledged", "1"),
            ("  max", "8.0 ms"),
        ] {
            let line = text.lines().find(|line| line.contains(label));
            assert!(line.is_some_and(|line| line.ends_with(value)), "{text}");
        }
    }

    #[test]
    fn nothing_sent_is_not_complete() {
        assert!(!Tally::default().is_complete());
    }
}
