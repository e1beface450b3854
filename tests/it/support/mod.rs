//! [`TestApp`]: a service in this process on a database of its own, and clients for it.
//! [`ServerProcess`]: the real program, as a process of its own.

mod app;
mod database;
mod events;
mod forwarder;
pub mod letters;
pub mod load;
mod process;
pub mod questions;
pub mod raw_http2;
pub mod rollups;
pub mod wire;

pub use app::{KeyedChannel, SendKey, TestApp, key_id};
pub use database::TestDatabase;
pub use events::{aggregate_rows, at, committed, committed_batch, page_view, reason, violations};
pub use forwarder::Forwarder;
pub use process::{Ended, ServerProcess, data_dir, run, run_with_stdin, tallymark};
