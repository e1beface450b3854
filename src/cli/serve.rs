//! `tallymark serve`.

use std::fmt::Write;
use std::sync::OnceLock;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::app::App;
use crate::config::{Config, VARIABLES};
use crate::open_files;

use super::environment;

/// Everything is set by variables of the environment; the options here stand for the most used.
#[derive(Debug, Args)]
#[command(after_long_help = variables_help())]
pub struct ServeArgs {
    /// Address and port to listen on; stands for TALLYMARK_LISTEN.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Directory of the service's own database; stands for TALLYMARK_DATA_DIR.
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// Let everybody in without a key, on a loopback address only; stands for
    /// TALLYMARK_UNAUTHENTICATED=true.
    #[arg(long)]
    unauthenticated: bool,
}

fn variables_help() -> &'static str {
    static HELP: OnceLock<String> = OnceLock::new();
    HELP.get_or_init(|| {
        let mut help = String::from("Variables:\n");
        for variable in VARIABLES {
            let (name, default, text) = (variable.name, variable.default, variable.help);
            // Writing to a String does not fail.
            let _ = writeln!(help, "  {name} [default: {default}]\n          {text}\n");
        }
        help
    })
}

/// Runs the service until SIGTERM or Ctrl-C.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let lookup = |name: &str| {
        let given = match name {
            "TALLYMARK_LISTEN" => args.listen.clone(),
            "TALLYMARK_DATA_DIR" => args.data_dir.clone(),
            "TALLYMARK_UNAUTHENTICATED" => args.unauthenticated.then(|| "true".to_owned()),
            _ => None,
        };
        given.or_else(|| environment(name))
    };
    open_files::raise_limit();
    let config = Config::from_variables(&lookup)?;
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    App::bind(config).await?.run(stop).await?;
    Ok(())
}

/// Cancels `stop` at the first SIGTERM or SIGINT. A second one ends the process at once.
pub async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    for asked_before in [false, true] {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if asked_before {
            eprintln!("tallymark: a second {name}: stopping at once");
            std::process::exit(1);
        }
        info!(signal = name, "asked to stop");
        stop.cancel();
    }
}
