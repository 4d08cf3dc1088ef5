//! What an entry of the journal is a sign of.
//!
//! A [`Track`] follows one service from entry to entry: one entry alone does not tell a crash from an end that was asked for.
//! What decides is what the supervisor made of it. An end after which it starts the service again by its policy, or gives it
//! up, was no good end; one after which it does neither was.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::incident::Cause;
use super::rule::{Rule, RuleId, RuleName};
use crate::clock::Mono;
use crate::docker::follower::OTHER_ENGINE;
use crate::identity::RunId;
use crate::journal::{Entry, What, describe};
use crate::units::format_rounded;

/// What follows the end of a run is decided within this.
const SETTLE: Duration = Duration::from_secs(10);

/// What an entry says about the incidents of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    /// It is true (again).
    Raise {
        /// By this rule.
        rule: RuleName,
        /// What happened.
        text: String,
        /// How many signs this is.
        count: u64,
        /// How long before it the first of them was.
        span: Duration,
    },
    /// One more sign of what is open already; else it means nothing.
    More {
        /// Of what.
        cause: Cause,
        /// What happened.
        text: String,
    },
    /// It may be over: it is, when nothing else is heard for as long as the rule demands.
    Better {
        /// Of what.
        cause: Cause,
        /// Why it then is over.
        why: String,
        /// At least for so long, whatever the rule says.
        least: Duration,
    },
    /// It is not over, as it may have seemed.
    Worse(Cause),
    /// It is over.
    Over {
        /// What.
        cause: Cause,
        /// Why.
        why: String,
    },
    /// Those of this run are gone, whom no signal ended.
    Gone(RunId),
    /// What was measured of it, or of what a source has, is no more.
    Unmeasured,
    /// What becomes of the containers of a source.
    Containers(Fate),
}

/// What becomes of the containers of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody sees them.
    Unseen,
    /// They are seen again; what happened before is not known.
    SeenAnew,
    /// They are not watched any more, for this reason.
    Gone(String),
}

impl Sign {
    /// It is true, by signs that are seen now.
    pub(super) fn raise(rule: RuleName, text: String, count: u64) -> Self {
        Self::Raise { rule, text, count, span: Duration::ZERO }
    }

    /// It is over, unless something is heard for as long as the rule demands.
    pub(super) fn better(cause: Cause, why: &str) -> Self {
        Self::Better { cause, why: why.to_owned(), least: Duration::ZERO }
    }
}

/// What is remembered of a service between two entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Track {
    /// The run that was spoken of last.
    pub(super) run: Option<RunId>,
    /// How it ended, or what kept it from starting.
    ended: Option<String>,
    /// It was not ready in time.
    late: bool,
    /// When the last ends were after which it was started again. As many as the rule counts, at most.
    pub(super) ends: VecDeque<Mono>,
}

impl Track {
    /// Nothing of it needs to be remembered.
    pub(super) fn is_idle(&self) -> bool {
        self.ends.is_empty() && self.ended.is_none() && !self.late
    }

    /// Forgets ends that no longer count.
    pub(super) fn forget(&mut self, before: Mono) {
        while self.ends.front().is_some_and(|end| *end < before) {
            self.ends.pop_front();
        }
    }

    /// Reads one entry. `at`: when it happened. `failing`: an incident about that is open or pending already, found by this
    /// rule.
    pub(super) fn read(&mut self, at: Mono, entry: &Entry, loops: &Rule, failing: Option<&RuleId>) -> Vec<Sign> {
        if entry.run.is_some() && entry.run != self.run {
            (self.run, self.ended, self.late) = (entry.run, None, false);
        }
        let better = Sign::better;
        let over = |cause, why: String| Sign::Over { cause, why };
        let raise = |rule, count| Sign::raise(rule, describe(entry), count);
        match &entry.what {
            What::Started { .. } | What::AdoptedStray { .. } if !is_late(failing) => {
                vec![better(Cause::Failing, "it stays up again")]
            }
            What::Ready { .. } if is_late(failing) => {
                vec![better(Cause::Failing, "it is ready"), better(Cause::Health, "it is ready")]
            }
            What::Ready { .. } | What::Healthy { .. } => vec![better(Cause::Health, "it is healthy again")],
            What::Degraded { .. } => vec![raise(RuleName::Degraded, 1)],
            What::NotReady { .. } => {
                self.late = true;
                vec![raise(RuleName::NotReady, 1)]
            }
            What::SpawnFailed { .. } => {
                self.ended = Some(describe(entry));
                Vec::new()
            }
            What::Exited { .. } => {
                self.ended = Some(describe(entry));
                let over = over(Cause::Health, "the run ended".to_owned());
                vec![Sign::Worse(Cause::Failing), over, Sign::Unmeasured]
            }
            What::Empty { .. } => {
                let gone = entry.run.map(Sign::Gone);
                let why = "it ended, and is not started again".to_owned();
                let ended = Sign::Better { cause: Cause::Failing, why, least: SETTLE };
                gone.into_iter().chain([ended]).collect()
            }
            What::RestartScheduled { .. } => self.restarted(at, loops, failing),
            What::GaveUp { .. } => vec![Sign::Worse(Cause::Failing), raise(RuleName::GaveUp, 1)],
            What::WantedDown { by } => {
                *self = Self { run: self.run, ..Self::default() };
                let why = || format!("it was stopped by {by}");
                let over = |cause| over(cause, why());
                vec![over(Cause::Failing), over(Cause::Health), over(Cause::Keeper), Sign::Unmeasured]
            }
            // It was up for long enough, or somebody has seen to it.
            What::Reset { cause } => {
                self.ends.clear();
                vec![over(Cause::Failing, format!("its restart counter was reset: {cause}"))]
            }
            What::Stuck { .. } => vec![raise(RuleName::Ghost, 1)],
            What::Quarantined { .. } => vec![Sign::More { cause: Cause::Ghost, text: describe(entry) }],
            What::GhostGone { .. } => entry.run.map(Sign::Gone).into_iter().collect(),
            What::KeeperLost => {
                vec![raise(RuleName::KeeperLost, 1), better(Cause::Keeper, "it did not happen again")]
            }
            What::JournalDamaged { .. } => {
                vec![raise(RuleName::JournalDamaged, 1), better(Cause::Journal, "it did not happen again")]
            }
            What::SourceOffline { .. } => vec![raise(RuleName::SourceOffline, 1), Sign::Containers(Fate::Unseen)],
            What::SourceOnline { .. } => {
                vec![better(Cause::Away, "it answers again"), Sign::Containers(Fate::SeenAnew)]
            }
            // It is begun with anew, or not watched any longer. Who is not asked is not measured, either; what is still so is
            // found again.
            What::SourceChanged { how, .. } => {
                let is_gone = how == "paused" || how == "removed" || how.starts_with("moved");
                let why = || format!("its source was {}", describe(entry));
                let fate = if is_gone { Fate::Gone(why()) } else { Fate::SeenAnew };
                vec![over(Cause::Away, describe(entry)), Sign::Unmeasured, Sign::Containers(fate)]
            }
            What::Gap { why, .. } if why == OTHER_ENGINE => {
                vec![Sign::Containers(Fate::Gone(format!("its source has changed: {why}")))]
            }
            What::Gap { .. } => vec![Sign::Containers(Fate::SeenAnew)],
            // Containers are followed by their own tracks. What is asked for and done, what is told elsewhere, and what is a consequence of something that is told.
            What::Started { .. }
            | What::AdoptedStray { .. }
            | What::DaemonStarted { .. }
            | What::DaemonStopped { .. }
            | What::AccessChanged { .. }
            | What::ProjectLoaded { .. }
            | What::WantedUp { .. }
            | What::Locked
            | What::SurvivorsEnded { .. }
            | What::AdoptFailed { .. }
            | What::AnsweredByOther { .. }
            | What::Stopping { .. }
            | What::Rung { .. }
            | What::Orphans { .. }
            | What::QuarantineRefused { .. }
            | What::StillHeld { .. }
            | What::ClaimHeld { .. }
            | What::LogLost { .. }
            | What::Conflict { .. }
            | What::DependencyFailed { .. }
            | What::Adopted { .. }
            | What::ContainerEvent { .. }
            | What::SourceBadLines { .. }
            | What::SamplesDamaged { .. }
            | What::SamplesStopped { .. }
            | What::SamplesResumed
            | What::IncidentOpened { .. }
            | What::IncidentResolved { .. }
            | What::NotifyFailed { .. }
            | What::InternalFault { .. }
            | What::Other(_) => Vec::new(),
        }
    }

    /// It ended in a way that is no good end, and is started again.
    fn restarted(&mut self, at: Mono, loops: &Rule, failing: Option<&RuleId>) -> Vec<Sign> {
        let worse = Sign::Worse(Cause::Failing);
        let Some(ended) = self.ended.take().filter(|_| !self.late) else {
            // Not ready, or nobody saw how: told otherwise.
            return vec![worse];
        };
        self.ends.push_back(at);
        while self.ends.len() > loops.exits as usize {
            self.ends.pop_front();
        }
        self.forget(Mono(at.0.saturating_sub(nanos(loops.within))));
        if failing.is_some() {
            return vec![worse, Sign::More { cause: Cause::Failing, text: ended }];
        }
        if self.ends.len() < loops.exits as usize {
            return vec![worse];
        }
        let count = self.ends.len() as u64;
        let span = self.ends.front().map_or(Duration::ZERO, |first| at.since(*first));
        vec![Sign::Raise { rule: RuleName::CrashLoop, text: loop_text(count, span, &ended), count, span }]
    }
}

/// What is open, or pending, is that it was not ready in time.
fn is_late(failing: Option<&RuleId>) -> bool {
    failing.is_some_and(|rule| *rule == RuleName::NotReady)
}

/// `crash loop: 5 ends in 3s, the last: exited with code 7`
pub(super) fn loop_text(count: u64, span: Duration, last: &str) -> String {
    format!("crash loop: {count} ends in {}, the last: {last}", format_rounded(span))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
