//! What is wrong: `vigie doctor --json` (R3.6).

use serde::{Deserialize, Serialize};

use vigie_core::doctor::{Change, Finding as Found};

use crate::time::Millis;
use crate::why::{Cure, Fact};

/// One look, or with `--watch` the first of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// When it was looked.
    pub at: Millis,
    /// The gravest first.
    pub findings: Vec<Finding>,
    /// What could not be seen.
    pub unseen: Vec<Unseen>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is: `ghost`, `zombies`, …
    pub kind: String,
    /// `critical`, `warning` or `notice`
    pub severity: String,
    /// What it is about: `pid:4711`, `demo/api`, `fuse:45`, a path.
    pub subject: String,
    /// In one sentence.
    pub text: String,
    /// What that follows from.
    pub because: Vec<String>,
    /// The raw facts.
    pub evidence: Vec<Fact>,
    /// What can be done, the mildest first.
    pub remedies: Vec<Cure>,
    /// The processes that it is about.
    pub pids: Vec<u32>,
    /// The service that it is about.
    pub service: Option<String>,
}

/// Something that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// With `--watch`: something that has changed since the look before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// When that was seen.
    pub at: Millis,
    /// `opened` or `resolved`
    pub change: String,
    /// What.
    pub finding: Finding,
}

/// With `--fix`: what was done, or with `--dry-run` would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fixed {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// When.
    pub at: Millis,
    /// Nothing was done.
    pub dry_run: bool,
    /// What was found before.
    pub findings: Vec<Finding>,
    /// In the order in which they were done.
    pub steps: Vec<Step>,
    /// What is still found afterwards; absent when nothing was done.
    pub left: Option<Vec<Finding>>,
}

/// One remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its stable name.
    pub remedy: String,
    /// For which finding.
    pub kind: String,
    /// About what.
    pub subject: String,
    /// What is done, to whom.
    pub deed: String,
    /// `planned`, `done` (the finding is gone), `not-enough` (it was done, and the finding is still there), `failed`,
    /// `needless` (a remedy before it had been enough) or `left-out` (it was not agreed to)
    pub outcome: String,
    /// Why, when it was not done or not enough.
    pub why: Option<String>,
}

impl From<&Found> for Finding {
    fn from(found: &Found) -> Self {
        Self {
            kind: found.kind.name().to_owned(),
            severity: found.severity.name().to_owned(),
            subject: found.subject.clone(),
            text: found.text.clone(),
            because: found.because.clone(),
            evidence: found.evidence.iter().map(Fact::from).collect(),
            remedies: found.remedies.iter().map(Cure::from).collect(),
            pids: found.pids.clone(),
            service: found.service.clone(),
        }
    }
}

impl Changed {
    /// At this time.
    pub fn new(at: Millis, change: &Change) -> Self {
        let (name, found) = match change {
            Change::Opened(found) => ("opened", found),
            Change::Resolved(found) => ("resolved", found),
        };
        Self { schema: crate::SCHEMA, at, change: name.to_owned(), finding: Finding::from(found) }
    }
}
