//! The runs that are alive, as their keepers tell it: who holds them, where their processes are.

use std::collections::HashMap;
use std::path::PathBuf;

use vigie_core::identity::{ProcKey, RunId};
use vigie_core::launch::ServiceKey;
use vigie_core::run::What;
use vigie_core::supervisor::{Event, FoundRun};
use vigie_os::cgroup::Cgroup;
use vigie_os::usage::Tree;

/// One run that is alive: its lock is held and its tree was not reported empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveRun {
    pub(crate) id: RunId,
    pub(crate) keeper: ProcKey,
    pub(crate) main: Option<ProcKey>,
    pub(crate) cgroup: Option<PathBuf>,
    /// Its main process was adopted: nobody of it is below the keeper.
    pub(crate) adopted: bool,
}

impl LiveRun {
    /// Its processes.
    pub(crate) fn tree(&self) -> Tree {
        match (self.cgroup.as_deref().and_then(Cgroup::existing), &self.main) {
            (Some(cgroup), _) => Tree::Cgroup(cgroup),
            (None, Some(main)) if self.adopted => Tree::From(main.clone()),
            (None, _) => Tree::Below(self.keeper.clone()),
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Runs(HashMap<ServiceKey, LiveRun>);

/// What an event changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The main process of this run was spawned.
    Started(RunId),
    /// This run is over.
    Over(RunId),
}

impl Runs {
    /// A run that was found with its keeper.
    pub(crate) fn adopt(&mut self, key: ServiceKey, found: &FoundRun) {
        if let Some(keeper) = &found.keeper {
            let cgroup = found.cgroup.as_ref().map(|cgroup| cgroup.as_path().to_owned());
            let (main, adopted) = (found.main.clone(), found.adopted.is_some());
            self.0.insert(key, LiveRun { id: found.id, keeper: keeper.clone(), main, cgroup, adopted });
        }
    }

    /// The live run of a service.
    pub(crate) fn get(&self, key: &ServiceKey) -> Option<&LiveRun> {
        self.0.get(key)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &LiveRun)> {
        self.0.iter()
    }

    /// Takes note of an event.
    pub(crate) fn note(&mut self, event: &Event) -> Option<Changed> {
        match event {
            Event::Keeper { key, event } => {
                let present = self.0.get(key);
                match &event.what {
                    What::Locked { keeper } => {
                        // Invariant 1: the lock is free only when the tree of the run before is empty. What is told of
                        // an earlier run of this keeper was missed while no daemon lived.
                        debug_assert!(
                            present.is_none_or(|run| run.id >= event.run || run.keeper != *keeper),
                            "{}: run {} is locked while {present:?} lives",
                            key.service,
                            event.run,
                        );
                        if present.is_some_and(|present| present.id >= event.run) {
                            return None;
                        }
                        let (id, keeper) = (event.run, keeper.clone());
                        let run = LiveRun { id, keeper, main: None, cgroup: None, adopted: false };
                        // One whose keeper died, and which goes on as this one: it was adopted, and is again.
                        self.0.insert(key.clone(), run).map(|before| Changed::Over(before.id))
                    }
                    What::Started { main, cgroup, .. } | What::Adopted { main, cgroup, .. } => {
                        let run = self.0.get_mut(key).filter(|run| run.id == event.run)?;
                        run.main = Some(main.clone());
                        run.adopted = matches!(event.what, What::Adopted { .. });
                        run.cgroup = cgroup.as_ref().map(|cgroup| cgroup.as_path().to_owned());
                        Some(Changed::Started(event.run))
                    }
                    What::Quarantined { .. } | What::Empty => self.end(key, event.run),
                    _ => None,
                }
            }
            Event::Recovered { key, run, left } if left.is_empty() => self.end(key, *run),
            _ => None,
        }
    }

    fn end(&mut self, key: &ServiceKey, run: RunId) -> Option<Changed> {
        if self.0.get(key)?.id != run {
            return None;
        }
        self.0.remove(key);
        Some(Changed::Over(run))
    }
}
