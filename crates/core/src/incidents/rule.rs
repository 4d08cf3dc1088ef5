//! Rules: what opens an incident, and when of it is told.
//!
//! There are few without anybody making them, and each has a default for everything. Whoever wants more makes rules of their
//! own: limits of what is measured ([`super::limit`]). How they are kept and changed: [`super::rules`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hours::Hours;
use super::limit::Limit;
use super::rules::RuleError;
use crate::name::Name;
use crate::text::nearest;

/// Every rule that there is without anybody having made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RuleName {
    /// A service ends again and again and is started again each time (R6.3).
    CrashLoop,
    /// A service failed and is not started again (R6.2).
    GaveUp,
    /// A service did not become ready in time.
    NotReady,
    /// The health probe of a service fails.
    Degraded,
    /// No signal ends what is left of a run (R5.4).
    Ghost,
    /// The process that holds a run died.
    KeeperLost,
    /// The journal was damaged and begun anew.
    JournalDamaged,
    /// A container engine that is watched does not answer (R11.4).
    SourceOffline,
    /// Memory had run out for a container (R10.3).
    ContainerOom,
    /// A container crashed, and is not started again.
    ContainerExited,
    /// Little room is left where an engine keeps what is its own (R11.5).
    DiskLow,
}

impl RuleName {
    /// All of them, in the order in which they are listed.
    pub const ALL: [RuleName; 11] = [
        RuleName::CrashLoop,
        RuleName::GaveUp,
        RuleName::NotReady,
        RuleName::Degraded,
        RuleName::Ghost,
        RuleName::KeeperLost,
        RuleName::JournalDamaged,
        RuleName::SourceOffline,
        RuleName::ContainerOom,
        RuleName::ContainerExited,
        RuleName::DiskLow,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            RuleName::CrashLoop => "crash-loop",
            RuleName::GaveUp => "gave-up",
            RuleName::NotReady => "not-ready",
            RuleName::Degraded => "degraded",
            RuleName::Ghost => "ghost",
            RuleName::KeeperLost => "keeper-lost",
            RuleName::JournalDamaged => "journal-damaged",
            RuleName::SourceOffline => "source-offline",
            RuleName::ContainerOom => "container-oom",
            RuleName::ContainerExited => "container-exited",
            RuleName::DiskLow => "disk-low",
        }
    }

    /// What it is about, for people.
    pub fn about(self) -> &'static str {
        match self {
            RuleName::CrashLoop => "a service or a container ends again and again and is started again each time",
            RuleName::GaveUp => "a service failed and is not started again",
            RuleName::NotReady => "a service did not become ready in time",
            RuleName::Degraded => "the health probe of a service or a container fails",
            RuleName::Ghost => "no signal ends what is left of a service",
            RuleName::KeeperLost => "the process that holds a service died",
            RuleName::JournalDamaged => "the journal was damaged and begun anew",
            RuleName::SourceOffline => "a container engine that is watched does not answer",
            RuleName::ContainerOom => "memory had run out for a container",
            RuleName::ContainerExited => "a container crashed, and is not started again",
            RuleName::DiskLow => "little room is left where a container engine keeps what is its own",
        }
    }
}

impl std::fmt::Display for RuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for RuleName {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let known = Self::ALL.into_iter().find(|rule| rule.name() == text);
        known.ok_or_else(|| RuleError::NoRule {
            text: text.to_owned(),
            near: nearest(text, Self::ALL.into_iter().map(Self::name)).map(str::to_owned),
        })
    }
}

/// A rule: one that there always is, or one that somebody made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum RuleId {
    /// There always is.
    Known(RuleName),
    /// Somebody made it; about a limit of what is measured.
    Own(Name),
}

impl RuleId {
    /// Its stable name.
    pub fn name(&self) -> &str {
        match self {
            RuleId::Known(rule) => rule.name(),
            RuleId::Own(name) => name.as_str(),
        }
    }
}

impl From<RuleName> for RuleId {
    fn from(rule: RuleName) -> Self {
        RuleId::Known(rule)
    }
}

impl PartialEq<RuleName> for RuleId {
    fn eq(&self, rule: &RuleName) -> bool {
        matches!(self, RuleId::Known(known) if known == rule)
    }
}

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for RuleId {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if let Ok(known) = text.parse() {
            return Ok(RuleId::Known(known));
        }
        Name::new(text).map(RuleId::Own).map_err(|error| RuleError::Name(error.to_string()))
    }
}

/// How grave an incident is; the gravest last, so that it is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing suffers yet.
    Notice,
    /// Something does not work as it should, or is about to stop working.
    Warning,
    /// Something does not work, and does not come back by itself.
    Critical,
}

impl Severity {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// One rule with all its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// It is looked for at all.
    pub on: bool,
    /// How grave what it finds is.
    pub severity: Severity,
    /// Opened when it has been true for so long.
    pub hold: Duration,
    /// Resolved when it has not been true for so long.
    pub clear: Duration,
    /// After one was resolved, the next about the same is not told before so long.
    pub cooldown: Duration,
    /// Told again after so long, as long as it is open; absent: never.
    pub renotify: Option<Duration>,
    /// Hours in which nothing of it is told. What is still true when they end is told then.
    pub quiet: Option<Hours>,
    /// How many of the last lines of output go with a message.
    pub lines: u32,
    /// Crash loop: so many ends …
    pub exits: u32,
    /// … within so long.
    pub within: Duration,
    /// It is about a limit of what is measured.
    pub limit: Option<Limit>,
}

impl Rule {
    /// As it is when nobody changed it.
    pub fn default_of(name: RuleName) -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let base = Self {
            on: true,
            severity: Severity::Critical,
            hold: Duration::ZERO,
            clear: Duration::ZERO,
            cooldown: minutes(5),
            renotify: Some(minutes(6 * 60)),
            quiet: None,
            lines: 0,
            exits: 5,
            within: minutes(1),
            limit: None,
        };
        match name {
            RuleName::CrashLoop => Self { clear: minutes(1), lines: 10, ..base },
            RuleName::GaveUp => Self { clear: minutes(1), lines: 10, ..base },
            RuleName::NotReady => Self { severity: Severity::Warning, lines: 10, ..base },
            RuleName::Degraded => Self { severity: Severity::Warning, hold: minutes(1), lines: 10, ..base },
            RuleName::Ghost => Self { renotify: Some(minutes(24 * 60)), ..base },
            RuleName::KeeperLost => Self { severity: Severity::Warning, clear: minutes(1), ..base },
            RuleName::JournalDamaged => {
                Self { severity: Severity::Warning, clear: minutes(60), renotify: None, ..base }
            }
            // One that comes and goes is away, until it stays.
            RuleName::SourceOffline => Self { hold: minutes(1), clear: minutes(1), ..base },
            RuleName::ContainerOom => Self { clear: minutes(10), ..base },
            // Off: jobs that fail, and what is run by hand, are not worth a message each. Who wants it knows for which engine
            // that is so. A restart by the engine takes a minute at most.
            RuleName::ContainerExited => Self { on: false, severity: Severity::Warning, hold: minutes(2), ..base },
            RuleName::DiskLow => Self {
                severity: Severity::Warning,
                cooldown: minutes(60),
                renotify: Some(minutes(24 * 60)),
                limit: Some(Limit::disk_low()),
                ..base
            },
        }
    }

    /// One that somebody makes, before anything of it is set.
    pub(super) fn default_of_own() -> Self {
        let limit = Some(Limit::unset());
        Self {
            severity: Severity::Warning,
            lines: 0,
            clear: Duration::ZERO,
            limit,
            ..Self::default_of(RuleName::GaveUp)
        }
    }
}
