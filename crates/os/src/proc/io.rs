//! What a process has read and written, and how many descriptors it has.

use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, openat, statat};

use super::{Proc, Rel, stat};

/// More descriptors than these are not counted one by one.
const MANY: u32 = 10_000;

/// Bytes that a process moved from and to storage, with those of the children that it has waited for (proc_pid_io(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Read from storage.
    pub read: u64,
    /// Given to storage, or to be given to it later.
    pub written: u64,
}

impl Proc {
    /// What a process has moved. `None` when it is gone, is another user's, or the kernel does not count.
    pub fn moved(&self, pid: u32, buf: &mut Vec<u8>) -> Option<Moved> {
        moved(self.read(pid, "io", buf).ok()??)
    }

    /// How many descriptors a process has. `None` when it is gone or another user's; also when they are very many and the
    /// kernel (before Linux 6.2) tells them only one by one.
    pub fn descriptors(&self, pid: u32) -> Option<u32> {
        // The folder itself, nothing behind it.
        let rel = Rel::new(format_args!("{pid}/fd"));
        let folder = statat(&self.dir, rel.bytes(), AtFlags::empty()).ok()?;
        match u32::try_from(folder.st_size) {
            Ok(0) | Err(_) => self.counted(&rel),
            Ok(count) => Some(count),
        }
    }

    fn counted(&self, rel: &Rel) -> Option<u32> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(&self.dir, rel.bytes(), flags, Mode::empty()).ok()?;
        let mut buf = [MaybeUninit::<u8>::uninit(); 8192];
        let mut entries = RawDir::new(dir.as_fd(), &mut buf);
        let mut count = 0;
        while let Some(entry) = entries.next() {
            count += u32::from(entry.ok()?.file_name().to_bytes().first() != Some(&b'.'));
            if count > MANY {
                return None;
            }
        }
        Some(count)
    }
}

fn moved(text: &[u8]) -> Option<Moved> {
    let mut found = (None, None);
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(number) = line.strip_prefix(b"read_bytes: ") {
            found.0 = stat::number(number);
        } else if let Some(number) = line.strip_prefix(b"write_bytes: ") {
            found.1 = stat::number(number);
        }
    }
    Some(Moved { read: found.0?, written: found.1? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_io() {
        let text = b"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 512\n";
        assert_eq!(moved(text), Some(Moved { read: 4096, written: 8192 }));
        for bad in [&b""[..], b"read_bytes: 1\n", b"read_bytes: x\nwrite_bytes: 1\n"] {
            assert_eq!(moved(bad), None);
        }
    }

    #[test]
    fn descriptors_are_counted_in_both_ways() {
        let proc = Proc::system().expect("/proc");
        let me = std::process::id();
        let files: Vec<_> = (0..20).map(|_| std::fs::File::open("/dev/null").expect("opened")).collect();
        let told = proc.descriptors(me).expect("ours");
        let counted = proc.counted(&Rel::new(format_args!("{me}/fd"))).expect("ours");
        assert!(told >= 23 && counted >= 23, "{told}, {counted}");
        drop(files);
        assert_eq!(proc.descriptors(u32::MAX), None);
    }
}
