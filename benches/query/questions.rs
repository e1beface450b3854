//! The questions, each in three languages: a call of the service, DuckDB's SQL, and SQL on the raw hypertable.

use jiff::ToSpan;
use jiff::civil::Date;
use tallymark::pb;
use tallymark::pb::filter::Kind;
use tallymark::pb::{AggregateRequest, Bucket};

use super::events::{DAYS, end_day};

/// Most rows of an answer: day × page × os has 30,000.
const MAX_ROWS: i32 = 100_000;
const TOP: i32 = 10;
/// What an overview's lists are about.
const LISTS: [&str; 7] = [
    "page", "referrer", "channel", "country", "browser", "os", "device",
];

/// A question in all three languages. An answer is one table or several, in the same order in each.
pub struct Question {
    /// What the report calls it.
    pub name: String,
    /// What the service is asked, one call after the other.
    pub calls: Vec<Call>,
    /// What DuckDB and PostgreSQL are asked, one table after the other.
    pub tables: Vec<TableSql>,
}

/// A call of the service, which answers with one table or several.
pub enum Call {
    /// One table.
    Aggregate(AggregateRequest),
}

/// A table of an answer: bucket, dimensions, metrics.
pub struct TableSql {
    /// How many columns are dimensions.
    pub dimensions: usize,
    /// For DuckDB, with the range in it.
    pub duckdb: String,
    /// For PostgreSQL, with the range as `$1` and `$2`.
    pub plain: String,
    /// The range.
    pub range: Range,
}

/// Days, half-open, in UTC.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// First day.
    pub since: Date,
    /// Day after the last.
    pub until: Date,
}

impl Range {
    /// The range of so many days that ends where this one begins.
    fn before(self, days: u32) -> Self {
        Self {
            since: minus_days(self.since, days),
            until: self.since,
        }
    }
}

fn minus_days(day: Date, days: u32) -> Date {
    day.saturating_sub(i64::from(days).days())
}

/// A table by the files of its name, in both languages.
macro_rules! table {
    ($name:literal, $range:expr, $dimensions:expr) => {
        TableSql {
            dimensions: $dimensions,
            duckdb: in_duckdb(include_str!(concat!("sql/duckdb/", $name, ".sql")), $range),
            plain: include_str!(concat!("sql/plain/", $name, ".sql")).to_owned(),
            range: $range,
        }
    };
}
/// All questions about the events that begin on a day.
pub fn all(first_day: Date) -> Vec<Question> {
    let until = end_day(first_day);
    let last = |days| Range {
        since: minus_days(until, days),
        until,
    };
    let month = last(DAYS);
    let half = last(DAYS / 2);
    let by_day_page_os = |metrics: &[&str]| aggregate(month, Bucket::Day, &["page", "os"], metrics);
    vec![
        question(
            "day × page × os: events, mean duration",
            by_day_page_os(&["events", "duration_mean"]),
            table!("day_page_os", month, 2),
        ),
        question(
            "the same and visitors",
            by_day_page_os(&["events", "duration_mean", "visitors"]),
            table!("day_page_os_visitors", month, 2),
        ),
        question(
            "visitors by day",
            aggregate(month, Bucket::Day, &[], &["visitors"]),
            table!("day_visitors", month, 0),
        ),
        question(
            "top 10 pages by visitors",
            top_list(month, "page"),
            top_table(month, "page"),
        ),
        question(
            "events by hour, 7 days",
            aggregate(last(7), Bucket::Hour, &[], &["events"]),
            table!("hour_events", last(7), 0),
        ),
        question(
            "events by day, pages of /blog/",
            only(
                aggregate(month, Bucket::Day, &[], &["events"]),
                "page",
                pb::Operator::StartsWith,
                "/blog/",
            ),
            table!("day_events_of_pages", month, 0),
        ),
        question(
            "events by day, properties.plan = pro",
            of_plan(month),
            table!("day_events_of_plan", month, 0),
        ),
        question(
            "the same, DuckDB with a column for it",
            of_plan(month),
            TableSql {
                duckdb: in_duckdb(
                    include_str!("sql/duckdb/day_events_of_plan_column.sql"),
                    month,
                ),
                ..table!("day_events_of_plan", month, 0)
            },
        ),
        overview("overview, 30 days (none before)", month, month.before(DAYS)),
        overview(
            "overview, 15 days and the 15 before",
            half,
            half.before(DAYS / 2),
        ),
    ]
}

fn in_duckdb(sql: &str, range: Range) -> String {
    sql.replace("{since}", &format!("timestamp '{}'", range.since))
        .replace("{until}", &format!("timestamp '{}'", range.until))
}

fn question(name: &str, request: AggregateRequest, table: TableSql) -> Question {
    Question {
        name: name.to_owned(),
        calls: vec![Call::Aggregate(request)],
        tables: vec![table],
    }
}

/// The only place where requests are made: what all of them have in common belongs here.
fn aggregate(
    range: Range,
    bucket: Bucket,
    dimensions: &[&str],
    metrics: &[&str],
) -> AggregateRequest {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let dates = pb::DateInterval {
        since: range.since.to_string(),
        until: range.until.to_string(),
    };
    AggregateRequest {
        range: Some(pb::TimeRange {
            range: Some(pb::time_range::Range::Dates(dates)),
        }),
        bucket: bucket.into(),
        dimensions: names(dimensions),
        metrics: names(metrics),
        limit: MAX_ROWS,
        ..AggregateRequest::default()
    }
}

fn only(
    request: AggregateRequest,
    dimension: &str,
    operator: pb::Operator,
    value: &str,
) -> AggregateRequest {
    let condition = pb::Condition {
        dimension: dimension.to_owned(),
        operator: operator.into(),
        values: vec![value.to_owned()],
    };
    AggregateRequest {
        filter: Some(pb::Filter {
            kind: Some(Kind::Where(condition)),
        }),
        ..request
    }
}

fn of_plan(range: Range) -> AggregateRequest {
    let by_day = aggregate(range, Bucket::Day, &[], &["events"]);
    only(by_day, "properties.plan", pb::Operator::Equals, "pro")
}

fn top_list(range: Range, dimension: &str) -> AggregateRequest {
    AggregateRequest {
        limit: TOP,
        ..aggregate(range, Bucket::WholeRange, &[dimension], &["visitors"])
    }
}

fn top_table(range: Range, dimension: &str) -> TableSql {
    let (text, join) = match dimension {
        "page" => ("path", "left join paths using (path_no)"),
        "referrer" => ("referrer", "left join referrers using (referrer_no)"),
        "country" => ("country", "left join countries using (country_no)"),
        "channel" => (
            "(array['direct', 'search', 'social', 'email', 'campaign', 'referral'])[channel]",
            "",
        ),
        // What is read off the User-Agent header has the dimension's name.
        of_agent => (of_agent, "left join agents using (agent_no)"),
    };
    TableSql {
        dimensions: 1,
        duckdb: in_duckdb(include_str!("sql/duckdb/top.sql"), range)
            .replace("{dimension}", dimension),
        plain: include_str!("sql/plain/top.sql")
            .replace("{text}", text)
            .replace("{join}", join),
        range,
    }
}

/// What a dashboard's first screen shows: numbers and curves of two ranges, and lists of the first.
fn overview(name: &str, range: Range, before: Range) -> Question {
    let metrics = ["visitors", "events", "page_views", "duration_mean"];
    let mut calls = Vec::new();
    let mut tables = Vec::new();
    for range in [range, before] {
        calls.push(aggregate(range, Bucket::WholeRange, &[], &metrics));
        tables.push(table!("totals", range, 0));
        calls.push(aggregate(
            range,
            Bucket::Day,
            &[],
            &["visitors", "page_views"],
        ));
        tables.push(table!("series", range, 0));
    }
    for dimension in LISTS {
        calls.push(top_list(range, dimension));
        tables.push(top_table(range, dimension));
    }
    Question {
        name: name.to_owned(),
        calls: calls.into_iter().map(Call::Aggregate).collect(),
        tables,
    }
}
