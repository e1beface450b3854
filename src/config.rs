//! Settings, read from variables that are handed in, before anything is opened.
//!
//! [`VARIABLES`] is the one list of them: the README's table and `tallymark serve --help` show it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::key::{Key, KeyKind};
use crate::domain::property::{DEFAULT_RETENTION_DAYS, Retention};
use crate::load::feed::BatchLimits;
use crate::log::disk::Settings;
use crate::query::raw_scans::DEFAULT_PER_PROPERTY;
use crate::rpc::gate::Authentication;

/// A variable: its name, its default in words, and what it is for.
pub struct Variable {
    /// Name.
    pub name: &'static str,
    /// Default, in words.
    pub default: &'static str,
    /// What it is for, with unit and bounds.
    pub help: &'static str,
}

macro_rules! variables {
    ($($constant:ident = $name:literal, $default:literal, $help:literal;)*) => {
        $(const $constant: &str = $name;)*
        /// Every variable that `tallymark serve` reads.
        pub const VARIABLES: &[Variable] =
            &[$(Variable { name: $name, default: $default, help: $help }),*];
    };
}

variables! {
    DATABASE_URL = "DATABASE_URL", "own database",
        "PostgreSQL with TimescaleDB 2.19 or later: `postgresql://user:password@host/database`. \
         Without it the service installs, starts and stops its own in the data directory.";
    LISTEN = "TALLYMARK_LISTEN", "127.0.0.1:50051",
        "Address and port to listen on.";
    DATA_DIR = "TALLYMARK_DATA_DIR", "./tallymark-data",
        "Directory of the service's own database, unused with DATABASE_URL, and of the event log unless TALLYMARK_EVENT_LOG_DIR says another.";
    EVENT_LOG_DIR = "TALLYMARK_EVENT_LOG_DIR", "event-log in TALLYMARK_DATA_DIR",
        "Directory of the log that holds events until the database has them. On a disk of its own if you can, and never shared by two servers.";
    EVENT_LOG_BYTES = "TALLYMARK_EVENT_LOG_BYTES", "4294967296",
        "Bytes that the event log may take, from 32 MiB to 1 TiB: how long the database may be away before senders are told to wait.";
    ENGINE_DIR = "TALLYMARK_ENGINE_DIR", "found or installed",
        "Directory of the PostgreSQL and TimescaleDB programs for the service's own database.";
    UNAUTHENTICATED = "TALLYMARK_UNAUTHENTICATED", "false",
        "`true` lets everybody in without a key. Only with a loopback address to listen on.";
    ADMIN_KEY = "TALLYMARK_ADMIN_KEY", "none",
        "A server-wide admin key (`tma_<id>_<secret of 16 or more letters and digits>`) that is valid from the start.";
    WRITE_KEY = "TALLYMARK_WRITE_KEY", "none",
        "A write key (`tmw_…`) of the property `default` that is valid from the start.";
    READ_KEY = "TALLYMARK_READ_KEY", "none",
        "A read key (`tmr_…`) of the property `default` that is valid from the start.";
    GEO_DB = "TALLYMARK_GEO_DB", "none",
        "Country database in MaxMind's format (`.mmdb`). Without it no country is known.";
    RETENTION_DAYS = "TALLYMARK_RETENTION_DAYS", "92",
        "Days that events are kept by properties that do not say: 1 to 36,500, or 0 for ever.";
    POOL_SIZE = "TALLYMARK_POOL_SIZE", "16",
        "Questions that are worked on at once at most, each with a connection to the database, from 1 to 1,000. The service itself has five connections more.";
    BATCH_EVENTS = "TALLYMARK_BATCH_EVENTS", "20000",
        "Events that are written in one transaction at most, from 1 to 100,000.";
    BATCH_BYTES = "TALLYMARK_BATCH_BYTES", "16777216",
        "Bytes that are written in one transaction at most, from 1 KiB to 256 MiB.";
    BATCH_AGE_MS = "TALLYMARK_BATCH_AGE_MS", "50",
        "Milliseconds that an event waits for others to be written with, from 0 to 10,000, unless its sender waits for the commit.";
    STORE_TIMEOUT = "TALLYMARK_STORE_TIMEOUT_MS", "60000",
        "Milliseconds that the database may take to write a batch before its connection is given up and the halves are tried, from 100 to 3,600,000.";
    COMMIT_TIMEOUT = "TALLYMARK_COMMIT_TIMEOUT_MS", "30000",
        "Milliseconds that a sender waits who asked for the commit, from 100 to 3,600,000; then it is told to send again.";
    IN_FLIGHT_BYTES = "TALLYMARK_IN_FLIGHT_BYTES", "33554432",
        "Bytes of events that wait to be written to the event log at most, from 8 MiB to 1 GiB; then senders wait.";
    RECEIVE_BYTES = "TALLYMARK_RECEIVE_BYTES", "67108864",
        "Bytes of requests that are received and not handled yet at most, from 8 MiB to 4 GiB; then senders wait.";
    QUERY_TIMEOUT_MS = "TALLYMARK_QUERY_TIMEOUT_MS", "30000",
        "Milliseconds that a question may take at most, from 100 to 3,600,000.";
    RAW_SCANS = "TALLYMARK_RAW_SCANS", "4",
        "Questions of one property that are answered from its raw events at once, from 1 to 1,000; the next ones wait for up to 5 s.";
    WATCHERS = "TALLYMARK_WATCHERS", "1000",
        "Calls that watch what happens now at once at most, from 0 to 100,000; more are told to try again.";
    RESULT_CACHE_BYTES = "TALLYMARK_RESULT_CACHE_BYTES", "33554432",
        "Bytes of answers that are kept for those who ask the same again, up to 64 GiB; 0 keeps none.";
    ROLLUPS = "TALLYMARK_ROLLUPS", "true",
        "`false` keeps no pre-aggregates: events are stored faster, questions are answered from the events. The same on every server of a database; those that there are go, and are built again when it is `true`.";
    ROLLUP_CACHE_BYTES = "TALLYMARK_ROLLUP_CACHE_BYTES", "67108864",
        "Bytes of pre-aggregates that are kept in memory for the next question at most, from 0 to 64 GiB.";
    DRAIN_TIMEOUT_MS = "TALLYMARK_DRAIN_TIMEOUT_MS", "10000",
        "Milliseconds that open calls have to end after SIGTERM, from 0 to 600,000.";
    METRICS_LISTEN = "TALLYMARK_METRICS_LISTEN", "none",
        "Address and port of a page with metrics for Prometheus, `GET /metrics`. Without it none are kept.";
    LOG = "TALLYMARK_LOG", "info",
        "What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `tallymark::load=debug,info`.";
    LOG_FORMAT = "TALLYMARK_LOG_FORMAT", "text",
        "`text` for people, `json` for programs.";
}

/// A variable's value is not what it must be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{variable}: {reason}")]
pub struct ConfigError {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong and what would be right. Never holds a secret's value.
    pub reason: String,
}

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// Somebody else's, at this URL.
    Url(String),
    /// Our own.
    Embedded {
        /// Where its data is.
        data_dir: PathBuf,
        /// Where its programs are, if somewhere special.
        engine_dir: Option<PathBuf>,
    },
}

/// Keys that are valid from the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitialKeys {
    /// Server-wide.
    pub admin: Option<Key>,
    /// Of the default property.
    pub write: Option<Key>,
    /// Of the default property.
    pub read: Option<Key>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What the log shows, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Filter, in tracing-subscriber's syntax.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// Everything that `tallymark serve` can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the database is.
    pub database: Database,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to show metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether callers need keys.
    pub authentication: Authentication,
    /// Keys that are valid from the start.
    pub initial_keys: InitialKeys,
    /// File of the country database.
    pub geo_db: Option<PathBuf>,
    /// Retention of properties that do not say.
    pub default_retention: Retention,
    /// Connections for questions at most.
    pub pool_size: usize,
    /// Where the event log is.
    pub event_log_dir: PathBuf,
    /// Its sizes.
    pub event_log: Settings,
    /// When a batch is full.
    pub batch: BatchLimits,
    /// How long the database may take over a batch.
    pub store_timeout: Duration,
    /// How long a sender waits for the commit.
    pub commit_timeout: Duration,
    /// Bytes of requests received and not handled at most.
    pub receive_bytes: usize,
    /// The longest that a question may take.
    pub query_timeout: Duration,
    /// Questions of a property that read its raw events at a time.
    pub raw_scans: usize,
    /// Calls that watch at most.
    pub watchers: usize,
    /// Bytes of answers that are kept.
    pub result_cache_bytes: usize,
    /// Whether rollups are kept.
    pub rollups: bool,
    /// Bytes of rollups that are kept in memory at most.
    pub rollup_cache_bytes: usize,
    /// How long open calls have to end when the service stops.
    pub drain_timeout: Duration,
}

const NEED_ADDRESS: &str = "an address and port, 0.0.0.0:50051";

/// Looks a variable up; an empty one counts as absent.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads the settings.
    pub fn from_variables(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let variables = Variables(lookup);
        let config = Self {
            database: database(&variables),
            listen: variables.parsed(LISTEN, "127.0.0.1:50051", NEED_ADDRESS)?,
            metrics_listen: match variables.get(METRICS_LISTEN) {
                Some(_) => Some(variables.parsed(METRICS_LISTEN, "", NEED_ADDRESS)?),
                None => None,
            },
            authentication: match variables.flag(UNAUTHENTICATED, false)? {
                true => Authentication::None,
                false => Authentication::Keys,
            },
            initial_keys: InitialKeys {
                admin: variables.key(ADMIN_KEY, KeyKind::Admin)?,
                write: variables.key(WRITE_KEY, KeyKind::Write)?,
                read: variables.key(READ_KEY, KeyKind::Read)?,
            },
            geo_db: variables.get(GEO_DB).map(PathBuf::from),
            default_retention: retention(&variables)?,
            pool_size: variables.number(POOL_SIZE, 16, 1, 1_000)?,
            batch: BatchLimits {
                max_events: variables.number(BATCH_EVENTS, 20_000, 1, 100_000)?,
                max_bytes: variables.number(BATCH_BYTES, 16 << 20, 1 << 10, 256 << 20)?,
                max_age: variables.milliseconds(BATCH_AGE_MS, 50, 0, 10_000)?,
            },
            store_timeout: variables.milliseconds(STORE_TIMEOUT, 60_000, 100, 3_600_000)?,
            commit_timeout: variables.milliseconds(COMMIT_TIMEOUT, 30_000, 100, 3_600_000)?,
            event_log_dir: match variables.get(EVENT_LOG_DIR) {
                Some(directory) => directory.into(),
                None => data_dir(&variables).join("event-log"),
            },
            event_log: Settings::of_size(
                variables.number(EVENT_LOG_BYTES, 4 << 30, 32 << 20, 1 << 40)? as u64,
                variables.number(IN_FLIGHT_BYTES, 32 << 20, 8 << 20, 1 << 30)?,
            ),
            receive_bytes: variables.number(RECEIVE_BYTES, 64 << 20, 8 << 20, 4 << 30)?,
            query_timeout: variables.milliseconds(QUERY_TIMEOUT_MS, 30_000, 100, 3_600_000)?,
            raw_scans: variables.number(RAW_SCANS, DEFAULT_PER_PROPERTY, 1, 1_000)?,
            watchers: variables.number(WATCHERS, 1_000, 0, 100_000)?,
            result_cache_bytes: variables.number(RESULT_CACHE_BYTES, 32 << 20, 0, 64 << 30)?,
            rollups: variables.flag(ROLLUPS, true)?,
            rollup_cache_bytes: variables.number(ROLLUP_CACHE_BYTES, 64 << 20, 0, 64 << 30)?,
            drain_timeout: variables.milliseconds(DRAIN_TIMEOUT_MS, 10_000, 0, 600_000)?,
        };
        if config.authentication == Authentication::None && !config.listen.ip().is_loopback() {
            return Err(ConfigError {
                variable: UNAUTHENTICATED,
                reason: format!(
                    "without authentication the service listens on a loopback address only, \
                     not on {}; unset it, or set {LISTEN} to 127.0.0.1:{}",
                    config.listen,
                    config.listen.port()
                ),
            });
        }
        Ok(config)
    }
}

impl LogConfig {
    /// Reads the settings of the log.
    pub fn from_variables(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let variables = Variables(lookup);
        let format = match variables.get(LOG_FORMAT).as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                return Err(ConfigError {
                    variable: LOG_FORMAT,
                    reason: format!("`{other}`, need `text` or `json`"),
                });
            }
        };
        let filter = variables.get(LOG).unwrap_or_else(|| "info".to_owned());
        if let Err(error) = filter.parse::<tracing_subscriber::EnvFilter>() {
            return Err(ConfigError {
                variable: LOG,
                reason: format!("`{filter}`: {error}"),
            });
        }
        Ok(Self { filter, format })
    }
}

/// Where the database is, for commands that need nothing else.
pub fn database_from_variables(lookup: Lookup<'_>) -> Database {
    database(&Variables(lookup))
}

fn database(variables: &Variables<'_>) -> Database {
    match variables.get(DATABASE_URL) {
        Some(url) => Database::Url(url),
        None => Database::Embedded {
            data_dir: data_dir(variables),
            engine_dir: variables.get(ENGINE_DIR).map(PathBuf::from),
        },
    }
}

fn data_dir(variables: &Variables<'_>) -> PathBuf {
    let directory = variables.get(DATA_DIR);
    directory.map_or_else(|| "tallymark-data".into(), PathBuf::from)
}

fn retention(variables: &Variables<'_>) -> Result<Retention, ConfigError> {
    let days = variables.number(RETENTION_DAYS, DEFAULT_RETENTION_DAYS as usize, 0, 36_500)?;
    Ok(Retention::from_days(
        u32::try_from(days).unwrap_or(DEFAULT_RETENTION_DAYS),
    ))
}

struct Variables<'a>(Lookup<'a>);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        variable: &'static str,
        default: &str,
        need: &str,
    ) -> Result<T, ConfigError> {
        let text = self.get(variable).unwrap_or_else(|| default.to_owned());
        text.parse().map_err(|_| ConfigError {
            variable,
            reason: format!("`{text}`, need {need}"),
        })
    }

    fn flag(&self, variable: &'static str, default: bool) -> Result<bool, ConfigError> {
        match self.get(variable).as_deref() {
            None => Ok(default),
            Some("false" | "0" | "no") => Ok(false),
            Some("true" | "1" | "yes") => Ok(true),
            Some(other) => Err(ConfigError {
                variable,
                reason: format!("`{other}`, need `true` or `false`"),
            }),
        }
    }

    fn number(
        &self,
        variable: &'static str,
        default: usize,
        min: usize,
        max: usize,
    ) -> Result<usize, ConfigError> {
        let Some(text) = self.get(variable) else {
            return Ok(default);
        };
        let number = text
            .parse()
            .ok()
            .filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| ConfigError {
            variable,
            reason: format!("`{text}`, need a whole number from {min} to {max}"),
        })
    }

    fn milliseconds(
        &self,
        variable: &'static str,
        default: usize,
        min: usize,
        max: usize,
    ) -> Result<Duration, ConfigError> {
        let ms = self.number(variable, default, min, max)?;
        Ok(Duration::from_millis(ms as u64))
    }

    fn key(&self, variable: &'static str, kind: KeyKind) -> Result<Option<Key>, ConfigError> {
        let Some(text) = self.get(variable) else {
            return Ok(None);
        };
        match Key::parse(&text) {
            Some(key) if key.kind == kind => Ok(Some(key)),
            _ => Err(ConfigError {
                variable,
                reason: format!(
                    "is not {}, need {}_<id>_<secret> with letters and digits, 16 or more in \
                     the secret; `tallymark key generate --kind {}` makes one",
                    kind.needed(),
                    kind.prefix(),
                    kind.name()
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_variables(&|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_variables_everything_has_its_default() {
        let config = read(&[]).expect("defaults are valid");
        assert_eq!(config.listen.to_string(), "127.0.0.1:50051");
        assert_eq!(config.authentication, Authentication::Keys);
        assert!(matches!(config.database, Database::Embedded { .. }));
        assert_eq!(config.default_retention, Retention::Days(92));
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        for (variable, value) in [
            (LISTEN, "50051"),
            (UNAUTHENTICATED, "maybe"),
            (RETENTION_DAYS, "-1"),
            (POOL_SIZE, "0"),
            (BATCH_EVENTS, "many"),
            (RAW_SCANS, "0"),
            (RESULT_CACHE_BYTES, "-1"),
            (RECEIVE_BYTES, "8388607"),
            (RECEIVE_BYTES, "4294967297"),
            (WRITE_KEY, "tmr_abc_0123456789abcdef0123456789"),
            (ADMIN_KEY, "secret"),
        ] {
            let error = read(&[(variable, value)]).expect_err(variable);
            assert_eq!(error.variable, variable);
        }
        let error = read(&[(ADMIN_KEY, "tma_abc_secretsecret!")]).expect_err("a bad key");
        assert!(!error.to_string().contains("secretsecret"), "{error}");
    }

    #[test]
    fn without_authentication_only_loopback_is_listened_on() {
        let error = read(&[(UNAUTHENTICATED, "true"), (LISTEN, "0.0.0.0:1")]).expect_err("open");
        assert_eq!(error.variable, UNAUTHENTICATED);
        for listen in ["127.0.0.1:1", "[::1]:1"] {
            assert!(read(&[(UNAUTHENTICATED, "true"), (LISTEN, listen)]).is_ok());
        }
    }
}
