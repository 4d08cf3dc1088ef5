//! What keepers and probes tell becomes inputs and journal entries.

use crate::clock::Now;
use crate::exit::Exit;
use crate::identity::RunId;
use crate::journal::{self, Entry, What};
use crate::launch::ServiceKey;
use crate::run::{self, StopCause};
use crate::service::{Input, Service};
use crate::supervisor::{Draft, ProbeOutcome, Purpose, Supervisor};
use crate::units::Span;

impl Supervisor {
    /// An event of a run. It is journalled whatever run it is of; it is an input only for the present one, once.
    pub(super) fn keeper(&mut self, key: &ServiceKey, event: run::Event, draft: &mut Draft) {
        let Some(service) = self.services.get_mut(key) else { return };
        let present = service.run.as_mut().filter(|run| run.id == event.run);
        let fresh = present.is_some_and(|run| {
            let fresh = run.seq < event.seq;
            run.seq = run.seq.max(event.seq);
            fresh
        });
        let what = remember(service, &event);
        draft.entries.push(Entry::of_keeper(event.at, service.subject(), event.run, event.seq, what));
        if fresh && let Some(input) = input(event) {
            self.apply(key, input, draft);
        }
    }

    pub(super) fn keeper_lost(&mut self, key: &ServiceKey, run: RunId, draft: &mut Draft) {
        let between_runs = self.services.get(key).is_some_and(|service| service.run.is_none());
        if between_runs || self.is_present(key, run) {
            self.apply(key, Input::KeeperLost, draft);
        }
    }

    pub(super) fn recovered(&mut self, key: &ServiceKey, run: RunId, left: &[run::Left], draft: &mut Draft) {
        let input = if left.is_empty() { Input::Recovered } else { Input::Stuck(left.to_vec()) };
        self.of_run(key, run, input, draft);
    }

    pub(super) fn probed(
        &mut self,
        key: &ServiceKey,
        run: RunId,
        purpose: Purpose,
        outcome: ProbeOutcome,
        draft: &mut Draft,
    ) {
        let input = match (purpose, outcome) {
            (Purpose::Ready, ProbeOutcome::Good) => Input::ProbedReady,
            (Purpose::Ready, ProbeOutcome::Bad { why }) => Input::ProbedUnready(why),
            (Purpose::Alive, ProbeOutcome::Good) => Input::ProbedWell,
            (Purpose::Alive, ProbeOutcome::Bad { why }) => Input::ProbedIll(why),
            (purpose, ProbeOutcome::Other { who }) => {
                if !self.is_present(key, run) {
                    return;
                }
                self.change(key, draft, |service, reaction| service.tell_other(&who, reaction));
                let why = format!("answered by another: {who}");
                match purpose {
                    Purpose::Ready => Input::ProbedUnready(why),
                    Purpose::Alive => Input::ProbedIll(why),
                }
            }
        };
        self.of_run(key, run, input, draft);
    }
}

/// What an event of a keeper means for the service.
fn input(event: run::Event) -> Option<Input> {
    let at = Now { mono: event.mono, wall: event.at };
    Some(match event.what {
        run::What::Locked { keeper } => Input::Locked(keeper),
        run::What::Started { main, containment, cgroup } => Input::Started { main, containment, cgroup, at },
        run::What::Adopted { main, containment, cgroup, started } => {
            let started = started.map(|(wall, mono)| Now { mono, wall });
            Input::Adopted { main, containment, cgroup, started, at }
        }
        run::What::AdoptFailed { process, why } => {
            Input::AdoptFailed(format!("PID {} could not be adopted: {why}", process.pid))
        }
        run::What::SpawnFailed(failure) => Input::SpawnFailed(failure.to_string()),
        run::What::Stopping { cause: StopCause::Orphans } => return None,
        run::What::Stopping { cause } => Input::KeeperStops(cause),
        run::What::Exited { exit } => Input::Exited(exit),
        run::What::Stuck { left, .. } => Input::Stuck(left),
        run::What::Quarantined { .. } => Input::Quarantined,
        run::What::QuarantineRefused { why } => Input::QuarantineRefused(why),
        run::What::Empty => Input::Empty,
        run::What::Survivors { .. }
        | run::What::Rung { .. }
        | run::What::Orphans { .. }
        | run::What::LogLost { .. } => {
            return None;
        }
    })
}

/// What the journal keeps of an event.
fn remember(service: &Service, event: &run::Event) -> What {
    let present = service.run.as_ref().filter(|run| run.id == event.run);
    let started = present.and_then(|run| run.started);
    match &event.what {
        run::What::Started { main, containment, .. } => What::Started {
            main_pid: main.pid,
            containment: *containment,
            by: journal::origin(&service.definition.origin),
            attempt: service.attempt,
        },
        run::What::Adopted { main, containment, started, .. } => What::AdoptedStray {
            main_pid: main.pid,
            since: started.map(|(wall, _)| wall),
            containment: *containment,
            by: journal::origin(&service.definition.origin),
        },
        run::What::Exited { exit } => {
            What::Exited { exit: *exit, ran: started.map(|at| Span(event.mono.since(at.mono))) }
        }
        run::What::Empty => {
            let ending = present.and_then(|run| run.ending_since);
            What::Empty { after: ending.map(|since| Span(event.mono.since(since))) }
        }
        other => plain(other, "vigie run"),
    }
}

/// What the journal keeps of an event of a run of which nothing else is known than who started it: one of `vigie run`, or
/// one of a daemon that could not write it down.
pub fn plain(what: &run::What, by: &str) -> What {
    match what {
        run::What::Locked { .. } => What::Locked,
        run::What::Survivors { of, count } => What::SurvivorsEnded { of: *of, count: *count },
        run::What::Started { main, containment, .. } => {
            What::Started { main_pid: main.pid, containment: *containment, by: by.to_owned(), attempt: 0 }
        }
        run::What::Adopted { main, containment, started, .. } => What::AdoptedStray {
            main_pid: main.pid,
            since: started.map(|(wall, _)| wall),
            containment: *containment,
            by: "vigie".to_owned(),
        },
        run::What::AdoptFailed { process, why } => What::AdoptFailed { pid: process.pid, why: why.clone() },
        run::What::SpawnFailed(failure) => {
            What::SpawnFailed { step: failure.step.clone(), on: failure.on.clone(), error: failure.error() }
        }
        run::What::Stopping { cause } => What::Stopping { cause: cause.to_string() },
        run::What::Rung { index, rung } => What::Rung { index: *index, rung: *rung },
        run::What::Exited { exit } => What::Exited { exit: *exit, ran: None },
        run::What::Orphans { left, count } => {
            What::Orphans { count: *count, names: left.iter().map(|process| process.name.to_string()).collect() }
        }
        run::What::Stuck { left, count } => {
            What::Stuck { count: *count, left: left.iter().map(ToString::to_string).collect() }
        }
        run::What::Quarantined { left, count } => {
            What::Quarantined { count: *count, left: left.iter().map(ToString::to_string).collect() }
        }
        run::What::QuarantineRefused { why } => What::QuarantineRefused { why: why.clone() },
        run::What::LogLost { bytes, why } => What::LogLost { bytes: *bytes, why: why.clone() },
        run::What::Empty => What::Empty { after: None },
    }
}

/// The exit that is known of a run that ended while nobody watched.
pub(super) fn known_exit(exit: Option<Exit>) -> Exit {
    exit.unwrap_or(Exit::Unknown)
}
