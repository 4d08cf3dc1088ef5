//! Who is whose child.
//!
//! A list of children is old the moment it is read. What [`Proc::descendants`] returns was true at one moment each:
//! every member was seen with its parent's number while that parent was still the same process. A process that forks
//! and exits faster than it can be looked at may be missed; who ends a tree looks again until nothing is found.

use super::{End, Proc, Rel, stat};
use crate::error::OsError;

/// How often the children of one process are looked at. When one of them is reaped during the listing, the kernel may
/// leave out another that lives (`get_children_pid` in fs/proc/array.c); then one that was listed is not there any more,
/// and the list is read again.
const LOOKS: u32 = 8;

/// A process as it was seen in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub pid: u32,
    /// Clock ticks from boot to its start; with the number its identity, see [`Proc::key_of`].
    pub start_ticks: u64,
    /// Its parent.
    pub ppid: u32,
    /// Its process group.
    pub pgrp: u32,
    /// Its session.
    pub session: u32,
    /// It is dead and waits for its parent.
    pub zombie: bool,
}

impl Proc {
    /// The children of a process, of all its threads, appended to `out`. Nothing when it is gone or has none. Not
    /// verified: a number may have ended, or belong to somebody else, by the time it is used.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn children(&self, pid: u32, out: &mut Vec<u32>) -> Result<(), OsError> {
        if self.lists_children {
            self.listed_children(pid, out)
        } else {
            out.extend(self.parents()?.into_iter().filter(|&(parent, _)| parent == pid).map(|(_, child)| child));
            Ok(())
        }
    }

    /// As [`Proc::children`], those only that this thread has made. All of the process, when the kernel lists none.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn children_of_thread(&self, pid: u32, tid: u32, out: &mut Vec<u32>) -> Result<(), OsError> {
        if self.lists_children { self.listed_by(pid, tid, &mut Vec::new(), out) } else { self.children(pid, out) }
    }

    /// Those above a process, its parent first. Numbers only, read one after the other.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ancestors(&self, pid: u32) -> Result<Vec<u32>, OsError> {
        let mut above = Vec::new();
        let mut buf = Vec::new();
        let mut pid = pid;
        while let Some(stat) = self.stat(pid, &mut buf)? {
            if stat.ppid == 0 || above.contains(&stat.ppid) {
                break;
            }
            pid = stat.ppid;
            above.push(pid);
        }
        Ok(above)
    }

    /// All processes below `root`, without it, parents before their children.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn descendants(&self, root: u32) -> Result<Vec<Member>, OsError> {
        let parents = if self.lists_children { None } else { Some(self.parents()?) };
        let mut buf = Vec::new();
        let mut members = Vec::new();
        let mut numbers = Vec::new();
        let Some(stat) = self.stat(root, &mut buf)? else { return Ok(members) };
        let mut next = 0;
        let mut parent = (root, stat.start_ticks);
        loop {
            let known = members.len();
            for _ in 0..LOOKS {
                members.truncate(known);
                numbers.clear();
                match &parents {
                    None => self.listed_children(parent.0, &mut numbers)?,
                    Some(parents) => {
                        numbers.extend(parents.iter().filter(|pair| pair.0 == parent.0).map(|pair| pair.1));
                    }
                }
                // A child whose thread ended between two reads stands under two threads.
                numbers.sort_unstable();
                numbers.dedup();
                for &pid in &numbers {
                    if let Some(member) = self.member(pid, &mut buf)?.filter(|member| member.ppid == parent.0) {
                        members.push(member);
                    }
                }
                if members.len() - known == numbers.len() {
                    break;
                }
            }
            // Had the parent ended meanwhile, its number could be a stranger's, and these the stranger's children.
            let same = |stat: stat::Stat<'_>| stat.start_ticks == parent.1;
            if members.len() > known && !self.stat(parent.0, &mut buf)?.is_some_and(same) {
                members.truncate(known);
            }
            let Some(member) = members.get(next) else { return Ok(members) };
            parent = (member.pid, member.start_ticks);
            next += 1;
        }
    }

    fn member(&self, pid: u32, buf: &mut Vec<u8>) -> Result<Option<Member>, OsError> {
        Ok(self.stat(pid, buf)?.map(|stat| Member {
            pid,
            start_ticks: stat.start_ticks,
            ppid: stat.ppid,
            pgrp: stat.pgrp,
            session: stat.session,
            zombie: stat.is_zombie(),
        }))
    }

    /// By `/proc/PID/task/TID/children`: a child stands under the thread that made it; proc_tid_children(5).
    fn listed_children(&self, pid: u32, out: &mut Vec<u32>) -> Result<(), OsError> {
        let mut buf = Vec::new();
        let mut tasks = Vec::new();
        self.tasks(pid, &mut tasks)?;
        for task in tasks {
            self.listed_by(pid, task, &mut buf, out)?;
        }
        Ok(())
    }

    fn listed_by(&self, pid: u32, tid: u32, buf: &mut Vec<u8>, out: &mut Vec<u32>) -> Result<(), OsError> {
        let rel = Rel::new(format_args!("{pid}/task/{tid}/children"));
        if let Some(content) = self.read_at(&rel, End::Empty, buf)? {
            out.extend(content.split(u8::is_ascii_whitespace).filter_map(stat::number::<u32>));
        }
        Ok(())
    }

    /// Parent and number of every process: the way of kernels that list no children.
    fn parents(&self) -> Result<Vec<(u32, u32)>, OsError> {
        let mut pids = Vec::new();
        self.pids(&mut pids)?;
        let mut buf = Vec::new();
        let mut pairs = Vec::with_capacity(pids.len());
        for pid in pids {
            if let Some(stat) = self.stat(pid, &mut buf)? {
                pairs.push((stat.ppid, pid));
            }
        }
        Ok(pairs)
    }
}
