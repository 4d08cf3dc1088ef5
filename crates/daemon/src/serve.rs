//! From a lock, a journal and a runtime to a daemon that serves.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use vigie_api::report;
use vigie_core::ghost::Ghost;
use vigie_core::identity::{BootId, ProcKey};
use vigie_core::launch::ServiceKey;
use vigie_core::settings::Settings;
use vigie_core::supervisor::{Event, SessionId, Stored, Supervisor};
use vigie_os::clock;
use vigie_os::lock::Lock;
use vigie_os::proc::Proc;
use vigie_store::journal::Journal;
use vigie_store::state::DocumentChange;

use crate::access::Access;
use crate::census;
use crate::children::Children;
use crate::dispatch::{Dispatch, Parts, documents};
use crate::door::Door;
use crate::ghosts;
use crate::http::{self, CONNECTIONS, Desk, Imports, Streams, VISITORS};
use crate::incidents::Incidents;
use crate::input::{End, Input};
use crate::ledger::Ledger;
use crate::link::{Links, Spawner, Surroundings};
use crate::log::Log;
use crate::look::Ports;
use crate::probe::Probes;
use crate::recorder::Recorder;
use crate::recover::Recoverer;
use crate::runs::Runs;
use crate::sampler::Sampler;
use crate::sessions::{self, Sessions};
use crate::settings;
use crate::sources::{self, Sources};
use crate::start::{Options, StartError};

/// How many inputs may wait. Whoever has more waits itself.
const INPUTS: usize = 1024;

/// How long clients may take to hear the last words. Only one that does not read takes all of it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What an earlier daemon kept.
pub(crate) struct Kept {
    /// It was written in this boot.
    pub(crate) same_boot: bool,
    /// What nobody needs any more.
    pub(crate) unused: Vec<DocumentChange>,
    services: Vec<Stored>,
    sessions: Vec<(SessionId, ProcKey)>,
    ghosts: Vec<Ghost>,
    sources: Sources,
    settings: Settings,
    access: Access,
}

/// The kind and the key of the document that names the boot of the last daemon.
const BOOT: (&str, &str) = ("daemon", "boot");

impl Kept {
    /// Reads it. A document that is not understood is left out and told of: it must not keep the others from running.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn read(journal: &Journal, boot: &BootId, log: &Log) -> Result<Self, vigie_store::Error> {
        let last = journal.reader().document(BOOT.0, BOOT.1)?.and_then(|document| document.parse::<BootId>().ok());
        let services = documents::read(journal, log)?;
        let mut kept = Self {
            same_boot: last.as_ref() == Some(boot),
            unused: documents::sweep(journal, &services)?,
            services,
            sessions: Vec::new(),
            ghosts: ghosts::kept(journal, log)?,
            sources: Sources::read(journal, log)?,
            settings: settings::read(journal, log)?,
            access: Access::read(journal, log)?,
        };
        for document in journal.reader().documents(sessions::KIND)? {
            match (sessions::id_of(&document.key), document.parse()) {
                (Some(id), Ok(command)) => kept.sessions.push((id, command)),
                (None, _) => log.line(&format!("there is no session {:?}", document.key)),
                (_, Err(error)) => log.line(&error.to_string()),
            }
        }
        Ok(kept)
    }
}

/// What the next daemon is to know of this boot.
///
/// # Errors
/// None: a boot's name can be written as JSON.
pub(crate) fn keep_boot(boot: &BootId) -> Result<DocumentChange, vigie_store::Error> {
    DocumentChange::put(BOOT.0, BOOT.1, boot)
}

/// What is there before anything is served.
pub(crate) struct Beginning<'a> {
    pub(crate) options: &'a Options,
    pub(crate) about: report::Daemon,
    pub(crate) lock: &'a Lock,
    pub(crate) log: Log,
    /// The soft limit of open files as it was.
    pub(crate) open_files: Option<u64>,
    pub(crate) kept: Kept,
    pub(crate) incidents: Incidents,
    pub(crate) ledger: Ledger,
}

/// Takes up what there is, serves until told to end, and gives back the journal.
///
/// # Errors
/// Only before it serves.
pub(crate) async fn serve(beginning: Beginning<'_>) -> Result<(Ledger, End), StartError> {
    let Beginning { options, about, lock, log, open_files, kept, incidents, ledger } = beginning;
    let place = &options.place;
    let (inputs, queue) = mpsc::channel(INPUTS);
    listen_to_signals(&inputs)?;
    let children = Children::reap().map_err(StartError::io("hear of the end of children"))?;
    let spawner =
        Spawner::new(options.keeper.clone(), open_files).map_err(StartError::io("open /dev/null and /proc"))?;
    let lines = ledger.lines();
    let proc = Proc::system()?;
    let seed = vigie_os::random::u64()?;
    let surroundings = Surroundings { inputs: inputs.clone(), children: children.clone(), spawner, log: log.clone() };
    let parts = Parts {
        supervisor: Supervisor::new(seed),
        ledger,
        links: Links::new(surroundings),
        probes: Probes::new(inputs.clone(), children.clone()),
        recoverer: Recoverer { place: place.clone(), inputs: inputs.clone(), log: log.clone() },
        sampler: Sampler::new(Proc::system()?),
        recorder: Recorder::new(place.state.clone(), inputs.clone(), log.clone()),
        sessions: Sessions::default(),
        runs: Runs::default(),
        incidents,
        children,
        sources: Sources::default(),
        settings: Settings::default(),
        access: kept.access.clone(),
        worker: options.worker.clone(),
        place: place.clone(),
        boot: proc.boot_id().clone(),
        inputs: inputs.clone(),
        log: log.clone(),
    };
    let access = kept.access.clone();
    sources::listen::open(&place.worker_socket(), lock, inputs.clone(), log.clone())?;
    let dispatch = take_up(parts, kept, &proc).await;
    let (end, ending) = watch::channel(false);
    let visitors = Arc::new(Semaphore::new(VISITORS));
    let desk = Arc::new(Desk {
        inputs: inputs.clone(),
        lines,
        about,
        services: place.services_dir(),
        state: place.state.clone(),
        config: place.config.clone(),
        ports: Arc::new(Mutex::new(Ports::default())),
        access,
        visitors: Arc::clone(&visitors),
        streams: Arc::new(Streams::default()),
        imports: Imports::default(),
        ending,
        log: log.clone(),
    });
    http::open_port(&desk);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut door = Door::open(place, lock, desk, Arc::clone(&places), log)?;
    // What was large at the beginning is not needed again.
    vigie_os::memory::trim();
    if options.detached {
        let_go().map_err(StartError::io("let go of its standard streams"))?;
    }
    let mut running = std::pin::pin!(dispatch.run(queue, lock));
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = door.stirred() => {
                door.mend();
                // Whatever it is given to do, it looks at its lock before: that may be gone, too. A full queue does as well.
                let (reply, _) = oneshot::channel();
                let _ = inputs.try_send(Input::Look { watch: false, reply });
            }
        }
    };
    door.close();
    // Streams have no end of their own.
    end.send_replace(true);
    let all = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let left = async { tokio::join!(places.acquire_many(all(CONNECTIONS)), visitors.acquire_many(all(VISITORS))) };
    let _ = tokio::time::timeout(LAST_WORDS, left).await.map(drop);
    Ok(ended)
}

/// Whoever waits for the end of standard error knows by it that the daemon serves.
fn let_go() -> std::io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

fn listen_to_signals(inputs: &mpsc::Sender<Input>) -> Result<(), StartError> {
    // A file that may not grow any more (`ulimit -f`) is then an error of a write, as a full disk is, and no death. Caught
    // once it stays so; a program that is started here has it as it was (execve(2)), which it would not if it were ignored.
    let _ = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map_err(StartError::io("listen to signals"))?;
    let ends = [
        (SignalKind::terminate(), "TERM"),
        (SignalKind::interrupt(), "INT"),
        (SignalKind::hangup(), "HUP"),
        (SignalKind::quit(), "QUIT"),
    ];
    for (kind, name) in ends {
        let mut signals = signal(kind).map_err(StartError::io("listen to signals"))?;
        let inputs = inputs.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let _ = inputs.send(Input::End(End::Signal(name))).await;
            }
        });
    }
    Ok(())
}

/// Compares what was kept with what the world says (R6.7).
async fn take_up(mut parts: Parts, kept: Kept, proc: &Proc) -> Dispatch {
    parts.sources = kept.sources;
    parts.settings = kept.settings;
    let managed: HashSet<ServiceKey> = kept.services.iter().map(|stored| stored.key.clone()).collect();
    let discoveries = census::take(&parts.place.services_dir(), &managed, proc).await;
    let mut founds = Vec::with_capacity(discoveries.len());
    let mut missed = Vec::new();
    for discovery in discoveries {
        let key = discovery.found.key.clone();
        if let Some(run) = &discovery.found.run {
            parts.runs.adopt(key.clone(), run);
        }
        if let Some(connection) = discovery.connection {
            parts.links.adopt(key.clone(), parts.place.service_dir(&key), connection);
        }
        missed.extend(discovery.events.into_iter().map(|event| Event::Keeper { key: key.clone(), event }));
        founds.push(discovery.found);
    }
    let mut over = Vec::new();
    for (id, command) in kept.sessions {
        parts.sessions.restore(id);
        if !sessions::watch(id, &command, proc, parts.inputs.clone()) {
            over.push(id);
        }
    }
    let step = parts.supervisor.restore(clock::now(), kept.same_boot, kept.services, founds);
    let mut dispatch = Dispatch::new(parts);
    dispatch.begin(step, missed, over, kept.ghosts);
    dispatch
}
