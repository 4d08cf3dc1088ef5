//! Streams: lines, one JSON object each, and server-sent events.
//!
//! # Server-sent events
//!
//! `GET /v1/stream` is `text/event-stream`, as a browser's `EventSource` reads it. Its first event is `hello`
//! ([`Hello`]): from which number on it tells. Then each entry of the journal is an event without a name whose `id` is the
//! number of the entry and whose data is the [`JournalLine`]. Whoever comes back with the last id gets what it missed, as
//! long as the journal has it. Where something is missing, because the client did not read for so long that its queue ran
//! over, or because the journal does not know the number, an event `resync` ([`Resync`]) says so and from where it goes on;
//! the client then asks again for the state that it shows. A comment every five seconds shows that it lives.

use serde::{Deserialize, Serialize};

use vigie_core::supervisor::{Outcome, SessionId};

use crate::journal::JournalLine;
use crate::report::FailureDetail;

/// One line of `POST /v1/requests` or `POST /v1/sessions`: an object with one key that says what it is.
/// (`GET /v1/events` sends plain [`JournalLine`]s.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RequestLine"))]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Something was written into the journal.
    Entry(JournalLine),
    /// The number of the session: the first line of its stream.
    Session(SessionId),
    /// What came of the request: the last line of its stream.
    Outcome(Outcome),
    /// The stream cannot go on: its last line.
    Error(FailureDetail),
}

/// The first event of a stream: `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// Entries with a higher number follow.
    pub after: u64,
}

/// Something is missing from a stream: `resync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Resync {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// Why.
    pub why: Missing,
    /// Nothing up to this number is told any more; entries with a higher one follow.
    pub after: u64,
}

/// Why something is missing from a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The client read too slowly.
    Slow,
    /// The journal does not have what follows the number any more.
    Expired,
    /// The journal has never had the number: it is another one than it was.
    Unknown,
}
