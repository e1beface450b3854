//! Whatever is killed, and whenever: every acknowledged event is there, and every event once.
//!
//! `make torture` sets how often something is killed; without it there are few kills. The seed decides
//! what is sent, what is killed and after how many acknowledgements, not what the machine makes of it.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use tallymark::store::embedded::running_database_url;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use crate::support::load::{Ledger, Sender};
use crate::support::{ServerProcess, TestDatabase, data_dir};

const KILLS_VARIABLE: &str = "TALLYMARK_TORTURE_KILLS";
const SEED_VARIABLE: &str = "TALLYMARK_TORTURE_SEED";
/// Kills of the service alone, when nobody says how many.
const SERVICE_KILLS: usize = 16;
/// Kills of the service's own database, or of both.
const DATABASE_KILLS: usize = 4;
/// Of so many kills one is of a service that is only starting.
const STARTS: u32 = 6;
/// After a kill at most so many acknowledgements come before the next one.
const MAX_ACKNOWLEDGED: usize = 2_500;
const SOON: Duration = Duration::from_secs(120);

/// What to kill.
#[derive(Clone, Copy)]
enum Victim {
    Service,
    Database,
    Both,
}

/// Lives of a service on one log and one database, each ended by force.
struct Lives<'a> {
    variables: &'a [(&'a str, &'a str)],
    random: StdRng,
    senders: Vec<Sender>,
    /// How often something was killed while it was starting.
    starts: usize,
}

impl<'a> Lives<'a> {
    fn new(name: &str, variables: &'a [(&'a str, &'a str)]) -> Self {
        let seed = number(SEED_VARIABLE).unwrap_or_else(|| rand::random::<u32>().into());
        eprintln!("{name}: {SEED_VARIABLE}={seed}");
        Self {
            variables,
            random: StdRng::seed_from_u64(seed),
            senders: Sender::one_of_each(seed),
            starts: 0,
        }
    }

    /// Starts the service and kills when a random number of events is acknowledged, if not before it
    /// serves.
    async fn live(&mut self, kill: impl FnOnce(&ServerProcess)) {
        let mut service = ServerProcess::start(self.variables);
        if self.random.random_ratio(1, STARTS) {
            // What was acknowledged before is being read and loaded.
            service.says("opened the event log").await;
            self.starts += 1;
            service.signal(Signal::KILL);
            service.end().await;
            return;
        }
        let channel = service.serving().await;
        let acknowledged = watch::Sender::new(0);
        let enough = self.random.random_range(0..MAX_ACKNOWLEDGED);
        let killer = async {
            let mut reached = acknowledged.subscribe();
            let loaded = timeout(SOON, reached.wait_for(|count| *count >= enough)).await;
            loaded.expect("events are acknowledged").expect("a count");
            kill(&service);
        };
        let for_ever = CancellationToken::new();
        let sending = self
            .senders
            .iter_mut()
            .map(|sender| sender.send(channel.clone(), &acknowledged, &for_ever));
        let ((), ends) = tokio::join!(killer, timeout(SOON, join_all(sending)));
        for end in ends.expect("calls break when the service is gone") {
            end.expect_err("they do not end in order");
        }
        service.end().await;
    }

    fn report(&self, name: &str, kills: usize, all: usize) {
        let acknowledged = |sender: &Sender| sender.ledger.acknowledged();
        let events: usize = self.senders.iter().map(acknowledged).sum();
        let starts = self.starts;
        eprintln!("{name}: {kills} of {all} kills ({starts} at start), {events} events");
    }

    /// The service, once more, with everything sent whose fate is not known; and all that is known.
    async fn last(self) -> (ServerProcess, Ledger) {
        let mut ledger = Ledger::default();
        self.senders
            .into_iter()
            .for_each(|sender| ledger.merge(sender.ledger));
        let mut service = ServerProcess::start(self.variables);
        ledger.resend(service.serving().await).await;
        (service, ledger)
    }
}

/// How often to kill: this often, or this share of what the variable says.
fn kills(usual: usize) -> usize {
    let all = SERVICE_KILLS + DATABASE_KILLS;
    number(KILLS_VARIABLE).map_or(usual, |kills| (kills as usize * usual).div_ceil(all))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect(variable))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_killed_under_load() {
    const NAME: &str = "kills of the service";
    let database = TestDatabase::create().await;
    let url = database.url();
    let path = database.data_dir.path().to_str().expect("UTF-8");
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("TALLYMARK_DATA_DIR", path),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ];
    let mut lives = Lives::new(NAME, &variables);
    let all = kills(SERVICE_KILLS);
    for kill in 1..=all {
        lives.live(|service| service.signal(Signal::KILL)).await;
        if kill % 10 == 0 || kill == all {
            lives.report(NAME, kill, all);
        }
    }
    let (service, ledger) = lives.last().await;
    ledger.assert_exactly_once(&database.client().await).await;
    service.stop().await;
    // What it still had to load is no second copy of anything.
    ledger.assert_exactly_once(&database.client().await).await;
    eprintln!(
        "{NAME}: {} acknowledged events checked",
        ledger.acknowledged()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed_under_load() {
    const NAME: &str = "kills of the database";
    let dir = data_dir();
    let path = dir.path().to_str().expect("UTF-8");
    let variables = [
        ("TALLYMARK_DATA_DIR", path),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ];
    let mut lives = Lives::new(NAME, &variables);
    let all = kills(DATABASE_KILLS);
    for kill in 1..=all {
        let victims = [
            Victim::Service,
            Victim::Database,
            Victim::Database,
            Victim::Both,
        ];
        let victim = victims[lives.random.random_range(0..victims.len())];
        // A service whose own database dies ends by itself.
        lives
            .live(|service| {
                if !matches!(victim, Victim::Service) {
                    kill_postmaster(dir.path());
                }
                if !matches!(victim, Victim::Database) {
                    service.signal(Signal::KILL);
                }
            })
            .await;
        if kill % 10 == 0 || kill == all {
            lives.report(NAME, kill, all);
        }
    }
    let (service, ledger) = lives.last().await;
    let url = running_database_url(dir.path()).expect("it runs");
    let (client, connection) = tokio_postgres::connect(&url, NoTls)
        .await
        .expect("connects");
    tokio::spawn(connection);
    ledger.assert_exactly_once(&client).await;
    drop(client);
    service.stop().await;
    eprintln!(
        "{NAME}: {} acknowledged events checked",
        ledger.acknowledged()
    );
}

fn kill_postmaster(data_dir: &Path) {
    let file = std::fs::read_to_string(data_dir.join("postgres/postmaster.pid"));
    let pid = file
        .expect("it runs")
        .lines()
        .next()
        .and_then(|pid| pid.parse().ok());
    let pid = pid.and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("it runs");
}
