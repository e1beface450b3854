//! What happens now: asked for, and watched.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use rand::RngExt;
use rand::seq::IndexedRandom;
use tallymark::pb::{self, filter::Kind};
use tokio_postgres::Client;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::support::wire::assert_refused;
use crate::support::{TestApp, TestDatabase, page_view};

const SOON: Duration = Duration::from_secs(60);
const BOT: &str = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)";

/// An event that happened so long ago.
fn ago(visitor: &str, page: &str, ms: i64) -> pb::Event {
    let time_us = Timestamp::now().as_microsecond() - ms * 1_000;
    pb::Event {
        time: Some(prost_types::Timestamp {
            seconds: time_us.div_euclid(1_000_000),
            nanos: i32::try_from(time_us.rem_euclid(1_000_000) * 1_000).expect("small"),
        }),
        ..page_view(visitor, page)
    }
}

fn about(question: pb::RealtimeQuestion) -> pb::RealtimeRequest {
    pb::RealtimeRequest {
        question: Some(question),
        ..pb::RealtimeRequest::default()
    }
}

async fn realtime(app: &TestApp, request: pb::RealtimeRequest) -> pb::RealtimeSnapshot {
    let answer = app.query().realtime(request).await.expect("an answer");
    answer.into_inner().snapshot.expect("a snapshot")
}

fn time(time: Option<prost_types::Timestamp>) -> Timestamp {
    let time = time.expect("a time");
    Timestamp::new(time.seconds, time.nanos).expect("a time")
}

/// Rows of three counts with a text before them.
async fn rows(client: &Client, sql: &str, as_of: Timestamp) -> Vec<(String, [i64; 3])> {
    let sql = sql.replace("$1", "$1::timestamptz");
    let rows = client.query(&sql, &[&as_of]).await.expect("rows");
    let row = |row: &tokio_postgres::Row| (row.get(0), [row.get(1), row.get(2), row.get(3)]);
    rows.iter().map(row).collect()
}

const COUNTS: &str =
    "count(distinct visitor_id), count(*) filter (where name = 'page_view'), count(*)";

#[tokio::test]
async fn what_happens_now_is_what_independent_sql_says() {
    let app = TestApp::start().await;
    let mut random = rand::rng();
    let pages = ["/", "/docs", "https://example.com/pricing"];
    let referrers = [
        "",
        "https://www.google.com/",
        "https://news.ycombinator.com/",
        "https://x.example/",
    ];
    let mut events = Vec::new();
    for _ in 0..400 {
        let visitor = format!("v{}", random.random_range(0..80));
        // Some come from a little ahead, and some are long past.
        let ms = random.random_range(-30_000..70 * 60_000);
        let mut event = ago(&visitor, pages.choose(&mut random).expect("a page"), ms);
        event.referrer = (*referrers.choose(&mut random).expect("a referrer")).to_owned();
        if random.random_bool(0.2) {
            event.name = "signup".to_owned();
            event.page = String::new();
        }
        if random.random_bool(0.1) {
            event.user_agent = BOT.to_owned();
        }
        events.push(event);
    }
    app.send_new(events).await;
    let client = app.database.client().await;
    for (include_bots, bots) in [(false, "not is_bot"), (true, "true")] {
        for (now_minutes, series_minutes, limit) in [(5, 30, 10), (30, 60, 2), (1, 1, 1)] {
            let found = realtime(
                &app,
                about(pb::RealtimeQuestion {
                    now_minutes,
                    series_minutes,
                    limit,
                    include_bots,
                    ..pb::RealtimeQuestion::default()
                }),
            )
            .await;
            let as_of = time(found.as_of_time);
            let from = format!(
                "from events_readable where {bots} and time < $1
                    and time >= $1 - interval '{now_minutes} minutes'"
            );
            let now = rows(&client, &format!("select '', {COUNTS} {from}"), as_of).await;
            assert_eq!(now[0].1, [found.visitors, found.page_views, found.events]);
            for (column, entries) in [
                ("page", &found.pages),
                ("referrer", &found.referrers),
                ("country", &found.countries),
            ] {
                let sql = format!(
                    "select {column}, {COUNTS} {from} and {column} is not null
                    group by 1 order by 2 desc, {column} collate \"C\" limit {limit}"
                );
                let entry = |entry: &pb::RealtimeEntry| {
                    let counts = [entry.visitors, entry.page_views, entry.events];
                    (entry.value.clone(), counts)
                };
                let entries: Vec<_> = entries.iter().map(entry).collect();
                assert_eq!(entries, rows(&client, &sql, as_of).await, "{column}");
            }
            let first = format!(
                "date_trunc('minute', $1) - interval '{} minutes'",
                series_minutes - 1
            );
            let sql = format!(
                "select m::text, count(distinct visitor_id),
                    count(event_id) filter (where name = 'page_view'), count(event_id)
                from generate_series({first}, date_trunc('minute', $1), interval '1 minute') m
                left join events_readable r
                    on r.time >= m and r.time < m + interval '1 minute' and r.time < $1 and {bots}
                group by m order by m"
            );
            let minutes: Vec<[i64; 3]> = rows(&client, &sql, as_of)
                .await
                .into_iter()
                .map(|row| row.1)
                .collect();
            let counts =
                |minute: &pb::RealtimeMinute| [minute.visitors, minute.page_views, minute.events];
            assert_eq!(
                found.minutes.iter().map(counts).collect::<Vec<_>>(),
                minutes
            );
            let last = time(found.minutes.last().expect("a minute").start_time);
            assert!(last < as_of && as_of.duration_since(last).as_secs() < 60);
            let series = format!(
                "select '', {COUNTS} from events_readable where {bots} and time < $1 and time >= {first}"
            );
            assert_eq!(
                rows(&client, &series, as_of).await[0].1[0],
                found.series_visitors
            );
        }
    }
}

#[tokio::test]
async fn it_counts_the_events_of_its_token_and_those_that_a_filter_selects() {
    let app = TestApp::start_with(&[("TALLYMARK_BATCH_AGE_MS", "300")]).await;
    let mut token = String::new();
    for page in ["/blog", "/docs"] {
        let event = pb::IngestEventRequest {
            event: Some(page_view("ada", page)),
            ..pb::IngestEventRequest::default()
        };
        let reply = app.ingest().ingest_event(event).await.expect("logged");
        token = reply.into_inner().freshness_token;
    }
    let request = pb::RealtimeRequest {
        freshness_token: token,
        ..pb::RealtimeRequest::default()
    };
    assert_eq!(realtime(&app, request.clone()).await.events, 2);
    let condition = pb::Condition {
        dimension: "page".to_owned(),
        values: vec!["/docs".to_owned()],
        ..pb::Condition::default()
    };
    let question = pb::RealtimeQuestion {
        filter: Some(pb::Filter {
            kind: Some(Kind::Where(condition)),
        }),
        ..pb::RealtimeQuestion::default()
    };
    let found = realtime(&app, about(question)).await;
    assert_eq!((found.events, found.pages.len()), (1, 1));
    assert_eq!(found.pages[0].value, "/docs");
}

#[tokio::test]
async fn while_nothing_happens_the_database_is_not_asked() {
    let (app, forwarder) = TestApp::start_behind_forwarder(&[]).await;
    app.send_new(vec![page_view("ada", "/")]).await;
    // A minute may begin in between, and then there is another one in the series.
    let kept = async {
        loop {
            let before = realtime(&app, pb::RealtimeRequest::default()).await;
            forwarder.cut();
            let answer = app.query().realtime(pb::RealtimeRequest::default()).await;
            forwarder.restore();
            if let Ok(answer) = answer {
                let answer = answer.into_inner();
                let found = answer.snapshot.expect("a snapshot");
                assert!(answer.from_cache && time(found.as_of_time) > time(before.as_of_time));
                assert_eq!(
                    (found.events, found.minutes),
                    (before.events, before.minutes)
                );
                return;
            }
        }
    };
    tokio::time::timeout(SOON, kept)
        .await
        .expect("a kept answer");
}

#[tokio::test]
async fn bad_questions_name_their_fields() {
    let app = TestApp::start().await;
    let question = pb::RealtimeQuestion {
        now_minutes: 31,
        series_minutes: -1,
        limit: 101,
        filter: Some(pb::Filter {
            kind: Some(Kind::Where(pb::Condition::default())),
        }),
        ..pb::RealtimeQuestion::default()
    };
    let refused = app.query().realtime(about(question.clone())).await;
    let status = refused.expect_err("refused");
    let fields = [
        "question.now_minutes: 31, need 1–30, or 0 for 5",
        "question.series_minutes: -1, need 1–60, or 0 for 30",
        "question.limit: 101, need 1–100, or 0 for 10",
    ];
    let said = crate::support::violations(&status);
    assert_eq!(said[..3], fields);
    assert!(
        said[3].starts_with("question.filter.where.dimension: "),
        "{said:?}"
    );
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let request = pb::WatchRealtimeRequest {
        min_interval: seconds(0),
        heartbeat_interval: seconds(61),
        ..pb::WatchRealtimeRequest::default()
    };
    let status = app
        .query()
        .watch_realtime(request)
        .await
        .expect_err("refused");
    let fields = [
        "min_interval: 0 s and 0 ns, need 1–60 s",
        "heartbeat_interval: 61 s and 0 ns, need 1–60 s",
    ];
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &fields);
}

/// A watch that checks what every watch must keep.
struct Watch {
    messages: Streaming<pb::WatchRealtimeResponse>,
    last: Option<pb::RealtimeSnapshot>,
    token: String,
}

impl Watch {
    async fn open(app: &TestApp) -> Self {
        Self::resume(app, "").await.expect("a watch")
    }

    async fn resume(app: &TestApp, token: &str) -> Result<Self, Status> {
        let request = pb::WatchRealtimeRequest {
            heartbeat_interval: Some(prost_types::Duration {
                seconds: 1,
                nanos: 0,
            }),
            resume_token: token.to_owned(),
            ..pb::WatchRealtimeRequest::default()
        };
        let messages = app.query().watch_realtime(request).await?.into_inner();
        Ok(Self {
            messages,
            last: None,
            token: token.to_owned(),
        })
    }

    async fn next(&mut self) -> Result<Option<pb::RealtimeSnapshot>, Status> {
        let next = tokio::time::timeout(SOON, self.messages.message()).await;
        let message = next.expect("there is a heartbeat")?.expect("no end");
        assert!(!message.resume_token.is_empty() && message.resume_token.len() <= 100);
        self.token = message.resume_token;
        if let (Some(snapshot), Some(last)) = (&message.snapshot, &self.last) {
            assert!(
                time(snapshot.as_of_time) > time(last.as_of_time),
                "nothing older"
            );
            let but_for_time = |snapshot: &pb::RealtimeSnapshot| pb::RealtimeSnapshot {
                as_of_time: None,
                ..snapshot.clone()
            };
            assert_ne!(but_for_time(snapshot), but_for_time(last), "no duplicate");
        }
        if message.snapshot.is_some() {
            self.last.clone_from(&message.snapshot);
        }
        Ok(message.snapshot)
    }

    /// Reads on until there are so many events.
    async fn until_events(&mut self, events: i64) -> pb::RealtimeSnapshot {
        loop {
            if let Some(snapshot) = self.next().await.expect("the watch goes on")
                && snapshot.events == events
            {
                return snapshot;
            }
        }
    }

    async fn until_heartbeat(&mut self) {
        while self.next().await.expect("the watch goes on").is_some() {}
    }
}

#[tokio::test]
async fn who_watches_is_told_at_once_and_of_every_change_and_that_nothing_changes() {
    let app = TestApp::start().await;
    app.send_new(vec![page_view("ada", "/")]).await;
    let mut watch = Watch::open(&app).await;
    let first = watch.next().await.expect("a message").expect("a snapshot");
    assert_eq!((first.visitors, first.events), (1, 1));
    for sent in 2..=4 {
        app.send_new(vec![page_view(&format!("v{sent}"), "/")])
            .await;
        let snapshot = watch.until_events(sent).await;
        assert_eq!(snapshot.visitors, sent);
    }
    watch.until_heartbeat().await;
}

#[tokio::test]
async fn a_watch_goes_on_where_it_ended_on_any_server() {
    let app = TestApp::start().await;
    let url = app.database.url();
    let other = TestDatabase::create().await;
    let other = TestApp::start_on(other, &[("DATABASE_URL", &url)]).await;
    app.send_new(vec![page_view("ada", "/")]).await;
    let mut watch = Watch::open(&app).await;
    watch.until_events(1).await;
    watch.until_heartbeat().await;
    for (server, sent) in [(&app, 2), (&other, 3)] {
        let last = watch.last.take();
        watch = Watch::resume(server, &watch.token).await.expect("a watch");
        // From here on it is checked that nothing of this comes again.
        watch.last = last;
        watch.until_heartbeat().await;
        app.send_new(vec![page_view(&format!("v{sent}"), "/")])
            .await;
        watch.until_events(sent).await;
    }
    let shop = app.create_property("shop").await;
    let mut forged = watch.token.clone();
    forged.replace_range(..1, if forged.starts_with('A') { "B" } else { "A" });
    let resume = |token: &str| pb::WatchRealtimeRequest {
        resume_token: token.to_owned(),
        ..pb::WatchRealtimeRequest::default()
    };
    let refused = [
        app.query().watch_realtime(resume(&forged)).await,
        app.query_with(&shop.read_key)
            .watch_realtime(resume(&watch.token))
            .await,
    ];
    for refused in refused {
        let fields = ["resume_token: is none of this property"];
        let status = refused.expect_err("refused");
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &fields);
    }
    drop(watch);
    other.stop().await;
}

#[tokio::test]
async fn those_who_watch_the_same_share_what_is_computed() {
    let app = TestApp::start().await;
    let mut watches = join_all((0..20).map(|_| Watch::open(&app))).await;
    join_all(watches.iter_mut().map(Watch::until_heartbeat)).await;
    app.send_new(vec![page_view("ada", "/")]).await;
    let snapshots = join_all(watches.iter_mut().map(|watch| watch.until_events(1))).await;
    // Each computation has a moment of its own.
    let moments: HashSet<Timestamp> = snapshots
        .iter()
        .map(|snapshot| time(snapshot.as_of_time))
        .collect();
    assert!(moments.len() <= 3, "{moments:?}");
}

#[tokio::test]
async fn snapshots_are_as_far_apart_as_asked_for() {
    let app = TestApp::start().await;
    let request = pb::WatchRealtimeRequest {
        min_interval: Some(prost_types::Duration {
            seconds: 3,
            nanos: 0,
        }),
        ..pb::WatchRealtimeRequest::default()
    };
    let messages = app.query().watch_realtime(request).await.expect("a watch");
    let mut messages = messages.into_inner();
    let mut received = Vec::new();
    for sent in 0..3 {
        let message = messages
            .message()
            .await
            .expect("a message")
            .expect("no end");
        received.push(Instant::now());
        assert!(message.snapshot.is_some());
        app.send_new(vec![page_view(&format!("v{sent}"), "/")])
            .await;
    }
    for pair in received.windows(2) {
        assert!(
            pair[1] - pair[0] > Duration::from_millis(2_800),
            "{received:?}"
        );
    }
}

#[tokio::test]
async fn there_are_only_so_many_watchers() {
    let app = TestApp::start_with(&[("TALLYMARK_WATCHERS", "2")]).await;
    let first = Watch::open(&app).await;
    let mut second = Watch::open(&app).await;
    let status = Watch::resume(&app, "").await.err().expect("refused");
    assert_refused(&status, Code::ResourceExhausted, "TOO_MANY_WATCHERS", &[]);
    let details = status.get_error_details();
    assert_eq!(
        details.error_info().expect("ErrorInfo").metadata["limit_watchers"],
        "2"
    );
    assert!(details.retry_info().is_some());
    second.next().await.expect("it goes on");
    drop(first);
    let opened = async { while Watch::resume(&app, "").await.is_err() {} };
    tokio::time::timeout(SOON, opened)
        .await
        .expect("a place is free");
}

#[tokio::test]
async fn a_server_that_stops_ends_its_watches() {
    let app = TestApp::start().await;
    let mut watch = Watch::open(&app).await;
    watch.next().await.expect("a message");
    let asked = Instant::now();
    app.ask_to_stop();
    let status = loop {
        if let Err(status) = watch.next().await {
            break status;
        }
    };
    assert_refused(&status, Code::Unavailable, "SHUTTING_DOWN", &[]);
    assert!(status.get_error_details().retry_info().is_some());
    let _database = app.stop().await;
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_watch_outlives_a_short_absence_of_the_database_and_not_a_long_one() {
    let (app, forwarder) = TestApp::start_behind_forwarder(&[]).await;
    let mut watch = Watch::open(&app).await;
    watch.until_heartbeat().await;
    forwarder.cut();
    watch.until_heartbeat().await;
    forwarder.restore();
    app.send_new(vec![page_view("ada", "/")]).await;
    watch.until_events(1).await;

    // What was is kept, so only something new needs the database: the minute that begins.
    forwarder.cut();
    let patience = Duration::from_secs(120);
    let ended = async {
        loop {
            if let Err(status) = watch.next().await {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(patience, ended)
        .await
        .expect("it ends");
    assert_refused(&status, Code::Unavailable, "DATABASE_UNAVAILABLE", &[]);
}
