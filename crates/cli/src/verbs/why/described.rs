//! How services are described: as the daemon last read it, else in the manifest here.

use vigie_api::status::Report;
use vigie_core::launch::ServiceKey;
use vigie_core::manifest::Service;
use vigie_core::name::Name;
use vigie_core::text::OsText;
use vigie_store::journal::Reader;

use crate::context;
use crate::scene::Scene;

/// One description.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// Of which service.
    pub(crate) key: ServiceKey,
    /// The name of its project.
    pub(crate) project: Name,
    /// `demo/api`
    pub(crate) label: String,
    /// The folder of its project.
    pub(crate) root: OsText,
    /// It.
    pub(crate) service: Service,
    /// Where that stands.
    pub(crate) source: String,
}

/// Every service that is described anywhere. What cannot be read describes nothing; that it cannot be read, those verbs
/// say that need it.
pub(crate) fn all(report: &Report, scene: &Scene) -> Vec<Described> {
    let mut all = stored(scene);
    // Without a daemon there may be no journal; a run of `vigie run` has no description.
    let known = |key: &ServiceKey, all: &[Described]| all.iter().any(|described| described.key == *key);
    if let Some(manifest) = &scene.here.manifest
        && let Ok(Ok(project)) = context::read(manifest)
    {
        for service in project.services.values() {
            let key = project.key(service);
            if !known(&key, &all) {
                all.push(Described {
                    key,
                    project: project.name.clone(),
                    label: format!("{}/{}", project.name, service.name),
                    root: project.dir.clone(),
                    service: service.clone(),
                    source: manifest.path.display().to_string(),
                });
            }
        }
    }
    // What runs comes first: a copy of something that two projects describe is told to be of the one that runs it.
    all.sort_by_key(|described| {
        !report.services.iter().any(|service| service.key == described.key && service.run.is_some())
    });
    all
}

/// What the daemon wrote down.
fn stored(scene: &Scene) -> Vec<Described> {
    let Ok(reader) = Reader::open(&scene.place.state) else { return Vec::new() };
    let documents = reader.documents(vigie_daemon::SERVICE).unwrap_or_default();
    let kept = documents.iter().filter_map(|document| document.parse::<vigie_daemon::Kept>().ok());
    kept.map(|kept| {
        let definition = kept.service.definition;
        Described {
            key: kept.service.key,
            label: format!("{}/{}", definition.project, definition.service.name),
            source: format!(
                "{}, as it was read for {}",
                definition.dir.as_path().join(context::MANIFEST).display(),
                definition.project
            ),
            project: definition.project,
            root: definition.dir,
            service: definition.service,
        }
    })
    .collect()
}
