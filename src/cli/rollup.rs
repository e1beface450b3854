//! `tallymark rollup`: what is counted ahead of the questions, checked and built again.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::domain::property::{Property, Retention};
use crate::rollup::attributes::AttributeStore;
use crate::rollup::compact::Compactor;
use crate::store::directory::Directory;
use crate::store::rollups;

use super::store::{Store, StoreArgs};
use super::table::{Column, Table, count};

/// Differences that are shown of a property at most.
const MAX_SHOWN: usize = 20;

/// Check pre-aggregates, or build them again, directly in the database.
#[derive(Debug, Args)]
pub struct RollupArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(subcommand)]
    command: RollupCommand,
}

#[derive(Debug, Subcommand)]
enum RollupCommand {
    /// List the rollups of properties: since when they have every event, and how large they are.
    List {
        /// Of this property only.
        #[arg(long, value_name = "NAME")]
        property: Option<String>,
    },
    /// Build rollups again from the stored events. A running service goes on; it answers from the events
    /// until they are there again.
    Rebuild {
        /// Of this property only.
        #[arg(long, value_name = "NAME")]
        property: Option<String>,
    },
    /// Compare rollups with the stored events, which takes about as long as to build them. Exits with 1 if
    /// anything differs.
    Verify {
        /// Of this property only.
        #[arg(long, value_name = "NAME")]
        property: Option<String>,
    },
}

/// Runs `tallymark rollup`.
pub async fn run(args: RollupArgs) -> anyhow::Result<ExitCode> {
    let store = Store::open(args.store).await?;
    let done = run_on(&store, args.command).await;
    store.close().await?;
    done
}

async fn run_on(store: &Store, command: RollupCommand) -> anyhow::Result<ExitCode> {
    // What is too old is no business of rollups.
    let directory = Arc::new(Directory::load(store.pool.clone(), Retention::Forever).await?);
    let attributes = Arc::new(AttributeStore::new(store.pool.clone()));
    let compactor =
        Compactor::new(store.pool.clone(), Arc::clone(&directory), attributes).patient();
    let chosen = |name: Option<String>| -> anyhow::Result<Vec<Arc<Property>>> {
        let mut properties = directory.properties();
        properties.sort_by(|one, other| one.name.cmp(&other.name));
        if let Some(name) = name {
            properties.retain(|property| property.name == name);
            if properties.is_empty() {
                bail!(
                    "there is no property `{name}`; `tallymark property list` shows which there are"
                );
            }
        }
        Ok(properties)
    };
    match command {
        RollupCommand::List { property } => {
            let mut table = Table::new([
                Column::text("property"),
                Column::text("rollup"),
                Column::text("dimensions"),
                Column::text("complete since"),
                Column::number("segments"),
                Column::number("bytes"),
            ]);
            for property in chosen(property)? {
                for described in rollups::describe(&store.pool, property.property_no).await? {
                    table.row([
                        property.name.clone(),
                        described.name.clone(),
                        described.dimensions.join(", "),
                        match (&described.failure, described.covered_since) {
                            (Some(failure), _) => failure.clone(),
                            (None, None) => "not begun".to_owned(),
                            (None, Some(_)) if described.is_complete() => "always".to_owned(),
                            (None, Some(since)) => since.strftime("%Y-%m-%d %H:%M").to_string(),
                        },
                        count(described.segments),
                        count(described.bytes),
                    ]);
                }
            }
            println!("{table}");
        }
        RollupCommand::Rebuild { property } => {
            for property in chosen(property)? {
                compactor.rebuild(&property).await.with_context(|| {
                    format!("the rollups of {} could not be built", property.name)
                })?;
                eprintln!("Built the rollups of {} again.", property.name);
            }
        }
        RollupCommand::Verify { property } => {
            let mut is_right = true;
            for property in chosen(property)? {
                let verified = compactor.verify(&property).await.with_context(|| {
                    format!("the rollups of {} could not be read", property.name)
                })?;
                println!(
                    "{}: {} days of rollups compared, {} differ",
                    property.name,
                    count(verified.compared as u64),
                    count(verified.differences.len() as u64)
                );
                for difference in verified.differences.iter().take(MAX_SHOWN) {
                    println!("  {difference}");
                }
                is_right &= verified.differences.is_empty();
            }
            if !is_right {
                eprintln!("`tallymark rollup rebuild` builds them again from the events.");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
