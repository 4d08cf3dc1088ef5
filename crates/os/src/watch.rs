//! Waiting until something changes in a folder: inotify(7) with a deadline.
//!
//! What changed is not told, on purpose: events may be merged or lost, so whoever waits looks again anyway.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use vigie_core::clock::Mono;

use crate::error::OsError;
use crate::wait;

/// What is watched. Dropping it ends all watches.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the user has too many of these (`/proc/sys/fs/inotify/max_user_instances`).
    pub fn new() -> Result<Self, OsError> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| OsError::new("watch", "files with inotify", errno))?;
        Ok(Self { fd })
    }

    /// Watches a folder: a file in it is made, written to, removed or renamed, or the folder itself goes.
    ///
    /// Kernels before 6.5 do not report what splice(2) wrote; the index beside a log is written by write(2) and is
    /// reported by all.
    ///
    /// # Errors
    /// When the folder is not there, or the user watches too much (`/proc/sys/fs/inotify/max_user_watches`).
    pub fn folder(&self, path: &Path) -> Result<(), OsError> {
        let what = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&self.fd, path, what).map(|_| ()).map_err(OsError::on("watch", path))
    }

    /// Waits for a change since the last call: `false` when the deadline came first.
    ///
    /// # Errors
    /// What poll(2) and read(2) say.
    pub fn wait(&self, deadline: Mono) -> Result<bool, OsError> {
        let error = |errno| OsError::new("wait for", "changes with inotify", errno);
        let changed = wait::readable(&self.fd, deadline).map_err(error)?;
        if !changed {
            return Ok(false);
        }
        let mut buf = [MaybeUninit::<u8>::uninit(); 4096];
        loop {
            match rustix::io::read(&self.fd, &mut buf[..]) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(true),
                Err(errno) => return Err(error(errno)),
            }
        }
    }
}

/// For poll loops: readable when something changed; [`Watch::wait`] takes note of it.
impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Looks until `look` has an answer, each time something in the folder has changed: `None` when the deadline came first.
/// The watch begins before the first look, so that no change falls between.
///
/// # Errors
/// Those of [`Watch`] and of `look`.
pub fn until<T, E: From<OsError>>(
    folder: &Path,
    deadline: Mono,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let watch = Watch::new()?;
    watch.folder(folder)?;
    loop {
        if let Some(answer) = look()? {
            return Ok(Some(answer));
        }
        if !watch.wait(deadline)? {
            // A change may have come with the deadline.
            return look();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;
    use crate::clock;

    fn soon() -> Mono {
        clock::mono() + Duration::from_secs(60)
    }

    #[test]
    fn every_change_is_seen_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let watch = Watch::new().unwrap();
        watch.folder(dir.path()).unwrap();
        assert!(!watch.wait(Mono(0)).unwrap());
        let mut file = fs::File::create(&path).unwrap();
        assert!(watch.wait(soon()).unwrap());
        assert!(!watch.wait(Mono(0)).unwrap());
        file.write_all(b"line").unwrap();
        assert!(watch.wait(soon()).unwrap());
        fs::rename(&path, dir.path().join("log.1")).unwrap();
        assert!(watch.wait(soon()).unwrap());
        fs::remove_file(dir.path().join("log.1")).unwrap();
        assert!(watch.wait(soon()).unwrap());
        assert!(!watch.wait(Mono(0)).unwrap());
    }

    #[test]
    fn waiting_for_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let look = || Ok::<_, OsError>(path.exists().then_some(()));
        assert_eq!(until(dir.path(), clock::mono() + Duration::from_millis(10), look).unwrap(), None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                fs::write(dir.path().join("other"), "").unwrap();
                fs::write(&path, "").unwrap();
            });
            assert_eq!(until(dir.path(), soon(), look).unwrap(), Some(()));
        });
        let error = until(&dir.path().join("none"), soon(), look).unwrap_err();
        assert!(error.to_string().contains("/none: "), "{error}");
    }
}
