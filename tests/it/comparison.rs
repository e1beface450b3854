//! Comparison with the period or the year before, and what a limit leaves out.

use jiff::{Timestamp, ToSpan, Zoned};
use tallymark::pb::{self, AggregateRequest, Bucket, Comparison};
use tonic::Code;

use crate::support::questions::{compared_rows, dates, names, numbers, relative, time};
use crate::support::wire::assert_refused;
use crate::support::{TestApp, at, page_view};

fn on(time: &str, visitor: &str, page: &str) -> pb::Event {
    pb::Event {
        time: at(time),
        ..page_view(visitor, page)
    }
}

async fn app_with(events: Vec<pb::Event>) -> TestApp {
    let app = TestApp::start().await;
    app.keep_for_ever().await;
    app.send_new(events).await;
    app
}

/// Two days, and the two days before.
async fn two_and_two_days() -> TestApp {
    app_with(vec![
        on("2026-05-01T10:00:00Z", "ada", "/"),
        on("2026-05-01T11:00:00Z", "bob", "/"),
        on("2026-05-02T10:00:00Z", "ada", "/gone"),
        on("2026-05-03T10:00:00Z", "ada", "/"),
        on("2026-05-03T10:00:01Z", "ada", "/"),
        on("2026-05-03T10:00:02Z", "eve", "/"),
        on("2026-05-04T10:00:00Z", "ada", "/new"),
    ])
    .await
}

fn by_day_and_page() -> AggregateRequest {
    AggregateRequest {
        range: dates("2026-05-03", "2026-05-05"),
        dimensions: names(&["page"]),
        compare: Comparison::PreviousPeriod.into(),
        ..AggregateRequest::default()
    }
}

#[tokio::test]
async fn rows_are_matched_by_place_and_dimensions_and_none_is_lost() {
    let app = two_and_two_days().await;
    let answer = app
        .aggregate(AggregateRequest {
            metrics: names(&["events", "visitors"]),
            totals: true,
            ..by_day_and_page()
        })
        .await;
    assert_eq!(
        compared_rows(&answer.rows),
        [
            "2026-05-03T00:00:00Z < 2026-05-01T00:00:00Z / 3 2 < 2 2 (50 0)",
            "2026-05-04T00:00:00Z < 2026-05-02T00:00:00Z /new 1 1 < 0 0 (NaN NaN)",
            "2026-05-04T00:00:00Z < 2026-05-02T00:00:00Z /gone 0 0 < 1 1 (-100 -100)",
        ]
    );
    // Visitors are counted once, before as now: three events of two people each.
    let totals = compared_rows(&answer.totals.into_iter().collect::<Vec<_>>());
    assert_eq!(
        totals,
        ["2026-05-03T00:00:00Z < 2026-05-01T00:00:00Z 4 2 < 3 2 (33.33333333333333 0)"]
    );
    let metadata = answer.metadata.expect("metadata");
    assert_eq!(metadata.row_count, 3);
    let comparison = metadata.comparison.expect("the range before");
    assert_eq!(
        (time(comparison.since), time(comparison.until)),
        (
            "2026-05-01T00:00:00Z".to_owned(),
            "2026-05-03T00:00:00Z".to_owned()
        )
    );
}

#[tokio::test]
async fn without_a_comparison_nothing_is_before() {
    let app = two_and_two_days().await;
    let question = AggregateRequest {
        compare: Comparison::Unspecified.into(),
        totals: true,
        ..by_day_and_page()
    };
    let answer = app.aggregate(question).await;
    let totals = answer.totals.expect("totals");
    for row in answer.rows.iter().chain([&totals]) {
        assert!(row.metrics_before.is_empty() && row.change_percent.is_empty());
        assert_eq!(row.bucket_start_before, None);
    }
    assert_eq!(answer.metadata.expect("metadata").comparison, None);
}

#[tokio::test]
async fn gaps_are_filled_for_what_only_the_range_before_has() {
    let app = two_and_two_days().await;
    let question = AggregateRequest {
        fill_gaps: true,
        ..by_day_and_page()
    };
    let answer = app.aggregate(question).await;
    assert_eq!(
        compared_rows(&answer.rows),
        [
            "2026-05-03T00:00:00Z < 2026-05-01T00:00:00Z / 3 < 2 (50)",
            "2026-05-03T00:00:00Z < 2026-05-01T00:00:00Z /gone 0 < 0 (NaN)",
            "2026-05-03T00:00:00Z < 2026-05-01T00:00:00Z /new 0 < 0 (NaN)",
            "2026-05-04T00:00:00Z < 2026-05-02T00:00:00Z /new 1 < 0 (NaN)",
            "2026-05-04T00:00:00Z < 2026-05-02T00:00:00Z / 0 < 0 (NaN)",
            "2026-05-04T00:00:00Z < 2026-05-02T00:00:00Z /gone 0 < 1 (-100)",
        ]
    );
}

#[tokio::test]
async fn a_limit_keeps_the_rows_of_the_range_and_others_are_measured_at_once() {
    let app = app_with(vec![
        on("2026-05-01T10:00:00Z", "ada", "/a"),
        on("2026-05-01T10:01:00Z", "ada", "/b"),
        on("2026-05-01T10:02:00Z", "ada", "/gone"),
        on("2026-05-01T10:03:00Z", "bob", "/gone"),
        on("2026-05-02T10:00:00Z", "ada", "/a"),
        on("2026-05-02T10:01:00Z", "ada", "/a"),
        on("2026-05-02T10:02:00Z", "ada", "/b"),
        on("2026-05-02T10:03:00Z", "ada", "/c"),
    ])
    .await;
    let question = |limit, compare: Comparison| AggregateRequest {
        range: dates("2026-05-02", "2026-05-03"),
        bucket: Bucket::WholeRange.into(),
        dimensions: names(&["page"]),
        metrics: names(&["events", "visitors"]),
        limit,
        others: true,
        compare: compare.into(),
        ..AggregateRequest::default()
    };
    let answer = app.aggregate(question(1, Comparison::PreviousPeriod)).await;
    assert_eq!(
        compared_rows(&answer.rows),
        ["2026-05-02T00:00:00Z < 2026-05-01T00:00:00Z /a 2 1 < 1 1 (100 0)"]
    );
    // Ada is on two pages that were left out now, and she and Bob on two before.
    assert_eq!(
        compared_rows(&Vec::from_iter(answer.others)),
        ["2026-05-02T00:00:00Z < 2026-05-01T00:00:00Z 2 1 < 3 2 (-33.33333333333333 -50)"]
    );
    assert_eq!(answer.metadata.expect("metadata").row_count, 3);

    // All rows of the range fit, but not with those that only the range before has.
    let answer = app.aggregate(question(3, Comparison::PreviousPeriod)).await;
    let pages: Vec<String> = answer
        .rows
        .iter()
        .map(|row| row.dimensions.concat())
        .collect();
    assert_eq!(pages, ["/a", "/b", "/c"]);
    assert_eq!(
        compared_rows(&Vec::from_iter(answer.others)),
        ["2026-05-02T00:00:00Z < 2026-05-01T00:00:00Z 0 0 < 2 2 (-100 -100)"]
    );
    assert_eq!(answer.metadata.expect("metadata").row_count, 4);

    // Everything fits.
    let answer = app.aggregate(question(4, Comparison::PreviousPeriod)).await;
    assert_eq!((answer.rows.len(), answer.others), (4, None));
    let answer = app.aggregate(question(3, Comparison::Unspecified)).await;
    assert_eq!((answer.rows.len(), answer.others), (3, None));
    let answer = app.aggregate(question(2, Comparison::Unspecified)).await;
    assert_eq!(answer.others.map(|row| row.metrics), Some(vec![1.0, 1.0]));
}

#[tokio::test]
async fn an_event_of_several_rows_that_are_left_out_counts_once() {
    let tagged = |visitor: &str, tags: &[&str]| pb::Event {
        tags: names(tags),
        ..on("2026-05-01T10:00:00Z", visitor, "/")
    };
    let app = app_with(vec![
        tagged("ada", &["a", "b", "c"]),
        tagged("bob", &["a", "c"]),
        tagged("eve", &["a"]),
        tagged("eve", &[]),
    ])
    .await;
    let answer = app
        .aggregate(AggregateRequest {
            range: dates("2026-05-01", "2026-05-02"),
            bucket: Bucket::WholeRange.into(),
            dimensions: names(&["tag"]),
            metrics: names(&["events", "visitors"]),
            limit: 1,
            others: true,
            ..AggregateRequest::default()
        })
        .await;
    assert_eq!(answer.rows[0].dimensions, ["a"]);
    // Ada's event is in the rows of b and c.
    assert_eq!(numbers(&answer.others.expect("others").metrics), "3 3");
}

#[tokio::test]
async fn others_of_filled_gaps_have_only_what_was_left_out() {
    let app = two_and_two_days().await;
    let answer = app
        .aggregate(AggregateRequest {
            compare: Comparison::Unspecified.into(),
            fill_gaps: true,
            others: true,
            limit: 2,
            ..by_day_and_page()
        })
        .await;
    // The first day's rows are kept, of which one has no event.
    assert_eq!(answer.rows.len(), 2);
    assert_eq!(numbers(&answer.others.expect("others").metrics), "1");
}

#[tokio::test]
async fn a_short_month_has_no_bucket_to_compare_with() {
    let app = app_with(vec![
        on("2026-03-31T10:00:00Z", "ada", "/"),
        on("2026-04-30T10:00:00Z", "ada", "/"),
        on("2026-05-31T10:00:00Z", "ada", "/"),
    ])
    .await;
    let question = |since: &str, until: &str| AggregateRequest {
        range: dates(since, until),
        compare: Comparison::PreviousYear.into(),
        ..AggregateRequest::default()
    };
    // Dates are a number of days, so that May is compared with the 31 days before it.
    let answer = app
        .aggregate(AggregateRequest {
            compare: Comparison::PreviousPeriod.into(),
            ..question("2026-05-01", "2026-06-01")
        })
        .await;
    assert_eq!(
        compared_rows(&answer.rows),
        [
            "2026-05-01T00:00:00Z < 2026-03-31T00:00:00Z 0 < 1 (-100)",
            "2026-05-31T00:00:00Z < 2026-04-30T00:00:00Z 1 < 1 (0)",
        ]
    );
    // 2024 had a February 29: its last day has the place of March 1.
    let app = app_with(vec![
        on("2024-02-29T10:00:00Z", "ada", "/"),
        on("2023-02-28T10:00:00Z", "ada", "/"),
    ])
    .await;
    let answer = app.aggregate(question("2024-02-01", "2024-03-01")).await;
    assert_eq!(
        compared_rows(&answer.rows),
        [
            "2024-02-28T00:00:00Z < 2023-02-28T00:00:00Z 0 < 1 (-100)",
            "2024-02-29T00:00:00Z < none 1 < NaN (NaN)",
        ]
    );
    // And the other way round: a bucket that only the range before has.
    let app = app_with(vec![
        on("2024-02-29T10:00:00Z", "ada", "/"),
        on("2024-03-02T10:00:00Z", "ada", "/"),
    ])
    .await;
    let answer = app.aggregate(question("2025-02-01", "2025-03-02")).await;
    assert_eq!(
        compared_rows(&answer.rows),
        ["2025-03-01T00:00:00Z < 2024-02-29T00:00:00Z 0 < 1 (-100)"]
    );
    let answer = app
        .aggregate(AggregateRequest {
            fill_gaps: true,
            ..question("2025-02-01", "2025-03-03")
        })
        .await;
    assert_eq!(
        answer.rows.len(),
        31,
        "Feb 1 to Mar 2 of a leap year has a day more"
    );
    assert_eq!(
        compared_rows(&answer.rows)[30],
        "none < 2024-03-02T00:00:00Z NaN < 1 (NaN)"
    );
}

/// One event every hour between two times in a zone.
fn hourly(since: &str, until: &str) -> Vec<pb::Event> {
    let since: Zoned = since.parse().expect("a zoned time");
    let until: Zoned = until.parse().expect("a zoned time");
    let mut time = since.timestamp();
    let mut events = Vec::new();
    while time < until.timestamp() {
        events.push(on(&time.to_string(), "ada", "/"));
        time = time.checked_add(1.hour()).expect("not the end of time");
    }
    events
}

#[tokio::test]
async fn days_of_23_and_25_hours_are_compared_with_days() {
    let app = app_with(hourly(
        "2026-03-06T00:00-05:00[America/New_York]",
        "2026-03-10T00:00-04:00[America/New_York]",
    ))
    .await;
    let question = |since: &str, until: &str| AggregateRequest {
        range: dates(since, until),
        time_zone: "America/New_York".to_owned(),
        compare: Comparison::PreviousPeriod.into(),
        ..AggregateRequest::default()
    };
    let answer = app.aggregate(question("2026-03-08", "2026-03-10")).await;
    assert_eq!(
        compared_rows(&answer.rows),
        [
            "2026-03-08T05:00:00Z < 2026-03-06T05:00:00Z 23 < 24 (-4.166666666666666)",
            "2026-03-09T04:00:00Z < 2026-03-07T05:00:00Z 24 < 24 (0)",
        ]
    );
    let answer = app.aggregate(question("2026-03-09", "2026-03-10")).await;
    assert_eq!(
        compared_rows(&answer.rows),
        ["2026-03-09T04:00:00Z < 2026-03-08T05:00:00Z 24 < 23 (4.3478260869565215)"]
    );

    let app = app_with(hourly(
        "2025-11-01T00:00-04:00[America/New_York]",
        "2025-11-04T00:00-05:00[America/New_York]",
    ))
    .await;
    let answer = app.aggregate(question("2025-11-03", "2025-11-04")).await;
    assert_eq!(
        compared_rows(&answer.rows),
        ["2025-11-03T05:00:00Z < 2025-11-02T04:00:00Z 24 < 25 (-4)"]
    );
    // Hours are UTC, so the long day has one more of them.
    let answer = app
        .aggregate(AggregateRequest {
            bucket: Bucket::Hour.into(),
            ..question("2025-11-03", "2025-11-04")
        })
        .await;
    assert_eq!(
        compared_rows(&answer.rows).last().map(String::as_str),
        Some("none < 2025-11-03T04:00:00Z NaN < 1 (NaN)")
    );
}

#[tokio::test]
async fn named_ranges_are_compared_with_the_same_part_of_the_unit_before() {
    let app = TestApp::start().await;
    let zone = "Asia/Kathmandu";
    for (name, unit) in [
        ("today", 1.day()),
        ("last_7_days", 7.days()),
        ("previous_7_days", 7.days()),
        ("week_to_date", 7.days()),
        ("previous_month", 1.month()),
        ("previous_quarter", 3.months()),
        ("previous_year", 1.year()),
    ] {
        let answer = app
            .aggregate(AggregateRequest {
                range: relative(name),
                time_zone: zone.to_owned(),
                compare: Comparison::PreviousPeriod.into(),
                bucket: Bucket::WholeRange.into(),
                ..AggregateRequest::default()
            })
            .await;
        let metadata = answer.metadata.expect("metadata");
        let comparison = metadata.comparison.expect("the range before");
        for (now, before) in [
            (metadata.since, comparison.since),
            (metadata.until, comparison.until),
        ] {
            let now: Timestamp = time(now).parse().expect("a time");
            let now = now.in_tz(zone).expect("a zone");
            let expected = now.checked_sub(unit).expect("a time").timestamp();
            assert_eq!(time(before), expected.to_string(), "{name}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_compared_is_told() {
    let app = TestApp::start().await;
    let question = AggregateRequest {
        compare: 7,
        ..AggregateRequest::default()
    };
    assert_refused(
        &app.aggregate_error(question).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        &[
            "compare: 7 is no comparison; there are 1 (previous period), 2 (previous year) and 0 (none)",
        ],
    );
    for (range, compare) in [
        (relative("all_time"), Comparison::PreviousPeriod),
        (relative("all_time"), Comparison::PreviousYear),
        (dates("2000-06-01", "2000-06-03"), Comparison::PreviousYear),
        (
            dates("2000-01-02", "2000-01-04"),
            Comparison::PreviousPeriod,
        ),
    ] {
        let question = AggregateRequest {
            range,
            bucket: Bucket::WholeRange.into(),
            compare: compare.into(),
            ..AggregateRequest::default()
        };
        let said = "compare: the range before would begin before 2000-01-01; need a range that is later or shorter";
        assert_refused(
            &app.aggregate_error(question).await,
            Code::InvalidArgument,
            "INVALID_FIELD",
            &[said],
        );
    }
}

#[tokio::test]
async fn an_explanation_says_what_was_asked_and_run() {
    let app = two_and_two_days().await;
    let before = Timestamp::now();
    let question = |explain| AggregateRequest {
        explain,
        totals: true,
        ..by_day_and_page()
    };
    let metadata = app
        .aggregate(question(false))
        .await
        .metadata
        .expect("metadata");
    assert_eq!(metadata.explanation, None);
    let watermark: Timestamp = time(metadata.watermark).parse().expect("a time");
    assert!(before <= watermark && watermark <= Timestamp::now());

    let metadata = app
        .aggregate(question(true))
        .await
        .metadata
        .expect("metadata");
    let explanation = metadata.explanation.expect("an explanation");
    let asked: Vec<&str> = explanation
        .questions
        .iter()
        .map(|plan| plan.question.as_str())
        .collect();
    assert_eq!(asked, ["rows", "rows before"]);
    for plan in &explanation.questions {
        assert_eq!(plan.source, metadata.source);
        assert!(!plan.steps.is_empty());
    }
    assert!(!explanation.executed.is_empty());
    for executed in &explanation.executed {
        assert!(!executed.step.is_empty() && !executed.step.contains('{'));
        assert!(executed.milliseconds > 0.0, "{executed:?}");
    }
}
