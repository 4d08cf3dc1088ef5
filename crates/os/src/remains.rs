//! What is left of a run whose keeper is dead (R6.7).
//!
//! Three things lead to it: the cgroup of the run, the mark `VIGIE_RUN` in the environment of its processes, and descent
//! from one that was found. A process that left its cgroup, cleared its environment **and** lost its marked parent is not
//! recognised; nothing that the kernel offers would tell it from a stranger.

use std::time::Duration;

use vigie_core::clock::Mono;
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::ladder::Signal;
use vigie_core::run::Left;

use crate::cgroup::Cgroup;
use crate::clock::mono;
use crate::error::OsError;
use crate::ghosts;
use crate::pidfd::Target;
use crate::poll::PollSet;
use crate::proc::Proc;

/// The environment variable that marks every process of a run with its id.
pub const MARK: &str = "VIGIE_RUN";

/// How often in a row nobody must be seen before nobody is left. One look is not enough: who forks and ends all the time
/// is in none of the places where a walk through the processes happens to look.
const LOOKS: u32 = 5;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// How long one round of waiting is, before it is looked again who is there.
const ROUND: Duration = Duration::from_millis(100);

/// Looks for the processes of one run.
#[derive(Debug, Clone, Copy)]
pub struct Remains<'a> {
    proc: &'a Proc,
    run: RunId,
    cgroup: Option<&'a Cgroup>,
    main: Option<&'a ProcKey>,
}

impl<'a> Remains<'a> {
    /// Of this run, with its cgroup when it had one.
    pub fn new(proc: &'a Proc, run: RunId, cgroup: Option<&'a Cgroup>) -> Self {
        Self { proc, run, cgroup, main: None }
    }

    /// With its main process: one that was adopted bears no mark.
    #[must_use]
    pub fn with_main(self, main: Option<&'a ProcKey>) -> Self {
        Self { main, ..self }
    }

    /// Those that are alive and seen, each held by a descriptor. Not this process, whatever its mark. Nobody seen does not
    /// mean that nobody is there: [`Remains::none_left`].
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn find(&self) -> Result<Vec<Target>, OsError> {
        let mut pids = Vec::new();
        self.proc.pids(&mut pids)?;
        let mark = self.run.to_string();
        let mut found: Vec<Target> = Vec::new();
        for pid in pids {
            if self.is_ours(pid, &mark)
                && let Ok(Some(target)) = Target::open_pid(self.proc, pid)
                // Again, now that the number cannot change hands.
                && self.is_ours(pid, &mark)
            {
                found.push(target);
            }
        }
        if let Some(main) = self.main
            && !found.iter().any(|target| target.key() == main)
            && let Ok(Some(target)) = Target::open(self.proc, main)
            && !target.is_dead()?
        {
            found.push(target);
        }
        for place in 0..found.len() {
            for member in self.proc.descendants(found[place].key().pid)? {
                let known = found.iter().any(|target| target.key().pid == member.pid);
                let key = self.proc.key_of(member.pid, member.start_ticks);
                if !member.zombie
                    && !known
                    && member.pid != std::process::id()
                    && let Ok(Some(target)) = Target::open(self.proc, &key)
                {
                    found.push(target);
                }
            }
        }
        Ok(found)
    }

    /// Whether nobody is left: no cgroup says otherwise, and several looks in a row find nobody.
    ///
    /// # Errors
    /// As of [`Remains::find`].
    pub fn none_left(&self) -> Result<bool, OsError> {
        for look in 0..LOOKS {
            if look > 0 {
                pause();
            }
            if self.cgroup.is_some_and(Cgroup::populated) || !self.find()?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until one of `found` has ended, or for a moment; then it is time to look again.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, found: &[Target], deadline: Mono) -> Result<(), OsError> {
        if found.is_empty() {
            pause();
        }
        let round = deadline.min(mono() + ROUND);
        for target in found {
            if !target.wait(round)? {
                break;
            }
        }
        Ok(())
    }

    /// KILL until nobody is left. What is left at the deadline; when none of those that are there could be seen: an error.
    ///
    /// # Errors
    /// As of [`Remains::find`]; and when somebody is there whom nobody sees.
    pub fn kill(&self, deadline: Mono) -> Result<Vec<Target>, OsError> {
        loop {
            let found = self.signal(Signal::Kill)?;
            if found.is_empty() && self.none_left()? {
                return Ok(found);
            }
            if mono() >= deadline {
                return if found.is_empty() { Err(self.unseen()) } else { Ok(found) };
            }
            self.wait(&found, deadline)?;
        }
    }

    /// Somebody is left, and is never where a look falls.
    pub fn unseen(&self) -> OsError {
        let cause = std::io::Error::other("some are left that fork faster than they can be seen");
        OsError::new("find", format!("the processes of run {}", self.run), cause)
    }

    /// Signals those that are alive; with KILL also whoever is forked meanwhile, where the cgroup can do that. Who cannot
    /// be signalled is there afterwards and is then named. Tells how many were found.
    ///
    /// # Errors
    /// As of [`Remains::find`].
    pub fn signal(&self, signal: Signal) -> Result<Vec<Target>, OsError> {
        let found = self.find()?;
        if signal == Signal::Kill
            && let Some(cgroup) = self.cgroup
        {
            let _ = cgroup.kill();
        }
        for target in &found {
            let _ = target.send(signal);
            if signal != Signal::Kill {
                let _ = target.send(Signal::Cont);
            }
        }
        Ok(found)
    }

    /// How these stand now, for people; those that have ended meanwhile are left out.
    pub fn describe(&self, targets: &[Target]) -> Vec<Left> {
        let mut buffer = Vec::new();
        let mut left = Vec::new();
        for target in targets {
            left.extend(ghosts::look(self.proc, target.key(), &mut buffer));
        }
        left
    }

    /// By cgroup or by mark. What may not be read is another user's, and no run of this one.
    fn is_ours(&self, pid: u32, mark: &str) -> bool {
        if pid == std::process::id() {
            return false;
        }
        if self.cgroup.is_some_and(|cgroup| cgroup.contains(pid)) {
            return true;
        }
        let mut buffer = Vec::new();
        self.proc.variable(pid, MARK, &mut buffer).ok().flatten() == Some(mark.as_bytes())
    }
}

/// Waits for nothing but a moment.
fn pause() {
    // A signal only makes it shorter.
    let _ = PollSet::default().wait(Some(PAUSE));
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::Command;
    use std::time::Duration;

    use crate::clock;
    use crate::proc::tests::{Guard, eventually};

    #[test]
    fn marked_processes_and_their_unmarked_children_are_found_and_nobody_else() {
        let proc = Proc::system().unwrap();
        let run = RunId(0xabcd_0000_0000_0000 | u64::from(std::process::id()));
        let script = "env -u VIGIE_RUN sleep 600 & wait";
        let marked = Guard(Command::new("sh").args(["-c", script]).env(MARK, run.to_string()).spawn().unwrap());
        let stranger = Guard(Command::new("sleep").arg("600").env(MARK, "0000000000000001").spawn().unwrap());
        let remains = Remains::new(&proc, run, None);
        eventually("both are there", || remains.find().unwrap().len() == 2);
        let found = remains.signal(Signal::Kill).unwrap();
        assert!(found.iter().any(|target| target.key().pid == marked.0.id()));
        for target in &found {
            assert!(target.wait(clock::mono() + Duration::from_secs(60)).unwrap());
        }
        eventually("nobody is left", || remains.none_left().unwrap());
        assert!(remains.describe(&found).is_empty());
        let key = proc.key(stranger.0.id()).unwrap().unwrap();
        assert!(proc.is_alive(&key).unwrap(), "another run's process was touched");
    }
}
