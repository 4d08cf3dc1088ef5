//! Who has what open: by the text of the links below `/proc/PID/fd`, and what `fdinfo` tells of those that fit. Nothing is
//! opened or asked of the files themselves (R8.3).

use rustix::fs::readlinkat_raw;
use rustix::io::Errno;

use crate::error::OsError;
use crate::parallel;
use crate::proc::stat::number;
use crate::proc::{Proc, Rel};

/// Whoever has it open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holders<T> {
    /// Ascending; each with what was found at its first descriptor that fits.
    pub(super) found: Vec<(u32, T)>,
    /// Whose descriptors may not be looked at; ascending.
    pub(super) hidden: Vec<u32>,
}

/// Looks at the descriptors of all processes. `wanted`: whether a link is one to look at, by its text. `fits`: what the
/// `fdinfo` of such a one tells; `None` when it is not one after all.
pub(super) fn holders<T: Send>(
    proc: &Proc,
    wanted: impl Fn(&[u8]) -> bool + Sync,
    fits: impl Fn(&[u8]) -> Option<T> + Sync,
) -> Result<Holders<T>, OsError> {
    let mut pids = Vec::new();
    proc.pids(&mut pids)?;
    let look = |pid, part: &mut Part<T>| {
        let table = process(proc, pid, &wanted)?;
        if table.denied {
            part.hidden.push(pid);
        }
        let mut buffer = Vec::new();
        for info in table.infos {
            // Closed meanwhile, or another user's.
            let Ok(Some(content)) = proc.read(pid, &info, &mut buffer) else { continue };
            if let Some(found) = fits(content) {
                part.found.push((pid, found));
                break;
            }
        }
        Ok(())
    };
    let mut all = Holders { found: Vec::new(), hidden: Vec::new() };
    for part in parallel::each(&pids, look, |_| false)? {
        all.found.extend(part.found);
        all.hidden.extend(part.hidden);
    }
    all.found.sort_by_key(|(pid, _)| *pid);
    all.hidden.sort_unstable();
    Ok(all)
}

struct Part<T> {
    found: Vec<(u32, T)>,
    hidden: Vec<u32>,
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { found: Vec::new(), hidden: Vec::new() }
    }
}

/// What one process has open.
#[derive(Default)]
struct Table {
    /// The `fdinfo` of those that are wanted.
    infos: Vec<String>,
    /// All that it has.
    count: usize,
    denied: bool,
}

fn process(proc: &Proc, pid: u32, wanted: &impl Fn(&[u8]) -> bool) -> Result<Table, OsError> {
    let mut table = Table::default();
    walk(proc, pid, "", wanted, &mut table)?;
    // A main thread that has ended shows none, though the others have them still.
    if table.count == 0 && !table.denied {
        let mut tasks = Vec::new();
        proc.tasks(pid, &mut tasks)?;
        for task in tasks.into_iter().filter(|task| *task != pid) {
            walk(proc, pid, &format!("task/{task}/"), wanted, &mut table)?;
            if table.count > 0 {
                break;
            }
        }
    }
    Ok(table)
}

fn walk(proc: &Proc, pid: u32, below: &str, wanted: &impl Fn(&[u8]) -> bool, table: &mut Table) -> Result<(), OsError> {
    let mut link = [0; 4096];
    let each = |dir: &std::os::fd::OwnedFd, name: &[u8]| {
        let Some(fd) = number::<u32>(name) else { return };
        table.count += 1;
        match readlinkat_raw(dir, name, &mut link[..]) {
            Ok(length) if wanted(&link[..length]) => table.infos.push(format!("{below}fdinfo/{fd}")),
            Err(Errno::ACCESS | Errno::PERM) => table.denied = true,
            // One that was closed meanwhile is none.
            Ok(_) | Err(_) => {}
        }
    };
    match proc.entries(&Rel::new(format_args!("{pid}/{below}fd")), each) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            table.denied = true;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The value of one line of `fdinfo`: `pos:\t0`; proc_pid_fdinfo(5).
pub(super) fn value<'a>(fdinfo: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = fdinfo.split(|byte| *byte == b'\n');
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(b":")).map(<[u8]>::trim_ascii)
}

/// Whether it was opened for reading: `flags` is octal; `O_RDONLY` is 0, `O_RDWR` 2.
pub(super) fn reads(fdinfo: &[u8]) -> bool {
    let flags = value(fdinfo, b"flags").and_then(|text| u64::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok());
    flags.is_some_and(|flags| matches!(flags & 3, 0 | 2))
}

/// The number of the mount that the file lies on.
pub(super) fn mount_id(fdinfo: &[u8]) -> Option<u32> {
    number(value(fdinfo, b"mnt_id")?)
}

/// The number of the file; Linux 5.14 and later.
pub(super) fn inode(fdinfo: &[u8]) -> Option<u64> {
    number(value(fdinfo, b"ino")?)
}

/// The connection of FUSE that this descriptor of `/dev/fuse` serves, on kernels that tell.
pub(super) fn connection(fdinfo: &[u8]) -> Option<u32> {
    number(value(fdinfo, b"fuse_connection")?)
}

/// The faults that wait for whoever has this userfaultfd, taken or not.
pub(super) fn faults(fdinfo: &[u8]) -> Option<u64> {
    number(value(fdinfo, b"total")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::tests::FakeProc;

    #[test]
    fn lines() {
        let pipe = b"pos:\t0\nflags:\t00\nmnt_id:\t15\nino:\t4711\n";
        assert_eq!((reads(pipe), mount_id(pipe), inode(pipe)), (true, Some(15), Some(4711)));
        for (flags, wanted) in [("01", false), ("02", true), ("0102002", true), ("02000001", false), ("", false)] {
            assert_eq!(reads(format!("pos:\t0\nflags:\t{flags}\n").as_bytes()), wanted, "{flags}");
        }
        let fuse = b"pos:\t0\nflags:\t0100002\nmnt_id:\t24\nino:\t79\nfuse_connection:\t44\n";
        assert_eq!((connection(fuse), connection(pipe)), (Some(44), None));
        let faults_of = b"pos:\t0\nflags:\t02\nmnt_id:\t15\npending:\t1\ntotal:\t3\nAPI:\taa:0:7\n";
        assert_eq!((faults(faults_of), faults(pipe)), (Some(3), None));
        // Before 3.15, there was less.
        assert_eq!((mount_id(b"pos:\t0\nflags:\t02\n"), inode(b"pos:\t0\n")), (None, None));
    }

    #[test]
    fn all_that_fit_and_no_others() {
        let fake = FakeProc::new(true);
        for (pid, fd, target, flags) in [
            (10, 1, "pipe:[7]", "01"),
            (11, 0, "pipe:[7]", "00"),
            (11, 5, "pipe:[7]", "02"),
            (12, 0, "pipe:[8]", "00"),
            (13, 0, "/tmp/pipe:[7]", "00"),
        ] {
            fake.link(&format!("{pid}/fd/{fd}"), target);
            fake.file(&format!("{pid}/fdinfo/{fd}"), format!("pos:\t0\nflags:\t{flags}\n"));
        }
        // Its main thread has ended.
        fake.folder("14/fd");
        fake.folder("14/task/14/fd");
        fake.link("14/task/15/fd/3", "pipe:[7]");
        fake.file("14/task/15/fdinfo/3", "flags:\t0100000\n");
        // Closed between two looks.
        fake.link("16/fd/3", "pipe:[7]");
        let found = holders(&fake.open(), |link| link == b"pipe:[7]", |info| reads(info).then_some(())).unwrap();
        assert_eq!(found, Holders { found: vec![(11, ()), (14, ())], hidden: Vec::new() });
    }
}
