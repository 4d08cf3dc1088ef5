//! What containers of this machine use, from the files of their cgroups: no engine is asked (R11.3).
//!
//! # How a container is found
//!
//! Every process says in `/proc/PID/cgroup` where it is, and the path bears the id of its container, whichever engine,
//! driver and parent made it. So one look at all processes finds any number of containers, and no path is put together
//! from a template. Numbers of processes that an engine tells are not used: it may live in another PID namespace, in a
//! virtual machine or behind a forwarded socket, and its number 4711 is somebody else here. The process that was started
//! first is the main one; its folder in `/proc` is opened once and stays, so what is read below it later is of this
//! process or of none. With its start time and the inode of the cgroup it makes the life that counters belong to.
//!
//! # What is read
//!
//! | | cgroup v1 | cgroup v2 |
//! |---|---|---|
//! | CPU time | `cpuacct.usage` | `cpu.stat` |
//! | memory | `memory.usage_in_bytes`, `memory.stat` | `memory.current`, `memory.max`, `memory.stat` |
//! | storage | `blkio.throttle.io_service_bytes_recursive` | `io.stat` |
//! | tasks | `pids.current` | `pids.current` |
//! | network | `/proc/PID/net/dev` of the main process | the same |
//!
//! On a hybrid machine each controller is read where it is. Files are opened once and read again at their beginning, as
//! long as descriptors last; the rest are opened each time. Containers that share a network have the same traffic, as
//! their engine tells it too: it is read once a round. What moves in the network of the host is nobody's.

mod files;
mod network;
mod source;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

use vigie_core::docker::cgroup::innermost;
use vigie_core::docker::stats::{Counters, Files, Host, How, Key, Look, Wanted};

use crate::cgroup::Trees;
use crate::error::OsError;
use crate::proc::{Proc, stat};
use crate::{clock, processors};
use files::Container;
use network::Networks;

/// Descriptors that are left to everything else.
const LEFT: u64 = 256;

/// The containers of this machine that were found.
#[derive(Debug)]
pub struct Containers {
    proc: Proc,
    trees: Trees,
    known: HashMap<Arc<str>, Container>,
    networks: Networks,
    host: Host,
    /// Descriptors that may still be kept.
    room: u64,
    buffer: Vec<u8>,
}

/// The process that was started first in a container.
#[derive(Debug, Clone, Copy)]
struct Main {
    pid: u32,
    start_ticks: u64,
}

impl Containers {
    /// Knows none yet.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or shows another PID namespace.
    pub fn new() -> Result<Self, OsError> {
        let proc = Proc::system()?;
        Self::of(proc, Path::new("/proc"), getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    /// Of a `/proc`, which is opened at `root`, with so many descriptors.
    pub(crate) fn of(proc: Proc, root: &Path, descriptors: u64) -> Result<Self, OsError> {
        let path = root.join("self/mountinfo");
        let mountinfo = std::fs::read(&path).map_err(OsError::on("read", &path))?;
        let networks = Networks::new(&proc);
        let mut buffer = Vec::with_capacity(8 << 10);
        let memory = proc.read_global("meminfo", &mut buffer)?.and_then(memory_total);
        Ok(Self {
            trees: Trees::parse(&mountinfo),
            known: HashMap::new(),
            networks,
            host: Host { cpus: processors::online(), memory },
            room: descriptors.saturating_sub(LEFT),
            buffer,
            proc,
        })
    }

    /// How many were found.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// None was found.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Opens nothing for longer than a look from now on: for comparing what that costs.
    pub fn keep_nothing(&mut self) {
        self.room = 0;
    }

    /// The main processes of these, as far as they are to be seen.
    fn mains(&mut self, wanted: &HashSet<&[u8]>) -> Result<HashMap<Vec<u8>, Main>, OsError> {
        let (mut pids, mut mains) = (Vec::new(), HashMap::<Vec<u8>, Main>::new());
        self.proc.pids(&mut pids)?;
        for pid in pids {
            // One that is gone, or that may not be looked at, is none of them.
            let Ok(Some(content)) = self.proc.read(pid, "cgroup", &mut self.buffer) else { continue };
            let Some(id) = wanted_container(content, wanted) else { continue };
            let id = id.to_vec();
            let Ok(Some(stat)) = self.proc.stat(pid, &mut self.buffer) else { continue };
            let found = Main { pid, start_ticks: stat.start_ticks };
            let main = mains.entry(id).or_insert(found);
            if (found.start_ticks, found.pid) < (main.start_ticks, main.pid) {
                *main = found;
            }
        }
        Ok(mains)
    }
}

impl Files for Containers {
    fn find(&mut self, wanted: &[Wanted<'_>]) -> Result<(), String> {
        let ids: HashSet<&[u8]> = wanted.iter().map(|wanted| wanted.id.as_bytes()).collect();
        let mains = self.mains(&ids).map_err(|error| error.to_string())?;
        for one in wanted {
            let Some(main) = mains.get(one.id.as_bytes()) else { continue };
            let kept = self.room >= files::DESCRIPTORS;
            let found = Container::open(&self.proc, (&self.trees, &self.networks), *main, one, kept, &mut self.buffer);
            if let Some(container) = found {
                self.forget(one.id);
                self.room -= container.descriptors().min(self.room);
                self.known.insert(one.id.into(), container);
            }
        }
        Ok(())
    }

    fn knows(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    fn begin(&mut self) {
        self.networks.begin();
        self.host.cpus = processors::online();
    }

    fn read(&mut self, id: &str) -> Option<Look> {
        let (id, container) = self.known.get_key_value(id)?;
        let key = Key { id: Arc::clone(id), life: container.life() };
        let at = clock::mono();
        match container.read(&mut self.networks, &mut self.buffer) {
            Some(counters) => {
                let counters = Counters { cpus: self.host.cpus, ..counters };
                Some(Look { key, at, how: How::Files, counters })
            }
            None => {
                self.forget(&key.id);
                None
            }
        }
    }

    fn retain(&mut self, keep: &dyn Fn(&str) -> bool) {
        let gone: Vec<Arc<str>> = self.known.keys().filter(|id| !keep(id)).cloned().collect();
        gone.iter().for_each(|id| self.forget(id));
    }

    fn host(&self) -> Host {
        self.host
    }
}

impl Containers {
    fn forget(&mut self, id: &str) {
        if let Some(container) = self.known.remove(id) {
            self.room = self.room.saturating_add(container.descriptors());
        }
    }
}

/// Which of the wanted containers a process is in: the innermost of each of its cgroups.
fn wanted_container<'a>(content: &'a [u8], wanted: &HashSet<&[u8]>) -> Option<&'a [u8]> {
    let paths = content.split(|byte| *byte == b'\n').filter_map(|line| line.splitn(3, |byte| *byte == b':').nth(2));
    paths.filter_map(innermost).map(|(_, id)| id).find(|id| wanted.contains(id))
}

/// `MemTotal:       16314572 kB` (proc_meminfo(5)), in bytes.
fn memory_total(text: &[u8]) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"MemTotal:"))?;
    let kilobytes: u64 = stat::number(line.strip_suffix(b" kB")?.trim_ascii())?;
    kilobytes.checked_mul(1024)
}
