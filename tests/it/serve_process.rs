//! The real program as a process: it starts, serves, is killed and told to stop, on its own database.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tallymark::pb::query_service_client::QueryServiceClient;
use tallymark::store::embedded::running_database_url;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::support::{ServerProcess, committed, committed_batch, data_dir, page_view, run};

#[tokio::test]
async fn events_survive_restarts_in_order_and_by_force() {
    let dir = data_dir();
    let mut server = ServerProcess::start_in(dir.path());
    let channel = server.serving().await;
    let first = page_view("ada", "/first");
    send(&channel, vec![first.clone()]).await;
    let log = server.stop().await;
    assert!(log.contains("asked to stop signal=\"SIGTERM\""), "{log}");
    assert!(log.contains("stopped"), "{log}");
    assert_eq!(running_database_url(dir.path()), None);

    // By force: nobody tells the database, which runs on by itself.
    let mut server = ServerProcess::start_in(dir.path());
    let channel = server.serving().await;
    assert_eq!(pages(&channel).await, ["/first 1"]);
    let second: Vec<pb::Event> = (0..500).map(|_| page_view("ada", "/second")).collect();
    send(&channel, second.clone()).await;
    server.signal(Signal::KILL);
    server.end().await;

    let mut server = ServerProcess::start_in(dir.path());
    let channel = server.serving().await;
    assert_eq!(pages(&channel).await, ["/first 1", "/second 500"]);
    // A sender that never saw the acknowledgements sends everything again.
    let again: Vec<pb::Event> = second.into_iter().chain([first]).collect();
    let messages = [committed_batch(again)];
    let summary = IngestServiceClient::new(channel.clone())
        .stream_events(tokio_stream::iter(messages))
        .await
        .expect("the stream ends OK")
        .into_inner();
    assert_eq!((summary.accepted, summary.duplicates), (0, 501));
    assert_eq!(pages(&channel).await, ["/first 1", "/second 500"]);
    server.stop().await;
}

#[tokio::test]
async fn sigint_stops_it_while_calls_are_open() {
    let dir = data_dir();
    let mut server = ServerProcess::start_in(dir.path());
    let channel = server.serving().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut client = IngestServiceClient::new(channel);
    let stream = tokio::spawn(async move {
        let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
        client.stream_events(messages).await
    });
    let events = vec![page_view("ada", "/"), page_view("bob", "/")];
    let message = committed_batch(events);
    sender.send(message).await.expect("the stream is open");
    // Taken from the channel by the stream; what it does with it is its own affair.
    let _slot = sender.reserve().await.expect("the stream is open");

    let asked = Instant::now();
    server.signal(Signal::INT);
    let (status, log) = server.end().await;
    assert!(status.success(), "{log}");
    // The drain has ten seconds, the workers five, and neither is needed in full.
    assert!(asked.elapsed() < Duration::from_secs(25), "{log}");
    assert!(!log.contains("cut off"), "{log}");
    let ended = stream.await.expect("no panic");
    match ended {
        // Told how far it got …
        Ok(summary) => assert!(summary.into_inner().received <= 2),
        // … or to try another server.
        Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
    }
    assert_eq!(running_database_url(dir.path()), None);
}

#[tokio::test]
async fn it_can_be_stopped_before_it_is_ready() {
    let dir = data_dir();
    let mut server = ServerProcess::start_in(dir.path());
    server.says("creating the database").await;
    server.stop().await;
    assert_eq!(running_database_url(dir.path()), None);
    // What was begun does not stand in the way.
    let mut server = ServerProcess::start_in(dir.path());
    server.serving().await;
    server.stop().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let dir = data_dir();
    let mut server = ServerProcess::start_in(dir.path());
    let channel = server.serving().await;
    let refusal = ServerProcess::start_in(dir.path()).refusal(1).await;
    assert!(
        refusal.contains("tallymark: the event log in") && refusal.contains("is in use"),
        "{refusal}"
    );
    // The first one did not notice.
    send(&channel, vec![page_view("ada", "/")]).await;
    assert_eq!(server.health().await, ServingStatus::Serving);
    server.stop().await;
}

#[tokio::test]
async fn it_ends_when_its_database_dies() {
    let dir = data_dir();
    let mut server = ServerProcess::start_in(dir.path());
    server.serving().await;
    let postmaster = std::fs::read_to_string(dir.path().join("postgres/postmaster.pid"));
    let postmaster = postmaster.expect("a process id");
    let pid = postmaster.lines().next().and_then(|line| line.parse().ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, Signal::KILL).expect("it runs");
    let log = server.refusal(1).await;
    assert!(
        log.contains("tallymark: PostgreSQL stopped unasked"),
        "{log}"
    );
}

#[tokio::test]
async fn keys_and_properties_are_managed_beside_a_server_and_without_one() {
    let dir = data_dir();
    let directory = dir.path().to_str().expect("UTF-8");
    let variables = [("TALLYMARK_DATA_DIR", directory)];

    // Without a server: the commands start the database themselves.
    run(
        &[
            "property",
            "create",
            "shop",
            "--time-zone",
            "Asia/Kathmandu",
        ],
        &variables,
    )
    .await
    .output();
    let create = ["key", "create", "--kind", "write", "--property", "shop"];
    let before = run(&create, &variables).await.output();
    assert_eq!(running_database_url(dir.path()), None);

    let mut server = ServerProcess::start(&variables);
    let channel = server.serving().await;
    ingest(&channel, &before).await.expect("a key of before");

    // Beside it: through the database that runs.
    let beside = run(&create, &variables).await.output();
    ingest(&channel, &beside).await.expect("a new key, at once");
    let listed = run(&["key", "list", "--property", "shop"], &variables).await;
    let listed = listed.output();
    for key in [&before, &beside] {
        assert!(listed.contains(id_of(key)), "{listed}");
        assert!(!listed.contains(secret_of(key)), "{listed}");
    }
    run(&["property", "create", "blog"], &variables)
        .await
        .output();
    let properties = run(&["property", "list"], &variables).await.output();
    for name in ["blog", "default", "shop", "Asia/Kathmandu"] {
        assert!(properties.contains(name), "{properties}");
    }

    run(&["key", "revoke", id_of(&beside)], &variables)
        .await
        .output();
    let deadline = Instant::now() + Duration::from_secs(30);
    let refused = loop {
        // The promise is two seconds; each call is a round trip, so this does not spin.
        match ingest(&channel, &beside).await {
            Ok(()) => assert!(Instant::now() < deadline, "the revoked key works on"),
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    ingest(&channel, &before).await.expect("the other key");
    server.stop().await;

    // Without it again, and what cannot be done.
    let listed = run(&["key", "list", "--revoked"], &variables)
        .await
        .output();
    assert!(listed.contains(id_of(&beside)), "{listed}");
    for (arguments, words) in [
        (
            &["property", "create", "shop"] as &[&str],
            "there is a property `shop` already",
        ),
        (&["property", "create", "Shop!"], "cannot be a name"),
        (
            &["property", "create", "x", "--time-zone", "Mars"],
            "no time zone `Mars`",
        ),
        (&["key", "create", "--kind", "read"], "add --property"),
        (
            &["key", "create", "--kind", "read", "--property", "none"],
            "no property `none`",
        ),
        (&["key", "revoke", "nothing"], "no key `nothing`"),
    ] {
        let refusal = run(arguments, &variables).await.refusal(1);
        assert!(refusal.contains(words), "{arguments:?}: {refusal}");
    }
    assert_eq!(running_database_url(dir.path()), None);
}

#[tokio::test]
async fn bad_settings_end_it_at_once_with_64_and_the_variable() {
    let missing = "/nonexistent/country.mmdb";
    for (variable, value) in [
        ("TALLYMARK_LISTEN", "somewhere"),
        ("TALLYMARK_UNAUTHENTICATED", "perhaps"),
        ("TALLYMARK_ADMIN_KEY", "tma_abc_tooshort"),
        ("TALLYMARK_WRITE_KEY", "tmr_abc_0123456789abcdef0123456789"),
        ("TALLYMARK_READ_KEY", "secret"),
        ("TALLYMARK_GEO_DB", missing),
        ("TALLYMARK_RETENTION_DAYS", "-1"),
        ("TALLYMARK_POOL_SIZE", "0"),
        ("TALLYMARK_BATCH_EVENTS", "0"),
        ("TALLYMARK_BATCH_BYTES", "1"),
        ("TALLYMARK_BATCH_AGE_MS", "1e3"),
        ("TALLYMARK_IN_FLIGHT_BYTES", "7M"),
        ("TALLYMARK_QUERY_TIMEOUT_MS", "99"),
        ("TALLYMARK_DRAIN_TIMEOUT_MS", "600001"),
        ("TALLYMARK_LOG", "loud=very"),
        ("TALLYMARK_LOG_FORMAT", "xml"),
        (
            "DATABASE_URL",
            "postgresql://user:hunter2@host:port/database",
        ),
        ("DATABASE_URL", "password=hunter2 host=a colour=blue"),
        (
            "DATABASE_URL",
            "postgresql://user:hunter2@host/database?sslmode=require",
        ),
    ] {
        // A second variable, so that it is not the listed address that is refused.
        let listen = ("TALLYMARK_LISTEN", "127.0.0.1:0");
        let refusal = run(&["serve"], &[listen, (variable, value)]).await;
        let refusal = refusal.refusal(64);
        assert!(
            refusal.contains(&format!("tallymark: {variable}")),
            "{variable}={value}: {refusal}"
        );
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    let open = [
        ("TALLYMARK_LISTEN", "0.0.0.0:0"),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ];
    let refusal = run(&["serve"], &open).await.refusal(64);
    assert!(refusal.contains("loopback"), "{refusal}");
}

#[tokio::test]
async fn a_port_in_use_is_said_before_anything_is_started() {
    let dir = data_dir();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let data = dir.path().join("data");
    let arguments = ["serve", "--listen", &address, "--data-dir", path(&data)];
    let refusal = run(&arguments, &[]).await.refusal(1);
    assert!(
        refusal.contains(&format!("cannot listen on {address}")) && refusal.contains("in use"),
        "{refusal}"
    );
    assert!(!data.exists(), "a database was created all the same");
}

#[tokio::test]
async fn a_health_check_tells_whether_it_serves() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = free.local_addr().expect("an address").to_string();
    drop(free);
    let refusal = run(&["healthcheck", "--address", &nobody], &[])
        .await
        .refusal(1);
    assert!(refusal.contains("cannot connect"), "{refusal}");

    let dir = data_dir();
    let mut server = ServerProcess::start_in(dir.path());
    server.serving().await;
    let address = server.address().await.to_string();
    let ask = ["healthcheck", "--address", &address];
    assert_eq!(run(&ask, &[]).await.output(), "SERVING\n");
    let query = [&ask[..], &["--service", "tallymark.v1.QueryService"]].concat();
    assert_eq!(run(&query, &[]).await.output(), "SERVING\n");
    let unknown = [&ask[..], &["--service", "nothing"]].concat();
    assert_eq!(run(&unknown, &[]).await.code, Some(1));
    server.stop().await;
}

#[tokio::test]
async fn initial_keys_work_and_a_changed_secret_is_refused() {
    let dir = data_dir();
    let key = run(&["key", "generate", "--kind", "write"], &[])
        .await
        .output();
    let key = key.trim();
    let directory = ("TALLYMARK_DATA_DIR", path(dir.path()));
    // Twice: at the second start the key is there already.
    for _ in 0..2 {
        let mut server = ServerProcess::start(&[directory, ("TALLYMARK_WRITE_KEY", key)]);
        let channel = server.serving().await;
        ingest(&channel, key).await.expect("the key works");
        server.stop().await;
    }
    let other = format!("tmw_{}_{}", id_of(key), "0123456789abcdef0123456789");
    let server = ServerProcess::start(&[directory, ("TALLYMARK_WRITE_KEY", &other)]);
    let refusal = server.refusal(64).await;
    assert!(
        refusal.contains("tallymark: TALLYMARK_WRITE_KEY"),
        "{refusal}"
    );
    assert!(!refusal.contains(secret_of(key)), "{refusal}");
}

#[tokio::test]
async fn a_program_beside_the_database_finds_it_and_passes_its_exit_code_on() {
    let dir = data_dir();
    let exec = ["database", "exec", "--data-dir", path(dir.path()), "--"];
    let script = "case $DATABASE_URL in host=*) exit 7;; esac";
    let ended = run(&[&exec[..], &["sh", "-c", script]].concat(), &[]).await;
    assert_eq!(ended.code, Some(7), "{ended:?}");
    let ended = run(
        &[
            &exec[..],
            &["sh", "-c", "kill -TERM $PPID; exec tail -f /dev/null"],
        ]
        .concat(),
        &[],
    )
    .await;
    assert_eq!(ended.code, Some(128 + 15), "{ended:?}");
    let ended = run(&[&exec[..], &["/nonexistent/program"]].concat(), &[]).await;
    assert!(
        ended
            .refusal(1)
            .contains("cannot run `/nonexistent/program`")
    );
    assert_eq!(running_database_url(dir.path()), None);
}

async fn send(channel: &Channel, events: Vec<pb::Event>) {
    let count = events.len() as u64;
    let messages = [committed_batch(events)];
    let summary = IngestServiceClient::new(channel.clone())
        .stream_events(tokio_stream::iter(messages))
        .await
        .expect("the stream ends OK")
        .into_inner();
    assert_eq!(summary.accepted, count, "{summary:?}");
}

/// Sends an event with this key.
async fn ingest(channel: &Channel, key: &str) -> Result<(), Status> {
    let bearer: MetadataValue<Ascii> = format!("Bearer {}", key.trim()).parse().expect("ASCII");
    let send_key = move |mut request: Request<()>| {
        request
            .metadata_mut()
            .insert("authorization", bearer.clone());
        Ok(request)
    };
    let channel = InterceptedService::new(channel.clone(), send_key);
    let event = Some(page_view("ada", "/"));
    let request = committed(event);
    let sent = IngestServiceClient::new(channel)
        .ingest_event(request)
        .await;
    sent.map(drop)
}

/// `/page count`, in order.
async fn pages(channel: &Channel) -> Vec<String> {
    let question = pb::AggregateRequest {
        bucket: pb::Bucket::WholeRange.into(),
        dimensions: vec!["page".to_owned()],
        order_by: vec![pb::OrderBy {
            key: "page".to_owned(),
            descending: false,
        }],
        ..pb::AggregateRequest::default()
    };
    let answer = QueryServiceClient::new(channel.clone())
        .aggregate(question)
        .await
        .expect("an answer");
    let rows = answer.into_inner().rows;
    rows.iter()
        .map(|row| format!("{} {}", row.dimensions[0], row.metrics[0]))
        .collect()
}

/// Public part of a key.
fn id_of(key: &str) -> &str {
    key.trim().rsplit_once('_').expect("a key").0
}

fn secret_of(key: &str) -> &str {
    key.trim().rsplit_once('_').expect("a key").1
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
