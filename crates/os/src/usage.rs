//! What a run uses: CPU time, memory, storage, processes, threads, descriptors (R10.2).
//!
//! A run is measured as its tree is contained. A cgroup v2 folder counts the CPU time of every process that ever was
//! in it; its `cpu.stat` is kept open, and one short read tells whether the run did anything at all. Where it did not,
//! the rest cannot have changed much and is not read again: a thousand idle runs cost a thousand reads of two
//! microseconds. Without such a folder the times of the processes are added up; what a process used between the last
//! look and its end is then lost, so the value is a lower bound. So is what was read and written: the processes tell it.

mod members;

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
use members::{Member, add_up, moved_between, ticks_between};

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
    /// Bytes a second that were read from storage since the last sample. Absent in the first, and when it may not be seen.
    pub read_bytes_per_second: Option<u64>,
    /// The same, given to storage.
    pub written_bytes_per_second: Option<u64>,
    /// Their open descriptors. Absent when they may not be seen.
    pub descriptors: Option<u32>,
}

/// Measures one run again and again.
#[derive(Debug)]
pub struct Meter {
    tree: Tree,
    counter: Counter,
    /// The processes of the last look.
    members: Vec<Member>,
    last: Option<Last>,
}

/// Where the CPU time comes from.
#[derive(Debug)]
enum Counter {
    /// `cpu.stat` of the cgroup, opened with the first sample.
    Cgroup(Option<OwnedFd>),
    /// What each process has used.
    Processes,
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
            Tree::Cgroup(_) | Tree::Below(_) | Tree::From(_) => Counter::Processes,
        };
        Self { tree, counter, members: Vec::new(), last: None }
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
        let elapsed =
            self.last.as_ref().map_or(0, |last| u64::try_from(now.since(last.at).as_nanos()).unwrap_or(u64::MAX));
        let (cpu_nanos, rest) = match (&mut self.counter, &self.tree) {
            (Counter::Cgroup(file), Tree::Cgroup(cgroup)) => {
                let Some(cpu_nanos) = cgroup_cpu(file, cgroup.path())? else { return Ok(None) };
                match &self.last {
                    // Who does nothing moves nothing.
                    Some(last) if last.cpu_nanos == cpu_nanos => (cpu_nanos, at_rest(last.usage, &self.members)),
                    _ => {
                        let Some(pids) = self.tree.members(proc)? else { return Ok(None) };
                        let (mut usage, members) = add_up(proc, &pids)?;
                        self.take(&mut usage, members, elapsed);
                        if let Tree::Cgroup(cgroup) = &self.tree
                            && let Some(charged) = charged(cgroup.path())?
                        {
                            usage.memory_bytes = charged;
                        }
                        (cpu_nanos, usage)
                    }
                }
            }
            (Counter::Processes, tree) => {
                let Some(pids) = tree.members(proc)? else { return Ok(None) };
                let (mut usage, members) = add_up(proc, &pids)?;
                let before = self.last.as_ref().map_or(0, |last| last.cpu_nanos);
                let used = ticks_between(&self.members, &members).saturating_mul(nanos_per_tick());
                self.take(&mut usage, members, elapsed);
                (before.saturating_add(used), usage)
            }
            // `new` pairs them.
            (Counter::Cgroup(_), Tree::Below(_) | Tree::From(_)) => return Ok(None),
        };
        let cpu_percent_of_core = self
            .last
            .as_ref()
            .filter(|_| elapsed > 0)
            .map(|last| cpu_nanos.saturating_sub(last.cpu_nanos) as f64 * 100.0 / elapsed as f64);
        let usage = Usage { cpu_percent_of_core, ..rest };
        self.last = Some(Last { at: now, cpu_nanos, usage });
        Ok(Some(usage))
    }

    /// Remembers the processes of this look, and tells what was moved since the last.
    fn take(&mut self, usage: &mut Usage, members: Vec<Member>, elapsed: u64) {
        if self.last.is_some() && elapsed > 0 {
            let moved = moved_between(&self.members, &members);
            let rate =
                |bytes: u64| u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(elapsed)).unwrap_or(u64::MAX);
            usage.read_bytes_per_second = moved.map(|moved| rate(moved.read));
            usage.written_bytes_per_second = moved.map(|moved| rate(moved.written));
        }
        self.members = members;
    }
}

/// What a run uses that did nothing since the last look.
fn at_rest(last: Usage, members: &[Member]) -> Usage {
    let seen = members.iter().all(|member| member.moved.is_some());
    let nothing = seen.then_some(0);
    Usage { read_bytes_per_second: nothing, written_bytes_per_second: nothing, ..last }
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
mod tests;
