//! What `doctor` looks at. What may be slow runs beside the rest, and is waited for until a deadline (R8.3).

mod fuse;
mod health;
mod machine;
mod services;

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use vigie_api::status::Report;
use vigie_core::clock::Mono;
use vigie_core::doctor::Scope;
use vigie_core::doctor::facts::{Disk, Facts, Journal};

use crate::failure::Failure;
use crate::scene::Scene;
use services::Runs;

/// How long everything of one look may take together: on a busy machine it is late. Whatever may be held up by somebody has
/// less, so that this is reached by hundreds of those only.
const PATIENCE: Duration = Duration::from_secs(6);

/// How long the file systems where vigie writes may take to answer.
const ROOM: Duration = Duration::from_secs(3);

/// Looks again and again.
pub(super) struct Collector {
    scope: Scope,
}

impl Collector {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope }
    }

    /// Looks at everything.
    pub(super) fn look(&mut self, scene: &mut Scene) -> Result<Facts, Failure> {
        let deadline = vigie_os::clock::mono() + PATIENCE;
        let machine = machine::start(scene, &self.scope, deadline)?;
        let room = vigie_os::clock::mono() + ROOM;
        let rooms = health::rooms(scene, room);
        let journal = health::journal(scene);
        let daemon = health::daemon(scene)?;
        let report = report(scene)?;
        let (keepers, records) = health::keepers(&report, scene, deadline)?;
        let runs = Runs::new(&records, daemon.as_ref(), scene)?;
        let mut facts = Facts { daemon, keepers, version: env!("CARGO_PKG_VERSION").to_owned(), ..Facts::default() };
        services::look(&report, scene, &runs, &mut facts)?;
        machine.into_facts(&runs, scene, deadline, &mut facts);
        settle(rooms, journal, room, &mut facts);
        facts.at = vigie_os::clock::mono();
        Ok(facts)
    }

    /// Looks once more at what only two looks prove; everything else is as it was.
    pub(super) fn again(&mut self, scene: &mut Scene, before: &Facts) -> Result<Facts, Failure> {
        let deadline = vigie_os::clock::mono() + PATIENCE;
        let mut facts = Facts {
            held: Vec::new(),
            dead: Vec::new(),
            cgroups: Vec::new(),
            connections: Vec::new(),
            unseen: Vec::new(),
            ..before.clone()
        };
        let machine = machine::start(scene, &self.scope, deadline)?;
        if before.daemon.as_ref().is_some_and(|daemon| !daemon.answers) {
            facts.daemon = health::daemon(scene)?;
        }
        scene.silent |= facts.daemon.as_ref().is_some_and(|daemon| !daemon.answers);
        let report = report(scene)?;
        let (keepers, records) = health::keepers(&report, scene, deadline)?;
        facts.keepers = keepers;
        let runs = Runs::new(&records, facts.daemon.as_ref(), scene)?;
        machine.into_facts(&runs, scene, deadline, &mut facts);
        facts.unseen.extend(before.unseen.iter().cloned());
        let mut seen = HashSet::new();
        facts.unseen.retain(|one| seen.insert(one.clone()));
        facts.at = vigie_os::clock::mono();
        Ok(facts)
    }
}

/// What runs; a daemon that does not answer is not waited for.
pub(super) fn report(scene: &mut Scene) -> Result<Report, Failure> {
    if !scene.silent {
        scene.silent = health::daemon(scene)?.is_some_and(|daemon| !daemon.answers);
    }
    scene.report(false)
}

/// Something that is done beside the rest.
struct Beside<T>(Receiver<T>);

impl<T: Send + 'static> Beside<T> {
    /// Starts it in a thread, which nobody waits for longer than it deserves.
    fn start(work: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        let body = move || {
            // Whoever waited may have gone on.
            let _ = sender.send(work());
        };
        // Without a thread nothing comes, which is an answer, too.
        let _ = std::thread::Builder::new().name("vigie-doctor".to_owned()).spawn(body);
        Self(receiver)
    }

    fn get(&self, deadline: Mono) -> Option<T> {
        self.0.recv_timeout(deadline.since(vigie_os::clock::mono())).ok()
    }
}

fn settle(rooms: Beside<Vec<Disk>>, journal: Beside<Option<Journal>>, deadline: Mono, facts: &mut Facts) {
    match rooms.get(deadline) {
        Some(disks) => facts.disks = disks,
        None => facts.unseen.push(("the room that is left".to_owned(), "the file system does not answer".to_owned())),
    }
    match journal.get(deadline) {
        Some(journal) => facts.journal = journal,
        None => facts.unseen.push(("the journal".to_owned(), "it does not answer".to_owned())),
    }
    for disk in facts.disks.iter().filter(|disk| disk.size.is_none()) {
        let what = format!("the room that is left for {}", disk.what);
        facts.unseen.push((what, format!("{} does not answer", disk.path)));
    }
}
