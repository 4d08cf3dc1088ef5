//! The processes of a run, one by one.

use super::Usage;
use crate::error::OsError;
use crate::proc::{Moved, Proc};

/// What a process had used at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
    pub(super) parent: u32,
    /// CPU time, in ticks.
    pub(super) ticks: u64,
    /// Absent when it may not be seen.
    pub(super) moved: Option<Moved>,
}

impl Member {
    fn is(&self, other: &Self) -> bool {
        (self.pid, self.start_ticks) == (other.pid, other.start_ticks)
    }
}

/// Everything that those have who are still there, and each of them.
pub(super) fn add_up(proc: &Proc, pids: &[u32]) -> Result<(Usage, Vec<Member>), OsError> {
    let mut usage = Usage {
        cpu_percent_of_core: None,
        memory_bytes: 0,
        processes: 0,
        threads: 0,
        read_bytes_per_second: None,
        written_bytes_per_second: None,
        descriptors: Some(0),
    };
    let page = rustix::param::page_size() as u64;
    let mut members = Vec::with_capacity(pids.len());
    let mut buf = Vec::new();
    for &pid in pids {
        let Some(stat) = proc.stat(pid, &mut buf)?.filter(|stat| !stat.is_zombie()) else { continue };
        usage.memory_bytes += stat.rss_pages * page;
        usage.processes += 1;
        usage.threads += stat.threads;
        let (start_ticks, parent, ticks) = (stat.start_ticks, stat.ppid, stat.utime_ticks + stat.stime_ticks);
        // A part of them would be told as if it were all.
        usage.descriptors = usage.descriptors.zip(proc.descriptors(pid)).map(|(all, more)| all.saturating_add(more));
        members.push(Member { pid, start_ticks, parent, ticks, moved: proc.moved(pid, &mut buf) });
    }
    Ok((usage, members))
}

/// Ticks that were used between two looks. A process that is new used all of its ticks in between; one that is gone
/// takes what it used since the last look with it.
pub(super) fn ticks_between(before: &[Member], after: &[Member]) -> u64 {
    let used = |member: &Member| {
        let old = before.iter().find(|old| old.is(member)).map_or(0, |old| old.ticks);
        member.ticks.saturating_sub(old)
    };
    after.iter().map(used).sum()
}

/// What was moved between two looks. `None` when it cannot be told of one of them.
///
/// A process that is waited for leaves all that it has moved to its parent: what of it was told before is not told again.
pub(super) fn moved_between(before: &[Member], after: &[Member]) -> Option<Moved> {
    let mut all = Moved::default();
    for member in after {
        let (now, old) = (member.moved?, before.iter().find(|old| old.is(member)));
        let old = old.map_or(Some(Moved::default()), |old| old.moved)?;
        all.read += now.read.saturating_sub(old.read);
        all.written += now.written.saturating_sub(old.written);
    }
    let inherited = |gone: &&Member| {
        !after.iter().any(|member| member.is(gone)) && after.iter().any(|member| member.pid == gone.parent)
    };
    for gone in before.iter().filter(inherited).filter_map(|gone| gone.moved) {
        all.read = all.read.saturating_sub(gone.read);
        all.written = all.written.saturating_sub(gone.written);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(pid: u32, start_ticks: u64, parent: u32, number: u64) -> Member {
        Member { pid, start_ticks, parent, ticks: number, moved: Some(Moved { read: number, written: 10 * number }) }
    }

    #[test]
    fn ticks_of_newcomers_count_and_numbers_given_out_again_do_not_mix() {
        let before = [member(1, 10, 0, 100), member(2, 11, 1, 50)];
        assert_eq!(ticks_between(&before, &[member(1, 10, 0, 103), member(3, 12, 1, 4)]), 7);
        assert_eq!(ticks_between(&before, &[member(2, 99, 1, 2)]), 2, "another process with the old number");
        assert_eq!(ticks_between(&before, &[]), 0);
    }

    #[test]
    fn what_is_moved_is_told_once() {
        let between = |before: &[Member], after: &[Member]| moved_between(before, after).map(|moved| moved.read);
        let before = [member(1, 10, 0, 100), member(2, 11, 1, 50)];
        assert_eq!(between(&before, &[member(1, 10, 0, 103), member(2, 11, 1, 50), member(3, 12, 1, 4)]), Some(7));
        assert_eq!(between(&before, &[member(1, 10, 0, 160)]), Some(10), "50 of the child, and what is new of both");
        let orphan = [member(1, 10, 0, 100), member(2, 11, 9, 50)];
        assert_eq!(between(&orphan, &[member(1, 10, 0, 105)]), Some(5), "somebody outside waited for it");
        assert_eq!(between(&before, &[member(1, 10, 0, 90)]), Some(0), "less than before is nothing");
        let unseen = Member { moved: None, ..member(3, 12, 1, 4) };
        assert_eq!(moved_between(&before, &[member(1, 10, 0, 103), unseen]), None);
        assert_eq!(moved_between(&before, &[]), Some(Moved::default()));
    }
}
