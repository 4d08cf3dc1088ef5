//! Containers and sources: what an entry about one means for others.

use super::rule::{RuleId, RuleName};
use super::signs::{Fate, Sign};
use super::{Engine, Moment, SWEEP, Turn, folded};
use crate::clock::Mono;
use crate::journal::{Entry, Subject};

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

    /// What becomes of the containers of a source; of others than sources there are none.
    pub(super) fn see_to_containers(&mut self, fate: Fate, source: &Subject, at: Moment, turn: &mut Turn) {
        let Subject::Source(source) = source else { return };
        let has = |subject: &Subject| matches!(subject, Subject::Container { source: its, .. } if its == source);
        match fate {
            Fate::Unseen => {
                for incident in self.live.values_mut().filter(|incident| has(&incident.subject)) {
                    incident.clock.frozen = true;
                }
            }
            Fate::SeenAnew => self.begin_anew(has, at),
            Fate::Gone(why) => {
                self.containers.retain(|subject, _| !has(subject));
                self.end_all(has, &why, at, turn);
            }
        }
    }

    /// What was measured of this one, or of what this source has, is no more.
    pub(super) fn see_to_measured(&mut self, subject: &Subject, at: Moment, turn: &mut Turn) {
        match subject {
            Subject::Source(source) => {
                self.end_measured(|other| other.source() == Some(source), "its source was changed", at, turn);
            }
            _ => self.end_measured(|other| folded(other) == *subject, "it ended", at, turn),
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
