//! Questions that nobody waits for any more end in the database too.

use std::time::Duration;

use tallymark::pb::filter::Kind;
use tallymark::pb::{self, AggregateRequest, Operator};
use tokio_postgres::Client;

use crate::support::{TestApp, page_view};

/// A question that PostgreSQL would work on for a long time.
fn endless_question() -> AggregateRequest {
    let condition = pb::Condition {
        dimension: "page".to_owned(),
        operator: Operator::MatchesRegex.into(),
        // The back-references make the engine try every split of a text of odd length.
        values: vec![r"^/(a+)(a+)(a+)\1\2\3$".to_owned()],
    };
    AggregateRequest {
        filter: Some(pb::Filter {
            kind: Some(Kind::Where(condition)),
        }),
        ..AggregateRequest::default()
    }
}

/// Waits until so many statements run in the test's database beside the waiting one itself.
async fn until_running(client: &Client, wanted: i64) {
    let running = "select count(*) from pg_stat_activity \
                   where datname = current_database() and state = 'active' \
                   and pid <> pg_backend_pid() and query like '%from paths where%'";
    let reached = async {
        while client
            .query_one(running, &[])
            .await
            .expect("a count")
            .get::<_, i64>(0)
            != wanted
        {}
    };
    tokio::time::timeout(Duration::from_secs(10), reached)
        .await
        .unwrap_or_else(|_| panic!("there are never {wanted} statements running"));
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_statement_with_it() {
    let app = TestApp::start_with(&[("TALLYMARK_POOL_SIZE", "1")]).await;
    app.send_new(vec![page_view("ada", &format!("/{}", "a".repeat(2_001)))])
        .await;
    let client = app.database.client().await;

    let mut query = app.query();
    let asked = tokio::spawn(async move { query.aggregate(endless_question()).await });
    until_running(&client, 1).await;
    asked.abort();
    until_running(&client, 0).await;
    // The only connection for questions is free again.
    let answer = app.aggregate(AggregateRequest::default()).await;
    assert_eq!(answer.rows.len(), 1);
}

#[tokio::test]
async fn the_deadline_of_a_call_ends_its_statement() {
    let app = TestApp::start_with(&[("TALLYMARK_POOL_SIZE", "1")]).await;
    app.send_new(vec![page_view("ada", &format!("/{}", "a".repeat(2_001)))])
        .await;
    let client = app.database.client().await;

    let mut request = tonic::Request::new(endless_question());
    request.set_timeout(Duration::from_millis(300));
    app.query()
        .aggregate(request)
        .await
        .expect_err("it takes too long");
    until_running(&client, 0).await;
    let answer = app.aggregate(AggregateRequest::default()).await;
    assert_eq!(answer.rows.len(), 1);
}
