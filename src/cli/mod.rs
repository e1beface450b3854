//! The command line's client side: what talks to a server as any other client does.
//!
//! ```text
//! files, stdin ─ import ─┐
//!        traffic ─ demo ─┼─▶ connect ─▶ a server ─▶ answers ─▶ table
//! ```

pub mod connect;
pub mod demo;
pub mod import;
pub mod retry;
pub mod table;
pub mod traffic;
