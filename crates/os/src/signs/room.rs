//! How much room is left where vigie writes.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::Errno;
use vigie_core::clock::Mono;

use crate::cure::errand::{self, Answer};
use crate::error::OsError;

/// What statvfs(3) tells of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes.
    pub size: u64,
    /// Bytes that nothing is written in. Some of them are for root alone.
    pub unused: u64,
    /// Bytes that this user may still write.
    pub free: u64,
    /// Inodes; 0 where there is no such limit.
    pub inodes: u64,
    /// Inodes that this user may still make.
    pub free_inodes: u64,
}

/// Asks the file system of a folder. Even one's own folder may lie on a server that does not answer: it is asked by a
/// process that may be left behind. Absent when there is no such folder, or no answer before the deadline.
///
/// # Errors
/// When no process could be made.
pub fn room(folder: &Path, deadline: Mono) -> Result<Option<Room>, OsError> {
    let path = CString::new(folder.as_os_str().as_bytes())
        .map_err(|_| OsError::refused("ask", folder, "its name holds a NUL"))?;
    let answers = errand::run(&[], deadline, |report| match rustix::fs::statvfs(path.as_c_str()) {
        Ok(stat) => {
            let unit = if stat.f_frsize == 0 { stat.f_bsize } else { stat.f_frsize };
            report.tell(Answer::Done(stat.f_blocks.saturating_mul(unit)));
            report.tell(Answer::Done(stat.f_bfree.saturating_mul(unit)));
            report.tell(Answer::Done(stat.f_bavail.saturating_mul(unit)));
            report.tell(Answer::Done(stat.f_files));
            report.tell(Answer::Done(stat.f_favail));
        }
        Err(errno) => report.tell(Answer::Failed(0, errno)),
    })?;
    match answers[..] {
        [
            Answer::Done(size),
            Answer::Done(unused),
            Answer::Done(free),
            Answer::Done(inodes),
            Answer::Done(free_inodes),
        ] => Ok(Some(Room { size, unused, free, inodes, free_inodes })),
        [Answer::Failed(_, errno), ..] if errno != Errno::NOENT => Err(OsError::new("ask", folder, errno)),
        _ => Ok(None),
    }
}

impl Room {
    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.size.saturating_sub(self.unused)
    }

    /// In percent of what this user may have at all, as df(1) tells it. Absent where there is no room to speak of.
    pub fn used_percent(&self) -> Option<f64> {
        let all = self.used().saturating_add(self.free);
        (all > 0).then(|| self.used() as f64 * 100.0 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    #[test]
    fn what_is_for_root_alone_is_none_of_it() {
        let room = |size, unused, free| Room { size, unused, free, inodes: 0, free_inodes: 0 };
        for (room, used, percent) in [
            (room(100, 40, 40), 60, Some(60.0)),
            (room(100, 25, 20), 75, Some(75.0 * 100.0 / 95.0)),
            (room(100, 5, 0), 95, Some(100.0)),
            (room(0, 0, 0), 0, None),
        ] {
            assert_eq!((room.used(), room.used_percent()), (used, percent), "{room:?}");
        }
    }

    #[test]
    fn the_room_of_a_folder() {
        let deadline = crate::clock::mono() + Duration::from_secs(60);
        let room = room(Path::new("/proc"), deadline).unwrap();
        assert_eq!(room.map(|room| (room.size, room.inodes)), Some((0, 0)));
        let folder = tempfile::tempdir().unwrap();
        let some = super::room(folder.path(), deadline).unwrap().expect("it answers");
        assert!(some.size > 0 && some.free <= some.unused && some.unused <= some.size, "{some:?}");
        assert_eq!(super::room(&folder.path().join("none"), deadline).unwrap(), None);
    }
}
