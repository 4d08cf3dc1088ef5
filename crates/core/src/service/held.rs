//! What is known of one service.

use std::sync::Arc;

use crate::clock::{Mono, Now, Wall};
use crate::exit::Exit;
use crate::identity::{ProcKey, RunId};
use crate::journal::{Entry, Subject, What};
use crate::ladder::Ladder;
use crate::launch::{Containment, Holder, Origin, Orphans, ServiceKey, Tie};
use crate::manifest;
use crate::name::Name;
use crate::policy::Draws;
use crate::run::{Left, StopCause};
use crate::service::{Fault, State, Wanted};
use crate::supervisor::{Action, LastExit, SessionId};
use crate::text::OsText;
use crate::units::Span;

/// One service of a user, as the supervisor holds it.
#[derive(Debug, Clone)]
pub struct Service {
    /// Which.
    pub key: ServiceKey,
    /// How it is described.
    pub definition: Definition,
    /// The description for its next run, when it changed under the present one.
    pub next_definition: Option<Box<manifest::Service>>,
    /// Whether it is to run.
    pub wanted: Wanted,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Now,
    /// Why, when that is not plain.
    pub why: Option<String>,
    /// Who holds its lock, in a conflict.
    pub holder: Option<Box<Holder>>,
    /// The present run: from the launch until its tree is empty.
    pub run: Option<Run>,
    /// A keeper holds the lock for us: during a run, and between two.
    pub held: bool,
    /// It was stopped, and a port that it claims is held by another all the same.
    pub still_held: Option<String>,
    /// How the last run ended.
    pub last_exit: Option<LastExit>,
    /// New starts since it was asked for.
    pub restarts: u32,
    /// New starts since the last stable period.
    pub attempt: u32,
    /// What follows when the tree is empty.
    pub next: Next,
    /// Its next run, or the one that is being launched, is this process.
    pub adopt: Option<Adoption>,
    /// A stop that waits for those that depend on it.
    pub stop_due: Option<StopDue>,
    /// When to look again.
    pub timers: Timers,
}

/// An environment: names and values, in the order in which they were found.
pub type Environment = Vec<(OsText, OsText)>;

/// How a service is described: its part of the manifest, and what the one who asked for it brought along.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Definition {
    /// Its project's name.
    pub project: Name,
    /// The folder of its project.
    pub dir: OsText,
    /// Its part of the manifest.
    pub service: manifest::Service,
    /// Its mode.
    pub mode: Option<Name>,
    /// The environment of who asked for it: one for all that were asked for together. Kept apart where this is stored:
    /// it is the largest part, and the same for many.
    #[serde(skip)]
    pub env: Arc<Environment>,
    /// Who asked for it.
    pub origin: Origin,
    /// The foreground command that it is tied to.
    pub session: Option<SessionId>,
    /// It stops by itself after this.
    pub duration: Option<Span>,
    /// Copies that no vigie started are known and tolerated (`--keep`): a PID file of an older tool keeps nothing down.
    #[serde(default)]
    pub keep: bool,
}

impl Definition {
    /// With what it ends (R5.5): a detached service has no terminal to be tied to.
    pub fn tie(&self) -> Tie {
        match (self.service.tie, self.session) {
            (None | Some(Tie::Terminal), Some(_)) => Tie::Terminal,
            (None | Some(Tie::Terminal), None) => Tie::Daemon,
            (Some(tie), _) => tie,
        }
    }

    /// How long it runs, if it stops by itself.
    pub(super) fn duration(&self) -> Option<Span> {
        self.duration.or_else(|| self.service.mode(self.mode.as_ref())?.duration)
    }
}

/// The number of the loss of a keeper among the events of its run: the largest that the journal can hold.
const LOSS: u64 = i64::MAX as u64;

/// One life of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Which.
    pub id: RunId,
    /// Its keeper, once it holds the lock.
    pub keeper: Option<ProcKey>,
    /// Its main process, once it was spawned.
    pub main: Option<ProcKey>,
    /// When it was spawned.
    pub started: Option<Now>,
    /// When it was adopted, if it was not spawned: then it was started before anybody here knew it.
    pub adopted: Option<Now>,
    /// How its tree is contained.
    pub containment: Option<Containment>,
    /// The folder of its cgroup.
    pub cgroup: Option<OsText>,
    /// How its main process ended.
    pub exit: Option<Exit>,
    /// When, if that was before anybody heard of it.
    pub exited: Option<Wall>,
    /// Who had a port that it claims when it had ended by itself.
    pub explained: Option<String>,
    /// vigie ends it because it is not well: its end counts as a failure, whatever its exit code.
    pub failed: Option<String>,
    /// The number of the last event that was heard of it.
    pub seq: u64,
    /// When its end began: a stop, or the end of the main process.
    pub ending_since: Option<Mono>,
    /// Health probes that failed, in a row.
    pub failures: u32,
    /// Since when they fail.
    pub degraded_since: Option<Mono>,
    /// It was told that another answers its probes.
    pub other_told: bool,
    /// What its last probe found.
    pub last_probe: Option<String>,
    /// It was adopted, and had its time to become ready. It goes on.
    pub late: bool,
    /// Those that no signal ends, as far as they were named (R5.4).
    pub left: Vec<Left>,
    /// It was told of it that no signal ends it.
    pub ghost: bool,
    /// Why they were not set aside when that was asked for last.
    pub refused: Option<String>,
}

impl Run {
    /// A run of which nothing is known yet.
    pub fn new(id: RunId) -> Self {
        Self {
            id,
            keeper: None,
            main: None,
            started: None,
            adopted: None,
            containment: None,
            cgroup: None,
            exit: None,
            exited: None,
            explained: None,
            failed: None,
            seq: 0,
            ending_since: None,
            failures: 0,
            degraded_since: None,
            other_told: false,
            last_probe: None,
            late: false,
            left: Vec::new(),
            ghost: false,
            refused: None,
        }
    }

    /// KILL is pending on one of those that are left.
    pub fn kill_pending(&self) -> bool {
        self.left.iter().any(|left| left.kill_pending)
    }

    /// Since when it is ours: from the spawn, or from the adoption.
    pub fn ours_since(&self) -> Option<Now> {
        self.adopted.or(self.started)
    }
}

/// A process that is to become the main process of a run (R4.4).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Adoption {
    /// It.
    pub process: ProcKey,
    /// It was ours before: the keeper that held it is gone (R6.7). When it cannot be had again, its run is over; what was
    /// never ours is left as it is, and nothing is spawned beside it.
    pub again: bool,
}

/// What follows when the tree is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Next {
    /// What the policy says, or nothing when it is wanted down.
    Policy,
    /// A new run: somebody asked for a restart, or for a start while it was stopping.
    Restart,
    /// Nothing: its duration is over.
    Finish,
    /// Nothing: what was to be adopted was not, and runs on.
    Fail,
}

/// A stop that waits for those that depend on the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopDue {
    /// Why.
    pub cause: StopCause,
    /// Another ladder than that of the manifest.
    pub ladder: Option<Ladder>,
}

/// When to look again. Each belongs to a state and is cleared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timers {
    /// It must be ready by then.
    pub ready_by: Option<Mono>,
    /// It is stable from then on.
    pub stable_at: Option<Mono>,
    /// It stops by itself then.
    pub duration_over: Option<Mono>,
    /// It is started again then.
    pub backoff_over: Option<Mono>,
}

impl Timers {
    /// The first of them.
    pub fn first(&self) -> Option<Mono> {
        [self.ready_by, self.stable_at, self.duration_over, self.backoff_over].into_iter().flatten().min()
    }
}

/// What an input leads to, besides the new state.
#[derive(Debug)]
pub struct Reaction<'a> {
    /// The time.
    pub now: Now,
    /// For jitter and run numbers.
    pub draws: &'a mut Draws,
    /// What is to be done.
    pub actions: &'a mut Vec<Action>,
    /// What is to be journalled.
    pub entries: &'a mut Vec<Entry>,
}

impl Service {
    /// A service that was never asked for.
    pub fn new(key: ServiceKey, definition: Definition, now: Now) -> Self {
        Self {
            key,
            definition,
            next_definition: None,
            wanted: Wanted::Down,
            state: State::Stopped,
            since: now,
            why: None,
            holder: None,
            run: None,
            held: false,
            still_held: None,
            last_exit: None,
            restarts: 0,
            attempt: 0,
            next: Next::Policy,
            adopt: None,
            stop_due: None,
            timers: Timers::default(),
        }
    }

    /// Its part of the manifest.
    pub fn manifest(&self) -> &manifest::Service {
        &self.definition.service
    }

    /// As the subject of a journal entry.
    pub fn subject(&self) -> Subject {
        Subject::Service {
            project: self.definition.project.clone(),
            service: self.key.service.clone(),
            mode: self.definition.mode.clone(),
        }
    }

    /// How its present run tells that it is ready, if that was asked for. What an adopted process writes is not seen, so
    /// nothing can be read from it.
    pub(super) fn readiness(&self) -> Option<&manifest::Ready> {
        let adopted = self.run.as_ref().is_some_and(|run| run.adopted.is_some());
        let ready = self.manifest().ready.as_ref();
        ready.filter(|ready| !adopted || !matches!(ready.probe, manifest::Probe::Log { .. }))
    }

    /// It is up as far as its description says what that is: ready; running, when no readiness was asked for.
    pub fn settled(&self) -> bool {
        match self.state {
            State::Ready | State::Degraded => true,
            State::Running => self.readiness().is_none(),
            State::Stopped
            | State::Waiting
            | State::Starting
            | State::Stopping
            | State::Backoff
            | State::Done
            | State::Failed
            | State::Conflict
            | State::Ghost => false,
        }
    }

    /// Processes that outlive the main process stay, and the run with them.
    pub(super) fn keeps_orphans(&self) -> bool {
        self.manifest().orphans == Orphans::Keep
    }

    pub(crate) fn journal(&self, reaction: &mut Reaction<'_>, what: What) {
        let run = self.run.as_ref().map(|run| run.id);
        reaction.entries.push(Entry::new(reaction.now.wall, self.subject(), run, what));
    }

    /// The keeper of the run is gone. Each daemon that finds it tells it; with a number of its own, above all that a
    /// keeper gives, the journal takes it once (invariant 5).
    pub(crate) fn journal_loss(&self, reaction: &mut Reaction<'_>) {
        let Some(run) = self.run.as_ref().map(|run| run.id) else {
            return self.journal(reaction, What::KeeperLost);
        };
        reaction.entries.push(Entry::of_keeper(reaction.now.wall, self.subject(), run, LOSS, What::KeeperLost));
    }

    /// A fault is a bug in vigie: it changes nothing, and it is told.
    pub(crate) fn journal_fault(&self, fault: Fault, reaction: &mut Reaction<'_>) {
        self.journal(reaction, What::InternalFault { fault: fault.to_string() });
    }

    /// Another answers its probes (R2.3). Told once per run.
    pub(crate) fn tell_other(&mut self, who: &str, reaction: &mut Reaction<'_>) {
        if self.run.as_mut().is_some_and(|run| !std::mem::replace(&mut run.other_told, true)) {
            self.journal(reaction, What::AnsweredByOther { who: who.to_owned() });
        }
    }

    /// Goes to `state`. Timers belong to states: whoever needs one there sets it afterwards.
    pub(crate) fn enter(&mut self, state: State, now: Now, why: Option<String>) {
        self.state = state;
        self.since = now;
        self.why = why;
        self.timers = Timers::default();
        if !state.may_live() {
            self.stop_due = None;
        }
        if state != State::Conflict {
            self.holder = None;
        }
    }
}
