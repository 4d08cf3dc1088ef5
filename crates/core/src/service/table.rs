//! State × input: the whole table.

use crate::clock::Now;
use crate::exit::Exit;
use crate::identity::ProcKey;
use crate::journal::What;
use crate::launch::{Containment, Holder};
use crate::name::Name;
use crate::run::{Left, StopCause};
use crate::service::{Next, Reaction, Service, State, StopDue, Wanted};
use crate::supervisor::Action;
use crate::text::OsText;

mod end;
mod up;

/// What can happen to a service. Events of its keeper are those of its present run: the supervisor sorts out others.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Somebody asks for it.
    Start,
    /// Somebody asks that this process, which runs already, become its run.
    Adopt(ProcKey),
    /// Somebody asks for its end; those that depend on it go first.
    Down(StopDue),
    /// It is its turn to stop: none that depends on it is alive.
    StopNow,
    /// Somebody asks for a new run.
    Restart,
    /// Somebody asks to forget its restarts.
    Reset,
    /// What it depends on is as it needs it.
    Unblocked,
    /// What it depends on will not come.
    Blocked {
        /// Which.
        on: Name,
        /// Why not.
        why: String,
    },
    /// The keeper was refused the lock.
    Refused(Option<Box<Holder>>),
    /// A claim is held by another, or another copy runs. The keeper was let go.
    Occupied {
        /// What is held by whom.
        what: String,
        /// The holder.
        pid: Option<u32>,
    },
    /// No keeper could be brought to hold the lock.
    LaunchFailed(String),
    /// The keeper holds the lock.
    Locked(ProcKey),
    /// The main process was spawned.
    Started {
        /// It.
        main: ProcKey,
        /// How its tree is contained.
        containment: Containment,
        /// The folder of its cgroup.
        cgroup: Option<OsText>,
        /// When.
        at: Now,
    },
    /// A process that ran already became the main process.
    Adopted {
        /// It.
        main: ProcKey,
        /// How its tree is contained.
        containment: Containment,
        /// The folder of its cgroup.
        cgroup: Option<OsText>,
        /// When it was started.
        started: Option<Now>,
        /// When it was adopted.
        at: Now,
    },
    /// What was to be adopted was not, and was left as it is.
    AdoptFailed(String),
    /// The main process could not be spawned.
    SpawnFailed(String),
    /// The readiness probe was answered by this run.
    ProbedReady,
    /// The readiness probe was not.
    ProbedUnready(String),
    /// The health probe was answered.
    ProbedWell,
    /// The health probe was not.
    ProbedIll(String),
    /// It must be ready by now.
    ReadyLate,
    /// It has been up and ready for long enough.
    Stable,
    /// Its duration is over.
    DurationOver,
    /// The delay before a new start is over.
    BackoffOver,
    /// The keeper began to stop it, unasked.
    KeeperStops(StopCause),
    /// The main process ended.
    Exited(Exit),
    /// The ladder is at its end and these are left.
    Stuck(Vec<Left>),
    /// Somebody asks that what no signal ends be set aside.
    Quarantine,
    /// It was: the lock is free, and those that are left are on record.
    Quarantined,
    /// It was not.
    QuarantineRefused(String),
    /// The tree is empty, and a port that it claims is held all the same.
    StillHeld(String),
    /// It ended by itself, and another has a port that it claims.
    ClaimHeld(String),
    /// The kernel says that the tree is empty.
    Empty,
    /// The keeper is dead, and the tree was not reported empty.
    KeeperLost,
    /// What a dead keeper left behind is ended. The kernel says that the tree is empty.
    Recovered,
}

impl Input {
    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Input::Start => "start",
            Input::Adopt(_) => "adopt",
            Input::Down(_) => "down",
            Input::StopNow => "stop now",
            Input::Restart => "restart",
            Input::Reset => "reset",
            Input::Unblocked => "unblocked",
            Input::Blocked { .. } => "blocked",
            Input::Refused(_) => "refused",
            Input::Occupied { .. } => "occupied",
            Input::LaunchFailed(_) => "launch failed",
            Input::Locked(_) => "locked",
            Input::Started { .. } => "started",
            Input::Adopted { .. } => "adopted",
            Input::AdoptFailed(_) => "adopt failed",
            Input::SpawnFailed(_) => "spawn failed",
            Input::ProbedReady => "probed ready",
            Input::ProbedUnready(_) => "probed unready",
            Input::ProbedWell => "probed well",
            Input::ProbedIll(_) => "probed ill",
            Input::ReadyLate => "ready late",
            Input::Stable => "stable",
            Input::DurationOver => "duration over",
            Input::BackoffOver => "backoff over",
            Input::KeeperStops(_) => "keeper stops",
            Input::Exited(_) => "exited",
            Input::Stuck(_) => "stuck",
            Input::Quarantine => "quarantine",
            Input::Quarantined => "quarantined",
            Input::QuarantineRefused(_) => "quarantine refused",
            Input::StillHeld(_) => "still held",
            Input::ClaimHeld(_) => "claim held",
            Input::Empty => "empty",
            Input::KeeperLost => "keeper lost",
            Input::Recovered => "recovered",
        }
    }
}

/// A pair of state and input that cannot happen. It changes nothing, and it is never silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{input} cannot happen to a service that is {state}")]
pub struct Fault {
    /// Where the service stood.
    pub state: State,
    /// The input.
    pub input: &'static str,
}

impl Service {
    /// Applies one input.
    ///
    /// # Errors
    /// A pair that cannot happen; nothing was changed then.
    pub fn apply(&mut self, input: Input, reaction: &mut Reaction<'_>) -> Result<(), Fault> {
        use State::{
            Backoff, Conflict, Degraded, Done, Failed, Ghost, Ready, Running, Starting, Stopped, Stopping, Waiting,
        };
        let fault = Fault { state: self.state, input: input.name() };
        let now = reaction.now;
        match input {
            Input::Start => match self.state {
                Stopped | Done | Failed | Conflict | Backoff => self.ask_up(now),
                Waiting | Starting | Running | Ready | Degraded => self.wanted = Wanted::Up,
                Stopping if self.wanted == Wanted::Down => (self.wanted, self.next) = (Wanted::Up, Next::Restart),
                Stopping => {}
                Ghost => return Err(fault),
            },
            // What runs already waits for nobody.
            Input::Adopt(process) => match self.state {
                Stopped | Waiting | Backoff | Done | Failed | Conflict => self.ask_adopted(process, reaction),
                Starting | Running | Ready | Degraded | Stopping | Ghost => return Err(fault),
            },
            Input::Down(due) => match self.state {
                Stopped | Done | Failed | Conflict | Waiting | Backoff => self.ask_down(reaction),
                Starting | Running | Ready | Degraded => {
                    self.wanted = Wanted::Down;
                    self.stop_due = Some(due);
                }
                Stopping => {
                    (self.wanted, self.next) = (Wanted::Down, Next::Policy);
                    // Somebody in a hurry names a ladder of his own; otherwise the climb goes on.
                    if due.ladder.is_some() {
                        let (key, StopDue { cause, ladder }) = (self.key.clone(), due);
                        reaction.actions.push(Action::Stop { key, ladder, cause });
                    }
                }
                Ghost => {
                    self.wanted = Wanted::Down;
                    if let Some(ladder) = due.ladder {
                        self.stop_ghost(due.cause, ladder, reaction);
                    }
                }
            },
            Input::StopNow => match self.state {
                Starting | Running | Ready | Degraded => {
                    let due = self.stop_due.take().unwrap_or(StopDue { cause: StopCause::Asked, ladder: None });
                    self.stop(due.cause, due.ladder, reaction);
                }
                Stopped | Waiting | Stopping | Backoff | Done | Failed | Conflict | Ghost => return Err(fault),
            },
            Input::Restart => match self.state {
                Stopped | Done | Failed | Conflict | Backoff => self.ask_up(now),
                Waiting => self.wanted = Wanted::Up,
                Starting | Running | Ready | Degraded => {
                    (self.wanted, self.next, self.stop_due) = (Wanted::Up, Next::Restart, None);
                    self.stop(StopCause::Restart, None, reaction);
                }
                Stopping => (self.wanted, self.next) = (Wanted::Up, Next::Restart),
                Ghost => return Err(fault),
            },
            Input::Reset => match self.state {
                Stopped | Waiting | Starting | Running | Ready | Degraded | Stopping | Backoff | Done | Failed
                | Conflict | Ghost => {
                    (self.restarts, self.attempt) = (0, 0);
                    self.journal(reaction, What::Reset { cause: "asked for".to_owned() });
                }
            },
            Input::Unblocked => match self.state {
                Waiting => self.launch(reaction),
                Stopped | Starting | Running | Ready | Degraded | Stopping | Backoff | Done | Failed | Conflict
                | Ghost => return Err(fault),
            },
            Input::Blocked { on, why } => match self.state {
                Waiting => self.block(on, why, reaction),
                Stopped | Starting | Running | Ready | Degraded | Stopping | Backoff | Done | Failed | Conflict
                | Ghost => return Err(fault),
            },
            Input::Refused(holder) => match self.state {
                Starting => self.conflict(holder, reaction),
                // It was to stop before it held the lock.
                Stopping => self.end(reaction),
                Stopped | Waiting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::Occupied { what, pid } => match self.state {
                Starting => self.occupied(what, pid, reaction),
                Stopping => {
                    self.held = false;
                    self.end(reaction);
                }
                Stopped | Waiting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::LaunchFailed(why) => match self.state {
                Starting | Stopping => self.launch_failed(why, reaction),
                Stopped | Waiting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::Locked(keeper) => match self.state {
                Starting | Stopping => {
                    self.held = true;
                    if let Some(run) = &mut self.run {
                        run.keeper = Some(keeper);
                    }
                }
                Stopped | Waiting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::Started { main, containment, cgroup, at } => match self.state {
                Starting => {
                    self.spawned(main, containment, cgroup, at);
                    self.run_up(reaction);
                }
                // The stop overtook the news of the start; the keeper climbs the ladder.
                Stopping => self.spawned(main, containment, cgroup, at),
                Stopped | Waiting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::Adopted { main, containment, cgroup, started, at } => match self.state {
                Starting => {
                    self.adopted(main, containment, cgroup, started, at);
                    self.run_up(reaction);
                }
                // The stop overtook the news; the keeper climbs the ladder.
                Stopping => self.adopted(main, containment, cgroup, started, at),
                Stopped | Waiting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::AdoptFailed(why) => match self.state {
                Starting | Stopping => self.fail_run(why),
                Stopped | Waiting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::SpawnFailed(why) => match self.state {
                Starting | Stopping => self.fail_run(why),
                Stopped | Waiting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::ProbedReady => match self.state {
                Running => self.become_ready(reaction),
                // An answer that was under way when things changed.
                Ready | Degraded | Stopping | Ghost | Starting => {}
                Stopped | Waiting | Backoff | Done | Failed | Conflict => return Err(fault),
            },
            Input::ProbedUnready(why) => match self.state {
                Running => self.note_probe(why),
                Ready | Degraded | Stopping | Ghost | Starting => {}
                Stopped | Waiting | Backoff | Done | Failed | Conflict => return Err(fault),
            },
            Input::ProbedWell => match self.state {
                Running | Ready => self.well(),
                Degraded => self.recover_health(reaction),
                Stopping | Ghost | Starting => {}
                Stopped | Waiting | Backoff | Done | Failed | Conflict => return Err(fault),
            },
            Input::ProbedIll(why) => match self.state {
                Running | Ready | Degraded => self.ill(why, reaction),
                Stopping | Ghost | Starting => {}
                Stopped | Waiting | Backoff | Done | Failed | Conflict => return Err(fault),
            },
            Input::ReadyLate => match self.state {
                Running => self.not_ready(reaction),
                Stopped | Waiting | Starting | Ready | Degraded | Stopping | Backoff | Done | Failed | Conflict
                | Ghost => return Err(fault),
            },
            Input::Stable => match self.state {
                Running | Ready => self.stable(reaction),
                Stopped | Waiting | Starting | Degraded | Stopping | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::DurationOver => match self.state {
                Running | Ready | Degraded => {
                    self.next = Next::Finish;
                    self.stop(StopCause::Duration, None, reaction);
                }
                Stopped | Waiting | Starting | Stopping | Backoff | Done | Failed | Conflict | Ghost => {
                    return Err(fault);
                }
            },
            Input::BackoffOver => match self.state {
                Backoff => self.enter(Waiting, now, None),
                Stopped | Waiting | Starting | Running | Ready | Degraded | Stopping | Done | Failed | Conflict
                | Ghost => return Err(fault),
            },
            Input::KeeperStops(cause) => match self.state {
                Starting | Running | Ready | Degraded => self.stopping(cause, reaction),
                Stopping | Ghost => {}
                Stopped | Waiting | Backoff | Done | Failed | Conflict => return Err(fault),
            },
            Input::Exited(exit) => match self.state {
                Running | Ready | Degraded => self.exited(exit, reaction),
                Stopping | Ghost => self.note_exit(exit),
                Stopped | Waiting | Starting | Backoff | Done | Failed | Conflict => return Err(fault),
            },
            Input::Stuck(left) => match self.state {
                Stopping | Ghost => self.haunt(left, now),
                Stopped | Waiting | Starting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict => {
                    return Err(fault);
                }
            },
            Input::Quarantine => match self.state {
                Ghost => self.quarantine(reaction),
                Stopped | Waiting | Starting | Running | Ready | Degraded | Stopping | Backoff | Done | Failed
                | Conflict => return Err(fault),
            },
            // Its keeper may have died meanwhile, or another stop may have begun.
            Input::Quarantined => match self.state {
                Stopping | Ghost => self.quarantined(reaction),
                Stopped | Waiting | Starting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict => {
                    return Err(fault);
                }
            },
            Input::QuarantineRefused(why) => match self.state {
                Stopping | Ghost => self.not_quarantined(why),
                Stopped | Waiting | Starting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict => {
                    return Err(fault);
                }
            },
            Input::StillHeld(what) => match self.state {
                Stopping | Ghost => self.still_held(what, reaction),
                Stopped | Waiting | Starting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict => {
                    return Err(fault);
                }
            },
            Input::ClaimHeld(what) => match self.state {
                Running | Ready | Degraded | Stopping => self.explain(what, reaction),
                Ghost => {}
                Stopped | Waiting | Starting | Backoff | Done | Failed | Conflict => return Err(fault),
            },
            Input::Empty => match self.state {
                Starting | Running | Ready | Degraded | Stopping => self.end(reaction),
                Ghost => self.ghost_gone(reaction),
                Stopped | Waiting | Backoff | Done | Failed | Conflict => return Err(fault),
            },
            Input::KeeperLost => match self.state {
                Starting | Running | Ready | Degraded | Stopping | Ghost => self.lose_keeper(reaction),
                // It held the lock between two runs. The next launch takes it anew.
                Stopped | Waiting | Backoff | Done | Failed | Conflict => self.held = false,
            },
            Input::Recovered => match self.state {
                Stopping | Ghost if self.was_ghost() => self.ghost_gone(reaction),
                Stopping | Ghost => self.end(reaction),
                Stopped | Waiting | Starting | Running | Ready | Degraded | Backoff | Done | Failed | Conflict => {
                    return Err(fault);
                }
            },
        }
        Ok(())
    }
}
