//! The connections of FUSE: how many requests wait for an answer, and ending one (kernel documentation, "fuse",
//! "Control filesystem").
//!
//! They are files of a file system of their own, fusectl. Where it is not mounted, root makes a mount of it that is attached
//! nowhere and ends with its descriptor: so nothing changes for anybody. Nothing of this is answered by a server.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use vigie_core::clock::Mono;

use super::{needs_root, not_found, timed_out, until};
use crate::error::OsError;

/// Where fusectl is mounted, if it is.
const FOLDER: &str = "/sys/fs/fuse/connections";

/// `FUSE_CTL_SUPER_MAGIC` of include/uapi/linux/magic.h.
const FUSECTL: u64 = 0x6573_5543;

/// The control file system, opened.
#[derive(Debug)]
pub struct Connections(OwnedFd);

impl Connections {
    /// Opens it where it is mounted, else a mount of its own.
    ///
    /// # Errors
    /// `PermissionDenied`: it is not mounted, and making a mount needs root. `NotFound`: the kernel has no FUSE.
    pub fn open() -> Result<Self, OsError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(folder) = openat(CWD, FOLDER, flags, Mode::empty())
            && rustix::fs::fstatfs(&folder).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(FUSECTL))
        {
            return Ok(Self(folder));
        }
        let detached = || {
            let context = fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        detached().map(Self).map_err(|errno| {
            let why = match errno {
                Errno::NODEV => not_found("this kernel has no FUSE"),
                errno => needs_root(errno),
            };
            OsError::new("open", Path::new(FOLDER), why)
        })
    }

    /// The numbers of all connections of the machine, whichever namespace they are mounted in.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn all(&self) -> Result<Vec<u32>, OsError> {
        let failed = |errno: Errno| OsError::new("list", Path::new(FOLDER), errno);
        let mut numbers = Vec::new();
        // The mount of one's own is a descriptor that names it, and cannot be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.0, ".", flags, Mode::empty()).map_err(failed)?;
        for entry in rustix::fs::Dir::new(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            numbers.extend(entry.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The requests of a connection that wait for an answer; `None` when there is no such connection.
    ///
    /// # Errors
    /// `PermissionDenied` for whoever is neither root nor the user of the connection.
    pub fn waiting(&self, connection: u32) -> Result<Option<u64>, OsError> {
        let Some(mut file) = self.file(connection, "waiting", OFlags::RDONLY)? else { return Ok(None) };
        let mut text = String::new();
        let target = || format!("{FOLDER}/{connection}/waiting");
        file.read_to_string(&mut text).map_err(|error| OsError::new("read", target(), error))?;
        let count = text.trim().parse();
        let misread = std::io::ErrorKind::InvalidData;
        count.map(Some).map_err(|error| OsError::new("understand", target(), std::io::Error::new(misread, error)))
    }

    /// Ends a connection: every request that waits fails, and so does every later one (`ENOTCONN`, `ECONNABORTED`). Returns
    /// when none waits any more.
    ///
    /// # Errors
    /// `NotFound`: there is no such connection. `PermissionDenied`. `TimedOut`: it was ended, and requests wait still.
    pub fn abort(&self, connection: u32, deadline: Mono) -> Result<(), OsError> {
        let failed = |why: std::io::Error| OsError::new("abort", format!("FUSE connection {connection}"), why);
        let file = self.file(connection, "abort", OFlags::WRONLY)?;
        let mut file = file.ok_or_else(|| failed(not_found("there is no such connection (any more)")))?;
        file.write_all(b"1").map_err(failed)?;
        if until(deadline, || Ok(self.waiting(connection)?.is_none_or(|count| count == 0)))? {
            return Ok(());
        }
        Err(failed(timed_out("requests wait all the same; look at the server of the file system")))
    }

    fn file(&self, connection: u32, name: &str, flags: OFlags) -> Result<Option<File>, OsError> {
        match openat(&self.0, format!("{connection}/{name}"), flags | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(OsError::new("open", format!("{FOLDER}/{connection}/{name}"), needs_root(errno))),
        }
    }
}

/// Ends a FUSE connection: [`Connections::abort`].
///
/// # Errors
/// Those of [`Connections::open`] and [`Connections::abort`].
pub fn abort_fuse(connection: u32, deadline: Mono) -> Result<(), OsError> {
    Connections::open()?.abort(connection, deadline)
}
