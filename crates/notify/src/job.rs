//! What the daemon and the process that sends one message say to each other: one JSON object each, on standard input and
//! output. Both are the same program, so the format needs no versions.

use serde::{Deserialize, Serialize};

use vigie_core::incidents::Message;

/// What is to be sent. The URL of the channel is not in it: who sends reads it where it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The name of the channel.
    pub channel: String,
    /// What to send.
    pub message: Message,
    /// The name of the machine.
    pub host: String,
}
