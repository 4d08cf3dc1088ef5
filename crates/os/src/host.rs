//! The machine as a whole: what its processors did, and how its memory stands (proc_stat(5), proc_meminfo(5)).

use std::path::Path;

use crate::error::OsError;
use crate::proc::stat::number;

/// What all processors did since the machine was started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Neither idle nor idle while storage was waited for.
    pub busy: u64,
    /// All of it.
    pub all: u64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What there is.
    pub total: u64,
    /// What is left for new programs, as the kernel estimates it.
    pub available: u64,
}

/// A look at it. What is not told is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Processors.
    pub times: Option<Times>,
    /// Memory.
    pub memory: Option<Memory>,
}

impl Look {
    /// Looks now; `proc` is where `/proc` lies.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be read.
    pub fn take(proc: &Path) -> Result<Self, OsError> {
        let read = |name: &str| {
            let path = proc.join(name);
            std::fs::read(&path).map_err(OsError::on("read", &path))
        };
        Ok(Self { times: times(&read("stat")?), memory: memory(&read("meminfo")?) })
    }

    /// In percent of all processors, what they did between `before` and this look. Absent where nothing passed, or a counter
    /// fell, as that of waiting does on some machines.
    pub fn busy_percent(&self, before: &Self) -> Option<f64> {
        let (before, now) = (before.times?, self.times?);
        let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let busy = now.busy.checked_sub(before.busy)?;
        Some((busy as f64 * 100.0 / all as f64).min(100.0))
    }
}

/// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`; the time of guests is in that of users already.
fn times(text: &[u8]) -> Option<Times> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"cpu "))?;
    let mut fields = [0_u64; 8];
    let mut found = 0;
    for (field, word) in fields.iter_mut().zip(line.split(|byte| *byte == b' ').filter(|word| !word.is_empty())) {
        *field = number(word)?;
        found += 1;
    }
    let all = fields.iter().try_fold(0_u64, |sum, field| sum.checked_add(*field))?;
    (found >= 4).then_some(Times { busy: all - fields[3] - fields[4], all })
}

fn memory(text: &[u8]) -> Option<Memory> {
    let value = |name: &[u8]| {
        let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = number(line.trim_ascii().split(|byte| *byte == b' ').next()?)?;
        kibibytes.checked_mul(1024)
    };
    Some(Memory { total: value(b"MemTotal:")?, available: value(b"MemAvailable:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_files_say() {
        let stat = b"cpu  10 1 5 100 20 2 3 4 7 0\ncpu0 10 1 5 100 20 2 3 4 7 0\nintr 5\n";
        assert_eq!(times(stat), Some(Times { busy: 25, all: 145 }));
        assert_eq!(times(b"cpu  1 2 3 4\n"), Some(Times { busy: 6, all: 10 }), "as old kernels wrote it");
        for bad in [&b""[..], b"cpu  1 2 3\n", b"cpu  1 x 3 4\n", b"cpu0 1 2 3 4\n"] {
            assert_eq!(times(bad), None);
        }
        let meminfo = b"MemTotal:        2048 kB\nMemFree:  1 kB\nMemAvailable:    512 kB\n";
        assert_eq!(memory(meminfo), Some(Memory { total: 2 << 20, available: 512 << 10 }));
        assert_eq!(memory(b"MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn what_passed_between_two_looks() {
        let look = |busy, all| Look { times: Some(Times { busy, all }), memory: None };
        for (before, now, percent) in [
            (look(10, 100), look(60, 200), Some(50.0)),
            (look(10, 100), look(10, 100), None),
            (look(10, 100), look(9, 200), None),
            (look(10, 100), look(5, 50), None),
            (Look::default(), look(5, 50), None),
        ] {
            assert_eq!(now.busy_percent(&before), percent);
        }
        let here = Look::take(Path::new("/proc")).unwrap();
        assert!(here.memory.is_some_and(|memory| memory.available <= memory.total) && here.times.is_some());
        assert!(Look::take(Path::new("/nowhere")).is_err());
    }
}
