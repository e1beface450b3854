//! [`TestApp`]: a service in this process on a database of its own, and clients for it.

mod app;
mod database;
mod events;
mod forwarder;
pub mod wire;

pub use app::{KeyedChannel, TestApp};
pub use database::TestDatabase;
pub use events::{aggregate_rows, at, page_view, reason, violations};
