//! Rules and silences as somebody changes them, and what that means for incidents that there are.

use std::time::Duration;

use super::rule::{RuleId, RuleName};
use super::rules::RuleError;
use super::silence::{Scope, Silence};
use super::{Engine, Incident, Moment, Standing, Turn, key, nanos};
use crate::clock::Wall;

impl Engine {
    /// Makes a rule about a limit.
    ///
    /// # Errors
    /// When it does not fit; then nothing was changed.
    pub fn add_rule(&mut self, at: Moment, id: &RuleId, settings: &[(String, String)]) -> Result<Turn, RuleError> {
        self.rules.add(id, settings)?;
        Ok(self.rules_changed(at, Turn::default()))
    }

    /// Removes a rule that somebody made.
    ///
    /// # Errors
    /// When there is none of that name, or it is one that there always is.
    pub fn remove_rule(&mut self, at: Moment, id: &RuleId) -> Result<Turn, RuleError> {
        self.rules.remove(id)?;
        let mut turn = Turn::default();
        self.end_rule(id, "its rule was removed", at, &mut turn);
        Ok(self.rules_changed(at, turn))
    }

    /// Changes settings of a rule.
    ///
    /// # Errors
    /// When they do not fit; then nothing was changed.
    pub fn set_rule(&mut self, at: Moment, id: &RuleId, settings: &[(String, String)]) -> Result<Turn, RuleError> {
        self.rules.set(id, settings)?;
        Ok(self.rule_changed(at, id))
    }

    /// Makes a rule as it is when nobody changed it.
    pub fn reset_rule(&mut self, at: Moment, name: RuleName) -> Turn {
        self.rules.reset(name);
        self.rule_changed(at, &name.into())
    }

    fn rule_changed(&mut self, at: Moment, id: &RuleId) -> Turn {
        let mut turn = Turn::default();
        // What is still so by another limit, or of others, is found again.
        let rule = self.rules.get(id);
        if rule.limit.is_some() && rule.on {
            self.end_rule(id, "its rule was changed", at, &mut turn);
        }
        self.rules_changed(at, turn)
    }

    fn end_rule(&mut self, id: &RuleId, why: &str, at: Moment, turn: &mut Turn) {
        self.stretches.remove(id);
        let cause = id.cause();
        let keys: Vec<_> = self.live.keys().filter(|(_, other)| *other == cause).cloned().collect();
        for key in keys {
            self.resolve(&key, why.to_owned(), at, turn);
        }
    }

    fn rules_changed(&mut self, at: Moment, mut turn: Turn) -> Turn {
        let off = |incident: &&Incident| incident.standing != Standing::Resolved && !self.rules.get(&incident.rule).on;
        let keys: Vec<_> = self.live.values().filter(off).map(key).collect();
        for key in keys {
            self.resolve(&key, "its rule was turned off".to_owned(), at, &mut turn);
        }
        self.finish(at, turn)
    }

    /// For a while nothing is told about this. The silence is the last of [`Engine::silences`] then.
    pub fn silence(
        &mut self,
        at: Moment,
        scope: Scope,
        length: Duration,
        by: String,
        reason: Option<String>,
    ) -> (Silence, Turn) {
        let id = self.silences.keys().next_back().map_or(1, |last| last + 1);
        let now = at.now;
        let ends = Wall(now.wall.0.saturating_add(nanos(length)));
        let silence = Silence { id, scope, until: now.mono + length, ends, since: now.wall, by, reason };
        self.silences.insert(id, silence.clone());
        (silence, self.finish(at, Turn::default()))
    }

    /// Ends a silence; absent when there is none of this number.
    pub fn end_silence(&mut self, at: Moment, id: u64) -> Option<Turn> {
        self.silences.remove(&id)?;
        Some(self.finish(at, Turn { ended: vec![id], ..Turn::default() }))
    }
}
