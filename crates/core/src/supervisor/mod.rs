//! All services of a user: events in, actions out.
//!
//! [`Supervisor::step`] is the only way in. It gets one [`Event`] with the time, and returns a [`Step`]: what to do,
//! what to journal, what to keep, when to be called again. It never waits: what takes time is an [`Action`] whose
//! outcome comes back as an event.
//!
//! | file | what it does |
//! |---|---|
//! | `request` | what users ask for becomes inputs of services |
//! | `keeper` | what keepers tell becomes inputs and journal entries |
//! | `ghosts` | what was set aside and is watched until it is gone |
//! | `settle` | what follows from a change: gates that open, stops whose turn it is, timers |
//! | `operation` | requests that wait for their outcome |
//! | `restore` | what a daemon that comes back makes of what it finds |
//! | `launch` | the description of a run for its keeper |
//! | `view` | what is shown, what is stored |

mod ghosts;
mod keeper;
mod launch;
mod message;
mod operation;
mod request;
mod restore;
mod settle;
mod stored;
mod view;

use std::collections::{BTreeMap, BTreeSet};

pub use keeper::plain;
pub use launch::{Claims, LaunchPlace};
pub use message::*;
pub use stored::*;

use crate::clock::{Mono, Now};
use crate::ghost::Ghost;
use crate::identity::RunId;
use crate::journal::Entry;
use crate::launch::ServiceKey;
use crate::name::Name;
use crate::policy::Draws;
use crate::service::{Input, Reaction, Service, State};
use crate::text::OsText;
use operation::Operation;

/// All services of a user.
#[derive(Debug)]
pub struct Supervisor {
    services: BTreeMap<ServiceKey, Service>,
    /// Services of a project by name, so that `after` finds them.
    names: BTreeMap<(OsText, Name), ServiceKey>,
    operations: BTreeMap<OpId, Operation>,
    /// Services that wait for others.
    waiting: BTreeSet<ServiceKey>,
    /// Services whose stop waits for those that depend on them.
    stops_due: BTreeSet<ServiceKey>,
    /// When to look at which service again.
    timers: BTreeSet<(Mono, ServiceKey)>,
    /// What no signal ends and was set aside, until it is gone.
    ghosts: BTreeMap<RunId, Ghost>,
    draws: Draws,
}

/// What a step collects while it is made.
#[derive(Debug)]
struct Draft {
    now: Now,
    actions: Vec<Action>,
    entries: Vec<Entry>,
    changed: BTreeSet<ServiceKey>,
    ghosts: BTreeSet<RunId>,
    durable_first: bool,
}

impl Supervisor {
    /// Without services. `seed` decides jitter and run numbers.
    pub fn new(seed: u64) -> Self {
        Self {
            services: BTreeMap::new(),
            names: BTreeMap::new(),
            operations: BTreeMap::new(),
            waiting: BTreeSet::new(),
            stops_due: BTreeSet::new(),
            timers: BTreeSet::new(),
            ghosts: BTreeMap::new(),
            draws: Draws::new(seed),
        }
    }

    /// Takes one event and says what follows.
    pub fn step(&mut self, now: Now, event: Event) -> Step {
        let mut draft = Draft::new(now);
        match event {
            Event::Request { op, request } => {
                draft.durable_first = true;
                self.request(op, request, &mut draft);
            }
            Event::SessionEnded(session) => {
                draft.durable_first = true;
                self.session_ended(session, &mut draft);
            }
            Event::Keeper { key, event } => self.keeper(&key, event, &mut draft),
            Event::Refused { key, run, holder } => self.of_run(&key, run, Input::Refused(holder), &mut draft),
            Event::Occupied { key, run, what, pid } => {
                self.of_run(&key, run, Input::Occupied { what, pid }, &mut draft);
            }
            Event::StillHeld { key, run, what } => self.of_run(&key, run, Input::StillHeld(what), &mut draft),
            Event::ClaimHeld { key, run, what } => self.of_run(&key, run, Input::ClaimHeld(what), &mut draft),
            Event::LaunchFailed { key, run, why } => self.of_run(&key, run, Input::LaunchFailed(why), &mut draft),
            Event::KeeperLost { key, run } => self.keeper_lost(&key, run, &mut draft),
            Event::Recovered { key, run, left } => self.recovered(&key, run, &left, &mut draft),
            Event::Probed { key, run, purpose, outcome } => self.probed(&key, run, purpose, outcome, &mut draft),
            Event::QuarantineRefused { key, run, why } => {
                self.of_run(&key, run, Input::QuarantineRefused(why), &mut draft);
            }
            Event::GhostFound(ghost) => self.ghost_found(*ghost, &mut draft),
            Event::GhostGone { run, reboot } => self.ghost_gone(run, reboot, &mut draft),
            Event::Tick => self.fire_timers(&mut draft),
        }
        self.finish(draft)
    }

    fn finish(&mut self, mut draft: Draft) -> Step {
        self.settle(&mut draft);
        self.judge_operations(&mut draft);
        let operations = self.operations.values().filter_map(Operation::deadline);
        let deadline = self.timers.first().map(|(at, _)| *at).into_iter().chain(operations).min();
        Step {
            actions: draft.actions,
            entries: draft.entries,
            changed: draft.changed.into_iter().collect(),
            ghosts: draft.ghosts.into_iter().collect(),
            durable_first: draft.durable_first,
            deadline,
        }
    }

    /// An input for the run of a service, if it still is the present one.
    fn of_run(&mut self, key: &ServiceKey, run: RunId, input: Input, draft: &mut Draft) {
        if self.is_present(key, run) {
            self.apply(key, input, draft);
        }
    }

    fn is_present(&self, key: &ServiceKey, run: RunId) -> bool {
        self.services.get(key).and_then(|service| service.run.as_ref()).is_some_and(|present| present.id == run)
    }

    /// Gives an input to a service and keeps the indexes in step with it. Every change of a service goes through here
    /// or through [`Supervisor::change`].
    fn apply(&mut self, key: &ServiceKey, input: Input, draft: &mut Draft) {
        self.change(key, draft, |service, reaction| {
            if let Err(fault) = service.apply(input, reaction) {
                debug_assert!(false, "{}: {fault}", service.key.service);
                service.journal_fault(fault, reaction);
            }
        });
    }

    fn change<R>(
        &mut self,
        key: &ServiceKey,
        draft: &mut Draft,
        change: impl FnOnce(&mut Service, &mut Reaction<'_>) -> R,
    ) -> Option<R> {
        let service = self.services.get_mut(key)?;
        let timer = service.timers.first();
        let mut reaction = Reaction {
            now: draft.now,
            draws: &mut self.draws,
            actions: &mut draft.actions,
            entries: &mut draft.entries,
        };
        let result = change(service, &mut reaction);
        if timer != service.timers.first() {
            if let Some(timer) = timer {
                self.timers.remove(&(timer, key.clone()));
            }
            if let Some(timer) = service.timers.first() {
                self.timers.insert((timer, key.clone()));
            }
        }
        index(&mut self.waiting, key, service.state == State::Waiting);
        index(&mut self.stops_due, key, service.stop_due.is_some());
        draft.changed.insert(key.clone());
        Some(result)
    }
}

fn index(set: &mut BTreeSet<ServiceKey>, key: &ServiceKey, member: bool) {
    if member != set.contains(key) {
        if member {
            set.insert(key.clone());
        } else {
            set.remove(key);
        }
    }
}

impl Draft {
    fn new(now: Now) -> Self {
        Self {
            now,
            actions: Vec::new(),
            entries: Vec::new(),
            changed: BTreeSet::new(),
            ghosts: BTreeSet::new(),
            durable_first: false,
        }
    }
}

#[cfg(test)]
mod tests;
