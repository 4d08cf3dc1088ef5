//! One holder per service, freed by the kernel (R4.1, R4.3).
//!
//! The lock is flock(2): it belongs to the open file and goes with the last descriptor of it, however its holder ends.
//! Nothing is ever stale. What the file contains is a label for people and never decides anything. A child that inherits
//! a descriptor would hold the lock on; so all are close-on-exec.
//!
//! A lock is worth nothing once its file is deleted and a second one made beside it. Two things stand against that:
//!
//! - After locking, the locked file is compared with what now lies at the path; if that is another one, all starts anew.
//!   So whoever opened the file just before it was deleted does not hold a lock that nobody else sees.
//! - [`Lock::take`] locks the folder too. Deleting the file while somebody holds the lock lets nobody else in. That asks
//!   for a folder with one lock in it; in the shared folder of [`Lock::take_shared`] the sticky bit keeps everybody but
//!   the file's owner and root from deleting it.

mod hint;

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, ftruncate, openat, statat,
};
use rustix::io::Errno;

use crate::error::OsError;
pub use hint::{is_held, opener};

/// How often a file that was replaced under our hands is opened again. Each time somebody else must have deleted it in
/// the microseconds between two calls.
const ATTEMPTS: u32 = 100;

/// More of a label is not read: it is a line of JSON.
const LABEL_MAX: usize = 64 * 1024;

/// A lock that is held until this is dropped or the process ends.
#[derive(Debug)]
#[must_use = "dropping it frees the lock"]
pub struct Lock {
    path: PathBuf,
    file: Held,
    writable: bool,
    /// `None` where the folder is shared.
    folder: Option<Held>,
}

/// A locked descriptor. Dropping it frees the lock at once, also while a child that is just being spawned has a copy of
/// it until its exec.
#[derive(Debug)]
struct Held(OwnedFd);

impl Drop for Held {
    fn drop(&mut self) {
        // Nothing is lost when it fails: closing frees it too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Lock {
    /// Takes the lock in a folder of its own, without waiting: `None` when somebody holds it. The file is made when it is
    /// not there, mode 0600; the folder must be there.
    ///
    /// # Errors
    /// What the kernel says; `PermissionDenied` for something else than a file at the path.
    pub fn take(path: &Path) -> Result<Option<Self>, OsError> {
        let (parent, name) = split(path)?;
        for _ in 0..ATTEMPTS {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = openat(CWD, parent, flags, Mode::empty()).map_err(OsError::on("open", parent))?;
            let Some(folder) = try_flock(folder, parent)? else { return Ok(None) };
            let flags = OFlags::RDWR | OFlags::CREATE | COMMON;
            let file = match openat(&folder.0, name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => file,
                // The folder was deleted after we opened it.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(refusal(path, errno)),
            };
            examine(&file, path)?;
            match attempt(file, &folder.0, name, path)? {
                Attempt::Held => return Ok(None),
                Attempt::Taken(file) if is_still_at(&folder.0, CWD, parent.as_os_str(), parent)? => {
                    return Ok(Some(Self { path: path.to_owned(), file, writable: true, folder: Some(folder) }));
                }
                Attempt::Taken(_) | Attempt::Replaced => {}
            }
        }
        Err(replaced(path))
    }

    /// Takes a lock that all users of the machine share, without waiting: `None` when somebody holds it. The folder must
    /// be safe from other users: root's or ours, and sticky where others may write to it. The file is made when it is
    /// not there, readable for all, because locking needs no more; whoever can read it can lock it, which is the point.
    ///
    /// # Errors
    /// What the kernel says; `PermissionDenied` for a folder that is not safe, and for links and other traps at the path.
    pub fn take_shared(path: &Path) -> Result<Option<Self>, OsError> {
        let (parent, name) = split(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, parent, flags, Mode::empty()).map_err(OsError::on("open", parent))?;
        check_shared_folder(&fstat(&folder).map_err(OsError::on("examine", parent))?, parent)?;
        let mut hidden = None;
        for _ in 0..ATTEMPTS {
            let (file, writable) = match open_shared(&folder, name) {
                Ok(opened) => opened,
                // Somebody made or deleted it between two of our calls.
                Err(Errno::EXIST | Errno::NOENT) => continue,
                // Somebody has just made it and not yet let others read it.
                Err(Errno::ACCESS) => {
                    hidden = Some(Errno::ACCESS);
                    std::thread::yield_now();
                    continue;
                }
                Err(errno) => return Err(refusal(path, errno)),
            };
            let stat = examine(&file, path)?;
            match attempt(file, &folder, name, path)? {
                Attempt::Held => return Ok(None),
                Attempt::Replaced => {}
                Attempt::Taken(_) if stat.st_nlink > 1 => {
                    return Err(OsError::refused("lock", path, "the file has a second name; remove it"));
                }
                Attempt::Taken(file) => {
                    return Ok(Some(Self { path: path.to_owned(), file, writable, folder: None }));
                }
            }
        }
        Err(hidden.map_or_else(|| replaced(path), |errno| refusal(path, errno)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it still keeps others out. It does not when what is locked was deleted or moved away: somebody else may hold
    /// a lock at this path by now. Two system calls.
    ///
    /// # Errors
    /// What fstat(2) and stat(2) say.
    pub fn keeps_others_out(&self) -> Result<bool, OsError> {
        let (parent, _) = split(&self.path)?;
        match &self.folder {
            // While the folder is locked, nobody takes another file in it.
            Some(folder) => is_still_at(&folder.0, CWD, parent.as_os_str(), parent),
            None => is_still_at(&self.file.0, CWD, self.path.as_os_str(), &self.path),
        }
    }

    /// Writes what the holder says of itself. A reader may meanwhile see the old label, the new one, or part of each.
    /// `false` when the file belongs to another user and cannot be written to: the lock is good all the same, and the
    /// label that stands in it is an earlier holder's.
    ///
    /// # Errors
    /// What pwrite(2) and ftruncate(2) say.
    pub fn write_label(&self, label: &[u8]) -> Result<bool, OsError> {
        if !self.writable {
            return Ok(false);
        }
        let mut done = 0;
        while done < label.len() {
            match rustix::io::pwrite(&self.file.0, &label[done..], done as u64) {
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(OsError::on("write", &self.path)(errno)),
            }
        }
        ftruncate(&self.file.0, label.len() as u64).map_err(OsError::on("shorten", &self.path))?;
        Ok(true)
    }
}

/// Reads the label at a path; `None` when there is no such file. At most 64 KiB; it may be torn, stale, or anything that
/// another user wrote.
///
/// # Errors
/// What the kernel says; `PermissionDenied` for something else than a file.
pub fn read_label(path: &Path) -> Result<Option<Vec<u8>>, OsError> {
    let file = match openat(CWD, path, OFlags::RDONLY | COMMON, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(refusal(path, errno)),
    };
    examine(&file, path)?;
    let mut label = Vec::with_capacity(1024);
    while label.len() < LABEL_MAX {
        match rustix::io::read(&file, spare_capacity(&mut label)) {
            Ok(0) => break,
            Ok(_) if label.len() == label.capacity() => label.reserve(label.capacity()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(OsError::on("read", path)(errno)),
        }
    }
    label.truncate(LABEL_MAX);
    Ok(Some(label))
}

/// No link is followed; a pipe in the place of the file does not make anybody wait.
const COMMON: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

fn open_shared(folder: &OwnedFd, name: &OsStr) -> Result<(OwnedFd, bool), Errno> {
    // An existing file without O_CREAT: in a sticky folder the kernel refuses that flag for others' files
    // (fs.protected_regular, Documentation/admin-guide/sysctl/fs.rst).
    match openat(folder, name, OFlags::RDWR | COMMON, Mode::empty()) {
        Ok(file) => Ok((file, true)),
        Err(Errno::ACCESS) => Ok((openat(folder, name, OFlags::RDONLY | COMMON, Mode::empty())?, false)),
        Err(Errno::NOENT) => {
            let readable_by_all = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
            let file = openat(folder, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | COMMON, readable_by_all)?;
            // The umask may have taken the others' right away.
            fchmod(&file, readable_by_all)?;
            Ok((file, true))
        }
        Err(errno) => Err(errno),
    }
}

/// A folder is safe when only root or we can replace what others made in it.
fn check_shared_folder(stat: &Stat, path: &Path) -> Result<(), OsError> {
    let uid = rustix::process::geteuid().as_raw();
    if stat.st_uid != 0 && stat.st_uid != uid {
        let why = format!("it belongs to user {}, neither to root nor to you ({uid})", stat.st_uid);
        return Err(OsError::refused("keep locks in", path, why));
    }
    let (others_write, sticky) = (stat.st_mode & 0o022 != 0, stat.st_mode & 0o1000 != 0);
    if others_write && !sticky {
        return Err(OsError::refused("keep locks in", path, "others may delete files in it; set its sticky bit"));
    }
    Ok(())
}

fn split(path: &Path) -> Result<(&Path, &OsStr), OsError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => Ok((parent, name)),
        _ => Err(OsError::on("lock", path)(Errno::INVAL)),
    }
}

/// What came of locking an opened file.
#[derive(Debug)]
enum Attempt {
    /// Somebody else holds it.
    Held,
    /// It was locked, and is no longer what lies at the path: worth nothing.
    Replaced,
    /// It is locked.
    Taken(Held),
}

fn attempt(file: OwnedFd, folder: &OwnedFd, name: &OsStr, path: &Path) -> Result<Attempt, OsError> {
    let Some(file) = try_flock(file, path)? else { return Ok(Attempt::Held) };
    Ok(if is_still_at(&file.0, folder, name, path)? { Attempt::Taken(file) } else { Attempt::Replaced })
}

/// `None` when somebody else holds it.
fn try_flock(file: OwnedFd, path: &Path) -> Result<Option<Held>, OsError> {
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(Held(file))),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(OsError::on("lock", path)(errno)),
        }
    }
}

/// Whether what was opened still lies at its path.
fn is_still_at(opened: &OwnedFd, folder: impl AsFd, name: &OsStr, path: &Path) -> Result<bool, OsError> {
    let ours = fstat(opened).map_err(OsError::on("examine", path))?;
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(OsError::on("examine", path)(errno)),
    }
}

fn examine(file: &OwnedFd, path: &Path) -> Result<Stat, OsError> {
    let stat = fstat(file).map_err(OsError::on("examine", path))?;
    if FileType::from_raw_mode(stat.st_mode).is_file() {
        Ok(stat)
    } else {
        Err(OsError::refused("use", path, "it is no file; remove it"))
    }
}

fn refusal(path: &Path, errno: Errno) -> OsError {
    match errno {
        Errno::LOOP => OsError::refused("open", path, "it is a symbolic link; remove it"),
        errno => OsError::on("open", path)(errno),
    }
}

fn replaced(path: &Path) -> OsError {
    OsError::refused("lock", path, "somebody goes on deleting the file; find out who")
}

#[cfg(test)]
mod tests;
