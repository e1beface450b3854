//! Bounded memory for requests: every message of a call of ours has a share of one budget from its
//! first byte until its handler has dropped it, or asks for what follows it.
//!
//! ```text
//!  HTTP/2 ──▶ MeteredBody: framing ─▶ budget ──▶ tonic: buffer ─▶ decoder ─▶ handler ─▶ log
//!    ▲            │ no share left: nobody reads                        │         │ has the events,
//!    └── window ◀─┘            share given back ◀──── wants the next ──┘◀────────┘ in its own budget
//! ```
//!
//! A message is charged whole when its five-byte prefix has come, since that is when tonic makes
//! room for all of it. So a message that was begun never waits for budget in the middle. And it is
//! charged when the messages before it have been taken: data is cut where a message ends, and what
//! follows stays with the body until tonic asks for it. So messages cannot block one another; only a
//! client that does not send can hold its share. Such a client has
//! [`MESSAGE_TIMEOUT`](metered::MESSAGE_TIMEOUT), and much less while somebody waits.
//!
//! A handler may wait long for what does not need its message any more: a commit, an answer. Before
//! that it gives the share back ([`Received::release`](received::Received::release), by way of
//! `Scope`). Where a call takes one message, tonic waits for the end of the body and drops it before it
//! calls the handler; there the share belongs to the request's extensions and the handler's `Scope`,
//! and a client that does not end the body is one that does not send.
//!
//! What the budget does not hold is bounded by the number of connections: what HTTP/2 lets a client
//! send unread (the windows in `server`), and one data frame of each call, of which a part waits for
//! budget or for the handler.

pub mod budget;
mod framing;
pub mod layer;
mod metered;
pub mod received;
