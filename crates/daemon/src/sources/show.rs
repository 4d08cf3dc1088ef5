//! Sources as they are shown.

use vigie_api::SCHEMA;
use vigie_api::source::{Shown, Worker};
use vigie_api::time::{Millis, Nanos};
use vigie_core::clock::Wall;
use vigie_core::name::Name;
use vigie_wire::worker::Role;

use super::Sources;
use super::held::Held;

impl Sources {
    /// As they are shown.
    pub(crate) fn show(&self) -> vigie_api::source::Sources {
        vigie_api::source::Sources {
            schema: SCHEMA,
            sources: self.held.keys().filter_map(|name| self.show_one(name)).collect(),
            worker: self.worker(Role::Events),
            metrics_worker: self.worker(Role::Metrics),
        }
    }

    fn worker(&self, role: Role) -> Option<Worker> {
        self.workers.get(&role).map(|worker| Worker { pid: worker.pid, memory_bytes: worker.memory })
    }

    /// One of them.
    pub(crate) fn show_one(&self, name: &Name) -> Option<Shown> {
        let held = self.held.get(name)?;
        let engine = held.resume.standing.engine.as_ref();
        let same = |(other, held): &(&Name, &Held)| {
            *other != name && engine.is_some() && held.resume.standing.engine.as_ref() == engine
        };
        let status = held.status.as_ref();
        Some(Shown {
            source: held.source.clone(),
            online: status.and_then(|status| status.online),
            stage: status.map(|status| status.stage),
            why: status.and_then(|status| status.why.clone()),
            retry_at: status.and_then(|status| status.retry_at).map(|at| {
                let now = vigie_os::clock::now();
                let left = at.0.saturating_sub(now.mono.0);
                Millis(Wall(now.wall.0.saturating_add(left)))
            }),
            engine: status.and_then(|status| status.engine.clone()),
            same_engine_as: self.held.iter().find(same).map(|(other, _)| other.clone()),
            containers: held.resume.cursor.is_some().then_some(held.resume.containers.len() as u64),
            last_event: held
                .resume
                .cursor
                .as_ref()
                .and_then(|cursor| cursor.event.as_ref())
                .map(|key| Nanos(Wall(key.at.0))),
            bad_lines: status.map(|status| status.bad_lines),
            dropped: status.map(|_| held.dropped),
            last_cycle: held.measuring.cycle.clone().filter(|_| held.source.measures_containers()),
            last_disk: held.measuring.disk.clone().filter(|_| held.source.measures_disk()),
            not_measured: held.measuring.why.clone().filter(|_| held.source.is_measured()),
        })
    }
}
