//! Overview: the first screen of a dashboard in one call.

use tallymark::pb::{self, Bucket, Comparison, OverviewList, OverviewRequest};
use tonic::Code;

use crate::support::questions::{compared_rows, dates, names, numbers, relative, time, value_rows};
use crate::support::wire::assert_refused;
use crate::support::{TestApp, at, page_view};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";

fn on(time: &str, visitor: &str, page: &str, seconds: Option<i64>) -> pb::Event {
    pb::Event {
        time: at(time),
        user_agent: FIREFOX.to_owned(),
        referrer: "https://www.google.com/".to_owned(),
        duration: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        ..page_view(visitor, page)
    }
}

async fn small_site() -> TestApp {
    let app = TestApp::start().await;
    app.keep_for_ever().await;
    app.send_new(vec![
        on("2026-05-01T10:00:00Z", "ada", "/", Some(10)),
        on("2026-05-03T10:00:00Z", "ada", "/", Some(10)),
        on("2026-05-03T10:01:00Z", "ada", "/docs", Some(30)),
        on("2026-05-03T11:00:00Z", "bob", "/", None),
        pb::Event {
            name: "signup".to_owned(),
            ..on("2026-05-05T09:00:00Z", "bob", "/", None)
        },
    ])
    .await;
    app
}

fn may() -> OverviewRequest {
    OverviewRequest {
        range: dates("2026-05-03", "2026-05-06"),
        ..OverviewRequest::default()
    }
}

async fn ask(app: &TestApp, question: OverviewRequest) -> pb::OverviewResponse {
    let answer = app.query().overview(question).await;
    answer.expect("an answer").into_inner()
}

#[tokio::test]
async fn the_empty_question_has_totals_a_series_and_eight_lists() {
    let app = small_site().await;
    let answer = ask(&app, OverviewRequest::default()).await;
    assert_eq!(answer.series.len(), 30);
    assert_eq!(
        answer.metrics,
        [
            "visitors",
            "page_views",
            "events",
            "duration_mean",
            "scroll_depth_mean"
        ]
    );

    let answer = ask(&app, may()).await;
    assert_eq!(
        numbers(&answer.totals.expect("totals").metrics),
        "2 3 4 20 NaN"
    );
    let series: Vec<String> = answer
        .series
        .iter()
        .map(|row| format!("{} {}", time(row.bucket_start), numbers(&row.metrics)))
        .collect();
    assert_eq!(
        series,
        [
            "2026-05-03T00:00:00Z 2 3 3 20 NaN",
            "2026-05-04T00:00:00Z 0 0 0 NaN NaN",
            "2026-05-05T00:00:00Z 1 0 1 NaN NaN",
        ]
    );
    assert_eq!(answer.list_metrics, ["visitors", "events"]);
    let lists: Vec<(&str, Vec<String>)> = answer
        .lists
        .iter()
        .map(|list| (list.dimension.as_str(), value_rows(&list.rows)))
        .collect();
    let all = |value: &str| vec![format!("{value} 2 4 100 100%")];
    assert_eq!(
        lists,
        [
            ("page", names(&["/ 2 3 100 75%", "/docs 1 1 50 25%"])),
            ("referrer", all("google.com")),
            ("channel", all("search")),
            ("country", all("")),
            ("browser", all("Firefox")),
            ("os", all("Linux")),
            ("device", all("desktop")),
            (
                "name",
                names(&["page_view 2 3 100 75%", "signup 1 1 50 25%"])
            ),
        ]
    );
}

#[tokio::test]
async fn everything_is_compared_in_the_same_call() {
    let app = small_site().await;
    let question = OverviewRequest {
        compare: Comparison::PreviousPeriod.into(),
        metrics: names(&["events"]),
        lists: vec![OverviewList {
            dimension: "page".to_owned(),
            limit: 1,
        }],
        list_metrics: names(&["page_views"]),
        others: true,
        explain: true,
        ..may()
    };
    let answer = ask(&app, question).await;
    assert_eq!(answer.metrics, ["events"]);
    assert_eq!(
        compared_rows(&Vec::from_iter(answer.totals)),
        ["2026-05-03T00:00:00Z < 2026-04-30T00:00:00Z 4 < 1 (300)"]
    );
    assert_eq!(
        compared_rows(&answer.series),
        [
            "2026-05-03T00:00:00Z < 2026-04-30T00:00:00Z 3 < 0 (NaN)",
            "2026-05-04T00:00:00Z < 2026-05-01T00:00:00Z 0 < 1 (-100)",
            "2026-05-05T00:00:00Z < 2026-05-02T00:00:00Z 1 < 0 (NaN)",
        ]
    );
    let list = &answer.lists[0];
    assert_eq!(list.value_count, 2);
    // Shares are of a metric that the totals do not show.
    assert_eq!(value_rows(&list.rows), ["/ 2 66.66666666666666%"]);
    assert_eq!(numbers(&list.rows[0].metrics_before), "1");
    assert_eq!(numbers(&list.rows[0].change_percent), "100");
    let others = list.others.clone().expect("others");
    assert_eq!(value_rows(&[others]), [" 1 33.33333333333333%"]);
    let metadata = answer.metadata.expect("metadata");
    let explanation = metadata.explanation.expect("an explanation");
    let asked: Vec<&str> = explanation
        .questions
        .iter()
        .map(|plan| plan.question.as_str())
        .collect();
    assert_eq!(asked, ["series", "series before", "page", "page before"]);
}

#[tokio::test]
async fn the_width_of_the_buckets_fits_the_range() {
    let app = TestApp::start().await;
    for (range, buckets) in [
        (dates("2026-05-03", "2026-05-05"), 48),
        (dates("2026-05-03", "2026-05-06"), 3),
        (dates("2024-01-01", "2025-01-01"), 366),
        (dates("2024-01-01", "2025-02-01"), 13),
        (relative("last_2_hours"), 3),
    ] {
        let question = OverviewRequest {
            range,
            ..OverviewRequest::default()
        };
        let count = ask(&app, question.clone()).await.series.len();
        // Two hours up to now begin in one of three hours, or at a full one.
        assert!(
            count == buckets || (buckets == 3 && count == 2),
            "{question:?}"
        );
    }
    let question = OverviewRequest {
        bucket: Bucket::WholeRange.into(),
        ..may()
    };
    assert_eq!(ask(&app, question).await.series.len(), 1);
}

#[tokio::test]
async fn every_wrong_field_is_told_with_what_would_be_right() {
    let app = TestApp::start().await;
    let list = |dimension: &str, limit| OverviewList {
        dimension: dimension.to_owned(),
        limit,
    };
    let question = OverviewRequest {
        bucket: 77,
        metrics: names(&["events", "events"]),
        list_metrics: names(&["events", "events"]),
        lists: vec![list("page", 0), list("page", 0), list("os", 101)],
        compare: 9,
        ..OverviewRequest::default()
    };
    let status = app.query().overview(question).await.expect_err("no answer");
    assert_refused(
        &status,
        Code::InvalidArgument,
        "INVALID_FIELD",
        &[
            "compare: 9 is no comparison; there are 1 (previous period), 2 (previous year) and 0 (none)",
            "bucket: 77 is no bucket",
            "metrics[1]: `events` is there already",
            "list_metrics[1]: `events` is there already",
            "lists[1].dimension: `page` is there already",
            "lists[2].limit: 101, need 1–100, or 0 for 10",
        ],
    );
    let question = OverviewRequest {
        lists: vec![list("page", 0); 17],
        ..OverviewRequest::default()
    };
    let status = app.query().overview(question).await.expect_err("no answer");
    assert_refused(
        &status,
        Code::InvalidArgument,
        "INVALID_FIELD",
        &["lists: 17 of them, need at most 16"],
    );
}
