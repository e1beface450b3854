//! Builds the service, serves, and drains.
//!
//! Start: listen (not serving) → event log → database (own engine, or wait for the given one) →
//! requirements → migrations → keys, enrichment, loaders, workers → serving.
//!
//! Stop, each step bounded:
//!
//! | # | step | why in this place | at most |
//! |---|------|-------------------|---------|
//! | 1 | health says NOT_SERVING, new calls are refused with "try another" | before anything stops working | |
//! | 2 | streams end after what they received is acknowledged, watches at once | their callers know where they stand | drain timeout |
//! | 3 | the listener and its connections close | until now new calls were told why; none is left that needs the rest | with 2 |
//! | 4 | the log is sealed | nothing is written to it any more | its last fsync |
//! | 5 | loaders finish, and leave in the log what they cannot | what is in the database need not wait for the next start | 5 s |
//! | 6 | the other workers stop | nothing gives them work | 5 s |
//! | 7 | the own engine stops | nothing uses it | 40 s |

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Config, Database, InitialKeys};
use crate::enrich::Enricher;
use crate::enrich::geo::{Countries, GeoError};
use crate::error::causes;
use crate::lifecycle::Workers;
use crate::load::Loader;
use crate::load::feed::Feed;
use crate::load::freshness::Freshness;
use crate::load::others::Others;
use crate::load::positions::{self, PositionError};
use crate::log::Log;
use crate::log::disk::OpenError;
use crate::metrics;
use crate::open_files;
use crate::query;
use crate::query::cache::Answers;
use crate::query::realtime::watch::Watches;
use crate::retention;
use crate::rollup::attributes::AttributeStore;
use crate::rollup::compact::Compactor;
use crate::rollup::stored::RollupError;
use crate::rpc::connections::Connections;
use crate::rpc::gate::{Authentication, DEFAULT_PROPERTY, Gate};
use crate::rpc::receive::budget::ReceiveBudget;
use crate::rpc::scope::Core;
use crate::rpc::{health, server};
use crate::store::directory::Directory;
use crate::store::embedded::{Engine, EngineError, EngineOptions};
use crate::store::migrations::{self, MigrationError};
use crate::store::requirements::{self, RequirementError};
use crate::store::seal::Seal;
use crate::store::{StoreError, keys, pool};

/// User agents that are remembered.
const CACHED_AGENTS: usize = 16_384;
/// Loaders: while the database writes the batches of two, the third prepares the next or waits for its
/// commit. On two cores the loaders alone were 4 % faster with three than with two, 7 % with four, at
/// the price of another set of caches each.
const LOADERS: usize = 3;
/// Connections of the loaders and the other workers.
const SERVICE_CONNECTIONS: usize = 8;
/// How long loaders have to finish when the service stops.
const LOADER_BUDGET: Duration = Duration::from_secs(5);
/// Files that are open beside connections of clients and to the database: the log, programs and
/// listeners, those who read the metrics, with room to spare.
const OTHER_FILES: usize = 128;
/// How long the other workers have to stop.
const WORKER_BUDGET: Duration = Duration::from_secs(5);
/// How long calls that are cut off have to tell their callers.
const LAST_WORDS_BUDGET: Duration = Duration::from_secs(1);
/// What to do about a database that does not answer at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// Try again until it does: the service and its database start together.
    Wait,
    /// Fail: somebody is waiting for the command.
    Fail,
}

/// Wait before the database is tried again at start; doubles up to the second.
const FIRST_DATABASE_RETRY: Duration = Duration::from_millis(250);
const MAX_DATABASE_RETRY: Duration = Duration::from_secs(5);

/// Why the service could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AppError {
    #[error("cannot listen on {listen}")]
    Listen {
        listen: SocketAddr,
        source: std::io::Error,
    },
    #[error("TALLYMARK_GEO_DB: {} cannot be used", file.display())]
    Geo { file: PathBuf, source: GeoError },
    #[error(transparent)]
    BadUrl(#[from] pool::BadUrl),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the event log in {}", directory.display())]
    Log {
        directory: PathBuf,
        source: OpenError,
    },
    #[error("the event log in {} does not fit the database", directory.display())]
    Position {
        directory: PathBuf,
        source: PositionError,
    },
    #[error(transparent)]
    Requirement(#[from] RequirementError),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("rollups cannot be switched off")]
    Rollups(#[source] RollupError),
    #[error(
        "{variable}: there is a key `{key_id}` with another secret, kind or property, or it was \
         revoked; give the key another public part"
    )]
    InitialKey {
        variable: &'static str,
        key_id: String,
    },
    #[error("the gRPC server failed")]
    Server(#[from] tonic::transport::Error),
    #[error("a worker died; the log says which")]
    WorkerDied,
}

impl AppError {
    /// Whether a variable's value is at fault, which the message then starts with.
    pub fn is_bad_setting(&self) -> bool {
        matches!(
            self,
            Self::Geo { .. } | Self::BadUrl(_) | Self::InitialKey { .. }
        )
    }
}

/// A service that listens, and serves once it [runs](Self::run).
#[derive(Debug)]
pub struct App {
    config: Config,
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
    countries: Option<Countries>,
}

impl App {
    /// Opens what can be opened without the database.
    pub async fn bind(config: Config) -> Result<Self, AppError> {
        let countries = match &config.geo_db {
            Some(file) => {
                let opened = Countries::open(file);
                Some(opened.map_err(|source| AppError::Geo {
                    file: file.clone(),
                    source,
                })?)
            }
            None => None,
        };
        let listener = listen(config.listen).await?;
        let metrics_listener = match config.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self {
            config,
            listener,
            metrics_listener,
            countries,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where it shows its metrics, if it does.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref()?.local_addr().ok()
    }

    /// Serves until `stop` is cancelled, then drains. An error is why it could not start or go on.
    pub async fn run(self, stop: CancellationToken) -> Result<(), AppError> {
        let Self {
            config,
            listener,
            metrics_listener,
            countries,
        } = self;
        let draining = CancellationToken::new();
        let closing = CancellationToken::new();
        let gate = Gate::new(config.authentication, draining.clone());
        let mut reporter = tonic_health::server::HealthReporter::new();
        health::set_all(&reporter, tonic_health::ServingStatus::NotServing).await;
        info!(listen = %listener.local_addr().unwrap_or(config.listen), "listening");
        let receiving = ReceiveBudget::new(config.receive_bytes);
        let connections = Connections::new(max_connections(&config));
        let mut serving = tokio::spawn(server::serve(
            listener,
            connections.clone(),
            Arc::clone(&receiving),
            Arc::clone(&gate),
            reporter.clone(),
            closing.clone(),
        ));

        let mut engine = None;
        let mut workers = Workers::new(CancellationToken::new());
        let started = tokio::select! {
            started = start(&config, countries, &mut engine, &draining) => started.map(Some),
            () = stop.cancelled() => Ok(None),
        };
        let mut loaders = Workers::new(CancellationToken::new());
        let mut running = None;
        let outcome = match started {
            Ok(Some(Parts {
                core,
                feed,
                others,
                rollups,
            })) => {
                let core = Arc::new(core);
                running = Some((Arc::clone(&core), feed.clone()));
                for _ in 0..LOADERS {
                    let (pool, enricher) = (core.service_pool.clone(), Arc::clone(&core.enricher));
                    let rollups = config.rollups.then(|| Arc::clone(&core.directory));
                    let (feed, patience) = (feed.clone(), config.store_timeout);
                    let loader = Loader::new(pool, feed, enricher, rollups, patience);
                    loaders.start("loader", loader.run(loaders.stop_token()));
                }
                start_workers(
                    &mut workers,
                    &core,
                    &feed,
                    others,
                    rollups.clone(),
                    reporter.clone(),
                );
                if config.rollups {
                    workers.start("rollups", rollups.run(workers.stop_token()));
                }
                let (answers, watches) = (core.answers.clone(), core.watches.clone());
                let gauges = metrics::Gauges {
                    pools: [
                        ("questions", core.pool.clone()),
                        ("service", core.service_pool.clone()),
                    ],
                    feed,
                    receiving_bytes: Arc::new(move || receiving.used_bytes()),
                    watchers: Arc::new(move || watches.count()),
                    kept_answer_bytes: Arc::new(move || answers.kept_bytes()),
                    grpc_connections: Arc::new(move || connections.open()),
                };
                if let Some(listener) = metrics_listener {
                    metrics::start();
                    workers.start(
                        "metrics",
                        metrics::serve(listener, gauges, workers.stop_token()),
                    );
                }
                gate.open(core);
                info!("ready");
                tokio::select! {
                    () = stop.cancelled() => Ok(()),
                    () = loaders.died() => Err(AppError::WorkerDied),
                    () = workers.died() => Err(AppError::WorkerDied),
                    error = engine_died(&mut engine) => Err(error.into()),
                    ended = &mut serving => match ended {
                        Ok(Err(error)) => Err(error.into()),
                        Ok(Ok(())) | Err(_) => Err(AppError::WorkerDied),
                    },
                }
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };

        info!("stopping");
        draining.cancel();
        health::end(&mut reporter).await;
        let mut drained = pin!(async {
            gate.idle().await;
            // Who has come since to watch would keep the listener open.
            health::end(&mut reporter).await;
            closing.cancel();
            if !serving.is_finished() {
                let _ended_before = (&mut serving).await;
            }
        });
        if tokio::time::timeout(config.drain_timeout, &mut drained)
            .await
            .is_err()
        {
            warn!("calls did not end in time; they are cut off, and what they sent may be retried");
            gate.cut_off();
            // Their callers are told so, if they still listen.
            let _told = tokio::time::timeout(LAST_WORDS_BUDGET, drained).await;
        }
        if let Some((core, _)) = &running {
            core.log.close().await;
        }
        loaders.finish(LOADER_BUDGET).await;
        if let Some((_, feed)) = &running {
            let events = feed.waiting_events();
            if events > 0 {
                warn!(
                    events,
                    "the event log keeps what the database does not have yet"
                );
            }
        }
        workers.stop(WORKER_BUDGET).await;
        if let Some((core, _)) = running {
            core.pool.close();
            core.service_pool.close();
        }
        if let Some(engine) = engine
            && let Err(error) = engine.stop().await
        {
            warn!(
                error = causes(&error),
                "the database engine did not stop in order"
            );
        }
        info!("stopped");
        outcome
    }
}

/// Connections of clients, so that files are left for everything else.
fn max_connections(config: &Config) -> usize {
    let others = OTHER_FILES + SERVICE_CONNECTIONS + config.pool_size;
    open_files::limit().saturating_sub(others).max(1)
}

async fn listen(listen: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(listen)
        .await
        .map_err(|source| AppError::Listen { listen, source })
}

/// What is there once the database is.
struct Parts {
    core: Core,
    feed: Feed,
    others: Arc<Others>,
    rollups: Compactor,
}

async fn start(
    config: &Config,
    countries: Option<Countries>,
    engine: &mut Option<Engine>,
    draining: &CancellationToken,
) -> Result<Parts, AppError> {
    let log = open_log(config).await?;
    // Questions have connections of their own, so that no number of them can hold up the loader.
    let database = open_database(
        &config.database,
        SERVICE_CONNECTIONS,
        Unreachable::Wait,
        engine,
    )
    .await?;
    let query_pool = pool::open(&database.url, config.pool_size)?;
    let pool = database.pool;
    create_initial_keys(&pool, &config.initial_keys).await?;
    let directory = Directory::load(pool.clone(), config.default_retention).await?;
    check_initial_keys(&directory, &config.initial_keys).await?;
    if config.authentication == Authentication::None {
        warn!("callers need no key: everybody on this machine can read and write everything");
    }
    let progress = positions::load(&pool, &log).await;
    let progress = progress.map_err(|source| AppError::Position {
        directory: config.event_log_dir.clone(),
        source,
    })?;
    let feed = Feed::new(log.clone(), config.batch, progress);
    let waiting = feed.waiting_events();
    if waiting > 0 {
        info!(
            events = waiting,
            "the log has events that are not in the database yet"
        );
    }
    let directory = Arc::new(directory);
    let attributes = Arc::new(AttributeStore::new(pool.clone()));
    let rollups = Compactor::new(
        pool.clone(),
        Arc::clone(&directory),
        Arc::clone(&attributes),
    );
    if !config.rollups {
        rollups.forget_all().await.map_err(AppError::Rollups)?;
    }
    directory.tell(Arc::clone(feed.versions()));
    let others = Arc::new(Others::look(&pool).await?);
    let seal = Seal::load(&pool).await?;
    let engine = Arc::new(query::engine::Engine::new(
        Arc::clone(&directory),
        attributes,
        config.rollup_cache_bytes,
        config.raw_scans,
    ));
    let answers = Answers::new(
        query_pool.clone(),
        Arc::clone(&engine),
        Arc::clone(feed.versions()),
        config.query_timeout,
        config.result_cache_bytes,
    );
    let core = Core {
        pool: query_pool,
        service_pool: pool,
        directory,
        log,
        enricher: Arc::new(Enricher::new(CACHED_AGENTS, countries)),
        engine,
        watches: Watches::new(answers.clone(), config.watchers),
        answers,
        freshness: Freshness::new(feed.clone(), Arc::clone(&others), seal),
        query_timeout: config.query_timeout,
        draining: draining.clone(),
    };
    Ok(Parts {
        core,
        feed,
        others,
        rollups,
    })
}

async fn open_log(config: &Config) -> Result<Log, AppError> {
    let directory = config.event_log_dir.clone();
    let (settings, commit_patience) = (config.event_log, config.commit_timeout);
    // It reads the whole log.
    let opened =
        tokio::task::spawn_blocking(move || Log::open(&directory, settings, commit_patience)).await;
    let opened = opened.unwrap_or_else(|panic| Err(std::io::Error::other(panic).into()));
    let (log, recovered) = opened.map_err(|source| AppError::Log {
        directory: config.event_log_dir.clone(),
        source,
    })?;
    info!(
        directory = %config.event_log_dir.display(),
        recovered = ?recovered,
        "opened the event log"
    );
    Ok(log)
}

fn start_workers(
    workers: &mut Workers,
    core: &Core,
    feed: &Feed,
    others: Arc<Others>,
    rollups: Compactor,
    reporter: tonic_health::server::HealthReporter,
) {
    let stop = workers.stop_token();
    workers.start(
        "log keeper",
        positions::keep(core.service_pool.clone(), feed.clone(), stop.clone()),
    );
    workers.start(
        "watch over other servers",
        others.run(
            core.service_pool.clone(),
            feed.clone(),
            Arc::clone(feed.versions()),
            stop.clone(),
        ),
    );
    workers.start("directory", Arc::clone(&core.directory).run(stop.clone()));
    workers.start(
        "retention",
        retention::run(
            core.service_pool.clone(),
            rollups,
            Arc::clone(feed.versions()),
            stop.clone(),
        ),
    );
    workers.start(
        "health",
        health::run(
            reporter,
            core.service_pool.clone(),
            core.log.clone(),
            core.draining.clone(),
            stop,
        ),
    );
}

async fn engine_died(engine: &mut Option<Engine>) -> EngineError {
    match engine {
        Some(engine) => engine.died().await,
        None => std::future::pending().await,
    }
}

/// A database that is ready to be used.
pub struct OpenDatabase {
    /// Connections to it.
    pub pool: Pool,
    /// Its address, for more of them.
    pub url: String,
}

/// Opens the database and brings its schema up to date. Our own engine is put into `engine` as soon
/// as it runs, so that whoever gives up waiting can stop it.
pub async fn open_database(
    database: &Database,
    pool_size: usize,
    unreachable: Unreachable,
    engine: &mut Option<Engine>,
) -> Result<OpenDatabase, AppError> {
    let url = match database {
        Database::Url(url) => url.clone(),
        Database::Embedded {
            data_dir,
            engine_dir,
        } => {
            let options = EngineOptions {
                data_dir: data_dir.clone(),
                engine_dir: engine_dir.clone(),
                ..EngineOptions::default()
            };
            let engine = engine.insert(Engine::start(options).await?);
            engine.database_url().to_owned()
        }
    };
    let pool = pool::open(&url, pool_size)?;
    let mut retry = FIRST_DATABASE_RETRY;
    while let Err(error) = requirements::check(&pool).await {
        if unreachable == Unreachable::Fail || !error.is_passing() {
            return Err(error.into());
        }
        warn!(error = causes(&error), "waiting for the database");
        tokio::time::sleep(retry).await;
        retry = (retry * 2).min(MAX_DATABASE_RETRY);
    }
    migrations::apply(&pool).await?;
    Ok(OpenDatabase { pool, url })
}

/// The keys with the variable they come from and the property they are for.
fn each_initial_key(
    initial: &InitialKeys,
) -> impl Iterator<Item = (&'static str, &crate::domain::key::Key, Option<&'static str>)> {
    let InitialKeys { admin, write, read } = initial;
    [
        ("TALLYMARK_ADMIN_KEY", admin, None),
        ("TALLYMARK_WRITE_KEY", write, Some(DEFAULT_PROPERTY)),
        ("TALLYMARK_READ_KEY", read, Some(DEFAULT_PROPERTY)),
    ]
    .into_iter()
    .filter_map(|(variable, key, property)| Some((variable, key.as_ref()?, property)))
}

async fn create_initial_keys(pool: &Pool, initial: &InitialKeys) -> Result<(), AppError> {
    for (variable, key, property) in each_initial_key(initial) {
        // One that is there already is checked once the directory is loaded.
        keys::create(pool, key, property, variable).await?;
    }
    Ok(())
}

async fn check_initial_keys(directory: &Directory, initial: &InitialKeys) -> Result<(), AppError> {
    for (variable, key, property) in each_initial_key(initial) {
        let owner = directory.owner_of(key).await;
        let is_as_asked = owner.is_some_and(|owner| {
            owner
                .property
                .as_ref()
                .map(|property| property.name.as_str())
                == property
        });
        if !is_as_asked {
            return Err(AppError::InitialKey {
                variable,
                key_id: key.id.clone(),
            });
        }
    }
    Ok(())
}
