//! Requests that wait for their outcome.

use std::collections::BTreeSet;

use crate::clock::Mono;
use crate::exit_code::ExitCode;
use crate::launch::ServiceKey;
use crate::manifest::Kind;
use crate::service::{Run, Service, State, Wanted};
use crate::supervisor::{Action, Draft, Outcome, ServiceOutcome, Supervisor};

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Services that are up.
    Up {
        /// And ready; a task: done.
        wait: bool,
    },
    /// Services of which nothing is left.
    Down,
    /// Services whose ghosts were set aside.
    Quarantine,
}

/// A request that waits for its outcome.
#[derive(Debug)]
pub(super) struct Operation {
    goal: Goal,
    pending: BTreeSet<ServiceKey>,
    answers: Vec<ServiceOutcome>,
    /// It was not possible as a whole.
    refused: Option<(ExitCode, String)>,
    /// At least one service was set in motion by it.
    moved: bool,
    deadline: Option<Mono>,
    /// Not yet judged: all of `pending` is to be looked at, not only what changed.
    fresh: bool,
}

impl Operation {
    pub(super) fn new(goal: Goal, deadline: Option<Mono>) -> Self {
        Self { goal, pending: BTreeSet::new(), answers: Vec::new(), refused: None, moved: false, deadline, fresh: true }
    }

    pub(super) fn refuse(&mut self, code: ExitCode, why: String) {
        self.refused = Some((code, why));
    }

    pub(super) fn answer(&mut self, outcome: ServiceOutcome) {
        self.answers.push(outcome);
    }

    pub(super) fn expect(&mut self, key: ServiceKey) {
        self.moved = true;
        self.pending.insert(key);
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.deadline
    }

    /// The worst of its answers. A service that ran already is no fault of a request that set others in motion.
    fn outcome(mut self) -> Outcome {
        self.answers.sort_by(|a, b| a.key.cmp(&b.key));
        if let Some((code, why)) = self.refused {
            return Outcome { code, why: Some(why), services: self.answers };
        }
        let worst = [ExitCode::Stuck, ExitCode::StillAlive, ExitCode::No, ExitCode::NotFound, ExitCode::AlreadyRunning];
        let counts = |code: ExitCode| {
            let refused_only = code != ExitCode::AlreadyRunning || !self.moved || self.goal == Goal::Down;
            let conflict = |answer: &ServiceOutcome| answer.state == State::Conflict;
            self.answers.iter().any(|answer| answer.code == code && (refused_only || conflict(answer)))
        };
        let code = worst.into_iter().find(|code| counts(*code)).unwrap_or(ExitCode::Done);
        Outcome { code, why: None, services: self.answers }
    }
}

impl Supervisor {
    /// Answers the requests whose goals are reached, cannot be reached, or have run out of time.
    pub(super) fn judge_operations(&mut self, draft: &mut Draft) {
        let mut over = Vec::new();
        for (op, operation) in &mut self.operations {
            let late = operation.deadline.is_some_and(|deadline| deadline <= draft.now.mono);
            let look: Vec<ServiceKey> = if operation.fresh || late {
                operation.pending.iter().cloned().collect()
            } else {
                draft.changed.iter().filter(|key| operation.pending.contains(*key)).cloned().collect()
            };
            operation.fresh = false;
            for key in look {
                let Some(service) = self.services.get(&key) else { continue };
                let judged = match operation.goal {
                    Goal::Up { wait } => judge_up(service, wait),
                    Goal::Down => judge_down(service),
                    Goal::Quarantine => judge_quarantine(service),
                };
                let judged = judged.or_else(|| late.then(|| too_late(service, operation.goal)));
                if let Some(answer) = judged {
                    operation.pending.remove(&key);
                    operation.answers.push(answer);
                }
            }
            if operation.pending.is_empty() {
                over.push(*op);
            }
        }
        for op in over {
            if let Some(operation) = self.operations.remove(&op) {
                draft.actions.push(Action::Reply { op, outcome: operation.outcome() });
            }
        }
    }
}

fn judge_up(service: &Service, wait: bool) -> Option<ServiceOutcome> {
    let done = || Some(service.outcome(ExitCode::Done, None));
    let failed = |code| Some(service.outcome(code, service.why.clone()));
    let is_task = service.manifest().kind == Kind::Task;
    match service.state {
        State::Waiting | State::Starting | State::Backoff => None,
        State::Running | State::Ready | State::Degraded if service.wanted == Wanted::Down => was_stopped(service),
        State::Running | State::Ready | State::Degraded if wait && is_task => None,
        State::Running if wait && service.run.as_ref().is_some_and(|run| run.late) => failed(ExitCode::No),
        State::Running if wait && !service.settled() => None,
        State::Running | State::Ready | State::Degraded | State::Done => done(),
        State::Stopping if service.wanted == Wanted::Up => None,
        State::Stopped | State::Stopping => was_stopped(service),
        State::Failed => failed(ExitCode::No),
        State::Conflict => failed(ExitCode::AlreadyRunning),
        State::Ghost => failed(ghost_code(service)),
    }
}

fn judge_down(service: &Service) -> Option<ServiceOutcome> {
    match service.state {
        State::Stopped | State::Done | State::Failed | State::Conflict => Some(match &service.still_held {
            Some(what) => service.outcome(ExitCode::StillAlive, Some(what.clone())),
            None => service.outcome(ExitCode::Done, None),
        }),
        State::Ghost => Some(service.outcome(ghost_code(service), service.why.clone())),
        State::Waiting
        | State::Starting
        | State::Running
        | State::Ready
        | State::Degraded
        | State::Stopping
        | State::Backoff => match service.wanted {
            Wanted::Down => None,
            Wanted::Up => Some(service.outcome(ExitCode::No, Some("somebody started it again".to_owned()))),
        },
    }
}

fn judge_quarantine(service: &Service) -> Option<ServiceOutcome> {
    let refused = service.run.as_ref().and_then(|run| run.refused.clone());
    match (service.state, refused) {
        (State::Ghost, Some(why)) => Some(service.outcome(ExitCode::No, Some(why))),
        // Its keeper died in this moment: what it has done of it is being looked at.
        (State::Ghost | State::Stopping, _) => None,
        _ => Some(service.outcome(ExitCode::Done, None)),
    }
}

fn was_stopped(service: &Service) -> Option<ServiceOutcome> {
    Some(service.outcome(ExitCode::No, Some("somebody stopped it".to_owned())))
}

fn ghost_code(service: &Service) -> ExitCode {
    let kill_pending = service.run.as_ref().is_some_and(Run::kill_pending);
    if kill_pending { ExitCode::Stuck } else { ExitCode::StillAlive }
}

fn too_late(service: &Service, goal: Goal) -> ServiceOutcome {
    let why = match &service.why {
        Some(why) => format!("the time is over and it is {}: {why}", service.state),
        None => format!("the time is over and it is {}", service.state),
    };
    let code = match goal {
        Goal::Up { .. } | Goal::Quarantine => ExitCode::No,
        Goal::Down => ExitCode::StillAlive,
    };
    service.outcome(code, Some(why))
}

impl Service {
    pub(super) fn outcome(&self, code: ExitCode, why: Option<String>) -> ServiceOutcome {
        ServiceOutcome {
            key: self.key.clone(),
            project: self.definition.project.clone(),
            code,
            state: self.state,
            why,
            holder: self.holder.clone(),
        }
    }
}
