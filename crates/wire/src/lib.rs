//! What a keeper and its clients, a worker and the daemon say to each other.
//!
//! One JSON object a line ([`LIMIT`] bytes at most) over a Unix stream socket, both ways. JSON, so that a person with
//! `socat` can read along; lines, so that a torn write is a torn line and nothing else. The first line that a keeper
//! sends names its [`VERSION`]; fields are added, never renamed or removed, and unknown ones are ignored.
//!
//! The protocol is about *state*, not about messages that must arrive: a client that connects (again) gets the whole
//! state and every event of the current run that it has not seen, by number. So a connection may break at any time.

pub mod frame;
pub mod keeper;
pub mod nursery;
pub mod worker;

/// The version of the protocol.
pub const VERSION: u32 = 1;

/// The longest line in bytes, its newline included. The largest message is a [`keeper::Request::Launch`] with its
/// environment, which the kernel limits to a quarter of the stack, 2 MiB (execve(2)); JSON may double it.
pub const LIMIT: usize = 8 << 20;
