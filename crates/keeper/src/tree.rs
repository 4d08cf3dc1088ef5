//! The processes of a run: who they are, how they are reached, who is left.
//!
//! The keeper is a subreaper: whoever is forked below it stays below it, whatever sessions it makes and whichever
//! parents end. The cgroup, where there is one, knows the same processes and is quicker. Both are asked, so that
//! neither a process that was moved out of the cgroup nor one that somebody moved into it is forgotten. An adopted process
//! is not below the keeper: it and those below it are looked for from where it stands.

use vigie_core::identity::ProcKey;
use vigie_core::ladder::Signal;
use vigie_os::cgroup::Cgroup;
use vigie_os::ghosts;
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_wire::keeper::Left;

/// How many of those that are left are named.
const NAMED: usize = 16;

/// The tree of one run, to be asked anew each time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree<'a> {
    /// Where processes are read.
    pub(crate) proc: &'a Proc,
    /// The keeper, above all of them.
    pub(crate) keeper: u32,
    /// The folder that holds them, where there is one.
    pub(crate) cgroup: Option<&'a Cgroup>,
    /// The main process, when it was adopted and lives: it is not below the keeper.
    pub(crate) adopted: Option<&'a Target>,
    /// Others that are not below the keeper, and belong to it.
    pub(crate) kin: &'a [Target],
}

/// A live process of the tree, held by a descriptor.
struct Held {
    target: Target,
    pgrp: u32,
    stopped: bool,
}

impl Tree<'_> {
    /// Signals everybody.
    pub(crate) fn signal(&self, signal: Signal) {
        self.signal_those(signal, |_| true);
    }

    /// Signals those that are in this process group now. The group itself is not signalled: once its leader was reaped,
    /// the number may be another group's.
    pub(crate) fn signal_group(&self, pgid: u32, signal: Signal) {
        self.signal_those(signal, |held| held.pgrp == pgid);
    }

    /// Lets those go on that are stopped, so that they can heed what they were sent.
    pub(crate) fn wake(&self) {
        self.signal_those(Signal::Cont, |held| held.stopped);
    }

    /// KILL for everybody: at once and for ever where a cgroup does it, else by walking. Tells whom the walk reached (PID
    /// and start): as long as these are not always the same, somebody forks, and it is to be done again.
    pub(crate) fn kill(&self) -> Vec<(u32, u64)> {
        if let Some(cgroup) = self.cgroup {
            // Whoever it does not reach is reached by the walk.
            let _ = cgroup.kill();
        }
        let mut reached = Vec::new();
        self.each(|held| {
            if held.target.send(Signal::Kill).unwrap_or(false) {
                reached.push((held.target.key().pid, held.target.key().start_ticks));
            }
        });
        reached
    }

    fn signal_those(&self, signal: Signal, wanted: impl Fn(&Held) -> bool) {
        self.each(|held| {
            if wanted(&held) {
                // Who has become another user's cannot be reached; the end of the ladder names it.
                let _ = held.target.send(signal);
            }
        });
    }

    /// Those that are alive: some of them by name, and how many in all.
    pub(crate) fn left(&self) -> (Vec<Left>, u32) {
        let mut named = Vec::new();
        let mut count = 0;
        let mut buffer = Vec::new();
        self.each(|held| {
            count += 1;
            if named.len() < NAMED {
                named.extend(ghosts::look(self.proc, held.target.key(), &mut buffer));
            }
        });
        (named, count)
    }

    /// All that are alive.
    pub(crate) fn everybody(&self) -> Vec<Left> {
        let mut all = Vec::new();
        let mut buffer = Vec::new();
        self.each(|held| all.extend(ghosts::look(self.proc, held.target.key(), &mut buffer)));
        all
    }

    /// As [`Tree::left`], of those that were found before.
    pub(crate) fn named(all: &[Left]) -> (Vec<Left>, u32) {
        vigie_core::ghost::some(all, NAMED)
    }

    /// Calls `then` with every live process. One that cannot be opened has ended, or belongs to somebody whom the keeper
    /// may not touch; either way nothing can be done to it here.
    fn each(&self, mut then: impl FnMut(Held)) {
        let mut buffer = Vec::new();
        let mut seen = Vec::new();
        for member in self.proc.descendants(self.keeper).unwrap_or_default() {
            seen.push(member.pid);
            if member.zombie {
                continue;
            }
            let key = self.proc.key_of(member.pid, member.start_ticks);
            if let Ok(Some(target)) = Target::open(self.proc, &key)
                && let Some(held) = self.hold(target, &mut buffer)
            {
                then(held);
            }
        }
        for root in self.adopted.into_iter().chain(self.kin) {
            for key in self.from(root) {
                if !seen.contains(&key.pid)
                    && let Ok(Some(target)) = Target::open(self.proc, &key)
                    && let Some(held) = self.hold(target, &mut buffer)
                {
                    seen.push(key.pid);
                    then(held);
                }
            }
        }
        let Some(cgroup) = self.cgroup else { return };
        for pid in cgroup.processes() {
            if seen.contains(&pid) {
                continue;
            }
            // Opened first, membership looked at afterwards: so it is the process that was opened which is a member.
            if let Ok(Some(target)) = Target::open_pid(self.proc, pid)
                && cgroup.contains(pid)
                && let Some(held) = self.hold(target, &mut buffer)
            {
                then(held);
            }
        }
    }

    /// This process and those below it; nobody when it is dead.
    fn from(&self, root: &Target) -> Vec<ProcKey> {
        let members = self.proc.descendants(root.key().pid).unwrap_or_default();
        // Looked at last: were it dead by now, they could be somebody else's.
        if root.is_dead().unwrap_or(true) {
            return Vec::new();
        }
        let below = members.into_iter().filter(|member| !member.zombie);
        let below = below.map(|member| self.proc.key_of(member.pid, member.start_ticks));
        std::iter::once(root.key().clone()).chain(below).collect()
    }

    fn hold(&self, target: Target, buffer: &mut Vec<u8>) -> Option<Held> {
        let stat = self.proc.stat(target.key().pid, buffer).ok()??;
        if stat.is_zombie() {
            return None;
        }
        Some(Held { pgrp: stat.pgrp, stopped: matches!(stat.state, b'T'), target })
    }
}
