//! `tallymark dead-letters`: events that the database refused, by way of a running server, since only
//! that can put them into its log again.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::pb::{
    DeadLetter, DeadLetterSelection, DropDeadLettersRequest, ListDeadLettersRequest,
    ReplayDeadLettersRequest,
};

use super::connect::{ConnectArgs, failed};
use super::table::{Column, Table, count};

/// Dead letters that a call of `list` asks for.
const PAGE_SIZE: usize = 1_000;

/// List, replay and drop events that the database refused. Needs an admin key.
#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List dead letters, the oldest first: what was refused, and why.
    List {
        /// Letters that are shown at most.
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: usize,
        #[command(flatten)]
        connect: ConnectArgs,
    },
    /// Send dead letters through the log again, for when the reason is gone.
    Replay {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        connect: ConnectArgs,
    },
    /// Delete dead letters for good.
    Drop {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        connect: ConnectArgs,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// All of them.
    #[arg(long)]
    all: bool,
    /// Their numbers, at most 1,000.
    #[arg(value_name = "NUMBER")]
    numbers: Vec<i64>,
}

impl Which {
    fn selection(self, connect: ConnectArgs) -> DeadLetterSelection {
        DeadLetterSelection {
            property: connect.property.unwrap_or_default(),
            numbers: self.numbers,
            all: self.all,
        }
    }
}

/// Runs `tallymark dead-letters`.
pub async fn run(args: DeadLettersArgs) -> anyhow::Result<()> {
    match args.command {
        DeadLettersCommand::List { connect, limit } => list(connect, limit).await,
        DeadLettersCommand::Replay { connect, which } => {
            let mut admin = connect.connect().await?.admin();
            let selection = Some(which.selection(connect));
            let reply = admin
                .replay_dead_letters(ReplayDeadLettersRequest { selection })
                .await
                .map_err(|status| failed("cannot replay dead letters", &status))?;
            let replayed = counted(reply.into_inner().replayed);
            eprintln!(
                "Sent {replayed} through the log again; `tallymark dead-letters list` shows soon \
                 whether any was refused again."
            );
            Ok(())
        }
        DeadLettersCommand::Drop { connect, which } => {
            let mut admin = connect.connect().await?.admin();
            let selection = Some(which.selection(connect));
            let reply = admin
                .drop_dead_letters(DropDeadLettersRequest { selection })
                .await
                .map_err(|status| failed("cannot drop dead letters", &status))?;
            eprintln!("Dropped {}.", counted(reply.into_inner().dropped));
            Ok(())
        }
    }
}

async fn list(connect: ConnectArgs, limit: usize) -> anyhow::Result<()> {
    let mut admin = connect.connect().await?.admin();
    let property = connect.property.unwrap_or_default();
    let columns = ["refused", "property", "event", "event id", "reason"].map(Column::text);
    let mut table = Table::new([Column::number("number")].into_iter().chain(columns));
    let mut left = limit;
    let mut page_token = String::new();
    let has_more = loop {
        let request = ListDeadLettersRequest {
            property: property.clone(),
            page_size: i32::try_from(left.clamp(1, PAGE_SIZE))?,
            page_token,
        };
        let page = admin
            .list_dead_letters(request)
            .await
            .map_err(|status| failed("cannot list dead letters", &status))?
            .into_inner();
        for letter in page.dead_letters {
            left = left.saturating_sub(1);
            table.row(cells(letter));
        }
        page_token = page.next_page_token;
        if page_token.is_empty() || left == 0 {
            break !page_token.is_empty();
        }
    };
    print!("{table}");
    if has_more {
        eprintln!("There are more; `--limit` shows them.");
    }
    Ok(())
}

fn cells(letter: DeadLetter) -> [String; 6] {
    let refused = letter.refuse_time.and_then(|time| {
        let time = Timestamp::new(time.seconds, time.nanos).ok()?;
        Some(time.strftime("%Y-%m-%d %H:%M").to_string())
    });
    let event = letter.event.and_then(|event| event.event);
    let (name, event_id) = event
        .map(|event| (event.name, event.event_id))
        .unwrap_or_default();
    [
        letter.number.to_string(),
        refused.unwrap_or_default(),
        letter.property,
        name,
        event_id,
        letter.reason,
    ]
}

fn counted(letters: i64) -> String {
    match letters {
        1 => "1 dead letter".to_owned(),
        letters => format!(
            "{} dead letters",
            count(u64::try_from(letters).unwrap_or_default())
        ),
    }
}
