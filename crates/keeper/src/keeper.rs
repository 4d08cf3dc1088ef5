//! The keeper at work: its state, and the one loop in which everything happens.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::getpid;

use vigie_core::clock::Mono;
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::launch::{Holder, Launch};
use vigie_os::cgroup::{self, Changes};
use vigie_os::clock::{mono, now};
use vigie_os::poll::{Interest, PollSet};
use vigie_os::proc::Proc;
use vigie_os::signals::SignalFd;
use vigie_wire::keeper::{Answer, Event, Phase, State, StopCause, What};

use crate::clients::{Client, Clients};
use crate::course::{Course, Main};
use crate::folder::Folder;
use crate::tree::Tree;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGUSR1: i32 = 10;
const SIGUSR2: i32 = 12;
const SIGALRM: i32 = 14;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;
const SIGTSTP: i32 = 20;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;
const SIGXFSZ: i32 = 25;

/// Children that end; and two that mean: stop the service, then end.
pub(crate) const HEEDED: [i32; 3] = [SIGCHLD, SIGTERM, SIGINT];

/// What must not end or stop a keeper: a terminal that closes (whether that ends the run is said by who is tied to it),
/// keys of a terminal, a log that reached a limit, slips.
pub(crate) const UNHEEDED: [i32; 9] = [SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ];

/// What the start has made.
pub(crate) struct Parts {
    pub(crate) proc: Proc,
    pub(crate) signals: SignalFd,
    pub(crate) folder: Folder,
    pub(crate) listener: OwnedFd,
    pub(crate) null: OwnedFd,
    /// Of which earlier run how many processes were found and ended.
    pub(crate) survivors: Option<(RunId, u32)>,
    /// The earlier run, when what is left of it was not ended, because it is to be adopted.
    pub(crate) spared: Option<Box<State>>,
}

/// The keeper.
pub(crate) struct Keeper {
    pub(crate) parts: Parts,
    pub(crate) own: cgroup::Own,
    me: ProcKey,
    pub(crate) clients: Clients,
    /// What `Input::Inherit` means: the descriptor that came with the launch.
    pub(crate) stdin: Option<OwnedFd>,
    /// The record of the current run. Absent before the first one.
    pub(crate) state: Option<State>,
    /// What is going on with it.
    pub(crate) course: Course,
    /// No other run follows.
    pub(crate) release: bool,
}

/// Places in the poll set.
struct Places {
    signals: usize,
    listener: usize,
    clients: usize,
    starting: Option<usize>,
    adopted: Option<usize>,
    changes: Option<usize>,
    pipes: [Option<usize>; 2],
}

impl Keeper {
    pub(crate) fn new(parts: Parts, own: cgroup::Own, stdin: Option<OwnedFd>, mut client: Client) -> Self {
        client.controls = true;
        client.watches = true;
        let mut clients = Clients::default();
        clients.push(client);
        let pid = getpid().as_raw_nonzero().get().unsigned_abs();
        let me = parts.proc.key(pid).ok().flatten().unwrap_or_else(|| parts.proc.key_of(pid, 0));
        Self { own, parts, me, clients, stdin, state: None, course: Course::default(), release: false }
    }

    /// A new run, locked.
    pub(crate) fn begin(&mut self, launch: Box<Launch>) {
        self.parts.folder.events.forget();
        let holder = Holder {
            run: launch.run,
            key: launch.key.clone(),
            project: launch.project.clone(),
            mode: launch.mode.clone(),
            keeper: self.me.clone(),
            main: None,
            since: now().wall,
            origin: launch.origin.clone(),
            managed: launch.managed,
            attempt: launch.attempt,
            adopted: false,
        };
        self.parts.folder.label(&holder);
        self.state = Some(State {
            version: vigie_wire::VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            holder,
            seq: 0,
            phase: Phase::Locked,
            containment: None,
            cgroup: None,
            started: None,
            adopted: None,
            adopting: None,
            exit: None,
        });
        self.prepare(launch);
        self.tell(What::Locked { keeper: self.me.clone() });
        if let Some((of, count)) = self.parts.survivors.take() {
            self.tell(What::Survivors { of, count });
        }
    }

    /// Where the run stands.
    pub(crate) fn phase(&self) -> Phase {
        self.state.as_ref().map_or(Phase::Locked, |state| state.phase)
    }

    /// Changes the state. The next event writes it down.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut State)) {
        if let Some(state) = &mut self.state {
            change(state);
        }
    }

    /// Something happened: it is written down first, then told.
    pub(crate) fn tell(&mut self, what: What) {
        let Some(state) = &mut self.state else { return };
        state.seq += 1;
        let now = now();
        let event = Event { run: state.holder.run, seq: state.seq, at: now.wall, mono: now.mono, what };
        self.parts.folder.events.append(&event);
        // A full disk must not stop the service. The next event tries again.
        let _ = self.parts.folder.write_record(state);
        self.clients.tell(&Answer::Event(event));
    }

    /// Writes the record although nothing happened that is to be told.
    pub(crate) fn write_down(&self) {
        if let Some(state) = &self.state {
            // As for events: the next one tries again.
            let _ = self.parts.folder.write_record(state);
        }
    }

    /// Labels the lock anew.
    pub(crate) fn label(&self) {
        if let Some(state) = &self.state {
            self.parts.folder.label(&state.holder);
        }
    }

    /// The processes of the run.
    pub(crate) fn tree(&self) -> Tree<'_> {
        let adopted = match &self.course.main {
            Some(Main::Adopted(main)) => Some(main),
            Some(Main::Child { .. }) | None => None,
        };
        let (cgroup, kin) = (self.course.cgroup.as_ref(), &self.course.kin);
        Tree { proc: &self.parts.proc, keeper: self.me.pid, cgroup, adopted, kin }
    }

    /// Until there is nothing more to hold.
    pub(crate) fn run(mut self) {
        let mut set = PollSet::default();
        // What came in one piece with the launch: nothing will tell of it again.
        self.serve(0);
        while !self.is_over() {
            let places = self.fill(&mut set);
            let timeout = self.course.deadline().map(|deadline| deadline.since(mono()));
            if set.wait(timeout).is_err() {
                // Out of memory: a moment later there may be some.
                let _ = PollSet::default().wait(Some(Duration::from_millis(10)));
                continue;
            }
            self.turn(&set, &places);
        }
        self.parts.folder.release();
    }

    fn is_over(&mut self) -> bool {
        if self.phase() == Phase::Quarantined {
            return true;
        }
        let wanted = self.clients.anybody_controls() && !self.release;
        if !wanted && self.phase() == Phase::Locked && !self.course.is_spawned() {
            self.finish();
        }
        !wanted && self.phase() == Phase::Empty
    }

    fn fill(&self, set: &mut PollSet) -> Places {
        set.clear();
        let mut pipes = [None; 2];
        if let Some(output) = &self.course.output {
            for (number, pipe) in output.pipes() {
                pipes[number] = Some(set.add(pipe, Interest::Read));
            }
        }
        let starting = self.course.spawning.as_ref().map(|spawning| set.add(&spawning.starting, Interest::Read));
        let adopted = match &self.course.main {
            Some(Main::Adopted(main)) => Some(set.add(main, Interest::Read)),
            Some(Main::Child { .. }) | None => None,
        };
        let changes = self.course.changes.as_ref().map(|changes| set.add(changes, Interest::Change));
        let signals = set.add(&self.parts.signals, Interest::Read);
        let listener = set.add(&self.parts.listener, Interest::Read);
        let clients = listener + 1;
        for client in self.clients.iter() {
            set.add(client, Interest::Read);
        }
        Places { signals, listener, clients, starting, adopted, changes, pipes }
    }

    /// What has happened, in the order in which it must be looked at: a start before its end, requests last.
    fn turn(&mut self, set: &PollSet, places: &Places) {
        let ready = |place: Option<usize>| place.is_some_and(|place| set.ready(place));
        for (number, place) in places.pipes.iter().enumerate() {
            if ready(*place)
                && let Some(output) = &mut self.course.output
                && let Some(what) = output.take(number, now()).tell
            {
                self.tell(what);
            }
        }
        if ready(places.starting) {
            self.on_report();
        }
        if ready(Some(places.signals)) {
            self.on_signals();
        }
        if ready(places.adopted) {
            self.reap();
        }
        if ready(places.changes) {
            self.course.changes.as_ref().map(Changes::seen);
            self.reap();
        }
        if self.course.deadline().is_some_and(|deadline| mono() >= deadline) {
            self.on_deadline();
        }
        let mut place = 0;
        while let Some(client) = self.clients.get(place) {
            if set.ready(places.clients + place) {
                if let Some(descriptor) = client.read() {
                    self.stdin = Some(descriptor);
                }
                self.serve(place);
            }
            place += 1;
        }
        if self.clients.purge() {
            self.stop(None, StopCause::Tie);
        }
        // Last, so that the places of the others stay what they were.
        if ready(Some(places.listener)) {
            self.clients.accept(&self.parts.listener);
        }
    }

    fn on_signals(&mut self) {
        let mut asked = false;
        while let Some(signal) = self.parts.signals.next() {
            asked |= signal != SIGCHLD;
        }
        self.reap();
        if asked {
            self.release = true;
            self.stop(None, StopCause::KeeperSignalled);
        }
    }

    fn on_deadline(&mut self) {
        let now = mono();
        if self.course.look_again.is_some_and(|at| now >= at) {
            self.course.look_again = None;
            self.reap();
        }
        if self.course.rung_ends().is_some_and(|at| now >= at) {
            self.climb_on(now);
        }
    }
}

/// The earlier of two points in time.
pub(crate) fn earlier(a: Option<Mono>, b: Option<Mono>) -> Option<Mono> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
