//! Random events, and random questions about them with the statements that answer these.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use tallymark::pb::filter::Kind;
use tallymark::pb::time_range::Range;
use tallymark::pb::{self, AggregateRequest, Bucket, Operator};
use uuid::Uuid;

/// 2026-03-01T00:00:00Z, and 40 days: New York and Cairo change their clocks in between.
pub const FIRST_SECOND: i64 = 1_772_323_200;
pub const SECONDS: i64 = 40 * 86_400;

const ZONES: [&str; 6] = [
    "UTC",
    "America/New_York",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "Asia/Amman",
    "Pacific/Apia",
];
const PAGES: [&str; 8] = [
    "/",
    "/docs",
    "/docs/a?x=1",
    "https://example.com/pricing",
    "https://www.example.com/",
    "/blog?utm_source=news&utm_medium=email&utm_campaign=may",
    "/blog?utm_source=x",
    "/%20odd",
];
const AGENTS: [&str; 6] = [
    "",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "something else",
];
const REFERRERS: [&str; 5] = [
    "",
    "https://www.google.com/",
    "https://news.ycombinator.com/item?id=1",
    "https://example.com/x",
    "junk",
];
const LABELS: [&str; 4] = ["news", "tech", "été", "a'b"];

/// Dimensions, and the same in `events_readable r`.
const DIMENSIONS: [(&str, &str); 22] = [
    ("name", "r.name"),
    ("page", "r.page"),
    ("host", "r.host"),
    ("query", "r.query"),
    ("title", "r.title"),
    ("referrer", "r.referrer"),
    ("referrer_url", "r.referrer_url"),
    ("channel", "r.channel"),
    ("utm_source", "r.utm_source"),
    ("utm_medium", "r.utm_medium"),
    ("browser", "r.browser"),
    ("browser_version", "r.browser_version"),
    ("os", "r.os"),
    ("device", "r.device"),
    ("is_bot", "r.is_bot::text"),
    ("language", "r.language"),
    ("screen", "r.screen"),
    ("ip_address", "host(r.ip_address)"),
    ("visitor_id", "r.visitor_id"),
    ("user_id", "r.user_id"),
    ("session_id", "r.session_id"),
    ("properties.plan", "r.properties ->> 'plan'"),
];

/// Rollups that are declared, and their dimensions.
pub const DECLARED: [(&str, &[&str]); 4] = [
    ("plans", &["properties.plan", "host"]),
    ("tags", &["tag"]),
    ("tags-by-channel", &["channel", "tag"]),
    ("screens", &["screen", "browser_version", "query"]),
];

const METRICS: [(&str, &str); 11] = [
    ("events", "count(*)"),
    ("page_views", "count(*) filter (where r.name = 'page_view')"),
    ("visitors", "count(distinct r.visitor_id)"),
    ("duration_sum", "coalesce(sum(r.duration_s), 0)"),
    ("duration_mean", "avg(r.duration_s)"),
    ("duration_min", "min(r.duration_s)"),
    ("duration_max", "max(r.duration_s)"),
    (
        "duration_p50",
        "percentile_cont(0.5) within group (order by r.duration_s::float8)",
    ),
    (
        "duration_p90",
        "percentile_cont(0.9) within group (order by r.duration_s::float8)",
    ),
    (
        "duration_p99",
        "percentile_cont(0.99) within group (order by r.duration_s::float8)",
    ),
    ("scroll_depth_mean", "avg(r.scroll_depth)"),
];

fn text<const N: usize>(random: &mut StdRng, from: [&str; N]) -> String {
    (*from.choose(random).expect("not empty")).to_owned()
}

pub fn random_event(random: &mut StdRng) -> pb::Event {
    let micros = random.random_range(0..SECONDS * 1_000_000);
    let labels = |random: &mut StdRng| {
        let count = random.random_range(0..3);
        LABELS
            .iter()
            .sample(random, count)
            .into_iter()
            .map(|label| (*label).to_owned())
            .collect()
    };
    let plan = match random.random_range(0..8) {
        0 => None,
        1 => Some(prost_types::value::Kind::StringValue("pro".to_owned())),
        2 => Some(prost_types::value::Kind::NumberValue(
            *[0.0, 0.5, 1.0, -2.5, 1e22, 1.5e-7, 9_007_199_254_740_993.0]
                .choose(random)
                .expect("not empty"),
        )),
        3 => Some(prost_types::value::Kind::StringValue(text(
            random,
            ["", "été \"x\"", "0"],
        ))),
        4 => Some(prost_types::value::Kind::StructValue(prost_types::Struct {
            fields: [("long key", true), ("a\"", false), ("b", true)]
                .map(|(key, value)| {
                    let kind = Some(prost_types::value::Kind::BoolValue(value));
                    (key.to_owned(), prost_types::Value { kind })
                })
                .into(),
        })),
        5 => Some(prost_types::value::Kind::BoolValue(random.random())),
        _ => Some(prost_types::value::Kind::NullValue(0)),
    };
    pb::Event {
        event_id: Uuid::from_u128(random.random()).to_string(),
        time: Some(prost_types::Timestamp {
            seconds: FIRST_SECOND + micros / 1_000_000,
            nanos: i32::try_from(micros % 1_000_000).expect("small") * 1_000,
        }),
        name: text(random, ["page_view", "page_view", "page_exit", "signup"]),
        visitor_id: format!("v{}", random.random_range(0..60)),
        user_id: text(random, ["", "", "u1", "u2"]),
        session_id: text(random, ["", "s1", "s2"]),
        page: text(random, PAGES),
        title: text(random, ["", "Home", "Docs"]),
        referrer: text(random, REFERRERS),
        user_agent: text(random, AGENTS),
        ip_address: text(
            random,
            ["", "203.0.113.9", "198.51.100.7", "2001:db8:1:2::3"],
        ),
        language: text(random, ["", "en-US,en;q=0.9", "de", "pt-br"]),
        screen: text(random, ["", "1920x1080", "390x844"]),
        duration: random.random_bool(0.6).then(|| prost_types::Duration {
            seconds: random.random_range(0..300),
            nanos: random.random_range(0..1_000) * 1_000_000,
        }),
        scroll_depth: random
            .random_bool(0.5)
            .then(|| f64::from(random.random_range(0..=10_000)) / 100.0),
        categories: labels(random),
        tags: labels(random),
        properties: plan.map(|plan| prost_types::Struct {
            fields: [("plan".to_owned(), prost_types::Value { kind: Some(plan) })].into(),
        }),
        ..pb::Event::default()
    }
}

pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Dimensions with the same in SQL; none stands for any of them, and other conditions too.
type Dimensions<'d> = &'d [(&'static str, &'static str)];

/// A random filter, and the same in SQL that is never null.
fn random_filter(random: &mut StdRng, depth: u32, among: Dimensions<'_>) -> (pb::Filter, String) {
    let kind = if depth == 0 {
        0
    } else {
        random.random_range(0..6)
    };
    match kind {
        1 | 2 => {
            let count = random.random_range(0..4);
            let (filters, sql): (Vec<_>, Vec<_>) = (0..count)
                .map(|_| random_filter(random, depth - 1, among))
                .unzip();
            let list = pb::FilterList { filters };
            match kind {
                1 => (
                    pb::Filter {
                        kind: Some(Kind::All(list)),
                    },
                    join(&sql, " and ", "true"),
                ),
                _ => (
                    pb::Filter {
                        kind: Some(Kind::Any(list)),
                    },
                    join(&sql, " or ", "false"),
                ),
            }
        }
        3 => {
            let (filter, sql) = random_filter(random, depth - 1, among);
            (
                pb::Filter {
                    kind: Some(Kind::Not(Box::new(filter))),
                },
                format!("(not {sql})"),
            )
        }
        _ => random_condition(random, among),
    }
}

fn join(parts: &[String], operator: &str, of_none: &str) -> String {
    match parts {
        [] => of_none.to_owned(),
        parts => format!("({})", parts.join(operator)),
    }
}

fn random_condition(random: &mut StdRng, among: Dimensions<'_>) -> (pb::Filter, String) {
    let filter = |dimension: &str, operator: Operator, values: Vec<String>| {
        let condition = pb::Condition {
            dimension: dimension.to_owned(),
            operator: operator.into(),
            values,
        };
        pb::Filter {
            kind: Some(Kind::Where(condition)),
        }
    };
    let kind = match among {
        [] => random.random_range(0..8),
        // Those that are about a dimension.
        _ => 4,
    };
    match kind {
        0 => {
            let seconds = random.random_range(0..300);
            (
                filter(
                    "duration",
                    Operator::GreaterOrEqual,
                    vec![seconds.to_string()],
                ),
                format!("coalesce(r.duration_s >= {seconds}, false)"),
            )
        }
        1 => (
            filter("scroll_depth", Operator::LessThan, vec!["50.5".to_owned()]),
            "coalesce(r.scroll_depth < 50.5, false)".to_owned(),
        ),
        2 => (
            filter(
                "properties.plan",
                Operator::GreaterThan,
                vec!["0.5".to_owned()],
            ),
            "coalesce(case when jsonb_typeof(r.properties -> 'plan') = 'number' \
             then (r.properties ->> 'plan')::numeric > 0.5 end, false)"
                .to_owned(),
        ),
        3 => {
            let label = text(random, LABELS);
            let sql = format!("coalesce({} = any(r.categories), false)", literal(&label));
            (filter("category", Operator::Equals, vec![label]), sql)
        }
        _ => {
            let dimension = match among {
                [] => DIMENSIONS.choose(random),
                among => among.choose(random),
            };
            let (dimension, column) = *dimension.expect("not empty");
            let known = [
                "/",
                "/docs",
                "Windows",
                "Linux",
                "google.com",
                "page_view",
                "u1",
                "v7",
                "direct",
                "Chrome",
                "email",
                "true",
                "pro",
                "en-US",
                "",
            ];
            let values: Vec<String> = (0..random.random_range(1..4))
                .map(|_| text(random, known))
                .collect();
            let needles: Vec<String> =
                vec![text(random, ["o", "/d", "Win", "1", "v1", "news", "e"])];
            match random.random_range(0..5) {
                0 => (
                    filter(dimension, Operator::IsAbsent, Vec::new()),
                    format!("(coalesce({column}, '') = '')"),
                ),
                1 => {
                    let sql = format!(
                        "coalesce({column} like {} || '%', false)",
                        literal(&needles[0])
                    );
                    (filter(dimension, Operator::StartsWith, needles), sql)
                }
                2 => {
                    let sql = format!(
                        "coalesce(position({} in {column}) > 0, false)",
                        literal(&needles[0])
                    );
                    (filter(dimension, Operator::Contains, needles), sql)
                }
                3 => (
                    filter(
                        dimension,
                        Operator::MatchesRegex,
                        vec!["^.[a-o0-9]".to_owned()],
                    ),
                    format!("coalesce(regexp_like({column}, '^.[a-o0-9]'), false)"),
                ),
                _ => {
                    let list: Vec<String> = values.iter().map(|value| literal(value)).collect();
                    let sql = format!("(coalesce({column}, '') in ({}))", list.join(", "));
                    (filter(dimension, Operator::Equals, values), sql)
                }
            }
        }
    }
}

/// The bucket of `r.time` as local text, by PostgreSQL's own calendar.
pub fn bucket_sql(bucket: Bucket, zone: &str) -> String {
    let local = |unit: &str| {
        format!("to_char(date_trunc('{unit}', r.time at time zone '{zone}'), 'YYYY-MM-DD')")
    };
    match bucket {
        Bucket::WholeRange => "''".to_owned(),
        Bucket::Hour => "to_char(date_trunc('hour', r.time at time zone 'UTC'), 'YYYY-MM-DD HH24:MI')".to_owned(),
        Bucket::FifteenMinutes => {
            "to_char(to_timestamp(floor(extract(epoch from r.time) / 900) * 900) at time zone 'UTC', 'YYYY-MM-DD HH24:MI')".to_owned()
        }
        Bucket::Week => local("week"),
        Bucket::Month => local("month"),
        Bucket::Quarter => local("quarter"),
        Bucket::Year => local("year"),
        _ => local("day"),
    }
}

/// A random question, and the statements that answer it.
pub struct Asked {
    pub question: AggregateRequest,
    pub since: i64,
    pub until: i64,
    /// A row for each bucket and combination of dimension values.
    pub rows: Statement,
    /// All at once.
    pub totals: Statement,
    /// A condition that an event is in none of the rows that `{kept}` lists.
    pub left_out: String,
}

/// A statement without its range.
pub struct Statement(pub String);

impl Statement {
    pub fn between(&self, since: i64, until: i64) -> String {
        self.0
            .replace("{since}", &since.to_string())
            .replace("{until}", &until.to_string())
            .replace("{also}", "true")
    }

    pub fn with(&self, condition: &str) -> Self {
        Self(self.0.replace("{also}", condition))
    }
}

pub fn random_question(random: &mut StdRng) -> Asked {
    let zone = text(random, ZONES);
    let bucket = *[
        Bucket::FifteenMinutes,
        Bucket::Hour,
        Bucket::Day,
        Bucket::Day,
        Bucket::Week,
        Bucket::Month,
        Bucket::Quarter,
        Bucket::Year,
        Bucket::WholeRange,
    ]
    .choose(random)
    .expect("not empty");
    let is_for_rollups = random.random_bool(0.6);
    let mut dimensions = match is_for_rollups {
        false => {
            let count = random.random_range(0..4);
            DIMENSIONS.iter().copied().sample(random, count)
        }
        // What rollups have together.
        true => {
            let together = *[
                &["name"][..],
                &["page", "os"],
                &["browser", "os", "device", "is_bot"],
                &["country", "language"],
                &["channel", "referrer"],
                &["utm_source", "utm_medium"],
                &["properties.plan", "host"],
                &["screen", "browser_version", "query"],
            ]
            .choose(random)
            .expect("not empty");
            let count = random.random_range(0..=together.len());
            let chosen = together.iter().copied().sample(random, count);
            let of_name = |name| DIMENSIONS.iter().find(|(known, _)| *known == name);
            chosen.into_iter().filter_map(of_name).copied().collect()
        }
    };
    let by_tag = random.random_bool(0.15);
    if by_tag {
        dimensions.push(("tag", "one_tag.tag"));
    }
    let count = random.random_range(1..6);
    let metrics = METRICS
        .iter()
        .copied()
        .filter(|(metric, _)| !(is_for_rollups && metric.contains("_p")));
    let metrics = metrics.sample(random, count);
    let since = FIRST_SECOND + random.random_range(-86_400..SECONDS);
    let until = since + random.random_range(1..SECONDS);
    let include_bots = random.random_bool(0.4);
    let (filter, filter_sql) = match random.random_bool(0.7) {
        true => {
            let mut among = match is_for_rollups {
                true => dimensions.clone(),
                false => Vec::new(),
            };
            // A filter on it means something else: events with one such tag.
            among.retain(|(dimension, _)| *dimension != "tag");
            let (filter, sql) = random_filter(random, 3, &among);
            (Some(filter), sql)
        }
        false => (None, "true".to_owned()),
    };

    let tags = if by_tag {
        "left join lateral unnest(r.tags) as one_tag (tag) on true"
    } else {
        ""
    };
    let keys: String = dimensions
        .iter()
        .map(|(_, column)| format!(", coalesce({column}, '')"))
        .collect();
    let group: String = (0..=dimensions.len())
        .map(|place| format!(", {}", place + 1))
        .collect();
    let values: String = metrics
        .iter()
        .map(|(_, metric)| format!(", coalesce(({metric})::float8, 'NaN')"))
        .collect();
    let chosen = format!(
        "r.time >= to_timestamp({{since}}) and r.time < to_timestamp({{until}}) \
         and ({include_bots} or not r.is_bot) and {filter_sql} and {{also}}"
    );
    let rows = format!(
        "select {}{keys}{values} from events_readable r {tags} where {chosen} group by {}",
        bucket_sql(bucket, &zone),
        group.trim_start_matches(", "),
    );
    let totals = format!(
        "select {} from events_readable r where {chosen}",
        values.trim_start_matches(", ")
    );
    let left_out = format!(
        "exists (select from (values (1)) as one (x) {tags} where ({}{keys}) not in (values {{kept}}))",
        bucket_sql(bucket, &zone)
    );
    let names = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let question = AggregateRequest {
        range: Some(pb::TimeRange {
            range: Some(Range::Interval(pb::Interval {
                since: time(since),
                until: time(until),
            })),
        }),
        bucket: bucket.into(),
        dimensions: names(&dimensions),
        metrics: names(&metrics),
        filter,
        include_bots,
        time_zone: zone,
        limit: 100_000,
        totals: true,
        ..AggregateRequest::default()
    };
    Asked {
        question,
        since,
        until,
        rows: Statement(rows),
        totals: Statement(totals),
        left_out,
    }
}
