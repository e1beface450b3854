//! GET /metrics: what the service counts, for Prometheus.
//!
//! Other services of this process count into the same recorder, so figures are compared with those of
//! before, and only grow by at least what this test does.

use tallymark::pb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{TestApp, page_view};

async fn app() -> TestApp {
    TestApp::start_with(&[("TALLYMARK_METRICS_LISTEN", "127.0.0.1:0")]).await
}

/// The answer to a request with this first line: head and body.
async fn ask(app: &TestApp, request_line: &str) -> (String, String) {
    let address = app.metrics_address.expect("it shows metrics");
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    let request = format!("{request_line} HTTP/1.1\r\nhost: metrics\r\n\r\n");
    connection
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut answer = String::new();
    connection
        .read_to_string(&mut answer)
        .await
        .expect("it answers and closes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (head.to_owned(), body.to_owned())
}

/// The figure of a line that starts so; 0 when there is none yet.
async fn figure(app: &TestApp, start: &str) -> f64 {
    let (_, page) = ask(app, "GET /metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix(start));
    line.map_or(0.0, |value| value.trim().parse().expect("a number"))
}

#[tokio::test]
async fn events_are_counted_by_what_became_of_them() {
    let app = app().await;
    let verdict = |name: &str| format!("tallymark_events_total{{verdict=\"{name}\"}}");
    let field = "tallymark_violations_total{field=\"tags\"}";
    let before = [
        figure(&app, &verdict("accepted")).await,
        figure(&app, &verdict("duplicate")).await,
        figure(&app, &verdict("rejected")).await,
        figure(&app, field).await,
        figure(&app, "tallymark_batch_events_count").await,
    ];
    let good = page_view("ada", "/");
    let bad = pb::Event {
        tags: vec![String::new()],
        ..page_view("bob", "/")
    };
    let summary = app.send(vec![good.clone(), good, bad]).await;
    assert_eq!(
        (summary.accepted, summary.duplicates, summary.rejected),
        (1, 1, 1)
    );

    let after = [
        figure(&app, &verdict("accepted")).await,
        figure(&app, &verdict("duplicate")).await,
        figure(&app, &verdict("rejected")).await,
        figure(&app, field).await,
        figure(&app, "tallymark_batch_events_count").await,
    ];
    for (before, after) in before.iter().zip(after) {
        assert!(after >= before + 1.0, "{before} → {after}");
    }
}

#[tokio::test]
async fn the_page_is_what_prometheus_reads_and_there_is_no_other() {
    let app = app().await;
    app.send_new(vec![page_view("ada", "/")]).await;
    let (head, page) = ask(&app, "GET /metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    for name in [
        "# TYPE tallymark_events_total counter",
        "# TYPE tallymark_commit_lag_seconds histogram",
        "tallymark_batch_seconds_bucket{le=\"0.005\"}",
        "tallymark_log_queue_bytes",
        "tallymark_log_oldest_seconds",
        "tallymark_loaded_events_total{outcome=\"stored\"}",
        "tallymark_receiving_bytes",
        "tallymark_result_cache_bytes",
        "tallymark_watchers",
        "tallymark_connections{pool=\"service\",state=\"idle\"}",
    ] {
        assert!(page.contains(name), "no {name} in:\n{page}");
    }
    // That of this test, at least.
    assert!(figure(&app, "tallymark_grpc_connections").await >= 1.0);
    for request_line in ["GET /", "POST /metrics", "GET /metrics/../etc"] {
        let (head, _) = ask(&app, request_line).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{request_line}: {head}");
    }
}
