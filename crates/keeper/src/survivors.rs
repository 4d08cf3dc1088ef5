//! What a keeper that was killed left behind (R6.7): found under the lock, and ended before anything new starts.
//!
//! [`Remains`] says what leads to them, and what does not.

use std::time::Duration;

use vigie_core::identity::{ProcKey, RunId};
use vigie_core::ladder::Signal;
use vigie_os::cgroup::Cgroup;
use vigie_os::clock::mono;
use vigie_os::error::OsError;
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_os::remains::{MARK, Remains};
use vigie_wire::keeper::{Phase, State};

/// How long they have to heed TERM. The ladder of their run is not known any more.
const TERM: Duration = Duration::from_secs(2);

/// How long the kernel has to end them after KILL.
const KILL: Duration = Duration::from_secs(5);

/// How long an empty cgroup may take to let itself be removed.
pub(crate) const REMOVE: Duration = Duration::from_millis(100);

/// Why the new run must not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SurvivorsError {
    #[error("the keeper of run {run} (process {pid}) lives although the lock is free; stop it first")]
    KeeperLives { run: RunId, pid: u32 },
    #[error(
        "process {pid}, from which this was started, belongs to run {run}, whose keeper was killed; leave it first"
    )]
    Inside { run: RunId, pid: u32 },
    #[error("{count} processes of run {run}, whose keeper was killed, do not end (one is process {pid}); not started")]
    Stay { run: RunId, count: usize, pid: u32 },
    #[error(transparent)]
    Os(#[from] OsError),
}

/// The cgroup of a run, when it still is there.
pub(crate) fn cgroup(last: &State) -> Option<Cgroup> {
    Cgroup::existing(last.cgroup.as_ref()?.as_path())
}

/// Whether this process is a part of the run: by its cgroup, by the mark in its environment, or as its main process.
pub(crate) fn includes(proc: &Proc, last: &State, process: &ProcKey) -> bool {
    if last.phase.is_over() || last.holder.keeper.boot_id != *proc.boot_id() {
        return false;
    }
    let mut buffer = Vec::new();
    let mark = last.holder.run.to_string();
    last.holder.main.as_ref() == Some(process)
        || cgroup(last).is_some_and(|cgroup| cgroup.contains(process.pid))
        || proc.variable(process.pid, MARK, &mut buffer).is_ok_and(|found| found == Some(mark.as_bytes()))
}

/// Ends the processes of the last run, if its keeper could not do it. Tells how many there were.
///
/// # Errors
/// When they stay: the new run must then not start.
pub(crate) fn end(proc: &Proc, last: &State) -> Result<u32, SurvivorsError> {
    let keeper = &last.holder.keeper;
    if last.phase.is_over() || keeper.boot_id != *proc.boot_id() {
        return Ok(0);
    }
    let run = last.holder.run;
    // The kernel frees a lock a moment before it reports the end of its holder.
    if let Some(target) = Target::open(proc, keeper)?
        && !target.wait(mono() + TERM)?
    {
        return Err(SurvivorsError::KeeperLives { run, pid: keeper.pid });
    }
    let cgroup = cgroup(last);
    let main = last.holder.main.as_ref().filter(|_| last.phase != Phase::Locked);
    let remains = Remains::new(proc, run, cgroup.as_ref()).with_main(main);
    let found = remains.find()?;
    let above = proc.ancestors(std::process::id())?;
    if let Some(target) = found.iter().find(|target| above.contains(&target.key().pid)) {
        return Err(SurvivorsError::Inside { run, pid: target.key().pid });
    }
    if !found.is_empty() {
        remains.signal(Signal::Term)?;
        let deadline = mono() + TERM;
        for target in &found {
            if !target.wait(deadline)? {
                break;
            }
        }
    }
    let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
    if count > 0 || !remains.none_left()? {
        let left = remains.kill(mono() + KILL)?;
        if let Some(one) = left.first() {
            return Err(SurvivorsError::Stay { run, count: left.len(), pid: one.key().pid });
        }
    }
    if let Some(cgroup) = &cgroup {
        // One that stays is an empty folder, and in nobody's way.
        let _ = cgroup.remove(mono() + REMOVE);
    }
    Ok(count)
}
