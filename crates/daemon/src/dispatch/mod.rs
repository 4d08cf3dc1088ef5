//! The one task that owns the supervisor: takes what happened, lets it decide, sees to it that intent is durable before
//! the deed, and has the deed done.
//!
//! Nothing here waits for anything but the next input. What takes time is done by tasks and threads whose outcome comes
//! back as an input.

mod deferred;
pub(crate) mod documents;
mod durable;
mod launches;
mod perform;
mod settings;
mod sources;
mod tell;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use vigie_api::status;
use vigie_core::clock::Mono;
use vigie_core::ghost::Ghost;
use vigie_core::identity::{BootId, ProcKey, RunId};
use vigie_core::journal::Entry;
use vigie_core::launch::ServiceKey;
use vigie_core::run;
use vigie_core::samples;
use vigie_core::settings::Settings;
use vigie_core::supervisor::{Event, OpId, Outcome, Request, SessionId, Step, Supervisor};
use vigie_os::clock;
use vigie_os::lock::Lock;
use vigie_os::place::Place;

use crate::access::Access;
use crate::children::Children;
use crate::import::Imports;
use crate::incidents::Incidents;
use crate::input::{End, Input};
use crate::ledger::{Ledger, Settled};
use crate::link::Links;
use crate::log::Log;
use crate::probe::Probes;
use crate::recorder::{self, Recorder};
use crate::recover::Recoverer;
use crate::runs::{Changed, Runs};
use crate::sampler::Sampler;
use crate::sessions::Sessions;
use crate::sources::Sources;
use deferred::{Deed, Deferred};
use documents::Documents;
use launches::Launches;

/// How many inputs are dealt with before anything else gets its turn.
const TURN: usize = 64;

/// The longest sleep: timers of the runtime stand still during suspend, deadlines do not.
const NAP: Duration = Duration::from_secs(30);

/// When what could not be stored is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// How long after a request what it needed for a moment is given back to the kernel.
const TIDY: Duration = Duration::from_secs(3);

/// More entries than these are not kept while the journal cannot be written; what is lost then is a gap.
const UNSAVED: usize = 10_000;

/// What there is to do.
enum Woken {
    Settled(Settled),
    Input(Option<Input>),
    Time,
}

/// A service as somebody sees it who looks.
pub(crate) struct Seen {
    pub(crate) service: status::Service,
    /// Who holds its run.
    pub(crate) keeper: Option<ProcKey>,
}

/// The parts that dispatch puts together.
pub(crate) struct Parts {
    pub(crate) supervisor: Supervisor,
    pub(crate) ledger: Ledger,
    pub(crate) links: Links,
    pub(crate) probes: Probes,
    pub(crate) recoverer: Recoverer,
    pub(crate) sampler: Sampler,
    pub(crate) recorder: Recorder,
    pub(crate) sessions: Sessions,
    pub(crate) runs: Runs,
    pub(crate) incidents: Incidents,
    pub(crate) children: Children,
    pub(crate) sources: Sources,
    pub(crate) settings: Settings,
    pub(crate) access: Access,
    /// The program that is a worker.
    pub(crate) worker: PathBuf,
    pub(crate) place: Place,
    /// The present boot.
    pub(crate) boot: BootId,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) log: Log,
}

/// The owner of the state.
pub(crate) struct Dispatch {
    parts: Parts,
    documents: Documents,
    deferred: Deferred,
    launches: Launches,
    imports: Imports,
    replies: HashMap<OpId, oneshot::Sender<Outcome>>,
    next_op: u64,
    /// The request after which the daemon ends.
    shut_down: Option<OpId>,
    /// When the supervisor wants to look at the clock.
    deadline: Option<Mono>,
    /// Entries that could not be stored.
    unsaved: Vec<Entry>,
    /// How many more were lost, and since when.
    lost: Option<(u64, vigie_core::clock::Wall)>,
    retry_at: Option<Mono>,
    tidy_at: Option<Mono>,
}

impl Dispatch {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            documents: Documents::default(),
            deferred: Deferred::default(),
            launches: Launches::default(),
            imports: Imports::default(),
            replies: HashMap::new(),
            next_op: 0,
            shut_down: None,
            deadline: None,
            unsaved: Vec::new(),
            lost: None,
            retry_at: None,
            tidy_at: None,
        }
    }

    /// Carries out what a daemon that comes back has to do first, takes up what it missed, and ends the sessions whose
    /// commands are gone.
    pub(crate) fn begin(&mut self, step: Step, missed: Vec<Event>, over: Vec<SessionId>, ghosts: Vec<Ghost>) {
        // First what happened, then what was made of it: the journal is read in its order.
        for event in missed {
            self.step(event);
        }
        self.carry_out(step, None);
        for ghost in ghosts {
            self.take_up_ghost(ghost);
        }
        self.look_for_ghosts();
        self.launch_waiting();
        let running = self.parts.runs.iter().filter(|(_, run)| run.main.is_some());
        let running: Vec<ServiceKey> = running.map(|(key, _)| key.clone()).collect();
        let now = clock::mono();
        for key in running {
            self.measure(&key, now);
        }
        for session in over {
            self.close_session(session);
        }
        let (done, _) = oneshot::channel();
        self.import(done);
        self.catch_up();
        self.parts.sources.pace(&self.parts.settings, &self.parts.log);
        self.see_to_worker();
        // A start needs more for a moment than any request.
        self.tidy_at = Some(clock::mono() + TIDY);
    }

    /// Deals with one input after the other, until the daemon is to end or `lock` is none any more. Gives back what is to
    /// be closed.
    pub(crate) async fn run(mut self, mut inputs: mpsc::Receiver<Input>, lock: &Lock) -> (Ledger, End) {
        loop {
            let nap = self.nap();
            let woken = tokio::select! {
                biased;
                settled = self.parts.ledger.settle() => Woken::Settled(settled),
                input = inputs.recv(), if self.parts.ledger.has_room() => Woken::Input(input),
                () = tokio::time::sleep(nap.unwrap_or_default()), if nap.is_some() => Woken::Time,
            };
            // Before anything is done: two daemons would each start what the other has.
            if matches!(lock.keeps_others_out(), Ok(false)) {
                return (self.parts.ledger, End::Displaced);
            }
            match woken {
                Woken::Settled(settled) => self.settled(settled),
                Woken::Time => self.wake(),
                Woken::Input(input) => {
                    let mut next = input;
                    for _ in 0..TURN {
                        match next {
                            Some(Input::End(end)) => return self.end(end),
                            Some(input) => self.take(input),
                            None => break,
                        }
                        next = inputs.try_recv().ok();
                    }
                    if let Some(input) = next {
                        if let Input::End(end) = input {
                            return self.end(end);
                        }
                        self.take(input);
                    }
                }
            }
        }
    }

    fn end(mut self, end: End) -> (Ledger, End) {
        self.parts.recorder.flush(clock::now());
        let (done, _) = oneshot::channel();
        self.import(done);
        (self.parts.ledger, end)
    }

    /// How long nothing is to be done; absent: for ever.
    fn nap(&self) -> Option<Duration> {
        let next = [
            self.deadline,
            self.parts.sampler.due(),
            self.launches.due(),
            self.parts.incidents.due(self.retry_at.is_some()),
            self.retry_at,
            self.tidy_at,
        ];
        let next = next.into_iter().flatten().min()?;
        // The runtime's timers have a grain of a millisecond and never fire early.
        Some(next.since(clock::mono()).min(NAP))
    }

    fn wake(&mut self) {
        let now = clock::mono();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.step(Event::Tick);
        }
        if self.parts.sampler.due().is_some_and(|due| due <= now) {
            let now = clock::now();
            if let Some(round) = self.parts.sampler.work(now) {
                self.take_round(round, now);
            }
        }
        self.launch_waiting();
        self.look_at_incidents(now);
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry();
        }
        if self.tidy_at.take_if(|at| *at <= now).is_some() {
            vigie_os::memory::trim();
            vigie_os::memory::let_go_of_code();
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.step(event),
            Input::Request { request, reply } => self.request(request, reply),
            Input::Look { watch, reply } => {
                let _ = reply.send(self.look(watch));
            }
            Input::OpenSession { command, resume, reply } => {
                let session = match resume {
                    Some(id) => self.parts.sessions.get(id),
                    None => match self.parts.sessions.open(&command) {
                        Ok((session, document)) => {
                            self.record(Vec::new(), vec![document]);
                            Some(session)
                        }
                        Err(why) => {
                            self.parts.log.line(&format!("no session could be opened: {why}"));
                            None
                        }
                    },
                };
                let _ = reply.send(session);
            }
            Input::CloseSession(id) => self.close_session(id),
            Input::Import(done) => self.import(done),
            Input::Flush(done) => self.parts.recorder.flush_and_tell(clock::now(), done),
            Input::Samples(told) => {
                let entry = recorder::entry(&told, clock::now());
                self.record(vec![entry], Vec::new());
            }
            Input::Change { change, reply } => self.change(change, reply),
            Input::Posted { channel, verdict } => self.posted(&channel, verdict),
            Input::Explained { incident, lines } => self.explained(incident, lines),
            Input::Worker(heard) => self.hear_worker(heard),
            Input::ChangeSources { request, reply } => self.change_sources(request, reply),
            Input::Keep { entry, document, done } => {
                let ticket = self.record(vec![*entry], vec![document]);
                self.after(ticket, Deed::Tell(done));
            }
            Input::LookAtSources(reply) => {
                let _ = reply.send(self.parts.sources.show());
            }
            Input::WatchContainers(watch) => self.watch_containers(&watch.looked_at),
            Input::LookAtSettings(reply) => {
                let _ = reply.send(vigie_api::settings::Report::new(&self.parts.settings));
            }
            Input::End(_) => {}
        }
    }

    fn request(&mut self, request: Request, reply: oneshot::Sender<Outcome>) {
        self.next_op += 1;
        let op = OpId(self.next_op);
        if request == Request::ShutDown {
            self.shut_down = Some(op);
        }
        self.replies.insert(op, reply);
        self.tidy_at = Some(clock::mono() + TIDY);
        self.step(Event::Request { op, request });
    }

    fn close_session(&mut self, id: SessionId) {
        if let Some(document) = self.parts.sessions.close(id) {
            self.record(Vec::new(), vec![document]);
            self.step(Event::SessionEnded(id));
        }
    }

    fn import(&mut self, done: oneshot::Sender<()>) {
        // Also those of runs that no daemon manages.
        self.look_for_ghosts();
        let present: HashSet<RunId> = self.parts.runs.iter().map(|(_, run)| run.id).collect();
        let entries = self.imports.look(&self.parts.place.services_dir(), &present);
        let ticket = self.record(entries, Vec::new());
        self.after(ticket, Deed::Tell(done));
    }

    fn look(&mut self, watch: bool) -> Vec<Seen> {
        let now = clock::mono();
        if watch {
            self.parts.sampler.watch(now);
        }
        let views: Vec<_> = self.parts.supervisor.views().filter(|view| self.is_shown(view)).collect();
        let mut seen: Vec<Seen> = views
            .into_iter()
            .map(|view| {
                let mut service = status::Service::from(&view);
                let keeper = self.parts.runs.get(&view.key).map(|run| run.keeper.clone());
                if let Some(run) = &mut service.run {
                    run.keeper = keeper.as_ref().map(|keeper| keeper.pid);
                    if let Some(usage) = self.parts.sampler.usage(run.id, now) {
                        run.cpu_percent_of_core = usage.cpu_percent_of_core;
                        run.memory_bytes = Some(usage.memory_bytes);
                        run.processes = Some(usage.processes);
                        run.threads = Some(usage.threads);
                    }
                }
                Seen { service, keeper }
            })
            .collect();
        seen.sort_by(|a, b| (&a.service.project, &a.service.service).cmp(&(&b.service.project, &b.service.service)));
        seen
    }

    fn step(&mut self, event: Event) {
        let now = clock::now();
        match self.parts.runs.note(&event) {
            Some(Changed::Started(run)) => {
                let key = self.parts.runs.iter().find(|(_, live)| live.id == run).map(|(key, _)| key.clone());
                if let Some(key) = key {
                    self.measure(&key, now.mono);
                }
            }
            Some(Changed::Over(run)) => {
                self.parts.sampler.remove(run);
                if self.parts.sampler.due().is_none() {
                    // Nothing wakes any more that would see to what waits.
                    self.parts.recorder.flush(now);
                }
            }
            None => {}
        }
        self.launches.note(&event);
        let heard = heard(&event);
        let set_aside = is_set_aside(&event);
        let step = self.parts.supervisor.step(now, event);
        self.carry_out(step, heard);
        if set_aside {
            self.look_for_ghosts();
        }
        self.launch_waiting();
    }

    /// Begins to measure the run of a service.
    fn measure(&mut self, key: &ServiceKey, now: Mono) {
        let (Some(run), Some(view)) = (self.parts.runs.get(key), self.parts.supervisor.view(key)) else { return };
        let subject = samples::Subject::service(&view.project, &key.service, view.mode.as_ref(), key);
        self.parts.sampler.add(run.id, subject, run.tree(), now);
    }
}

/// Whether a run was set aside just now, so that there is a record of it.
fn is_set_aside(event: &Event) -> bool {
    matches!(event, Event::Keeper { event: run::Event { what: run::What::Quarantined { .. }, .. }, .. })
}

/// What is to be acknowledged once it is durable: the end of a run, and with it all that was before.
fn heard(event: &Event) -> Option<Deed> {
    match event {
        Event::Keeper { key, event: run::Event { run, seq, what: run::What::Empty, .. } } => {
            Some(Deed::Acknowledge { key: key.clone(), run: *run, seq: *seq })
        }
        _ => None,
    }
}
