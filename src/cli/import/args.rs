//! Arguments of `tallymark import`.

use std::path::PathBuf;

use crate::cli::connect::ConnectArgs;
use crate::cli::import::access_log::Layout;
use crate::cli::import::convert::{AccessRules, Converter};
use crate::cli::import::filter::{Extensions, Statuses};
use crate::enrich::page;

/// Sends the requests of access logs, or events as JSON lines, to a server.
///
/// Importing a file again adds nothing: events get their ids from the contents of their lines, whatever
/// the file is called and whether it is compressed. Ends with exit status 0 when every event was stored
/// (now or before), 1 when some were rejected or could not be confirmed, or a file could not be read to
/// its end. Lines that are not of the format are skipped, counted and shown, and do not change that.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// Files to read, `-` for stdin. May be compressed with gzip.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Format of the files.
    #[arg(long, value_enum, default_value_t = Format::Combined)]
    pub format: Format,

    /// Count what would be sent, and send nothing; needs no server.
    #[arg(long)]
    pub dry_run: bool,

    /// Events per message, from 1 to 5,000.
    #[arg(long, value_name = "EVENTS", default_value_t = 1000,
          value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub batch_size: u16,

    /// Attempts to send what the server does not confirm, from 1 to 100; the waits between them grow
    /// from 0.2 to 10 seconds, or are what the server asks for.
    #[arg(long, value_name = "ATTEMPTS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_attempts: u32,

    #[command(flatten)]
    pub access_log: AccessLogArgs,

    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// What an access log does not say by itself.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Access logs (formats combined and common)")]
pub struct AccessLogArgs {
    /// Methods to import, separated by commas.
    #[arg(
        long,
        value_name = "METHODS",
        value_delimiter = ',',
        default_value = "GET"
    )]
    pub methods: Vec<String>,

    /// Statuses to import: numbers and ranges, separated by commas.
    #[arg(long, value_name = "STATUSES", default_value = "200-299,304")]
    pub status: Statuses,

    /// Whether to import files that pages load: styles, scripts, images, fonts, sound and video.
    #[arg(long = "static", value_enum, value_name = "WHAT", default_value_t = StaticFiles::Skip)]
    pub static_files: StaticFiles,

    /// Extensions of such files in place of the built-in list, separated by commas: `css,js,png`.
    #[arg(long, value_name = "EXTENSIONS")]
    pub static_extensions: Option<Extensions>,

    /// Host of the site, `example.com`. Pages then have it, and referrers of the same host count as
    /// the site's own. Without it pages are paths, and every referrer counts as another site.
    #[arg(long, value_name = "HOST", value_parser = parse_origin)]
    pub host: Option<String>,

    /// Name of the events.
    #[arg(long, value_name = "NAME", default_value = "page_view")]
    pub name: String,

    /// Text that visitor ids are made with. A log does not know visitors: all requests of one address
    /// with one user agent count as one, so people behind a shared address are merged, and one whose
    /// address changes is counted again. Two logs agree on visitors if imported with the same salt.
    #[arg(long, value_name = "TEXT", default_value = "tallymark")]
    pub visitor_salt: String,

    /// Keep the names of people who signed in with HTTP authentication, as user ids.
    #[arg(long)]
    pub keep_users: bool,
}

/// Format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Apache and nginx, with referrer and user agent.
    Combined,
    /// Apache and nginx, without them.
    Common,
    /// An object a line with the fields of tallymark.v1.Event, named `visitor_id` or `visitorId`.
    Jsonl,
}

/// What to do with files that pages load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StaticFiles {
    /// Leave them out.
    Skip,
    /// Import them like pages.
    Keep,
}

/// `https://example.com` of `example.com`: the scheme is not stored, but makes it a URL.
pub(super) fn parse_origin(text: &str) -> Result<String, String> {
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let need = || "need a host such as `example.com`".to_owned();
    let page = page::split(&with_scheme).map_err(|_| need())?;
    let host = page
        .host
        .filter(|_| page.path == "/" && page.query.is_none())
        .ok_or_else(need)?;
    let scheme = if with_scheme.starts_with("http://") {
        "http"
    } else {
        "https"
    };
    Ok(format!("{scheme}://{host}"))
}

impl ImportArgs {
    /// What becomes of the lines.
    pub(super) fn converter(&self) -> Converter {
        let layout = match self.format {
            Format::Combined => Layout::Combined,
            Format::Common => Layout::Common,
            Format::Jsonl => return Converter::JsonLines,
        };
        let args = &self.access_log;
        let static_files = match args.static_files {
            StaticFiles::Skip => Some(args.static_extensions.clone().unwrap_or_default()),
            StaticFiles::Keep => None,
        };
        Converter::AccessLog {
            layout,
            rules: Box::new(AccessRules {
                methods: args.methods.clone(),
                statuses: args.status.clone(),
                static_files,
                origin: args.host.clone(),
                name: args.name.clone(),
                visitor_salt: args.visitor_salt.clone(),
                keep_users: args.keep_users,
            }),
        }
    }
}
