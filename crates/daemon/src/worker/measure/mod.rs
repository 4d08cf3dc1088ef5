//! What containers use and how full disks are: a task for each source ([`source`]), which asks in a rhythm of its own
//! ([`vigie_core::docker::pace`]) and lets go of whatever takes too long. Disks are asked one at a time, whoever's they are:
//! two names may lead to one engine, and one that counts what it has is busy with that.

mod cycle;
mod disk;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use vigie_core::docker::source::Source;
use vigie_core::docker::told::Standing;
use vigie_core::name::Name;
use vigie_core::settings::Key;
use vigie_core::units::Span;
use vigie_wire::worker::Assigned;

use super::Task;
use super::outbox::Outbox;

/// Wishes to look at containers that may wait; whoever looks asks again soon.
const LOOKS: usize = 8;

/// How often is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Intervals {
    containers: Span,
    disk: Span,
}

/// What is to be done of a source.
#[derive(Debug, Clone)]
struct Work {
    source: Source,
    /// Of the assignment.
    number: u64,
    /// Whether to tell if it is there, and what was told of that.
    tells: Option<Standing>,
}

/// Somebody looks at some of its containers.
#[derive(Debug)]
struct Look {
    containers: Vec<String>,
    length: Span,
}

/// A source, from outside of its task.
struct One {
    work: watch::Sender<Work>,
    looks: mpsc::Sender<Look>,
    task: Task,
}

/// All sources that are measured.
pub(super) struct Crew {
    outbox: Outbox,
    intervals: watch::Sender<Intervals>,
    disks: Arc<Semaphore>,
    sources: BTreeMap<Name, One>,
}

impl Crew {
    pub(super) fn new(outbox: Outbox) -> Self {
        let intervals = Intervals { containers: Key::MetricsInterval.default(), disk: Key::DiskInterval.default() };
        let (intervals, _) = watch::channel(intervals);
        Self { outbox, intervals, disks: Arc::new(Semaphore::new(1)), sources: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Takes up what is different. Gives back the tasks that are to be ended: of sources that are gone or lie elsewhere now.
    /// What else changed holds from their next cycle on.
    pub(super) fn refresh(&mut self, put: Vec<Assigned>, remove: &[Name]) -> Vec<Task> {
        let mut over: Vec<Task> =
            remove.iter().filter_map(|name| self.sources.remove(name)).map(|one| one.task).collect();
        for Assigned { source, resume, number, tells } in put {
            let name = source.name.clone();
            let work = Work { source, number, tells: tells.then_some(resume.standing) };
            match self.sources.get(&name) {
                Some(one) if one.work.borrow().is_like(&work) => drop(one.work.send(work)),
                _ => {
                    let begun = self.begin(work);
                    over.extend(self.sources.insert(name, begun).map(|one| one.task));
                }
            }
        }
        over
    }

    fn begin(&self, work: Work) -> One {
        let (stop, stopped) = oneshot::channel();
        let (work, told) = watch::channel(work);
        let (looks, to_look) = mpsc::channel(LOOKS);
        let parts = source::Parts {
            work: told,
            intervals: self.intervals.subscribe(),
            looks: to_look,
            disks: Arc::clone(&self.disks),
            outbox: self.outbox.clone(),
        };
        let task = tokio::spawn(source::measure(parts, stopped));
        One { work, looks, task: Task { stop, task } }
    }

    /// So often from the next time on.
    pub(super) fn pace(&self, containers: Span, disk: Span) {
        self.intervals.send_replace(Intervals { containers, disk });
    }

    /// Somebody looks at containers.
    pub(super) fn watch(&self, source: &Name, containers: Vec<String>, length: Span) {
        if let Some(one) = self.sources.get(source) {
            // One that finds no place is asked for again by whoever looks.
            let _ = one.looks.try_send(Look { containers, length });
        }
    }

    pub(super) fn into_tasks(self) -> Vec<Task> {
        self.sources.into_values().map(|one| one.task).collect()
    }
}

impl Work {
    /// Whether it is done at the same place, and told by the same rules.
    fn is_like(&self, other: &Self) -> bool {
        self.source.endpoint == other.source.endpoint
            && self.source.tls == other.source.tls
            && self.tells.is_some() == other.tells.is_some()
    }
}

#[cfg(test)]
mod tests;
