//! Aggregate: grouping, filtering, ordering, totals, gaps.

use std::collections::BTreeMap;

use prost_types::value::Kind as Json;
use tallymark::pb::filter::Kind;
use tallymark::pb::time_range::Range;
use tallymark::pb::{self, AggregateRequest, Bucket, Operator};

use crate::support::{TestApp, aggregate_rows, at, page_view};

const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn on(time: &str, visitor: &str, page: &str, agent: &str, seconds: Option<i64>) -> pb::Event {
    pb::Event {
        time: at(time),
        user_agent: agent.to_owned(),
        duration: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        ..page_view(visitor, page)
    }
}

/// Three days of a small site.
async fn small_site() -> TestApp {
    let app = TestApp::start().await;
    app.keep_for_ever().await;
    app.send_new(vec![
        on("2026-05-01T10:00:00Z", "ada", "/", WINDOWS, Some(10)),
        on("2026-05-01T10:01:00Z", "ada", "/docs", WINDOWS, Some(30)),
        on("2026-05-01T11:00:00Z", "bob", "/", ANDROID, None),
        on("2026-05-03T09:00:00Z", "ada", "/", WINDOWS, Some(20)),
        on("2026-05-03T09:30:00Z", "eve", "/", GOOGLEBOT, Some(1_000)),
    ])
    .await;
    app
}

fn may() -> Option<pb::TimeRange> {
    dates("2026-05-01", "2026-05-04")
}

fn dates(since: &str, until: &str) -> Option<pb::TimeRange> {
    let dates = pb::DateInterval {
        since: since.to_owned(),
        until: until.to_owned(),
    };
    Some(pb::TimeRange {
        range: Some(Range::Dates(dates)),
    })
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn condition(dimension: &str, operator: Operator, values: &[&str]) -> pb::Filter {
    let condition = pb::Condition {
        dimension: dimension.to_owned(),
        operator: operator.into(),
        values: names(values),
    };
    pb::Filter {
        kind: Some(Kind::Where(condition)),
    }
}

fn not(filter: pb::Filter) -> pb::Filter {
    pb::Filter {
        kind: Some(Kind::Not(Box::new(filter))),
    }
}

async fn rows_where(app: &TestApp, filter: pb::Filter) -> Vec<String> {
    let question = AggregateRequest {
        range: may(),
        bucket: Bucket::WholeRange.into(),
        dimensions: names(&["page", "os"]),
        filter: Some(filter),
        ..AggregateRequest::default()
    };
    let rows = aggregate_rows(&app.aggregate(question).await);
    rows.iter()
        .map(|row| row.split_once(' ').map_or("", |(_, rest)| rest).to_owned())
        .collect()
}

#[tokio::test]
async fn day_by_page_by_os_with_count_and_mean_duration() {
    let app = small_site().await;
    let question = AggregateRequest {
        range: may(),
        dimensions: names(&["page", "os"]),
        metrics: names(&["events", "duration_mean"]),
        ..AggregateRequest::default()
    };
    let answer = app.aggregate(question).await;
    assert_eq!(answer.dimensions, ["page", "os"]);
    assert_eq!(answer.metrics, ["events", "duration_mean"]);
    assert_eq!(
        aggregate_rows(&answer),
        [
            "2026-05-01T00:00:00Z / Android 1 NaN",
            "2026-05-01T00:00:00Z / Windows 1 10",
            "2026-05-01T00:00:00Z /docs Windows 1 30",
            "2026-05-03T00:00:00Z / Windows 1 20",
        ]
    );
    let metadata = answer.metadata.expect("metadata");
    assert_eq!(
        (metadata.source.as_str(), metadata.exact, metadata.row_count),
        ("rollup page_os", true, 4)
    );
    assert_eq!(metadata.time_zone, "UTC");
}

#[tokio::test]
async fn every_metric_measures_what_its_name_says() {
    let app = small_site().await;
    let custom = pb::Event {
        name: "signup".to_owned(),
        scroll_depth: Some(33.33),
        ..on("2026-05-01T12:00:00Z", "bob", "/", ANDROID, None)
    };
    app.send_new(vec![custom]).await;
    let question = AggregateRequest {
        range: may(),
        bucket: Bucket::WholeRange.into(),
        metrics: names(&[
            "events",
            "page_views",
            "visitors",
            "duration_sum",
            "duration_mean",
            "duration_min",
            "duration_max",
            "duration_p50",
            "duration_p90",
            "duration_p99",
            "scroll_depth_mean",
        ]),
        totals: true,
        ..AggregateRequest::default()
    };
    let answer = app.aggregate(question).await;
    let expected = [
        5.0, 4.0, 2.0, 60.0, 20.0, 10.0, 30.0, 20.0, 28.0, 29.8, 33.33,
    ];
    assert_eq!(answer.rows[0].metrics, expected);
    assert_eq!(answer.totals.expect("totals").metrics, expected);
}

#[tokio::test]
async fn totals_are_computed_and_not_summed_from_rows() {
    let app = small_site().await;
    let question = AggregateRequest {
        range: may(),
        dimensions: names(&["page"]),
        metrics: names(&["visitors", "duration_mean"]),
        limit: 1,
        totals: true,
        ..AggregateRequest::default()
    };
    let answer = app.aggregate(question).await;
    assert_eq!(answer.rows.len(), 1);
    assert_eq!(answer.metadata.expect("metadata").row_count, 3);
    // Ada is in three rows and one visitor; the rows left out by the limit count too.
    assert_eq!(answer.totals.expect("totals").metrics, [2.0, 20.0]);
}

#[tokio::test]
async fn bots_count_when_asked_for() {
    let app = small_site().await;
    let question = |include_bots| AggregateRequest {
        range: may(),
        bucket: Bucket::WholeRange.into(),
        dimensions: names(&["is_bot"]),
        include_bots,
        ..AggregateRequest::default()
    };
    let rows = aggregate_rows(&app.aggregate(question(false)).await);
    assert_eq!(rows, ["2026-05-01T00:00:00Z false 4"]);
    let rows = aggregate_rows(&app.aggregate(question(true)).await);
    assert_eq!(
        rows,
        [
            "2026-05-01T00:00:00Z false 4",
            "2026-05-01T00:00:00Z true 1"
        ]
    );
}

#[tokio::test]
async fn gaps_are_filled_for_every_combination() {
    let app = small_site().await;
    let question = AggregateRequest {
        range: may(),
        dimensions: names(&["os"]),
        metrics: names(&["events", "duration_mean"]),
        fill_gaps: true,
        ..AggregateRequest::default()
    };
    assert_eq!(
        aggregate_rows(&app.aggregate(question).await),
        [
            "2026-05-01T00:00:00Z Windows 2 20",
            "2026-05-01T00:00:00Z Android 1 NaN",
            "2026-05-02T00:00:00Z Android 0 NaN",
            "2026-05-02T00:00:00Z Windows 0 NaN",
            "2026-05-03T00:00:00Z Windows 1 20",
            "2026-05-03T00:00:00Z Android 0 NaN",
        ]
    );
    let nothing = AggregateRequest {
        range: dates("2025-01-01", "2025-01-03"),
        fill_gaps: true,
        ..AggregateRequest::default()
    };
    assert_eq!(
        aggregate_rows(&app.aggregate(nothing).await),
        ["2025-01-01T00:00:00Z 0", "2025-01-02T00:00:00Z 0"]
    );
}

#[tokio::test]
async fn rows_come_in_the_order_asked_for() {
    let app = small_site().await;
    let order = |key: &str, descending| pb::OrderBy {
        key: key.to_owned(),
        descending,
    };
    let question = |order_by, fill_gaps| AggregateRequest {
        range: may(),
        dimensions: names(&["page"]),
        metrics: names(&["events", "duration_mean"]),
        order_by,
        fill_gaps,
        ..AggregateRequest::default()
    };
    let by_page = question(vec![order("page", true), order("bucket", true)], false);
    assert_eq!(
        aggregate_rows(&app.aggregate(by_page).await),
        [
            "2026-05-01T00:00:00Z /docs 1 30",
            "2026-05-03T00:00:00Z / 1 20",
            "2026-05-01T00:00:00Z / 2 10",
        ]
    );
    // What has no value comes last in either direction, filled rows too.
    for descending in [false, true] {
        let by_mean = question(vec![order("duration_mean", descending)], true);
        let rows = aggregate_rows(&app.aggregate(by_mean).await);
        assert_eq!(rows.len(), 6);
        assert!(
            rows[3..].iter().all(|row| row.ends_with("0 NaN")),
            "{rows:?}"
        );
        assert!(
            rows[..3].iter().all(|row| !row.ends_with("NaN")),
            "{rows:?}"
        );
    }
}

#[tokio::test]
async fn every_operator_of_a_filter() {
    let app = small_site().await;
    let all = ["/ Windows 2", "/ Android 1", "/docs Windows 1"];
    let cases: Vec<(pb::Filter, &[&str])> = vec![
        (
            condition("page", Operator::Unspecified, &["/docs"]),
            &all[2..],
        ),
        (condition("page", Operator::Equals, &["/", "/docs"]), &all),
        (condition("page", Operator::StartsWith, &["/d"]), &all[2..]),
        (
            condition("page", Operator::Contains, &["oc", "zz"]),
            &all[2..],
        ),
        (
            condition("page", Operator::MatchesRegex, &["^/$"]),
            &all[..2],
        ),
        (condition("os", Operator::Equals, &["Android"]), &all[1..2]),
        (
            not(condition("os", Operator::Equals, &["Android"])),
            &["/ Windows 2", "/docs Windows 1"],
        ),
        (
            condition("visitor_id", Operator::Equals, &["bob"]),
            &all[1..2],
        ),
        (condition("channel", Operator::Equals, &["direct"]), &all),
        (condition("channel", Operator::Equals, &["search"]), &[]),
        (
            condition("duration", Operator::GreaterThan, &["20"]),
            &all[2..],
        ),
        (
            condition("duration", Operator::GreaterOrEqual, &["20"]),
            &["/ Windows 1", "/docs Windows 1"],
        ),
        (
            condition("duration", Operator::LessThan, &["10.5"]),
            &["/ Windows 1"],
        ),
        (condition("duration", Operator::IsAbsent, &[]), &all[1..2]),
        (
            not(condition("duration", Operator::LessThan, &["25"])),
            &["/ Android 1", "/docs Windows 1"],
        ),
        (condition("title", Operator::IsAbsent, &[]), &all),
        (condition("title", Operator::Equals, &[""]), &all),
        (not(condition("title", Operator::Equals, &["x"])), &all),
        (
            pb::Filter {
                kind: Some(Kind::All(pb::FilterList::default())),
            },
            &all,
        ),
        (
            pb::Filter {
                kind: Some(Kind::Any(pb::FilterList::default())),
            },
            &[],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(
            rows_where(&app, filter.clone()).await,
            expected,
            "{filter:?}"
        );
    }
    let list = |filters| pb::FilterList { filters };
    let both = list(vec![
        condition("page", Operator::Equals, &["/"]),
        condition("os", Operator::Equals, &["Windows"]),
    ]);
    let all_of = pb::Filter {
        kind: Some(Kind::All(both.clone())),
    };
    assert_eq!(rows_where(&app, all_of).await, ["/ Windows 2"]);
    let any_of = pb::Filter {
        kind: Some(Kind::Any(both)),
    };
    assert_eq!(rows_where(&app, any_of).await, all);
}

#[tokio::test]
async fn an_event_counts_in_the_row_of_each_of_its_tags_and_once_in_the_totals() {
    let app = TestApp::start().await;
    let tagged = |visitor: &str, tags: &[&str]| pb::Event {
        tags: names(tags),
        ..page_view(visitor, "/")
    };
    app.send_new(vec![
        tagged("ada", &["new", "hot", "new"]),
        tagged("bob", &["hot"]),
        tagged("eve", &[]),
    ])
    .await;
    let question = |filter| AggregateRequest {
        bucket: Bucket::WholeRange.into(),
        dimensions: names(&["tag"]),
        totals: true,
        filter,
        ..AggregateRequest::default()
    };
    let by_tag = |answer: &pb::AggregateResponse| -> BTreeMap<String, f64> {
        answer
            .rows
            .iter()
            .map(|row| (row.dimensions[0].clone(), row.metrics[0]))
            .collect()
    };
    let answer = app.aggregate(question(None)).await;
    let expected = [("", 1.0), ("hot", 2.0), ("new", 1.0)];
    assert_eq!(
        by_tag(&answer),
        expected.map(|(tag, count)| (tag.to_owned(), count)).into()
    );
    assert_eq!(answer.totals.expect("totals").metrics, [3.0]);

    let answer = app
        .aggregate(question(Some(condition("tag", Operator::Equals, &["new"]))))
        .await;
    let expected = [("hot", 1.0), ("new", 1.0)];
    assert_eq!(
        by_tag(&answer),
        expected.map(|(tag, count)| (tag.to_owned(), count)).into()
    );
    let answer = app
        .aggregate(question(Some(condition("tag", Operator::IsAbsent, &[]))))
        .await;
    assert_eq!(answer.totals.expect("totals").metrics, [1.0]);
}

#[tokio::test]
async fn properties_are_dimensions_too() {
    let app = TestApp::start().await;
    let with = |visitor: &str, key: &str, value: Json| pb::Event {
        properties: Some(prost_types::Struct {
            fields: [(key.to_owned(), prost_types::Value { kind: Some(value) })].into(),
        }),
        ..page_view(visitor, "/")
    };
    let text = |text: &str| Json::StringValue(text.to_owned());
    app.send_new(vec![
        with("ada", "plan", text("pro")),
        with("bob", "plan", text("free")),
        with("eve", "plan", Json::NumberValue(7.0)),
        with("joe", "amount", Json::NumberValue(49.5)),
        with("kim", "amount", Json::NumberValue(50.0)),
        with("lou", "amount", text("lots")),
    ])
    .await;
    let ask = async |dimensions: &[&str], filter| {
        let question = AggregateRequest {
            bucket: Bucket::WholeRange.into(),
            dimensions: names(dimensions),
            filter,
            ..AggregateRequest::default()
        };
        let answer = app.aggregate(question).await;
        let rows = answer.rows.iter();
        rows.map(|row| format!("{} {}", row.dimensions.join(" "), row.metrics[0]))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ask(&["properties.plan"], None).await,
        [" 3", "7 1", "free 1", "pro 1"]
    );
    let at_least = condition("properties.amount", Operator::GreaterOrEqual, &["50"]);
    assert_eq!(ask(&["visitor_id"], Some(at_least)).await, ["kim 1"]);
    let any_plan = not(condition("properties.plan", Operator::IsAbsent, &[]));
    assert_eq!(
        ask(&["visitor_id"], Some(any_plan)).await,
        ["ada 1", "bob 1", "eve 1"]
    );
}

#[tokio::test]
async fn relative_ranges_end_now() {
    let app = TestApp::start().await;
    app.send_new(vec![page_view("ada", "/")]).await;
    for name in [
        "today",
        "last_15_minutes",
        "last_1_hours",
        "last_7_days",
        "month_to_date",
        "year_to_date",
    ] {
        let question = AggregateRequest {
            range: Some(pb::TimeRange {
                range: Some(Range::Relative(name.to_owned())),
            }),
            totals: true,
            ..AggregateRequest::default()
        };
        let answer = app.aggregate(question).await;
        assert_eq!(answer.totals.expect("totals").metrics, [1.0], "{name}");
        // The bucket that the present is in goes on.
        let partial = answer.metadata.expect("metadata").partial_buckets;
        assert!(
            partial.contains(&answer.rows[0].bucket_start.expect("a bucket")),
            "{name}"
        );
    }
    let question = AggregateRequest {
        range: Some(pb::TimeRange {
            range: Some(Range::Relative("yesterday".to_owned())),
        }),
        ..AggregateRequest::default()
    };
    assert!(app.aggregate(question).await.rows.is_empty());
}
