//! What of the settings in the database is changed: rules and silences. Whoever only looks reads the database.

use serde::{Deserialize, Serialize};

use vigie_core::incidents::{RuleName, Scope, Silence};
use vigie_core::units::Span;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SettingsChange"))]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Settings of a rule, all or none.
    SetRule {
        /// Which.
        rule: RuleName,
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SettingsChanged"))]
pub struct Changed {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// The silence that began.
    pub silence: Option<Silence>,
}
