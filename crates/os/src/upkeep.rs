//! What a process keeps for itself: descriptors, threads, memory. For vigie's own processes, to see that they do not grow.

use crate::error::OsError;
use crate::proc::stat::number;
use crate::proc::{Proc, Rel};

/// What a process keeps at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Memory that is no file's, in bytes, what was swapped out included: heap and stacks, which is where a leak shows.
    pub memory: u64,
}

impl Upkeep {
    /// Of a process; `None` when it is gone.
    ///
    /// # Errors
    /// What the kernel says; mostly `PermissionDenied` for other users' processes.
    pub fn of(proc: &Proc, pid: u32) -> Result<Option<Self>, OsError> {
        let mut descriptors = 0;
        let listed = proc.entries(&Rel::new(format_args!("{pid}/fd")), |_, name| {
            descriptors += u64::from(number::<u32>(name).is_some());
        })?;
        let mut buf = Vec::new();
        let threads = proc.stat(pid, &mut buf)?.map(|stat| u64::from(stat.threads));
        let memory = proc.read(pid, "smaps_rollup", &mut buf)?.and_then(memory);
        Ok(match (threads, memory) {
            (Some(threads), Some(memory)) if listed => Some(Self { descriptors, threads, memory }),
            _ => None,
        })
    }
}

/// `Anonymous` and `Swap` of smaps_rollup (Documentation/ABI/testing/procfs-smaps_rollup), in bytes.
fn memory(text: &[u8]) -> Option<u64> {
    let field = |name: &[u8]| {
        let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name))?;
        number::<u64>(line.trim_ascii().strip_suffix(b" kB")?.trim_ascii())
    };
    Some((field(b"Anonymous:")? + field(b"Swap:").unwrap_or(0)) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_descriptor_and_one_mebibyte_more() {
        let proc = Proc::system().unwrap();
        let mut child = crate::proc::tests::Guard::sleeper();
        let theirs = Upkeep::of(&proc, child.0.id()).unwrap().unwrap();
        assert!(theirs.descriptors >= 3 && theirs.threads == 1 && theirs.memory > 0, "{theirs:?}");
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        assert_eq!(Upkeep::of(&proc, child.0.id()).unwrap(), None);
    }

    #[test]
    fn memory_is_that_of_no_file() {
        let text = b"5581-7ffd ---p 00000000 00:00 0  [rollup]\nRss:  1234 kB\nAnonymous:   300 kB\nSwap:   4 kB\n";
        assert_eq!(memory(text), Some(304 << 10));
        assert_eq!(memory(b"Anonymous: 1 kB\n"), Some(1024));
        assert_eq!(memory(b"Rss: 1 kB\n"), None);
    }
}
