//! What of the settings in the database is shown and changed: those of the whole, rules, silences.

use serde::{Deserialize, Serialize};

use vigie_core::incidents::{RuleId, RuleName, Scope, Silence};
use vigie_core::settings::{Key, Settings};
use vigie_core::units::Span;

/// All settings of the whole: `vigie settings --json`, `GET /v1/settings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// Each.
    pub settings: Vec<Setting>,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub key: Key,
    /// What it is.
    pub value: String,
    /// What it is when nobody changes it.
    pub default: String,
    /// Somebody changed it.
    pub changed: bool,
    /// What it is about, in a line.
    pub about: String,
}

impl Report {
    /// Of these.
    pub fn new(settings: &Settings) -> Self {
        let shown = |key: Key| Setting {
            key,
            value: settings.get(key).to_string(),
            default: key.default().to_string(),
            changed: settings.is_changed(key),
            about: key.about().to_owned(),
        };
        Self { schema: crate::SCHEMA, settings: Key::ALL.into_iter().map(shown).collect() }
    }
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Settings of the whole, all or none.
    Set {
        /// Key and value, as they were written.
        settings: Vec<(String, String)>,
    },
    /// Settings of the whole as they are when nobody changes them.
    Reset {
        /// Which.
        keys: Vec<Key>,
    },
    /// A new rule, about a limit of what is measured.
    AddRule {
        /// Its name.
        rule: RuleId,
        /// Key and value, as they were written.
        settings: Vec<(String, String)>,
    },
    /// A rule that somebody made is to be no more.
    RemoveRule {
        /// Which.
        rule: RuleId,
    },
    /// Settings of a rule, all or none.
    SetRule {
        /// Which.
        rule: RuleId,
        /// Key and value, as they were written.
        settings: Vec<(String, String)>,
    },
    /// A rule as it is when nobody changed it.
    ResetRule {
        /// Which.
        rule: RuleName,
    },
    /// For a while nothing is told.
    Silence {
        /// About what.
        scope: Scope,
        /// For how long.
        length: Span,
        /// Who asks, from where.
        by: String,
        /// Why.
        reason: Option<String>,
    },
    /// No longer.
    EndSilence {
        /// Which.
        id: u64,
    },
}

/// It was changed, and is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// The silence that began.
    pub silence: Option<Silence>,
}
