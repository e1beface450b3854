//! Breakdown: the top values of a dimension.

use tallymark::pb::{self, BreakdownRequest, Bucket, Comparison, Operator};
use tonic::{Code, Status};

use crate::support::questions::{condition, dates, names, numbers, time, value_rows};
use crate::support::wire::assert_refused;
use crate::support::{TestApp, at, page_view};

fn on(time: &str, visitor: &str, page: &str) -> pb::Event {
    pb::Event {
        time: at(time),
        ..page_view(visitor, page)
    }
}

/// Two days in May, and two before.
async fn small_site() -> TestApp {
    let app = TestApp::start().await;
    app.keep_for_ever().await;
    let tagged = |event: pb::Event, tags: &[&str]| pb::Event {
        tags: names(tags),
        ..event
    };
    app.send_new(vec![
        on("2026-05-01T10:00:00Z", "ada", "/"),
        on("2026-05-02T10:00:00Z", "bob", "/gone"),
        tagged(on("2026-05-03T10:00:00Z", "ada", "/"), &["news", "tech"]),
        tagged(on("2026-05-03T11:00:00Z", "bob", "/"), &["newsletter"]),
        on("2026-05-04T10:00:00Z", "ada", "/"),
        tagged(on("2026-05-04T10:01:00Z", "ada", "/docs"), &["tech"]),
        on("2026-05-04T10:02:00Z", "eve", "/docs/a"),
        pb::Event {
            page: String::new(),
            name: "signup".to_owned(),
            ..on("2026-05-04T10:03:00Z", "eve", "/")
        },
    ])
    .await;
    app
}

fn of(dimension: &str) -> BreakdownRequest {
    BreakdownRequest {
        dimension: dimension.to_owned(),
        range: dates("2026-05-03", "2026-05-05"),
        ..BreakdownRequest::default()
    }
}

async fn ask(app: &TestApp, question: BreakdownRequest) -> pb::BreakdownResponse {
    let answer = app.query().breakdown(question).await;
    answer.expect("an answer").into_inner()
}

async fn refused(app: &TestApp, question: BreakdownRequest) -> Status {
    let answer = app.query().breakdown(question).await;
    answer.expect_err("no answer")
}

#[tokio::test]
async fn values_come_with_their_shares_and_the_totals() {
    let app = small_site().await;
    let answer = ask(&app, of("page")).await;
    assert_eq!(answer.dimension, "page");
    assert_eq!(answer.metrics, ["visitors", "events"]);
    assert_eq!(
        value_rows(&answer.rows),
        [
            "/ 2 3 66.66666666666666 50%",
            " 1 1 33.33333333333333 16.666666666666664%",
            "/docs 1 1 33.33333333333333 16.666666666666664%",
            "/docs/a 1 1 33.33333333333333 16.666666666666664%",
        ]
    );
    // Ada and Eve are on two pages each, and are one visitor each.
    assert_eq!(
        value_rows(&Vec::from_iter(answer.totals)),
        [" 3 6 100 100%"]
    );
    assert_eq!((answer.value_count, answer.others), (4, None));
    let metadata = answer.metadata.expect("metadata");
    assert_eq!(
        (time(metadata.since), time(metadata.until)),
        (
            "2026-05-03T00:00:00Z".to_owned(),
            "2026-05-05T00:00:00Z".to_owned()
        )
    );
    assert_eq!(metadata.explanation, None);
}

#[tokio::test]
async fn a_mean_has_no_share_and_nothing_has_none_of_nothing() {
    let app = small_site().await;
    let question = BreakdownRequest {
        metrics: names(&["duration_mean", "duration_sum", "events"]),
        ..of("name")
    };
    let answer = ask(&app, question).await;
    assert_eq!(
        value_rows(&answer.rows),
        [
            "page_view NaN 0 5 NaN NaN 83.33333333333334%",
            "signup NaN 0 1 NaN NaN 16.666666666666664%",
        ]
    );
}

#[tokio::test]
async fn pages_follow_each_other_and_others_is_what_comes_after() {
    let app = small_site().await;
    let page = |offset, limit| BreakdownRequest {
        offset,
        limit,
        others: true,
        ..of("page")
    };
    let answer = ask(&app, page(0, 2)).await;
    assert_eq!(answer.value_count, 4);
    assert_eq!(answer.rows[1].value, "");
    // One event each of Ada and Eve.
    let others = answer.others.expect("others");
    assert_eq!(numbers(&others.metrics), "2 2");
    assert_eq!(
        numbers(&others.share_percent),
        "66.66666666666666 33.33333333333333"
    );

    let answer = ask(&app, page(2, 1)).await;
    assert_eq!(answer.value_count, 4);
    let values: Vec<&str> = answer.rows.iter().map(|row| row.value.as_str()).collect();
    assert_eq!(values, ["/docs"]);
    assert_eq!(numbers(&answer.others.expect("others").metrics), "1 1");

    let answer = ask(&app, page(4, 2)).await;
    assert_eq!(
        (answer.rows.len(), answer.others, answer.value_count),
        (0, None, 4)
    );
}

#[tokio::test]
async fn values_come_in_the_order_asked_for() {
    let app = small_site().await;
    let by = |key: &str, descending| BreakdownRequest {
        order_by: vec![pb::OrderBy {
            key: key.to_owned(),
            descending,
        }],
        ..of("page")
    };
    let values = async |question| -> Vec<String> {
        let answer = ask(&app, question).await;
        answer.rows.into_iter().map(|row| row.value).collect()
    };
    assert_eq!(
        values(by("page", true)).await,
        ["/docs/a", "/docs", "/", ""]
    );
    assert_eq!(
        values(by("events", false)).await,
        ["", "/docs", "/docs/a", "/"]
    );
}

#[tokio::test]
async fn a_search_narrows_the_values_and_not_the_whole() {
    let app = small_site().await;
    let question = BreakdownRequest {
        contains: "docs".to_owned(),
        limit: 1,
        others: true,
        ..of("page")
    };
    let answer = ask(&app, question.clone()).await;
    assert_eq!(
        value_rows(&answer.rows),
        ["/docs 1 1 33.33333333333333 16.666666666666664%"]
    );
    assert_eq!(answer.value_count, 2);
    assert_eq!(numbers(&answer.totals.expect("totals").metrics), "3 6");
    assert_eq!(numbers(&answer.others.expect("others").metrics), "1 1");

    let filtered = BreakdownRequest {
        filter: Some(condition("visitor_id", Operator::Equals, &["ada"])),
        ..question.clone()
    };
    let answer = ask(&app, filtered).await;
    assert_eq!(answer.value_count, 1);
    assert_eq!(numbers(&answer.totals.expect("totals").metrics), "1 3");

    let nothing = BreakdownRequest {
        contains: "Docs".to_owned(),
        ..question
    };
    let answer = ask(&app, nothing).await;
    assert_eq!((answer.rows.len(), answer.value_count), (0, 0));
}

#[tokio::test]
async fn a_search_among_tags_leaves_out_the_other_tags_of_the_same_events() {
    let app = small_site().await;
    let question = BreakdownRequest {
        contains: "news".to_owned(),
        metrics: names(&["events"]),
        series: Bucket::Day.into(),
        ..of("tag")
    };
    let answer = ask(&app, question.clone()).await;
    assert_eq!(
        value_rows(&answer.rows),
        [
            "news 1 16.666666666666664%",
            "newsletter 1 16.666666666666664%"
        ]
    );
    assert_eq!(answer.value_count, 2);
    assert_eq!(answer.rows[0].series, [1.0, 0.0]);
    let page = BreakdownRequest {
        offset: 1,
        limit: 1,
        ..question.clone()
    };
    let answer = ask(&app, page).await;
    assert_eq!(answer.rows[0].value, "newsletter");
    assert_eq!((answer.rows.len(), answer.value_count), (1, 2));

    let others = BreakdownRequest {
        others: true,
        ..question
    };
    assert_refused(
        &refused(&app, others).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        &[
            "others: not together with contains: an event may have several of `tag`, need one of the two",
        ],
    );
}

#[tokio::test]
async fn a_series_has_every_bucket_of_the_range() {
    let app = small_site().await;
    let question = BreakdownRequest {
        metrics: names(&["events", "visitors"]),
        series: Bucket::Day.into(),
        limit: 2,
        others: true,
        ..of("page")
    };
    let answer = ask(&app, question).await;
    let starts: Vec<String> = answer
        .series_starts
        .iter()
        .map(|start| time(Some(*start)))
        .collect();
    assert_eq!(starts, ["2026-05-03T00:00:00Z", "2026-05-04T00:00:00Z"]);
    let series: Vec<(&str, &[f64])> = answer
        .rows
        .iter()
        .map(|row| (row.value.as_str(), row.series.as_slice()))
        .collect();
    assert_eq!(series, [("/", &[2.0, 1.0][..]), ("", &[0.0, 1.0])]);
    assert!(answer.others.expect("others").series.is_empty());

    let whole = BreakdownRequest {
        series: Bucket::WholeRange.into(),
        ..of("page")
    };
    let answer = ask(&app, whole).await;
    assert!(answer.series_starts.is_empty() && answer.rows[0].series.is_empty());
}

#[tokio::test]
async fn values_are_compared_with_those_before() {
    let app = small_site().await;
    let question = |limit| BreakdownRequest {
        metrics: names(&["events"]),
        compare: Comparison::PreviousPeriod.into(),
        series: Bucket::Day.into(),
        others: true,
        limit,
        explain: true,
        ..of("page")
    };
    let compared = |answer: &pb::BreakdownResponse| -> Vec<String> {
        let text = |row: &pb::BreakdownRow| {
            format!(
                "{} {} < {} ({})",
                row.value,
                numbers(&row.metrics),
                numbers(&row.metrics_before),
                numbers(&row.change_percent)
            )
        };
        let rows = answer
            .rows
            .iter()
            .chain(&answer.totals)
            .chain(&answer.others);
        rows.map(text).collect()
    };
    let answer = ask(&app, question(0)).await;
    assert_eq!(
        compared(&answer),
        [
            "/ 3 < 1 (200)",
            " 1 < 0 (NaN)",
            "/docs 1 < 0 (NaN)",
            "/docs/a 1 < 0 (NaN)",
            "/gone 0 < 1 (-100)",
            " 6 < 2 (200)",
        ]
    );
    assert_eq!(answer.rows[4].series, [0.0, 0.0]);
    let explanation = answer.metadata.and_then(|metadata| metadata.explanation);
    let questions = explanation.expect("an explanation").questions;
    let asked: Vec<&str> = questions
        .iter()
        .map(|plan| plan.question.as_str())
        .collect();
    assert_eq!(asked, ["page", "page before", "page series"]);

    let answer = ask(&app, question(1)).await;
    assert_eq!(
        compared(&answer),
        ["/ 3 < 1 (200)", " 6 < 2 (200)", " 3 < 1 (200)"]
    );
    assert_eq!(answer.value_count, 4);
}

#[tokio::test]
async fn every_wrong_field_is_told_with_what_would_be_right() {
    let app = TestApp::start().await;
    let question = BreakdownRequest {
        dimension: "pages".to_owned(),
        metrics: names(&["hits"]),
        limit: 1_001,
        offset: -1,
        contains: "x".repeat(2_049),
        series: 99,
        compare: -1,
        time_zone: "Mars".to_owned(),
        ..BreakdownRequest::default()
    };
    let status = refused(&app, question).await;
    let said = crate::support::violations(&status);
    let fields: Vec<&str> = said
        .iter()
        .map(|violation| violation.split(':').next().expect("a field"))
        .collect();
    assert_eq!(
        fields,
        [
            "dimension",
            "time_zone",
            "compare",
            "metrics[0]",
            "limit",
            "offset",
            "contains",
            "series"
        ]
    );
    for (question, expected) in [
        (
            BreakdownRequest {
                limit: -1,
                ..of("page")
            },
            "limit: -1, need 1–1000, or 0 for 10",
        ),
        (
            BreakdownRequest {
                offset: 99_001,
                ..of("page")
            },
            "offset: 99001, need 0–99000",
        ),
        (
            BreakdownRequest {
                contains: "a\0".to_owned(),
                ..of("page")
            },
            "contains: contains a NUL character",
        ),
        (
            BreakdownRequest {
                order_by: vec![pb::OrderBy {
                    key: "bucket".to_owned(),
                    descending: false,
                }],
                ..of("page")
            },
            "order_by[0].key: `bucket` is neither the dimension nor a metric of the question",
        ),
        (
            BreakdownRequest {
                series: Bucket::FifteenMinutes.into(),
                limit: 1_000,
                ..of("page")
            },
            "series: 1000 values in 192 buckets are 192000 numbers, need at most 100000",
        ),
        (
            BreakdownRequest {
                series: 10,
                ..of("page")
            },
            "series: 10 is no bucket",
        ),
    ] {
        assert_refused(
            &refused(&app, question).await,
            Code::InvalidArgument,
            "INVALID_FIELD",
            &[expected],
        );
    }
}

#[tokio::test]
async fn an_answer_is_kept_for_the_same_question_and_for_no_other() {
    let app = small_site().await;
    let question = BreakdownRequest {
        limit: 2,
        ..of("page")
    };
    let from_cache = async |question: &BreakdownRequest| {
        let answer = ask(&app, question.clone()).await;
        answer.metadata.expect("metadata").from_cache
    };
    assert!(!from_cache(&question).await);
    assert!(from_cache(&question).await);
    let explained = BreakdownRequest {
        explain: true,
        ..question.clone()
    };
    assert!(
        from_cache(&explained).await,
        "an explanation changes no number"
    );
    for other in [
        BreakdownRequest {
            no_cache: true,
            ..question.clone()
        },
        BreakdownRequest {
            limit: 3,
            ..question.clone()
        },
        BreakdownRequest {
            offset: 1,
            limit: 1,
            ..question.clone()
        },
        BreakdownRequest {
            others: true,
            ..question.clone()
        },
        BreakdownRequest {
            contains: "docs".to_owned(),
            ..question.clone()
        },
        BreakdownRequest {
            contains: "gone".to_owned(),
            ..question.clone()
        },
        BreakdownRequest {
            series: Bucket::Day.into(),
            ..question.clone()
        },
        BreakdownRequest {
            series: Bucket::Hour.into(),
            ..question.clone()
        },
        BreakdownRequest {
            compare: Comparison::PreviousPeriod.into(),
            ..question.clone()
        },
        BreakdownRequest {
            compare: Comparison::PreviousYear.into(),
            ..question.clone()
        },
    ] {
        assert!(!from_cache(&other).await, "{other:?}");
    }
    app.send_new(vec![on("2026-05-03T12:00:00Z", "ada", "/")])
        .await;
    assert!(!from_cache(&question).await, "there is another event");
}
