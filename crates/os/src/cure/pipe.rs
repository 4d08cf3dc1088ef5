//! Reading away what a full pipe holds.

use std::ffi::CString;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, ioctl_fionread};
use vigie_core::clock::Mono;
use vigie_core::identity::ProcKey;

use super::errand::{self, Answer, Link};
use super::{needs_root, not_found, timed_out};
use crate::error::OsError;
use crate::pidfd::Target;
use crate::proc::{Proc, Rel};

const KIND: &[u8] = b"pipe:[";

const OPEN: u32 = 0;
const OTHER: u32 = 1;
const READ: u32 = 2;

/// Reads away what is in the pipe with this number, to which `writer` writes by its descriptor `fd`: as much as was in it
/// when it was opened, and not what the writer adds meanwhile. Gives the number of bytes, which are lost. Its
/// writer goes on; when nobody reads from the pipe, only until it is full again.
///
/// # Errors
/// `NotFound`: the writer is gone, or has another file there. `PermissionDenied`: the writer is another user's, needs root.
/// `TimedOut`: the writer holds the lock of the pipe, because it waits in the middle of a write.
pub fn drain_pipe(proc: &Proc, writer: &ProcKey, fd: u32, inode: u64, deadline: Mono) -> Result<u64, OsError> {
    let failed = |why: std::io::Error| {
        OsError::new("drain", format!("pipe {inode} of process {} (descriptor {fd})", writer.pid), why)
    };
    let gone = || failed(not_found("the process is gone, or has another file there by now"));
    let _alive = Target::open(proc, writer)?.ok_or_else(gone)?;
    let mut tasks = Vec::new();
    proc.tasks(writer.pid, &mut tasks)?;
    // A main thread that has ended shows no descriptors; the others have them.
    let mut path = None;
    for task in tasks {
        let link = format!("{}/task/{task}/fd/{fd}", writer.pid);
        match proc.link_number(&Rel::new(format_args!("{link}")), KIND) {
            Ok(Some(number)) if number == inode => path = Some(format!("/proc/{link}")),
            Ok(_) => continue,
            Err(errno) => return Err(failed(needs_root(errno))),
        }
        break;
    }
    let path = CString::new(path.ok_or_else(gone)?).map_err(|error| failed(error.into()))?;
    let drain = || {
        let at = |step: u32| move |errno: Errno| (step, errno);
        // What lies there is first held without being opened, and looked at: opening a file may do things.
        let held = openat(CWD, path.as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(at(OPEN))?;
        let link = Link::of(&held);
        if link.number(KIND) != Some(inode) {
            return Err((OTHER, Errno::NOENT));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = openat(CWD, link.path(), flags, Mode::empty()).map_err(at(OPEN))?;
        let there = ioctl_fionread(&pipe).map_err(at(READ))?;
        let (mut buffer, mut count) = ([0; 16 * 1024], 0);
        while count < there {
            let room = usize::try_from(there - count).unwrap_or(usize::MAX).min(buffer.len());
            match rustix::io::read(&pipe, &mut buffer[..room]) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(read) => count += read as u64,
                Err(Errno::INTR) => {}
                Err(errno) => return Err((READ, errno)),
            }
        }
        Ok(count)
    };
    let answers = errand::run(&[], deadline, |report| {
        report.tell(drain().map_or_else(|(step, errno)| Answer::Failed(step, errno), Answer::Done));
    })?;
    match answers.first() {
        Some(Answer::Done(count)) => Ok(*count),
        Some(Answer::Failed(OTHER, _) | Answer::Failed(OPEN, Errno::NOENT | Errno::SRCH)) => Err(gone()),
        Some(Answer::Failed(_, errno)) => Err(failed(needs_root(*errno))),
        None => Err(failed(timed_out("its writer holds the lock of the pipe; free the writer from what it waits for"))),
    }
}
