//! How many descriptors a process has open, and how many it may.

use crate::proc::{Proc, Rel};

/// The descriptors that a process has open, and its soft limit (`RLIMIT_NOFILE`; getrlimit(2)). Absent when it is gone, has
/// no limit, or may not be looked at. What the descriptors are is not asked.
pub fn descriptors(proc: &Proc, pid: u32) -> Option<(u64, u64)> {
    let mut buffer = Vec::new();
    let limit = limit(proc.read(pid, "limits", &mut buffer).ok()??)?;
    let mut open = 0;
    let counted = proc.entries(&Rel::new(format_args!("{pid}/fd")), |_, name| {
        open += u64::from(name.first().is_some_and(u8::is_ascii_digit));
    });
    counted.ok()?.then_some((open, limit))
}

/// `Max open files            1024                 4096                 files`; proc_pid_limits(5).
fn limit(text: &[u8]) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Max open files"))?;
    std::str::from_utf8(line).ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let text = b"Limit  Soft\nMax open files            1024                 524288               files     \n";
        assert_eq!(limit(text), Some(1024));
        assert_eq!(limit(b"Max open files            unlimited            unlimited            files\n"), None);
        assert_eq!(limit(b""), None);
    }

    #[test]
    fn an_open_file_is_counted() {
        let proc = Proc::system().unwrap();
        let (before, limit) = descriptors(&proc, std::process::id()).unwrap();
        let files: Vec<_> = (0..200).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let (after, _) = descriptors(&proc, std::process::id()).unwrap();
        // Other tests of this process open and close files, too.
        assert!(after >= before + 100 && limit > 0, "{before} {after} {limit}");
        drop(files);
    }
}
