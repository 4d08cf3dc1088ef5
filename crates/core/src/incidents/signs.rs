//! What an entry of the journal is a sign of.
//!
//! A [`Track`] follows one service from entry to entry: one entry alone does not tell a crash from an end that was asked for.
//! What decides is what the supervisor made of it. An end after which it starts the service again by its policy, or gives it
//! up, was no good end; one after which it does neither was.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::incident::Cause;
use super::rule::{Rule, RuleName};
use crate::clock::Mono;
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
    pub(super) fn read(&mut self, at: Mono, entry: &Entry, loops: &Rule, failing: Option<RuleName>) -> Vec<Sign> {
        if entry.run.is_some() && entry.run != self.run {
            (self.run, self.ended, self.late) = (entry.run, None, false);
        }
        let better = |cause, why: &str| Sign::Better { cause, why: why.to_owned(), least: Duration::ZERO };
        let over = |cause, why: String| Sign::Over { cause, why };
        let raise = |rule, count| Sign::Raise { rule, text: describe(entry), count };
        match &entry.what {
            What::Started { .. } | What::AdoptedStray { .. } if failing != Some(RuleName::NotReady) => {
                vec![better(Cause::Failing, "it stays up again")]
            }
            What::Ready { .. } if failing == Some(RuleName::NotReady) => {
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
                vec![Sign::Worse(Cause::Failing), over(Cause::Health, "the run ended".to_owned())]
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
                vec![over(Cause::Failing, why()), over(Cause::Health, why()), over(Cause::Keeper, why())]
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
            What::SourceOffline { .. } => vec![raise(RuleName::SourceOffline, 1)],
            What::SourceOnline { .. } => vec![better(Cause::Away, "it answers again")],
            // It is begun with anew, or not watched any longer.
            What::SourceChanged { .. } => vec![over(Cause::Away, describe(entry))],
            What::ContainerEvent { oom: Some(true), .. } => {
                vec![raise(RuleName::ContainerOom, 1), better(Cause::Memory, "it did not happen again")]
            }
            // What is asked for and done, what is told elsewhere, and what is a consequence of something that is told.
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
            | What::Gap { .. }
            | What::InternalFault { .. }
            | What::Other(_) => Vec::new(),
        }
    }

    /// It ended in a way that is no good end, and is started again.
    fn restarted(&mut self, at: Mono, loops: &Rule, failing: Option<RuleName>) -> Vec<Sign> {
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
        vec![Sign::Raise { rule: RuleName::CrashLoop, text: loop_text(count, span, &ended), count }]
    }
}

/// `crash loop: 5 ends in 3s, the last: exited with code 7`
pub(super) fn loop_text(count: u64, span: Duration, last: &str) -> String {
    format!("crash loop: {count} ends in {}, the last: {last}", format_rounded(span))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
