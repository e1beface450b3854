//! Runs against a server in memory that does what servers do on bad days.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::args::tests::parse;
use super::*;
use crate::cli::import::send::tests::{Behaviour, FakeServer};

async fn start(server: &FakeServer, arguments: &[&str]) -> LoadgenArgs {
    let address = server.start().await;
    let server = ["--address", &address, "--connections", "1", "--batch", "10"];
    parse(&[&server, arguments].concat()).expect("valid")
}

#[tokio::test]
async fn the_same_events_are_sent_until_the_server_has_them_all() {
    let server = FakeServer::planning(&[
        Behaviour::Overloaded,
        Behaviour::StoreOneMessageThenFail,
        Behaviour::WantOneAgain,
    ]);
    let args = start(&server, &["--events", "100", "--verify"]).await;
    let (tally, _) = drive(&args, CancellationToken::new()).await.expect("a run");
    assert_eq!(server.stored_count(), 100);
    let verdicts = (tally.sent, tally.accepted, tally.duplicates, tally.retries);
    assert_eq!(verdicts, (100, 90, 10, 3));
    assert!(tally.is_complete());
    assert_eq!(tally.latencies.total(), 1);
    // The time of the waits between the attempts is a part of the latency.
    assert!(tally.latencies.max() >= Duration::from_millis(700));
    let stored = server.stored.lock().expect("stored");
    let to_verify = tally.to_verify.expect("kept");
    assert_eq!(to_verify.len(), 100);
    assert!(
        to_verify
            .iter()
            .all(|key| stored.contains(&key.id.to_string()))
    );
}

#[tokio::test]
async fn what_was_never_acknowledged_is_told_apart() {
    let server = FakeServer::planning(&[Behaviour::Store, Behaviour::KeyInvalid]);
    let args = start(&server, &["--events", "1000", "--verify"]).await;
    let (tally, _) = drive(&args, CancellationToken::new()).await.expect("a run");
    // 20 messages of 10 events a call; the call that failed was the last.
    assert_eq!(server.calls.load(Ordering::Relaxed), 2);
    assert_eq!((tally.acknowledged(), tally.unacknowledged()), (200, 200));
    assert_eq!(tally.to_verify.as_ref().expect("kept").len(), 200);
    assert!(!tally.is_complete());
    let error = tally.error.expect("an error").to_string();
    assert!(error.contains("KEY_INVALID"), "{error}");
}

#[tokio::test]
async fn asked_to_stop_it_waits_for_what_was_sent_only() {
    let server = FakeServer::default();
    let args = start(&server, &["--duration", "1h", "--rate", "80"]).await;
    let stop = CancellationToken::new();
    let run = drive(&args, stop.clone());
    let stop_after_a_call = async {
        while server.stored_count() == 0 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (run, ()) = tokio::join!(run, stop_after_a_call);
    let (tally, elapsed) = run.expect("a run");
    assert!(elapsed < Duration::from_secs(60));
    assert_eq!(tally.sent, server.stored_count() as u64);
    assert!(tally.is_complete());

    let (tally, _) = drive(&args, stop).await.expect("a run");
    assert_eq!(tally.sent, 0);
}

#[tokio::test]
async fn a_pipe_goes_on_with_the_first_message_that_was_not_acknowledged() {
    let server = FakeServer::planning(&[
        Behaviour::Overloaded,
        Behaviour::StoreOneMessageThenFail,
        Behaviour::WantOneAgain,
    ]);
    let args = start(&server, &["--pipe", "--events", "105", "--verify"]).await;
    let (tally, _) = drive(&args, CancellationToken::new()).await.expect("a run");
    assert_eq!(server.stored_count(), 105);
    // The first message was stored and not acknowledged; then it was, and the next one was wanted again.
    assert_eq!(*server.resumed_at.lock().expect("resumed at"), [0, 0, 1]);
    assert_eq!((tally.sent, tally.acknowledged()), (105, 105));
    assert!(tally.duplicates >= 10);
    assert_eq!(tally.retries, 3);
    assert_eq!(tally.latencies.total(), 11);
    assert!(tally.is_complete());
    let stored = server.stored.lock().expect("stored");
    let to_verify = tally.to_verify.expect("kept");
    let verified = to_verify.iter().map(|key| key.id.to_string());
    assert_eq!(verified.collect::<HashSet<_>>(), *stored);
}

#[tokio::test]
async fn a_pipe_that_is_refused_for_good_ends_the_run() {
    let server = FakeServer::planning(&[Behaviour::KeyInvalid]);
    let args = start(&server, &["--pipe", "--events", "1000"]).await;
    let (tally, _) = drive(&args, CancellationToken::new()).await.expect("a run");
    assert_eq!(server.calls.load(Ordering::Relaxed), 1);
    assert_eq!(tally.acknowledged(), 0);
    let error = tally.error.expect("an error").to_string();
    assert!(error.contains("KEY_INVALID"), "{error}");
}

#[tokio::test]
async fn a_pipe_that_is_asked_to_stop_waits_for_its_acknowledgements() {
    let server = FakeServer::default();
    let args = start(&server, &["--pipe", "--duration", "1h"]).await;
    let stop = CancellationToken::new();
    let stop_after_a_while = async {
        while server.stored_count() < 2_000 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (run, ()) = tokio::join!(drive(&args, stop.clone()), stop_after_a_while);
    let (tally, _) = run.expect("a run");
    assert_eq!(tally.sent, server.stored_count() as u64);
    assert!(tally.is_complete());
    assert_eq!(server.calls.load(Ordering::Relaxed), 1);

    let (tally, _) = drive(&args, stop).await.expect("a run");
    assert_eq!(tally.sent, 0);
}
