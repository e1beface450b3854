//! Arguments of `tallymark loadgen`.

use std::num::{NonZeroU16, NonZeroU64};
use std::time::Duration;

use jiff::SignedDuration;

use crate::cli::connect::ConnectArgs;
use crate::cli::loadgen::drive::{MESSAGES_PER_CALL, RATED_CALLS_A_SECOND, RATED_LANES};
use crate::cli::loadgen::pipe::{MAX_IN_FLIGHT_EVENTS, MAX_IN_FLIGHT_MESSAGES};

/// How long it runs when neither events nor a duration are given.
const DEFAULT_DURATION: Duration = Duration::from_secs(30);

/// Send made-up events to a running server, at a set rate or flat out, and measure.
///
/// The events look like a web shop's traffic; their times lie in the last five minutes, and every event
/// has an id of its own, the same in every attempt. They are stored for good, so do not aim this at a
/// property that is in use.
///
/// Latencies are those of whole calls, with --pipe of single messages until their acknowledgement, with
/// all retries. Flat out, a call or message begins when it is made. With --rate it begins when it was
/// due: one that had to wait because the server was slow with those before it is late, and is measured as
/// late.
///
/// Ctrl-C stops the sending, waits for what was sent, and prints the summary; a second one ends at once.
/// Ends with exit status 0 when everything sent was acknowledged as stored (and, with --verify, found in
/// the database exactly once), else 1.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadgenArgs {
    /// How many events to send. Without --duration there is no other end.
    #[arg(long, value_name = "EVENTS")]
    pub events: Option<NonZeroU64>,

    /// For how long to send: `30s`, `5m`. 30s when --events is not given either.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// Events a second, over all connections; without it as fast as the server takes them. Every
    /// connection then makes about eight calls a second, at fixed times, up to four at a time.
    #[arg(long, value_name = "EVENTS", value_parser = parse_rate)]
    pub rate: Option<f64>,

    /// Connections to the server, from 1 to 256.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub connections: u16,

    /// Events a message of StreamEvents or PipeEvents, at most, from 1 to 5,000. A call of StreamEvents has
    /// at most 20 messages.
    #[arg(long, value_name = "EVENTS", default_value_t = 1000,
          value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub batch: u16,

    /// Send one event a call, with IngestEvent in place of StreamEvents.
    #[arg(long)]
    pub unary: bool,

    /// Send over one long call of PipeEvents on each connection in place of StreamEvents, with up to 64
    /// messages, or 64,000 events, under way in it. A call that breaks is made again, from the first
    /// message on that was not acknowledged.
    #[arg(long, conflicts_with_all = ["unary", "callers"])]
    pub pipe: bool,

    /// With --unary: calls under way at a time, over all connections.
    #[arg(long, value_name = "CALLERS", default_value = "64", requires = "unary")]
    pub callers: NonZeroU16,

    /// Wait until the events are committed in the database, rather than in the server's log.
    #[arg(long)]
    pub committed: bool,

    /// Seed of the made-up traffic. The same seed makes the same people and pages; ids and times are
    /// always new.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Afterwards, look every acknowledged event up in the database, as soon as the server has loaded it
    /// from its log. Until then 24 bytes of each are kept
    /// in memory.
    #[arg(long)]
    pub verify: bool,

    /// Address of the database for --verify, which is only read. Without it, the running database of
    /// TALLYMARK_DATA_DIR.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database: Option<String>,

    #[command(flatten)]
    pub connect: ConnectArgs,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let need = || "need a time such as `30s` or `5m`".to_owned();
    let duration: SignedDuration = text.parse().map_err(|_| need())?;
    Duration::try_from(duration)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(need)
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.replace(['_', ','], "").parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("need a number from 0.001 to 1,000,000,000".to_owned()),
    }
}

impl LoadgenArgs {
    /// When to stop, whatever was sent by then.
    pub(super) fn until(&self) -> Option<Duration> {
        match (self.duration, self.events) {
            (None, None) => Some(DEFAULT_DURATION),
            (duration, _) => duration,
        }
    }

    /// Calls under way at a time, at most.
    pub(super) fn lanes(&self) -> usize {
        match self.rate {
            _ if self.unary => usize::from(self.callers.get()),
            Some(_) if !self.pipe => usize::from(self.connections) * RATED_LANES,
            _ => usize::from(self.connections),
        }
    }

    /// With --pipe: messages of a lane that wait for their acknowledgement, at most.
    pub(super) fn in_flight_messages(&self) -> usize {
        (MAX_IN_FLIGHT_EVENTS / usize::from(self.batch)).clamp(1, MAX_IN_FLIGHT_MESSAGES)
    }

    /// What the plan's steps are, and what is measured.
    pub(super) fn steps(&self) -> &'static str {
        match self.pipe {
            true => "messages",
            false => "calls",
        }
    }

    /// Events of a call, or of a message of --pipe; the last one may have fewer.
    pub(super) fn events_per_call(&self) -> u64 {
        let most = match self.pipe {
            true => u64::from(self.batch),
            false => u64::from(self.batch) * MESSAGES_PER_CALL,
        };
        match self.rate {
            _ if self.unary => 1,
            None => most,
            Some(rate) => {
                let calls = f64::from(self.connections) * RATED_CALLS_A_SECOND;
                ((rate / calls).ceil() as u64).clamp(1, most)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: LoadgenArgs,
    }

    pub fn parse(arguments: &[&str]) -> Result<LoadgenArgs, clap::Error> {
        let arguments = [&["loadgen"], arguments].concat();
        Command::try_parse_from(arguments).map(|command| command.args)
    }

    #[test]
    fn bounds_the_work_of_a_call() {
        for (arguments, lanes, events_per_call) in [
            (&[][..], 4, 20_000),
            (&["--batch", "50", "--connections", "2"], 2, 1_000),
            (&["--rate", "100_000"], 16, 3_125),
            (&["--rate", "1"], 16, 1),
            (&["--rate", "1e9"], 16, 20_000),
            (&["--unary"], 64, 1),
            (&["--unary", "--callers", "3", "--rate", "9"], 3, 1),
            (&["--pipe"], 4, 1_000),
            (&["--pipe", "--rate", "3200"], 4, 100),
            (&["--pipe", "--rate", "1e9"], 4, 1_000),
        ] {
            let args = parse(arguments).expect("valid");
            let found = (args.lanes(), args.events_per_call());
            assert_eq!(found, (lanes, events_per_call), "{arguments:?}");
        }
    }

    #[test]
    fn bounds_what_a_pipe_holds() {
        for (batch, messages) in [("1", 64), ("1000", 64), ("1001", 63), ("5000", 12)] {
            let args = parse(&["--pipe", "--batch", batch]).expect("valid");
            assert_eq!(args.in_flight_messages(), messages, "{batch}");
        }
    }

    #[test]
    fn ends_at_what_is_given() {
        let until = |arguments: &[&str]| parse(arguments).expect("valid").until();
        assert_eq!(until(&[]), Some(DEFAULT_DURATION));
        assert_eq!(until(&["--events", "5"]), None);
        assert_eq!(
            until(&["--events", "5", "--duration", "2m"]),
            Some(Duration::from_secs(120))
        );
        for wrong in [
            &["--events", "0"][..],
            &["--duration", "0s"],
            &["--duration", "-3s"],
            &["--duration", "soon"],
            &["--rate", "0"],
            &["--rate", "nan"],
            &["--batch", "5001"],
            &["--callers", "4"],
            &["--pipe", "--unary"],
            &["--pipe", "--callers", "4"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
