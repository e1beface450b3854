use std::io::Write as _;

use clap::Parser as _;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::args::parse_origin;
use super::convert::SkipReason;
use super::send::tests::{Behaviour, FakeServer};
use super::*;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    import: ImportArgs,
}

fn args(arguments: &[&str]) -> ImportArgs {
    Command::try_parse_from([&["import"], arguments].concat())
        .expect("arguments")
        .import
}

fn log_of(year: u16) -> Vec<u8> {
    let mut log = Vec::new();
    for number in 0..3000 {
        let (minute, file) = (number / 60 % 60, ["a", "b.css", "c?d=e"][number % 3]);
        let _ = writeln!(
            log,
            "203.0.113.{} - - [17/May/{year}:10:{minute:02}:03 +0000] \"GET /{file} HTTP/1.1\" 200 5 \
             \"-\" \"Mozilla/5.0\"",
            number % 7,
        );
    }
    log.extend_from_slice(b"not a line\n");
    log
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> String {
    let path = directory.join(name);
    std::fs::write(&path, bytes).expect("write");
    path.to_str().expect("path").to_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("write");
    encoder.finish().expect("finish")
}

#[tokio::test]
async fn importing_again_adds_nothing() {
    let directory = tempfile::tempdir().expect("directory");
    let log = log_of(2026);
    let plain = write(directory.path(), "access.log", &log);
    let packed = write(directory.path(), "access.log.gz", &gzip(&log));
    let server = FakeServer::planning(&[Behaviour::StoreOneMessageThenFail]);
    let address = server.start().await;

    let report = import(&args(&[
        "--address",
        &address,
        "--batch-size",
        "300",
        &plain,
    ]))
    .await;
    let report = report.expect("first import");
    let outcome = report.outcome.expect("outcome");
    assert_eq!((report.tally.lines, report.tally.events), (3001, 2000));
    assert_eq!(report.tally.skipped(SkipReason::Static), 1000);
    assert_eq!(report.tally.skipped(SkipReason::Malformed), 1);
    assert_eq!(
        (outcome.sent, outcome.accepted, outcome.duplicates),
        (2000, 1700, 300)
    );
    assert_eq!(
        server.stored_count(),
        2000,
        "identical lines are events of their own"
    );

    let report = import(&args(&["--address", &address, &packed]))
        .await
        .expect("second import");
    let outcome = report.outcome.expect("outcome");
    assert_eq!(
        (outcome.sent, outcome.accepted, outcome.duplicates),
        (2000, 0, 2000)
    );
    assert_eq!(server.stored_count(), 2000);
}

#[tokio::test]
async fn says_what_to_do_about_events_that_are_too_old() {
    let directory = tempfile::tempdir().expect("directory");
    let path = write(directory.path(), "access.log", &log_of(2015));
    let address = FakeServer::default().start().await;
    let args = args(&["--address", &address, &path]);
    let report = import(&args).await.expect("import");
    assert!(!report.is_complete());
    let text = report.summary(&args.files);
    for wanted in [
        "property create archive --retention-days 0",
        "access.log:1: time: refused",
        "access.log:3001: malformed",
    ] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
}

#[tokio::test]
async fn a_dry_run_needs_no_server() {
    let directory = tempfile::tempdir().expect("directory");
    let path = write(directory.path(), "access.log", &log_of(2015));
    let args = args(&["--dry-run", "--address", "127.0.0.1:1", &path]);
    let report = import(&args).await.expect("import");
    assert!(report.is_complete());
    let text = report.summary(&args.files);
    let found = text.lines().find(|line| line.contains("nothing was sent"));
    assert!(found.is_some_and(|line| line.ends_with(" 2,000")), "{text}");
}

#[tokio::test]
async fn a_file_that_ends_early_is_sent_as_far_as_it_goes() {
    let directory = tempfile::tempdir().expect("directory");
    let packed = gzip(&log_of(2026));
    let cut = write(directory.path(), "cut.gz", &packed[..packed.len() - 9]);
    let server = FakeServer::default();
    let address = server.start().await;
    let report = import(&args(&["--address", &address, &cut]))
        .await
        .expect("import");
    assert!(!report.is_complete());
    let error = format!("{:#}", report.read_error.expect("cut"));
    assert!(error.contains("cut.gz after line"), "{error}");
    let outcome = report.outcome.expect("outcome");
    assert_eq!(outcome.accepted, report.tally.events);
    assert!(outcome.accepted > 0);

    let report = import(&args(&["--address", &address, "/nowhere/access.log"])).await;
    assert!(!report.expect("report").is_complete());
}

#[tokio::test]
async fn sending_that_fails_stops_the_reading() {
    let directory = tempfile::tempdir().expect("directory");
    let path = write(directory.path(), "access.log", &log_of(2026));
    let server = FakeServer::planning(&[Behaviour::KeyInvalid]);
    let address = server.start().await;
    let args = args(&["--address", &address, "--batch-size", "10", &path, &path]);
    let report = import(&args).await.expect("import");
    assert!(report.outcome.expect("outcome").error.is_some());
    assert!(report.read_error.is_none());
    assert_eq!(
        run(args).await.expect("run"),
        ExitCode::SUCCESS,
        "the next attempt succeeds"
    );
}

#[test]
fn arguments() {
    let parsed = args(&["--host", "Example.COM", "--methods", "GET,HEAD", "-"]);
    assert_eq!(
        parsed.access_log.host.as_deref(),
        Some("https://example.com")
    );
    assert_eq!(parsed.access_log.methods, ["GET", "HEAD"]);
    assert_eq!(
        parse_origin("http://a.example:8080").as_deref(),
        Ok("http://a.example:8080")
    );
    for wrong in [
        &["--host", "a/b", "-"][..],
        &["--host", "ftp://a", "-"],
        &["--status", "abc", "-"],
        &["--batch-size", "0", "-"],
        &["--format", "xml", "-"],
        &[],
    ] {
        let result = Command::try_parse_from([&["import"], wrong].concat());
        assert!(result.is_err(), "{wrong:?}");
    }
}
