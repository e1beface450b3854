//! Bounded memory for requests: every message of a call of ours has a share of one budget from its
//! first byte until the handler asks for what follows it.
//!
//! ```text
//!  HTTP/2 ──▶ MeteredBody: framing ─▶ budget ──▶ tonic: buffer ─▶ decoder ─▶ handler
//!    ▲            │ no share left: nobody reads                        │ wants the next message
//!    └── window ◀─┘                              share given back ◀────┘
//! ```
//!
//! A message is charged whole when its five-byte prefix has come, since that is when tonic makes
//! room for all of it. So a message that was begun never waits for budget in the middle, and
//! messages cannot block one another; only a client that does not send can hold its share. Such a
//! client has [`MESSAGE_TIMEOUT`](metered::MESSAGE_TIMEOUT), and much less while somebody waits.
//!
//! What the budget does not hold is bounded by the number of connections: what HTTP/2 lets a client
//! send unread (the windows in `server`), and one data frame of each call that waits.

pub mod budget;
mod framing;
pub mod layer;
mod metered;
