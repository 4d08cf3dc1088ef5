//! The settings of a rule, as they are written: `for=10m`.

use std::time::Duration;

use super::limit::LimitKey;
use super::rule::{Rule, RuleId, RuleName, Severity};
use super::rules::RuleError;
use crate::units::{Span, parse_duration};

const DAY: Duration = Duration::from_secs(86_400);

/// Which rules have a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// All.
    All,
    /// Those that read the journal.
    Signs,
    /// The crash loop.
    Loops,
    /// Those about a limit of what is measured.
    Limits(LimitKey),
}

/// A setting of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// Which rules have it.
    pub of: Of,
}

impl Key {
    /// Whether a rule has it.
    pub fn fits(&self, id: &RuleId, rule: &Rule) -> bool {
        match self.of {
            Of::All => true,
            Of::Signs => rule.limit.is_none(),
            Of::Loops => *id == RuleName::CrashLoop,
            Of::Limits(_) => rule.limit.is_some(),
        }
    }
}

const fn key(name: &'static str, of: Of, about: &'static str) -> Key {
    Key { name, about, of }
}

/// Every setting.
pub const KEYS: [Key; 16] = [
    key("on", Of::All, "yes or no: whether it is looked for at all"),
    key("severity", Of::All, "notice, warning or critical"),
    key("metric", Of::Limits(LimitKey::Metric), "what is measured"),
    key("of", Of::Limits(LimitKey::Of), "of whom: service:demo/api, container:web, container:nas/*, source:*"),
    key("above", Of::Limits(LimitKey::Above), "it is true when more than this is measured, as 80, 1.5GiB …"),
    key("below", Of::Limits(LimitKey::Below), "… or when less is; one of the two"),
    key("clear", Of::Limits(LimitKey::Clear), "it is over when this is measured or less (below: or more), or default"),
    key("for", Of::All, "how long it must be true before an incident is opened"),
    key("coverage", Of::Limits(LimitKey::Coverage), "for what part of that time it must be measured, in percent"),
    key("clear", Of::Signs, "how long it must not be true before the incident is resolved"),
    key("cooldown", Of::All, "after one was resolved, the next about the same is not told before so long"),
    key("renotify", Of::All, "how long until an open incident is told again, or never"),
    key("quiet", Of::All, "hours of the day in which nothing of it is told, as 22:00-07:00, or never"),
    key("lines", Of::All, "how many of the last lines of output go with a message"),
    key("exits", Of::Loops, "so many ends …"),
    key("within", Of::Loops, "… within so long are a crash loop"),
];

impl Rule {
    /// Its settings as `key=value`, in the order of [`KEYS`]; those that this rule does not have are left out.
    pub fn shown(&self, id: &RuleId) -> Vec<(&'static str, String)> {
        let span = |duration: Duration| Span(duration).to_string();
        let all = KEYS.iter().filter(|key| key.fits(id, self)).filter_map(|key| {
            let value = match (key.of, key.name) {
                (Of::Limits(which), _) => self.limit.as_ref()?.shown(which)?,
                (_, "on") => if self.on { "yes" } else { "no" }.to_owned(),
                (_, "severity") => self.severity.name().to_owned(),
                (_, "for") => span(self.hold),
                (_, "clear") => span(self.clear),
                (_, "cooldown") => span(self.cooldown),
                (_, "renotify") => self.renotify.map_or_else(|| "never".to_owned(), span),
                (_, "quiet") => self.quiet.map_or_else(|| "never".to_owned(), |hours| hours.to_string()),
                (_, "lines") => self.lines.to_string(),
                (_, "exits") => self.exits.to_string(),
                _ => span(self.within),
            };
            Some((key.name, value))
        });
        all.collect()
    }

    /// Changes one setting. Those of a limit are looked at together, afterwards.
    pub(super) fn set(&mut self, key: &Key, value: &str) -> Result<(), RuleError> {
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
        if let (Of::Limits(which), Some(limit)) = (key.of, &mut self.limit) {
            limit.write(which, value);
            return Ok(());
        }
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
