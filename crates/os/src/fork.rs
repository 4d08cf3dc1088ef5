//! Forking without exec: a process that goes on as a copy of the one it comes from (fork(2)).

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{AtFlags, CWD, statat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

/// A process of one thread that makes copies of itself and never waits for their end: the kernel forgets them when they
/// end, without a zombie and without waking anybody.
#[derive(Debug)]
pub struct Forker(());

/// Who one is after a fork.
#[derive(Debug)]
pub enum Forked {
    /// The copy. It has the default action for `SIGCHLD`, so that it can wait for children of its own.
    Child,
    /// The one that forked.
    Parent {
        /// The number of the copy.
        pid: u32,
        /// It, and nobody else (pidfd_open(2)).
        pidfd: OwnedFd,
    },
}

impl Forker {
    /// From here on children of this process that end are forgotten.
    ///
    /// # Errors
    /// What sigaction(2) says.
    pub fn new() -> Result<Self, Errno> {
        on_child_end(libc::SIG_IGN)?;
        Ok(Self(()))
    }

    /// Forks. Not by clone3(2), which would give the descriptor, too: it bypasses the C library, which then takes the
    /// copy's thread for its parent's, and the copy lives for days.
    ///
    /// # Errors
    /// `EAGAIN` (too many processes), `ENOMEM`; `EBUSY` when this process has more than one thread: the copy would have
    /// only this one, and what the others held locked would stay so. `EMFILE` when the copy was made and cannot be held;
    /// `ESRCH` and `ECHILD` when it was gone before it could be.
    pub fn fork(&self) -> Result<Forked, Errno> {
        // Beside `.` and `..` each thread is a link (proc_pid_task(5)).
        if statat(CWD, "/proc/self/task", AtFlags::empty())?.st_nlink > 3 {
            return Err(Errno::BUSY);
        }
        // SAFETY: one thread, so nothing can be locked or half done by another one; the copy may do whatever it likes.
        let pid = match unsafe { libc::fork() } {
            0 => {
                // It fails for numbers that are no signals.
                let _ = on_child_end(libc::SIG_DFL);
                return Ok(Forked::Child);
            }
            pid => Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(last_errno)?,
        };
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        // A copy that ended at once is forgotten, and its number may be a stranger's by now. But that is no child of ours:
        // ECHILD.
        waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)?;
        Ok(Forked::Parent { pid: pid.as_raw_nonzero().get().unsigned_abs(), pidfd })
    }
}

fn on_child_end(action: libc::sighandler_t) -> Result<(), Errno> {
    // SAFETY: both actions that are given here are the kernel's own; no handler of ours is called.
    match unsafe { libc::signal(libc::SIGCHLD, action) } {
        libc::SIG_ERR => Err(last_errno()),
        _ => Ok(()),
    }
}

fn last_errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
