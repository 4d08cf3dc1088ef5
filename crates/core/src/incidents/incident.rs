//! One incident: the story of one cause at one subject, from its first sign to its end.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::rule::{RuleId, RuleName, Severity};
use crate::clock::{Mono, Wall};
use crate::identity::RunId;
use crate::journal::Subject;
use crate::name::Name;

/// What signs of one subject are folded by: those of one cause are one story.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// It does not stay up: it crashes, is not ready in time, is given up.
    Failing,
    /// Its health probe fails.
    Health,
    /// No signal ends what is left of it.
    Ghost,
    /// Whoever holds it died.
    Keeper,
    /// What vigie remembers is damaged.
    Journal,
    /// It does not answer.
    Away,
    /// Its memory runs out.
    Memory,
    /// What is measured of it is beyond the limit of this rule.
    Limit(Name),
}

impl Cause {
    /// Its signs are moments: after each it seems well again. Those of others tell that something is so from then on.
    fn is_of_moments(&self) -> bool {
        match self {
            Cause::Keeper | Cause::Journal | Cause::Memory => true,
            Cause::Failing | Cause::Health | Cause::Ghost | Cause::Away | Cause::Limit(_) => false,
        }
    }
}

impl RuleId {
    /// What it is a sign of.
    pub fn cause(&self) -> Cause {
        match self {
            RuleId::Known(name) => name.cause(),
            RuleId::Own(name) => Cause::Limit(name.clone()),
        }
    }
}

impl RuleName {
    /// What it is a sign of.
    pub fn cause(self) -> Cause {
        match self {
            RuleName::CrashLoop | RuleName::GaveUp | RuleName::NotReady | RuleName::ContainerExited => Cause::Failing,
            RuleName::Degraded => Cause::Health,
            RuleName::Ghost => Cause::Ghost,
            RuleName::KeeperLost => Cause::Keeper,
            RuleName::JournalDamaged => Cause::Journal,
            RuleName::SourceOffline => Cause::Away,
            RuleName::ContainerOom => Cause::Memory,
            RuleName::DiskLow => Cause::Limit(Name::lossy(self.name())),
        }
    }
}

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is true, and not yet for as long as its rule demands. It has no number, and nobody sees it.
    Pending,
    /// It is true.
    Open,
    /// It is over.
    Resolved,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number; 0 as long as it is pending.
    pub id: u64,
    /// About whom; without a mode.
    pub subject: Subject,
    /// The rule that found it. Its settings hold for it to the end.
    pub rule: RuleId,
    /// How grave it is by now.
    pub severity: Severity,
    /// Where it stands.
    pub standing: Standing,
    /// When its first sign was seen.
    pub since: Wall,
    /// When it was opened.
    pub opened: Option<Wall>,
    /// When its last sign was seen.
    pub last: Wall,
    /// When it was resolved.
    pub resolved: Option<Wall>,
    /// How many signs it had.
    pub count: u64,
    /// What happened, in one line.
    pub text: String,
    /// Why it is over.
    pub outcome: Option<String>,
    /// The run that its last sign was about.
    pub run: Option<RunId>,
    /// The last lines of the output, when it was told.
    #[serde(default)]
    pub output: Vec<String>,
    /// What the engine needs to go on with it.
    pub clock: Clockwork,
}

/// The timers of an incident, and what was told of it. All of it outlives the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clockwork {
    /// When its first sign was seen.
    pub first: Mono,
    /// When it is opened, if it is still true then.
    pub raise_at: Option<Mono>,
    /// When it is resolved, if nothing comes between.
    pub clear_at: Option<Mono>,
    /// Why it will be over then.
    pub clear_why: Option<String>,
    /// It was told that it is open.
    pub told: bool,
    /// When something was told last.
    pub told_at: Mono,
    /// How often it was told again.
    pub reminders: u64,
    /// How often it was opened: once, unless it came back before its end was told.
    pub openings: u64,
    /// Its runs that no signal ends.
    #[serde(default)]
    pub runs: BTreeSet<RunId>,
    /// Nobody sees how it goes on: its timers stand still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
}

impl Incident {
    /// It is open.
    pub fn is_open(&self) -> bool {
        self.standing == Standing::Open
    }

    /// When it is to be opened. What is pending is not opened while it seems to be well again.
    fn raise_at(&self) -> Option<Mono> {
        self.clock.raise_at.filter(|_| self.clock.clear_at.is_none() || self.cause().is_of_moments())
    }

    /// When its timers want something.
    pub(super) fn due(&self) -> Option<Mono> {
        self.raise_at().into_iter().chain(self.clock.clear_at).min().filter(|_| !self.clock.frozen)
    }

    /// What they want is that it is over. What is over at the moment in which it would be opened is over.
    pub(super) fn ends_next(&self) -> bool {
        self.clock.clear_at.is_some_and(|clear| self.raise_at().is_none_or(|raise| clear <= raise))
    }

    /// What it is folded by.
    pub fn cause(&self) -> Cause {
        self.rule.cause()
    }
}
