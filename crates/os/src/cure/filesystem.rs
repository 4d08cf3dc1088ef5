//! Thawing a file system that was frozen by FIFREEZE (fsfreeze(8)).

use std::ffi::{CString, c_int};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat, openat2, statx};
use rustix::io::Errno;
use vigie_core::clock::Mono;
use vigie_core::identity::ProcKey;

use super::errand::{self, Answer};
use super::{needs_root, not_found, timed_out};
use crate::error::OsError;
use crate::pidfd::Target;
use crate::proc::Proc;

/// `_IOWR('X', 120, int)` of include/uapi/linux/fs.h.
const FITHAW: u32 = 0xc004_5878;

/// It can be frozen more than once, by different means; more than a few times is none of our business.
const LAYERS: usize = 8;

const ROOT: u32 = 0;
const OPEN: u32 = 1;
const LOOK: u32 = 2;
const OTHER: u32 = 3;
const THAW: u32 = 4;

/// Thaws the file system with this `device` (major, minor), which `witness` sees mounted at `point`. Returns when the
/// kernel says that it is not frozen any more.
///
/// # Errors
/// `NotFound`: the witness is gone, or another file system lies there. `InvalidInput`: it was not frozen.
/// `PermissionDenied`: needs root. `TimedOut`: the path to it, or the file system itself, does not answer.
pub fn thaw_filesystem(
    proc: &Proc,
    witness: &ProcKey,
    point: &Path,
    device: (u32, u32),
    deadline: Mono,
) -> Result<(), OsError> {
    let failed = |why: std::io::Error| OsError::new("thaw the file system at", point, why);
    let target = Target::open(proc, witness)?;
    let _alive = target.ok_or_else(|| failed(not_found(format!("process {} is gone", witness.pid))))?;
    let mounts = mounts_of(proc, witness.pid, device)?;
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|error| failed(error.into()));
    let root = text(format!("/proc/{}/root", witness.pid).as_bytes())?;
    let point_text = text(point.as_os_str().as_encoded_bytes())?;
    let thaw = || {
        let at = |step: u32| move |errno: Errno| (step, errno);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, root.as_c_str(), flags, Mode::empty()).map_err(at(ROOT))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // As its mountinfo has it: no links in it, and its first folder is the witness's.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let folder = openat2(&root, point_text.as_c_str(), flags, Mode::empty(), resolve).map_err(at(OPEN))?;
        // What it says of itself need not be asked from a server far away.
        let asked = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let seen = statx(&folder, c"", asked, StatxFlags::MNT_ID).map_err(at(LOOK))?;
        // Files of btrfs have devices of their own; their mount tells.
        if (seen.stx_dev_major, seen.stx_dev_minor) != device && !mounts.contains(&seen.stx_mnt_id) {
            return Err((OTHER, Errno::NOENT));
        }
        for layer in 0..LAYERS {
            match fithaw(folder.as_raw_fd()) {
                Ok(()) => {}
                // Not frozen, any more.
                Err(Errno::INVAL) if layer > 0 => return Ok(()),
                Err(errno) => return Err((THAW, errno)),
            }
        }
        Err((THAW, Errno::BUSY))
    };
    let answers = errand::run(&[], deadline, |report| {
        report.tell(thaw().map_or_else(|(step, errno)| Answer::Failed(step, errno), |()| Answer::Done(0)));
    })?;
    Err(failed(match answers.first() {
        Some(Answer::Done(_)) => return Ok(()),
        Some(Answer::Failed(OTHER, _)) => not_found("another file system lies there by now"),
        Some(Answer::Failed(THAW, Errno::INVAL)) => {
            std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not frozen")
        }
        Some(Answer::Failed(THAW, Errno::BUSY)) => timed_out("it stays frozen, however often it is thawed"),
        Some(Answer::Failed(_, errno)) => needs_root(*errno),
        None => timed_out("it does not answer"),
    }))
}

/// The numbers of the mounts of a file system that a process sees; proc_pid_mountinfo(5).
fn mounts_of(proc: &Proc, pid: u32, (major, minor): (u32, u32)) -> Result<Vec<u64>, OsError> {
    let mut buffer = Vec::new();
    let text = proc.read(pid, "mountinfo", &mut buffer)?.unwrap_or_default();
    let wanted = format!("{major}:{minor}");
    let number = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let number = crate::proc::stat::number(fields.next()?)?;
        (fields.nth(1)? == wanted.as_bytes()).then_some(number)
    };
    Ok(text.split(|byte| *byte == b'\n').filter_map(number).collect())
}

fn fithaw(fd: c_int) -> Result<(), Errno> {
    // SAFETY: this request neither reads nor writes what its argument points to.
    match unsafe { libc::ioctl(fd, FITHAW as libc::Ioctl, 0) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
