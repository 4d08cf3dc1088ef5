//! Sources: their settings, where each was reached, and the workers that follow and measure them (R11).
//!
//! This is the daemon's side. Three kinds of documents are kept of a source: its settings (`source`), the place that was
//! reached (`source_resume`), and each container as it was last known (`source_container`). What a worker tells comes with
//! the changes of the latter two, and all of it is stored in one transaction; so it does not matter when who is killed.
//!
//! What was measured goes to the samples ([`measured`]). It is told with a number of the source: what comes of one that is
//! gone or lies elsewhere now is dropped, also when another bears its name.

mod change;
mod held;
pub(crate) mod listen;
mod measured;
mod service;
mod show;
mod standards;

use std::collections::BTreeMap;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use vigie_api::source::LookedAt;
use vigie_core::clock::Wall;
use vigie_core::docker::known::Container;
use vigie_core::docker::source::Source;
use vigie_core::docker::told::{Resume, Stage};
use vigie_core::name::Name;
use vigie_core::settings::{Key, Settings};
use vigie_core::units::Span;
use vigie_store::journal::Journal;
use vigie_store::samples::Round;
use vigie_store::state::DocumentChange;
use vigie_store::writer::Batch;
use vigie_wire::worker::{Asked, Assigned, Role, Said};

use crate::log::Log;

use held::{Held, Reached};
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
                let Some(held) = self.held.get_mut(&source).filter(is_wanted) else { return followed };
                let answered = cycle.whole.is_some();
                followed.round = Some(held.measuring.take(&source, *cycle));
                let waits = held.status.as_ref().is_some_and(|status| status.stage == Stage::Backoff);
                if answered && waits && held.is_told_by(Role::Events) {
                    self.ask(Role::Events, Asked::Reachable { source }, log);
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

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::docker::told::Status;
    use vigie_wire::worker::{Cycle, Whole};

    fn nas() -> Name {
        Name::lossy("nas")
    }

    fn cycle(whole: bool) -> Said {
        let whole = whole.then(|| Whole {
            readings: Vec::new(),
            measured: 0,
            running: 0,
            how: None,
            remark: None,
            took: 1,
            skipped: 0,
            dropped: 0,
        });
        let cycle = Cycle { at: 1_000, every: 10_000, begins: false, containers: Vec::new(), whole };
        Said::Metric { source: nas(), number: 1, cycle: Box::new(cycle) }
    }

    fn status(stage: Stage) -> Said {
        let status = Status { stage, online: None, why: None, failures: 3, engine: None, bad_lines: 0, retry_at: None };
        Said::SourceStatus { source: nas(), status: Box::new(status), dropped: 0 }
    }

    /// What one worker learns, the other one waits for.
    #[test]
    fn an_engine_that_was_measured_can_be_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::open(folder.path());
        let source = Source::new(nas(), "/run/d.sock".parse().expect("endpoint"));
        let mut sources = Sources { held: [(nas(), Held::new(source, 1))].into(), number: 1, ..Sources::default() };
        let (events, mut follower) = mpsc::channel(8);
        let (metrics, _measurer) = mpsc::channel(8);
        let came = |connection, role, asked| Heard::Came { connection, role, asked, pid: 7 };
        sources.hear(came(1, Role::Events, events), Wall(0), &log);
        sources.hear(came(2, Role::Metrics, metrics), Wall(0), &log);
        let mut says = |connection, said| {
            sources.hear(Heard::Said { connection, said: Box::new(said), room: None }, Wall(0), &log);
            std::iter::from_fn(|| follower.try_recv().ok())
                .filter(|asked| matches!(asked, Asked::Reachable { .. }))
                .count()
        };
        let steps = [
            (1, status(Stage::Live), 0),
            (2, cycle(true), 0),
            (1, status(Stage::Backoff), 0),
            // Of one container, while somebody looks at it: the whole comes with the last of a cycle.
            (2, cycle(false), 0),
            (2, cycle(true), 1),
        ];
        for (step, (connection, said, asked)) in steps.into_iter().enumerate() {
            assert_eq!(says(connection, said), asked, "step {step}");
        }
    }
}
