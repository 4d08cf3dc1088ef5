//! What is told: one message, as it is stored until it was delivered.

use serde::{Deserialize, Serialize};

use super::rule::{RuleId, Severity};
use crate::clock::Wall;
use crate::identity::RunId;
use crate::journal::Subject;
use crate::manifest::looks_secret;

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
    pub rule: Option<RuleId>,
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

/// A line of output as it may leave the machine: what follows a word that looks like the name of a secret, and URLs with a
/// password in them, are masked (R12.4). Only whoever wrote the line knows whether that was all.
pub fn masked(line: &str) -> String {
    let mut hide_next = 0;
    let mut words = Vec::new();
    for word in line.split(' ') {
        let bare = |text: &str| text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
        let (name, value) = match word.find(['=', ':']) {
            Some(place) if !word[place..].starts_with("://") => (bare(&word[..place]), &word[place + 1..]),
            _ => (String::new(), word),
        };
        if hide_next > 0 && !word.is_empty() {
            // `Authorization: Bearer abc`: the scheme is no secret, what follows it is.
            let scheme = ["basic", "bearer", "token"].contains(&word.to_ascii_lowercase().as_str());
            hide_next = if scheme { 1 } else { 0 };
            words.push(if scheme { word.to_owned() } else { "***".to_owned() });
        } else if !name.is_empty() && looks_secret(&name, value) {
            let kept = &word[..word.len() - value.len()];
            hide_next = usize::from(value.is_empty());
            words.push(if value.is_empty() { word.to_owned() } else { format!("{kept}***") });
        } else if looks_secret("", value) {
            words.push("***".to_owned());
        } else {
            words.push(word.to_owned());
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_here() {
        for (line, shown) in [
            ("connected to db in 3ms: ok", "connected to db in 3ms: ok"),
            ("DB_PASSWORD=hunter2 PORT=80", "DB_PASSWORD=*** PORT=80"),
            ("{\"api_token\":\"hunter2\"}", "{\"api_token\":***"),
            ("password: hunter2, user: anna", "password: *** user: anna"),
            ("Authorization: Bearer hunter2", "Authorization: Bearer ***"),
            ("no route to postgres://app:hunter2@db/x", "no route to ***"),
            ("see https://example.com/a:b", "see https://example.com/a:b"),
            ("", ""),
        ] {
            assert_eq!(masked(line), shown);
        }
    }
}
