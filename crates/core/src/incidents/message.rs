//! What is told: one message, as it is stored until it was delivered.

use serde::{Deserialize, Serialize};

use super::rule::{RuleName, Severity};
use crate::clock::Wall;
use crate::identity::RunId;
use crate::journal::Subject;

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// An incident was opened.
    Opened,
    /// It is still open.
    Reminder,
    /// It is over.
    Resolved,
    /// Several messages in one, because there were too many of them.
    Digest,
    /// Somebody wants to see whether a channel works.
    Test,
}

impl Occasion {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Occasion::Opened => "opened",
            Occasion::Reminder => "reminder",
            Occasion::Resolved => "resolved",
            Occasion::Digest => "digest",
            Occasion::Test => "test",
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The same for every attempt to deliver it, and for no other message: a receiver that sees it twice has it once.
    pub key: String,
    /// Why it is sent.
    pub occasion: Occasion,
    /// How grave it is.
    pub severity: Severity,
    /// About whom; absent in a digest.
    pub subject: Option<Subject>,
    /// The number of the incident.
    pub incident: Option<u64>,
    /// The rule that found it.
    pub rule: Option<RuleName>,
    /// What happened, in one line, without the subject.
    pub text: String,
    /// How often it happened.
    pub count: u64,
    /// When the incident was opened.
    pub opened: Option<Wall>,
    /// When this was to be told.
    pub at: Wall,
    /// The run whose output explains it.
    pub run: Option<RunId>,
    /// How many of the last lines of its output belong to this message and are to be added.
    #[serde(default)]
    pub wants_lines: u32,
    /// More lines: the last ones of the output, or what a digest holds.
    #[serde(default)]
    pub lines: Vec<String>,
}

impl Message {
    /// One line: `demo/api: crash loop: 5 exits in 3s, the last with code 7`. What is over says so first.
    pub fn title(&self) -> String {
        let mark = match self.occasion {
            Occasion::Resolved => "resolved: ",
            Occasion::Reminder => "still open: ",
            Occasion::Opened | Occasion::Digest | Occasion::Test => "",
        };
        match &self.subject {
            Some(subject) => format!("{mark}{subject}: {}", self.text),
            None => format!("{mark}{}", self.text),
        }
    }
}
