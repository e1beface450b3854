//! Days, weeks and months begin where the zone's clocks say so.

use jiff::{Timestamp, ToSpan, Zoned};
use tallymark::pb::time_range::Range;
use tallymark::pb::{self, AggregateRequest, Bucket};

use crate::support::{TestApp, page_view};

/// One event every quarter of an hour from `since` to `until`, both in the zone.
async fn every_quarter_of_an_hour(app: &TestApp, since: &str, until: &str) {
    let since: Zoned = since.parse().expect("a zoned time");
    let until: Zoned = until.parse().expect("a zoned time");
    let mut time = since.timestamp();
    let mut events = Vec::new();
    while time < until.timestamp() {
        let at = prost_types::Timestamp {
            seconds: time.as_second(),
            nanos: 0,
        };
        events.push(pb::Event {
            time: Some(at),
            ..page_view("ada", "/")
        });
        time = time.checked_add(15.minutes()).expect("not the end of time");
    }
    app.send_new(events).await;
}

/// The buckets of a range of dates: start in the zone, and events.
async fn buckets(
    app: &TestApp,
    zone: &str,
    bucket: Bucket,
    since: &str,
    until: &str,
) -> Vec<String> {
    let dates = pb::DateInterval {
        since: since.to_owned(),
        until: until.to_owned(),
    };
    let question = AggregateRequest {
        range: Some(pb::TimeRange {
            range: Some(Range::Dates(dates)),
        }),
        bucket: bucket.into(),
        time_zone: zone.to_owned(),
        ..AggregateRequest::default()
    };
    let answer = app.aggregate(question).await;
    let zone = jiff::tz::TimeZone::get(zone).expect("a zone");
    let rows = answer.rows.iter().map(|row| {
        let start = row.bucket_start.expect("a bucket");
        let start = Timestamp::new(start.seconds, start.nanos).expect("a time");
        let local = start.to_zoned(zone.clone()).strftime("%m-%d %H:%M%:z");
        format!("{local} {}", row.metrics[0])
    });
    rows.collect()
}

async fn app() -> TestApp {
    let app = TestApp::start().await;
    app.keep_for_ever().await;
    app
}

#[tokio::test]
async fn the_days_of_new_york_have_23_and_25_hours_when_the_clocks_change() {
    let app = app().await;
    let zone = "America/New_York";
    every_quarter_of_an_hour(
        &app,
        "2026-03-07T00:00-05:00[America/New_York]",
        "2026-03-10T00:00-04:00[America/New_York]",
    )
    .await;
    assert_eq!(
        buckets(&app, zone, Bucket::Day, "2026-03-07", "2026-03-10").await,
        [
            "03-07 00:00-05:00 96",
            "03-08 00:00-05:00 92",
            "03-09 00:00-04:00 96"
        ]
    );
    every_quarter_of_an_hour(
        &app,
        "2025-11-01T00:00-04:00[America/New_York]",
        "2025-11-04T00:00-05:00[America/New_York]",
    )
    .await;
    assert_eq!(
        buckets(&app, zone, Bucket::Day, "2025-11-01", "2025-11-04").await,
        [
            "11-01 00:00-04:00 96",
            "11-02 00:00-04:00 100",
            "11-03 00:00-05:00 96"
        ]
    );
    // The hour from 01:00 comes twice, and is two buckets.
    let hours = buckets(&app, zone, Bucket::Hour, "2025-11-02", "2025-11-03").await;
    assert_eq!(hours.len(), 25);
    assert_eq!(hours[1..3], ["11-02 01:00-04:00 4", "11-02 01:00-05:00 4"]);
}

#[tokio::test]
async fn the_days_of_kathmandu_begin_at_a_quarter_past_six_utc() {
    let app = app().await;
    every_quarter_of_an_hour(
        &app,
        "2026-05-01T00:00+05:45[Asia/Kathmandu]",
        "2026-05-03T00:00+05:45[Asia/Kathmandu]",
    )
    .await;
    assert_eq!(
        buckets(
            &app,
            "Asia/Kathmandu",
            Bucket::Day,
            "2026-05-01",
            "2026-05-03"
        )
        .await,
        ["05-01 00:00+05:45 96", "05-02 00:00+05:45 96"]
    );
    // Hours are UTC's: the first one of the day has only its last quarter in the range.
    let hours = buckets(
        &app,
        "Asia/Kathmandu",
        Bucket::Hour,
        "2026-05-01",
        "2026-05-02",
    )
    .await;
    assert_eq!(hours[..2], ["04-30 23:45+05:45 3", "05-01 00:45+05:45 4"]);
}

#[tokio::test]
async fn a_day_of_cairo_begins_at_one_when_midnight_is_skipped() {
    let app = app().await;
    every_quarter_of_an_hour(
        &app,
        "2024-04-25T00:00+02:00[Africa/Cairo]",
        "2024-04-28T00:00+03:00[Africa/Cairo]",
    )
    .await;
    assert_eq!(
        buckets(
            &app,
            "Africa/Cairo",
            Bucket::Day,
            "2024-04-25",
            "2024-04-28"
        )
        .await,
        [
            "04-25 00:00+02:00 96",
            "04-26 01:00+03:00 92",
            "04-27 00:00+03:00 96"
        ]
    );
}

#[tokio::test]
async fn a_day_of_amman_begins_at_the_first_of_two_midnights() {
    let app = app().await;
    every_quarter_of_an_hour(
        &app,
        "2021-10-28T00:00+03:00[Asia/Amman]",
        "2021-10-30T00:00+02:00[Asia/Amman]",
    )
    .await;
    assert_eq!(
        buckets(&app, "Asia/Amman", Bucket::Day, "2021-10-28", "2021-10-30").await,
        ["10-28 00:00+03:00 96", "10-29 00:00+03:00 100"]
    );
    // Since 2022 the clocks there stay: spring has no short day any more.
    every_quarter_of_an_hour(
        &app,
        "2026-03-27T00:00+03:00[Asia/Amman]",
        "2026-03-28T00:00+03:00[Asia/Amman]",
    )
    .await;
    assert_eq!(
        buckets(&app, "Asia/Amman", Bucket::Day, "2026-03-27", "2026-03-28").await,
        ["03-27 00:00+03:00 96"]
    );
}

#[tokio::test]
async fn longer_buckets_follow_the_calendar_of_the_zone() {
    let app = app().await;
    every_quarter_of_an_hour(
        &app,
        "2026-02-23T00:00-05:00[America/New_York]",
        "2026-04-02T00:00-04:00[America/New_York]",
    )
    .await;
    let zone = "America/New_York";
    assert_eq!(
        buckets(&app, zone, Bucket::Week, "2026-03-02", "2026-03-16").await,
        ["03-02 00:00-05:00 668", "03-09 00:00-04:00 672"]
    );
    assert_eq!(
        buckets(&app, zone, Bucket::Month, "2026-02-01", "2026-05-01").await,
        [
            "02-01 00:00-05:00 576",
            "03-01 00:00-05:00 2972",
            "04-01 00:00-04:00 96"
        ]
    );
    assert_eq!(
        buckets(&app, zone, Bucket::Quarter, "2026-01-01", "2026-05-01").await,
        ["01-01 00:00-05:00 3548", "04-01 00:00-04:00 96"]
    );
    assert_eq!(
        buckets(&app, zone, Bucket::Year, "2026-01-01", "2027-01-01").await,
        ["01-01 00:00-05:00 3644"]
    );
}

#[tokio::test]
async fn without_a_zone_the_propertys_own_is_used() {
    let app = app().await;
    app.set_time_zone("Asia/Kathmandu").await;
    every_quarter_of_an_hour(
        &app,
        "2026-05-01T00:00+05:45[Asia/Kathmandu]",
        "2026-05-02T00:00+05:45[Asia/Kathmandu]",
    )
    .await;
    let dates = pb::DateInterval {
        since: "2026-05-01".to_owned(),
        until: "2026-05-02".to_owned(),
    };
    let question = AggregateRequest {
        range: Some(pb::TimeRange {
            range: Some(Range::Dates(dates)),
        }),
        ..AggregateRequest::default()
    };
    let answer = app.aggregate(question).await;
    assert_eq!(answer.rows.len(), 1);
    assert_eq!(answer.rows[0].metrics, [96.0]);
    assert_eq!(
        answer.metadata.expect("metadata").time_zone,
        "Asia/Kathmandu"
    );
}
