//! What is shown of services, and what of them is stored.

use crate::launch::ServiceKey;
use crate::service::Service;
use crate::supervisor::{RunView, Stored, Supervisor, View};

impl Supervisor {
    /// Every service as it stands, in the order of its key.
    pub fn views(&self) -> impl Iterator<Item = View> + '_ {
        self.services.values().map(|service| self.view_of(service))
    }

    /// One service as it stands.
    pub fn view(&self, key: &ServiceKey) -> Option<View> {
        self.services.get(key).map(|service| self.view_of(service))
    }

    /// What is to be kept of a service, as [`crate::supervisor::Step::changed`] asks for it.
    pub fn stored(&self, key: &ServiceKey) -> Option<Stored> {
        let service = self.services.get(key)?;
        let mut definition = service.definition.clone();
        if let Some(next) = &service.next_definition {
            definition.service = (**next).clone();
        }
        Some(Stored {
            key: key.clone(),
            definition,
            wanted: service.wanted,
            state: service.state,
            since: service.since.wall,
            why: service.why.clone(),
            run: service.run.as_ref().map(|run| run.id).or(service.last_exit.as_ref().map(|last| last.run)),
            last_exit: service.last_exit.clone(),
            restarts: service.restarts,
            attempt: service.attempt,
            next: service.next,
            adopt: service.adopt.clone(),
            ghost: service.run.as_ref().is_some_and(|run| run.ghost),
        })
    }

    fn view_of(&self, service: &Service) -> View {
        View { ghosts: self.ghosts_of(&service.key).cloned().collect(), ..view(service) }
    }
}

fn view(service: &Service) -> View {
    View {
        key: service.key.clone(),
        project: service.definition.project.clone(),
        dir: service.definition.dir.clone(),
        mode: service.definition.mode.clone(),
        wanted: service.wanted,
        state: service.state,
        since: service.since.wall,
        why: service.why.clone(),
        restarts: service.restarts,
        run: service.run.as_ref().map(|run| RunView {
            id: run.id,
            main: run.main.clone(),
            started: run.started.map(|started| started.wall),
            containment: run.containment,
            cgroup: run.cgroup.clone(),
            adopted: run.adopted.is_some(),
            left: run.left.clone(),
        }),
        last_exit: service.last_exit.clone(),
        claims: service.manifest().ports.clone(),
        ghosts: Vec::new(),
    }
}
