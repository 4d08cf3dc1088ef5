//! The files of one container.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, statat};

use vigie_core::docker::cgroup::innermost;
use vigie_core::docker::stats::{Counters, Memory, Wanted};

use super::Main;
use super::network::{Namespace, Networks};
use super::source::{Read, Source, below};
use crate::cgroup::Trees;
use crate::proc::{Proc, stat, text};

/// The most descriptors that one container takes.
pub(super) const DESCRIPTORS: u64 = 7;

/// A container of which some file can be read.
#[derive(Debug)]
pub(super) struct Container {
    /// The folder of its main process in `/proc`.
    process: OwnedFd,
    network: Namespace,
    life: u64,
    cpu: Option<(Version, Source)>,
    memory: Option<Source>,
    memory_stat: Option<(Version, Source)>,
    /// Of v2 alone: with v1 the limit stands in `memory.stat`.
    memory_max: Option<Source>,
    storage: Option<(Version, Source)>,
    tasks: Option<Source>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Where the cgroups of a container are.
struct Folders<'a> {
    trees: &'a Trees,
    /// The content of `/proc/PID/cgroup`.
    content: &'a [u8],
    id: &'a str,
}

impl Folders<'_> {
    /// The folder for a controller: in the v1 tree that has it, else in the v2 tree. Absent when neither path bears the id of
    /// the container: the controller is off, and what is there is somebody else's.
    fn of(&self, controller: &str) -> Option<(Version, PathBuf)> {
        let folder = |controller: Option<&[u8]>| {
            let path = text::cgroup_path(self.content, controller)?;
            let (path, id) = innermost(path)?;
            if id == self.id.as_bytes() { self.trees.folder(controller, path) } else { None }
        };
        let v1 = folder(Some(controller.as_bytes())).map(|path| (Version::V1, path));
        v1.or_else(|| folder(None).map(|path| (Version::V2, path)))
    }
}

/// The file of a controller, by the name that it has in the version that is at work.
fn source(folder: Option<&(Version, PathBuf)>, v1: &str, v2: &str, kept: bool) -> Option<(Version, Source)> {
    let (version, folder) = folder?;
    let name = if *version == Version::V1 { v1 } else { v2 };
    Some((*version, Source::open(folder, name, kept)?))
}

impl Container {
    /// Opens what there is of it. `None` when its main process is not there any more, or nothing can be read.
    pub(super) fn open(
        proc: &Proc,
        (trees, networks): (&Trees, &Networks),
        main: Main,
        wanted: &Wanted<'_>,
        kept: bool,
        buffer: &mut Vec<u8>,
    ) -> Option<Self> {
        let process = proc.folder(main.pid).ok()?;
        // The number may be another one's by now; what is read below this folder is not.
        let same = stat::parse(below(process.as_fd(), "stat", buffer).ok()?)?.start_ticks == main.start_ticks;
        let content = below(process.as_fd(), "cgroup", buffer).ok().filter(|_| same)?.to_vec();
        let network = if wanted.no_network { Namespace::OfTheHost } else { networks.of(process.as_fd()) };
        let folders = Folders { trees, content: &content, id: wanted.id };
        let [cpu, memory, blkio, pids] = ["cpuacct", "memory", "blkio", "pids"].map(|name| folders.of(name));
        let memory_stat = source(memory.as_ref(), "memory.stat", "memory.stat", kept);
        let v2 = memory.as_ref().filter(|(version, _)| *version == Version::V2);
        let plain = |found: Option<(Version, Source)>| found.map(|(_, source)| source);
        let found = Self {
            network,
            life: main.start_ticks ^ first_inode([&cpu, &memory, &blkio, &pids])?.rotate_left(20),
            cpu: source(cpu.as_ref(), "cpuacct.usage", "cpu.stat", kept),
            memory: plain(source(memory.as_ref(), "memory.usage_in_bytes", "memory.current", kept)),
            memory_stat,
            memory_max: v2.and_then(|(_, folder)| Source::open(folder, "memory.max", kept)),
            storage: source(blkio.as_ref(), "blkio.throttle.io_service_bytes_recursive", "io.stat", kept)
                // Before Linux 5.9 (Documentation/admin-guide/cgroup-v1/blkio-controller.rst).
                .or_else(|| source(blkio.as_ref(), "blkio.throttle.io_service_bytes", "io.stat", kept)),
            tasks: plain(source(pids.as_ref(), "pids.current", "pids.current", kept)),
            process,
        };
        (found.cpu.is_some() || found.memory.is_some()).then_some(found)
    }

    /// A number that is another one after each start.
    pub(super) fn life(&self) -> u64 {
        self.life
    }

    /// Descriptors that it takes.
    pub(super) fn descriptors(&self) -> u64 {
        1 + self.sources().filter(|source| source.is_kept()).count() as u64
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        let versioned = [&self.cpu, &self.memory_stat, &self.storage].into_iter().flatten().map(|(_, source)| source);
        versioned.chain([&self.memory, &self.memory_max, &self.tasks].into_iter().flatten())
    }

    /// Reads it. `None` when it is gone. How many processors there are, others know.
    pub(super) fn read(&self, networks: &mut Networks, buffer: &mut Vec<u8>) -> Option<Counters> {
        let mut gone = false;
        let mut counters = Counters::default();
        let mut memory = Memory::default();
        let mut with =
            |source: Option<&Source>, take: &mut dyn FnMut(&[u8])| match source.map(|source| source.read(buffer)) {
                Some(Read::Content(content)) => take(content),
                Some(Read::Gone) => gone = true,
                Some(Read::Nothing) | None => {}
            };
        if let Some((version, source)) = &self.cpu {
            with(Some(source), &mut |content| counters.cpu_nanos = cpu_nanos(*version, content));
        }
        with(self.memory.as_ref(), &mut |content| memory.usage = stat::number(content.trim_ascii()));
        if let Some((version, source)) = &self.memory_stat {
            with(Some(source), &mut |content| take_memory_stat(*version, content, &mut memory));
        }
        with(self.memory_max.as_ref(), &mut |content| memory.limit = stat::number(content.trim_ascii()));
        if let Some((version, source)) = &self.storage {
            with(Some(source), &mut |content| {
                (counters.read_bytes, counters.written_bytes) = moved(*version, content).map_or((None, None), both);
            });
        }
        with(self.tasks.as_ref(), &mut |content| counters.tasks = stat::number(content.trim_ascii()));
        if gone {
            return None;
        }
        counters.memory = Some(memory).filter(|memory| *memory != Memory::default());
        // A cgroup that outlived its container may be another one's by now.
        let traffic = networks.traffic(self.network, self.process.as_fd(), buffer)?;
        (counters.received_bytes, counters.sent_bytes) = traffic.map_or((None, None), both);
        Some(counters)
    }
}

fn both((first, second): (u64, u64)) -> (Option<u64>, Option<u64>) {
    (Some(first), Some(second))
}

/// Of the first folder that there is: another one for each cgroup that is made.
fn first_inode(folders: [&Option<(Version, PathBuf)>; 4]) -> Option<u64> {
    let inode = |folder: &Path| Some(statat(CWD, folder, AtFlags::empty()).ok()?.st_ino);
    folders.into_iter().flatten().find_map(|(_, folder)| inode(folder))
}

/// `cpuacct.usage` is nanoseconds; `cpu.stat` begins with `usage_usec 123`.
fn cpu_nanos(version: Version, content: &[u8]) -> Option<u64> {
    match version {
        Version::V1 => stat::number(content.trim_ascii()),
        Version::V2 => field(content, b"usage_usec ")?.checked_mul(1_000),
    }
}

/// The number behind a name at the beginning of a line.
fn field(content: &[u8], name: &[u8]) -> Option<u64> {
    content.split(|byte| *byte == b'\n').find_map(|line| stat::number(line.strip_prefix(name)?))
}

fn take_memory_stat(version: Version, content: &[u8], memory: &mut Memory) {
    for line in content.split(|byte| *byte == b'\n') {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else { continue };
        let (name, number) = (&line[..space], stat::number(&line[space + 1..]));
        match (name, version) {
            (b"inactive_file", _) => memory.inactive_file = number,
            (b"total_inactive_file", Version::V1) => memory.total_inactive_file = number,
            // Its own limit and those above it; without any a number that no machine has.
            (b"hierarchical_memory_limit", Version::V1) => memory.limit = number,
            _ => {}
        }
    }
}

/// Bytes read and written, of all devices. No device: nothing was moved yet.
fn moved(version: Version, content: &[u8]) -> Option<(u64, u64)> {
    let (mut read, mut written) = (0_u64, 0_u64);
    for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut words = line.split(|byte| *byte == b' ');
        match version {
            // `8:0 Read 4096`; at the end `Total 4096`.
            Version::V1 => match (words.next(), words.next(), words.next()) {
                (Some(_), Some(b"Read"), Some(bytes)) => read = read.saturating_add(stat::number(bytes)?),
                (Some(_), Some(b"Write"), Some(bytes)) => written = written.saturating_add(stat::number(bytes)?),
                _ => {}
            },
            // `8:0 rbytes=1459200 wbytes=314773504 rios=192 …`
            Version::V2 => {
                for word in words {
                    if let Some(bytes) = word.strip_prefix(b"rbytes=") {
                        read = read.saturating_add(stat::number(bytes)?);
                    } else if let Some(bytes) = word.strip_prefix(b"wbytes=") {
                        written = written.saturating_add(stat::number(bytes)?);
                    }
                }
            }
        }
    }
    Some((read, written))
}
