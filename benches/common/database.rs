//! Databases of the server that the benchmark was given.

use anyhow::Context;
use tokio_postgres::{Client, NoTls};

/// A connection to a database.
pub async fn connect(database: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(database, NoTls)
        .await
        .with_context(|| format!("cannot connect to the database `{database}`"))?;
    tokio::spawn(connection);
    Ok(client)
}

/// Makes an empty database, in the place of one of that name, and returns its connection string.
pub async fn create(server: &str, name: &str) -> anyhow::Result<String> {
    execute(
        server,
        &format!("drop database if exists {name} with (force)"),
    )
    .await?;
    execute(server, &format!("create database {name}")).await?;
    Ok(named(server, name))
}

/// Connection string of a database of the server.
pub fn named(server: &str, name: &str) -> String {
    format!("{server} dbname={name}")
}

/// Runs one statement.
pub async fn execute(url: &str, sql: &str) -> anyhow::Result<()> {
    let client = connect(url).await?;
    client
        .batch_execute(sql)
        .await
        .with_context(|| sql.to_owned())
}
