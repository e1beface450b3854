//! What happens to the event log outside of the service: damage, old copies, a full disk, a full log.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::wire::assert_refused;
use crate::support::{Forwarder, ServerProcess, TestDatabase, committed_batch, page_view, reason};

/// For whatever must come, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);
/// Bytes of a segment's header and of a record's, as src/log/disk/mod.rs says.
const SEGMENT_HEADER: usize = 28;
const RECORD_HEADER: usize = 20;
/// Large events of a message, 3 MB in all.
const MESSAGE_EVENTS: usize = 400;

/// A database and the settings of a service on it that needs no keys.
struct Setting {
    database: TestDatabase,
    forwarder: Forwarder,
    variables: Vec<(&'static str, String)>,
}

impl Setting {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let forwarder = database.forwarder().await;
        let data_dir = database.data_dir.path().display().to_string();
        let variables = vec![
            ("DATABASE_URL", database.url_through(&forwarder)),
            ("TALLYMARK_DATA_DIR", data_dir),
            ("TALLYMARK_UNAUTHENTICATED", "true".to_owned()),
        ];
        Self {
            database,
            forwarder,
            variables,
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }

    fn start(&self) -> ServerProcess {
        ServerProcess::start(&self.variables())
    }

    fn log_dir(&self) -> PathBuf {
        self.database.data_dir.path().join("event-log")
    }

    fn last_segment(&self) -> PathBuf {
        let segments = segments(&self.log_dir());
        segments.last().expect("a segment").clone()
    }

    /// Ids of the events in the database, in order, as often as they are there.
    async fn stored(&self) -> Vec<String> {
        let client = self.database.client().await;
        let sql = "select event_id::text from events order by 1";
        let rows = client.query(sql, &[]).await.expect("the events");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until exactly these events are in the database, each once.
    async fn until_stored(&self, events: &[pb::Event]) {
        let mut ids: Vec<String> = events.iter().map(|event| event.event_id.clone()).collect();
        ids.sort();
        let waited = tokio::time::timeout(SOON, async {
            while self.stored().await.len() < ids.len() {}
        });
        let _compared_below = waited.await;
        assert_eq!(self.stored().await, ids);
    }

    /// Events one after the other, each in a group of its own, which the database does not get; then
    /// the service is killed.
    async fn logged_and_killed(&self, count: usize) -> Vec<pb::Event> {
        let mut server = self.start();
        let channel = server.serving().await;
        self.forwarder.cut();
        let mut events = Vec::new();
        for number in 0..count {
            let event = page_view(&format!("visitor-{number}"), "/");
            send(&channel, &event).await.expect("logged");
            events.push(event);
        }
        server.signal(Signal::KILL);
        server.end().await;
        self.forwarder.restore();
        events
    }
}

/// A log's segments, oldest first.
fn segments(log_dir: &Path) -> Vec<PathBuf> {
    let mut segments: Vec<PathBuf> = fs::read_dir(log_dir.join("segments"))
        .expect("the segments")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    segments.sort();
    segments
}

/// Where each record of a segment begins, and where the last one ends.
fn record_offsets(segment: &[u8]) -> Vec<usize> {
    let mut offsets = vec![SEGMENT_HEADER];
    let mut at = SEGMENT_HEADER;
    while at < segment.len() {
        let length: [u8; 4] = segment[at..at + 4].try_into().expect("a length");
        at += RECORD_HEADER + u32::from_le_bytes(length) as usize;
        offsets.push(at);
    }
    offsets
}

/// Every file below a directory with what is in it.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(contents(&path)),
            false => drop(files.insert(path.clone(), fs::read(&path).expect("a file"))),
        }
    }
    files
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for (path, bytes) in contents(from) {
        let target = to.join(path.strip_prefix(from).expect("inside"));
        fs::create_dir_all(target.parent().expect("a directory")).expect("a directory");
        fs::write(target, bytes).expect("a copy");
    }
}

async fn send(channel: &Channel, event: &pb::Event) -> Result<(), Status> {
    let request = pb::IngestEventRequest {
        event: Some(event.clone()),
        acknowledgement: pb::Acknowledgement::Logged.into(),
    };
    let reply = IngestServiceClient::new(channel.clone())
        .ingest_event(request)
        .await?;
    let result = reply.into_inner().result.expect("a result");
    assert_eq!(result.verdict(), pb::Verdict::Accepted);
    Ok(())
}

async fn commit(channel: &Channel, events: &[pb::Event]) -> pb::StreamEventsResponse {
    let reply = IngestServiceClient::new(channel.clone())
        .stream_events(tokio_stream::iter([committed_batch(events.to_vec())]))
        .await;
    reply.expect("the stream ends OK").into_inner()
}

fn page_views(count: usize) -> Vec<pb::Event> {
    (0..count).map(|_| page_view("ada", "/")).collect()
}

#[tokio::test]
async fn a_second_server_on_a_log_is_told_whose_it_is() {
    let setting = Setting::new().await;
    let mut server = setting.start();
    let channel = server.serving().await;
    // Its own database does not help: the log is the other one's.
    let elsewhere = TestDatabase::create().await;
    let url = elsewhere.url();
    let mut variables = setting.variables();
    variables[0].1 = &url;
    let before = segments(&setting.log_dir());
    let refusal = ServerProcess::start(&variables).refusal(1).await;
    let directory = setting.log_dir().display().to_string();
    for words in [&directory, "in use by another server", "TALLYMARK_"] {
        assert!(refusal.contains(words), "no `{words}` in {refusal}");
    }
    assert_eq!(segments(&setting.log_dir()), before);
    let event = page_view("ada", "/");
    send(&channel, &event).await.expect("the first serves on");
    setting.until_stored(&[event]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_torn_end_costs_only_what_was_torn() {
    for case in ["cut", "partial record", "garbage"] {
        let setting = Setting::new().await;
        let mut events = setting.logged_and_killed(9).await;
        let path = setting.last_segment();
        let mut bytes = fs::read(&path).expect("the segment");
        let offsets = record_offsets(&bytes);
        assert_eq!(offsets.len(), 10);
        match case {
            // As if the last write had not been finished, which then was not acknowledged.
            "cut" => {
                bytes.truncate(bytes.len() - 7);
                events.pop();
            }
            "partial record" => {
                let copy = bytes[offsets[2]..offsets[3] - 5].to_vec();
                bytes.extend(copy);
            }
            _ => bytes.extend([0xa5; 3_000]),
        }
        fs::write(&path, bytes).expect("the segment");

        let mut server = setting.start();
        let channel = server.serving().await;
        let line = server.says("opened the event log").await;
        assert!(!line.contains("dropped_bytes: 0"), "{case}: {line}");
        setting.until_stored(&events).await;
        // It goes on behind them.
        let more = page_view("ada", "/");
        send(&channel, &more).await.expect("logged");
        events.push(more);
        setting.until_stored(&events).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_flipped_bit_among_events_to_load_is_named_and_nothing_is_changed() {
    let setting = Setting::new().await;
    let events = setting.logged_and_killed(9).await;
    let path = setting.last_segment();
    let whole = fs::read(&path).expect("the segment");
    let offsets = record_offsets(&whole);
    let name = path.file_name().expect("a name").to_str().expect("UTF-8");
    let spots = [
        (offsets[4] + RECORD_HEADER + 9, offsets[4], 4),
        // In a record's own header: its length, its number.
        (offsets[1], offsets[1], 1),
        (offsets[6] + 8, offsets[6], 6),
        // In the segment's header.
        (13, 0, 0),
    ];
    for (spot, offset, record) in spots {
        let mut damaged = whole.clone();
        damaged[spot] ^= 0x10;
        fs::write(&path, damaged).expect("the segment");
        let before = contents(&setting.log_dir());
        let refusal = setting.start().refusal(1).await;
        let place = format!("log segment {name} is corrupt at byte {offset}, record {record}:");
        for words in [
            &place,
            &setting.log_dir().display().to_string(),
            "restore the file from a copy",
        ] {
            assert!(refusal.contains(words), "no `{words}` in {refusal}");
        }
        assert!(contents(&setting.log_dir()) == before, "something changed");
    }
    assert_eq!(setting.stored().await, [""; 0]);

    // With the right bytes back, all is well.
    fs::write(&path, whole).expect("the segment");
    let mut server = setting.start();
    server.serving().await;
    setting.until_stored(&events).await;
    server.stop().await;
}

#[tokio::test]
async fn an_old_copy_of_the_log_is_refused_and_deleting_its_id_goes_on_with_it() {
    let setting = Setting::new().await;
    let mut server = setting.start();
    let old = page_views(20);
    commit(&server.serving().await, &old).await;
    server.stop().await;
    let copies = tempfile::tempdir().expect("a directory");
    let copy = copies.path().join("event-log");
    copy_dir(&setting.log_dir(), &copy);

    let mut server = setting.start();
    let new = page_views(30);
    commit(&server.serving().await, &new).await;
    server.stop().await;
    fs::remove_dir_all(setting.log_dir()).expect("the log");
    copy_dir(&copy, &setting.log_dir());

    let before = contents(&setting.log_dir());
    let refusal = setting.start().refusal(1).await;
    for words in [
        "does not fit the database",
        "the database has 50 records of this log, which has only 20",
        "delete the file `id`",
    ] {
        assert!(refusal.contains(words), "no `{words}` in {refusal}");
    }
    let id = setting.log_dir().join("id");
    let named = fs::read(&id).expect("its name");
    assert_eq!(before.get(&id), Some(&named));

    // What the message offers.
    fs::remove_file(&id).expect("its name");
    let mut server = setting.start();
    let channel = server.serving().await;
    let last = page_view("ada", "/");
    // Behind the old events, which are loaded again.
    let summary = commit(&channel, &[old.clone(), vec![last.clone()]].concat()).await;
    assert_eq!((summary.accepted, summary.duplicates), (1, 20));
    setting.until_stored(&[old, new, vec![last]].concat()).await;
    server.stop().await;
    // From now on it is a log like any other.
    let mut server = setting.start();
    server.serving().await;
    server.stop().await;
}

#[tokio::test]
async fn an_old_copy_of_the_database_is_refused_and_deleting_the_logs_id_goes_on_with_it() {
    let mut setting = Setting::new().await;
    let mut server = setting.start();
    let old = page_views(20);
    commit(&server.serving().await, &old).await;
    server.stop().await;
    let copy = setting.database.copy().await;

    // Closing starts a segment, and the next life deletes those that are loaded.
    let mut server = setting.start();
    let lost = page_views(30);
    commit(&server.serving().await, &lost).await;
    server.stop().await;
    let mut server = setting.start();
    server.serving().await;
    let trimmed = async {
        while segments(&setting.log_dir()).len() > 1 {
            // The forwarder works on this thread, too.
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, trimmed)
        .await
        .expect("loaded segments are deleted");
    server.stop().await;

    let log = std::mem::replace(&mut setting.database, copy);
    let url = setting.database.url();
    setting.variables[0].1 = url;
    let log_dir = log.data_dir.path().join("event-log");
    let before = contents(&log_dir);
    let refusal = setting.start().refusal(1).await;
    for words in [
        "does not fit the database",
        "the log begins at record 50, the database has it up to 20 only",
        "delete the file `id`",
    ] {
        assert!(refusal.contains(words), "no `{words}` in {refusal}");
    }
    let id = log_dir.join("id");
    let named = fs::read(&id).expect("its name");
    assert_eq!(before.get(&id), Some(&named));

    fs::remove_file(&id).expect("its name");
    let mut server = setting.start();
    let channel = server.serving().await;
    // Whoever has the events that are gone sends them again.
    let again = [old.clone(), lost[..10].to_vec()].concat();
    let summary = commit(&channel, &again).await;
    assert_eq!((summary.accepted, summary.duplicates), (10, 20));
    setting.until_stored(&again).await;
    server.stop().await;
}

/// Some 7 kB in the log.
fn large(number: usize) -> pb::Event {
    let text: String = (0..1_000)
        .map(|_| char::from(rand::random_range(b'a'..=b'z')))
        .collect();
    pb::Event {
        properties: Some(prost_types::Struct {
            fields: (0..7)
                .map(|field| {
                    let value = prost_types::value::Kind::StringValue(text.clone());
                    let value = prost_types::Value { kind: Some(value) };
                    (format!("field-{field}"), value)
                })
                .collect(),
        }),
        ..page_view(&format!("visitor-{number}"), "/")
    }
}

/// Sends large events, logged, until one is refused; returns the acknowledged ones and the refusal.
async fn fill(channel: &Channel) -> (Vec<pb::Event>, Vec<pb::Event>, Status) {
    let mut client = IngestServiceClient::new(channel.clone());
    let mut acknowledged = Vec::new();
    loop {
        let events: Vec<pb::Event> = (0..MESSAGE_EVENTS).map(large).collect();
        let message = pb::StreamEventsRequest {
            events: events.clone(),
            acknowledgement: pb::Acknowledgement::Logged.into(),
        };
        match client.stream_events(tokio_stream::iter([message])).await {
            Ok(summary) => {
                let summary = summary.into_inner();
                assert_eq!(summary.accepted, MESSAGE_EVENTS as u64, "{summary:?}");
                acknowledged.extend(events);
            }
            Err(status) => return (acknowledged, events, status),
        }
        assert!(acknowledged.len() < 20_000, "it never is full");
    }
}

#[track_caller]
fn assert_log_full(status: &Status) {
    assert_refused(status, Code::ResourceExhausted, "LOG_FULL", &[]);
    assert!(retry_delay(status) > Duration::ZERO);
}

#[track_caller]
fn retry_delay(status: &Status) -> Duration {
    let details = status.get_error_details();
    let retry = details.retry_info().expect("RetryInfo");
    retry.retry_delay.expect("a delay")
}

#[tokio::test]
async fn a_full_log_refuses_before_it_looks_at_events_and_recovers_by_itself() {
    let setting = Setting::new()
        .await
        .with("TALLYMARK_EVENT_LOG_BYTES", "33554432");
    let mut server = setting.start();
    let channel = server.serving().await;
    setting.forwarder.cut();
    let (mut events, refused, status) = fill(&channel).await;
    assert_log_full(&status);
    // A message may still find the room that a larger one did not; soon none does.
    loop {
        let event = large(0);
        match send(&channel, &event).await {
            Ok(()) => events.push(event),
            Err(status) => break assert_log_full(&status),
        }
    }
    let used: u64 = segments(&setting.log_dir())
        .iter()
        .map(|path| fs::metadata(path).expect("a segment").len())
        .sum();
    assert!((31 << 20..=32 << 20).contains(&used), "{used} bytes");

    let mut client = IngestServiceClient::new(channel.clone());
    // What is wrong with an event is not looked at.
    let request = pb::IngestEventRequest::default();
    let status = client.ingest_event(request).await.expect_err("full");
    assert_log_full(&status);
    let too_many = pb::StreamEventsRequest {
        events: vec![pb::Event::default(); 5_001],
        ..pb::StreamEventsRequest::default()
    };
    let status = client
        .stream_events(tokio_stream::iter([too_many]))
        .await
        .expect_err("full");
    assert_log_full(&status);
    let message = pb::PipeEventsRequest {
        events: vec![pb::Event::default()],
        ..pb::PipeEventsRequest::default()
    };
    let replies = client.pipe_events(tokio_stream::iter([message])).await;
    let status = replies.expect("a pipe").into_inner().message().await;
    assert_log_full(&status.expect_err("full"));
    until_ingest(&channel, ServingStatus::NotServing).await;

    setting.forwarder.restore();
    until_ingest(&channel, ServingStatus::Serving).await;
    let summary = commit(&channel, &refused).await;
    assert_eq!(summary.accepted, MESSAGE_EVENTS as u64, "{summary:?}");
    events.extend(refused);
    setting.until_stored(&events).await;
    server.stop().await;
}

/// Waits until ingestion has this health.
async fn until_ingest(channel: &Channel, wanted: ServingStatus) {
    let request = HealthCheckRequest {
        service: "tallymark.v1.IngestService".to_owned(),
    };
    let watched = HealthClient::new(channel.clone()).watch(request).await;
    let mut statuses = watched.expect("a watch").into_inner();
    let reached = async {
        while let Some(status) = statuses.message().await.expect("health goes on") {
            if status.status() == wanted {
                return;
            }
        }
        panic!("the service ended");
    };
    tokio::time::timeout(SOON, reached)
        .await
        .unwrap_or_else(|_| panic!("it is never {wanted:?}"));
}

/// How to make a disk that is soon full.
enum SmallDisk {
    /// A file system of its own, in a namespace that only the service sees.
    FileSystem,
    /// Files of the service may not be larger than so many bytes.
    FileLimit(u64),
}

const SMALL_FILE_SYSTEM: &str =
    r#"mount -t tmpfs -o size=24m,mode=0755 tmpfs "$TALLYMARK_EVENT_LOG_DIR" && exec "$@""#;
/// In blocks of 512 bytes; without its signal, which would end the process.
const SMALL_FILES: &str = r#"trap '' XFSZ && ulimit -S -f 8192 && exec "$@""#;

impl SmallDisk {
    async fn find() -> Self {
        let probe = tempfile::tempdir().expect("a directory");
        let tried = tokio::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount"])
            .args(["sh", "-c", SMALL_FILE_SYSTEM, "sh", "true"])
            .env("TALLYMARK_EVENT_LOG_DIR", probe.path())
            .output()
            .await;
        match tried {
            Ok(output) if output.status.success() => Self::FileSystem,
            other => {
                eprintln!(
                    "NOT TESTED ON A FULL DISK: no file system can be mounted here, so a limit of \
                     the size of files stands for it ({other:?})"
                );
                Self::FileLimit(8_192 * 512)
            }
        }
    }
}

/// Sees ingestion stop serving, and then serve again: else senders that look at its health would never
/// come back to find out that there is room.
async fn ingest_is_away_and_comes_back(channel: Channel) {
    let ingest = HealthCheckRequest {
        service: "tallymark.v1.IngestService".to_owned(),
    };
    let watched = HealthClient::new(channel).watch(ingest).await;
    let mut statuses = watched.expect("health is there").into_inner();
    for wanted in [ServingStatus::NotServing, ServingStatus::Serving] {
        loop {
            let status = statuses.message().await.expect("health is there");
            if status.expect("health goes on").status() == wanted {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_told_to_senders_and_intake_goes_on_when_there_is_room() {
    let log_dir = tempfile::tempdir().expect("a directory");
    // Segments of 9 MiB, of which the disk has room for two and a half.
    let setting = Setting::new()
        .await
        .with("TALLYMARK_EVENT_LOG_BYTES", "150994944")
        .with(
            "TALLYMARK_EVENT_LOG_DIR",
            log_dir.path().to_str().expect("UTF-8"),
        );
    let disk = SmallDisk::find().await;
    let mut server = match disk {
        SmallDisk::FileSystem => {
            let way = [
                "unshare",
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                SMALL_FILE_SYSTEM,
                "sh",
            ];
            ServerProcess::start_by(&way, &setting.variables())
        }
        SmallDisk::FileLimit(_) => {
            ServerProcess::start_by(&["sh", "-c", SMALL_FILES, "sh"], &setting.variables())
        }
    };
    let channel = server.serving().await;
    let recovers = tokio::spawn(ingest_is_away_and_comes_back(channel.clone()));
    setting.forwarder.cut();
    let (mut events, refused, status) = fill(&channel).await;
    // Senders of one event at a time, of streams and of pipes are told the same.
    let mut client = IngestServiceClient::new(channel.clone());
    let message = pb::PipeEventsRequest {
        events: refused.clone(),
        ..pb::PipeEventsRequest::default()
    };
    let replies = client.pipe_events(tokio_stream::iter([message])).await;
    let piped = replies.expect("a pipe").into_inner().message().await;
    let mut statuses = vec![status, piped.expect_err("the disk is full")];
    loop {
        let event = large(0);
        match send(&channel, &event).await {
            Ok(()) => events.push(event),
            Err(status) => break statuses.push(status),
        }
    }
    for status in &statuses {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(reason(status), "LOG_UNAVAILABLE", "{status:?}");
        assert!(retry_delay(status) > Duration::ZERO);
    }
    // Nobody sends any more, and the disk is as full as it was.
    let recovered = tokio::time::timeout(SOON, recovers).await;
    recovered.expect("it serves again").expect("no panic");

    match disk {
        // What is loaded is deleted.
        SmallDisk::FileSystem => setting.forwarder.restore(),
        SmallDisk::FileLimit(bytes) => {
            let more = Rlimit {
                current: Some(bytes * 4),
                maximum: None,
            };
            prlimit(Some(server.pid()), Resource::Fsize, more).expect("a higher limit");
            setting.forwarder.restore();
        }
    }
    let retried = async {
        loop {
            let mut message = committed_batch(refused.clone());
            message.acknowledgement = pb::Acknowledgement::Logged.into();
            match client.stream_events(tokio_stream::iter([message])).await {
                Ok(summary) => return summary.into_inner(),
                Err(status) => assert_eq!(reason(&status), "LOG_UNAVAILABLE", "{status:?}"),
            }
        }
    };
    let summary = tokio::time::timeout(SOON, retried)
        .await
        .expect("there is room again");
    assert_eq!(summary.accepted, MESSAGE_EVENTS as u64, "{summary:?}");
    events.extend(refused);
    setting.until_stored(&events).await;
    server.stop().await;
}
