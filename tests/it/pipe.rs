//! PipeEvents: an acknowledgement per message, in order, and what becomes of it when calls end.

use std::time::Duration;

use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use crate::support::wire::assert_refused;
use crate::support::{KeyedChannel, SendKey, ServerProcess, TestApp, TestDatabase, page_view};

/// For whatever must come, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

/// A pipe that is open.
struct Pipe {
    sender: mpsc::Sender<pb::PipeEventsRequest>,
    replies: Streaming<pb::PipeEventsResponse>,
}

impl Pipe {
    async fn open(channel: KeyedChannel) -> Self {
        let (sender, messages) = mpsc::channel(1);
        let reply = IngestServiceClient::new(channel)
            .pipe_events(ReceiverStream::new(messages))
            .await;
        let replies = reply.expect("a pipe").into_inner();
        Self { sender, replies }
    }

    async fn send(&self, message: pb::PipeEventsRequest) {
        self.sender.send(message).await.expect("the pipe is open");
    }

    /// The next acknowledgement.
    async fn reply(&mut self) -> pb::PipeEventsResponse {
        let next = self.next().await.expect("the pipe is whole");
        next.expect("the pipe is open")
    }

    async fn next(&mut self) -> Result<Option<pb::PipeEventsResponse>, Status> {
        let next = tokio::time::timeout(SOON, self.replies.message()).await;
        next.expect("the pipe goes on")
    }
}

fn logged(message_id: u64, events: Vec<pb::Event>) -> pb::PipeEventsRequest {
    pb::PipeEventsRequest {
        message_id,
        events,
        acknowledgement: pb::Acknowledgement::Logged.into(),
    }
}

fn committed(message_id: u64, events: Vec<pb::Event>) -> pb::PipeEventsRequest {
    pb::PipeEventsRequest {
        acknowledgement: pb::Acknowledgement::Committed.into(),
        ..logged(message_id, events)
    }
}

fn page_views(count: usize) -> Vec<pb::Event> {
    (0..count)
        .map(|number| page_view(&format!("visitor-{number}"), "/"))
        .collect()
}

/// An event that is refused with one violation.
fn nameless() -> pb::Event {
    pb::Event {
        name: String::new(),
        ..page_view("ada", "/")
    }
}

/// Number, accepted, duplicates, rejected, to be sent again.
fn counts(reply: &pb::PipeEventsResponse) -> (u64, [u32; 4]) {
    let counts = [
        reply.accepted,
        reply.duplicates,
        reply.rejected,
        reply.retry,
    ];
    (reply.message_id, counts)
}

#[track_caller]
fn assert_shutting_down(status: &Status) {
    assert_refused(status, Code::Unavailable, "SHUTTING_DOWN", &[]);
    let retry = status.get_error_details().retry_info().cloned();
    let delay = retry.expect("RetryInfo").retry_delay;
    assert_eq!(delay, Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn every_message_is_acknowledged_in_order_with_its_number_and_counts() {
    let app = TestApp::start().await;
    let mut pipe = Pipe::open(app.with_key(app.write_key.reveal())).await;
    let known = page_views(3);
    // Numbers are the client's: they may be anything, and repeat.
    let messages = [
        (logged(7, page_views(2)), (7, [2, 0, 0, 0])),
        (committed(7, known.clone()), (7, [3, 0, 0, 0])),
        (logged(0, Vec::new()), (0, [0, 0, 0, 0])),
        (committed(u64::MAX, Vec::new()), (u64::MAX, [0, 0, 0, 0])),
        // Whether an event was there before is told to who waits for the commit.
        (logged(1, known.clone()), (1, [3, 0, 0, 0])),
        (committed(2, known.clone()), (2, [0, 3, 0, 0])),
        (
            committed(3, [page_views(1), known].concat()),
            (3, [1, 3, 0, 0]),
        ),
        (logged(4, vec![nameless()]), (4, [0, 0, 1, 0])),
        (logged(5, page_views(1)), (5, [1, 0, 0, 0])),
    ];
    // All of them are on their way before the first acknowledgement is taken.
    for (message, _) in &messages {
        pipe.send(message.clone()).await;
    }
    for (message, expected) in &messages {
        assert_eq!(counts(&pipe.reply().await), *expected, "{message:?}");
    }
    app.until_stored(7).await;

    // It waits for messages as long as the client likes, and ends with it.
    pipe.send(committed(6, page_views(1))).await;
    assert_eq!(counts(&pipe.reply().await), (6, [1, 0, 0, 0]));
    drop(pipe.sender);
    let end = pipe.replies.message().await.expect("the pipe ends OK");
    assert_eq!(end, None);
}

#[tokio::test]
async fn rejected_events_are_listed_with_their_place_and_their_faults() {
    let app = TestApp::start().await;
    let mut pipe = Pipe::open(app.with_key(app.write_key.reveal())).await;
    let mut faulty = page_view("bob", "/");
    faulty.visitor_id = "null".to_owned();
    let events = vec![
        page_view("ada", "/"),
        nameless(),
        page_view("bob", "/"),
        faulty,
    ];
    for message in [logged(1, events.clone()), committed(2, events.clone())] {
        pipe.send(message).await;
        let reply = pipe.reply().await;
        let places: Vec<u64> = reply.failures.iter().map(|failure| failure.index).collect();
        assert_eq!(places, [1, 3]);
        for (failure, field) in reply.failures.iter().zip(["name", "visitor_id"]) {
            let result = failure.result.as_ref().expect("a result");
            let place = usize::try_from(failure.index).expect("a place");
            assert_eq!(result.event_id, events[place].event_id);
            assert_eq!(result.verdict(), pb::Verdict::Rejected);
            let fields: Vec<&str> = result
                .violations
                .iter()
                .map(|violation| violation.field.as_str())
                .collect();
            assert_eq!(fields, [field]);
        }
    }
    app.until_stored(2).await;

    // Every failure has a place; what is wrong is told of the first 1,000.
    pipe.send(logged(3, vec![nameless(); 1_200])).await;
    let reply = pipe.reply().await;
    assert_eq!(counts(&reply), (3, [0, 0, 1_200, 0]));
    let explained = |failure: &&pb::EventFailure| {
        let result = failure.result.as_ref().expect("a result");
        !result.violations.is_empty()
    };
    assert_eq!(reply.failures.len(), 1_200);
    assert_eq!(reply.failures.iter().filter(explained).count(), 1_000);
    assert!(
        reply
            .failures
            .iter()
            .map(|failure| failure.index)
            .eq(0..1_200)
    );
}

#[tokio::test]
async fn a_message_over_the_limits_ends_the_pipe_after_those_before_it() {
    let app = TestApp::start().await;
    let mut large = page_view("ada", "/");
    large.title = "x".repeat(5 << 20);
    let unknown = pb::PipeEventsRequest {
        acknowledgement: 9,
        ..logged(2, Vec::new())
    };
    let cases = [
        (
            logged(2, vec![nameless(); 5_001]),
            "INVALID_FIELD",
            vec!["events: 5001 events in a message, need at most 5000"],
        ),
        (logged(2, vec![large]), "MESSAGE_TOO_LARGE", vec![]),
        (
            unknown,
            "INVALID_FIELD",
            vec!["acknowledgement: 9 is not LOGGED (1) or COMMITTED (2)"],
        ),
    ];
    for (message, reason, violations) in cases {
        let mut pipe = Pipe::open(app.with_key(app.write_key.reveal())).await;
        pipe.send(logged(0, page_views(1))).await;
        pipe.send(committed(1, page_views(2))).await;
        pipe.send(message).await;
        // Nothing behind it counts, whether or not it is taken.
        let _maybe_ended = pipe.sender.send(logged(3, page_views(4))).await;
        assert_eq!(counts(&pipe.reply().await), (0, [1, 0, 0, 0]));
        assert_eq!(counts(&pipe.reply().await), (1, [2, 0, 0, 0]));
        let status = pipe.next().await.expect_err("it is over the limits");
        assert_refused(&status, Code::InvalidArgument, reason, &violations);
    }
    app.until_stored(9).await;
}

#[tokio::test]
async fn a_server_that_stops_acknowledges_what_it_received() {
    let app = TestApp::start().await;
    // Whoever holds this lock keeps events from being stored, and so the message from being settled.
    let mut client = app.database.client().await;
    let lock = client.transaction().await.expect("a transaction");
    lock.batch_execute("lock table events in share row exclusive mode")
        .await
        .expect("a lock");
    let mut pipe = Pipe::open(app.with_key(app.write_key.reveal())).await;
    let mut idle = Pipe::open(app.with_key(app.write_key.reveal())).await;
    pipe.send(logged(1, page_views(1))).await;
    assert_eq!(counts(&pipe.reply().await), (1, [1, 0, 0, 0]));
    let last = committed(2, page_views(2));
    pipe.send(last.clone()).await;
    until_waiting(&app).await;

    app.ask_to_stop();
    app.wait_until(ServingStatus::NotServing).await;
    let status = idle.next().await.expect_err("the server stops");
    assert_shutting_down(&status);
    lock.rollback().await.expect("the lock is given back");
    assert_eq!(counts(&pipe.reply().await), (2, [2, 0, 0, 0]));
    let status = pipe.next().await.expect_err("the server stops");
    assert_shutting_down(&status);

    let app = TestApp::start_on(app.stop().await, &[]).await;
    assert_eq!(app.event_count().await, 3.0);
    let mut pipe = Pipe::open(app.with_key(app.write_key.reveal())).await;
    pipe.send(last).await;
    assert_eq!(counts(&pipe.reply().await), (2, [0, 2, 0, 0]));
}

/// Waits until a statement waits for a lock.
async fn until_waiting(app: &TestApp) {
    let client = app.database.client().await;
    let is_waiting =
        "select exists (select from pg_locks l join pg_database d on d.oid = l.database
        where not l.granted and d.datname = current_database())";
    let asked = async {
        while !client
            .query_one(is_waiting, &[])
            .await
            .expect("an answer")
            .get::<_, bool>(0)
        {}
    };
    tokio::time::timeout(SOON, asked)
        .await
        .expect("a statement waits");
}

#[tokio::test]
async fn going_on_from_the_last_acknowledgement_loses_and_doubles_nothing() {
    const MESSAGES: u64 = 120;
    const KILLS: u64 = 3;
    let database = TestDatabase::create().await;
    let url = database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        (
            "TALLYMARK_DATA_DIR",
            database.data_dir.path().to_str().expect("UTF-8"),
        ),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
    ];
    let messages: Vec<pb::PipeEventsRequest> = (0..MESSAGES)
        .map(|id| match id % 7 {
            0 => committed(id, page_views(5)),
            _ => logged(id, page_views(5)),
        })
        .collect();
    // The number of the first message that is not acknowledged.
    let mut next = 0;
    for life in 0..=KILLS {
        let mut server = ServerProcess::start(&variables);
        // The server needs no key, and gets one all the same.
        let channel = server.serving().await;
        let channel = InterceptedService::new(channel, SendKey::new("none"));
        let mut pipe = Pipe::open(channel).await;
        let begin = usize::try_from(next).expect("a place");
        let rest = messages[begin..].to_vec();
        let sender = pipe.sender.clone();
        drop(pipe.sender);
        let sending = tokio::spawn(async move {
            for message in rest {
                // The call ends when the server is killed.
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        let until = MESSAGES * (life + 1) / (KILLS + 1);
        while next < until {
            let reply = pipe.replies.message().await.expect("the pipe is whole");
            let reply = reply.expect("the pipe is open");
            assert_eq!(reply.message_id, next);
            assert_eq!(reply.accepted + reply.duplicates, 5, "{reply:?}");
            next += 1;
        }
        if life < KILLS {
            server.signal(rustix::process::Signal::KILL);
            server.end().await;
            while let Ok(Some(reply)) = pipe.replies.message().await {
                assert_eq!(reply.message_id, next);
                next += 1;
            }
        } else {
            assert_eq!(pipe.replies.message().await.expect("it ends OK"), None);
            server.stop().await;
        }
        sending.await.expect("no panic");
    }
    let client = database.client().await;
    let row = client
        .query_one("select count(*), count(distinct event_id) from events", &[])
        .await
        .expect("counts");
    let all = i64::try_from(MESSAGES * 5).expect("a count");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (all, all));
}

#[tokio::test]
async fn who_takes_no_acknowledgements_is_not_read_from_without_bound_and_does_not_hold_up_the_stop()
 {
    /// More than waits for acknowledgement and fits into the client's window.
    const MAX_TAKEN: i64 = 80;
    const OFFERED: usize = 400;
    let app = TestApp::start_with(&[("TALLYMARK_DRAIN_TIMEOUT_MS", "300")]).await;
    // A message is small, its acknowledgement larger than 10 kB: a few of them fill the window.
    let message = |visitor: &str| {
        let mut events = vec![nameless(); 99];
        events.push(page_view(visitor, "/"));
        logged(1, events)
    };
    let endpoint = Endpoint::from_shared(format!("http://{}", app.address))
        .expect("an address")
        .initial_stream_window_size(65_535);
    let channel = endpoint.connect().await.expect("it listens");
    let key = SendKey::new(app.write_key.reveal());
    let deaf = Pipe::open(InterceptedService::new(channel, key)).await;
    let sender = deaf.sender.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..OFFERED {
            if sender.send(message("deaf")).await.is_err() {
                return;
            }
        }
    });

    // One that listens shows how much the server takes meanwhile.
    let mut listening = Pipe::open(app.with_key(app.write_key.reveal())).await;
    for _ in 0..OFFERED {
        listening.send(message("listening")).await;
        assert_eq!(listening.reply().await.accepted, 1);
    }
    let taken_of = async |visitor: &str| {
        let client = app.database.client().await;
        let sql = "select count(*) from events join visitors using (property_no, visitor_no)
            where visitor_id = $1";
        let row = client.query_one(sql, &[&visitor]).await;
        row.expect("a count").get::<_, i64>(0)
    };
    let stored =
        async { while taken_of("listening").await < i64::try_from(OFFERED).expect("a count") {} };
    tokio::time::timeout(SOON, stored)
        .await
        .expect("it is loaded");
    let taken = taken_of("deaf").await;
    assert!((1..=MAX_TAKEN).contains(&taken), "{taken} messages");

    drop(listening);
    let stopped = tokio::time::timeout(SOON, app.stop()).await;
    let database = stopped.expect("the service stops");
    // What was taken is there, and no more was taken when it stopped.
    let app = TestApp::start_on(database, &[]).await;
    let stored = app.event_count().await;
    let most = (OFFERED as i64 + MAX_TAKEN) as f64;
    assert!(stored > OFFERED as f64 && stored <= most, "{stored} events");
    drop(deaf);
    sending.abort();
}

#[tokio::test]
async fn who_waits_for_a_database_that_is_away_is_told_when_the_stop_does_not_wait_longer() {
    let short = [("TALLYMARK_DRAIN_TIMEOUT_MS", "300")];
    let (app, forwarder) = TestApp::start_behind_forwarder(&short).await;
    forwarder.cut();
    let mut pipe = Pipe::open(app.with_key(app.write_key.reveal())).await;
    let message = committed(1, page_views(2));
    pipe.send(message.clone()).await;
    // Received is what the log has, in its only segment.
    let segments = app.database.data_dir.path().join("event-log/segments");
    let received = async {
        loop {
            let files = std::fs::read_dir(&segments).expect("segments");
            let lengths = files.map(|file| file.expect("a file").metadata().expect("a file").len());
            if lengths.max() > Some(28) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, received)
        .await
        .expect("the message is logged");

    app.ask_to_stop();
    let status = pipe.next().await.expect_err("the server stops");
    assert_shutting_down(&status);
    let app = TestApp::start_on(app.stop().await, &[]).await;
    let mut pipe = Pipe::open(app.with_key(app.write_key.reveal())).await;
    pipe.send(message).await;
    let reply = pipe.reply().await;
    assert_eq!(reply.accepted + reply.duplicates, 2, "{reply:?}");
    app.until_stored(2).await;
}
