//! `tallymark property`: properties, without a running server and without a key.

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::domain::property::Retention;
use crate::store::properties::{self, PropertySettings};
use crate::validate::property::is_name;
use crate::validate::range::find_time_zone;

use super::store::{Store, StoreArgs};
use super::table::{Column, Table};

/// Properties that `list` shows at most.
const MAX_LISTED: i64 = 10_000;

/// Manage properties, directly in the database.
#[derive(Debug, Args)]
pub struct PropertyArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(subcommand)]
    command: PropertyCommand,
}

#[derive(Debug, Subcommand)]
enum PropertyCommand {
    /// Create a property: one site or product with events and keys of its own.
    Create {
        /// 1 to 64 of a-z, 0-9, - and _, the first a letter or digit.
        name: String,
        /// IANA name of the time zone of its days.
        #[arg(long, default_value = "UTC", value_name = "ZONE")]
        time_zone: String,
        /// Days that its events are kept, 1 to 36500, or 0 for ever [default: the server's limit].
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
        retention_days: Option<u32>,
    },
    /// List properties.
    List,
}

/// Runs `tallymark property`.
pub async fn run(args: PropertyArgs) -> anyhow::Result<()> {
    let store = Store::open(args.store).await?;
    let done = run_on(&store, args.command).await;
    store.close().await?;
    done
}

async fn run_on(store: &Store, command: PropertyCommand) -> anyhow::Result<()> {
    match command {
        PropertyCommand::Create {
            name,
            time_zone,
            retention_days,
        } => {
            if !is_name(&name) {
                bail!(
                    "`{name}` cannot be a name: need 1–64 of a-z, 0-9, - and _, the first a letter or digit"
                );
            }
            if find_time_zone(&time_zone).is_none() {
                bail!(
                    "there is no time zone `{time_zone}`, need an IANA name such as Asia/Kathmandu"
                );
            }
            let settings = PropertySettings {
                time_zone,
                retention: retention_days.map(Retention::from_days),
                ..PropertySettings::default()
            };
            match properties::create(&store.pool, &name, &settings).await? {
                Some(_) => eprintln!("Created the property {name}."),
                None => bail!("there is a property `{name}` already"),
            }
        }
        PropertyCommand::List => {
            let mut table =
                Table::new(["name", "time zone", "retention", "created"].map(Column::text));
            for property in properties::list(&store.pool, None, "", MAX_LISTED).await? {
                let retention = match property.settings.retention {
                    None => "server's limit".to_owned(),
                    Some(Retention::Forever) => "for ever".to_owned(),
                    Some(Retention::Days(days)) => format!("{days} days"),
                };
                table.row([
                    property.name,
                    property.settings.time_zone,
                    retention,
                    property.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
                ]);
            }
            print!("{table}");
        }
    }
    Ok(())
}
