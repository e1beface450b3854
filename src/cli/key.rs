//! `tallymark key`: keys, without a running server and without a key.

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::domain::key::{Key, KeyKind};
use crate::store::keys::{self, Created, KeyList};
use crate::validate::property::is_name;

use super::store::{Store, StoreArgs};
use super::table::{Column, Table};

/// Keys that `list` shows at most.
const MAX_LISTED: i64 = 10_000;

/// Manage keys, directly in the database.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Create a key, and print it on standard output. It cannot be shown again.
    Create {
        /// What the key may do.
        #[arg(long, value_enum)]
        kind: Kind,
        /// The property it is for. An admin key without one manages the whole server.
        #[arg(long, value_name = "NAME")]
        property: Option<String>,
        /// A note: where the key is used. At most 128 bytes.
        #[arg(long, default_value = "", value_name = "TEXT")]
        label: String,
    },
    /// List keys, without their secrets.
    List {
        /// Only keys of this property.
        #[arg(long, value_name = "NAME")]
        property: Option<String>,
        /// Also keys that were revoked.
        #[arg(long)]
        revoked: bool,
    },
    /// Revoke a key; servers notice within two seconds.
    Revoke {
        /// Public part of the key, up to its second underscore: `tmw_8RWb0dkP1zFe`.
        key_id: String,
    },
    /// Print a random key without storing it, for TALLYMARK_ADMIN_KEY and the like.
    Generate {
        /// What the key may do.
        #[arg(long, value_enum)]
        kind: Kind,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Send events.
    Write,
    /// Ask questions.
    Read,
    /// Manage properties and keys.
    Admin,
}

impl From<Kind> for KeyKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Write => Self::Write,
            Kind::Read => Self::Read,
            Kind::Admin => Self::Admin,
        }
    }
}

/// Runs `tallymark key`.
pub async fn run(args: KeyArgs) -> anyhow::Result<()> {
    if let KeyCommand::Generate { kind } = args.command {
        println!("{}", Key::generate(kind.into()).reveal());
        return Ok(());
    }
    let store = Store::open(args.store).await?;
    let done = run_on(&store, args.command).await;
    store.close().await?;
    done
}

async fn run_on(store: &Store, command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create {
            kind,
            property,
            label,
        } => create(store, kind.into(), property.as_deref(), &label).await,
        KeyCommand::List { property, revoked } => list(store, property.as_deref(), revoked).await,
        KeyCommand::Revoke { key_id } => {
            let revoked = keys::revoke(&store.pool, &key_id, None).await?;
            let key = revoked.with_context(|| format!("there is no key `{key_id}`"))?;
            eprintln!("Revoked the {} key {}.", key.kind.name(), key.key_id);
            Ok(())
        }
        KeyCommand::Generate { .. } => Ok(()),
    }
}

async fn create(
    store: &Store,
    kind: KeyKind,
    property: Option<&str>,
    label: &str,
) -> anyhow::Result<()> {
    if property.is_none() && kind != KeyKind::Admin {
        bail!(
            "a {} key is for one property: add --property NAME (`default` exists from the start)",
            kind.name()
        );
    }
    if let Some(name) = property.filter(|name| !is_name(name)) {
        bail!("`{name}` is not the name of a property");
    }
    if label.len() > 128 {
        bail!("the label has {} bytes, need at most 128", label.len());
    }
    let key = Key::generate(kind);
    match keys::create(&store.pool, &key, property, label).await? {
        Created::Key(_) => {
            eprintln!("Keep this key: it is stored as a hash and cannot be shown again.");
            println!("{}", key.reveal());
            Ok(())
        }
        Created::NoSuchProperty => bail!(
            "there is no property `{}`; `tallymark property create` makes one",
            property.unwrap_or_default()
        ),
        Created::IdTaken => bail!("by an odd chance the key exists already; try again"),
    }
}

async fn list(store: &Store, property: Option<&str>, revoked: bool) -> anyhow::Result<()> {
    let list = KeyList {
        property,
        include_revoked: revoked,
        after: None,
        count: MAX_LISTED,
    };
    let mut table =
        Table::new(["key", "kind", "property", "created", "revoked", "label"].map(Column::text));
    for key in keys::list(&store.pool, list).await? {
        table.row([
            key.key_id,
            key.kind.name().to_owned(),
            key.property.unwrap_or_else(|| "(all)".to_owned()),
            key.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
            key.revoked_at
                .map(|time| time.strftime("%Y-%m-%d %H:%M").to_string())
                .unwrap_or_default(),
            key.label,
        ]);
    }
    print!("{table}");
    Ok(())
}
