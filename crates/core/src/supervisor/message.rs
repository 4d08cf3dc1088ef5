//! What goes into the supervisor and what comes out of it.

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Wall};
use crate::exit::Exit;
use crate::exit_code::ExitCode;
use crate::ghost::Ghost;
use crate::identity::{ProcKey, RunId};
use crate::journal::Entry;
use crate::ladder::Ladder;
use crate::launch::{Containment, Holder, Origin, ServiceKey};
use crate::manifest::{Probe, Project};
use crate::name::Name;
use crate::run;
use crate::service::{State, Wanted};
use crate::text::OsText;
use crate::units::Span;

/// A request that waits for its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u64);

/// A foreground command to which services are tied (R5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Somebody asks for something, and waits for [`Action::Reply`].
    Request {
        /// Under this number.
        op: OpId,
        /// What.
        request: Request,
    },
    /// The foreground command of a session is gone: its connection closed.
    SessionEnded(SessionId),
    /// A keeper tells of its run. Those of runs that are not the current one of the service are journalled only.
    Keeper {
        /// Whose.
        key: ServiceKey,
        /// What.
        event: run::Event,
    },
    /// A launch was refused: the lock is held by another.
    Refused {
        /// Whose launch.
        key: ServiceKey,
        /// Which.
        run: RunId,
        /// By whom, when it is known.
        holder: Option<Box<Holder>>,
    },
    /// The lock is held, and a claim is not free, or another copy runs that no vigie started (R4.4, R4.8). The keeper was
    /// let go.
    Occupied {
        /// Whose launch.
        key: ServiceKey,
        /// Which.
        run: RunId,
        /// What is held by whom, for people: `port 8000/tcp is held by python3 (PID 12)`.
        what: String,
        /// The PID of the holder, when it can be seen.
        pid: Option<u32>,
    },
    /// The tree of a stopped run is empty, and a port that it claims is held all the same (R5.3). Comes before the
    /// [`crate::run::What::Empty`] of the run.
    StillHeld {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
        /// What is held by whom, for people.
        what: String,
    },
    /// A run ended by itself, badly, and another has a port that it claims (R4.4). Comes before the
    /// [`crate::run::What::Empty`] of the run.
    ClaimHeld {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
        /// What is held by whom, for people.
        what: String,
    },
    /// No keeper could be brought to the point where it holds the lock.
    LaunchFailed {
        /// Whose launch.
        key: ServiceKey,
        /// Which.
        run: RunId,
        /// What failed, on what.
        why: String,
    },
    /// The connection to a keeper closed although its tree was not reported empty, and the keeper is dead.
    KeeperLost {
        /// Whose.
        key: ServiceKey,
        /// Which run it held.
        run: RunId,
    },
    /// [`Action::Recover`] is done: what is left of the tree. Empty: the kernel says that it is over.
    Recovered {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
        /// What could not be ended.
        left: Vec<run::Left>,
    },
    /// [`Action::Quarantine`] could not be done for a run whose keeper is dead. A keeper tells of that itself; and so is told
    /// what was done, whoever did it.
    QuarantineRefused {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
        /// Why not.
        why: String,
    },
    /// There is a record of this ghost.
    GhostFound(Box<Ghost>),
    /// Nobody of this ghost is left.
    GhostGone {
        /// Which.
        run: RunId,
        /// It is of another boot.
        reboot: bool,
    },
    /// A probe was answered, or not.
    Probed {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
        /// Which of its probes.
        purpose: Purpose,
        /// How it went.
        outcome: ProbeOutcome,
    },
    /// The deadline of the last [`Step`] is reached, or simply: look at the clock.
    Tick,
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Start services, in the order of `after`, with what they depend on.
    Up(Box<Up>),
    /// Make processes that run already the runs of their services, and touch no others (R4.4): those of [`Up::adopt`].
    Adopt(Box<Up>),
    /// Stop services, those that depend on others among them first.
    Down {
        /// Which.
        keys: Vec<ServiceKey>,
        /// By whom.
        origin: Origin,
        /// Reply after this, whatever is left. Absent: the ladders end it.
        timeout: Option<Span>,
        /// Another ladder than that of the manifest.
        ladder: Option<Ladder>,
    },
    /// Stop and start again, without touching those that depend on them.
    Restart {
        /// Which.
        keys: Vec<ServiceKey>,
        /// By whom.
        origin: Origin,
        /// Reply after this, whatever is left.
        timeout: Option<Span>,
        /// The manifest as it is now: the new runs follow it. Absent: as they were.
        project: Option<Box<Project>>,
    },
    /// Set aside what no signal ends of these, so that successors may start (R5.4).
    Quarantine {
        /// Which.
        keys: Vec<ServiceKey>,
        /// Reply after this, whatever has come of it.
        timeout: Option<Span>,
    },
    /// The next rung now, for those that are being stopped.
    Skip {
        /// Which.
        keys: Vec<ServiceKey>,
    },
    /// Forget how often they were restarted.
    Reset {
        /// Which.
        keys: Vec<ServiceKey>,
    },
    /// Stop what is tied to the daemon, and reply when that is done: the daemon is to end.
    ShutDown,
}

impl Request {
    /// Somebody else asks for it than it says.
    pub fn set_origin(&mut self, by: Origin) {
        match self {
            Self::Up(up) | Self::Adopt(up) => up.origin = by,
            Self::Down { origin, .. } | Self::Restart { origin, .. } => *origin = by,
            Self::Quarantine { .. } | Self::Skip { .. } | Self::Reset { .. } | Self::ShutDown => {}
        }
    }
}

/// A start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Up {
    /// The manifest, resolved by who asks, with that one's environment.
    pub project: Project,
    /// Services by name, perhaps with a mode; empty: all whose profiles are asked for.
    pub targets: Vec<(Name, Option<Name>)>,
    /// Profiles that are asked for.
    pub profiles: Vec<Name>,
    /// The environment of who asks: what services get below their own.
    pub env: Vec<(OsText, OsText)>,
    /// Who asks.
    pub origin: Origin,
    /// The foreground command that they are tied to; absent with `-d`.
    pub session: Option<SessionId>,
    /// They stop by themselves after this.
    pub duration: Option<Span>,
    /// Reply when they are ready; else when they are launched.
    pub wait: bool,
    /// Reply after this, whatever has come of it.
    pub timeout: Option<Span>,
    /// These services are not spawned: each of these processes runs already and becomes the service's run.
    #[serde(default)]
    pub adopt: Vec<(Name, ProcKey)>,
    /// Copies that no vigie started are tolerated.
    #[serde(default)]
    pub keep: bool,
}

/// Which of its probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Whether it is ready.
    Ready,
    /// Whether it is still well.
    Alive,
}

/// How a probe went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It answered, and it was this run that answered.
    Good,
    /// It did not, or not so.
    Bad {
        /// What came instead.
        why: String,
    },
    /// Somebody else answered (R2.3). Told once per run and purpose.
    Other {
        /// Who.
        who: String,
    },
}

/// What is to be done. None of it blocks the next step.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Action {
    /// Bring up a run: with [`crate::supervisor::Supervisor::launch`]. `Again` of the keeper that is held, else a new
    /// one, and `Go` as soon as it says `locked`.
    Launch {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
    },
    /// Tell the keeper to stop its run.
    Stop {
        /// Whose.
        key: ServiceKey,
        /// Another ladder than that of the launch.
        ladder: Option<Ladder>,
        /// Why.
        cause: run::StopCause,
    },
    /// Tell the keeper to go to the next rung.
    Skip {
        /// Whose.
        key: ServiceKey,
    },
    /// Tell the keeper that no other run follows, and let go of it.
    Release {
        /// Whose.
        key: ServiceKey,
    },
    /// The keeper is dead: find what is left of the run by cgroup, record and environment mark; end it by this ladder.
    Recover {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
        /// How.
        ladder: Ladder,
        /// A process of it that its record may not name: it was to be adopted again.
        process: Option<ProcKey>,
    },
    /// Set aside what is left of a run: write it on record as a ghost, and give the lock back. Only when KILL is pending on
    /// all of it.
    Quarantine {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
        /// Its keeper is to do it; else it is dead.
        held: bool,
    },
    /// Remove the record of a ghost that is gone, once the journal knows it, and its cgroup.
    ForgetGhost {
        /// Which.
        run: RunId,
        /// The folder of its cgroup.
        cgroup: Option<OsText>,
    },
    /// Begin to probe, at once and then at this interval, until [`Action::StopProbe`] or the end of the run.
    StartProbe {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
        /// What for. A `Ready` probe ends with its first good outcome.
        purpose: Purpose,
        /// What is asked.
        probe: Probe,
        /// How often.
        every: Span,
        /// How long one attempt may take.
        timeout: Span,
    },
    /// End the probes of this purpose.
    StopProbe {
        /// Whose.
        key: ServiceKey,
        /// Which.
        purpose: Purpose,
    },
    /// The outcome of a request.
    Reply {
        /// Whose.
        op: OpId,
        /// What.
        outcome: Outcome,
    },
}

impl Action {
    /// The service that it is about. Actions for one service are done in the order in which they came, those that wait
    /// for the disk included: a stop must not overtake the launch that it is to stop.
    pub fn key(&self) -> Option<&ServiceKey> {
        match self {
            Action::Launch { key, .. }
            | Action::Stop { key, .. }
            | Action::Skip { key }
            | Action::Release { key }
            | Action::Recover { key, .. }
            | Action::Quarantine { key, .. }
            | Action::StartProbe { key, .. }
            | Action::StopProbe { key, .. } => Some(key),
            Action::Reply { .. } | Action::ForgetGhost { .. } => None,
        }
    }

    /// Whether it waits for the disk when the step says [`Step::durable_first`]. A stop does not: its keeper writes down
    /// that it was asked for, and a daemon that comes back reads it there.
    pub fn needs_durable_intent(&self) -> bool {
        !matches!(self, Action::Stop { .. } | Action::Skip { .. })
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outcome {
    /// The exit code of the command that asked.
    pub code: ExitCode,
    /// Why the request was not possible as a whole; absent when it was.
    pub why: Option<String>,
    /// One for each service that was asked for.
    pub services: Vec<ServiceOutcome>,
}

/// What came of a request for one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceOutcome {
    /// Which.
    pub key: ServiceKey,
    /// Its project's name.
    pub project: Name,
    /// The exit code that it alone would give.
    pub code: ExitCode,
    /// Where it stands.
    pub state: State,
    /// Why it is not as it was asked for; absent when it is.
    pub why: Option<String>,
    /// Who holds its lock, when that is why.
    pub holder: Option<Box<Holder>>,
}

/// The result of one step.
#[derive(Debug, Default)]
#[must_use]
pub struct Step {
    /// What is to be done, in this order.
    pub actions: Vec<Action>,
    /// What is to be journalled, in this order.
    pub entries: Vec<Entry>,
    /// Services whose [`crate::supervisor::Stored`] changed.
    pub changed: Vec<ServiceKey>,
    /// Ghosts that are new, or gone ([`crate::supervisor::Supervisor::ghost`]).
    pub ghosts: Vec<RunId>,
    /// The entries and changes are the intent of a user: make them durable before the actions that need it
    /// ([`Action::needs_durable_intent`]). Otherwise the keepers hold the truth, the journal may follow, and the actions
    /// do not wait for the disk.
    pub durable_first: bool,
    /// When to call again with [`Event::Tick`], if nothing else happens.
    pub deadline: Option<Mono>,
}

/// A service as it stands, for `status` and the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Which.
    pub key: ServiceKey,
    /// Its project's name.
    pub project: Name,
    /// The folder of its project.
    pub dir: OsText,
    /// Its mode, when it has one.
    pub mode: Option<Name>,
    /// Whether it is to run.
    pub wanted: Wanted,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Wall,
    /// Why it stands there, when that is not plain: why it failed, what it waits for.
    pub why: Option<String>,
    /// New starts since it was asked for.
    pub restarts: u32,
    /// Its run, when there is one.
    pub run: Option<RunView>,
    /// How its last run ended.
    pub last_exit: Option<LastExit>,
    /// Ports that it claims.
    pub claims: Vec<crate::claim::PortClaim>,
    /// Earlier runs of it that no signal ends and that were set aside.
    #[serde(default)]
    pub ghosts: Vec<Ghost>,
}

/// A run as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Which.
    pub id: RunId,
    /// Its main process, once it was spawned.
    pub main: Option<ProcKey>,
    /// When it was spawned.
    pub started: Option<Wall>,
    /// How its tree is contained.
    pub containment: Option<Containment>,
    /// The folder of its cgroup.
    pub cgroup: Option<OsText>,
    /// It was adopted, not spawned.
    #[serde(default)]
    pub adopted: bool,
    /// Those that no signal ends, when it is a ghost.
    #[serde(default)]
    pub left: Vec<run::Left>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastExit {
    /// Which run.
    pub run: RunId,
    /// How.
    pub exit: Exit,
    /// When.
    pub at: Wall,
}
