//! Rollups beside a service: made segments of at once, and compared with the events.

use std::sync::Arc;

use tallymark::domain::property::Retention;
use tallymark::rollup::attributes::AttributeStore;
use tallymark::rollup::compact::Compactor;
use tallymark::store::directory::Directory;
use tallymark::store::pool;

/// What keeps the rollups of a database, with connections of its own.
pub async fn compactor(url: &str) -> Compactor {
    let pool = pool::open(url, 4).expect("an address");
    let directory = Directory::load(pool.clone(), Retention::Forever).await;
    let directory = Arc::new(directory.expect("a directory"));
    let attributes = Arc::new(AttributeStore::new(pool.clone()));
    Compactor::new(pool, directory, attributes).patient()
}

/// Makes segments of everything that the rollups of every property have, and merges them.
pub async fn compact(url: &str) {
    let compactor = compactor(url).await;
    for property in compactor.properties() {
        let done = compactor.catch_up(&property).await;
        done.expect("rollups that can be kept");
    }
}

/// Panics if the rollups of any property are not what its events say.
pub async fn check(url: &str) {
    if !has_rollups(url).await {
        return;
    }
    let compactor = compactor(url).await;
    for property in compactor.properties() {
        let verified = compactor.verify(&property).await.expect("rollups");
        let differences: Vec<String> = verified
            .differences
            .iter()
            .take(3)
            .map(ToString::to_string)
            .collect();
        assert!(
            differences.is_empty(),
            "property {}: {differences:#?}",
            property.name
        );
    }
}

/// Whether a service was ever started on the database, whose other sessions are ended.
async fn has_rollups(url: &str) -> bool {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("the tests' database");
    let connection = tokio::spawn(connection);
    // A test's runtime stands still while its database is dropped, and so does whoever holds a lock.
    let end = "select pg_terminate_backend(pid, 10000) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    client.query(end, &[]).await.expect("other sessions end");
    let there = "select to_regclass('rollup_coverage') is not null";
    let is_there = client.query_one(there, &[]).await.expect("an answer");
    let is_there = is_there.get(0);
    drop(client);
    connection.await.expect("no panic").expect("an orderly end");
    is_there
}
