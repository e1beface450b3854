//! Rollups: declared, built from history, failed, dropped, checked and built again. That they are what the
//! events say is checked at the end of every test, of every file.

use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use tallymark::pb::{self, AggregateRequest};
use tallymark::retention;
use tallymark::store::pool;
use tonic::{Code, Status};

use crate::support::{TestApp, aggregate_rows, at, page_view, reason, rollups, run, violations};

/// An event with a plan.
fn with_plan(visitor: &str, page: &str, plan: &str) -> pb::Event {
    let kind = Some(prost_types::value::Kind::StringValue(plan.to_owned()));
    pb::Event {
        properties: Some(prost_types::Struct {
            fields: [("plan".to_owned(), prost_types::Value { kind })].into(),
        }),
        ..page_view(visitor, page)
    }
}

fn by_plan() -> AggregateRequest {
    AggregateRequest {
        bucket: pb::Bucket::WholeRange.into(),
        dimensions: vec!["properties.plan".to_owned()],
        metrics: vec!["events".to_owned(), "visitors".to_owned()],
        ..AggregateRequest::default()
    }
}

fn rows(answer: &pb::AggregateResponse) -> Vec<String> {
    let rows = aggregate_rows(answer).into_iter();
    rows.map(|row| row.split_once(' ').expect("a bucket").1.to_owned())
        .collect()
}

fn source(answer: &pb::AggregateResponse) -> String {
    answer.metadata.as_ref().expect("metadata").source.clone()
}

async fn list(app: &TestApp) -> Vec<pb::PropertyRollup> {
    let request = pb::ListRollupsRequest {
        property: "default".to_owned(),
    };
    let listed = app.admin().list_rollups(request).await;
    listed.expect("a list").into_inner().rollups
}

async fn create(app: &TestApp, name: &str, dimensions: &[&str]) -> Result<(), Status> {
    let request = pb::CreateRollupRequest {
        property: "default".to_owned(),
        rollup: Some(pb::PropertyRollup {
            name: name.to_owned(),
            dimensions: dimensions.iter().map(|name| (*name).to_owned()).collect(),
            ..pb::PropertyRollup::default()
        }),
    };
    app.admin().create_rollup(request).await.map(drop)
}

/// Waits until the service itself has done something about a rollup.
async fn until(app: &TestApp, name: &str, is_done: impl Fn(&pb::PropertyRollup) -> bool) {
    let waiting = async {
        loop {
            let listed = list(app).await;
            let found = listed.iter().find(|rollup| rollup.name == name);
            if is_done(found.expect("the rollup")) {
                return;
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    done.unwrap_or_else(|_| panic!("nothing was done about {name}"));
}

#[tokio::test]
async fn a_declared_rollup_is_built_from_history_and_kept_from_then_on() {
    let app = TestApp::start().await;
    let now = Timestamp::now();
    let mut events = Vec::new();
    for day in 0..5 {
        for plan in ["free", "pro", ""] {
            let time = now.checked_sub((day * 24).hours()).expect("a time");
            events.push(pb::Event {
                time: at(&time.to_string()),
                ..with_plan(&format!("v{}", day % 2), "/", plan)
            });
        }
    }
    app.send_new(events).await;
    let answer = app.aggregate(by_plan()).await;
    assert_eq!(source(&answer), "events");
    let before = rows(&answer);
    assert_eq!(before, [" 5 2", "free 5 2", "pro 5 2"]);

    create(&app, "plans", &["properties.plan"])
        .await
        .expect("a rollup");
    until(&app, "plans", |rollup| rollup.progress == 1.0).await;
    let answer = app.aggregate(by_plan()).await;
    assert_eq!(source(&answer), "rollup plans");
    assert_eq!(rows(&answer), before);

    // At once, by way of facts; and by way of segments.
    app.send_new(vec![with_plan("new", "/", "pro")]).await;
    for _ in 0..2 {
        let answer = app.aggregate(by_plan()).await;
        assert_eq!(source(&answer), "rollup plans");
        assert_eq!(rows(&answer), ["pro 6 3", " 5 2", "free 5 2"]);
        app.compact().await;
    }
    let listed = list(&app).await;
    let last = listed.last().expect("the declared one");
    assert_eq!((last.name.as_str(), last.built_in), ("plans", false));
    assert!(last.bytes > 0, "{last:?}");
    assert_eq!(listed.iter().filter(|rollup| rollup.built_in).count(), 8);
}

#[tokio::test]
async fn a_dropped_rollup_leaves_nothing_and_its_questions_are_answered_from_events() {
    let app = TestApp::start().await;
    app.send_new(vec![with_plan("ada", "/", "pro")]).await;
    create(&app, "plans", &["properties.plan"])
        .await
        .expect("a rollup");
    app.compact().await;
    assert_eq!(source(&app.aggregate(by_plan()).await), "rollup plans");

    let request = pb::DeleteRollupRequest {
        property: "default".to_owned(),
        name: "plans".to_owned(),
    };
    let mut admin = app.admin();
    admin.delete_rollup(request.clone()).await.expect("dropped");
    let answer = app.aggregate(by_plan()).await;
    assert_eq!(source(&answer), "events");
    assert_eq!(rows(&answer), ["pro 1 1"]);
    let client = app.database.client().await;
    let left = "select count(*) from rollup_segments where rollup_no >= 1000";
    let left: i64 = client.query_one(left, &[]).await.expect("a count").get(0);
    assert_eq!(left, 0);
    let again = admin.delete_rollup(request).await.expect_err("gone");
    assert_eq!(again.code(), Code::NotFound);
}

#[tokio::test]
async fn a_value_that_is_too_long_fails_its_rollup_and_nothing_else() {
    let app = TestApp::start().await;
    create(&app, "plans", &["properties.plan"])
        .await
        .expect("a rollup");
    app.compact().await;
    let long = "x".repeat(1_001);
    app.send_new(vec![
        with_plan("ada", "/", "pro"),
        with_plan("ada", "/", &long),
    ])
    .await;
    until(&app, "plans", |rollup| !rollup.failure.is_empty()).await;
    let listed = list(&app).await;
    let failure = &listed.last().expect("the declared one").failure;
    assert_eq!(
        failure,
        "`properties.plan` has a value of more than 1000 bytes, which no rollup takes"
    );
    let answer = app.aggregate(by_plan()).await;
    assert_eq!(source(&answer), "events");
    let expected = ["pro 1 1".to_owned(), format!("{long} 1 1")];
    assert_eq!(rows(&answer), expected);
    let by_day = app.aggregate(AggregateRequest::default()).await;
    assert_eq!(source(&by_day), "rollup totals");
}

#[tokio::test]
async fn what_cannot_be_declared_is_refused_in_words() {
    let app = TestApp::start().await;
    for (name, dimensions, field, description) in [
        (
            "Plans",
            &["page"][..],
            "rollup.name",
            "need 1–64 of a-z, 0-9, - and _, the first a letter or digit",
        ),
        ("plans", &[], "rollup.dimensions", "0 dimensions, need 1–6"),
        (
            "plans",
            &["page", "page"],
            "rollup.dimensions[1]",
            "`page` is there twice",
        ),
        (
            "plans",
            &["host", "is_bot"],
            "rollup.dimensions[1]",
            "`is_bot` is in every rollup",
        ),
        (
            "plans",
            &["visitor_id"],
            "rollup.dimensions[0]",
            "`visitor_id` is nearly another one for every event, so a rollup by it would be as large as the events",
        ),
    ] {
        let status = create(&app, name, dimensions).await.expect_err("refused");
        assert_eq!(violations(&status), [format!("{field}: {description}")]);
    }
    let unknown = create(&app, "plans", &["pages"])
        .await
        .expect_err("refused");
    assert!(unknown.message().contains("there is no dimension `pages`"));
    for (name, dimensions) in [("totals", &["host"][..]), ("pages", &["page"])] {
        let status = create(&app, name, dimensions).await.expect_err("there");
        assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
    }
    let request = pb::DeleteRollupRequest {
        property: "default".to_owned(),
        name: "page".to_owned(),
    };
    let built_in = app.admin().delete_rollup(request).await;
    let status = built_in.expect_err("refused");
    assert_eq!(reason(&status), "INVALID_FIELD");
    assert!(status.message().contains("that every property has"));
}

#[tokio::test]
async fn a_key_of_one_property_manages_its_own_rollups_only() {
    let app = TestApp::start().await;
    let shop = app.create_property("shop").await;
    let mut admin = app.admin_with(&shop.admin_key);
    let own = pb::CreateRollupRequest {
        property: String::new(),
        rollup: Some(pb::PropertyRollup {
            name: "hosts".to_owned(),
            dimensions: vec!["host".to_owned()],
            ..pb::PropertyRollup::default()
        }),
    };
    admin.create_rollup(own.clone()).await.expect("its own");
    let other = pb::CreateRollupRequest {
        property: "default".to_owned(),
        ..own
    };
    let status = admin.create_rollup(other).await.expect_err("not its own");
    assert_eq!(status.code(), Code::NotFound);
    let status = app
        .admin_with(&shop.read_key)
        .list_rollups(pb::ListRollupsRequest::default())
        .await
        .expect_err("a read key");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(list(&app).await.iter().all(|rollup| rollup.built_in));
}

#[tokio::test]
async fn events_of_before_there_were_rollups_are_built_from() {
    let app = TestApp::start().await;
    app.send_new((0..50).map(|n| page_view(&format!("v{n}"), "/")).collect())
        .await;
    // As if the events had been stored by a version that kept none.
    let client = app.database.client().await;
    client
        .batch_execute("truncate rollup_facts, rollup_segments, rollup_coverage")
        .await
        .expect("no rollups");
    let question = AggregateRequest {
        metrics: vec!["visitors".to_owned()],
        ..AggregateRequest::default()
    };
    let from_events = app.aggregate(question.clone()).await;
    app.compact().await;
    // A kept answer would be the same, and say that it came from the events.
    let anew = AggregateRequest {
        no_cache: true,
        ..question
    };
    let from_rollup = app.aggregate(anew).await;
    assert_eq!(source(&from_rollup), "rollup totals");
    assert_eq!(from_rollup.rows, from_events.rows);
}

#[tokio::test]
async fn the_command_line_finds_what_is_wrong_and_mends_it() {
    let app = TestApp::start().await;
    app.send_new(vec![page_view("ada", "/"), page_view("bob", "/docs")])
        .await;
    app.compact().await;
    let url = app.database.url();
    let variables = [("DATABASE_URL", url.as_str())];
    let run = |arguments: &'static [&'static str]| run(arguments, &variables);
    let verified = run(&["rollup", "verify"]).await;
    assert!(verified.code == Some(0), "{verified:?}");
    assert!(
        verified
            .stdout
            .contains("default: 8 days of rollups compared, 0 differ")
    );

    let client = app.database.client().await;
    client
        .batch_execute("delete from events where visitor_no = 1")
        .await
        .expect("an event less");
    let verified = run(&["rollup", "verify", "--property", "default"]).await;
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(
        verified
            .stdout
            .contains("default: 8 days of rollups compared, 8 differ")
    );
    assert!(
        verified.stdout.contains("2 events instead of 1"),
        "{verified:?}"
    );
    assert!(verified.stderr.contains("tallymark rollup rebuild"));

    let rebuilt = run(&["rollup", "rebuild"]).await;
    assert!(rebuilt.code == Some(0), "{rebuilt:?}");
    let verified = run(&["rollup", "verify"]).await;
    assert!(verified.code == Some(0), "{verified:?}");
    let listed = run(&["rollup", "list"]).await;
    assert!(listed.stdout.contains("page_os"), "{listed:?}");
    let unknown = run(&["rollup", "verify", "--property", "nobody"]).await;
    assert!(unknown.stderr.contains("there is no property `nobody`"));
}

#[tokio::test]
async fn rollups_end_with_the_retention_of_events() {
    let app = TestApp::start().await;
    app.set_time_zone("Asia/Kathmandu").await;
    let now = Timestamp::now();
    let events = (0..200).map(|hours| pb::Event {
        time: at(&now.checked_sub(hours.hours()).expect("a time").to_string()),
        ..page_view(&format!("v{}", hours % 7), "/")
    });
    app.send_new(events.collect()).await;
    app.compact().await;
    app.send_new(vec![page_view("new", "/")]).await;

    let client = app.database.client().await;
    client
        .batch_execute("update properties set retention_days = 3")
        .await
        .expect("a limit");
    let keeper = rollups::compactor(&app.database.url()).await;
    let pool = pool::open(&app.database.url(), 2).expect("a pool");
    let done = retention::apply(&pool, &keeper, now).await;
    assert!(done.expect("old events are removed"));
    let count = "select count(*) from events";
    let left: i64 = client.query_one(count, &[]).await.expect("a count").get(0);
    // 72 hours and what is left of the quarter of an hour before.
    assert!((73..=75).contains(&left), "{left}");
    let answer = app.aggregate(AggregateRequest::default()).await;
    assert_eq!(source(&answer), "rollup totals");
    let counted: f64 = answer.rows.iter().map(|row| row.metrics[0]).sum();
    assert_eq!(counted, left as f64);
}

#[tokio::test]
async fn without_rollups_answers_come_from_events_and_with_them_again_from_rollups() {
    let app = TestApp::start().await;
    app.send_new(vec![page_view("ada", "/")]).await;
    let app = TestApp::start_on(app.stop().await, &[("TALLYMARK_ROLLUPS", "false")]).await;
    app.send_new(vec![page_view("bob", "/")]).await;
    let answer = app.aggregate(AggregateRequest::default()).await;
    assert_eq!(
        (source(&answer).as_str(), answer.rows[0].metrics[0]),
        ("events", 2.0)
    );

    let app = TestApp::start_on(app.stop().await, &[]).await;
    app.compact().await;
    let answer = app.aggregate(AggregateRequest::default()).await;
    assert_eq!(source(&answer), "rollup totals");
    assert_eq!(answer.rows[0].metrics[0], 2.0);
}

#[tokio::test]
async fn a_range_that_cuts_a_quarter_of_an_hour_is_exact() {
    let app = TestApp::start().await;
    let day = Timestamp::now().checked_sub(48.hours()).expect("a time");
    let start_s = day.as_second() / 86_400 * 86_400;
    let events = (0..240).map(|seconds| pb::Event {
        time: Some(prost_types::Timestamp {
            seconds: start_s + seconds * 10,
            nanos: 0,
        }),
        ..page_view(&format!("v{}", seconds % 11), "/")
    });
    app.send_new(events.collect()).await;
    app.compact().await;
    for (since, until, expected) in [
        (0, 900, 90.0),
        (5, 900, 89.0),
        (0, 1_805, 181.0),
        (895, 905, 1.0),
        (901, 2_399, 149.0),
    ] {
        let time = |seconds| {
            Some(prost_types::Timestamp {
                seconds: start_s + seconds,
                nanos: 0,
            })
        };
        let interval = pb::Interval {
            since: time(since),
            until: time(until),
        };
        let answer = app
            .aggregate(AggregateRequest {
                range: Some(pb::TimeRange {
                    range: Some(pb::time_range::Range::Interval(interval)),
                }),
                bucket: pb::Bucket::WholeRange.into(),
                metrics: vec!["events".to_owned(), "visitors".to_owned()],
                ..AggregateRequest::default()
            })
            .await;
        let metrics = &answer.rows[0].metrics;
        assert_eq!(metrics[0], expected, "{since} {until}");
        assert_eq!(metrics[1], expected.min(11.0), "{since} {until}");
    }
}
