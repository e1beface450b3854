//! Old events go: by the chunk when nobody needs them, one property's alone when others do.

use std::sync::Arc;

use jiff::Timestamp;
use tallymark::domain::property::Retention;
use tallymark::pb;
use tallymark::retention;
use tallymark::rollup::attributes::AttributeStore;
use tallymark::rollup::compact::Compactor;
use tallymark::store::directory::Directory;
use tallymark::store::pool;
use tokio_postgres::Client;

use crate::support::{TestApp, at, page_view};

/// The day that it is in these tests.
const NOW: &str = "2026-06-30T12:00:00Z";

#[tokio::test]
async fn every_limit_is_kept_and_no_more_is_removed() {
    let mut app = Site::start().await;
    app.property("week", Some(7)).await;
    app.property("month", Some(30)).await;
    app.property("unset", None).await;
    for property in ["week", "month", "unset"] {
        // 180, 91, 45, 8, 6 and 0 days before noon, and one on either side of the limit of a week.
        for time in [
            "2026-01-01T12:00:00Z",
            "2026-03-31T12:00:00Z",
            "2026-05-16T12:00:00Z",
            "2026-06-22T12:00:00Z",
            "2026-06-23T11:59:59.999999Z",
            "2026-06-23T12:00:00Z",
            "2026-06-24T12:00:00Z",
            "2026-06-30T12:00:00Z",
        ] {
            app.insert(property, time).await;
        }
    }
    assert_eq!(app.chunks().await, 7);

    app.apply(Retention::Days(92)).await;
    assert_eq!(
        app.counts().await,
        ["month 5", "unset 7", "week 3"],
        "92 days is the server's limit, and only `unset` has it"
    );
    // January went as a whole; the other old days are still somebody's.
    assert_eq!(app.chunks().await, 6);
    // What is left is the newest.
    let oldest = "select min(time)::text from events e join properties p using (property_no)
        where p.name = 'week'";
    let oldest: String = app
        .client
        .query_one(oldest, &[])
        .await
        .expect("a time")
        .get(0);
    assert!(oldest.starts_with("2026-06-23 12:00:00"), "{oldest}");

    // Doing it again changes nothing.
    app.apply(Retention::Days(92)).await;
    assert_eq!(app.counts().await, ["month 5", "unset 7", "week 3"]);
}

#[tokio::test]
async fn one_property_that_keeps_for_ever_keeps_only_its_own() {
    let mut app = Site::start().await;
    app.property("archive", Some(0)).await;
    app.property("week", Some(7)).await;
    for property in ["archive", "week"] {
        for time in ["2001-09-09T01:46:40Z", "2026-06-01T00:00:00Z", NOW] {
            app.insert(property, time).await;
        }
    }
    app.apply(Retention::Days(92)).await;
    assert_eq!(app.counts().await, ["archive 3", "week 1"]);
}

#[tokio::test]
async fn an_event_that_is_too_old_already_is_refused_when_it_comes() {
    let app = TestApp::start().await;
    let old = pb::Event {
        time: at("2001-09-09T01:46:40Z"),
        ..page_view("ada", "/")
    };
    let summary = app.send(vec![old, page_view("ada", "/")]).await;
    assert_eq!((summary.accepted, summary.rejected), (1, 1), "{summary:?}");
}

/// A database with the service's schema, and rows put in directly: the service itself does not take
/// events that are too old.
struct Site {
    app: TestApp,
    client: Client,
    row: u32,
}

impl Site {
    async fn start() -> Self {
        let mut app = TestApp::start().await;
        app.database.changes_events();
        let client = app.database.client().await;
        client
            .batch_execute("insert into names (name) values ('page_view') on conflict do nothing")
            .await
            .expect("a name");
        Self {
            app,
            client,
            row: 0,
        }
    }

    async fn property(&self, name: &str, retention_days: Option<i32>) {
        let insert = "insert into properties (name, retention_days) values ($1, $2)";
        let inserted = self.client.execute(insert, &[&name, &retention_days]).await;
        inserted.expect("a property");
    }

    async fn insert(&mut self, property: &str, time: &str) {
        self.row += 1;
        let time: Timestamp = time.parse().expect("a time");
        let insert = "insert into events
                (time, event_id, property_no, visitor_no, name_no, channel, is_page_view, is_bot)
            select $1, gen_random_uuid(), p.property_no, 1, n.name_no, 1, true, false
            from properties p, names n where p.name = $2 and n.name = 'page_view'";
        let inserted = self.client.execute(insert, &[&time, &property]).await;
        assert_eq!(inserted.expect("an event"), 1);
    }

    /// What the service's worker does, at noon of the day of these tests.
    async fn apply(&self, default: Retention) {
        let pool = pool::open(&self.app.database.url(), 2).expect("a pool");
        let directory = Directory::load(pool.clone(), default).await;
        let directory = Arc::new(directory.expect("properties"));
        let attributes = Arc::new(AttributeStore::new(pool.clone()));
        let rollups = Compactor::new(pool.clone(), directory, attributes).patient();
        let now = NOW.parse().expect("a time");
        retention::apply(&pool, &rollups, now)
            .await
            .expect("old events are removed");
    }

    /// `property count`, in order.
    async fn counts(&self) -> Vec<String> {
        let count = "select p.name || ' ' || count(*) from events e
            join properties p using (property_no) group by p.name order by 1";
        let rows = self.client.query(count, &[]).await.expect("counts");
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn chunks(&self) -> i64 {
        let count = "select count(*) from show_chunks('events')";
        self.client
            .query_one(count, &[])
            .await
            .expect("a count")
            .get(0)
    }
}
