//! The guard itself: brings the command up under the lock, passes signals on, ends with the command's code.

use std::time::Duration;

use vigie_core::claim::PortClaim;
use vigie_core::clock::Mono;
use vigie_core::exit::Exit;
use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::{Audience, Signal};
use vigie_core::launch::{Holder, Launch};
use vigie_core::run::{SpawnFailure, What};
use vigie_os::pidfd::Target;
use vigie_os::poll::{Interest, PollSet};
use vigie_os::proc::Proc;
use vigie_os::signals::SignalFd;
use vigie_wire::keeper::{Answer, Request};

use super::forward;
use super::output::Follower;
use crate::failure::Failure;
use crate::keeper::Keeper;

/// Before another look at a lock whose holder cannot be waited for: it has not yet written its label.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What the guard needs.
pub(super) struct Guard {
    pub(super) proc: Proc,
    pub(super) signals: SignalFd,
    pub(super) ports: Vec<PortClaim>,
    pub(super) follower: Option<Follower>,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    /// The command ran.
    Ran(Exit),
    /// It could not be spawned.
    NotSpawned(SpawnFailure),
    /// Somebody else has the lock.
    Refused(Option<Box<Holder>>),
    /// Somebody else has a port.
    PortHeld {
        /// Which.
        port: PortClaim,
        /// Who.
        by: String,
    },
    /// This signal ended the guard before or instead of the command.
    Signalled(Signal),
    /// Its keeper was killed; nobody knows how it ended.
    KeeperLost,
}

/// What a keeper came to before anything was spawned.
enum Locked {
    Yes(Keeper),
    No(End),
}

impl Guard {
    /// Runs the command of `launch`; waits until `deadline` for another one to end.
    pub(super) fn run(&mut self, launch: &Launch, deadline: Option<Mono>) -> Result<End, Failure> {
        loop {
            match self.lock(launch)? {
                Locked::Yes(keeper) => return self.go(keeper),
                Locked::No(End::Refused(holder)) => {
                    let late = deadline.is_none_or(|deadline| deadline <= vigie_os::clock::mono());
                    if late {
                        return Ok(End::Refused(holder));
                    }
                    if let Some(signal) = self.wait_for(holder.as_deref(), deadline)? {
                        return Ok(End::Signalled(signal));
                    }
                }
                Locked::No(end) => return Ok(end),
            }
        }
    }

    fn lock(&mut self, launch: &Launch) -> Result<Locked, Failure> {
        let mut keeper = Keeper::start(launch.clone())?;
        loop {
            if let Some(signal) = self.wait(&mut keeper)? {
                return Ok(Locked::No(End::Signalled(signal.signal)));
            }
            while let Some(answer) = keeper.link.next()? {
                match answer {
                    Answer::Refused { holder } => {
                        keeper.farewell(&self.proc)?;
                        return Ok(Locked::No(End::Refused(holder)));
                    }
                    Answer::Event(event) if matches!(event.what, What::Locked { .. }) => {
                        return Ok(Locked::Yes(keeper));
                    }
                    Answer::Failed { message, .. } => return Err(failed(&message)),
                    Answer::State(_) | Answer::Event(_) => {}
                }
            }
            if keeper.link.gone {
                return Err(failed("it ended before it had the lock"));
            }
        }
    }

    /// Under the lock: the claims once more, then the command.
    fn go(&mut self, mut keeper: Keeper) -> Result<End, Failure> {
        if let Some((port, by)) = self.held_port()? {
            keeper.link.send(&Request::Release)?;
            keeper.farewell(&self.proc)?;
            return Ok(End::PortHeld { port, by });
        }
        keeper.link.send(&Request::Tie)?;
        keeper.link.send(&Request::Go)?;
        let mut end = End::KeeperLost;
        let mut started = false;
        loop {
            while let Some(answer) = keeper.link.next()? {
                match answer {
                    Answer::Event(event) => match event.what {
                        What::Started { .. } => started = true,
                        // Stopped before it was spawned: it ends like one that heeds TERM at once.
                        What::Stopping { .. } if !started => end = End::Signalled(Signal::Term),
                        What::Exited { exit } => end = End::Ran(exit),
                        What::SpawnFailed(failure) => end = End::NotSpawned(failure),
                        What::Stuck { count, .. } => {
                            tell(&format!(
                                "{count} processes are left that no signal ends; 'vigie status' shows them, 'vigie quarantine' \
                                 lets the next run start without them"
                            ));
                            return Ok(end);
                        }
                        What::Empty => {
                            self.pump()?;
                            keeper.link.send(&Request::Release)?;
                            keeper.farewell(&self.proc)?;
                            return Ok(end);
                        }
                        _ => {}
                    },
                    Answer::Failed { message, .. } => tell(&format!("the keeper says: {message}")),
                    Answer::State(_) | Answer::Refused { .. } => {}
                }
            }
            if keeper.link.gone {
                self.pump()?;
                keeper.farewell(&self.proc)?;
                // With a failed spawn there is no tree whose end could be told.
                return Ok(if matches!(end, End::NotSpawned(_)) { end } else { End::KeeperLost });
            }
            if let Some(arrived) = self.wait(&mut keeper)? {
                if !arrived.to_all {
                    keeper.link.send(&Request::Signal { signal: arrived.signal, to: Audience::Main })?;
                }
                if arrived.signal == Signal::Hup {
                    // The terminal is gone. Our end closes the tie, and the ladder takes over.
                    return Ok(End::Signalled(Signal::Hup));
                }
            }
            self.pump()?;
        }
    }

    /// Waits until the keeper says something, output arrives or a signal does.
    fn wait(&self, keeper: &mut Keeper) -> Result<Option<forward::Arrived>, Failure> {
        let mut set = PollSet::default();
        let spoken = set.add(&keeper.link, Interest::Read);
        set.add(&self.signals, Interest::Read);
        if let Some(follower) = &self.follower {
            set.add(follower, Interest::Read);
        }
        set.wait(None).map_err(|errno| Failure::io("cannot wait", &std::io::Error::from(errno)))?;
        if set.ready(spoken) {
            keeper.link.read()?;
        }
        Ok(forward::next(&self.signals))
    }

    fn pump(&mut self) -> Result<(), Failure> {
        match &mut self.follower {
            Some(follower) => follower.pump(),
            None => Ok(()),
        }
    }

    /// Waits for the end of the keeper that holds the lock, at most until `deadline`.
    fn wait_for(&self, holder: Option<&Holder>, deadline: Option<Mono>) -> Result<Option<Signal>, Failure> {
        let now = vigie_os::clock::mono();
        let left = deadline.map_or(Duration::ZERO, |deadline| deadline.since(now));
        let target = match holder {
            Some(holder) => Target::open(&self.proc, &holder.keeper)?,
            None => None,
        };
        let mut set = PollSet::default();
        set.add(&self.signals, Interest::Read);
        let timeout = match &target {
            Some(target) => {
                set.add(target, Interest::Read);
                left
            }
            None => left.min(LOOK_AGAIN),
        };
        set.wait(Some(timeout)).map_err(|errno| Failure::io("cannot wait", &std::io::Error::from(errno)))?;
        Ok(forward::next(&self.signals).map(|arrived| arrived.signal).filter(|signal| ends(*signal)))
    }

    /// The first claimed port that somebody holds.
    fn held_port(&self) -> Result<Option<(PortClaim, String)>, Failure> {
        let holder = vigie_os::holder::first(&self.proc, &self.ports)?;
        Ok(holder.map(|holder| (holder.claim, holder.who)))
    }
}

/// Signals that end whoever only waits.
fn ends(signal: Signal) -> bool {
    match signal {
        Signal::Cont | Signal::Winch => false,
        Signal::Hup
        | Signal::Int
        | Signal::Quit
        | Signal::Abrt
        | Signal::Kill
        | Signal::Usr1
        | Signal::Usr2
        | Signal::Alrm
        | Signal::Term => true,
    }
}

fn failed(why: &str) -> Failure {
    Failure::new(ExitCode::RunFailed, format!("the keeper failed: {why}"))
}

/// Standard output is the command's; what the guard itself must say goes to standard error.
pub(super) fn tell(text: &str) {
    eprintln!("vigie: {text}");
}
