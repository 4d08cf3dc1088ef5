//! All rules: those that there always are, and those that somebody made.
//!
//! What somebody changed is kept as it was written, key by key, so that a better default of a later version reaches everybody
//! who never changed that key.

use std::collections::BTreeMap;

use super::limit::Watched;
use super::measure::Kind;
use super::rule::{Rule, RuleId, RuleName};
use super::settings::KEYS;
use crate::name::Name;
use crate::text::nearest;

/// More rules are nobody's wish: each sample is held against all of its kind.
const MOST: usize = 200;

/// Why a rule cannot be made or changed like that.
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
    /// It is no name for a rule.
    #[error("{0}")]
    Name(String),
    /// There is one of that name.
    #[error("there is a rule {0} already; 'vigie rules set {0} …' changes it")]
    Exists(RuleId),
    /// It cannot be removed.
    #[error("rule {0} is always there; 'vigie rules set {0} on=no' turns it off")]
    Always(RuleName),
    /// There are too many.
    #[error("there are {MOST} rules already; 'vigie rules rm' removes some")]
    TooMany,
    /// It has no such setting.
    #[error("rule {rule} has no setting {key:?}{}", did_you_mean(.near.as_deref()))]
    NoKey {
        /// The rule.
        rule: RuleId,
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
    /// A setting is missing, or two do not go together.
    #[error("rule {rule}: {hint}")]
    Incomplete {
        /// The rule.
        rule: RuleId,
        /// What is to be done.
        hint: String,
    },
}

pub(super) fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

/// What was changed of one rule: key to value, as it was written.
pub type Edits = BTreeMap<String, String>;

/// All rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    edits: BTreeMap<RuleId, Edits>,
    /// What follows from them, in the order of [`RuleName::ALL`]: asked for with every entry.
    current: [Rule; RuleName::ALL.len()],
    own: BTreeMap<Name, Rule>,
    /// In the place of one that somebody removed while the end of its last incident was not told yet.
    gone: Rule,
    /// Those about limits that are on, for each kind of subject: asked for with every sample.
    watched: [Vec<Watched>; Kind::COUNT],
}

impl Default for Rules {
    fn default() -> Self {
        Self::new([])
    }
}

impl Rules {
    /// From what was kept. What this version does not understand stays there and does nothing.
    pub fn new(edits: impl IntoIterator<Item = (RuleId, Edits)>) -> Self {
        let edits: BTreeMap<RuleId, Edits> = edits.into_iter().collect();
        let current = RuleName::ALL.map(|name| {
            let rule = Rule::default_of(name);
            edited(&name.into(), rule.clone(), edits.get(&name.into())).unwrap_or(rule)
        });
        let own = edits.iter().filter_map(|(id, edits)| {
            let RuleId::Own(name) = id else { return None };
            Some((name.clone(), edited(id, Rule::default_of_own(), Some(edits))?))
        });
        let mut rules =
            Self { own: own.collect(), edits, current, gone: Rule::default_of_own(), watched: Default::default() };
        rules.index();
        rules
    }

    fn index(&mut self) {
        let mut watched: [Vec<Watched>; Kind::COUNT] = Default::default();
        for id in self.ids() {
            let rule = self.get(&id);
            if let (true, Some(limit)) = (rule.on, &rule.limit) {
                watched[limit.of.kind as usize].push(Watched { id, limit: limit.clone(), hold: rule.hold });
            }
        }
        self.watched = watched;
    }

    /// Those about limits that are on, of this kind of subject.
    pub(super) fn watched(&self, kind: Kind) -> &[Watched] {
        &self.watched[kind as usize]
    }

    /// No rule looks at what is measured.
    pub(super) fn watch_nothing(&self) -> bool {
        self.watched.iter().all(Vec::is_empty)
    }

    /// All of them, in the order in which they are listed.
    pub fn ids(&self) -> Vec<RuleId> {
        let known = RuleName::ALL.into_iter().map(RuleId::Known);
        known.chain(self.own.keys().cloned().map(RuleId::Own)).collect()
    }

    /// A rule as it is now. One that there is no more is silent about nothing, and has nothing to find.
    pub fn get(&self, id: &RuleId) -> &Rule {
        match id {
            RuleId::Known(name) => self.known(*name),
            RuleId::Own(name) => self.own.get(name).unwrap_or(&self.gone),
        }
    }

    pub(super) fn known(&self, name: RuleName) -> &Rule {
        &self.current[name as usize]
    }

    /// Whether there is such a rule.
    ///
    /// # Errors
    /// When there is not; the nearest is named.
    pub fn exists(&self, id: &RuleId) -> Result<(), RuleError> {
        match id {
            RuleId::Own(name) if !self.own.contains_key(name) => {
                let known: Vec<RuleId> = self.ids();
                let near = nearest(name.as_str(), known.iter().map(RuleId::name)).map(str::to_owned);
                Err(RuleError::NoRule { text: name.to_string(), near })
            }
            RuleId::Own(_) | RuleId::Known(_) => Ok(()),
        }
    }

    /// Whether any of them looks at the time of day.
    pub fn have_quiet_hours(&self) -> bool {
        self.current.iter().chain(self.own.values()).any(|rule| rule.quiet.is_some())
    }

    /// What was changed of a rule; of one that somebody made, all that was written.
    pub fn edits(&self, id: &RuleId) -> Option<&Edits> {
        self.edits.get(id)
    }

    /// Makes a rule about a limit.
    ///
    /// # Errors
    /// When there is one of that name, or a key, a value or the whole does not fit.
    pub fn add(&mut self, id: &RuleId, settings: &[(String, String)]) -> Result<(), RuleError> {
        let RuleId::Own(name) = id else { return Err(RuleError::Exists(id.clone())) };
        if self.own.contains_key(name) {
            return Err(RuleError::Exists(id.clone()));
        }
        if self.own.len() >= MOST {
            return Err(RuleError::TooMany);
        }
        let (rule, edits) = changed(id, Rule::default_of_own(), Edits::new(), settings)?;
        self.put(id, rule, edits);
        Ok(())
    }

    /// Changes settings of a rule, all or none.
    ///
    /// # Errors
    /// When there is no such rule, or a key or a value does not fit.
    pub fn set(&mut self, id: &RuleId, settings: &[(String, String)]) -> Result<(), RuleError> {
        self.exists(id)?;
        let edits = self.edits.get(id).cloned().unwrap_or_default();
        let (rule, edits) = changed(id, self.get(id).clone(), edits, settings)?;
        self.put(id, rule, edits);
        Ok(())
    }

    fn put(&mut self, id: &RuleId, rule: Rule, edits: Edits) {
        self.edits.insert(id.clone(), edits);
        match id {
            RuleId::Known(name) => self.current[*name as usize] = rule,
            RuleId::Own(name) => drop(self.own.insert(name.clone(), rule)),
        }
        self.index();
    }

    /// Makes a rule as it is when nobody changed it.
    pub fn reset(&mut self, name: RuleName) {
        self.edits.remove(&name.into());
        self.current[name as usize] = Rule::default_of(name);
        self.index();
    }

    /// Removes a rule that somebody made.
    ///
    /// # Errors
    /// When there is none of that name, or it is one that there always is.
    pub fn remove(&mut self, id: &RuleId) -> Result<(), RuleError> {
        self.exists(id)?;
        match id {
            RuleId::Known(name) => return Err(RuleError::Always(*name)),
            RuleId::Own(name) => drop(self.own.remove(name)),
        }
        self.edits.remove(id);
        self.index();
        Ok(())
    }
}

fn changed(
    id: &RuleId,
    mut rule: Rule,
    mut edits: Edits,
    settings: &[(String, String)],
) -> Result<(Rule, Edits), RuleError> {
    for (key, value) in settings {
        let known = KEYS.iter().find(|known| known.name == key && known.fits(id, &rule));
        let known = known.ok_or_else(|| RuleError::NoKey {
            rule: id.clone(),
            key: key.clone(),
            near: nearest(key, KEYS.iter().filter(|key| key.fits(id, &rule)).map(|key| key.name)).map(str::to_owned),
        })?;
        rule.set(known, value)?;
        edits.insert(key.clone(), value.clone());
        // Each takes the place of the other, unless both are wanted at once.
        let other = match key.as_str() {
            "above" => "below",
            "below" => "above",
            _ => continue,
        };
        if !settings.iter().any(|(key, _)| key == other) {
            edits.remove(other);
        }
    }
    if let Some(limit) = &mut rule.limit {
        let both = ["above", "below"].iter().all(|side| settings.iter().any(|(key, _)| key == side));
        let hint = if both { Err("write above=… or below=…, not both".to_owned()) } else { Ok(()) };
        hint.map_err(|hint| RuleError::Incomplete { rule: id.clone(), hint })?;
        limit.settle(id)?;
    }
    Ok((rule, edits))
}

/// A rule as it was kept; absent when it cannot be one.
fn edited(id: &RuleId, mut rule: Rule, edits: Option<&Edits>) -> Option<Rule> {
    for (key, value) in edits.into_iter().flatten() {
        if let Some(key) = KEYS.iter().find(|known| known.name == key && known.fits(id, &rule)) {
            // What an older version took and this one does not, does nothing.
            let _ = rule.set(key, value);
        }
    }
    match &mut rule.limit {
        Some(limit) => limit.settle(id).is_ok().then_some(rule),
        None => Some(rule),
    }
}
