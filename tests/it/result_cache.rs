//! Answers that are kept and shared: the same as those computed anew, and computed once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tallymark::domain::property::Retention;
use tallymark::error::ApiError;
use tallymark::pb::{self, Bucket, filter::Kind, time_range::Range};
use tallymark::query::answer::{Answer, Plan};
use tallymark::query::cache::key::Key;
use tallymark::query::cache::{Answered, Answers};
use tallymark::query::engine::Engine;
use tallymark::query::raw_scans::DEFAULT_PER_PROPERTY;
use tallymark::query::session::TimeLimit;
use tallymark::rollup::attributes::AttributeStore;
use tallymark::store::directory::Directory;
use tallymark::store::pool;
use tokio::sync::{Notify, Semaphore};

use crate::support::{TestApp, TestDatabase, page_view};

const SOON: Duration = Duration::from_secs(60);

fn question(range: &str, bucket: Bucket) -> pb::AggregateRequest {
    pb::AggregateRequest {
        range: Some(pb::TimeRange {
            range: Some(Range::Relative(range.to_owned())),
        }),
        bucket: bucket.into(),
        metrics: vec!["events".to_owned(), "visitors".to_owned()],
        totals: true,
        ..pb::AggregateRequest::default()
    }
}

fn total(answer: &pb::AggregateResponse) -> f64 {
    answer.totals.as_ref().expect("totals").metrics[0]
}

fn from_cache(answer: &pb::AggregateResponse) -> bool {
    answer.metadata.as_ref().expect("metadata").from_cache
}

/// The numbers of an answer: of its rows and its totals.
fn metrics(answer: &pb::AggregateResponse) -> Vec<Vec<f64>> {
    let rows = answer.rows.iter().chain(&answer.totals);
    rows.map(|row| row.metrics.clone()).collect()
}

/// Asks, and says the number of events and whether it was known.
async fn asked(app: &TestApp, question: &pb::AggregateRequest) -> (f64, bool) {
    let answer = app.aggregate(question.clone()).await;
    (total(&answer), from_cache(&answer))
}

/// An event that happens at some time from now, in milliseconds.
fn in_ms(visitor: &str, ms: i64) -> pb::Event {
    let time_us = Timestamp::now().as_microsecond() + ms * 1_000;
    pb::Event {
        time: Some(prost_types::Timestamp {
            seconds: time_us.div_euclid(1_000_000),
            nanos: i32::try_from(time_us.rem_euclid(1_000_000) * 1_000).expect("small"),
        }),
        ..page_view(visitor, "/")
    }
}

#[tokio::test]
async fn what_was_answered_is_answered_without_the_database() {
    let (app, forwarder) = TestApp::start_behind_forwarder(&[]).await;
    app.send_new(vec![page_view("ada", "/"), page_view("bob", "/")])
        .await;
    let questions = [
        question("last_30_days", Bucket::Day),
        question("last_90_minutes", Bucket::WholeRange),
        pb::AggregateRequest::default(),
    ];
    let mut before = Vec::new();
    for question in &questions {
        before.push(app.aggregate(question.clone()).await);
    }
    forwarder.cut();
    for (question, before) in questions.iter().zip(before) {
        let answer = app.aggregate(question.clone()).await;
        assert_eq!(metrics(&answer), metrics(&before));
        let (metadata, first) = (
            answer.metadata.expect("metadata"),
            before.metadata.expect("metadata"),
        );
        assert!(metadata.from_cache && !first.from_cache);
        // What is said of the range is of this question.
        let until = |metadata: &pb::AnswerMetadata| {
            let until = metadata.until.expect("an end");
            (until.seconds, until.nanos)
        };
        assert!(until(&metadata) > until(&first));
        assert_eq!(metadata.partial_buckets.len(), first.partial_buckets.len());
    }
}

#[tokio::test]
async fn every_event_that_is_committed_is_counted_by_the_next_answer() {
    let app = TestApp::start().await;
    let question = question("last_30_days", Bucket::Day);
    for sent in 1..=20 {
        app.send_new(vec![page_view(&format!("v{sent}"), "/")])
            .await;
        assert_eq!(asked(&app, &question).await, (f64::from(sent), false));
        assert_eq!(asked(&app, &question).await, (f64::from(sent), true));
    }
}

#[tokio::test]
async fn events_of_one_property_leave_the_answers_of_others_alone() {
    let app = TestApp::start().await;
    let shop = app.create_property("shop").await;
    let question = question("last_30_days", Bucket::Day);
    let mut shops = app.query_with(&shop.read_key);
    let mut ask_shop = async || {
        let answer = shops.aggregate(question.clone()).await.expect("an answer");
        (total(answer.get_ref()), from_cache(answer.get_ref()))
    };
    assert_eq!(asked(&app, &question).await, (0.0, false));
    assert_eq!(
        ask_shop().await,
        (0.0, false),
        "the same question, of another property"
    );
    app.send_new(vec![page_view("ada", "/")]).await;
    assert_eq!(asked(&app, &question).await, (1.0, false));
    assert_eq!(ask_shop().await, (0.0, true));
}

#[tokio::test]
async fn an_event_that_was_ahead_of_its_time_is_counted_when_its_time_has_come() {
    let app = TestApp::start().await;
    let ranges = ["last_30_days", "today", "last_30_minutes"];
    let questions = ranges.map(|range| question(range, Bucket::WholeRange));
    app.send_new(vec![in_ms("ada", -1_000), in_ms("bob", 1_500)])
        .await;
    for question in &questions {
        let counted = async {
            loop {
                let (count, _) = asked(&app, question).await;
                assert!(count <= 2.0);
                if count == 2.0 {
                    return;
                }
            }
        };
        tokio::time::timeout(SOON, counted)
            .await
            .expect("its time comes");
        assert_eq!(asked(&app, question).await.0, 2.0);
    }
}

#[tokio::test]
async fn a_change_of_the_property_and_the_end_of_its_events_are_seen() {
    let app = TestApp::start().await;
    let question = question("last_30_days", Bucket::Day);
    assert_eq!(asked(&app, &question).await, (0.0, false));
    app.set_time_zone("Asia/Kathmandu").await;
    assert_eq!(asked(&app, &question).await, (0.0, false));
    let answer = app.aggregate(question.clone()).await;
    let metadata = answer.metadata.expect("metadata");
    assert_eq!(
        (metadata.time_zone.as_str(), metadata.from_cache),
        ("Asia/Kathmandu", true)
    );
}

#[tokio::test]
async fn who_wants_an_answer_computed_anew_gets_it() {
    // Without rollups every question reads the events.
    let app = TestApp::start_with(&[("TALLYMARK_ROLLUPS", "false")]).await;
    let question = question("last_30_days", Bucket::Day);
    let anew = pb::AggregateRequest {
        no_cache: true,
        ..question.clone()
    };
    assert_eq!(asked(&app, &question).await, (0.0, false));
    assert_eq!(asked(&app, &anew).await, (0.0, false));
    // What somebody does to the database behind the service's back is not seen otherwise, for a while.
    app.send_new(vec![page_view("ada", "/")]).await;
    assert_eq!(asked(&app, &question).await, (1.0, false));
    let client = app.database.client().await;
    client
        .batch_execute("truncate events, rollup_facts, rollup_segments")
        .await
        .expect("no events");
    assert_eq!(asked(&app, &question).await, (1.0, true));
    assert_eq!(asked(&app, &anew).await, (0.0, false));
}

#[tokio::test]
async fn a_service_without_a_cache_computes_every_answer() {
    let app = TestApp::start_with(&[("TALLYMARK_RESULT_CACHE_BYTES", "0")]).await;
    let question = question("last_30_days", Bucket::Day);
    for _ in 0..3 {
        assert_eq!(asked(&app, &question).await, (0.0, false));
    }
}

#[tokio::test]
async fn ten_who_ask_the_same_at_once_get_one_answer() {
    // Without rollups every question reads the events.
    let app = TestApp::start_with(&[("TALLYMARK_ROLLUPS", "false")]).await;
    app.send_new(vec![page_view("ada", "/")]).await;
    let mut client = app.database.client().await;
    let watcher = app.database.client().await;
    let lock = client.transaction().await.expect("a transaction");
    lock.batch_execute("lock table events in access exclusive mode")
        .await
        .expect("a lock");
    let question = question("last_30_days", Bucket::Day);
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let (mut query, question) = (app.query(), question.clone());
            tokio::spawn(async move { query.aggregate(question).await })
        })
        .collect();
    let waiting = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
        where not l.granted and d.datname = current_database()";
    let waits = async {
        while watcher
            .query_one(waiting, &[])
            .await
            .expect("a count")
            .get::<_, i64>(0)
            == 0
        {}
    };
    tokio::time::timeout(SOON, waits).await.expect("one waits");
    lock.rollback().await.expect("the lock is given back");
    let mut computed = 0;
    for answer in join_all(calls).await {
        let answer = answer.expect("no panic").expect("an answer").into_inner();
        assert_eq!(total(&answer), 1.0);
        computed += usize::from(!from_cache(&answer));
    }
    assert_eq!(computed, 1);
}

/// Questions to the library, whose answers take until they are let go.
struct Slow {
    answers: Answers,
    computed: Arc<AtomicUsize>,
    given_up: Arc<Notify>,
    started: Arc<Notify>,
    gate: Arc<Semaphore>,
}

struct TellWhenDropped(Arc<Notify>);

impl Drop for TellWhenDropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Slow {
    async fn new(app: &TestApp) -> Self {
        let pool = pool::open(&app.database.url(), 4).expect("a pool");
        let directory = Directory::load(pool.clone(), Retention::Forever).await;
        let engine = Engine::new(
            Arc::new(directory.expect("a directory")),
            Arc::new(AttributeStore::new(pool.clone())),
            0,
            DEFAULT_PER_PROPERTY,
        );
        Self {
            answers: Answers::new(pool, Arc::new(engine), Arc::default(), SOON, 1 << 20),
            computed: Arc::default(),
            given_up: Arc::default(),
            started: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    async fn ask(&self, limit: Duration) -> Result<Answered<Answer>, ApiError> {
        let (computed, gate) = (Arc::clone(&self.computed), Arc::clone(&self.gate));
        let (started, given_up) = (Arc::clone(&self.started), Arc::clone(&self.given_up));
        let key = Key::of("slow", 1).done();
        let compute = self.answers.get(key, false, TimeLimit(limit), move |_, _| {
            async move {
                computed.fetch_add(1, Ordering::Relaxed);
                let _tell = TellWhenDropped(given_up);
                started.notify_one();
                let _passed = gate.acquire().await;
                Ok(Answer {
                    rows: Vec::new(),
                    row_count: 42,
                    totals: None,
                    others: None,
                    plan: Plan::raw(),
                })
            }
            .boxed()
        });
        compute.await
    }
}

#[tokio::test]
async fn who_leaves_does_not_take_the_answer_from_the_others() {
    let app = TestApp::start().await;
    let slow = Slow::new(&app).await;
    // The first one has no time; the second joins it, and stays.
    let mut first = Box::pin(slow.ask(SOON));
    tokio::select! {
        _ = &mut first => panic!("nothing lets it go"),
        () = slow.started.notified() => {}
    }
    let mut second = tokio_test::task::spawn(slow.ask(SOON));
    assert!(second.poll().is_pending());
    let short = slow.ask(Duration::from_millis(20)).await;
    let limit = Duration::from_millis(20);
    assert_eq!(short.map(|_| ()), Err(ApiError::QueryTimeout { limit }));
    drop(first);
    slow.gate.add_permits(1);
    let answer = second.await.expect("the answer");
    assert_eq!((answer.value.row_count, answer.from_cache), (42, true));
    assert_eq!(slow.computed.load(Ordering::Relaxed), 1);
    let kept = slow.ask(SOON).await.expect("the answer");
    assert!(kept.from_cache && slow.computed.load(Ordering::Relaxed) == 1);
}

#[tokio::test]
async fn when_all_have_left_nothing_is_computed_any_more() {
    let app = TestApp::start().await;
    let slow = Slow::new(&app).await;
    let mut first = Box::pin(slow.ask(SOON));
    tokio::select! {
        _ = &mut first => panic!("nothing lets it go"),
        () = slow.started.notified() => {}
    }
    let mut second = tokio_test::task::spawn(slow.ask(SOON));
    assert!(second.poll().is_pending());
    drop(first);
    assert!(
        slow.given_up.notified().now_or_never().is_none(),
        "one is left"
    );
    drop(second);
    slow.given_up
        .notified()
        .now_or_never()
        .expect("none is left");
    // Who comes then begins anew.
    slow.gate.add_permits(1);
    let answer = slow.ask(SOON).await.expect("the answer");
    assert!(!answer.from_cache);
    assert_eq!(slow.computed.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_another_server_loads_is_seen_soon_and_at_once_with_its_token() {
    let one = TestApp::start().await;
    let url = one.database.url();
    // Its own database lends it a directory for its log.
    let other = TestDatabase::create().await;
    let other = TestApp::start_on(other, &[("DATABASE_URL", &url)]).await;
    let question = question("last_30_days", Bucket::Day);
    for sent in 1..=3 {
        asked(&one, &question).await;
        other.send_new(vec![page_view("ada", "/")]).await;
        let seen = async { while asked(&one, &question).await.0 < f64::from(sent) {} };
        tokio::time::timeout(SOON, seen).await.expect("it is seen");
    }
    for sent in 4..=8 {
        assert_eq!(asked(&one, &question).await.0, f64::from(sent - 1));
        let event = pb::IngestEventRequest {
            event: Some(page_view("ada", "/")),
            ..pb::IngestEventRequest::default()
        };
        let reply = other.ingest().ingest_event(event).await.expect("logged");
        let fresh = pb::AggregateRequest {
            freshness_token: reply.into_inner().freshness_token,
            ..question.clone()
        };
        assert_eq!(asked(&one, &fresh).await.0, f64::from(sent));
    }
    other.stop().await;
}

fn random_question(random: &mut StdRng) -> pb::AggregateRequest {
    let ranges = [
        "today",
        "last_30_days",
        "last_7_days",
        "last_90_minutes",
        "last_24_hours",
        "month_to_date",
    ];
    let range = ranges.choose(random).expect("not empty");
    let buckets = [Bucket::Day, Bucket::WholeRange, Bucket::Hour];
    let mut question = question(range, *buckets.choose(random).expect("not empty"));
    question.fill_gaps = random.random_bool(0.3);
    if random.random_bool(0.3) {
        question.dimensions = vec!["visitor_id".to_owned()];
    }
    if random.random_bool(0.3) {
        let condition = pb::Condition {
            dimension: "visitor_id".to_owned(),
            values: vec!["v1".to_owned(), "v2".to_owned()],
            ..pb::Condition::default()
        };
        question.filter = Some(pb::Filter {
            kind: Some(Kind::Where(condition)),
        });
    }
    question
}

/// Events and questions in random order: a kept answer is always the one that is computed anew. Events
/// come from the past, the present and a little ahead of it, so that ends of ranges pass over some.
#[tokio::test]
async fn a_kept_answer_is_always_the_one_that_is_computed_anew() {
    let seed = std::env::var("TALLYMARK_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::random::<u32>().into());
    eprintln!("TALLYMARK_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = TestApp::start_with(&[("TALLYMARK_BATCH_AGE_MS", "5")]).await;
    let questions: Vec<_> = (0..12).map(|_| random_question(&mut random)).collect();
    let mut token = String::new();
    let (mut compared, mut kept) = (0, 0);
    // Some random runs have few answers that are kept: those go on until there are enough.
    for step in 0..4_000 {
        if step >= 400 && compared > 200 && kept > 40 {
            break;
        }
        if random.random_bool(0.25) {
            let visitor = format!("v{}", random.random_range(0..6));
            let ms = match random.random_range(0..3) {
                0 => 0,
                1 => random.random_range(0..400),
                _ => -random.random_range(60_000..4_000_000),
            };
            let event = pb::IngestEventRequest {
                event: Some(in_ms(&visitor, ms)),
                ..pb::IngestEventRequest::default()
            };
            let reply = app.ingest().ingest_event(event).await.expect("logged");
            token = reply.into_inner().freshness_token;
            continue;
        }
        let question = pb::AggregateRequest {
            freshness_token: token.clone(),
            ..questions.choose(&mut random).expect("not empty").clone()
        };
        let anew = pb::AggregateRequest {
            no_cache: true,
            ..question.clone()
        };
        let before = app.aggregate(anew.clone()).await;
        let answer = app.aggregate(question).await;
        let after = app.aggregate(anew).await;
        let numbers = |answer: &pb::AggregateResponse| {
            let totals = answer.totals.as_ref().map(|totals| totals.metrics.clone());
            let rows: Vec<String> = answer
                .rows
                .iter()
                .map(|row| format!("{:?} {:?}", row.dimensions, row.metrics))
                .collect();
            let metadata = answer.metadata.as_ref().expect("metadata");
            (
                rows,
                totals,
                metadata.row_count,
                metadata.partial_buckets.len(),
            )
        };
        // An event's time came in between, or left the range: then they need not agree.
        if numbers(&before) == numbers(&after) {
            assert_eq!(numbers(&answer), numbers(&before));
            compared += 1;
            kept += usize::from(from_cache(&answer));
        }
    }
    assert!(
        compared > 200 && kept > 40,
        "{compared} compared, {kept} of them kept"
    );
}
