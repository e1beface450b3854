//! Events that the database refuses, and what becomes of them.

use std::time::Duration;

use prost_types::Duration as WireDuration;
use tallymark::pb::{self, DeadLetterSelection};
use tonic::Status;

use super::{TestApp, TestDatabase, page_view};

/// Milliseconds of the duration that [`refuse_poison`] refuses.
const POISON_MS: i32 = 66_613;

/// An event that the database refuses after [`refuse_poison`].
pub fn poison(visitor: &str) -> pb::Event {
    pb::Event {
        duration: Some(WireDuration {
            seconds: i64::from(POISON_MS / 1_000),
            nanos: POISON_MS % 1_000 * 1_000_000,
        }),
        ..page_view(visitor, "https://example.com/poison")
    }
}

/// Lets the service's database refuse [`poison`] from now on.
pub async fn refuse_poison(app: &TestApp) {
    refuse_poison_in(&app.database).await;
}

/// Lets a database refuse [`poison`] from now on.
pub async fn refuse_poison_in(database: &TestDatabase) {
    let constraint = format!(
        "alter table events add constraint no_poison \
         check (duration_ms is distinct from {POISON_MS})"
    );
    let client = database.client().await;
    client
        .batch_execute(&constraint)
        .await
        .expect("a constraint");
}

/// Lets the database take it again.
pub async fn allow_poison(app: &TestApp) {
    let client = app.database.client().await;
    let dropped = client.batch_execute("alter table events drop constraint no_poison");
    dropped.await.expect("no constraint");
}

/// Sends one event that becomes a dead letter, and returns its letter's number.
pub async fn send_poison(app: &TestApp, event: pb::Event) -> i64 {
    let event_id = event.event_id.clone();
    let summary = app.send(vec![event]).await;
    assert_eq!(summary.rejected, 1, "{summary:?}");
    let letters = letters(app).await.into_iter();
    let mut own = letters.filter(|letter| event_id_of(letter) == Some(&event_id));
    own.next_back().expect("its letter").number
}

/// The id of a letter's event.
pub fn event_id_of(letter: &pb::DeadLetter) -> Option<&str> {
    let event = letter.event.as_ref()?.event.as_ref()?;
    Some(&event.event_id)
}

/// One page of letters.
pub async fn page(
    app: &TestApp,
    key: &str,
    request: pb::ListDeadLettersRequest,
) -> Result<pb::ListDeadLettersResponse, Status> {
    let reply = app.admin_with(key).list_dead_letters(request).await?;
    Ok(reply.into_inner())
}

/// All letters, as the server's administrator sees them.
pub async fn letters(app: &TestApp) -> Vec<pb::DeadLetter> {
    let request = pb::ListDeadLettersRequest {
        page_size: 1_000,
        ..pb::ListDeadLettersRequest::default()
    };
    let page = page(app, app.admin_key.reveal(), request).await;
    let page = page.expect("a list");
    assert_eq!(page.next_page_token, "", "more than a page");
    page.dead_letters
}

/// These letters.
pub fn numbered(numbers: &[i64]) -> DeadLetterSelection {
    DeadLetterSelection {
        numbers: numbers.to_vec(),
        ..DeadLetterSelection::default()
    }
}

/// All letters.
pub fn all() -> DeadLetterSelection {
    DeadLetterSelection {
        all: true,
        ..DeadLetterSelection::default()
    }
}

/// Replays letters with this key.
pub async fn replay_with(
    app: &TestApp,
    key: &str,
    selection: DeadLetterSelection,
) -> Result<i64, Status> {
    let selection = Some(selection);
    let request = pb::ReplayDeadLettersRequest { selection };
    let reply = app.admin_with(key).replay_dead_letters(request).await?;
    Ok(reply.into_inner().replayed)
}

/// Drops letters with this key.
pub async fn drop_with(
    app: &TestApp,
    key: &str,
    selection: DeadLetterSelection,
) -> Result<i64, Status> {
    let selection = Some(selection);
    let request = pb::DropDeadLettersRequest { selection };
    let reply = app.admin_with(key).drop_dead_letters(request).await?;
    Ok(reply.into_inner().dropped)
}

/// Replays letters as the server's administrator.
pub async fn replay(app: &TestApp, selection: DeadLetterSelection) -> i64 {
    let replayed = replay_with(app, app.admin_key.reveal(), selection).await;
    replayed.expect("a replay")
}

/// Waits until so many records of the log are loaded, as events or as letters.
pub async fn until_loaded(app: &TestApp, records: i64) {
    let client = app.database.client().await;
    let loaded = async {
        loop {
            let sum = "select coalesce(sum(next - first), 0)::bigint from log_positions";
            let row = client.query_one(sum, &[]).await.expect("a sum");
            let loaded: i64 = row.get(0);
            assert!(loaded <= records, "{loaded} records, {records} are right");
            if loaded == records {
                return;
            }
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(60), loaded).await;
    reached.unwrap_or_else(|_| panic!("there are never {records} records loaded"));
}
