//! Writing a file whole: a reader sees the old content or the new, never a part.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, rename, renameat_with, unlink};
use rustix::io::Errno;

use crate::error::OsError;

/// Writes `content` to a new file beside `path`, mode 0600, and renames it over `path`.
///
/// One writer at a time: the name of the new file is fixed (`.NAME.new`), so that what a crash left behind is written
/// over by the next writer instead of piling up. Every file of vigie's has one writer, whoever holds the lock.
///
/// Nothing is flushed to the disk. The new content survives the end of every process, which is what records of a boot
/// need; after a power cut they have no meaning.
///
/// # Errors
/// What the kernel says, with the path that it is about.
pub fn write(path: &Path, content: &[u8]) -> Result<(), OsError> {
    let new = beside(path)?;
    // NOFOLLOW: a link that lies in wait under that name is not written through.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, &new, flags, Mode::RUSR | Mode::WUSR).map_err(OsError::on("create", &new))?;
    let mut rest = content;
    while !rest.is_empty() {
        match rustix::io::write(&file, rest) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(OsError::on("write", &new)(errno)),
        }
    }
    replace(&new, path).map_err(OsError::on("replace", path))
}

/// Puts `new` into the place of `path`, by exchanging them and removing what then is the old one. A plain rename over a
/// file makes ext4 write the new one to the disk at once (`auto_da_alloc`, ext4(5)): milliseconds, for a promise that
/// nobody was given.
fn replace(new: &Path, path: &Path) -> Result<(), Errno> {
    match renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => unlink(new),
        // Nothing is there yet; or the file system cannot exchange.
        Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS) => rename(new, path),
        Err(errno) => Err(errno),
    }
}

fn beside(path: &Path) -> Result<PathBuf, OsError> {
    let name = path.file_name().ok_or_else(|| OsError::on("write", path)(Errno::ISDIR))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    Ok(path.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn whole_private_and_nothing_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        fs::write(dir.path().join(".record.json.new"), "what a crash left, and longer than the next").unwrap();
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_reader_never_sees_a_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        write(&path, &[b'0'; 100_000]).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..200_u8 {
                    write(&path, &vec![b'0' + round % 10; 100_000]).unwrap();
                }
                stop.store(true, Ordering::Release);
            });
            while !stop.load(Ordering::Acquire) {
                let content = fs::read(&path).unwrap();
                assert_eq!(content.len(), 100_000);
                assert!(content.iter().all(|byte| *byte == content[0]));
            }
        });
    }

    #[test]
    fn a_link_in_wait_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(".x.new")).unwrap();
        assert!(write(&dir.path().join("x"), b"content").is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        let error = write(&dir.path().join("missing/x"), b"").unwrap_err();
        assert!(error.to_string().contains("missing/.x.new"), "{error}");
    }
}
