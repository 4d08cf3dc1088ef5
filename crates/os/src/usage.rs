//! What a run uses: CPU time, memory, processes, threads (R10.2).
//!
//! A run is measured as its tree is contained. A cgroup v2 folder counts the CPU time of every process that ever was
//! in it; its `cpu.stat` is kept open, and one short read tells whether the run did anything at all. Where it did not,
//! the rest cannot have changed much and is not read again: a thousand idle runs cost a thousand reads of two
//! microseconds. Without such a folder the times of the processes are added up; what a process used between the last
//! look and its end is then lost, so the value is a lower bound.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use vigie_core::clock::Mono;
use vigie_core::identity::ProcKey;
use vigie_core::launch::Containment;

use crate::cgroup::Cgroup;
use crate::error::OsError;
use crate::proc::{Proc, stat};

/// The processes of a run.
#[derive(Debug)]
pub enum Tree {
    /// Those in a cgroup and below it.
    Cgroup(Cgroup),
    /// Those below this process, which is the keeper, without it.
    Below(ProcKey),
    /// This process and those below it: an adopted one, of which nobody here is the parent.
    From(ProcKey),
}

impl Tree {
    /// The numbers of all its processes now. `None` when the folder or the keeper is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn members(&self, proc: &Proc) -> Result<Option<Vec<u32>>, OsError> {
        match self {
            Tree::Cgroup(cgroup) => {
                let pids = cgroup.processes();
                Ok((!pids.is_empty() || cgroup.path().exists()).then_some(pids))
            }
            Tree::Below(keeper) => {
                if !proc.is_alive(keeper)? {
                    return Ok(None);
                }
                let members = proc.descendants(keeper.pid)?;
                Ok(Some(members.into_iter().filter(|member| !member.zombie).map(|member| member.pid).collect()))
            }
            Tree::From(main) => {
                if !proc.is_alive(main)? {
                    return Ok(None);
                }
                let below = proc.descendants(main.pid)?.into_iter().filter(|member| !member.zombie);
                Ok(Some(std::iter::once(main.pid).chain(below.map(|member| member.pid)).collect()))
            }
        }
    }
}

/// What a run uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// CPU time since the last sample, in percent of one core. Absent in the first.
    pub cpu_percent_of_core: Option<f64>,
    /// In bytes: what its cgroup is charged for, else the sum of the resident sets.
    pub memory_bytes: u64,
    /// Its processes.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
}

/// Measures one run again and again.
#[derive(Debug)]
pub struct Meter {
    tree: Tree,
    counter: Counter,
    last: Option<Last>,
}

/// Where the CPU time comes from.
#[derive(Debug)]
enum Counter {
    /// `cpu.stat` of the cgroup, opened with the first sample.
    Cgroup(Option<OwnedFd>),
    /// Per process: number, start, and the ticks that it had used.
    Processes(Vec<(u32, u64, u64)>),
}

#[derive(Debug)]
struct Last {
    at: Mono,
    cpu_nanos: u64,
    usage: Usage,
}

impl Meter {
    /// Has measured nothing yet.
    pub fn new(tree: Tree) -> Self {
        let counter = match &tree {
            Tree::Cgroup(cgroup) if cgroup.containment() == Containment::Cgroup2 => Counter::Cgroup(None),
            // The v1 tree that holds runs together is the freezer's, which counts no time.
            Tree::Cgroup(_) | Tree::Below(_) | Tree::From(_) => Counter::Processes(Vec::new()),
        };
        Self { tree, counter, last: None }
    }

    /// The tree that it measures.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Measures now. `None` when the run is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn sample(&mut self, proc: &Proc, now: Mono) -> Result<Option<Usage>, OsError> {
        let (cpu_nanos, rest) = match (&mut self.counter, &self.tree) {
            (Counter::Cgroup(file), Tree::Cgroup(cgroup)) => {
                let Some(cpu_nanos) = cgroup_cpu(file, cgroup.path())? else { return Ok(None) };
                match &self.last {
                    Some(last) if last.cpu_nanos == cpu_nanos => (cpu_nanos, last.usage),
                    _ => {
                        let Some(pids) = self.tree.members(proc)? else { return Ok(None) };
                        let mut usage = add_up(proc, &pids, |_, _, _| {})?;
                        if let Some(charged) = charged(cgroup.path())? {
                            usage.memory_bytes = charged;
                        }
                        (cpu_nanos, usage)
                    }
                }
            }
            (Counter::Processes(known), tree) => {
                let Some(pids) = tree.members(proc)? else { return Ok(None) };
                let mut seen = Vec::with_capacity(pids.len());
                let usage = add_up(proc, &pids, |pid, start, ticks| seen.push((pid, start, ticks)))?;
                let before = self.last.as_ref().map_or(0, |last| last.cpu_nanos);
                let used = ticks_between(known, &seen).saturating_mul(nanos_per_tick());
                *known = seen;
                (before.saturating_add(used), usage)
            }
            // `new` pairs them.
            (Counter::Cgroup(_), Tree::Below(_) | Tree::From(_)) => return Ok(None),
        };
        let cpu_percent_of_core = self.last.as_ref().and_then(|last| {
            let elapsed = now.since(last.at).as_nanos();
            (elapsed > 0).then(|| cpu_nanos.saturating_sub(last.cpu_nanos) as f64 * 100.0 / elapsed as f64)
        });
        let usage = Usage { cpu_percent_of_core, ..rest };
        self.last = Some(Last { at: now, cpu_nanos, usage });
        Ok(Some(usage))
    }
}

/// Ticks that were used between two looks. A process that is new used all of its ticks in between; one that is gone
/// takes what it used since the last look with it.
fn ticks_between(before: &[(u32, u64, u64)], after: &[(u32, u64, u64)]) -> u64 {
    after
        .iter()
        .map(|(pid, start, ticks)| {
            let old = before.iter().find(|(old_pid, old_start, _)| (old_pid, old_start) == (pid, start));
            ticks.saturating_sub(old.map_or(0, |(.., ticks)| *ticks))
        })
        .sum()
}

/// Memory, processes and threads of those that are still there, and each one's ticks to `each`.
fn add_up(proc: &Proc, pids: &[u32], mut each: impl FnMut(u32, u64, u64)) -> Result<Usage, OsError> {
    let mut usage = Usage { cpu_percent_of_core: None, memory_bytes: 0, processes: 0, threads: 0 };
    let page = rustix::param::page_size() as u64;
    let mut buf = Vec::new();
    for &pid in pids {
        let Some(stat) = proc.stat(pid, &mut buf)?.filter(|stat| !stat.is_zombie()) else { continue };
        usage.memory_bytes += stat.rss_pages * page;
        usage.processes += 1;
        usage.threads += stat.threads;
        each(pid, stat.start_ticks, stat.utime_ticks + stat.stime_ticks);
    }
    Ok(usage)
}

fn nanos_per_tick() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// `usage_usec` of `cpu.stat` in nanoseconds; the file is there with or without the cpu controller (cgroup-v2.rst).
/// `None` when the folder is gone.
fn cgroup_cpu(file: &mut Option<OwnedFd>, folder: &Path) -> Result<Option<u64>, OsError> {
    let path = || folder.join("cpu.stat");
    if file.is_none() {
        match openat(CWD, path(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(opened) => *file = Some(opened),
            Err(errno) if is_gone(errno) => return Ok(None),
            Err(errno) => return Err(OsError::on("open", &path())(errno)),
        }
    }
    let Some(opened) = file else { return Ok(None) };
    let mut buf = [0; 64];
    match rustix::io::pread(opened, &mut buf, 0) {
        Ok(length) => match usage_usec(&buf[..length]) {
            Some(micros) => Ok(Some(micros.saturating_mul(1_000))),
            None => Err(OsError::on("understand", &path())(std::io::Error::from(std::io::ErrorKind::InvalidData))),
        },
        Err(errno) if is_gone(errno) => Ok(None),
        Err(errno) => Err(OsError::on("read", &path())(errno)),
    }
}

/// The first line of `cpu.stat`: `usage_usec 123`.
fn usage_usec(text: &[u8]) -> Option<u64> {
    let (line, _) = text.split_at(text.iter().position(|byte| *byte == b'\n')?);
    stat::number(line.strip_prefix(b"usage_usec ")?)
}

/// `memory.current` in bytes; `None` when the memory controller is not at work in this cgroup.
fn charged(folder: &Path) -> Result<Option<u64>, OsError> {
    let path = folder.join("memory.current");
    Ok(read_small(&path)?.and_then(|text| stat::number(text.trim_ascii())))
}

/// A whole file of a cgroup; `None` when it is not there.
fn read_small(path: &Path) -> Result<Option<Vec<u8>>, OsError> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(errno) if is_gone(errno) => Ok(None),
            _ => Err(OsError::on("read", path)(error)),
        },
    }
}

/// The folder is not there any more: `ENODEV` comes from a file that was opened before (kernfs).
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};
    use std::time::Duration;

    use crate::clock;

    /// Ends with all that it started.
    struct Group(Child);

    impl Drop for Group {
        fn drop(&mut self) {
            if let Some(group) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }

    #[test]
    fn the_first_sample_knows_no_cpu() {
        let proc = Proc::system().unwrap();
        let me = proc.key(std::process::id()).unwrap().unwrap();
        // A child that works, and one that sleeps below it.
        let child =
            Group(Command::new("sh").args(["-c", "sleep 60 & while :; do :; done"]).process_group(0).spawn().unwrap());
        let tree = Tree::Below(proc.key(child.0.id()).unwrap().unwrap());
        let deadline = clock::mono() + Duration::from_secs(20);
        while tree.members(&proc).unwrap().is_none_or(|pids| pids.is_empty()) {
            assert!(clock::mono() < deadline, "no child came");
            std::thread::yield_now();
        }
        let mut above = Meter::new(Tree::Below(me));
        let first = above.sample(&proc, clock::mono()).unwrap().unwrap();
        assert_eq!(first.cpu_percent_of_core, None);
        assert!(first.processes >= 2 && first.threads >= 2 && first.memory_bytes > 0, "{first:?}");
        loop {
            assert!(clock::mono() < deadline, "a working process uses no time");
            let next = above.sample(&proc, clock::mono()).unwrap().unwrap();
            if next.cpu_percent_of_core.expect("second sample") > 1.0 {
                break;
            }
            std::thread::yield_now();
        }
        let sleeper = tree.members(&proc).unwrap().unwrap();
        let mut below = Meter::new(tree);
        assert_eq!(below.sample(&proc, clock::mono()).unwrap().unwrap().processes, 1);
        let target = crate::pidfd::Target::open_pid(&proc, sleeper[0]).unwrap().unwrap();
        target.send(vigie_core::ladder::Signal::Kill).unwrap();
        assert!(target.wait(deadline).unwrap());
        drop(child);
        assert_eq!(below.sample(&proc, clock::mono()).unwrap(), None);
    }

    #[test]
    fn ticks_of_newcomers_count_and_numbers_given_out_again_do_not_mix() {
        let before = [(1, 10, 100), (2, 11, 50)];
        assert_eq!(ticks_between(&before, &[(1, 10, 103), (3, 12, 4)]), 7);
        assert_eq!(ticks_between(&before, &[(2, 99, 2)]), 2, "another process with the old number");
        assert_eq!(ticks_between(&before, &[]), 0);
    }

    /// A folder that looks like a cgroup.
    #[test]
    fn a_cgroup_is_read_with_what_lies_below() {
        let proc = Proc::system().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let me = std::process::id();
        std::fs::write(folder.path().join("cgroup.procs"), format!("{me}\n")).unwrap();
        std::fs::write(inner.join("cgroup.procs"), "4294967295\n").unwrap();
        std::fs::write(folder.path().join("cpu.stat"), "usage_usec 1000\nuser_usec 1\n").unwrap();
        std::fs::write(folder.path().join("cgroup.events"), "populated 1\n").unwrap();
        let tree = Tree::Cgroup(Cgroup::existing(folder.path()).unwrap());
        assert_eq!(tree.members(&proc).unwrap(), Some(vec![me, u32::MAX]));
        let mut meter = Meter::new(tree);
        let first = meter.sample(&proc, Mono(0)).unwrap().unwrap();
        assert_eq!((first.cpu_percent_of_core, first.processes), (None, 1));
        // Nothing used: the rest is not read again.
        std::fs::write(folder.path().join("memory.current"), "4096\n").unwrap();
        let second = meter.sample(&proc, Mono(1_000_000)).unwrap().unwrap();
        assert_eq!((second.cpu_percent_of_core, second.memory_bytes), (Some(0.0), first.memory_bytes));
        std::fs::write(folder.path().join("cpu.stat"), "usage_usec 1500\n").unwrap();
        let third = meter.sample(&proc, Mono(2_000_000)).unwrap().unwrap();
        assert_eq!((third.cpu_percent_of_core, third.memory_bytes), (Some(50.0), 4096));
        folder.close().unwrap();
        let gone = Cgroup::existing(Path::new("/nonexistent/vigie"));
        assert!(gone.is_none());
        // What was opened before still answers in a folder that is none of the kernel's; who is in it cannot be told.
        assert_eq!(meter.tree().members(&proc).unwrap(), None);
    }

    #[test]
    fn the_first_line_of_cpu_stat() {
        assert_eq!(usage_usec(b"usage_usec 42\nuser_usec 1\n"), Some(42));
        for bad in [b"".as_slice(), b"usage_usec 42", b"user_usec 42\n", b"usage_usec x\n"] {
            assert_eq!(usage_usec(bad), None);
        }
    }
}
