//! What is kept of each service in the database, written only when it changed.
//!
//! All services of one `up` share the environment of whoever asked, and it is the largest part of each. So it is kept
//! once, under the hash of its content, and services name it.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use vigie_core::ghost::Ghost;
use vigie_core::identity::RunId;
use vigie_core::launch::ServiceKey;
use vigie_core::service::Environment;
use vigie_core::supervisor::Stored;
use vigie_store::journal::Journal;
use vigie_store::state::DocumentChange;

use super::Dispatch;
use crate::ghosts;
use crate::log::Log;
use crate::settings;

/// The kind of the documents that keep services, each a [`Kept`].
pub const SERVICE: &str = "service";

/// The kind of those that keep environments.
const ENVIRONMENT: &str = "environment";

/// A service as it is kept.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    /// All but its environment.
    pub service: Stored,
    /// The key of the document with its environment.
    pub environment: String,
}

/// What was written last.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// The hash of each service's document.
    services: HashMap<String, u64>,
    environments: HashSet<String>,
}

impl Documents {
    /// The change, unless it is what was written last.
    fn fresh(&mut self, change: DocumentChange) -> Option<DocumentChange> {
        match &change {
            DocumentChange::Put { key, json, .. } => {
                let hash = hash(json, 0);
                (self.services.insert(key.clone(), hash) != Some(hash)).then_some(change)
            }
            DocumentChange::Delete { key, .. } => self.services.remove(key).map(|_| change),
        }
    }

    /// These were not written.
    pub(super) fn forget(&mut self, changes: &[DocumentChange]) {
        for change in changes {
            let (DocumentChange::Put { key, .. } | DocumentChange::Delete { key, .. }) = change;
            self.services.remove(key);
            self.environments.remove(key);
        }
    }
}

/// Reads the services that an earlier daemon kept. What is not understood is left out and told of: it must not keep the
/// others from running.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn read(journal: &Journal, log: &Log) -> Result<Vec<Stored>, vigie_store::Error> {
    let reader = journal.reader();
    let mut environments = HashMap::new();
    for document in reader.documents(ENVIRONMENT)? {
        match document.parse::<Environment>() {
            Ok(environment) => drop(environments.insert(document.key, Arc::new(environment))),
            Err(error) => log.line(&error.to_string()),
        }
    }
    let mut services = Vec::new();
    for document in reader.documents(SERVICE)? {
        match document.parse::<Kept>() {
            Ok(Kept { service: mut stored, environment }) => match environments.get(&environment) {
                Some(env) => {
                    stored.definition.env = env.clone();
                    services.push(stored);
                }
                // Started with another environment it would be another service.
                None => log.line(&format!("{}: the environment that it is to run in is lost", stored.key.service)),
            },
            Err(error) => log.line(&error.to_string()),
        }
    }
    Ok(services)
}

/// Removes the environments that none of these services has.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn sweep(journal: &Journal, services: &[Stored]) -> Result<Vec<DocumentChange>, vigie_store::Error> {
    let used: HashSet<String> = services.iter().map(|stored| name(&stored.definition.env)).collect();
    let documents = journal.reader().documents(ENVIRONMENT)?;
    let unused = documents.into_iter().filter(|document| !used.contains(&document.key));
    Ok(unused.map(|document| DocumentChange::delete(ENVIRONMENT, &document.key)).collect())
}

/// The key of an environment's document: 128 bits of its content.
fn name(environment: &Environment) -> String {
    format!("{:016x}{:016x}", hash(environment, 0), hash(environment, 1))
}

/// The hash must be the same in the next daemon: `DefaultHasher::new` has no random part. Should another version of the
/// standard library have another function, an environment is only written once more under its new name.
fn hash(value: &(impl Hash + ?Sized), variant: u8) -> u64 {
    let mut hasher = DefaultHasher::new();
    variant.hash(&mut hasher);
    value.hash(&mut hasher);
    hasher.finish()
}

impl Dispatch {
    /// The documents of services that changed.
    pub(super) fn changed_documents(&mut self, changed: &[ServiceKey]) -> Vec<DocumentChange> {
        let mut changes = Vec::new();
        for key in changed {
            if let Err(error) = self.document(key, &mut changes) {
                self.parts.log.line(&error.to_string());
            }
        }
        changes
    }

    /// The documents of ghosts that are new, or gone.
    pub(super) fn ghost_documents(&self, runs: Vec<RunId>) -> Vec<DocumentChange> {
        let change = |run| ghosts::document(run, self.parts.supervisor.ghost(run));
        runs.into_iter()
            .filter_map(|run| change(run).map_err(|error| self.parts.log.line(&error.to_string())).ok())
            .collect()
    }

    /// Those of all services, ghosts and incidents, written or not.
    pub(super) fn all_documents(&mut self) -> Vec<DocumentChange> {
        self.documents = Documents::default();
        let keys: Vec<ServiceKey> = self.parts.supervisor.views().map(|view| view.key).collect();
        let ghosts = self.parts.supervisor.ghosts().map(Ghost::run).collect();
        let mut changes = self.changed_documents(&keys);
        changes.extend(self.ghost_documents(ghosts));
        changes.extend(self.parts.incidents.documents());
        changes.extend(self.parts.sources.documents(&self.parts.log));
        changes.extend(settings::documents(&self.parts.settings, &self.parts.log));
        changes
    }

    fn document(&mut self, key: &ServiceKey, changes: &mut Vec<DocumentChange>) -> Result<(), vigie_store::Error> {
        let folder = key.folder();
        let Some(stored) = self.parts.supervisor.stored(key) else {
            changes.extend(self.documents.fresh(DocumentChange::delete(SERVICE, &folder)));
            return Ok(());
        };
        let definition = &stored.definition;
        if let Some(session) = definition.session {
            self.parts.sessions.tie(session, &definition.project, &stored.key.service);
        }
        let environment = name(&definition.env);
        if self.documents.environments.insert(environment.clone()) {
            changes.push(DocumentChange::put(ENVIRONMENT, &environment, &*definition.env)?);
        }
        let change = DocumentChange::put(SERVICE, &folder, &Kept { service: stored, environment })?;
        changes.extend(self.documents.fresh(change));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;

    #[test]
    fn an_environment_that_nobody_has_is_swept() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut journal, _) = Journal::open(folder.path(), Wall(1)).expect("opened");
        let put = |key: &str, value: &str| {
            let environment: Environment = vec![("A".into(), value.into())];
            DocumentChange::put(ENVIRONMENT, key, &environment).expect("encodes")
        };
        let bad = DocumentChange::Put { kind: SERVICE.to_owned(), key: "x".to_owned(), json: "{}".to_owned() };
        journal.commit(&[], &[put("one", "1"), put("two", "2"), bad]).expect("written");
        let log = Log::open(folder.path());
        assert_eq!(read(&journal, &log).expect("read"), [], "what is not understood is left out");
        let swept = sweep(&journal, &[]).expect("read");
        assert_eq!(swept, [DocumentChange::delete(ENVIRONMENT, "one"), DocumentChange::delete(ENVIRONMENT, "two")]);
        let one: Environment = vec![("A".into(), "1".into())];
        let other: Environment = vec![("A".into(), "2".into())];
        assert_ne!(name(&one), name(&other));
        assert_eq!(name(&one).len(), 32);
    }
}
