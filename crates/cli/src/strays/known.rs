//! The services that processes are compared with.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use vigie_api::status::{Report, Service};
use vigie_core::ladder::Ladder;
use vigie_core::launch::ServiceKey;
use vigie_core::manifest::{self, Project};
use vigie_core::name::Name;
use vigie_core::recognise::Expected;
use vigie_core::target::ServiceTarget;
use vigie_core::text::OsText;
use vigie_os::strays::{self, System};

use crate::context;
use crate::scene::Scene;
use crate::verbs::why::described;

/// A service, and what runs of it look like.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) key: ServiceKey,
    pub(crate) project: Name,
    pub(crate) root: OsText,
    pub(crate) expected: Expected,
    /// How its strays are ended.
    pub(crate) ladder: Ladder,
    /// As a manifest describes it; absent for `vigie run`.
    pub(crate) service: Option<manifest::Service>,
    /// Something of it runs.
    pub(crate) runs: bool,
    /// The main process of its run.
    pub(crate) main: Option<u32>,
}

impl Known {
    /// `demo/api`
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.project, self.key.service)
    }

    /// Whether a target means it; `here` is the folder that is meant when it names no project.
    pub(crate) fn is(&self, target: &ServiceTarget, here: &Path) -> bool {
        target.service == self.key.service
            && match &target.project {
                Some(project) => *project == self.project,
                None => self.root.as_path() == here,
            }
    }

    fn new(service: manifest::Service, key: ServiceKey, project: Name, root: OsText, told: &Told<'_>) -> Self {
        let run = told.services.get(&key);
        Self {
            expected: strays::of_service_on(&service, root.as_path(), &told.files),
            ladder: service.stop.clone(),
            service: Some(service),
            runs: run.is_some_and(|service| crate::scene::is_up(service)),
            main: run.and_then(|service| main(service)),
            key,
            project,
            root,
        }
    }
}

/// What is asked again and again while services are put together.
struct Told<'a> {
    services: HashMap<&'a ServiceKey, &'a Service>,
    files: System,
}

impl<'a> Told<'a> {
    fn by(report: &'a Report) -> Self {
        let services = report.services.iter().map(|service| (&service.key, service)).collect();
        Self { services, files: System::default() }
    }
}

/// Those of one manifest.
pub(crate) fn of_project(project: &Project, report: &Report) -> Vec<Known> {
    in_project(project, &Told::by(report))
}

fn in_project(project: &Project, told: &Told<'_>) -> Vec<Known> {
    let services = project.services.values();
    let known = |service: &manifest::Service| {
        Known::new(service.clone(), project.key(service), project.name.clone(), project.dir.clone(), told)
    };
    services.map(known).collect()
}

/// Every service that is known: of the manifest here, of those that a daemon wrote down, and of `vigie run`, as long as it
/// runs.
pub(crate) fn all(report: &Report, scene: &Scene) -> Vec<Known> {
    let here = scene.here.manifest.as_ref().and_then(|manifest| context::read(manifest).ok()?.ok());
    let told = Told::by(report);
    let mut known = here.map_or_else(Vec::new, |project| in_project(&project, &told));
    let mut keys: HashSet<ServiceKey> = known.iter().map(|known| known.key.clone()).collect();
    for described in described::all(report, scene) {
        if keys.insert(described.key.clone()) {
            known.push(Known::new(described.service, described.key, described.project, described.root, &told));
        }
    }
    for service in report.services.iter().filter(|service| service.wanted.is_none()) {
        let Some(main) = main(service).filter(|_| !keys.contains(&service.key)) else { continue };
        let Ok(Some(expected)) = strays::of_process(&scene.proc, main) else { continue };
        known.push(Known {
            key: service.key.clone(),
            project: service.project.clone(),
            root: service.project_dir.clone(),
            expected,
            ladder: Ladder::default(),
            service: None,
            runs: true,
            main: Some(main),
        });
    }
    known
}

fn main(service: &Service) -> Option<u32> {
    service.run.as_ref()?.pid
}
