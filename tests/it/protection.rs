//! Nobody can keep the database busy: questions take turns, and what nobody waits for is cancelled.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tallymark::pb;
use tokio_postgres::{Client, Transaction};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::wire::assert_refused;
use crate::support::{TestApp, page_view, reason};

/// Without rollups every question reads the events.
const RAW: (&str, &str) = ("TALLYMARK_ROLLUPS", "false");
const SOON: Duration = Duration::from_secs(60);

/// Keeps questions from being answered until it is given back.
async fn lock(client: &mut Client) -> Transaction<'_> {
    let lock = client.transaction().await.expect("a transaction");
    lock.batch_execute("lock table events in access exclusive mode")
        .await
        .expect("a lock");
    lock
}

/// Waits until so many statements of the service wait for a lock.
async fn until_waiting(watcher: &Client, wanted: i64) {
    // Old events are removed when a service has started, which may wait for the same lock.
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'tallymark'
            and state = 'active' and wait_event_type = 'Lock'
            and query not like '%drop_chunks%' and query not like '%delete from events%'";
    let reached = async {
        while watcher
            .query_one(waiting, &[])
            .await
            .expect("a count")
            .get::<_, i64>(0)
            != wanted
        {}
    };
    let reached = tokio::time::timeout(SOON, reached).await;
    reached.unwrap_or_else(|_| panic!("never {wanted} that wait"));
}

/// A question that is not the same as that with another number.
fn question(number: i32) -> pb::AggregateRequest {
    pb::AggregateRequest {
        limit: number + 1,
        ..pb::AggregateRequest::default()
    }
}

#[tokio::test]
async fn questions_of_a_property_take_turns_and_those_of_others_do_not_wait_for_them() {
    let variables = [
        RAW,
        ("TALLYMARK_RAW_SCANS", "1"),
        ("TALLYMARK_POOL_SIZE", "8"),
    ];
    let app = TestApp::start_with(&variables).await;
    let shop = app.create_property("shop").await;
    let (mut client, watcher) = (app.database.client().await, app.database.client().await);
    let lock = lock(&mut client).await;

    let ask = |number| {
        let mut query = app.query();
        async move { query.aggregate(question(number)).await }
    };
    let mut calls = FuturesUnordered::new();
    let first = tokio::spawn(ask(0));
    until_waiting(&watcher, 1).await;
    // Two more may wait for their turn.
    calls.extend((1..=5).map(ask));
    for _ in 0..3 {
        let status = calls.next().await.expect("a call").expect_err("no room");
        assert_refused(&status, Code::ResourceExhausted, "TOO_MANY_SCANS", &[]);
        let details = status.get_error_details();
        let info = details.error_info().expect("ErrorInfo");
        assert_eq!(info.metadata["limit_scans"], "1");
        assert!(details.retry_info().is_some(), "{details:?}");
    }
    let mut shops = app.query_with(&shop.read_key);
    let shops = tokio::spawn(async move { shops.aggregate(question(0)).await });
    until_waiting(&watcher, 2).await;

    lock.rollback().await.expect("the lock is given back");
    first.await.expect("no panic").expect("an answer");
    shops.await.expect("no panic").expect("an answer");
    while let Some(answer) = calls.next().await {
        answer.expect("its turn came");
    }
}

/// Every kind of question about events.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Aggregate,
    AggregateAnew,
    ListEvents,
    GetEvent,
}

const KINDS: [Kind; 4] = [
    Kind::Aggregate,
    Kind::AggregateAnew,
    Kind::ListEvents,
    Kind::GetEvent,
];

async fn ask(app: &TestApp, kind: Kind, deadline: Option<Duration>) -> Result<(), Status> {
    fn with_deadline<T>(message: T, deadline: Option<Duration>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        request
    }
    let mut query = app.query();
    match kind {
        Kind::Aggregate | Kind::AggregateAnew => {
            let question = pb::AggregateRequest {
                no_cache: matches!(kind, Kind::AggregateAnew),
                ..pb::AggregateRequest::default()
            };
            query
                .aggregate(with_deadline(question, deadline))
                .await
                .map(drop)
        }
        Kind::ListEvents => {
            let question = pb::ListEventsRequest::default();
            query
                .list_events(with_deadline(question, deadline))
                .await
                .map(drop)
        }
        Kind::GetEvent => {
            let question = pb::GetEventRequest {
                event_id: page_view("", "").event_id,
                ..pb::GetEventRequest::default()
            };
            query
                .get_event(with_deadline(question, deadline))
                .await
                .map(drop)
        }
    }
}

#[tokio::test]
async fn the_statement_of_a_caller_that_left_is_cancelled() {
    let app = TestApp::start_with(&[RAW]).await;
    let (mut client, watcher) = (app.database.client().await, app.database.client().await);
    let lock = lock(&mut client).await;
    for kind in KINDS {
        let mut call = Box::pin(ask(&app, kind, None));
        tokio::select! {
            answer = &mut call => panic!("{kind:?}: {answer:?}"),
            () = until_waiting(&watcher, 1) => {}
        }
        drop(call);
        until_waiting(&watcher, 0).await;
    }
    lock.rollback().await.expect("the lock is given back");
    ask(&app, Kind::Aggregate, None).await.expect("an answer");
}

#[tokio::test]
async fn the_statement_of_a_call_whose_deadline_passes_is_cancelled() {
    let app = TestApp::start_with(&[RAW]).await;
    let (mut client, watcher) = (app.database.client().await, app.database.client().await);
    let lock = lock(&mut client).await;
    for kind in KINDS {
        let call = ask(&app, kind, Some(Duration::from_millis(700)));
        let (answer, ()) = tokio::join!(call, until_waiting(&watcher, 1));
        let status = answer.expect_err("no answer");
        // The client's own clock may be first.
        let codes = [Code::DeadlineExceeded, Code::Cancelled];
        assert!(codes.contains(&status.code()), "{kind:?}: {status:?}");
        until_waiting(&watcher, 0).await;
    }
    lock.rollback().await.expect("the lock is given back");
}

#[tokio::test]
async fn the_statement_of_a_question_that_takes_too_long_is_cancelled() {
    let app = TestApp::start_with(&[RAW, ("TALLYMARK_QUERY_TIMEOUT_MS", "700")]).await;
    let (mut client, watcher) = (app.database.client().await, app.database.client().await);
    let lock = lock(&mut client).await;
    for kind in KINDS {
        let (answer, ()) = tokio::join!(ask(&app, kind, None), until_waiting(&watcher, 1));
        let status = answer.expect_err("no answer");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{kind:?}");
        assert_eq!(reason(&status), "QUERY_TIMEOUT", "{kind:?}");
        until_waiting(&watcher, 0).await;
    }
    lock.rollback().await.expect("the lock is given back");
}
