//! What an import tells at its end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::import::convert::{Skip, SkipReason};
use crate::cli::import::send::Outcome;
use crate::cli::table::{Column, Table, count, decimal, printable};

/// Skipped lines that are shown.
const MAX_EXAMPLES: usize = 5;

/// What reading came to.
#[derive(Debug, Default)]
pub struct ReadTally {
    /// Lines read, those that were skipped included.
    pub lines: u64,
    /// Lines that hold an event to send.
    pub events: u64,
    skipped: BTreeMap<&'static str, u64>,
    examples: Vec<((usize, u64), String)>,
}

impl ReadTally {
    /// Counts a line that is not sent; `origin` is its file and line.
    pub fn skip(&mut self, origin: (usize, u64), skip: Skip) {
        *self.skipped.entry(skip.reason.label()).or_default() += 1;
        if skip.reason.is_fault() && self.examples.len() < MAX_EXAMPLES {
            let mut text = skip.reason.label().to_owned();
            if !skip.detail.is_empty() {
                text = format!("{text}: {}", skip.detail);
            }
            self.examples.push((origin, text));
        }
    }

    /// Lines skipped for the reason.
    pub fn skipped(&self, reason: SkipReason) -> u64 {
        self.skipped.get(reason.label()).copied().unwrap_or(0)
    }

    fn skipped_total(&self) -> u64 {
        self.skipped.values().sum()
    }
}

/// All of it, as the text for stdout. `outcome` is absent when nothing was to be sent.
pub fn render(
    files: &[PathBuf],
    tally: &ReadTally,
    outcome: Option<&Outcome>,
    elapsed: Duration,
) -> String {
    let mut table = Table::new([Column::text("import"), Column::number("count")]);
    table.row(["lines read".to_owned(), count(tally.lines)]);
    table.row(["lines skipped".to_owned(), count(tally.skipped_total())]);
    for reason in SkipReason::ALL {
        let skipped = tally.skipped(reason);
        if skipped > 0 {
            table.row([format!("  {}", reason.label()), count(skipped)]);
        }
    }
    match outcome {
        None => table.row([
            "events found (nothing was sent)".to_owned(),
            count(tally.events),
        ]),
        Some(outcome) => {
            table.row(["events sent".to_owned(), count(outcome.sent)]);
            table.row(["  accepted".to_owned(), count(outcome.accepted)]);
            let duplicates = match outcome.retries {
                0 => "  duplicates, stored before",
                _ => "  duplicates, stored before or by a call that broke off",
            };
            table.row([duplicates.to_owned(), count(outcome.duplicates)]);
            table.row(["  rejected".to_owned(), count(outcome.rejected)]);
            if outcome.unconfirmed > 0 {
                table.row(["  not confirmed".to_owned(), count(outcome.unconfirmed)]);
            }
            if outcome.retries > 0 {
                table.row(["calls repeated".to_owned(), count(outcome.retries)]);
            }
        }
    }
    let seconds = elapsed.as_secs_f64();
    table.row(["seconds".to_owned(), decimal(seconds, 1)]);
    table.row([
        "lines per second".to_owned(),
        decimal(tally.lines as f64 / seconds.max(0.001), 0),
    ]);

    let mut text = table.to_string();
    add_examples(
        &mut text,
        "Lines that could not be read",
        files,
        &tally.examples,
    );
    if let Some(outcome) = outcome {
        let rejected: Vec<_> = outcome
            .examples
            .iter()
            .map(|e| (e.origin, e.reasons.clone()))
            .collect();
        add_examples(
            &mut text,
            "Events that the server rejected",
            files,
            &rejected,
        );
        if outcome.has_too_old {
            text.push_str(TOO_OLD_HINT);
        }
        if outcome.unconfirmed > 0 {
            text.push_str(
                "\nNot everything was confirmed. Run the same command again: what was stored is \
                 recognised and not counted twice.\n",
            );
        }
    }
    text
}

const TOO_OLD_HINT: &str = "
Events were rejected because their time is before the property's retention. To keep events for ever,
create a property without a limit and import into it, with a write key of it, or with
--property archive on a server without authentication:
  tallymark property create archive --retention-days 0
  tallymark key create --kind write --property archive
";

fn add_examples(
    text: &mut String,
    title: &str,
    files: &[PathBuf],
    examples: &[((usize, u64), String)],
) {
    if examples.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}, the first of them:");
    for ((file, line), reason) in examples {
        let name = files
            .get(*file)
            .map(|file| file.display().to_string())
            .unwrap_or_default();
        let _ = writeln!(text, "  {}:{line}: {}", printable(&name), printable(reason));
    }
}
