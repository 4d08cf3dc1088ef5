//! The course of a run: its main process ends, its ladder is climbed, its tree empties.

use std::os::fd::OwnedFd;
use std::time::Duration;

use vigie_core::clock::{Mono, Now};
use vigie_core::exit::Exit;
use vigie_core::ladder::{Audience, Climb, Deed, Ladder, Signal};
use vigie_core::launch::{Launch, Orphans};
use vigie_os::cgroup::{Cgroup, Changes};
use vigie_os::clock::{mono, now};
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_os::signals::{Reaped, reap};
use vigie_os::spawn::Child;
use vigie_wire::keeper::{Phase, StopCause, What};

use crate::keeper::{Keeper, earlier};
use crate::output::Output;
use crate::spawning::Spawning;
use crate::survivors;

/// How long an empty cgroup may take to let itself be removed.
const REMOVE: Duration = Duration::from_millis(200);

/// When it is looked again for processes that must be there and were not seen.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How often a cgroup is looked at that does not tell when it becomes empty and that holds no descendant.
const LOOK_AGAIN_V1: Duration = Duration::from_millis(50);

/// How often they may remain unseen before they count as orphans all the same: somebody forks faster than we look.
const UNSEEN: u32 = 3;

/// The main process.
#[derive(Debug)]
pub(crate) enum Main {
    /// Spawned here, not yet reaped.
    Child {
        /// It.
        child: Child,
        /// Its process group when it was spawned.
        pgid: u32,
    },
    /// Nobody's child here, not known to be dead.
    Adopted(Target),
}

/// What goes on with the current run. The record says the rest.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// Until it is spawned.
    pub(crate) launch: Option<Box<Launch>>,
    pub(crate) spawning: Option<Box<Spawning>>,
    pub(crate) main: Option<Main>,
    /// Those below an adopted main process who were seen. Whoever outlives it is found no other way where no cgroup holds
    /// them.
    pub(crate) kin: Vec<Target>,
    /// The process group of the main process when it was spawned or adopted, also when it is gone.
    pub(crate) pgid: Option<u32>,
    /// It could not be spawned.
    pub(crate) failed: bool,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) changes: Option<Changes>,
    pub(crate) output: Option<Output>,
    /// The end to write to of its standard input, when that is a pipe.
    pub(crate) stdin: Option<OwnedFd>,
    ladder: Ladder,
    orphans: Orphans,
    climb: Option<Climb>,
    /// KILL was reached: whoever still appears is killed.
    killing: bool,
    /// Whom the last round of killing reached.
    killed: Vec<(u32, u64)>,
    /// When to look again although nothing was told.
    pub(crate) look_again: Option<Mono>,
    unseen: u32,
    /// When the ladder was at its end.
    pub(crate) stuck: Option<Now>,
    /// On this rung the tree was told what was meant for the main process.
    tree_heard: bool,
}

impl Course {
    pub(crate) fn new(launch: Box<Launch>, cgroup: Option<Cgroup>) -> Self {
        Self {
            ladder: launch.ladder.clone(),
            orphans: launch.orphans,
            launch: Some(launch),
            changes: cgroup.as_ref().and_then(Cgroup::changes),
            cgroup,
            ..Self::default()
        }
    }

    /// Whether a process was made, or tried to be.
    pub(crate) fn is_spawned(&self) -> bool {
        self.main_alive() || self.pgid.is_some() || self.failed
    }

    /// Whether the main process is there, exec or not.
    fn main_alive(&self) -> bool {
        self.main.is_some() || self.spawning.is_some()
    }

    /// When the wait of the current rung is over.
    pub(crate) fn rung_ends(&self) -> Option<Mono> {
        self.climb.as_ref().map(Climb::deadline)
    }

    /// When something is to be done although nothing happens.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        earlier(self.look_again, self.rung_ends())
    }

    /// Takes note of those who are below an adopted main process now, and of those below whom it knew already.
    pub(crate) fn note_kin(&mut self, proc: &Proc) {
        self.kin.retain(|kin| !kin.is_dead().unwrap_or(true));
        let main = match &self.main {
            Some(Main::Adopted(main)) => Some(main),
            Some(Main::Child { .. }) | None => None,
        };
        let mut found = Vec::new();
        for root in main.into_iter().chain(&self.kin) {
            let members = proc.descendants(root.key().pid).unwrap_or_default();
            // Were it dead by now, they could be somebody else's.
            if root.is_dead().unwrap_or(true) {
                continue;
            }
            found.extend(members.into_iter().filter(|member| !member.zombie));
        }
        for member in found {
            let key = proc.key_of(member.pid, member.start_ticks);
            if self.kin.iter().all(|kin| *kin.key() != key)
                && let Ok(Some(target)) = Target::open(proc, &key)
            {
                self.kin.push(target);
            }
        }
    }

    /// Whether anybody of an adopted tree lives who is known by descriptor.
    fn kin_alive(&self) -> bool {
        self.kin.iter().any(|kin| !kin.is_dead().unwrap_or(false))
    }

    /// The cgroup is of no use.
    pub(crate) fn drop_cgroup(&mut self) {
        self.changes = None;
        if let Some(cgroup) = self.cgroup.take() {
            // What stays is an empty folder, in nobody's way.
            let _ = cgroup.remove(mono() + REMOVE);
        }
    }
}

impl Keeper {
    /// Waits for every child that has ended, looks at who was adopted, then sees to what is left.
    pub(crate) fn reap(&mut self) {
        self.look_at_adopted();
        let nobody = loop {
            match reap() {
                Reaped::Child { pid, exit } => self.on_exit(pid, exit),
                Reaped::Busy => break false,
                Reaped::Nobody => break true,
            }
        };
        self.settle(nobody);
    }

    fn on_exit(&mut self, pid: u32, exit: Exit) {
        // A start is told of before its end.
        if self.course.spawning.as_ref().is_some_and(|spawning| spawning.starting.child.pid() == pid) {
            self.on_report();
        }
        // From here on the number may be another's: the value that allowed to signal it goes.
        let is_main = |main: &mut Main| matches!(main, Main::Child { child, .. } if child.pid() == pid);
        if self.course.main.take_if(is_main).is_some() {
            self.change(|state| state.exit = Some(exit));
            self.tell(What::Exited { exit });
        }
    }

    /// Compares what the kernel says with where the run stands. `nobody`: no child is left to wait for.
    fn settle(&mut self, nobody: bool) {
        if !self.course.is_spawned() || self.course.main_alive() || self.phase().is_over() {
            return;
        }
        let populated = self.course.cgroup.as_ref().is_some_and(Cgroup::populated) || self.course.kin_alive();
        if nobody && !populated {
            return self.finish();
        }
        if nobody && (self.course.changes.is_none() || self.course.kin_alive()) {
            // Who is in the cgroup is no descendant, or its end is not yet through with it; and v1 tells of neither.
            self.course.look_again = Some(mono() + LOOK_AGAIN_V1);
        }
        if self.course.failed {
            return;
        }
        match self.phase() {
            Phase::Running => self.on_orphans(),
            Phase::Stopping if self.course.killing => self.kill(),
            Phase::Stopping => self.on_main_gone(),
            Phase::Stuck if self.course.killing => self.kill(),
            Phase::Stuck | Phase::Orphaned | Phase::Locked | Phase::Quarantined | Phase::Empty => {}
        }
    }

    /// The main process ended and others are left.
    fn on_orphans(&mut self) {
        let (left, count) = self.tree().left();
        if count == 0 && self.course.unseen < UNSEEN {
            // They are just ending, or fork faster than they can be looked at.
            self.course.unseen += 1;
            self.course.look_again = Some(mono() + LOOK_AGAIN);
            return;
        }
        self.tell(What::Orphans { left, count });
        match self.course.orphans {
            Orphans::End => self.stop(None, StopCause::Orphans),
            Orphans::Keep => self.change(|state| state.phase = Phase::Orphaned),
        }
    }

    /// The main process ended during a stop: those that it left are named, and hear at once what it heard. Each rung does
    /// that once; a rung for all of them was heard by all of them, and whoever ends a moment later was not left.
    fn on_main_gone(&mut self) {
        let Some(climb) = &self.course.climb else { return };
        if let (Deed::Signal(_, Audience::Main), deed) = (climb.rung().deed, climb.deed(false))
            && self.course.pgid.is_some()
            && !std::mem::replace(&mut self.course.tree_heard, true)
        {
            let (left, count) = self.tree().left();
            if count > 0 {
                self.tell(What::Orphans { left, count });
            }
            self.perform(deed);
        }
    }

    /// Begins a stop. During one, another ladder takes the place of that which is climbed; without one it goes on.
    pub(crate) fn stop(&mut self, ladder: Option<Ladder>, cause: StopCause) {
        match self.phase() {
            Phase::Quarantined | Phase::Empty => return,
            Phase::Stopping if ladder.is_none() => return,
            // It was stopped, and nothing more can be done about it.
            Phase::Stuck if cause == StopCause::Tie => return,
            Phase::Locked if !self.course.is_spawned() => {
                self.tell(What::Stopping { cause });
                return self.finish();
            }
            Phase::Locked | Phase::Running | Phase::Orphaned | Phase::Stopping | Phase::Stuck => {}
        }
        let ladder = ladder.unwrap_or_else(|| self.course.ladder.clone());
        self.course.climb = Some(Climb::start(ladder, mono()));
        self.change(|state| state.phase = Phase::Stopping);
        self.tell(What::Stopping { cause });
        self.on_rung();
    }

    /// The next rung, because time is up or somebody asked for it. Beyond the last one there is nothing but saying so.
    pub(crate) fn climb_on(&mut self, now: Mono) {
        let Some(climb) = &mut self.course.climb else { return };
        if climb.up(now).is_some() {
            return self.on_rung();
        }
        if now < climb.deadline() {
            return;
        }
        self.course.climb = None;
        self.change(|state| state.phase = Phase::Stuck);
        self.course.stuck = Some(vigie_os::clock::now());
        let (left, count) = self.tree().left();
        self.tell(What::Stuck { left, count });
    }

    fn on_rung(&mut self) {
        // Before the main process hears of it: afterwards it may be gone, and nobody knows any more who was below it.
        self.course.note_kin(&self.parts.proc);
        let Some(climb) = &self.course.climb else { return };
        let (rung, deed) = (climb.rung(), climb.deed(self.course.main_alive()));
        let index = u32::try_from(climb.index()).unwrap_or(u32::MAX);
        self.course.tree_heard = !self.course.main_alive();
        self.perform(deed);
        self.tell(What::Rung { index, rung });
    }

    fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::CloseStdin => self.course.stdin = None,
            Deed::Signal(Signal::Kill, _) => {
                self.course.killing = true;
                self.kill();
            }
            Deed::Signal(signal, audience) => {
                self.signal(signal, audience);
                self.tree().wake();
            }
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal, audience: Audience) {
        let spawning = self.course.spawning.as_ref().map(|spawning| &spawning.starting.child);
        match (audience, &self.course.main, spawning) {
            // An own child that was not reaped: its number is its own.
            (Audience::Main, Some(Main::Child { child, .. }), _) | (Audience::Main, None, Some(child)) => {
                let _ = child.signal(signal.number());
            }
            // Nobody's child here: its descriptor, never its number.
            (Audience::Main, Some(Main::Adopted(target)), _) => {
                let _ = target.send(signal);
            }
            (Audience::Group, Some(Main::Child { child, pgid }), _) if *pgid == child.pid() => {
                let _ = child.signal_group(signal.number());
            }
            // It does not lead the group, so that others are in it; or it is reaped, so that the number may be another
            // group's; or it was adopted, and a shell has put others beside it. Those of ours who are in it are signalled one by one.
            (Audience::Group, ..) => {
                if let Some(pgid) = self.course.pgid {
                    self.tree().signal_group(pgid, signal);
                }
            }
            (Audience::Main, None, None) => {}
            (Audience::Tree, ..) if signal == Signal::Kill => drop(self.tree().kill()),
            (Audience::Tree, ..) => self.tree().signal(signal),
        }
    }

    /// One round of killing. Another follows at once when this one reached somebody new: then somebody forks. Else the end
    /// of any of them brings the next.
    fn kill(&mut self) {
        let reached = self.tree().kill();
        if !reached.is_empty() && reached != self.course.killed {
            self.course.look_again = Some(mono());
        }
        self.course.killed = reached;
    }

    /// The kernel says that the tree is empty.
    pub(crate) fn finish(&mut self) {
        if let Some(mut output) = self.course.output.take() {
            output.flush(now(), |what| self.tell(what));
        }
        if let Some(last) = self.parts.spared.take() {
            // It was spared to be adopted, and is not: it ends, as what is left of an earlier run does.
            let _ = survivors::end(&self.parts.proc, &last);
        }
        self.course.drop_cgroup();
        self.course = Course::default();
        self.change(|state| {
            state.phase = Phase::Empty;
            state.holder.main = None;
        });
        self.label();
        self.tell(What::Empty);
    }
}
