//! Sources: their settings, where each was reached, and the worker that follows them (R11).
//!
//! This is the daemon's side. Three kinds of documents are kept of a source: its settings (`source`), the place that was
//! reached (`source_resume`), and each container as it was last known (`source_container`). What a worker tells comes with
//! the changes of the latter two, and all of it is stored in one transaction; so it does not matter when who is killed.

pub(crate) mod listen;
mod service;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use vigie_api::SCHEMA;
use vigie_api::report::FailureDetail;
use vigie_api::source::{Change, Shown, Worker};
use vigie_api::time::Nanos;
use vigie_core::clock::Wall;
use vigie_core::docker::known::Container;
use vigie_core::docker::source::Source;
use vigie_core::docker::told::{Cursor, Resume, Standing, Status, Told};
use vigie_core::exit_code::ExitCode;
use vigie_core::journal::{Entry, Subject, What};
use vigie_core::name::Name;
use vigie_store::journal::Journal;
use vigie_store::state::DocumentChange;
use vigie_store::writer::Batch;
use vigie_wire::worker::{Asked, Assigned, Said};

use crate::log::Log;

pub(crate) use service::{is_internal, up};

/// The kinds of documents.
const SETTINGS: &str = "source";
const RESUME: &str = "source_resume";
const CONTAINER: &str = "source_container";

/// What a worker may be behind with reading before its connection is given up.
pub(crate) const WAITING: usize = 64;

/// Of so many containers a worker is told in one message.
const TOGETHER: usize = 4000;

/// The place that was reached.
#[derive(Debug, Serialize, Deserialize)]
struct Reached {
    cursor: Option<Cursor>,
    standing: Standing,
}

#[derive(Debug)]
struct Held {
    source: Source,
    resume: Resume,
    /// As the worker told last; absent while nobody follows it.
    status: Option<Status>,
    dropped: u64,
}

/// What a worker's connection has to say.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A worker is there.
    Came {
        /// The number of its connection.
        connection: u64,
        /// Where it is told what to do.
        asked: mpsc::Sender<Asked>,
        /// Its PID.
        pid: u32,
    },
    /// It says something.
    Said {
        /// The number of its connection.
        connection: u64,
        /// What.
        said: Box<Said>,
        /// The room that it takes until it is stored.
        room: Option<OwnedSemaphorePermit>,
    },
    /// It is gone.
    Gone {
        /// The number of its connection.
        connection: u64,
    },
}

impl Heard {
    /// The room that it takes, for whoever frees it.
    pub(crate) fn take_room(&mut self) -> Option<OwnedSemaphorePermit> {
        match self {
            Self::Said { room, .. } => room.take(),
            Self::Came { .. } | Self::Gone { .. } => None,
        }
    }
}

#[derive(Debug)]
struct Connected {
    connection: u64,
    asked: mpsc::Sender<Asked>,
    pid: u32,
    memory: Option<u64>,
}

/// All sources.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    held: BTreeMap<Name, Held>,
    worker: Option<Connected>,
}

impl Sources {
    /// Reads what an earlier daemon kept. What is not understood is left out and told of.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn read(journal: &Journal, log: &Log) -> Result<Self, vigie_store::Error> {
        let reader = journal.reader();
        let mut held = BTreeMap::new();
        for document in reader.documents(SETTINGS)? {
            match document.parse::<Source>() {
                Ok(source) => {
                    let new = Held { source, resume: Resume::default(), status: None, dropped: 0 };
                    held.insert(new.source.name.clone(), new);
                }
                Err(error) => log.line(&error.to_string()),
            }
        }
        for document in reader.documents(RESUME)? {
            match (held.get_mut(document.key.as_str()), document.parse::<Reached>()) {
                (Some(held), Ok(reached)) => {
                    (held.resume.cursor, held.resume.standing) = (reached.cursor, reached.standing);
                }
                // Without it the source begins anew, and says so.
                (_, Err(error)) => log.line(&error.to_string()),
                (None, Ok(_)) => {}
            }
        }
        for document in reader.documents(CONTAINER)? {
            let Some((source, id)) = document.key.split_once('/') else { continue };
            match (held.get_mut(source), document.parse::<Container>()) {
                (Some(held), Ok(container)) => drop(held.resume.containers.insert(id.to_owned(), container)),
                (_, Err(error)) => log.line(&error.to_string()),
                (None, Ok(_)) => {}
            }
        }
        Ok(Self { held, worker: None })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// There is something for a worker to do.
    pub(crate) fn needs_worker(&self) -> bool {
        self.held.values().any(|held| held.source.follows_events())
    }

    /// Takes what a worker has to say. What comes back is to be stored as a whole.
    pub(crate) fn hear(&mut self, heard: Heard, now: Wall, log: &Log) -> Batch {
        match heard {
            Heard::Came { connection, asked, pid } => {
                // There is one; one that comes while another is there takes over.
                self.worker = Some(Connected { connection, asked, pid, memory: None });
                let all: Vec<Assigned> =
                    self.held.values().filter(|held| held.source.follows_events()).map(Held::assigned).collect();
                for put in in_messages(all) {
                    self.ask(Asked::RefreshSources { put, remove: Vec::new() }, log);
                }
            }
            Heard::Gone { connection } => {
                if self.worker.take_if(|worker| worker.connection == connection).is_some() {
                    self.held.values_mut().for_each(|held| held.status = None);
                }
            }
            Heard::Said { connection, said, .. } => {
                if self.worker.as_ref().is_some_and(|worker| worker.connection == connection) {
                    return self.said(*said, now, log);
                }
            }
        }
        Batch::default()
    }

    fn said(&mut self, said: Said, now: Wall, log: &Log) -> Batch {
        match said {
            Said::Ready { .. } => {}
            Said::ContainerEvent { source, told } => {
                if let Some(held) = self.held.get_mut(&source).filter(|held| held.source.follows_events()) {
                    return held.tell(&told, now, log);
                }
            }
            Said::SourceStatus { source, status, dropped } => {
                if let Some(held) = self.held.get_mut(&source).filter(|held| held.source.follows_events()) {
                    if dropped > held.dropped {
                        log.line(&format!(
                            "source {source}: {dropped} messages found no place, and are asked for again"
                        ));
                    }
                    (held.status, held.dropped) = (Some(*status), dropped);
                }
            }
            Said::Memory { bytes, .. } => {
                if let Some(worker) = &mut self.worker {
                    worker.memory = Some(bytes);
                }
            }
            Said::Error { message } => log.line(&format!("worker events: {message}")),
        }
        Batch::default()
    }

    /// Carries out a change. The worker hears of it at once: it touches only what is different.
    ///
    /// # Errors
    /// When it is not possible, with the exit code.
    pub(crate) fn change(&mut self, change: Change, by: &str, now: Wall, log: &Log) -> Result<Batch, FailureDetail> {
        let (name, how, before) = match change {
            Change::Add { source, replace } => {
                let name = source.name.clone();
                let before = self.held.get(&name).map(|held| held.source.clone());
                if before.is_some() && !replace {
                    let message = format!("there is a source {name} already; --replace gives it other settings");
                    return Err(FailureDetail { code: ExitCode::AlreadyRunning, message });
                }
                let same_place = before.as_ref().is_some_and(|before| before.endpoint == source.endpoint);
                let how = match &before {
                    None => format!("added: {}", source.endpoint),
                    Some(_) => format!("changed: {}", source.endpoint),
                };
                match self.held.get_mut(&name).filter(|_| same_place) {
                    Some(held) => held.source = *source,
                    None => {
                        // What was known of the engine at another place is not known of this one.
                        let gone = self.held.remove(&name).map(|held| held.forget()).unwrap_or_default();
                        let new = Held { source: *source, resume: Resume::default(), status: None, dropped: 0 };
                        self.held.insert(name.clone(), new);
                        return self.changed(&name, &how, by, now, gone, log);
                    }
                }
                (name, how, before)
            }
            Change::Remove(name) => {
                let Some(held) = self.held.remove(&name) else { return Err(unknown(&name)) };
                let mut documents = held.forget();
                documents.push(DocumentChange::delete(SETTINGS, name.as_str()));
                self.ask(Asked::RefreshSources { put: Vec::new(), remove: vec![name.clone()] }, log);
                return Ok(Batch { entries: vec![entry(&name, "removed", by, now)], documents });
            }
            Change::Pause(name) => {
                let held = self.held.get_mut(&name).ok_or_else(|| unknown(&name))?;
                let before = held.source.clone();
                held.source.paused = true;
                (name, "paused".to_owned(), Some(before))
            }
            Change::Resume(name) => {
                let held = self.held.get_mut(&name).ok_or_else(|| unknown(&name))?;
                let before = held.source.clone();
                held.source.paused = false;
                (name, "resumed".to_owned(), Some(before))
            }
        };
        if self.held.get(&name).map(|held| &held.source) == before.as_ref() {
            return Ok(Batch::default());
        }
        self.changed(&name, &how, by, now, Vec::new(), log)
    }

    fn changed(
        &mut self,
        name: &Name,
        how: &str,
        by: &str,
        now: Wall,
        mut documents: Vec<DocumentChange>,
        log: &Log,
    ) -> Result<Batch, FailureDetail> {
        let Some(held) = self.held.get_mut(name) else { return Ok(Batch::default()) };
        match DocumentChange::put(SETTINGS, name.as_str(), &held.source) {
            Ok(document) => documents.push(document),
            Err(error) => return Err(FailureDetail { code: ExitCode::Internal, message: error.to_string() }),
        }
        let asked = if held.source.follows_events() {
            Asked::RefreshSources { put: vec![held.assigned()], remove: Vec::new() }
        } else {
            held.status = None;
            Asked::RefreshSources { put: Vec::new(), remove: vec![name.clone()] }
        };
        self.ask(asked, log);
        Ok(Batch { entries: vec![entry(name, how, by, now)], documents })
    }

    /// A worker that does not read what it is told is let go: its connection closes, which ends it, and the next one is told
    /// everything.
    fn ask(&mut self, asked: Asked, log: &Log) {
        if let Some(worker) = &self.worker
            && worker.asked.try_send(asked).is_err()
        {
            log.line("worker events: it does not read what it is told");
            self.worker = None;
        }
    }

    /// All documents, written or not.
    pub(crate) fn documents(&self, log: &Log) -> Vec<DocumentChange> {
        let mut changes = Vec::new();
        let mut put = |kind: &str, key: &str, document: Result<DocumentChange, vigie_store::Error>| match document {
            Ok(document) => changes.push(document),
            Err(error) => log.line(&format!("{kind} {key}: {error}")),
        };
        for (name, held) in &self.held {
            put(SETTINGS, name.as_str(), DocumentChange::put(SETTINGS, name.as_str(), &held.source));
            put(RESUME, name.as_str(), held.reached());
            for (id, container) in &held.resume.containers {
                let key = format!("{name}/{id}");
                put(CONTAINER, &key, DocumentChange::put(CONTAINER, &key, container));
            }
        }
        changes
    }

    /// As they are shown.
    pub(crate) fn show(&self) -> vigie_api::source::Sources {
        vigie_api::source::Sources {
            schema: SCHEMA,
            sources: self.held.keys().filter_map(|name| self.show_one(name)).collect(),
            worker: self.worker.as_ref().map(|worker| Worker { pid: worker.pid, memory_bytes: worker.memory }),
        }
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
        })
    }
}

impl Held {
    fn assigned(&self) -> Assigned {
        Assigned { source: self.source.clone(), resume: self.resume.clone() }
    }

    fn reached(&self) -> Result<DocumentChange, vigie_store::Error> {
        let reached = Reached { cursor: self.resume.cursor.clone(), standing: self.resume.standing.clone() };
        DocumentChange::put(RESUME, self.source.name.as_str(), &reached)
    }

    /// What was told together, with the place that was reached by it.
    fn tell(&mut self, all: &[Told], now: Wall, log: &Log) -> Batch {
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
    fn forget(&self) -> Vec<DocumentChange> {
        let name = self.source.name.as_str();
        let containers = self.resume.containers.keys();
        let mut documents: Vec<_> =
            containers.map(|id| DocumentChange::delete(CONTAINER, &format!("{name}/{id}"))).collect();
        documents.push(DocumentChange::delete(RESUME, name));
        documents
    }
}

/// What a worker is told when it comes, in messages that it can read: what is known of a thousand containers has a quarter of a
/// mebibyte. One at least, so that it knows that there is nothing.
fn in_messages(all: Vec<Assigned>) -> Vec<Vec<Assigned>> {
    let mut messages = vec![Vec::new()];
    let mut containers = 0;
    for one in all {
        containers += one.resume.containers.len();
        if containers > TOGETHER && messages.last().is_some_and(|message| !message.is_empty()) {
            containers = one.resume.containers.len();
            messages.push(Vec::new());
        }
        if let Some(message) = messages.last_mut() {
            message.push(one);
        }
    }
    messages
}

fn unknown(name: &Name) -> FailureDetail {
    FailureDetail {
        code: ExitCode::NotFound,
        message: format!("there is no source {name}; 'vigie source ls' shows all"),
    }
}

fn entry(name: &Name, how: &str, by: &str, now: Wall) -> Entry {
    let what = What::SourceChanged { how: how.to_owned(), by: by.to_owned() };
    Entry::new(now, Subject::Source(name.clone()), None, what)
}
