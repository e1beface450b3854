//! Random questions about random events: every answer equals that of an independent SQL statement on
//! `events_readable`, which works on text, lets PostgreSQL do the time zones and knows nothing of how
//! questions are answered.

mod random;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tallymark::pb::{self, AggregateRequest, Bucket};
use tokio_postgres::Client;

use random::{Asked, DECLARED, Statement, bucket_sql, literal, random_event, random_question};

use crate::support::TestApp;

const EVENTS: usize = 4_000;
const QUESTIONS: usize = 60;
/// The same of a row of the answer.
fn bucket_text(bucket: Bucket, zone: &TimeZone, start: prost_types::Timestamp) -> String {
    let start = Timestamp::new(start.seconds, start.nanos).expect("a time");
    match bucket {
        Bucket::WholeRange => String::new(),
        Bucket::Hour | Bucket::FifteenMinutes => start.strftime("%Y-%m-%d %H:%M").to_string(),
        _ => start
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%d")
            .to_string(),
    }
}

/// Metrics by bucket and dimensions.
type Rows = BTreeMap<Vec<String>, Vec<f64>>;

/// Whether numbers are the same but for the order in which they were computed.
fn same(one: &[f64], other: &[f64]) -> bool {
    let close = |(one, other): (&f64, &f64)| {
        (one.is_nan() && other.is_nan()) || (one - other).abs() <= 1e-9 * one.abs().max(1.0)
    };
    one.len() == other.len() && one.iter().zip(other).all(close)
}

impl Asked {
    fn bucket(&self) -> Bucket {
        self.question.bucket()
    }

    fn zone(&self) -> TimeZone {
        TimeZone::get(&self.question.time_zone).expect("a zone")
    }

    /// What a statement says about a range, by bucket and dimensions.
    async fn rows(&self, client: &Client, since: i64, until: i64) -> Rows {
        let keys = self.question.dimensions.len() + 1;
        let sql = self.rows.between(since, until);
        client
            .query(&sql, &[])
            .await
            .expect("the statement is right")
            .iter()
            .map(|row| {
                let key = (0..keys).map(|place| row.get(place)).collect();
                (key, numbers(row, keys))
            })
            .collect()
    }

    /// The key of a row of the answer.
    fn key(&self, row: &pb::AggregateRow, start: prost_types::Timestamp) -> Vec<String> {
        let mut key = vec![bucket_text(self.bucket(), &self.zone(), start)];
        key.extend(row.dimensions.iter().cloned());
        key
    }
}

fn numbers(row: &tokio_postgres::Row, from: usize) -> Vec<f64> {
    (from..row.len()).map(|place| row.get(place)).collect()
}

/// Asserts that all rows are the same.
#[track_caller]
fn assert_same_rows(answered: &Rows, found: &Rows, asked: &Asked) {
    let differs = |(key, metrics): &(&Vec<String>, &Vec<f64>), in_other: &Rows| {
        !in_other.get(*key).is_some_and(|other| same(metrics, other))
    };
    let missing: Vec<_> = found
        .iter()
        .filter(|row| differs(row, answered))
        .take(5)
        .collect();
    let invented: Vec<_> = answered
        .iter()
        .filter(|row| differs(row, found))
        .take(5)
        .collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "missing {missing:?}, invented {invented:?}\nquestion {:?}\nstatement {}",
        asked.question,
        asked.rows.0
    );
}

/// Asks a random question, and returns where the answer came from.
async fn check(app: &TestApp, client: &Client, random: &mut StdRng) -> String {
    let asked = random_question(random);
    let answer = app.aggregate(asked.question.clone()).await;
    let answered: Rows = answer
        .rows
        .iter()
        .map(|row| {
            let start = row.bucket_start.expect("a bucket");
            (asked.key(row, start), row.metrics.clone())
        })
        .collect();
    assert_eq!(
        answered.len(),
        answer.rows.len(),
        "no row twice: {:?}",
        asked.question
    );
    let found = asked.rows(client, asked.since, asked.until).await;
    assert_same_rows(&answered, &found, &asked);

    let sql = asked.totals.between(asked.since, asked.until);
    let row = client
        .query_one(&sql, &[])
        .await
        .expect("the statement is right");
    let totals = answer.totals.expect("totals").metrics;
    assert!(
        same(&totals, &numbers(&row, 0)),
        "totals {totals:?}, not {:?}\nquestion {:?}\nstatement {sql}",
        numbers(&row, 0),
        asked.question
    );
    match random.random_range(0..3) {
        0 => check_others(app, client, random, &asked, &found).await,
        1 => check_comparison(app, client, &asked, &found).await,
        _ => {}
    }
    answer.metadata.expect("metadata").source
}

/// Asks the same question with a limit: what it leaves out is measured at once.
async fn check_others(
    app: &TestApp,
    client: &Client,
    random: &mut StdRng,
    asked: &Asked,
    found: &Rows,
) {
    let limit = random.random_range(1..=found.len().max(2));
    let question = AggregateRequest {
        limit: i32::try_from(limit).expect("few"),
        others: true,
        totals: false,
        fill_gaps: random.random_bool(0.2)
            && found.len() < 200
            && asked.bucket() != Bucket::FifteenMinutes,
        ..asked.question.clone()
    };
    let answer = app.aggregate(question.clone()).await;
    let kept: Vec<String> = answer
        .rows
        .iter()
        .map(|row| {
            let key = asked.key(row, row.bucket_start.expect("a bucket"));
            let literals: Vec<String> = key.iter().map(|text| literal(text)).collect();
            format!("({})", literals.join(", "))
        })
        .collect();
    // Text, also where there is nothing to compare with.
    let nothing = vec!["null::text"; question.dimensions.len() + 1].join(", ");
    let kept = match kept.is_empty() {
        true => format!("({nothing})"),
        false => kept.join(", "),
    };
    let left_out = asked.left_out.replace("{kept}", &kept);
    let counted = Statement(
        asked
            .totals
            .0
            .replacen("select ", "select count(*)::float8, ", 1),
    );
    let sql = counted.with(&left_out).between(asked.since, asked.until);
    let row = client
        .query_one(&sql, &[])
        .await
        .expect("the statement is right");
    let expected = numbers(&row, 1);
    let is_something = numbers(&row, 0)[0] > 0.0;
    match answer.others {
        Some(others) if is_something => assert!(
            same(&others.metrics, &expected),
            "others {:?}, not {expected:?}\nquestion {question:?}\nstatement {sql}",
            others.metrics
        ),
        None if !is_something => {}
        others => {
            panic!("others {others:?}, not {expected:?}\nquestion {question:?}\nstatement {sql}")
        }
    }
}

/// Place of a bucket among those of a range that begins in the bucket `first`; both as text.
fn place(bucket: Bucket, first: &str, start: &str) -> i64 {
    let months = |text: &str| {
        let date: jiff::civil::Date = text.parse().expect("a date");
        i64::from(date.year()) * 12 + i64::from(date.month())
    };
    let days = |text: &str| {
        let date: jiff::civil::Date = text.parse().expect("a date");
        date.to_zoned(TimeZone::UTC)
            .expect("a time")
            .timestamp()
            .as_second()
            / 86_400
    };
    let minutes = |text: &str| {
        let time: jiff::civil::DateTime = text.parse().expect("a time");
        time.to_zoned(TimeZone::UTC)
            .expect("a time")
            .timestamp()
            .as_second()
            / 60
    };
    match bucket {
        Bucket::WholeRange => 0,
        Bucket::Hour => (minutes(start) - minutes(first)) / 60,
        Bucket::FifteenMinutes => (minutes(start) - minutes(first)) / 15,
        Bucket::Week => (days(start) - days(first)) / 7,
        Bucket::Month => months(start) - months(first),
        Bucket::Quarter => (months(start) - months(first)) / 3,
        Bucket::Year => (months(start) - months(first)) / 12,
        _ => days(start) - days(first),
    }
}

/// Asks the same question compared with the time before: rows belong together by place and dimensions.
async fn check_comparison(app: &TestApp, client: &Client, asked: &Asked, found: &Rows) {
    let question = AggregateRequest {
        compare: pb::Comparison::PreviousPeriod.into(),
        ..asked.question.clone()
    };
    let answer = app.aggregate(question.clone()).await;
    let (since, until) = (asked.since, asked.until);
    // No random second is a midnight, or hardly ever, so that the time before is as long.
    let since_before = since - (until - since);
    let found_before = asked.rows(client, since_before, since).await;

    let bucket = asked.bucket();
    let first_and_last = async |since: i64, until: i64| {
        let sql = format!(
            "select {}, {} from (values (to_timestamp({since}), to_timestamp({until}) - interval '1 us')) r (time, last)",
            bucket_sql(bucket, &question.time_zone),
            bucket_sql(bucket, &question.time_zone).replace("r.time", "r.last"),
        );
        let row = client.query_one(&sql, &[]).await.expect("a row");
        (row.get::<_, String>(0), row.get::<_, String>(1))
    };
    let (first, last) = first_and_last(since, until).await;
    let (first_before, last_before) = first_and_last(since_before, since).await;
    let count = place(bucket, &first, &last) + 1;
    let count_before = place(bucket, &first_before, &last_before) + 1;
    let of_nothing: Vec<f64> = question
        .metrics
        .iter()
        .map(|metric| match metric.as_str() {
            "events" | "page_views" | "visitors" | "duration_sum" => 0.0,
            _ => f64::NAN,
        })
        .collect();
    let nothing = |place: i64, count: i64| match place < count {
        true => of_nothing.clone(),
        false => vec![f64::NAN; of_nothing.len()],
    };
    let by_place = |rows: &Rows, first: &str| -> BTreeMap<(i64, Vec<String>), Vec<f64>> {
        rows.iter()
            .map(|(key, metrics)| {
                let place = place(bucket, first, &key[0]);
                ((place, key[1..].to_vec()), metrics.clone())
            })
            .collect()
    };
    let now = by_place(found, &first);
    let before = by_place(&found_before, &first_before);
    let expected: Rows = now
        .keys()
        .chain(before.keys())
        .map(|key| {
            let of = |rows: &BTreeMap<_, Vec<f64>>, count| {
                rows.get(key)
                    .cloned()
                    .unwrap_or_else(|| nothing(key.0, count))
            };
            let mut words = vec![key.0.to_string()];
            words.extend(key.1.iter().cloned());
            (words, [of(&now, count), of(&before, count_before)].concat())
        })
        .collect();
    let answered: Rows = answer
        .rows
        .iter()
        .map(|row| {
            let (start, first) = match (row.bucket_start, row.bucket_start_before) {
                (Some(start), _) => (start, &first),
                (None, start) => (start.expect("a bucket"), &first_before),
            };
            let mut key = asked.key(row, start);
            key[0] = place(bucket, first, &key[0]).to_string();
            for (now, (before, change)) in row
                .metrics
                .iter()
                .zip(row.metrics_before.iter().zip(&row.change_percent))
            {
                let expected = match *before == 0.0 {
                    true => f64::NAN,
                    false => 100.0 * now / before - 100.0,
                };
                assert!(
                    expected.is_nan() && change.is_nan() || (expected - change).abs() < 1e-6,
                    "{before} to {now} is {change} %"
                );
            }
            (
                key,
                [row.metrics.clone(), row.metrics_before.clone()].concat(),
            )
        })
        .collect();
    assert_eq!(
        answered.len(),
        answer.rows.len(),
        "no row twice: {question:?}"
    );
    assert_same_rows(&answered, &expected, asked);

    let sql = asked.totals.between(since_before, since);
    let row = client.query_one(&sql, &[]).await.expect("totals");
    let totals = answer.totals.expect("totals").metrics_before;
    assert!(
        same(&totals, &numbers(&row, 0)),
        "totals before {totals:?}, not {:?}\nquestion {question:?}\nstatement {sql}",
        numbers(&row, 0)
    );
}

#[tokio::test]
async fn random_questions_about_random_events() {
    // Another seed each time; a failure prints it, and this variable repeats it.
    let seed = std::env::var("TALLYMARK_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("TALLYMARK_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let app = TestApp::start().await;
    app.keep_for_ever().await;
    let mut events = Vec::from_iter((0..EVENTS).map(|_| random_event(&mut random)));
    let client = app.database.client().await;
    let mut from_rollups = 0;
    let mut ask = async |random: &mut StdRng, state: &str| {
        for _ in 0..QUESTIONS {
            let source = check(&app, &client, random).await;
            from_rollups += usize::from(source.starts_with("rollup"));
        }
        println!("{from_rollups} answers from rollups so far: {state}");
    };

    let later = events.split_off(EVENTS / 2);
    app.send_new(events.clone()).await;
    ask(&mut random, "from facts of the last moments").await;
    app.compact().await;
    ask(&mut random, "from segments").await;
    for (name, dimensions) in DECLARED {
        app.declare_rollup(name, dimensions).await;
    }
    app.compact().await;
    ask(&mut random, "from rollups that were declared later").await;
    // Some of it again, and later ones among earlier ones.
    app.send(events.split_off(EVENTS / 4)).await;
    app.send_new(later).await;
    ask(&mut random, "from segments and facts").await;
    app.set_time_zone("America/New_York").await;
    ask(&mut random, "from segments of another zone's days").await;
    app.compact().await;
    ask(&mut random, "from segments of a new zone").await;
    assert!(from_rollups > QUESTIONS, "only {from_rollups} from rollups");
}
