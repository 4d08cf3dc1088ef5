//! What follows from a change: gates that open, stops whose turn it is, timers.

use std::collections::BTreeSet;

use crate::clock::Mono;
use crate::launch::ServiceKey;
use crate::plan::{Gate, gate};
use crate::service::{Input, Service, State};
use crate::supervisor::{Draft, Supervisor};

impl Supervisor {
    /// Applies what is due by the clock.
    pub(super) fn fire_timers(&mut self, draft: &mut Draft) {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > draft.now.mono {
                break;
            }
            let due = self.services.get(&key).and_then(|service| due(service, draft.now.mono));
            match due {
                Some(input) => self.apply(&key, input, draft),
                None => {
                    self.timers.remove(&(at, key));
                }
            }
        }
    }

    /// Until nothing follows any more: dependents whose gates are open start, those whose gates never open fail, and
    /// stops go to those on whom nobody depends.
    pub(super) fn settle(&mut self, draft: &mut Draft) {
        // Each pass moves at least one service out of `waiting` or `stops_due`, or is the last.
        loop {
            let mut moved = false;
            let waiting: Vec<ServiceKey> = self.waiting.iter().cloned().collect();
            for key in waiting {
                if let Some(input) = self.services.get(&key).and_then(|service| self.gates(service)) {
                    self.apply(&key, input, draft);
                    moved = true;
                }
            }
            let held_up = self.needed_by_stopping();
            let turn: Vec<ServiceKey> = self.stops_due.iter().filter(|key| !held_up.contains(*key)).cloned().collect();
            for key in turn {
                self.apply(&key, Input::StopNow, draft);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    /// What the dependencies of a waiting service say.
    fn gates(&self, service: &Service) -> Option<Input> {
        let mut open = true;
        for (name, condition) in &service.manifest().after {
            let dependency = self.dependency(service, name);
            let (state, settled) =
                dependency.map_or((State::Stopped, false), |dependency| (dependency.state, dependency.settled()));
            match gate(*condition, state, settled) {
                Gate::Open => {}
                Gate::Closed => open = false,
                Gate::Never => {
                    let why = dependency.and_then(|dependency| dependency.why.as_deref());
                    let why = why.map_or_else(|| format!("is {state}"), |why| format!("is {state}: {why}"));
                    return Some(Input::Blocked { on: name.clone(), why });
                }
            }
        }
        open.then_some(Input::Unblocked)
    }

    fn dependency(&self, service: &Service, name: &crate::name::Name) -> Option<&Service> {
        let key = self.names.get(&(service.definition.dir.clone(), name.clone()))?;
        self.services.get(key)
    }

    /// Services that something needs which is itself being stopped, or is to be, and may still live (R5.6).
    fn needed_by_stopping(&self) -> BTreeSet<ServiceKey> {
        if self.stops_due.is_empty() {
            return BTreeSet::new();
        }
        let dirs: BTreeSet<_> =
            self.stops_due.iter().filter_map(|key| Some(&self.services.get(key)?.definition.dir)).collect();
        self.services
            .values()
            .filter(|service| dirs.contains(&service.definition.dir))
            .filter(|service| service.stop_due.is_some() || service.state == State::Stopping)
            .flat_map(|service| service.manifest().after.keys().map(move |name| (service, name)))
            .filter_map(|(service, name)| self.names.get(&(service.definition.dir.clone(), name.clone())).cloned())
            .collect()
    }
}

/// The input of the first timer that is due.
fn due(service: &Service, now: Mono) -> Option<Input> {
    let timers = &service.timers;
    let is_due = |timer: Option<Mono>| timer.is_some_and(|at| at <= now);
    // A duration that is over makes the others pointless; lateness comes before stability.
    if is_due(timers.duration_over) {
        Some(Input::DurationOver)
    } else if is_due(timers.ready_by) {
        Some(Input::ReadyLate)
    } else if is_due(timers.stable_at) {
        Some(Input::Stable)
    } else if is_due(timers.backoff_over) {
        Some(Input::BackoffOver)
    } else {
        None
    }
}
