//! PID files of older tools (R4.8): hints, never trusted.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// More than a number and what stands around it.
const BEGINNING: u64 = 256;

/// What such a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Its first line is the number of a process.
    Names(u32),
    /// Something else: it may be no PID file at all.
    Other,
}

/// Reads its first line; `None` when there is no such file. What is no regular file is not waited for: a FIFO has nothing
/// until somebody writes.
pub fn read(path: &Path) -> Option<Says> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return Some(Says::Other);
    }
    let mut text = Vec::new();
    file.take(BEGINNING).read_to_end(&mut text).ok()?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let number = std::str::from_utf8(line).ok().and_then(|line| line.trim().parse::<u32>().ok());
    Some(number.filter(|pid| *pid > 0).map_or(Says::Other, Says::Names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pid");
        assert_eq!(read(&file), None);
        for (text, says) in [
            ("4711\n", Says::Names(4711)),
            (" 4711 \nmore", Says::Names(4711)),
            ("0\n", Says::Other),
            ("-5\n", Says::Other),
            ("", Says::Other),
            ("root:x:0:0", Says::Other),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(&file), Some(says), "{text:?}");
        }
        std::fs::write(&file, [b'7'; 4096]).unwrap();
        assert_eq!(read(&file), Some(Says::Other));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
        assert_eq!(read(&fifo), Some(Says::Other));
        assert_eq!(read(Path::new("/dev/zero")), Some(Says::Other));
    }
}
