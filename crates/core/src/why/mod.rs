//! `vigie why`: from facts to one explanation.
//!
//! What was seen comes in as values ([`facts`]), what it means leaves as an [`Explanation`]: one sentence, what it
//! follows from, the evidence with the place where each fact can be read again, and what can be done. Nothing is
//! guessed: what could not be seen is evidence too, and says why it could not (R1).

pub mod cgroup;
pub mod facts;
mod port;
mod process;
mod service;
mod starter;

use std::fmt::Write as _;
use std::time::Duration;

use crate::clock::Wall;
use crate::stuck::Cure;
use crate::units::format_rounded;

pub use crate::stuck::TaskVerdict;
pub use port::{PortFacts, PortHolder, PortVerdict, explain as explain_port};
pub use process::{explain as explain_process, unexamined};
pub use service::{
    Claim, Copy, Dependency, Ghost, Noted, Probed, ServiceFacts, ServiceVerdict, Stuck, explain as explain_service,
};
pub use starter::{Launcher, launcher, starter};

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What it is.
    pub verdict: Verdict,
    /// The answer in one sentence, without a full stop.
    pub answer: String,
    /// What the answer follows from, one sentence a line.
    pub because: Vec<String>,
    /// The raw facts.
    pub evidence: Vec<Evidence>,
    /// What can be done, the mildest first.
    pub remedies: Vec<Remedy>,
    /// Something that the answer rests on could not be seen.
    pub blind: bool,
}

impl Explanation {
    /// With nothing but its answer.
    pub fn new(verdict: Verdict, answer: impl Into<String>) -> Self {
        Self {
            verdict,
            answer: answer.into(),
            because: Vec::new(),
            evidence: Vec::new(),
            remedies: Vec::new(),
            blind: false,
        }
    }

    /// Adds a fact.
    pub fn fact(&mut self, fact: impl Into<String>, value: impl Into<String>, source: impl Into<String>) {
        self.evidence.push(Evidence { fact: fact.into(), value: value.into(), source: source.into() });
    }

    /// Adds what can be done.
    pub fn remedy(&mut self, name: &'static str, effect: impl Into<String>, command: impl Into<String>) {
        let command = Some(command.into()).filter(|command: &String| !command.is_empty());
        self.remedies.push(Remedy { name, needs: None, effect: effect.into(), command, cure: None });
    }
}

/// What something is found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A process.
    Process(TaskVerdict),
    /// A service.
    Service(ServiceVerdict),
    /// A port.
    Port(PortVerdict),
}

impl Verdict {
    /// Its stable name.
    pub fn name(self) -> String {
        match self {
            Verdict::Process(verdict) => verdict.name().to_owned(),
            Verdict::Service(verdict) => verdict.name().to_owned(),
            Verdict::Port(verdict) => verdict.to_string(),
        }
    }

    /// There is nothing to explain: all is as it should be.
    pub fn is_well(self) -> bool {
        match self {
            // A process is always somebody's.
            Verdict::Process(_) => false,
            Verdict::Service(verdict) => verdict == ServiceVerdict::Well,
            Verdict::Port(verdict) => verdict == PortVerdict::Free,
        }
    }
}

/// A raw fact, and where it can be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What it is about.
    pub fact: String,
    /// What was seen, or why it could not be.
    pub value: String,
    /// The file, the interface, the number of the journal entry.
    pub source: String,
}

/// Something that can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// Its stable name.
    pub name: &'static str,
    /// What it needs that the caller does not have: `root`.
    pub needs: Option<&'static str>,
    /// What comes of it.
    pub effect: String,
    /// How it is done, as a command; absent when no command does it.
    pub command: Option<String>,
    /// What vigie itself does for it, when it is asked to.
    pub cure: Option<Cure>,
}

/// How points in time are written.
#[derive(Clone, Copy)]
pub struct Times<'a> {
    /// Now.
    pub now: Wall,
    /// A point in time, for whoever reads it.
    pub shown: &'a dyn Fn(Wall) -> String,
}

impl Times<'_> {
    /// `12:03:05 (4m ago)`
    pub fn moment(&self, at: Wall) -> String {
        format!("{} ({} ago)", (self.shown)(at), self.age(at))
    }

    /// `4m`, in whole seconds.
    pub fn age(&self, at: Wall) -> String {
        format_rounded(Duration::from_secs(self.now.0.saturating_sub(at.0) / 1_000_000_000))
    }
}

/// `a, b and c`
pub(crate) fn listed(names: &[String]) -> String {
    let Some((last, rest)) = names.split_last() else { return String::new() };
    let mut text = rest.join(", ");
    if !rest.is_empty() {
        text.push_str(" and ");
    }
    let _ = write!(text, "{last}");
    text
}

/// `1 process`, `2 processes`
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
