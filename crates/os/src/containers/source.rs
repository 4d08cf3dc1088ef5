//! One file that is read again and again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, pread};

/// More than any file of a cgroup has; what is longer is not read.
const LONGEST: usize = 1 << 20;

/// A file of a cgroup.
#[derive(Debug)]
pub(super) enum Source {
    /// Open all the time.
    Kept(OwnedFd),
    /// Opened for each look.
    Named(PathBuf),
}

/// What came of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'b> {
    /// Its content.
    Content(&'b [u8]),
    /// It cannot be read, for another reason than that the cgroup is gone.
    Nothing,
    /// Its cgroup is gone.
    Gone,
}

impl Source {
    /// The file of this name in `folder`; absent when it is not there: the controller is not at work.
    pub(super) fn open(folder: &Path, name: &str, kept: bool) -> Option<Self> {
        let path = folder.join(name);
        let file = open(&path).ok()?;
        Some(if kept { Self::Kept(file) } else { Self::Named(path) })
    }

    /// Whether it takes a descriptor.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// Its content now.
    pub(super) fn read<'b>(&self, buffer: &'b mut Vec<u8>) -> Read<'b> {
        let result = match self {
            Self::Kept(file) => whole(file, buffer),
            Self::Named(path) => open(path).and_then(|file| whole(&file, buffer)),
        };
        match result {
            Ok(()) => Read::Content(buffer),
            // A file that was opened before says `ENODEV` (kernfs).
            Err(Errno::NOENT | Errno::NODEV) => Read::Gone,
            Err(_) => Read::Nothing,
        }
    }
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

/// Reads from the beginning. The kernel writes these files as one record: what does not fill the buffer is all of it, and
/// takes one call.
fn whole(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    loop {
        buffer.clear();
        let room = buffer.capacity().max(4 << 10);
        buffer.resize(room, 0);
        match pread(file, &mut buffer[..], 0) {
            Ok(length) if length < room => {
                buffer.truncate(length);
                return Ok(());
            }
            Ok(_) if room >= LONGEST => return Err(Errno::FBIG),
            Ok(_) => buffer.reserve(2 * room),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A whole file of a process, of which `process` is the folder.
pub(super) fn below<'b>(process: BorrowedFd<'_>, name: &str, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Errno> {
    let file = openat(process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    buffer.clear();
    loop {
        buffer.reserve(2 << 10);
        match rustix::io::read(file.as_fd(), rustix::buffer::spare_capacity(buffer)) {
            Ok(0) => return Ok(buffer),
            Ok(_) if buffer.len() > LONGEST => return Err(Errno::FBIG),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
