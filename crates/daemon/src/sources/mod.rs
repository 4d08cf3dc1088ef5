//! Sources: their settings, where each was reached, and the workers that follow and measure them (R11).
//!
//! This is the daemon's side. Three kinds of documents are kept of a source: its settings (`source`), the place that was
//! reached (`source_resume`), and each container as it was last known (`source_container`). What a worker tells comes with
//! the changes of the latter two, and all of it is stored in one transaction; so it does not matter when who is killed.
//!
//! What was measured goes to the samples ([`measured`]). It is told with a number of the source: what comes of one that is
//! gone or lies elsewhere now is dropped, also when another bears its name.

pub(crate) mod listen;
mod measured;
mod service;
mod standards;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use vigie_api::SCHEMA;
use vigie_api::report::FailureDetail;
use vigie_api::source::{Change, LookedAt, Shown, Worker};
use vigie_api::time::Nanos;
use vigie_core::clock::Wall;
use vigie_core::docker::known::Container;
use vigie_core::docker::source::Source;
use vigie_core::docker::told::{Cursor, Resume, Standing, Status, Told};
use vigie_core::exit_code::ExitCode;
use vigie_core::journal::{Entry, Subject, What};
use vigie_core::name::Name;
use vigie_core::settings::{Key, Settings};
use vigie_core::units::Span;
use vigie_store::journal::Journal;
use vigie_store::samples::Round;
use vigie_store::state::DocumentChange;
use vigie_store::writer::Batch;
use vigie_wire::worker::{Asked, Assigned, Role, Said};

use crate::log::Log;

use measured::Measuring;
pub(crate) use service::{role_of, up};

/// The kinds of documents.
const SETTINGS: &str = "source";
const RESUME: &str = "source_resume";
pub(crate) const CONTAINER: &str = "source_container";

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
    /// Another for each place that was a source: what is told of an earlier one is nobody's.
    number: u64,
    measuring: Measuring,
}

/// What a worker's connection has to say.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A worker is there.
    Came {
        /// The number of its connection.
        connection: u64,
        /// What it is there for.
        role: Role,
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
    workers: BTreeMap<Role, Connected>,
    /// Of the last one.
    number: u64,
    /// How often is measured.
    intervals: Settings,
}

/// What follows from what a worker says.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// To be stored as a whole.
    pub(crate) batch: Batch,
    /// What was measured.
    pub(crate) round: Option<Round>,
}

impl Sources {
    /// Reads what an earlier daemon kept. What is not understood is left out and told of.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn read(journal: &Journal, log: &Log) -> Result<Self, vigie_store::Error> {
        let reader = journal.reader();
        let mut held = BTreeMap::new();
        let mut number = 0;
        for document in reader.documents(SETTINGS)? {
            match document.parse::<Source>() {
                Ok(source) => {
                    number += 1;
                    held.insert(source.name.clone(), Held::new(source, number));
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
        Ok(Self { held, number, ..Self::default() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// There is something for this worker to do.
    pub(crate) fn needs(&self, role: Role) -> bool {
        self.held.values().any(|held| held.is_for(role))
    }

    /// Takes what a worker has to say.
    pub(crate) fn hear(&mut self, heard: Heard, now: Wall, log: &Log) -> Followed {
        match heard {
            Heard::Came { connection, role, asked, pid } => {
                // There is one of each; one that comes while another is there takes over.
                self.workers.insert(role, Connected { connection, asked, pid, memory: None });
                self.forget_told(role);
                if role == Role::Metrics {
                    self.ask(role, self.pacing(), log);
                }
                let all: Vec<Assigned> = self.held.keys().filter_map(|name| self.assign(name, role)).collect();
                for put in in_messages(all) {
                    self.ask(role, Asked::RefreshSources { put, remove: Vec::new() }, log);
                }
            }
            Heard::Gone { connection } => {
                if let Some(role) = self.role_of(connection) {
                    self.workers.remove(&role);
                    self.forget_told(role);
                }
            }
            Heard::Said { connection, said, .. } => {
                if let Some(role) = self.role_of(connection) {
                    return self.said(role, *said, now, log);
                }
            }
        }
        Followed::default()
    }

    fn role_of(&self, connection: u64) -> Option<Role> {
        self.workers.iter().find(|(_, worker)| worker.connection == connection).map(|(role, _)| *role)
    }

    /// What a worker told of how things stand is not known any more.
    fn forget_told(&mut self, role: Role) {
        for held in self.held.values_mut() {
            if held.is_told_by(role) {
                held.status = None;
            }
            if role == Role::Metrics {
                held.measuring = Measuring::default();
            }
        }
    }

    fn said(&mut self, role: Role, said: Said, now: Wall, log: &Log) -> Followed {
        let mut followed = Followed::default();
        match said {
            Said::Ready { .. } => {}
            Said::ContainerEvent { source, told } => {
                if let Some(held) = self.held.get_mut(&source).filter(|held| held.is_told_by(role)) {
                    followed.batch = held.tell(&told, now, log);
                }
            }
            Said::SourceStatus { source, status, dropped } => {
                if let Some(held) = self.held.get_mut(&source).filter(|held| held.is_told_by(role)) {
                    if dropped > held.dropped {
                        log.line(&format!(
                            "source {source}: {dropped} messages found no place, and are asked for again"
                        ));
                    }
                    (held.status, held.dropped) = (Some(*status), dropped);
                }
            }
            Said::Metric { source, number, cycle } => {
                let is_wanted = |held: &&mut Held| held.number == number && held.source.measures_containers();
                if let Some(held) = self.held.get_mut(&source).filter(is_wanted) {
                    followed.round = Some(held.measuring.take(&source, *cycle));
                }
            }
            Said::DiskUsage { source, number, disk } => {
                let is_wanted = |held: &&mut Held| held.number == number && held.source.measures_disk();
                if let Some(held) = self.held.get_mut(&source).filter(is_wanted) {
                    followed.round = Some(held.measuring.take_disk(&source, *disk));
                }
            }
            Said::Memory { bytes, .. } => {
                if let Some(worker) = self.workers.get_mut(&role) {
                    worker.memory = Some(bytes);
                }
            }
            Said::Error { source: Some(source), message } => {
                if let Some(held) = self.held.get_mut(&source).filter(|held| held.source.is_measured()) {
                    held.measuring.why = Some(message);
                }
            }
            Said::Error { source: None, message } => log.line(&format!("worker {}: {message}", role.name())),
        }
        followed
    }

    /// How often is measured, from the next time on.
    pub(crate) fn pace(&mut self, settings: &Settings, log: &Log) {
        if self.intervals != *settings {
            self.intervals = settings.clone();
            self.ask(Role::Metrics, self.pacing(), log);
        }
    }

    fn pacing(&self) -> Asked {
        let of = |key| self.intervals.get(key);
        Asked::UpdateInterval { metrics: of(Key::MetricsInterval), disk: of(Key::DiskInterval) }
    }

    /// Somebody looks at these containers. Of which of them there is none, nothing is measured.
    pub(crate) fn watch(&mut self, looked_at: &[LookedAt], length: Span, log: &Log) {
        for LookedAt { source, containers } in looked_at {
            if self.held.get(source).is_some_and(|held| held.source.measures_containers()) {
                let (source, containers) = (source.clone(), containers.clone());
                self.ask(Role::Metrics, Asked::Watch { source, containers, length }, log);
            }
        }
    }

    /// Carries out a change. Workers hear of it at once, those that it concerns: they touch only what is different.
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
                    Some(_) if same_place => format!("changed: {}", source.endpoint),
                    Some(_) => format!("moved: {}", source.endpoint),
                };
                match self.held.get_mut(&name).filter(|_| same_place) {
                    Some(held) => held.source = *source,
                    None => {
                        // What was known of the engine at another place is not known of this one.
                        let gone = self.held.remove(&name).map(|held| held.forget()).unwrap_or_default();
                        self.number += 1;
                        self.held.insert(name.clone(), Held::new(*source, self.number));
                        return self.changed(&name, before.as_ref(), &how, by, now, gone, log);
                    }
                }
                (name, how, before)
            }
            Change::Remove(name) => {
                let Some(held) = self.held.remove(&name) else { return Err(unknown(&name)) };
                let mut documents = held.forget();
                documents.push(DocumentChange::delete(SETTINGS, name.as_str()));
                for role in Role::ALL {
                    self.ask(role, Asked::RefreshSources { put: Vec::new(), remove: vec![name.clone()] }, log);
                }
                return Ok(Batch { entries: vec![entry(&name, "removed", by, now)], documents });
            }
            Change::Set { name, settings } => {
                let held = self.held.get_mut(&name).ok_or_else(|| unknown(&name))?;
                let before = held.source.clone();
                held.source.set(&settings).map_err(|message| FailureDetail { code: ExitCode::Usage, message })?;
                let written = settings.iter().map(|(key, value)| format!("{key}={value}"));
                (name, format!("set {}", written.collect::<Vec<_>>().join(" ")), Some(before))
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
        self.changed(&name, before.as_ref(), &how, by, now, Vec::new(), log)
    }

    #[allow(clippy::too_many_arguments, reason = "what a change consists of")]
    fn changed(
        &mut self,
        name: &Name,
        before: Option<&Source>,
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
        let source = &held.source;
        let teller = source.follows_events();
        let follows_like = before.is_some_and(|before| source.follows_like(before));
        let measures_like =
            before.is_some_and(|before| source.measures_like(before) && teller == before.follows_events());
        for (role, same) in [(Role::Events, follows_like), (Role::Metrics, measures_like)] {
            if same {
                continue;
            }
            if let Some(held) = self.held.get_mut(name).filter(|_| role == Role::Events || !teller) {
                held.status = None;
            }
            let asked = match self.assign(name, role) {
                Some(assigned) => Asked::RefreshSources { put: vec![assigned], remove: Vec::new() },
                None => Asked::RefreshSources { put: Vec::new(), remove: vec![name.clone()] },
            };
            self.ask(role, asked, log);
        }
        Ok(Batch { entries: vec![entry(name, how, by, now)], documents })
    }

    /// A worker that does not read what it is told is let go: its connection closes, which ends it, and the next one is told
    /// everything.
    fn ask(&mut self, role: Role, asked: Asked, log: &Log) {
        if let Some(worker) = self.workers.get(&role)
            && worker.asked.try_send(asked).is_err()
        {
            log.line(&format!("worker {}: it does not read what it is told", role.name()));
            self.workers.remove(&role);
            self.forget_told(role);
        }
    }

    /// What a worker is told of a source; absent when it is not to see to it.
    fn assign(&self, name: &Name, role: Role) -> Option<Assigned> {
        let held = self.held.get(name).filter(|held| held.is_for(role))?;
        let source = held.source.clone();
        match role {
            Role::Events => Some(Assigned { source, resume: held.resume.clone(), number: 0, tells: true }),
            Role::Metrics => {
                let standing = held.resume.standing.clone();
                let resume = Resume { standing, ..Resume::default() };
                Some(Assigned { source, resume, number: held.number, tells: held.is_told_by(role) })
            }
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

impl Held {
    fn new(source: Source, number: u64) -> Self {
        let measuring = Measuring::default();
        Self { source, resume: Resume::default(), status: None, dropped: 0, number, measuring }
    }

    /// Whether this worker is to see to it.
    fn is_for(&self, role: Role) -> bool {
        match role {
            Role::Events => self.source.follows_events(),
            Role::Metrics => self.source.is_measured(),
        }
    }

    /// Whether this worker tells if it is there: whoever follows its events, else whoever measures it.
    fn is_told_by(&self, role: Role) -> bool {
        self.is_for(role) && (role == Role::Events || !self.source.follows_events())
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
