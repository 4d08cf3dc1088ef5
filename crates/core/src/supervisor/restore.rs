//! What a daemon that comes back makes of what it finds (R6.7). Starting is not a special case: what was stored is
//! compared with what the world says, and the differences are events.

use std::collections::BTreeMap;

use crate::clock::{Mono, Now};
use crate::ghost;
use crate::identity::RunId;
use crate::journal::What;
use crate::launch::ServiceKey;
use crate::run::{Phase, StopCause};
use crate::service::{Input, Next, Reaction, Run, Service, State, StopDue, Wanted};
use crate::supervisor::keeper::known_exit;
use crate::supervisor::{Action, Draft, Found, FoundRun, Step, Stored, Supervisor};

impl Supervisor {
    /// Takes up what an earlier daemon left. Call once, before the first [`Supervisor::step`]. `same_boot`: the machine
    /// was not restarted since; what was stored under another boot is over and is not started behind anybody's back.
    /// Runs of services that are not stored are nobody's to adopt: those of `vigie run`.
    pub fn restore(&mut self, now: Now, same_boot: bool, stored: Vec<Stored>, found: Vec<Found>) -> Step {
        let mut draft = Draft::new(now);
        let mut found: BTreeMap<ServiceKey, Option<FoundRun>> =
            found.into_iter().map(|found| (found.key, found.run)).collect();
        for stored in stored {
            let key = stored.key.clone();
            let run = found.remove(&key).flatten();
            let ended = stored.last_exit.as_ref().map(|last| last.run);
            let before = Before { same_boot, state: stored.state, run: stored.run, ended, ghost: stored.ghost };
            let name = (stored.definition.dir.clone(), stored.definition.service.name.clone());
            self.names.insert(name, key.clone());
            self.services.insert(key.clone(), revive(stored, now));
            self.change(&key, &mut draft, |service, reaction| take_up(service, before, run, reaction));
            let unwanted = self.services.get(&key).is_some_and(|service| {
                service.wanted == Wanted::Down && service.state.may_live() && service.state != State::Stopping
            });
            if unwanted {
                let due = StopDue { cause: StopCause::Asked, ladder: None };
                self.apply(&key, Input::Down(due), &mut draft);
            }
        }
        self.finish(draft)
    }
}

/// How the service stood when it was stored.
#[derive(Clone, Copy)]
struct Before {
    same_boot: bool,
    state: State,
    /// The run that was launched last.
    run: Option<RunId>,
    /// The run whose end was stored last.
    ended: Option<RunId>,
    /// It was told of that run that no signal ends it.
    ghost: bool,
}

impl Before {
    /// The run, with what was told of it before: that no signal ends it, or its end.
    fn remember(self, run: Run) -> Run {
        let ghost = run.ghost || self.ghost && self.run == Some(run.id);
        Run { ghost: ghost && self.ended != Some(run.id), ..run }
    }
}

/// The service as it was stored, with nothing alive.
fn revive(stored: Stored, now: Now) -> Service {
    let mut service = Service::new(stored.key, stored.definition, now);
    service.wanted = stored.wanted;
    service.last_exit = stored.last_exit;
    service.restarts = stored.restarts;
    service.attempt = stored.attempt;
    service.next = stored.next;
    service.adopt = stored.adopt;
    service.state = if stored.state.may_live() { State::Stopped } else { stored.state };
    service.since = Now { mono: now.mono, wall: stored.since };
    service.why = stored.why;
    service
}

fn take_up(service: &mut Service, before: Before, found: Option<FoundRun>, reaction: &mut Reaction<'_>) {
    let now = reaction.now;
    if found.as_ref().is_some_and(|found| found.adopted.is_some() && Some(found.id) == before.run) {
        service.adopt = None;
    }
    match found {
        Some(found) if found.keeper.is_some() => adopt(service, before, found, reaction),
        // Its keeper was killed, and perhaps not its tree.
        Some(found) if !found.phase.is_over() => {
            heed_stop(service, &found);
            service.attempt = service.attempt.max(found.attempt);
            let ends = found.phase == Phase::Stopping || found.phase == Phase::Stuck;
            service.run = Some(before.remember(run_of(found)));
            service.journal_loss(reaction);
            service.enter(if ends { State::Stopping } else { State::Running }, now, None);
            if !service.take_back(reaction) {
                service.enter(State::Stopping, now, None);
                service.recover(reaction);
            }
        }
        // The run that was stored, or one launched right before the daemon died: it is over, and its end is written.
        Some(found) if before.state.may_live() && before.ended != Some(found.id) => {
            heed_stop(service, &found);
            service.run = Some(run_of(found));
            service.enter(State::Stopping, now, None);
            service.end(reaction);
        }
        _ if !before.same_boot => after_reboot(service, before, now),
        // The adoption was intended, and never came to a keeper. What runs already waits for nobody.
        Some(_) | None
            if before.state == State::Starting && service.adopt.is_some() && service.wanted == Wanted::Up =>
        {
            service.launch(reaction);
        }
        // The launch was intended, and never came to a keeper.
        Some(_) | None if before.state == State::Starting => match service.wanted {
            Wanted::Up => service.enter(State::Waiting, now, None),
            Wanted::Down => service.enter(State::Stopped, now, None),
        },
        // Somebody wiped the folder under a run. What is left of it can only be told by its environment mark.
        None if before.state.may_live() => {
            service.run = before.run.map(|run| before.remember(Run::new(run)));
            service.enter(State::Stopping, now, None);
            service.journal_loss(reaction);
            service.recover(reaction);
        }
        // The run that was stored is over, and so is its stop.
        Some(_) if before.state.may_live() => {
            service.enter(State::Stopping, now, None);
            service.end(reaction);
        }
        Some(_) | None => resume_waiting(service, now),
    }
}

/// Nothing of another boot is alive.
fn after_reboot(service: &mut Service, before: Before, now: Now) {
    let goes_on = before.state.may_live() || matches!(service.state, State::Waiting | State::Backoff);
    if goes_on {
        service.wanted = Wanted::Down;
        service.enter(State::Stopped, now, Some("the machine was restarted".to_owned()));
    }
}

/// The state needs no process: it goes on as it was.
fn resume_waiting(service: &mut Service, now: Now) {
    if service.state == State::Backoff {
        let why = service.why.take();
        service.enter(State::Backoff, now, why);
        service.timers.backoff_over = Some(now.mono + service.manifest().restart.delay.0);
    }
}

/// A keeper answers: the run goes on, whatever it is.
fn adopt(service: &mut Service, before: Before, found: FoundRun, reaction: &mut Reaction<'_>) {
    let now = reaction.now;
    heed_stop(service, &found);
    service.held = true;
    service.attempt = service.attempt.max(found.attempt);
    let phase = found.phase;
    let was_ready = before.run == Some(found.id) && matches!(before.state, State::Ready | State::Degraded);
    let main = found.main.as_ref().map(|main| main.pid);
    let since = found.started.map(|(wall, _)| wall);
    service.run = Some(before.remember(run_of(found)));
    service.journal(reaction, What::Adopted { main_pid: main, since });
    match phase {
        Phase::Locked => {
            let run = service.run.as_ref().map(|run| run.id);
            service.enter(State::Starting, now, None);
            if let Some(run) = run {
                reaction.actions.push(Action::Launch { key: service.key.clone(), run });
            }
        }
        Phase::Running | Phase::Orphaned if was_ready => {
            service.enter(State::Ready, now, None);
            service.settle(now.mono, reaction);
        }
        Phase::Running | Phase::Orphaned => {
            service.run_up(reaction);
            // The time in which no daemon could ask does not count against it.
            if let (Some(ready), Some(_)) = (&service.definition.service.ready, service.timers.ready_by) {
                service.timers.ready_by = Some(now.mono + ready.within.0);
            }
        }
        Phase::Stopping => service.enter(State::Stopping, now, None),
        Phase::Stuck => {
            let names = service.run.as_ref().map(|run| ghost::names(&run.left));
            service.enter(State::Ghost, now, names);
        }
        Phase::Quarantined | Phase::Empty => {
            service.enter(State::Stopping, now, None);
            service.end(reaction);
        }
    }
}

/// Somebody stopped the run while no daemon was there, or right before it died: then it is not wanted any more, or is to
/// be started anew.
fn heed_stop(service: &mut Service, found: &FoundRun) {
    match found.stopped {
        Some(StopCause::Asked | StopCause::Tie) if service.next != Next::Restart => service.wanted = Wanted::Down,
        Some(StopCause::Restart) if service.wanted == Wanted::Up => service.next = Next::Restart,
        _ => {}
    }
}

fn run_of(found: FoundRun) -> Run {
    Run {
        keeper: found.keeper,
        main: found.main,
        started: found.started.map(|(wall, mono): (_, Mono)| Now { mono, wall }),
        adopted: found.adopted.map(|(wall, mono)| Now { mono, wall }),
        containment: found.containment,
        cgroup: found.cgroup,
        exit: found.exit.or(found.phase.is_over().then(|| known_exit(None))),
        exited: found.exited,
        left: found.left,
        // Its end may have been told, though its record says nothing of that: see `Before::remember`.
        ghost: found.phase == Phase::Stuck,
        seq: found.seq,
        ..Run::new(found.id)
    }
}
