//! Named ranges, over the wire: where they begin and end now.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, Zoned};
use tallymark::pb::{AggregateRequest, Bucket};

use crate::support::TestApp;
use crate::support::questions::{relative, time};

/// Start and end of a range that is asked for in a zone, and the time just before and after.
async fn asked(app: &TestApp, name: &str, zone: &str) -> (Timestamp, Timestamp, [Zoned; 2]) {
    let now = || Timestamp::now().in_tz(zone).expect("a zone");
    let before = now();
    let answer = app
        .aggregate(AggregateRequest {
            range: relative(name),
            bucket: Bucket::WholeRange.into(),
            time_zone: zone.to_owned(),
            ..AggregateRequest::default()
        })
        .await;
    let metadata = answer.metadata.expect("metadata");
    let [since, until] =
        [metadata.since, metadata.until].map(|at| time(at).parse().expect("a time"));
    (since, until, [before, now()])
}

#[tokio::test]
async fn named_ranges_begin_at_their_dates_in_the_zone() {
    let app = TestApp::start().await;
    let zone = "Asia/Kathmandu";
    let quarter = |date: Date| {
        let month = (date.month() - 1) / 3 * 3 + 1;
        Date::new(date.year(), month, 1).expect("a date")
    };
    let monday = |date: Date| {
        date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
            .expect("a date")
    };
    // The first day, and the day after the last; none for up to now.
    type Days<'d> = &'d dyn Fn(Date) -> (Date, Option<Date>);
    let ranges: [(&str, Days<'_>); 12] = [
        ("last_1_quarters", &|today| (quarter(today), None)),
        ("last_3_quarters", &|today| {
            (quarter(today) - 6.months(), None)
        }),
        ("last_1_years", &|today| (today.first_of_year(), None)),
        ("last_2_years", &|today| {
            (today.first_of_year() - 1.year(), None)
        }),
        ("previous_7_days", &|today| (today - 7.days(), Some(today))),
        ("previous_1_days", &|today| (today - 1.day(), Some(today))),
        ("previous_2_weeks", &|today| {
            (monday(today) - 2.weeks(), Some(monday(today)))
        }),
        ("previous_6_months", &|today| {
            (
                today.first_of_month() - 6.months(),
                Some(today.first_of_month()),
            )
        }),
        ("previous_2_quarters", &|today| {
            (quarter(today) - 6.months(), Some(quarter(today)))
        }),
        ("previous_3_years", &|today| {
            (
                today.first_of_year() - 3.years(),
                Some(today.first_of_year()),
            )
        }),
        ("previous_month", &|today| {
            (
                today.first_of_month() - 1.month(),
                Some(today.first_of_month()),
            )
        }),
        ("last_30_days", &|today| (today - 29.days(), None)),
    ];
    for (name, days) in ranges {
        let (since, until, now) = asked(&app, name, zone).await;
        let start = |date: Date| date.in_tz(zone).expect("a zone").timestamp();
        // Midnight may come between.
        let fits = now.iter().any(|at| {
            let (first, after) = days(at.date());
            let ends = match after {
                Some(after) => until == start(after),
                None => {
                    now[0].timestamp() - 1.microsecond() <= until && until <= now[1].timestamp()
                }
            };
            since == start(first) && ends
        });
        assert!(fits, "{name}: {since} to {until} at {}", now[0]);
    }
    let (since, until, now) = asked(&app, "all_time", zone).await;
    assert_eq!(since.to_string(), "2000-01-01T00:00:00Z");
    assert!(until <= now[1].timestamp() && until >= now[0].timestamp() - 1.microsecond());
}
