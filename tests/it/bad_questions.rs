//! Bad questions: told at once which field is wrong and what would be valid.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tallymark::pb::{self, Operator, filter::Kind, time_range::Range};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::wire::{
    AGGREGATE, assert_refused, assert_says_nothing_about_the_database, call, frame,
};
use crate::support::{TestApp, at, page_view, violations};

const DIMENSIONS: &str = "name, page, host, query, title, page_type, author, category, tag, \
     referrer, referrer_url, channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content, \
     browser, browser_version, os, os_version, device, is_bot, country, language, screen, \
     ip_address, visitor_id, user_id, session_id, properties.<key>";
const METRICS: &str = "events, page_views, visitors, duration_sum, duration_mean, duration_min, \
     duration_max, duration_p50, duration_p90, duration_p99, scroll_depth_mean";

/// Asserts that the question is refused for these reasons and no other.
async fn assert_invalid(app: &TestApp, question: pb::AggregateRequest, fields: &[&str]) {
    let status = app.aggregate_error(question).await;
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", fields);
}

fn question() -> pb::AggregateRequest {
    pb::AggregateRequest::default()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn by(dimensions: &[&str]) -> pb::AggregateRequest {
    pb::AggregateRequest {
        dimensions: owned(dimensions),
        ..question()
    }
}

fn measured(metrics: &[&str]) -> pb::AggregateRequest {
    pb::AggregateRequest {
        metrics: owned(metrics),
        ..question()
    }
}

fn in_range(range: Range) -> pb::AggregateRequest {
    pb::AggregateRequest {
        range: Some(pb::TimeRange { range: Some(range) }),
        ..question()
    }
}

fn between(since: &str, until: &str) -> pb::AggregateRequest {
    in_range(Range::Interval(pb::Interval {
        since: at(since),
        until: at(until),
    }))
}

fn dates(since: &str, until: &str) -> pb::AggregateRequest {
    in_range(Range::Dates(pb::DateInterval {
        since: since.to_owned(),
        until: until.to_owned(),
    }))
}

fn condition(dimension: &str, operator: Operator, values: &[&str]) -> pb::Filter {
    pb::Filter {
        kind: Some(Kind::Where(pb::Condition {
            dimension: dimension.to_owned(),
            operator: operator.into(),
            values: owned(values),
        })),
    }
}

fn all(filters: Vec<pb::Filter>) -> pb::Filter {
    pb::Filter {
        kind: Some(Kind::All(pb::FilterList { filters })),
    }
}

fn not(filter: pb::Filter) -> pb::Filter {
    pb::Filter {
        kind: Some(Kind::Not(Box::new(filter))),
    }
}

fn filtered(filter: pb::Filter) -> pb::AggregateRequest {
    pb::AggregateRequest {
        filter: Some(filter),
        ..question()
    }
}

fn fine() -> pb::Filter {
    condition("page", Operator::Equals, &["/"])
}

#[tokio::test]
async fn a_dimension_that_is_none_is_told_which_there_are() {
    let app = TestApp::start().await;
    for name in [
        "pages",
        "PAGE",
        " page",
        "",
        "properties.",
        "properties",
        "duration",
        "x' or 1=1--",
    ] {
        let said = format!("dimensions[1]: there is no dimension `{name}`; there are {DIMENSIONS}");
        assert_invalid(&app, by(&["os", name]), &[&said]).await;
    }
    let long = "x".repeat(1_000_000);
    let said = format!(
        "dimensions[0]: there is no dimension `{}…`; there are {DIMENSIONS}",
        &long[..40]
    );
    assert_invalid(&app, by(&[&long]), &[&said]).await;

    let key = |bytes: usize| format!("properties.{}", "k".repeat(bytes));
    app.aggregate(by(&[&key(128)])).await;
    let said = "dimensions[0]: a property key has 1–128 bytes, none NUL";
    assert_invalid(&app, by(&[&key(129)]), &[said]).await;
    assert_invalid(&app, by(&["properties.a\0b"]), &[said]).await;
}

#[tokio::test]
async fn a_metric_that_is_none_is_told_which_there_are() {
    let app = TestApp::start().await;
    for name in ["event", "EVENTS", "", "count(*)", "visitors\0"] {
        let shown = name.trim_end_matches('\0');
        let said = format!("metrics[1]: there is no metric `{shown}`; there are {METRICS}");
        assert_invalid(&app, measured(&["events", name]), &[&said]).await;
    }
}

#[tokio::test]
async fn dimensions_and_metrics_do_not_repeat_and_have_a_bounded_number() {
    let app = TestApp::start().await;
    let said = "dimensions[2]: `page` is there already";
    assert_invalid(&app, by(&["page", "os", "page"]), &[said]).await;
    let said = "dimensions[1]: `properties.plan` is there already";
    assert_invalid(&app, by(&["properties.plan", "properties.plan"]), &[said]).await;
    let said = "metrics[1]: `visitors` is there already";
    assert_invalid(&app, measured(&["visitors", "visitors"]), &[said]).await;

    let eight = [
        "name", "page", "host", "query", "title", "author", "category", "tag",
    ];
    app.aggregate(by(&eight)).await;
    let nine = [eight.as_slice(), &["os"]].concat();
    assert_invalid(&app, by(&nine), &["dimensions: 9 of them, need at most 8"]).await;
    let said = "metrics: 17 of them, need at most 16";
    assert_invalid(&app, measured(&["events"; 17]), &[said]).await;
    let said = "dimensions: 100000 of them, need at most 8";
    assert_invalid(&app, by(&["page"; 100_000]), &[said]).await;
}

#[tokio::test]
async fn a_time_zone_that_is_none_is_refused() {
    let app = TestApp::start().await;
    for zone in [
        "Europe/Atlantis",
        "europe/berlin",
        "EUROPE/BERLIN",
        "+02:00",
        "Local",
        " UTC",
        "../../etc/passwd",
        "'",
    ] {
        let zoned = pb::AggregateRequest {
            time_zone: zone.to_owned(),
            ..question()
        };
        let said = format!(
            "time_zone: there is no time zone `{zone}`, need an IANA name such as Asia/Kathmandu"
        );
        assert_invalid(&app, zoned, &[&said]).await;
        let list = pb::ListEventsRequest {
            time_zone: zone.to_owned(),
            ..pb::ListEventsRequest::default()
        };
        let status = app.query().list_events(list).await.expect_err("refused");
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &[&said]);
    }
}

#[tokio::test]
async fn ranges_end_after_their_start_within_a_century() {
    let app = TestApp::start().await;
    let noon = "2026-05-20T12:00:00Z";
    for (since, until, said) in [
        (
            noon,
            "2026-05-20T11:59:59Z",
            "range: ends at 2026-05-20T11:59:59Z, not after its start, 2026-05-20T12:00:00Z",
        ),
        (
            noon,
            noon,
            "range: ends at 2026-05-20T12:00:00Z, not after its start, 2026-05-20T12:00:00Z",
        ),
        // Less than a microsecond is nothing.
        (
            noon,
            "2026-05-20T12:00:00.0000009Z",
            "range: ends at 2026-05-20T12:00:00Z, not after its start, 2026-05-20T12:00:00Z",
        ),
        (
            "1999-12-31T23:59:59Z",
            noon,
            "range: 1999-12-31T23:59:59Z is not between 2000-01-01 and 2100-01-01",
        ),
        (
            noon,
            "2100-01-01T00:00:01Z",
            "range: 2100-01-01T00:00:01Z is not between 2000-01-01 and 2100-01-01",
        ),
        (
            "0001-01-01T00:00:00Z",
            noon,
            "range: 0001-01-01T00:00:00Z is not between 2000-01-01 and 2100-01-01",
        ),
    ] {
        assert_invalid(&app, between(since, until), &[said]).await;
    }
    let interval = |since, until| in_range(Range::Interval(pb::Interval { since, until }));
    assert_invalid(
        &app,
        interval(None, at(noon)),
        &["range.interval.since: is absent"],
    )
    .await;
    let no_time = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    let said = [
        "range.interval.since: 9223372036854775807 s and 0 ns are not a time",
        "range.interval.until: 0 s and 1000000000 ns are not a time",
    ];
    let absurd = interval(no_time(i64::MAX, 0), no_time(0, 1_000_000_000));
    assert_invalid(&app, absurd, &said).await;

    let whole = pb::AggregateRequest {
        bucket: pb::Bucket::WholeRange.into(),
        ..between("2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z")
    };
    app.aggregate(whole).await;
}

#[tokio::test]
async fn dates_are_those_of_the_calendar_in_one_form() {
    let app = TestApp::start().await;
    for date in [
        "2026-02-30",
        "2026-2-3",
        "20260203",
        "2026-13-01",
        "2026-00-10",
        "0000-00-00",
        "yesterday",
        "2026-02-03T00:00:00Z",
        " 2026-02-03",
        "2026/02/03",
        "2026-W06-2",
        "-2026-02-0",
        "+202602030",
        "20260203Z0",
        "2026-034 0",
    ] {
        let said = format!("range.dates.since: `{date}` is not a date, need YYYY-MM-DD");
        assert_invalid(&app, dates(date, "2026-06-01"), &[&said]).await;
        let said = format!("range.dates.until: `{date}` is not a date, need YYYY-MM-DD");
        assert_invalid(&app, dates("2026-01-01", date), &[&said]).await;
    }
    let said = "range.dates.since: `` is not a date, need YYYY-MM-DD";
    assert_invalid(&app, dates("", "2026-06-01"), &[said]).await;
    let said = "range: ends at 2026-05-20T00:00:00Z, not after its start, 2026-05-20T00:00:00Z";
    assert_invalid(&app, dates("2026-05-20", "2026-05-20"), &[said]).await;
    let said = "range.dates.until: 9999-12-31 is not between 2000-01-01 and 2100-01-01";
    assert_invalid(&app, dates("2026-05-20", "9999-12-31"), &[said]).await;
}

#[tokio::test]
async fn relative_ranges_that_are_none_are_told_which_there_are() {
    let app = TestApp::start().await;
    for name in [
        "",
        "next_week",
        "last_0_days",
        "last_-1_days",
        "last_days",
        "last_1_seconds",
        "last_999999999999_days",
        "LAST_7_DAYS",
        "last_7_days ",
        "last_7_days_",
    ] {
        let said = format!(
            "range.relative: there is no range `{name}`; there are {}",
            tallymark::domain::time_range::RELATIVE_RANGE_NAMES
        );
        let status = app
            .aggregate_error(in_range(Range::Relative(name.to_owned())))
            .await;
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &[&said]);
    }
}

#[tokio::test]
async fn buckets_in_the_millions_are_refused_at_once() {
    let app = TestApp::start().await;
    let every = |bucket: pb::Bucket, since: &str, until: &str| pb::AggregateRequest {
        bucket: bucket.into(),
        ..between(since, until)
    };
    let asked = Instant::now();
    let century = every(
        pb::Bucket::Minute,
        "2000-01-01T00:00:00Z",
        "2100-01-01T00:00:00Z",
    );
    let said = "bucket: the range has about 52596000 buckets, need at most 10000";
    assert_invalid(&app, century, &[said]).await;
    assert!(asked.elapsed() < Duration::from_secs(1));

    let at_the_limit = every(
        pb::Bucket::Minute,
        "2026-01-01T00:00:00Z",
        "2026-01-07T22:40:00Z",
    );
    app.aggregate(at_the_limit).await;
    let over = every(
        pb::Bucket::Minute,
        "2026-01-01T00:00:00Z",
        "2026-01-07T22:41:00Z",
    );
    let said = "bucket: the range has about 10001 buckets, need at most 10000";
    assert_invalid(&app, over, &[said]).await;
}

#[tokio::test]
async fn numbers_that_are_none_of_an_enum_are_refused() {
    let app = TestApp::start().await;
    let bucket = pb::AggregateRequest {
        bucket: 99,
        ..question()
    };
    assert_invalid(&app, bucket, &["bucket: 99 is no bucket"]).await;
    let operator = pb::Filter {
        kind: Some(Kind::Where(pb::Condition {
            dimension: "page".to_owned(),
            operator: -7,
            values: owned(&["/"]),
        })),
    };
    assert_invalid(
        &app,
        filtered(operator),
        &["filter.where.operator: -7 is no operator"],
    )
    .await;
}

#[tokio::test]
async fn filters_have_bounds() {
    let app = TestApp::start().await;
    let empty = pb::Filter { kind: None };
    let said = "filter: is empty, need one of where, all, any, not";
    assert_invalid(&app, filtered(empty.clone()), &[said]).await;
    let said = "filter.all.filters[1].not: is empty, need one of where, all, any, not";
    assert_invalid(&app, filtered(all(vec![fine(), not(empty)])), &[said]).await;

    // Levels: not, …, not, where.
    let nested = |levels: usize| (1..levels).fold(fine(), |inner, _| not(inner));
    app.aggregate(filtered(nested(8))).await;
    let path = format!("filter{}", ".not".repeat(8));
    let said = format!("{path}: nested deeper than 8 levels");
    assert_invalid(&app, filtered(nested(9)), &[&said]).await;
    let status = app.aggregate_error(filtered(nested(2_000))).await;
    assert_refused(&status, Code::InvalidArgument, "MALFORMED_MESSAGE", &[]);

    app.aggregate(filtered(all(vec![fine(); 100]))).await;
    let said = "filter.all.filters: 101 filters, need at most 100";
    assert_invalid(&app, filtered(all(vec![fine(); 101])), &[said]).await;
    let two = filtered(all(vec![all(vec![fine(); 60]), all(vec![fine(); 41])]));
    let said = "filter.all.filters[1].all.filters[40].where: more than 100 conditions";
    assert_invalid(&app, two, &[said]).await;
}

#[tokio::test]
async fn conditions_have_values_within_bounds() {
    let app = TestApp::start().await;
    let long = "x".repeat(2_049);
    let many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let regex = "x".repeat(513);
    app.aggregate(filtered(condition(
        "page",
        Operator::Equals,
        &many[..1_000],
    )))
    .await;
    app.aggregate(filtered(condition(
        "page",
        Operator::Contains,
        &[&long[..2_048]],
    )))
    .await;
    app.aggregate(filtered(condition(
        "page",
        Operator::MatchesRegex,
        &[&regex[..512]],
    )))
    .await;
    for (operator, values, said) in [
        (Operator::Equals, &[][..], "values: 0 values, need 1–1000"),
        (Operator::Equals, &many, "values: 1001 values, need 1–1000"),
        (
            Operator::Contains,
            &["a", &long],
            "values[1]: 2049 bytes, need 1–2048",
        ),
        (
            Operator::StartsWith,
            &[""],
            "values[0]: 0 bytes, need 1–2048",
        ),
        (
            Operator::MatchesRegex,
            &[&regex],
            "values[0]: 513 bytes, need 1–512",
        ),
        (
            Operator::Equals,
            &["a\0b"],
            "values[0]: contains a NUL character",
        ),
        (
            Operator::MatchesRegex,
            &["\0"],
            "values[0]: contains a NUL character",
        ),
        (Operator::IsAbsent, &["a"], "values: 1 values, need none"),
    ] {
        let said = format!("filter.where.{said}");
        assert_invalid(
            &app,
            filtered(condition("page", operator, values)),
            &[&said],
        )
        .await;
    }
    let said =
        format!("filter.where.dimension: there is no dimension `pages`; there are {DIMENSIONS}");
    let unknown = filtered(condition("pages", Operator::Equals, &["/"]));
    assert_invalid(&app, unknown, &[&said]).await;
    let said = "filter.where.dimension: a property key has 1–128 bytes, none NUL";
    let nul = filtered(condition("properties.a\0", Operator::Equals, &["/"]));
    assert_invalid(&app, nul, &[said]).await;
}

#[tokio::test]
async fn numbers_are_compared_with_one_finite_number() {
    let app = TestApp::start().await;
    for text in [
        "ten",
        "",
        "NaN",
        "inf",
        "-infinity",
        "1e999",
        "0x10",
        "1,5",
        "1 2",
        "1\0",
    ] {
        let bad = filtered(condition("duration", Operator::LessThan, &[text]));
        let shown = text.trim_end_matches('\0');
        let said = format!("filter.where.values[0]: `{shown}` is not a decimal number");
        assert_invalid(&app, bad, &[&said]).await;
    }
    for values in [&[][..], &["1", "2"]] {
        let bad = filtered(condition("properties.price", Operator::GreaterThan, values));
        let said = format!(
            "filter.where.values: {} values, need exactly 1",
            values.len()
        );
        assert_invalid(&app, bad, &[&said]).await;
    }
    let bad = filtered(condition("page", Operator::LessThan, &["1"]));
    let said = "filter.where.dimension: `page` is not a number; duration, scroll_depth and properties.<key> are";
    assert_invalid(&app, bad, &[said]).await;
    for number in ["1e300", "-1e-300", "1e308", "+.5", "00012"] {
        for dimension in ["duration", "scroll_depth", "properties.price"] {
            app.aggregate(filtered(condition(
                dimension,
                Operator::LessOrEqual,
                &[number],
            )))
            .await;
        }
    }
}

#[tokio::test]
async fn a_regular_expression_that_does_not_parse_is_told_why() {
    let app = TestApp::start().await;
    app.send_new(vec![page_view("ada", "/")]).await;
    for (regex, said) in [
        ("(", "parentheses () not balanced"),
        ("[a", "brackets [] not balanced"),
        ("a{2,1}", "invalid repetition count(s)"),
        ("*", "quantifier operand invalid"),
    ] {
        let bad = filtered(condition("page", Operator::MatchesRegex, &[regex]));
        let said = format!("filter: a regular expression does not parse: {said}");
        assert_invalid(&app, bad, &[&said]).await;
    }
    // Without any event that it could be tried on, too.
    let bad = filtered(condition("properties.plan", Operator::MatchesRegex, &["("]));
    let status = app.aggregate_error(bad).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_says_nothing_about_the_database(&status);
}

#[tokio::test]
async fn a_catastrophic_regular_expression_ends_at_the_time_limit() {
    let app = TestApp::start_with(&[("TALLYMARK_QUERY_TIMEOUT_MS", "300")]).await;
    // Of odd length, so that no way to halve it exists.
    let text = format!("/{}", "a".repeat(2_001));
    app.send_new(vec![page_view("ada", &text)]).await;
    // The back-references make the engine try every split.
    let regex = r"^/(a+)(a+)(a+)\1\2\3$";
    let asked = Instant::now();
    let status = app
        .aggregate_error(filtered(condition(
            "page",
            Operator::MatchesRegex,
            &[regex],
        )))
        .await;
    assert_refused(&status, Code::DeadlineExceeded, "QUERY_TIMEOUT", &[]);
    assert_eq!(
        status.message(),
        "the question took longer than 300 ms; ask for less, or allow more"
    );
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    // Others are answered.
    assert_eq!(app.aggregate(question()).await.rows.len(), 1);
}

#[tokio::test]
async fn limits_orders_and_page_sizes_have_bounds() {
    let app = TestApp::start().await;
    for limit in [-1, 100_001, i32::MIN, i32::MAX] {
        let bad = pb::AggregateRequest {
            limit,
            ..question()
        };
        let said = format!("limit: {limit}, need 1–100000, or 0 for 10000");
        assert_invalid(&app, bad, &[&said]).await;
    }
    app.aggregate(pb::AggregateRequest {
        limit: 100_000,
        ..question()
    })
    .await;

    for key in ["", "visitors", "page ", "1; drop table events"] {
        let bad = pb::AggregateRequest {
            order_by: vec![pb::OrderBy {
                key: key.to_owned(),
                descending: true,
            }],
            ..by(&["page"])
        };
        let said = format!(
            "order_by[0].key: `{key}` is neither `bucket` nor a dimension or metric of the question"
        );
        assert_invalid(&app, bad, &[&said]).await;
    }

    for page_size in [-1, 1_001, i32::MAX] {
        let list = pb::ListEventsRequest {
            page_size,
            ..pb::ListEventsRequest::default()
        };
        let status = app.query().list_events(list).await.expect_err("refused");
        let said = format!("page_size: {page_size}, need 1–1000, or 0 for 50");
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &[&said]);
    }
}

#[tokio::test]
async fn an_order_may_not_be_endless() {
    let app = TestApp::start().await;
    let key = pb::OrderBy {
        key: "events".to_owned(),
        descending: true,
    };
    let bad = pb::AggregateRequest {
        order_by: vec![key.clone(), key],
        ..question()
    };
    assert_invalid(&app, bad, &["order_by[1].key: `events` is there already"]).await;
}

#[tokio::test]
async fn all_that_is_wrong_fits_into_the_headers_of_common_clients() {
    let app = TestApp::start().await;
    let wrong = "§".repeat(60);
    let bad = pb::AggregateRequest {
        dimensions: vec![wrong.clone(); 8],
        metrics: vec![wrong.clone(); 16],
        time_zone: wrong.clone(),
        range: Some(pb::TimeRange {
            range: Some(Range::Relative(wrong.clone())),
        }),
        filter: Some(all(vec![condition(&wrong, Operator::Equals, &["x"]); 100])),
        ..question()
    };
    let status = app.aggregate_error(bad).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(!violations(&status).is_empty());
    // grpc-java takes 8 KiB of headers; details travel as base64, the message percent-encoded.
    let bytes = status.details().len().div_ceil(3) * 4 + status.message().len() * 3;
    assert!(bytes < 8_000, "{bytes}");
}

fn list(page_token: &str) -> pb::ListEventsRequest {
    pb::ListEventsRequest {
        page_size: 1,
        page_token: page_token.to_owned(),
        ..pb::ListEventsRequest::default()
    }
}

#[tokio::test]
async fn page_tokens_are_good_for_their_own_question_only() {
    let app = TestApp::start().await;
    let events = vec![page_view("ada", "/"), page_view("bob", "/")];
    app.send_new(events).await;
    let first = app
        .query()
        .list_events(list(""))
        .await
        .expect("a page")
        .into_inner();
    let token = first.next_page_token;
    app.query()
        .list_events(list(&token))
        .await
        .expect("its next page");

    let refused = |status: Status| {
        let said = "page_token: is not one of this question's";
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &[said]);
    };
    let others = [
        pb::ListEventsRequest {
            include_bots: true,
            ..list(&token)
        },
        pb::ListEventsRequest {
            filter: Some(fine()),
            ..list(&token)
        },
        pb::ListEventsRequest {
            time_zone: "Asia/Kathmandu".to_owned(),
            ..list(&token)
        },
        pb::ListEventsRequest {
            range: Some(pb::TimeRange {
                range: Some(Range::Relative("today".to_owned())),
            }),
            ..list(&token)
        },
    ];
    for other in others {
        refused(
            app.query()
                .list_events(other)
                .await
                .expect_err("another question"),
        );
    }
    for garbage in [
        "x",
        "====",
        "AAAA",
        &token[1..],
        &format!("{token}A"),
        "\0",
        &"A".repeat(64),
    ] {
        refused(
            app.query()
                .list_events(list(garbage))
                .await
                .expect_err("garbage"),
        );
    }

    let other = app.create_property("other").await;
    let mut query = app.query_with(&other.read_key);
    refused(
        query
            .list_events(list(&token))
            .await
            .expect_err("another property's"),
    );
}

#[tokio::test]
async fn an_answer_with_gaps_filled_beyond_the_limit_is_refused() {
    let app = TestApp::start().await;
    let now = Timestamp::now();
    app.send_new(
        (0..13)
            .map(|n| page_view("ada", &format!("/{n}")))
            .collect(),
    )
    .await;
    let day = jiff::SignedDuration::from_hours(24);
    let filled = pb::AggregateRequest {
        fill_gaps: true,
        bucket: pb::Bucket::Minute.into(),
        ..between(&(now - day * 6).to_string(), &(now + day / 24).to_string())
    };
    app.aggregate(filled.clone()).await;
    let status = app
        .aggregate_error(pb::AggregateRequest {
            dimensions: owned(&["page"]),
            ..filled
        })
        .await;
    assert_refused(&status, Code::InvalidArgument, "ANSWER_TOO_LARGE", &[]);
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.metadata["limit_rows"], "100000");
}

#[tokio::test]
async fn a_question_that_does_not_decode_is_told_where() {
    let app = TestApp::start().await;
    let key = format!("Bearer {}", app.read_key.reveal());
    let headers = [("authorization", key.as_str())];
    for (bytes, said) in [
        (
            &[0x1a_u8, 2, 0xff, 0xfe][..],
            "dimensions: invalid string value: data is not UTF-8 encoded",
        ),
        (
            &[0x3a, 1, 0xff],
            "time_zone: invalid string value: data is not UTF-8 encoded",
        ),
        (&[0x10], "varint"),
        (&[0x15, 0, 0, 0, 0], "bucket: invalid wire type"),
    ] {
        let status = call(&app, AGGREGATE, &headers, frame(bytes))
            .await
            .expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(crate::support::reason(&status), "MALFORMED_MESSAGE");
        assert!(status.message().contains(said), "{said}: {status:?}");
    }
    // An unknown field of a later version is no fault.
    let mut later = Vec::new();
    prost::encoding::uint64::encode(1_000, &7, &mut later);
    call(&app, AGGREGATE, &headers, frame(&later))
        .await
        .expect("an answer");
    call(&app, AGGREGATE, &headers, frame(&[]))
        .await
        .expect("an answer to the empty question");
}

#[tokio::test]
async fn ids_of_events_are_uuids() {
    let app = TestApp::start().await;
    for id in [
        "",
        "42",
        "x' or 1=1--",
        "\0",
        "0198c0de0000700080000000000000aa",
        "{0198c0de-0000-7000-8000-0000000000aa}",
    ] {
        let request = pb::GetEventRequest {
            event_id: id.to_owned(),
            ..pb::GetEventRequest::default()
        };
        let status = app.query().get_event(request).await.expect_err("refused");
        let said = "event_id: is not a UUID of 36 characters";
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &[said]);
    }
}
