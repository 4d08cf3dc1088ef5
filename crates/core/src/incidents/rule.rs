//! Rules: what opens an incident, and when of it is told.
//!
//! There are few, and each has a default for everything. What somebody changed is kept as it was written, key by key, so
//! that a better default of a later version reaches everybody who never changed that key.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hours::Hours;
use crate::units::{Span, parse_duration};

/// Every rule.
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
    /// Memory had run out for a container when it ended (R10.3).
    ContainerOom,
}

impl RuleName {
    /// All of them, in the order in which they are listed.
    pub const ALL: [RuleName; 9] = [
        RuleName::CrashLoop,
        RuleName::GaveUp,
        RuleName::NotReady,
        RuleName::Degraded,
        RuleName::Ghost,
        RuleName::KeeperLost,
        RuleName::JournalDamaged,
        RuleName::SourceOffline,
        RuleName::ContainerOom,
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
        }
    }

    /// What it is about, for people.
    pub fn about(self) -> &'static str {
        match self {
            RuleName::CrashLoop => "a service ends again and again and is started again each time",
            RuleName::GaveUp => "a service failed and is not started again",
            RuleName::NotReady => "a service did not become ready in time",
            RuleName::Degraded => "the health probe of a service fails",
            RuleName::Ghost => "no signal ends what is left of a service",
            RuleName::KeeperLost => "the process that holds a service died",
            RuleName::JournalDamaged => "the journal was damaged and begun anew",
            RuleName::SourceOffline => "a container engine that is watched does not answer",
            RuleName::ContainerOom => "memory had run out for a container when it ended",
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
            near: nearest(text, Self::ALL.into_iter().map(Self::name)),
        })
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
            RuleName::SourceOffline => Self { hold: minutes(1), ..base },
            RuleName::ContainerOom => Self { clear: minutes(10), ..base },
        }
    }

    /// Its settings as `key=value`, in the order of [`KEYS`]; those that this rule does not have are left out.
    pub fn shown(&self, name: RuleName) -> Vec<(&'static str, String)> {
        let span = |duration: Duration| Span(duration).to_string();
        let all = KEYS.iter().filter(|key| key.fits(name)).map(|key| {
            let value = match key.name {
                "on" => if self.on { "yes" } else { "no" }.to_owned(),
                "severity" => self.severity.name().to_owned(),
                "for" => span(self.hold),
                "clear" => span(self.clear),
                "cooldown" => span(self.cooldown),
                "renotify" => self.renotify.map_or_else(|| "never".to_owned(), span),
                "quiet" => self.quiet.map_or_else(|| "never".to_owned(), |hours| hours.to_string()),
                "lines" => self.lines.to_string(),
                "exits" => self.exits.to_string(),
                _ => span(self.within),
            };
            (key.name, value)
        });
        all.collect()
    }

    fn set(&mut self, key: &Key, value: &str) -> Result<(), RuleError> {
        let wrong =
            |hint: &str| RuleError::Value { key: key.name.to_owned(), value: value.to_owned(), hint: hint.to_owned() };
        let span = |least: Duration, most: Duration| match parse_duration(value) {
            Ok(duration) if duration < least || duration > most => {
                Err(wrong(&format!("between {} and {}", Span(least), Span(most))))
            }
            Ok(duration) => Ok(duration),
            Err(error) => Err(wrong(&error.to_string())),
        };
        let number = |least: u32, most: u32| match value.parse::<u32>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(wrong(&format!("a number from {least} to {most}"))),
        };
        match key.name {
            "on" => {
                self.on = match value {
                    "yes" | "true" => true,
                    "no" | "false" => false,
                    _ => return Err(wrong("yes or no")),
                }
            }
            "severity" => {
                self.severity = [Severity::Notice, Severity::Warning, Severity::Critical]
                    .into_iter()
                    .find(|severity| severity.name() == value)
                    .ok_or_else(|| wrong("notice, warning or critical"))?;
            }
            "for" => self.hold = span(Duration::ZERO, DAY)?,
            "clear" => self.clear = span(Duration::ZERO, DAY)?,
            "cooldown" => self.cooldown = span(Duration::ZERO, DAY)?,
            "renotify" if value == "never" => self.renotify = None,
            "renotify" => self.renotify = Some(span(Duration::from_secs(60), 30 * DAY)?),
            "quiet" if value == "never" => self.quiet = None,
            "quiet" => self.quiet = Some(value.parse().map_err(|hint: String| wrong(&hint))?),
            "lines" => self.lines = number(0, 50)?,
            "exits" => self.exits = number(2, 1000)?,
            _ => self.within = span(Duration::from_secs(1), DAY)?,
        }
        Ok(())
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// A setting of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// Only this rule has it.
    pub only: Option<RuleName>,
}

impl Key {
    fn fits(&self, rule: RuleName) -> bool {
        self.only.is_none_or(|only| only == rule)
    }
}

const fn key(name: &'static str, about: &'static str) -> Key {
    Key { name, about, only: None }
}

/// Every setting.
pub const KEYS: [Key; 10] = [
    key("on", "yes or no: whether it is looked for at all"),
    key("severity", "notice, warning or critical"),
    key("for", "how long it must be true before an incident is opened"),
    key("clear", "how long it must not be true before the incident is resolved"),
    key("cooldown", "after one was resolved, the next about the same is not told before so long"),
    key("renotify", "how long until an open incident is told again, or never"),
    key("quiet", "hours of the day in which nothing of it is told, as 22:00-07:00, or never"),
    key("lines", "how many of the last lines of output go with a message"),
    Key { name: "exits", about: "so many ends …", only: Some(RuleName::CrashLoop) },
    Key { name: "within", about: "… within so long are a crash loop", only: Some(RuleName::CrashLoop) },
];

/// Why a rule cannot be set like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is no such rule.
    #[error("there is no rule {text:?}{}", did_you_mean(.near.as_deref()))]
    NoRule {
        /// The name as it was given.
        text: String,
        /// The nearest that there is.
        near: Option<String>,
    },
    /// It has no such setting.
    #[error("rule {rule} has no setting {key:?}{}", did_you_mean(.near.as_deref()))]
    NoKey {
        /// The rule.
        rule: RuleName,
        /// The key as it was given.
        key: String,
        /// The nearest that there is.
        near: Option<String>,
    },
    /// The value does not fit.
    #[error("{key}={value}: {hint}")]
    Value {
        /// The key.
        key: String,
        /// The value as it was given.
        value: String,
        /// What would fit.
        hint: String,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

fn nearest(text: &str, known: impl Iterator<Item = &'static str>) -> Option<String> {
    let scored = known.map(|name| (strsim::jaro_winkler(text, name), name));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.75).then(|| best.1.to_owned())
}

/// What was changed of one rule: key to value, as it was written.
pub type Edits = BTreeMap<String, String>;

/// All rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    edits: BTreeMap<RuleName, Edits>,
    /// What follows from them, in the order of [`RuleName::ALL`]: asked for with every entry.
    current: [Rule; RuleName::ALL.len()],
}

impl Default for Rules {
    fn default() -> Self {
        Self::new([])
    }
}

impl Rules {
    /// From what was kept. What this version does not understand stays there and does nothing.
    pub fn new(edits: impl IntoIterator<Item = (RuleName, Edits)>) -> Self {
        let edits: BTreeMap<RuleName, Edits> = edits.into_iter().collect();
        let current = RuleName::ALL.map(|name| edited(name, edits.get(&name)));
        Self { edits, current }
    }

    /// A rule as it is now.
    pub fn get(&self, name: RuleName) -> &Rule {
        &self.current[name as usize]
    }

    /// Whether any of them looks at the time of day.
    pub fn have_quiet_hours(&self) -> bool {
        self.current.iter().any(|rule| rule.quiet.is_some())
    }

    /// What was changed of a rule.
    pub fn edits(&self, name: RuleName) -> Option<&Edits> {
        self.edits.get(&name)
    }

    /// Changes settings of a rule, all or none.
    ///
    /// # Errors
    /// When a key or a value does not fit.
    pub fn set(&mut self, name: RuleName, changes: &[(String, String)]) -> Result<(), RuleError> {
        let mut rule = self.get(name).clone();
        let mut edits = self.edits.get(&name).cloned().unwrap_or_default();
        for (key, value) in changes {
            let known = KEYS.iter().find(|known| known.name == key && known.fits(name));
            let known = known.ok_or_else(|| RuleError::NoKey {
                rule: name,
                key: key.clone(),
                near: nearest(key, KEYS.iter().filter(|key| key.fits(name)).map(|key| key.name)),
            })?;
            rule.set(known, value)?;
            edits.insert(key.clone(), value.clone());
        }
        self.edits.insert(name, edits);
        self.current[name as usize] = rule;
        Ok(())
    }

    /// Makes a rule as it is when nobody changed it.
    pub fn reset(&mut self, name: RuleName) {
        self.edits.remove(&name);
        self.current[name as usize] = Rule::default_of(name);
    }
}

fn edited(name: RuleName, edits: Option<&Edits>) -> Rule {
    let mut rule = Rule::default_of(name);
    for (key, value) in edits.into_iter().flatten() {
        if let Some(key) = KEYS.iter().find(|known| known.name == key && known.fits(name)) {
            // What an older version took and this one does not, does nothing.
            let _ = rule.set(key, value);
        }
    }
    rule
}
