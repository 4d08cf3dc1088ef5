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
            report.tell(Answer::Done(stat.f_bavail.saturating_mul(unit)));
            report.tell(Answer::Done(stat.f_files));
            report.tell(Answer::Done(stat.f_favail));
        }
        Err(errno) => report.tell(Answer::Failed(0, errno)),
    })?;
    match answers[..] {
        [Answer::Done(size), Answer::Done(free), Answer::Done(inodes), Answer::Done(free_inodes)] => {
            Ok(Some(Room { size, free, inodes, free_inodes }))
        }
        [Answer::Failed(_, errno), ..] if errno != Errno::NOENT => Err(OsError::new("ask", folder, errno)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    #[test]
    fn the_room_of_a_folder() {
        let deadline = crate::clock::mono() + Duration::from_secs(60);
        let room = room(Path::new("/proc"), deadline).unwrap();
        assert_eq!(room.map(|room| (room.size, room.inodes)), Some((0, 0)));
        let folder = tempfile::tempdir().unwrap();
        let some = super::room(folder.path(), deadline).unwrap().expect("it answers");
        assert!(some.size > 0 && some.free <= some.size, "{some:?}");
        assert_eq!(super::room(&folder.path().join("none"), deadline).unwrap(), None);
    }
}
