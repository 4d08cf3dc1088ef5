//! The memory of a condemned process.

use std::os::fd::{AsFd as _, AsRawFd as _};

use rustix::io::Errno;
use vigie_core::clock::Mono;
use vigie_core::identity::ProcKey;

use super::condemned;
use crate::cure::errand::{self, Answer};
use crate::cure::{needs_root, timed_out};
use crate::error::OsError;
use crate::proc::Proc;

/// What a process has resident, in bytes; roughly (proc_pid_statm(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Before.
    pub before: u64,
    /// After. Memory that is shared with others, locked or of huge pages stays.
    pub after: u64,
}

/// Takes back the private memory of a process that is condemned (process_mrelease(2), Linux 5.15).
///
/// # Errors
/// `NotFound`: it is gone. `InvalidInput`: no KILL waits for it, or somebody who lives shares its memory. `TimedOut`: the
/// lock of its memory is held by the one that is stuck. `PermissionDenied`: needs root. `Unsupported`: an older kernel.
pub fn memory(proc: &Proc, ghost: &ProcKey, deadline: Mono) -> Result<Memory, OsError> {
    let failed = |why: std::io::Error| OsError::on_process("take back the memory of", ghost.pid)(why);
    let target = condemned(proc, ghost)?;
    let before = resident(proc, ghost.pid)?;
    let fd = target.as_fd().as_raw_fd();
    let answers = errand::run(&[target.as_fd()], deadline, |report| {
        report.tell(loop {
            match release(fd) {
                Ok(()) => break Answer::Done(0),
                // Somebody has the lock of its memory at this moment; the deadline ends this.
                Err(Errno::AGAIN | Errno::INTR) => crate::cure::errand::pause(),
                Err(errno) => break Answer::Failed(0, errno),
            }
        });
    })?;
    match answers.first() {
        Some(Answer::Done(_)) => Ok(Memory { before, after: resident(proc, ghost.pid)? }),
        // It has none any more.
        Some(Answer::Failed(_, Errno::SRCH)) => Ok(Memory { before, after: resident(proc, ghost.pid)? }),
        Some(Answer::Failed(_, errno)) => Err(failed(needs_root(*errno))),
        None => Err(failed(timed_out("the process that is stuck holds the lock of its memory"))),
    }
}

/// Threads share it; a main thread that has ended shows none.
fn resident(proc: &Proc, pid: u32) -> Result<u64, OsError> {
    let (mut tasks, mut buffer) = (Vec::new(), Vec::new());
    proc.tasks(pid, &mut tasks)?;
    let mut pages = 0;
    for task in tasks {
        pages = pages.max(proc.statm(task, &mut buffer)?.map_or(0, |statm| statm.resident_pages));
    }
    Ok(pages * rustix::param::page_size() as u64)
}

fn release(fd: std::os::fd::RawFd) -> Result<(), Errno> {
    // SAFETY: takes two integers.
    match unsafe { libc::syscall(libc::SYS_process_mrelease, fd, 0) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
