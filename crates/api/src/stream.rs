//! The lines of a stream: one JSON object each.

use serde::{Deserialize, Serialize};

use vigie_core::supervisor::{Outcome, SessionId};

use crate::journal::JournalLine;
use crate::report::FailureDetail;

/// One line of `POST /v1/requests` or `POST /v1/sessions`: an object with one key that says what it is.
/// (`GET /v1/events` sends plain [`JournalLine`]s.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
