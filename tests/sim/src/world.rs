//! Time, disk, locks, folders: what daemon, keepers and processes live in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use vigie_core::clock::{Mono, Now, Wall};
use vigie_core::exit::Exit;
use vigie_core::ghost::Ghost;
use vigie_core::identity::{BootId, ProcKey, RunId};
use vigie_core::journal::Entry;
use vigie_core::ladder::Ladder;
use vigie_core::launch::{Launch, ServiceKey};
use vigie_core::policy::Draws;
use vigie_core::run::{self, StopCause};
use vigie_core::supervisor::{Event, SessionId, Stored};

use crate::daemon::Daemon;
use crate::keeper::Keeper;

/// One millisecond in the unit of the queue.
pub const MS: u64 = 1_000_000;

/// Everything that is.
#[derive(Debug)]
pub struct World {
    /// The clock that never jumps.
    pub mono: u64,
    /// The wall clock less the other: it jumps.
    pub wall_offset: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Boxed)>>,
    order: u64,
    /// The seed's numbers.
    pub draws: Draws,
    /// The daemon, when it lives.
    pub daemon: Option<Daemon>,
    /// How many daemons there have been.
    pub lives: u64,
    /// Every keeper that ever was.
    pub keepers: Vec<Keeper>,
    /// Who holds which lock.
    pub locks: BTreeMap<ServiceKey, usize>,
    /// What lies in the folder of a service.
    pub folders: BTreeMap<ServiceKey, Folder>,
    /// The records of what was set aside.
    pub ghosts: BTreeMap<RunId, Ghost>,
    /// Every run that ever was set aside.
    pub set_aside: BTreeSet<RunId>,
    /// Requests that the world thought of by itself.
    pub thought_of: u64,
    /// What was committed.
    pub disk: Disk,
    /// Services that were stopped because what they were tied to ended, and that nobody has asked for since.
    pub let_go: BTreeSet<ServiceKey>,
    /// Services whose main process was ever spawned.
    pub ran: BTreeSet<ServiceKey>,
    /// Processes that run and that no keeper has.
    pub strays: BTreeSet<ProcKey>,
    /// What a service was to adopt when it was launched last, until somebody asks for something else.
    pub to_adopt: BTreeMap<ServiceKey, ProcKey>,
    /// Foreground commands that are alive.
    pub sessions: BTreeSet<SessionId>,
    /// The next PID; the numbers are few, so that they come again.
    pub pids: u32,
    /// Replies that requests got.
    pub replies: BTreeSet<u64>,
    /// How many happenings there have been.
    pub count: u64,
    /// How many of them were faults.
    pub faults: u64,
    /// The first invariant that was broken.
    pub violation: Option<String>,
    /// No more faults and surprises: everything has to come to rest.
    pub calm: bool,
    /// What happened, when tracing is on.
    pub trace: Vec<String>,
    tracing: bool,
}

/// What lies in the folder of a service.
#[derive(Debug, Default)]
pub struct Folder {
    /// The keeper that wrote it last.
    pub keeper: Option<usize>,
    /// Every event that was written, in order.
    pub events: Vec<run::Event>,
}

/// What was committed.
#[derive(Debug, Default)]
pub struct Disk {
    /// The journal.
    pub journal: Vec<Entry>,
    /// Events of keepers that are in it.
    pub numbered: BTreeSet<(RunId, u64)>,
    /// Services as they were stored.
    pub documents: BTreeMap<ServiceKey, Stored>,
    /// Ghosts as they were stored.
    pub ghosts: BTreeMap<RunId, Ghost>,
    /// What was made of the journal.
    pub incidents: crate::incidents::Incidents,
}

/// Something that will happen.
#[derive(Debug, Clone)]
pub enum Happening {
    /// An event reaches the daemon, if it is still the one it was for.
    ToDaemon(u64, Event),
    /// An order reaches a keeper, if it still lives.
    ToKeeper(usize, Order),
    /// A commit is durable, if the daemon that asked for it still lives.
    Committed(u64),
    /// The daemon's deadline.
    Tick(u64, Mono),
    /// A rung of a keeper's ladder is over.
    RungOver(usize, u64),
    /// A process does something.
    Process(usize, RunId, Deed),
    /// What a dead keeper left behind has been dealt with.
    Recovered(u64, ServiceKey, RunId, Option<ProcKey>),
    /// A daemon sets aside what is left of a run whose keeper is dead.
    SetAside(u64, ServiceKey, RunId),
    /// The world's own doing.
    Act(crate::scenario::Act),
}

/// What a keeper is told.
#[derive(Debug, Clone)]
pub enum Order {
    /// The first one.
    Launch(Box<Launch>),
    /// Spawn.
    Go,
    /// The next run.
    Again(Box<Launch>),
    /// No next run.
    Release,
    /// Stop.
    Stop(Option<Ladder>, StopCause),
    /// The next rung.
    Skip,
    /// Set aside what is left.
    Quarantine,
}

/// What a process does.
#[derive(Debug, Clone, Copy)]
pub enum Deed {
    /// The main process ends.
    MainExits(Exit),
    /// Those that it left behind end.
    OthersExit,
}

/// Keeps the queue ordered without comparing happenings.
#[derive(Debug)]
struct Boxed(Box<Happening>);

impl PartialEq for Boxed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Boxed {}
impl PartialOrd for Boxed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Boxed {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl World {
    /// At the beginning of time.
    pub fn new(seed: u64, tracing: bool) -> Self {
        Self {
            mono: 1_000 * MS,
            wall_offset: 1_700_000_000_000 * MS,
            queue: BinaryHeap::new(),
            order: 0,
            draws: Draws::new(seed),
            daemon: None,
            lives: 0,
            keepers: Vec::new(),
            locks: BTreeMap::new(),
            folders: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            set_aside: BTreeSet::new(),
            thought_of: 1_000_000,
            disk: Disk::default(),
            let_go: BTreeSet::new(),
            ran: BTreeSet::new(),
            strays: BTreeSet::new(),
            to_adopt: BTreeMap::new(),
            sessions: BTreeSet::new(),
            pids: 0,
            replies: BTreeSet::new(),
            count: 0,
            faults: 0,
            violation: None,
            calm: false,
            trace: Vec::new(),
            tracing,
        }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now { mono: Mono(self.mono), wall: Wall(self.mono + self.wall_offset) }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draws.bits() % bound.max(1)
    }

    /// True once in `of` times.
    pub fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// Puts something into the queue, `delay` nanoseconds from now.
    pub fn after(&mut self, delay: u64, happening: Happening) {
        self.at(self.mono + delay, happening);
    }

    /// Puts something into the queue at a time.
    pub fn at(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse((at.max(self.mono), self.order, Boxed(Box::new(happening)))));
    }

    /// A process of a new identity. PIDs come again, start times do not.
    pub fn process(&mut self) -> ProcKey {
        self.pids += 1;
        ProcKey { boot_id: BootId("sim".into()), pid: 2 + self.pids % 7, start_ticks: self.mono }
    }

    /// Remembers the first broken invariant.
    pub fn violate(&mut self, text: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(text());
        }
    }

    /// Writes a line of the trace.
    pub fn note(&mut self, text: impl FnOnce(&World) -> String) {
        if self.tracing {
            let line = format!("{:>12.3} ms  {}", self.mono as f64 / MS as f64, text(self));
            self.trace.push(line);
        }
    }

    /// Lets the next thing happen, if it is not later than `until`. `Ok(false)`: nothing is left.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn turn(&mut self, until: u64) -> Result<bool, String> {
        match self.queue.peek() {
            Some(Reverse((at, ..))) if *at <= until => {}
            _ => return Ok(false),
        }
        let Some(Reverse((at, _, Boxed(happening)))) = self.queue.pop() else { return Ok(false) };
        self.mono = at;
        self.count += 1;
        self.happen(*happening);
        crate::check::every_step(self);
        match self.violation.take() {
            Some(violation) => Err(violation),
            None => Ok(true),
        }
    }

    fn happen(&mut self, happening: Happening) {
        self.note(|_| format!("{happening:?}"));
        match happening {
            Happening::ToDaemon(life, event) => crate::daemon::receive(self, life, event),
            Happening::ToKeeper(keeper, order) => crate::keeper::order(self, keeper, order),
            Happening::Committed(life) => crate::daemon::committed(self, life),
            Happening::Tick(life, at) => crate::daemon::tick(self, life, at),
            Happening::RungOver(keeper, climb) => crate::keeper::rung_over(self, keeper, climb),
            Happening::Process(keeper, run, deed) => crate::keeper::process(self, keeper, run, deed),
            Happening::Recovered(life, key, run, process) => {
                crate::daemon::recovered(self, life, key, run, process);
            }
            Happening::SetAside(life, key, run) => crate::ghosts::by_daemon(self, life, key, run),
            Happening::Act(act) => crate::scenario::act(self, act),
        }
    }
}
