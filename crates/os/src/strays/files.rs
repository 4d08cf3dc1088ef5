//! The file system as recognition asks for it, without what may hang.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use vigie_core::recognise::Files;

/// More than a manifest of a package has, and enough of a program to see its first line.
const BEGINNING: u64 = 64 << 10;

/// As much of a script as the kernel looks at for its interpreter (`BINPRM_BUF_SIZE` in include/uapi/linux/binfmts.h).
const LINE: u64 = 256;

/// Where a server or another program answers for the files: fuse(4), nfs(5) and their like may never do so (R8.3).
const REMOTE: &[&str] = &["fuse", "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs", "autofs", "ncpfs", "coda"];

/// The file system of this machine, for one look: what was asked is remembered. Below a mount that may hang nothing is
/// asked; there a file is known by its name.
#[derive(Debug, Default)]
pub struct System {
    remote: OnceCell<Vec<PathBuf>>,
    canonical: RefCell<HashMap<PathBuf, Option<PathBuf>>>,
    beginnings: RefCell<HashMap<PathBuf, Option<Vec<u8>>>>,
}

impl System {
    /// Whether a question about this path may never be answered (R8.3).
    pub fn may_hang(&self, path: &Path) -> bool {
        let remote = self.remote.get_or_init(|| {
            let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
            remote_mounts(&table)
        });
        remote.iter().any(|mount| path.starts_with(mount))
    }
}

impl Files for System {
    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        if let Some(known) = self.canonical.borrow().get(path) {
            return known.clone();
        }
        let found = if self.may_hang(path) { None } else { std::fs::canonicalize(path).ok() };
        self.canonical.borrow_mut().insert(path.to_owned(), found.clone());
        found
    }

    fn beginning(&self, path: &Path) -> Option<Vec<u8>> {
        if let Some(known) = self.beginnings.borrow().get(path) {
            return known.clone();
        }
        let found = if self.may_hang(path) { None } else { read(path) };
        self.beginnings.borrow_mut().insert(path.to_owned(), found.clone());
        found
    }
}

/// A program's beginning is short: only whether it is a script is asked of it.
fn read(path: &Path) -> Option<Vec<u8>> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut file = std::fs::File::open(path).ok()?;
    let mut content = Vec::new();
    file.by_ref().take(LINE).read_to_end(&mut content).ok()?;
    if !content.starts_with(b"\x7fELF") {
        file.take(BEGINNING - LINE).read_to_end(&mut content).ok()?;
    }
    Some(content)
}

/// The mount points of remote file systems in mountinfo; proc_pid_mountinfo(5). Not `/`: who runs on one depends on it.
fn remote_mounts(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n');
    let mounts = lines.filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let (before, behind) = line.split_once(" - ")?;
        let kind = behind.split(' ').next()?;
        let kind = kind.split('.').next().unwrap_or(kind);
        let place = before.split(' ').nth(4)?;
        (REMOTE.contains(&kind) && place != "/").then(|| PathBuf::from(unescaped(place)))
    });
    mounts.collect()
}

/// Blanks, tabs, newlines and backslashes stand there as octal numbers.
fn unescaped(place: &str) -> String {
    place.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_that_may_hang() {
        let table = b"22 1 0:20 / / rw - fuse.overlay x rw\n\
            23 22 0:21 / /home/a\\040b rw,nosuid shared:1 - fuse.sshfs host:/ rw\n\
            24 22 0:22 / /srv rw - ext4 /dev/sda rw\n\
            25 22 0:23 / /nfs rw - nfs4 host:/ rw\nbroken\n";
        assert_eq!(remote_mounts(table), [PathBuf::from("/home/a b"), PathBuf::from("/nfs")]);
    }

    #[test]
    fn files_are_asked() {
        let system = System::default();
        assert!(system.canonical(Path::new("/proc/self/../self")).is_some());
        assert_eq!(system.canonical(Path::new("/nowhere/at/all")), None);
        assert_eq!(system.beginning(Path::new("/")), None, "a folder has no content");
    }
}
