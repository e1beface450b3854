//! The real program imports access logs into a service; what the service then answers is counted by hand,
//! or by awk.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tallymark::pb;
use tokio::process::Command;

use crate::support::{Ended, TestApp, run, run_with_stdin};

/// A log of 41 lines, with everything odd that a log may have.
pub const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/access.log");
/// Ten thousand lines of a real site. Not part of the repository.
pub const REAL_LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/access.log");

/// Day, page and system of the fixture's page views, and how many; counted by reading it. The fixture's
/// other lines are requests of other methods and statuses, files that pages load, and no requests at all.
const COUNTED: &[(&str, &str, &str, u64)] = &[
    // Two lines that are the same are two requests.
    ("05-17", "/", "Windows", 2),
    ("05-17", "/late", "Linux", 1),
    ("05-17", "/pricing", "Windows", 1),
    ("05-17", "/pricing", "macOS", 1),
    ("05-18", "/a b c", "Windows", 1),
    ("05-18", "/blog", "Android", 2),
    ("05-18", "/blog", "iOS", 1),
    ("05-18", "/blog/", "iOS", 1),
    ("05-18", "/caf%C3%A9", "Windows", 1),
    ("05-18", "/café", "Windows", 2),
    ("05-18", "/double//slash", "iPadOS", 1),
    ("05-18", "/early", "Linux", 1),
    ("05-18", "/leap", "", 1),
    ("05-18", "/pricing", "", 1),
    ("05-18", "/pricing", "macOS", 1),
    ("05-18", "/robots.txt", "", 1),
    ("05-18", "/say/\"hello\"", "Windows", 1),
    ("05-18", "/through", "iPadOS", 1),
    ("05-19", "/extra", "", 1),
    ("05-19", "/last", "Windows", 1),
    ("05-19", "/lower", "", 1),
];
/// Pairs of an address and a user agent.
const VISITORS: u64 = 12;
/// Of `COUNTED`, the crawler's.
const OF_CRAWLERS: u64 = 2;

#[tokio::test]
async fn an_imported_log_is_counted_as_by_hand_and_only_once() {
    let app = TestApp::start().await;
    app.keep_for_ever().await;
    let mut counted: Vec<String> = COUNTED
        .iter()
        .map(|(day, page, os, count)| format!("{day}|{page}|{os}|{count}"))
        .collect();
    counted.sort();
    let total: u64 = COUNTED.iter().map(|row| row.3).sum();

    let imported = Importer::of(&app).import(&[FIXTURE]).await.output();
    assert_eq!(number(&imported, "lines read"), 41);
    assert_eq!(number(&imported, "accepted"), total);
    assert_eq!(number(&imported, "rejected"), 0);
    assert_eq!(rows(&by_day_page_and_os(&app).await), counted);

    // Again, compressed, and from a pipe: the same lines under other names.
    let directory = tempfile::tempdir().expect("a directory");
    let compressed = directory.path().join("other-name.gz");
    let lines = std::fs::read(FIXTURE).expect("the fixture");
    write_gzip(&compressed, &lines);
    let importer = Importer::of(&app);
    for again in [
        importer.import(&[FIXTURE]).await,
        importer
            .import(&[compressed.to_str().expect("UTF-8")])
            .await,
        importer.import_stdin(&lines).await,
    ] {
        let again = again.output();
        assert_eq!(number(&again, "accepted"), 0, "{again}");
        assert_eq!(
            number(&again, "duplicates, stored before"),
            total,
            "{again}"
        );
    }
    let answer = by_day_page_and_os(&app).await;
    assert_eq!(rows(&answer), counted);
    let totals = answer.totals.expect("totals").metrics;
    assert_eq!(totals, [total as f64, VISITORS as f64]);

    let people = question(false);
    let answer = app.aggregate(people).await;
    let totals = answer.totals.expect("totals").metrics;
    assert_eq!(totals[0], (total - OF_CRAWLERS) as f64);
}

#[tokio::test]
async fn a_compressed_log_or_one_from_a_pipe_gives_the_same() {
    let lines = std::fs::read(FIXTURE).expect("the fixture");
    let directory = tempfile::tempdir().expect("a directory");
    let compressed = directory.path().join("access.log.1.gz");
    // Rotated logs are often concatenated: a file of several gzip members.
    let (first, second) = lines.split_at(lines.len() / 2);
    write_gzip(&compressed, first);
    write_gzip(&compressed, second);

    let from_file = TestApp::start().await;
    from_file.keep_for_ever().await;
    let path = compressed.to_str().expect("UTF-8");
    Importer::of(&from_file).import(&[path]).await.output();
    let from_pipe = TestApp::start().await;
    from_pipe.keep_for_ever().await;
    Importer::of(&from_pipe).import_stdin(&lines).await.output();

    let from_file = by_day_page_and_os(&from_file).await;
    let from_pipe = by_day_page_and_os(&from_pipe).await;
    assert_eq!(from_file.rows.len(), COUNTED.len());
    assert_eq!(
        (from_file.rows, from_file.totals),
        (from_pipe.rows, from_pipe.totals)
    );
}

#[tokio::test]
async fn what_cannot_be_imported_is_told() {
    let app = TestApp::start().await;
    // The property keeps events for three months, and these are from 2015.
    let ended = Importer::of(&app).import(&[FIXTURE]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(number(&ended.stdout, "accepted"), 0);
    assert_eq!(number(&ended.stdout, "rejected"), 24);
    assert!(
        ended
            .stdout
            .contains("tallymark property create archive --retention-days 0"),
        "{}",
        ended.stdout
    );

    let importer = Importer::of(&app);
    let refusal = importer.import(&["/nonexistent/access.log"]).await;
    assert!(refusal.refusal(1).contains("/nonexistent/access.log"));
    let wrong_key = Importer {
        key: app.read_key.reveal().to_owned(),
        ..importer
    };
    let refusal = wrong_key.import(&[FIXTURE]).await.refusal(1);
    assert!(refusal.contains("key"), "{refusal}");
    assert!(!refusal.contains(&wrong_key.key), "{refusal}");
}

#[tokio::test]
async fn a_real_log_is_counted_as_awk_counts_it() {
    if !Path::new(REAL_LOG).exists() {
        return;
    }
    let by_awk = count_with_awk(REAL_LOG).await;
    let total: u64 = by_awk.values().sum();
    assert!(total > 4_000, "{total}");

    let app = TestApp::start().await;
    app.keep_for_ever().await;
    let importer = Importer::of(&app);
    let imported = importer.import(&[REAL_LOG]).await.output();
    assert_eq!(number(&imported, "accepted"), total, "{imported}");
    let again = importer.import(&[REAL_LOG]).await.output();
    assert_eq!(number(&again, "accepted"), 0, "{again}");
    assert_eq!(
        number(&again, "duplicates, stored before"),
        total,
        "{again}"
    );

    let by_page = pb::AggregateRequest {
        bucket: pb::Bucket::WholeRange.into(),
        dimensions: vec!["page".to_owned()],
        metrics: vec!["page_views".to_owned()],
        ..question(true)
    };
    let answer = app.aggregate(by_page).await;
    let counted: BTreeMap<String, u64> = answer
        .rows
        .iter()
        .map(|row| (row.dimensions[0].clone(), row.metrics[0] as u64))
        .collect();
    let differing: Vec<_> = by_awk
        .iter()
        .filter(|(page, count)| counted.get(*page) != Some(count))
        .collect();
    assert!(differing.is_empty(), "{differing:?}");
    assert_eq!(counted.len(), by_awk.len());

    let answer = by_day_page_and_os(&app).await;
    let sum: f64 = answer.rows.iter().map(|row| row.metrics[0]).sum();
    assert_eq!(sum, total as f64);
    assert_eq!(answer.totals.expect("totals").metrics[0], total as f64);
}

/// Page views by path: GET, 2xx or 304, and no file that pages load.
async fn count_with_awk(log: &str) -> BTreeMap<String, u64> {
    const PROGRAM: &str = r#"
        NF >= 7 {
            split($2, request, " ")
            split($3, reply, " ")
            if (request[1] != "GET") next
            if (reply[1] !~ /^2[0-9][0-9]$/ && reply[1] != 304) next
            page = request[2]
            sub(/[?#].*/, "", page)
            file = page
            sub(/.*\//, "", file)
            if (tolower(file) ~ /\.(css|js|mjs|map|png|jpe?g|gif|svg|ico|webp|avif|woff2?|ttf|otf|eot|mp[34]|webm|og[agv])$/) next
            sub(/^\/+/, "/", page)
            count[page]++
        }
        END { for (page in count) print count[page], page }
    "#;
    let output = Command::new("awk")
        .args(["-F", "\"", PROGRAM, log])
        .output()
        .await
        .expect("awk");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines()
        .filter_map(|line| {
            let (count, page) = line.split_once(' ')?;
            Some((page.to_owned(), count.parse().ok()?))
        })
        .collect()
}

/// `tallymark import` into a service.
pub struct Importer {
    address: String,
    key: String,
}

impl Importer {
    /// Into `default` of this service.
    pub fn of(app: &TestApp) -> Self {
        Self {
            address: app.address.to_string(),
            key: app.write_key.reveal().to_owned(),
        }
    }

    /// Imports files.
    pub async fn import(&self, files: &[&str]) -> Ended {
        run(&[&["import"], files].concat(), &self.variables()).await
    }

    async fn import_stdin(&self, lines: &[u8]) -> Ended {
        run_with_stdin(&["import", "-"], &self.variables(), lines).await
    }

    fn variables(&self) -> [(&str, &str); 2] {
        [
            ("TALLYMARK_ADDRESS", &self.address),
            ("TALLYMARK_KEY", &self.key),
        ]
    }
}

/// Appends a gzip member.
fn write_gzip(path: &Path, bytes: &[u8]) {
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path);
    let mut encoder = GzEncoder::new(file.expect("a file"), Compression::default());
    encoder.write_all(bytes).expect("a compressed file");
    encoder.finish().expect("a compressed file");
}

fn question(include_bots: bool) -> pb::AggregateRequest {
    pb::AggregateRequest {
        range: Some(pb::TimeRange {
            range: Some(pb::time_range::Range::Dates(pb::DateInterval {
                since: "2015-05-01".to_owned(),
                until: "2015-06-01".to_owned(),
            })),
        }),
        bucket: pb::Bucket::Day.into(),
        dimensions: vec!["page".to_owned(), "os".to_owned()],
        metrics: vec!["events".to_owned(), "visitors".to_owned()],
        include_bots,
        limit: 100_000,
        totals: true,
        ..pb::AggregateRequest::default()
    }
}

async fn by_day_page_and_os(app: &TestApp) -> pb::AggregateResponse {
    let ordered = ["bucket", "page", "os"].map(|key| pb::OrderBy {
        key: key.to_owned(),
        descending: false,
    });
    app.aggregate(pb::AggregateRequest {
        order_by: ordered.into(),
        ..question(true)
    })
    .await
}

/// `day|page|os|count`, in order.
fn rows(answer: &pb::AggregateResponse) -> Vec<String> {
    let mut rows: Vec<String> = answer
        .rows
        .iter()
        .map(|row| {
            let start = row.bucket_start.expect("a bucket");
            let start = jiff::Timestamp::from_second(start.seconds).expect("a time");
            format!(
                "{}|{}|{}",
                start.strftime("%m-%d"),
                row.dimensions.join("|"),
                row.metrics[0]
            )
        })
        .collect();
    rows.sort();
    rows
}

/// A number of the summary: `  accepted   1,234`.
fn number(summary: &str, label: &str) -> u64 {
    let line = summary
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(label))
        .unwrap_or_else(|| panic!("no `{label}` in {summary}"));
    line.trim().replace(',', "").parse().expect("a number")
}
