//! Not a thousand launches at once: each costs memory until its keeper has it, and none is faster for it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use vigie_core::clock::Mono;
use vigie_core::identity::RunId;
use vigie_core::launch::ServiceKey;
use vigie_core::run::What;
use vigie_core::supervisor::Event;

/// How many may be under way.
const WINDOW: usize = 32;

/// A keeper that has not told what came of its launch after this does not hold up others: it may have been stopped.
const PATIENCE: Duration = Duration::from_secs(15);

/// Launches that are under way, and those whose turn it is not yet.
#[derive(Debug, Default)]
pub(super) struct Launches {
    under_way: HashMap<RunId, Mono>,
    waiting: VecDeque<(ServiceKey, RunId)>,
}

impl Launches {
    /// One more is to be launched.
    pub(super) fn push(&mut self, key: ServiceKey, run: RunId) {
        self.waiting.push_back((key, run));
    }

    /// The next whose turn it is. It then is under way.
    pub(super) fn next(&mut self, now: Mono) -> Option<(ServiceKey, RunId)> {
        if self.under_way.len() >= WINDOW {
            self.under_way.retain(|_, since| now.since(*since) < PATIENCE);
        }
        if self.under_way.len() >= WINDOW {
            return None;
        }
        let (key, run) = self.waiting.pop_front()?;
        self.under_way.insert(run, now);
        Some((key, run))
    }

    /// Takes one back whose turn has not come.
    pub(super) fn cancel(&mut self, key: &ServiceKey) -> Option<RunId> {
        let place = self.waiting.iter().position(|(waiting, _)| waiting == key)?;
        self.waiting.remove(place).map(|(_, run)| run)
    }

    /// Takes note of what came of one.
    pub(super) fn note(&mut self, event: &Event) {
        let run = match event {
            Event::Keeper { event, .. } => match event.what {
                What::Locked { .. } | What::Survivors { .. } => return,
                _ => event.run,
            },
            Event::Refused { run, .. }
            | Event::Occupied { run, .. }
            | Event::LaunchFailed { run, .. }
            | Event::KeeperLost { run, .. } => *run,
            _ => return,
        };
        self.under_way.remove(&run);
    }

    /// When to look again although nothing was told.
    pub(super) fn due(&self) -> Option<Mono> {
        if self.waiting.is_empty() {
            return None;
        }
        self.under_way.values().min().map(|since| *since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::launch::Scope;
    use vigie_core::name::Name;

    #[test]
    fn a_window_that_moves_on_and_does_not_stand_still_for_ever() {
        let key = ServiceKey::new(Scope::User, std::path::Path::new("/"), Name::new("a").expect("name"));
        let other = ServiceKey::new(Scope::User, std::path::Path::new("/"), Name::new("b").expect("name"));
        let mut launches = Launches::default();
        let window = WINDOW as u64;
        for run in 0..window + 2 {
            launches.push(key.clone(), RunId(run));
        }
        launches.push(other.clone(), RunId(99));
        let taken = std::iter::from_fn(|| launches.next(Mono(0))).count();
        assert_eq!(taken, WINDOW);
        assert_eq!(launches.cancel(&other), Some(RunId(99)));
        assert_eq!(launches.cancel(&other), None);
        launches.note(&Event::Refused { key: key.clone(), run: RunId(3), holder: None });
        assert_eq!(launches.next(Mono(1)), Some((key.clone(), RunId(window))));
        assert_eq!(launches.next(Mono(1)), None);
        assert_eq!(launches.due(), Some(Mono(0) + PATIENCE));
        assert_eq!(launches.next(Mono(0) + PATIENCE), Some((key, RunId(window + 1))));
        assert_eq!(launches.due(), None);
    }
}
