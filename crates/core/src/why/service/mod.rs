//! A service: why it runs twice, cannot start, is not ready, was restarted; else who started it, since when.
//!
//! Each of these is one question with one explanation of its own. The gravest comes first; the others follow it.

mod cannot_start;
mod claims;
mod not_ready;
mod restarted;
mod standing;
mod twice;

use crate::claim::PortClaim;
use crate::clock::Wall;
use crate::exit::Exit;
use crate::identity::RunId;
use crate::journal::{Entry, Subject, What, describe};
use crate::launch::Holder;
use crate::manifest::{Condition, Service};
use crate::name::Name;
use crate::service::{State, Wanted};
use crate::stuck::Judgement;
use crate::text::OsText;
use crate::why::facts::{Process, Story};
use crate::why::port::PortFacts;
use crate::why::{Explanation, Times};

/// What is found about a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceVerdict {
    /// Its run is there, and another copy of it.
    RunsTwice,
    /// vigie does not run it, and a copy of it runs.
    Stray,
    /// It is to run and cannot be started, or was given up.
    CannotStart,
    /// No signal ends what is left of it.
    Stuck,
    /// It runs, or waits, and is not ready.
    NotReady,
    /// A port that it claims is another's.
    PortBusy,
    /// It was started again since it was asked for.
    Restarted,
    /// Nothing of it runs, and nothing is to.
    Stopped,
    /// There is nothing to explain.
    Well,
}

impl ServiceVerdict {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            ServiceVerdict::RunsTwice => "runs-twice",
            ServiceVerdict::Stray => "stray",
            ServiceVerdict::CannotStart => "cannot-start",
            ServiceVerdict::Stuck => "stuck",
            ServiceVerdict::NotReady => "not-ready",
            ServiceVerdict::PortBusy => "port-busy",
            ServiceVerdict::Restarted => "restarted",
            ServiceVerdict::Stopped => "stopped",
            ServiceVerdict::Well => "well",
        }
    }
}

/// Another copy of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// It, and where it comes from.
    pub story: Story,
    /// The facts that match (R4.5).
    pub matched: Vec<String>,
    /// The ports that it holds, as `127.0.0.1:8000/tcp`.
    pub ports: Vec<String>,
}

/// A port that the service claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who has it.
    pub facts: PortFacts,
    /// Its own run has it.
    pub ours: bool,
}

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Its number; absent: a keeper wrote it down, and no daemon has journalled it yet.
    pub seq: Option<u64>,
    /// When.
    pub at: Wall,
    /// Of which run.
    pub run: Option<RunId>,
    /// What happened.
    pub what: What,
}

impl Noted {
    /// Where it can be read again.
    pub fn source(&self) -> String {
        match self.seq {
            Some(seq) => format!("journal entry {seq}"),
            None => "events.jsonl of its keeper".to_owned(),
        }
    }

    /// The line for people.
    pub fn text(&self) -> String {
        describe(&Entry::new(self.at, Subject::Daemon, self.run, self.what.clone()))
    }
}

/// A process of it that no signal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// It.
    pub process: Process,
    /// What it is found to be.
    pub judgement: Judgement,
}

/// A process of an earlier run that no signal ended, and that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ghost {
    /// Its PID.
    pub pid: u32,
    /// What it calls itself.
    pub name: String,
    /// When it was set aside.
    pub at: Wall,
}

/// A service that this one comes after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Its name.
    pub name: Name,
    /// What must have happened to it.
    pub condition: Condition,
    /// Where it stands; absent: it was never started.
    pub state: Option<State>,
    /// Why, when that is not plain.
    pub why: Option<String>,
}

/// What the kernel says about the port that readiness is asked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The port.
    pub port: PortClaim,
    /// The service's own run listens there; absent: that cannot be seen.
    pub ours: Option<bool>,
    /// Who else does, as far as it can be seen.
    pub others: Vec<String>,
}

/// What was seen of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceFacts {
    /// `demo/api:headless`
    pub label: String,
    /// How it is called on the command line.
    pub target: String,
    /// Where it stands; absent: it was never started.
    pub state: Option<State>,
    /// Whether it is to run; absent: nobody manages it.
    pub wanted: Option<Wanted>,
    /// Since when it stands there.
    pub since: Option<Wall>,
    /// Why, as the daemon says it.
    pub why: Option<String>,
    /// New starts since it was asked for.
    pub restarts: u32,
    /// How its last run ended, and when.
    pub last_exit: Option<(Exit, Option<Wall>)>,
    /// Its run.
    pub run: Option<RunId>,
    /// The main process of its run.
    pub main: Option<Story>,
    /// When that was adopted, if vigie did not start it.
    pub adopted: Option<Wall>,
    /// Who holds its lock, as the record says it.
    pub holder: Option<Holder>,
    /// Where that record lies.
    pub record: String,
    /// How it is described, where that is known, and where that stands.
    pub manifest: Option<(Service, String)>,
    /// What the journal knows of it, the oldest first.
    pub history: Vec<Noted>,
    /// The last lines that its last run wrote, and where they lie.
    pub output: Vec<String>,
    /// Where that output lies.
    pub log: String,
    /// Other copies of it.
    pub copies: Vec<Copy>,
    /// The ports that it claims.
    pub claims: Vec<Claim>,
    /// What it comes after.
    pub dependencies: Vec<Dependency>,
    /// What is seen where readiness is asked for.
    pub probed: Option<Probed>,
    /// What its processes wait for, when no signal ended them.
    pub stuck: Vec<Stuck>,
    /// What was set aside of earlier runs, and lives.
    pub ghosts: Vec<Ghost>,
    /// What could not be seen at all, and why.
    pub unseen: Vec<(String, String)>,
}

impl ServiceFacts {
    /// The entries since it was last asked for.
    fn since_asked(&self) -> &[Noted] {
        let asked = self.history.iter().rposition(|noted| matches!(noted.what, What::WantedUp { .. }));
        &self.history[asked.unwrap_or(0)..]
    }

    /// The newest entry since it was asked for that fits.
    fn last(&self, fits: impl Fn(&What) -> bool) -> Option<&Noted> {
        self.since_asked().iter().rev().find(|noted| fits(&noted.what))
    }

    fn is_up(&self) -> bool {
        matches!(self.state, Some(State::Running | State::Ready | State::Degraded | State::Starting))
    }
}

/// Explains a service: the gravest first, never nothing.
pub fn explain(facts: &ServiceFacts, times: Times<'_>) -> Vec<Explanation> {
    let stuck = cannot_start::explain(facts, times);
    // That one tells of the claims by itself.
    let busy = if stuck.is_none() { claims::explain(facts, times) } else { None };
    let found =
        [stuck, twice::explain(facts, times), not_ready::explain(facts, times), busy, restarted::explain(facts, times)];
    let mut all: Vec<Explanation> = found.into_iter().flatten().collect();
    // Who started it, and since when, is asked whatever is the matter.
    if all.is_empty() || facts.is_up() || facts.run.is_some() {
        all.push(standing::explain(facts, times));
    }
    if let Some(first) = all.first_mut() {
        for (fact, why) in &facts.unseen {
            first.fact(fact.clone(), format!("cannot be seen: {why}"), "");
            first.blind = true;
        }
    }
    all
}

/// The entry as evidence.
fn note(noted: &Noted, times: Times<'_>, told: &mut Explanation) {
    told.fact(
        noted.what.kind().replace('_', " "),
        format!("{}, {}", noted.text(), times.moment(noted.at)),
        noted.source(),
    );
}

/// What it did, as the rest of a sentence that begins with "it".
fn did(noted: &Noted) -> String {
    match &noted.what {
        What::NotReady { .. } | What::Degraded { .. } => format!("was {}", noted.text()),
        What::KeeperLost => "lost its keeper, and nobody saw how it ended".to_owned(),
        _ => noted.text(),
    }
}

/// The output as evidence.
fn output(facts: &ServiceFacts, told: &mut Explanation) {
    for line in &facts.output {
        told.fact("output", line.clone(), facts.log.clone());
    }
}

/// The text of a path or command for evidence.
fn shown(text: &OsText) -> String {
    text.to_string()
}
