//! Whose series are meant.

use std::collections::HashSet;

use vigie_api::status::{Report, Service};
use vigie_core::name::Name;
use vigie_core::samples::Subject;
use vigie_core::target::{ServiceTarget, Target};
use vigie_store::samples::Known;

use super::View;
use crate::failure::Failure;
use crate::select;

/// A subject that is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) subject: Subject,
    /// What was measured of it, one for each name that it had; none when nothing ever was.
    pub(super) known: Vec<Known>,
    /// It is shown even if nothing was measured of it in the stretch of time.
    pub(super) always: bool,
}

impl View<'_> {
    /// # Errors
    /// Exit code 8 when a target means nothing that is known, 2 when it could mean several.
    pub(super) fn choose(&self, status: &Report, known: Vec<Known>) -> Result<Vec<Chosen>, Failure> {
        match &self.args.target {
            None if self.args.containers => self.containers(known),
            None => Ok(self.all(status, known)),
            Some(Target::Service(target)) => self.named(status, known, target),
            Some(Target::Container { source, name }) => self.container(known, source.as_ref(), name),
            Some(Target::Source(name)) => self.source(known, name),
            Some(target) => {
                let here = &self.scene.here.dir;
                let found = select::services(status, here, std::slice::from_ref(target), &self.scene.proc)?;
                Ok(found.into_iter().flat_map(|service| of_service(service, &known)).collect())
            }
        }
    }

    /// Those of the project here, or all.
    fn all(&self, status: &Report, known: Vec<Known>) -> Vec<Chosen> {
        let everywhere = self.args.all || self.scene.here.manifest.is_none();
        let here = self.keys_here(status);
        let meant = |key: &String| everywhere || here.contains(key);
        let running = status.services.iter().filter(|service| service.run.is_some() && service.wanted.is_some());
        let running: Vec<Subject> = running.map(subject_of).filter(|subject| meant(&subject.key)).collect();
        let mut chosen: Vec<Chosen> = known
            .into_iter()
            .filter(|known| known.subject.as_service().is_some() && meant(&known.subject.key))
            .map(|known| {
                let always = running.contains(&known.subject);
                Chosen { subject: known.subject.clone(), known: vec![known], always }
            })
            .collect();
        for subject in running {
            if !chosen.iter().any(|chosen| chosen.subject == subject) {
                chosen.push(Chosen { subject, known: Vec::new(), always: true });
            }
        }
        chosen.sort_by(|a, b| a.subject.cmp(&b.subject));
        chosen
    }

    /// The keys of the services of the project here.
    fn keys_here(&self, status: &Report) -> HashSet<String> {
        let of_status =
            select::of_project(status, &self.scene.here.dir).into_iter().map(|service| service.key.folder());
        let project = self.project.iter();
        let of_manifest =
            project.flat_map(|project| project.services.values().map(|service| project.key(service).folder()));
        of_status.chain(of_manifest).collect()
    }

    /// Also one that runs no more, and one in a mode in which it ran earlier.
    fn named(&self, status: &Report, known: Vec<Known>, target: &ServiceTarget) -> Result<Vec<Chosen>, Failure> {
        let mut found: Vec<(Known, Name)> = known
            .into_iter()
            .filter_map(|known| {
                let (project, service, mode) = known.subject.as_service()?;
                let meant = service == target.service
                    && target.project.as_ref().is_none_or(|name| *name == project)
                    && target.mode.as_ref().is_none_or(|name| Some(name) == mode.as_ref());
                meant.then_some((known, project))
            })
            .collect();
        let here = self.keys_here(status);
        if found.iter().any(|(known, _)| here.contains(&known.subject.key)) {
            found.retain(|(known, _)| here.contains(&known.subject.key));
        }
        let mut keys: Vec<(&Name, &String)> =
            found.iter().map(|(known, project)| (project, &known.subject.key)).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() > 1 {
            let names: Vec<String> = found.iter().map(|(known, _)| known.subject.name.clone()).collect();
            return Err(Failure::usage(format!("{target} could mean several: {}", names.join(", ")))
                .hint("write PROJECT/SERVICE, or go into the project's folder"));
        }
        if !found.is_empty() {
            let chosen = |(known, _): (Known, _)| {
                let always = true;
                Chosen { subject: known.subject.clone(), known: vec![known], always }
            };
            return Ok(found.into_iter().map(chosen).collect());
        }
        // One of which nothing was measured yet; else whoever is asked says that there is none.
        if let Some(project) = self.project.as_ref()
            && target.project.as_ref().is_none_or(|name| *name == project.name)
            && let Some(service) = project.services.get(&target.service)
            && target.mode.as_ref().is_none_or(|mode| service.modes.iter().any(|known| known.name == *mode))
        {
            let key = project.key(service);
            let subject = Subject::service(&project.name, &service.name, target.mode.as_ref(), &key);
            return Ok(vec![Chosen { subject, known: Vec::new(), always: true }]);
        }
        let target = Target::Service(target.clone());
        let services = select::services(status, &self.scene.here.dir, &[target], &self.scene.proc)?;
        let unmeasured = |service: &Service| Chosen { subject: subject_of(service), known: Vec::new(), always: true };
        Ok(services.into_iter().map(unmeasured).collect())
    }
}

/// What was measured of a service, in whatever mode.
fn of_service(service: &Service, known: &[Known]) -> Vec<Chosen> {
    let key = service.key.folder();
    let of_key = known.iter().filter(|known| known.subject.key == key);
    let chosen: Vec<Chosen> = of_key
        .map(|known| Chosen { subject: known.subject.clone(), known: vec![known.clone()], always: true })
        .collect();
    if !chosen.is_empty() {
        return chosen;
    }
    vec![Chosen { subject: subject_of(service), known: Vec::new(), always: true }]
}

fn subject_of(service: &Service) -> Subject {
    Subject::service(&service.project, &service.service, service.mode.as_ref(), &service.key)
}
