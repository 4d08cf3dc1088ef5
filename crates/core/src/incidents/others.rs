//! Containers and sources: what an entry about one means for others.

use super::rule::{RuleId, RuleName};
use super::signs::Sign;
use super::{Engine, Moment, SWEEP, Turn, folded};
use crate::clock::Mono;
use crate::docker::follower::OTHER_ENGINE;
use crate::journal::{Entry, Subject, What, describe};
use crate::name::Name;

impl Engine {
    pub(super) fn read_container(
        &mut self,
        subject: &Subject,
        when: Mono,
        entry: &Entry,
        failing: Option<&RuleId>,
    ) -> Vec<Sign> {
        let loops = self.rules.known(RuleName::CrashLoop);
        if self.unstored.is_multiple_of(SWEEP) {
            self.containers.retain(|_, track| {
                track.forget(when, loops);
                !track.is_idle()
            });
        }
        let track = self.containers.entry(subject.clone()).or_default();
        track.forget(when, loops);
        let signs = track.read(when, entry, &self.rules, failing);
        if track.is_idle() {
            self.containers.remove(subject);
        }
        signs
    }

    /// What an entry about one subject means for what is known of others: those that a source has, and what is measured.
    pub(super) fn see_to_others(&mut self, entry: &Entry, at: Moment, turn: &mut Turn) {
        let has = |source: &Name| {
            let source = source.clone();
            move |subject: &Subject| matches!(subject, Subject::Container { source: its, .. } if *its == source)
        };
        match (&entry.subject, &entry.what) {
            (Subject::Source(source), What::SourceOffline { .. }) => {
                let has = has(source);
                for incident in self.live.values_mut().filter(|incident| has(&incident.subject)) {
                    incident.clock.frozen = true;
                }
            }
            (Subject::Source(source), What::Gap { why, .. }) if why == OTHER_ENGINE => {
                self.end_all(has(source), &format!("its source has changed: {why}"), at, turn);
            }
            (Subject::Source(source), What::SourceOnline { .. } | What::Gap { .. }) => self.begin_anew(has(source), at),
            (Subject::Source(source), What::SourceChanged { how, .. }) => {
                // Who is not asked any more is not measured any more, either; what is still so is found again.
                let of_source = |subject: &Subject| subject.source() == Some(source);
                self.end_measured(of_source, "its source was changed", at, turn);
                if how == "paused" || how == "removed" || how.starts_with("moved") {
                    self.containers.retain(|subject, _| subject.source() != Some(source));
                    self.end_all(has(source), &format!("its source was {}", describe(entry)), at, turn);
                } else {
                    self.begin_anew(has(source), at);
                }
            }
            (Subject::Container { .. }, What::ContainerEvent { action, .. })
                if ["die", "stop", "destroy"].contains(&action.as_str()) =>
            {
                let subject = folded(&entry.subject);
                self.end_measured(|other| folded(other) == subject, "it ended", at, turn);
            }
            (Subject::Service { .. }, What::Exited { .. } | What::WantedDown { .. }) => {
                let subject = folded(&entry.subject);
                self.end_measured(|other| folded(other) == subject, "it ended", at, turn);
            }
            _ => {}
        }
    }

    /// Nobody saw for a while how these went on: what was waited for is waited for from now on.
    fn begin_anew(&mut self, which: impl Fn(&Subject) -> bool, at: Moment) {
        for incident in self.live.values_mut().filter(|incident| which(&incident.subject)) {
            let rule = self.rules.get(&incident.rule);
            let clock = &mut incident.clock;
            clock.frozen = false;
            clock.raise_at = clock.raise_at.map(|_| at.now.mono + rule.hold);
            clock.clear_at = clock.clear_at.map(|due| due.max(at.now.mono + rule.clear));
        }
    }

    fn end_all(&mut self, which: impl Fn(&Subject) -> bool, why: &str, at: Moment, turn: &mut Turn) {
        let keys: Vec<_> = self.live.keys().filter(|(subject, _)| which(subject)).cloned().collect();
        for key in keys {
            self.resolve(&key, why.to_owned(), at, turn);
        }
    }
}
