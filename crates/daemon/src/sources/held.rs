//! What is known of one source, and the documents that it is kept in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use vigie_core::clock::Wall;
use vigie_core::docker::source::Source;
use vigie_core::docker::told::{Cursor, Resume, Standing, Status, Told};
use vigie_store::state::DocumentChange;
use vigie_store::writer::Batch;
use vigie_wire::worker::Role;

use crate::log::Log;

use super::measured::Measuring;
use super::{CONTAINER, RESUME};

/// The place that was reached.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reached {
    pub(super) cursor: Option<Cursor>,
    pub(super) standing: Standing,
}

/// A source.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) source: Source,
    pub(super) resume: Resume,
    /// As the worker told last; absent while nobody follows it.
    pub(super) status: Option<Status>,
    pub(super) dropped: u64,
    /// Another for each place that was a source: what is told of an earlier one is nobody's.
    pub(super) number: u64,
    pub(super) measuring: Measuring,
}

impl Held {
    pub(super) fn new(source: Source, number: u64) -> Self {
        let measuring = Measuring::default();
        Self { source, resume: Resume::default(), status: None, dropped: 0, number, measuring }
    }

    /// Whether this worker is to see to it.
    pub(super) fn is_for(&self, role: Role) -> bool {
        match role {
            Role::Events => self.source.follows_events(),
            Role::Metrics => self.source.is_measured(),
        }
    }

    /// Whether this worker tells if it is there: whoever follows its events, else whoever measures it.
    pub(super) fn is_told_by(&self, role: Role) -> bool {
        self.is_for(role) && (role == Role::Events || !self.source.follows_events())
    }

    pub(super) fn reached(&self) -> Result<DocumentChange, vigie_store::Error> {
        let reached = Reached { cursor: self.resume.cursor.clone(), standing: self.resume.standing.clone() };
        DocumentChange::put(RESUME, self.source.name.as_str(), &reached)
    }

    /// What was told together, with the place that was reached by it.
    pub(super) fn tell(&mut self, all: &[Told], now: Wall, log: &Log) -> Batch {
        all.iter().for_each(|told| self.resume.absorb(told));
        let name = &self.source.name;
        let mut documents = Vec::new();
        let mut put = |document: Result<DocumentChange, vigie_store::Error>| match document {
            Ok(document) => documents.push(document),
            Err(error) => log.line(&error.to_string()),
        };
        // Of each container only how it is in the end.
        let changes = all.iter().flat_map(|told| &told.changes).map(|change| (&change.id, change));
        for change in changes.collect::<BTreeMap<_, _>>().into_values() {
            let key = format!("{name}/{}", change.id);
            put(match &change.now {
                Some(container) => DocumentChange::put(CONTAINER, &key, container),
                None => Ok(DocumentChange::delete(CONTAINER, &key)),
            });
        }
        put(self.reached());
        Batch { entries: all.iter().filter_map(|told| told.saying.entry(name, now)).collect(), documents }
    }

    /// Everything that is known of it, to be removed.
    pub(super) fn forget(&self) -> Vec<DocumentChange> {
        let name = self.source.name.as_str();
        let containers = self.resume.containers.keys();
        let mut documents: Vec<_> =
            containers.map(|id| DocumentChange::delete(CONTAINER, &format!("{name}/{id}"))).collect();
        documents.push(DocumentChange::delete(RESUME, name));
        documents
    }
}
