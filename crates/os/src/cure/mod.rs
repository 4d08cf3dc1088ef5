//! What frees a stuck process, carried out (R8.2): the deeds that `vigie_core::stuck::Cure` describes.
//!
//! # Theory of operation
//!
//! Each function does one thing, looks whether the kernel says that it is so, and until a deadline again. `Ok` means: it
//! was seen. Whether the stuck process then goes on or ends is another question, which its caller asks.
//!
//! **The thing is compared before it is touched.** A process is opened by its identity; a pipe by its number and a file
//! system by its device are compared with what was opened, through the descriptor that is then acted on. So what has
//! changed since somebody looked is an error of kind `NotFound`, and nothing was done.
//!
//! **What may hang is an errand** ([`errand`]): a walk through a path of another process, the lock of a pipe whose writer
//! waits in the middle of a write, the lock of a file system. When it does not come back, the error is `TimedOut`.
//!
//! | deed | takes | kinds of errors that say something |
//! |---|---|---|
//! | [`tell`] | the right to signal it | |
//! | [`cont`] | the right to signal it | `TimedOut`: something stops it again |
//! | [`thaw_cgroup`] | the right to write to the folder | `TimedOut`: one above it is frozen, which is named |
//! | [`abort_fuse`] | root, or to be the user of the connection where fusectl is mounted | `NotFound`: no such connection |
//! | [`thaw_filesystem`] | root | `NotFound`: another file system lies there; `InvalidInput`: it is not frozen |
//! | [`drain_pipe`] | root, or to be the user of the writer | `NotFound`: that descriptor is another pipe by now |
//!
//! `PermissionDenied` always means: as root. Ending another process (the tracer, the listener, the server) is a signal as
//! any other: [`crate::pidfd::Target`].

mod cgroup;
pub(crate) mod errand;
mod filesystem;
pub mod fuse;
mod pipe;

use std::time::Duration;

use vigie_core::clock::Mono;
use vigie_core::ladder::Signal;

use crate::clock::mono;
use crate::error::OsError;
use crate::pidfd::Target;
use crate::poll::PollSet;
use crate::proc::Proc;

pub use cgroup::thaw_cgroup;
pub use filesystem::thaw_filesystem;
pub use fuse::abort_fuse;
pub use pipe::drain_pipe;

/// How often a state of the kernel is looked at that it does not tell of by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Lets a stopped process go on. A process that is gone by then, by a signal that had been waiting for it, is one that was
/// let go on.
///
/// # Errors
/// Those of [`Target::send`]; `TimedOut` when a thread of it is stopped still, or again, at the deadline.
pub fn cont(proc: &Proc, target: &Target, deadline: Mono) -> Result<(), OsError> {
    if !target.send(Signal::Cont)? {
        return Ok(());
    }
    let pid = target.key().pid;
    let stopped = || {
        let (mut tasks, mut buffer) = (Vec::new(), Vec::new());
        proc.tasks(pid, &mut tasks)?;
        for task in tasks {
            if proc.stat(task, &mut buffer)?.is_some_and(|stat| stat.state == b'T') {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if until(deadline, || Ok(target.is_dead()? || !stopped()?))? {
        return Ok(());
    }
    Err(OsError::on_process("continue", pid)(timed_out("it is stopped again; look who stops it")))
}

/// Tells a parent that a child of it has ended (CHLD), as the kernel did when it was so; `false` when it is gone. What it
/// makes of that is its own affair.
///
/// # Errors
/// What pidfd_send_signal(2) says; mostly `PermissionDenied` for other users' processes.
pub fn tell(target: &Target) -> Result<bool, OsError> {
    match rustix::process::pidfd_send_signal(target, rustix::process::Signal::CHILD) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(errno) => Err(OsError::on_process("signal", target.key().pid)(errno)),
    }
}

/// Asks until the answer is yes; `false` at the deadline. It is asked at least once.
pub(crate) fn until(deadline: Mono, mut is_so: impl FnMut() -> Result<bool, OsError>) -> Result<bool, OsError> {
    loop {
        if is_so()? {
            return Ok(true);
        }
        let left = deadline.since(mono());
        if left.is_zero() {
            return Ok(false);
        }
        // A signal only makes it shorter.
        let _ = PollSet::default().wait(Some(left.min(LOOK_AGAIN)));
    }
}

pub(crate) fn timed_out(why: impl Into<String>) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, why.into())
}

pub(crate) fn not_found(why: impl Into<String>) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::NotFound, why.into())
}

/// What the kernel does not let this user do.
pub(crate) fn needs_root(errno: rustix::io::Errno) -> std::io::Error {
    use rustix::io::Errno;
    match errno {
        Errno::PERM | Errno::ACCESS if crate::user::uid() != 0 => {
            std::io::Error::new(std::io::ErrorKind::PermissionDenied, "needs root")
        }
        errno => errno.into(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
