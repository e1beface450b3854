//! Reports about an imported access log: every number equals one computed here from the stored events, one by
//! one, with sets of visitors.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use tallymark::pb::{
    self, AggregateRequest, BreakdownRequest, Bucket, Comparison, OverviewList, OverviewRequest,
};

use crate::import_log::{FIXTURE, Importer, REAL_LOG};
use crate::support::TestApp;
use crate::support::questions::{dates, names};

const DIMENSIONS: [&str; 8] = [
    "page", "referrer", "channel", "country", "browser", "os", "device", "name",
];
/// Few enough that something is left out.
const LIMIT: usize = 5;
/// The days that are asked about, and those before them.
const DAYS: [&str; 2] = ["2015-05-19", "2015-05-20"];
const DAYS_BEFORE: [&str; 2] = ["2015-05-17", "2015-05-18"];

/// A stored event.
struct Stored {
    day: String,
    visitor: String,
    /// In the order of `DIMENSIONS`.
    values: Vec<String>,
}

async fn stored_events(app: &TestApp) -> Vec<Stored> {
    let client = app.database.client().await;
    let sql = format!(
        "select to_char(time at time zone 'UTC', 'YYYY-MM-DD'), visitor_id, {} \
         from events_readable where not is_bot",
        DIMENSIONS
            .map(|name| format!("coalesce({name}, '')"))
            .join(", ")
    );
    let rows = client.query(&sql, &[]).await.expect("events");
    rows.iter()
        .map(|row| Stored {
            day: row.get(0),
            visitor: row.get(1),
            values: (2..row.len()).map(|place| row.get(place)).collect(),
        })
        .collect()
}

/// Visitors and events.
type Numbers = [f64; 2];

fn measure<'e>(events: impl IntoIterator<Item = &'e Stored>) -> Numbers {
    let events: Vec<&Stored> = events.into_iter().collect();
    let visitors: HashSet<&str> = events.iter().map(|event| event.visitor.as_str()).collect();
    [visitors.len() as f64, events.len() as f64]
}

fn on<'e>(events: &'e [Stored], days: &[&str]) -> Vec<&'e Stored> {
    let is_on = |event: &&Stored| days.contains(&event.day.as_str());
    events.iter().filter(is_on).collect()
}

fn percent(part: f64, whole: f64) -> f64 {
    match whole == 0.0 {
        true => f64::NAN,
        false => 100.0 * part / whole,
    }
}

/// A value as it has to be: value, now, shares, before, change, series of visitors.
type Row = (String, Numbers, Numbers, Numbers, Numbers, Vec<f64>);

struct Expected {
    rows: Vec<Row>,
    others: Row,
    totals: Row,
    count: usize,
}

fn row(value: &str, [now, before]: [&[&Stored]; 2], whole: Numbers, has_series: bool) -> Row {
    let [now_numbers, before_numbers] = [now, before].map(|events| measure(events.iter().copied()));
    let both = |of: fn(f64, f64) -> f64, one: Numbers, other: Numbers| {
        [of(one[0], other[0]), of(one[1], other[1])]
    };
    let series = |day: &&str| {
        let of_day = now.iter().copied().filter(|event| event.day == *day);
        measure(of_day)[0]
    };
    (
        value.to_owned(),
        now_numbers,
        both(percent, now_numbers, whole),
        before_numbers,
        both(
            |now, was| percent(now - was, was),
            now_numbers,
            before_numbers,
        ),
        match has_series {
            true => DAYS.iter().map(series).collect(),
            false => Vec::new(),
        },
    )
}

fn expected(events: &[Stored], dimension: usize, has_series: bool) -> Expected {
    let ranges = [on(events, &DAYS), on(events, &DAYS_BEFORE)];
    let whole = measure(ranges[0].iter().copied());
    let values: BTreeSet<&str> = ranges[0]
        .iter()
        .map(|event| event.values[dimension].as_str())
        .collect();
    let chosen = |is_chosen: &dyn Fn(&str) -> bool| {
        [0, 1].map(|range| -> Vec<&Stored> {
            let events = ranges[range].iter().copied();
            events
                .filter(|event| is_chosen(&event.values[dimension]))
                .collect()
        })
    };
    let rows = values.iter().map(|value| {
        let [now, before] = chosen(&|other| other == *value);
        row(value, [&now, &before], whole, has_series)
    });
    let mut rows: Vec<Row> = rows.collect();
    // By visitors, and those of as many by value.
    rows.sort_by(|one, other| other.1[0].total_cmp(&one.1[0]));
    rows.truncate(LIMIT);
    let kept: BTreeSet<String> = rows.iter().map(|row| row.0.clone()).collect();
    let [now, before] = chosen(&|value| !kept.contains(value));
    Expected {
        others: row("", [&now, &before], whole, false),
        totals: row("", [&ranges[0], &ranges[1]], whole, false),
        count: values.len(),
        rows,
    }
}

fn answered(row: &pb::BreakdownRow) -> Row {
    let pair = |numbers: &[f64]| [numbers[0], numbers[1]];
    (
        row.value.clone(),
        pair(&row.metrics),
        pair(&row.share_percent),
        pair(&row.metrics_before),
        pair(&row.change_percent),
        row.series.clone(),
    )
}

#[track_caller]
fn assert_same(answered: &Row, expected: &Row, dimension: &str) {
    let flat = |row: &Row| -> Vec<f64> {
        let pairs = [row.1, row.2, row.3, row.4].concat();
        pairs.into_iter().chain(row.5.iter().copied()).collect()
    };
    let (one, other) = (flat(answered), flat(expected));
    let is_same = one.len() == other.len()
        && one
            .iter()
            .zip(&other)
            .all(|(one, other)| (one.is_nan() && other.is_nan()) || (one - other).abs() < 1e-6);
    assert!(
        answered.0 == expected.0 && is_same,
        "{dimension}: {answered:?}, not {expected:?}"
    );
}

/// Whether a row is about nothing, now and before.
fn is_nothing(row: &Row) -> bool {
    row.1[1] == 0.0 && row.3[1] == 0.0
}

async fn check_breakdowns(app: &TestApp, events: &[Stored]) {
    for (place, dimension) in DIMENSIONS.into_iter().enumerate() {
        let expected = expected(events, place, true);
        let question = BreakdownRequest {
            dimension: dimension.to_owned(),
            range: dates("2015-05-19", "2015-05-21"),
            limit: i32::try_from(LIMIT).expect("few"),
            compare: Comparison::PreviousPeriod.into(),
            series: Bucket::Day.into(),
            others: true,
            ..BreakdownRequest::default()
        };
        let answer = app.query().breakdown(question).await;
        let answer = answer.expect("an answer").into_inner();
        assert_same(
            &answered(&answer.totals.expect("totals")),
            &expected.totals,
            dimension,
        );
        check_values(&answer.rows, answer.others.as_ref(), &expected, dimension);
    }
}

fn check_values(
    rows: &[pb::BreakdownRow],
    others: Option<&pb::BreakdownRow>,
    expected: &Expected,
    dimension: &str,
) {
    assert!(rows.len() >= expected.rows.len(), "{dimension}");
    for (row, expected) in rows.iter().zip(&expected.rows) {
        assert_same(&answered(row), expected, dimension);
    }
    // Where all values of the range fit, those that only the range before has follow, as far as they fit.
    let added: Vec<Row> = rows
        .iter()
        .skip(expected.rows.len())
        .map(answered)
        .collect();
    if expected.count > LIMIT {
        assert!(added.is_empty(), "{dimension}: {added:?}");
    }
    let added_before: f64 = added.iter().map(|row| row.3[1]).sum();
    assert!(
        added.iter().all(|row| row.1 == [0.0, 0.0]),
        "{dimension}: {added:?}"
    );
    let others = others.map(answered);
    match (&others, added.is_empty()) {
        (Some(others), true) => assert_same(others, &expected.others, dimension),
        (None, true) => assert!(is_nothing(&expected.others), "{dimension}"),
        // The events of the range before are either in an added row or among the others.
        (others, false) => {
            let others_before = others.as_ref().map_or(0.0, |row| row.3[1]);
            assert_eq!(
                added_before + others_before,
                expected.others.3[1],
                "{dimension}"
            );
        }
    }
}

async fn check_overview(app: &TestApp, events: &[Stored]) {
    let question = OverviewRequest {
        range: dates("2015-05-19", "2015-05-21"),
        compare: Comparison::PreviousPeriod.into(),
        bucket: Bucket::Day.into(),
        metrics: names(&["visitors", "events"]),
        lists: DIMENSIONS
            .map(|dimension| OverviewList {
                dimension: dimension.to_owned(),
                limit: i32::try_from(LIMIT).expect("few"),
            })
            .to_vec(),
        others: true,
        ..OverviewRequest::default()
    };
    let answer = app.query().overview(question).await;
    let answer = answer.expect("an answer").into_inner();
    let numbers = |days: &[&str]| measure(on(events, days)).to_vec();
    let totals = answer.totals.expect("totals");
    assert_eq!(totals.metrics, numbers(&DAYS));
    assert_eq!(totals.metrics_before, numbers(&DAYS_BEFORE));
    assert_eq!(answer.series.len(), 2);
    for (place, row) in answer.series.iter().enumerate() {
        assert_eq!(row.metrics, numbers(&DAYS[place..=place]));
        assert_eq!(row.metrics_before, numbers(&DAYS_BEFORE[place..=place]));
    }
    for (place, list) in answer.lists.iter().enumerate() {
        let expected = expected(events, place, false);
        check_values(
            &list.rows,
            list.others.as_ref(),
            &expected,
            DIMENSIONS[place],
        );
    }
}

async fn check_aggregate(app: &TestApp, events: &[Stored]) {
    let question = AggregateRequest {
        range: dates("2015-05-19", "2015-05-21"),
        dimensions: names(&["page", "os"]),
        metrics: names(&["visitors", "events"]),
        compare: Comparison::PreviousPeriod.into(),
        limit: 100_000,
        ..AggregateRequest::default()
    };
    let answer = app.aggregate(question).await;
    let grouped = |days: [&str; 2]| {
        let mut groups: BTreeMap<(usize, String, String), Vec<&Stored>> = BTreeMap::new();
        for event in on(events, &days) {
            let place = usize::from(event.day == days[1]);
            let [page, os] = [0, 5].map(|dimension| event.values[dimension].clone());
            groups.entry((place, page, os)).or_default().push(event);
        }
        let measured = groups
            .into_iter()
            .map(|(key, events)| (key, measure(events)));
        measured.collect::<BTreeMap<_, Numbers>>()
    };
    let (now, before) = (grouped(DAYS), grouped(DAYS_BEFORE));
    let keys: BTreeSet<_> = now.keys().chain(before.keys()).cloned().collect();
    assert_eq!(answer.rows.len(), keys.len());
    let first_day = 1_431_993_600; // 2015-05-19T00:00:00Z
    for row in &answer.rows {
        let seconds = row.bucket_start.expect("a bucket").seconds;
        let place = usize::try_from((seconds - first_day) / 86_400).expect("a day");
        let key = (place, row.dimensions[0].clone(), row.dimensions[1].clone());
        let of = |rows: &BTreeMap<_, Numbers>| rows.get(&key).copied().unwrap_or_default().to_vec();
        assert!(keys.contains(&key), "{key:?}");
        assert_eq!(row.metrics, of(&now), "{key:?}");
        assert_eq!(row.metrics_before, of(&before), "{key:?}");
    }
}

async fn check(log: &str) {
    let app = TestApp::start().await;
    app.keep_for_ever().await;
    Importer::of(&app).import(&[log]).await.output();
    let events = stored_events(&app).await;
    assert!(events.len() > 15);
    for compacted in [false, true] {
        if compacted {
            app.compact().await;
        }
        check_breakdowns(&app, &events).await;
        check_overview(&app, &events).await;
        check_aggregate(&app, &events).await;
    }
}

#[tokio::test]
async fn every_report_about_a_log_equals_what_its_events_say() {
    check(FIXTURE).await;
}

#[tokio::test]
async fn every_report_about_a_real_log_equals_what_its_events_say() {
    if Path::new(REAL_LOG).exists() {
        check(REAL_LOG).await;
    }
}
