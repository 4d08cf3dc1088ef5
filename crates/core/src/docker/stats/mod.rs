//! What containers use (R10.2, R11.3): counters that were read of one at two moments become what is stored of it.
//!
//! # Theory of operation
//!
//! A reader, whichever it is, makes a [`Look`] of a container: its counters at one moment, the moment, and which life of
//! which container they belong to. [`readings`] makes of the look before and this one what is stored. The look before is
//! always the caller's own: what an engine sends along as *previous* (`precpu_stats`) is empty in its first answer and of
//! another interval in the others.
//!
//! Nothing is made up. A rate needs two looks of the same life that were read the same way, a time between them and
//! counters that did not fall; a percentage of the host needs the number of *its* processors. What is missing is left out,
//! as is a number that cannot be: more CPU time than the processors had, or more bytes than can be stored.
//!
//! # The rules
//!
//! | what | rule |
//! |---|---|
//! | CPU, Linux | share of the system's counter, times its processors, as `docker stats` has it |
//! | … without that counter, with one that is no such time (Podman), after a change of the processors; Windows | CPU time by the time that passed |
//! | memory, Linux | usage less the inactive page cache: `total_inactive_file` of cgroup v1 first, which counts cgroups below too, else `inactive_file` |
//! | … where that is not less than the usage | the usage |
//! | memory, Windows | the private working set |
//! | memory that is not counted | absent: a usage of 0 means that the controller is off |
//! | limit | absent when it is that of the machine, or the machine's is not known |
//! | storage | `read` and `write` of all devices, however they are spelt |
//! | network | all interfaces; absent in the network of the host |
//! | processes | the kernel's pids controller counts threads, so they are [`Metric::Threads`] |

mod body;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Mono;
use crate::docker::event::Nanos;
use crate::samples::{Metric, Readings};

pub use body::{Body, parse};

/// How a container was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The files of its cgroup, on this machine.
    Files,
    /// A single sample of the engine (API 1.41).
    OneShot,
    /// A sample of an engine that knows no single ones: it takes two, a second apart, and answers with the later.
    TwoSamples,
    /// The engine's stream of samples.
    Stream,
}

impl How {
    /// For people: `cgroup files`, `one-shot API`, `two-sample API`, `stream`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "cgroup files",
            Self::OneShot => "one-shot API",
            Self::TwoSamples => "two-sample API",
            Self::Stream => "stream",
        }
    }
}

/// One life of one container: counters begin anew with each start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its id.
    pub id: Arc<str>,
    /// Another number after each start: the inode of its cgroup, or a count of the starts that were noticed.
    pub life: u64,
}

/// The memory of a container, in bytes, as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// What it is charged for, page cache included.
    pub usage: Option<u64>,
    /// What it may use. Where nothing was set, engines tell the memory of the machine.
    pub limit: Option<u64>,
    /// The part of the page cache that is about to be given back, cgroups below included (cgroup v1).
    pub total_inactive_file: Option<u64>,
    /// The same: of this cgroup alone with v1, with those below it with v2.
    pub inactive_file: Option<u64>,
    /// The private working set (Windows).
    pub private_working_set: Option<u64>,
}

/// What was read of a container at one moment. What was not seen is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// When, on the engine's clock.
    pub read: Option<Nanos>,
    /// CPU time since it was started, in nanoseconds, all processors together.
    pub cpu_nanos: Option<u64>,
    /// CPU time that all processors of the host had, idle or not, in nanoseconds.
    pub system_nanos: Option<u64>,
    /// Processors that its host has at work.
    pub cpus: Option<u32>,
    /// Its memory. Absent when nothing at all is told of it.
    pub memory: Option<Memory>,
    /// Bytes read from storage since it was started.
    pub read_bytes: Option<u64>,
    /// Bytes written to storage.
    pub written_bytes: Option<u64>,
    /// Bytes that came in over the network.
    pub received_bytes: Option<u64>,
    /// Bytes that went out.
    pub sent_bytes: Option<u64>,
    /// Its tasks: what the pids controller counts, threads included (cgroup-v2.rst).
    pub tasks: Option<u64>,
}

impl Counters {
    /// As Podman tells them: what it calls the time of the system is that for which its processors were busy (cgroup v1: the
    /// root's `cpuacct.usage`), or the container's own. A part of that says nothing of a machine that is not busy all the time.
    #[must_use]
    pub fn of_podman(self) -> Self {
        Self { system_nanos: None, ..self }
    }
}

/// What was read of a container, when, how, and of which life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Whose counters they are.
    pub key: Key,
    /// When, on our own clock.
    pub at: Mono,
    /// How.
    pub how: How,
    /// The counters.
    pub counters: Counters,
}

/// The host of an engine, as far as it is known. Never this machine in the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Host {
    /// Processors at work.
    pub cpus: Option<u32>,
    /// Its memory in bytes.
    pub memory: Option<u64>,
}

/// A container whose cgroup is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its id.
    pub id: &'a str,
    /// It has no network of its own: what moves in that of the host is nobody's.
    pub no_network: bool,
}

/// Reads containers of this machine without their engine. Implemented where the kernel is asked.
pub trait Files: Send {
    /// Looks for these among the processes of this machine; [`Files::knows`] tells which were found. Those that are in no
    /// cgroup that bears their id run elsewhere, whatever their engine says.
    ///
    /// # Errors
    /// What the kernel says, as text: nothing can be found.
    fn find(&mut self, wanted: &[Wanted<'_>]) -> Result<(), String>;

    /// Whether this one was found.
    fn knows(&self, id: &str) -> bool;

    /// A new round begins: what is shared between containers is read anew.
    fn begin(&mut self);

    /// Reads one that was found. `None` when it is not there any more; it is forgotten then.
    fn read(&mut self, id: &str) -> Option<Look>;

    /// Forgets all but these.
    fn retain(&mut self, keep: &dyn Fn(&str) -> bool);

    /// This machine.
    fn host(&self) -> Host;
}

/// Less time between two looks says nothing: counters of the system go in steps of ten milliseconds.
const LEAST: Duration = Duration::from_millis(100);

/// How far the time between two looks may differ on the engine's clock and on ours, because the engine read them at
/// another moment than it was asked. What differs more comes from a clock that was set.
const DIFFERENCE: Duration = Duration::from_secs(5);

/// CPU time beyond that of all processors that is taken for the error of two clocks: a quarter.
const SLACK: f64 = 1.25;

/// More processors than any machine has (`NR_CPUS` of Linux is at most 8,192).
const MOST_CPUS: u32 = 8_192;

/// Above 2^53 a float has holes; nothing that is larger is stored.
const LARGEST: u64 = 1 << 53;

/// What is stored of a container, made of the look before and this one. Ascending by the number of the metric.
pub fn readings(before: Option<&Look>, now: &Look, host: &Host) -> Readings {
    let counters = &now.counters;
    let memory = counters.memory;
    let pair = before.and_then(|before| Pair::new(before, now));
    let cpu = pair.as_ref().and_then(|pair| pair.cpu(host));
    let rate = |of: fn(&Counters) -> Option<u64>| pair.as_ref().and_then(|pair| pair.rate(of));
    let all = [
        (Metric::CpuOfCore, cpu.and_then(|cpu| Metric::CpuOfCore.stored(cpu.of_core))),
        (Metric::CpuOfHost, cpu.and_then(|cpu| Metric::CpuOfHost.stored(cpu.of_host?))),
        (Metric::Memory, memory.and_then(used)),
        (Metric::Read, rate(|counters| counters.read_bytes)),
        (Metric::Written, rate(|counters| counters.written_bytes)),
        (Metric::Threads, counters.tasks.filter(|tasks| *tasks > 0)),
        (Metric::Received, rate(|counters| counters.received_bytes)),
        (Metric::Sent, rate(|counters| counters.sent_bytes)),
        (Metric::MemoryLimit, memory.and_then(|memory| limit(memory, host))),
    ];
    let seen = |(metric, value): (Metric, Option<u64>)| Some((metric, value.filter(|value| *value <= LARGEST)?));
    all.into_iter().filter_map(seen).collect()
}

/// What the containers of a source use together. Absent where none of them has a value; those that have none, because they
/// were started a moment ago, are not in the sum.
pub fn share<'a>(containers: impl IntoIterator<Item = &'a Readings>) -> Readings {
    const SUMS: [(Metric, Metric); 3] = [
        (Metric::CpuOfCore, Metric::ContainersCpuOfCore),
        (Metric::CpuOfHost, Metric::ContainersCpuOfHost),
        (Metric::Memory, Metric::ContainersMemory),
    ];
    let mut sums: [Option<u64>; 3] = [None; 3];
    for (metric, value) in containers.into_iter().flatten() {
        if let Some(place) = SUMS.iter().position(|(of, _)| of == metric) {
            sums[place] = Some(sums[place].unwrap_or(0).saturating_add(*value));
        }
    }
    let all = SUMS.iter().zip(sums).map(|((_, metric), sum)| (*metric, sum));
    all.filter_map(|(metric, sum)| Some((metric, sum.filter(|sum| *sum <= LARGEST)?))).collect()
}

/// Memory that is used: without the page cache that is about to be given back. Absent when nothing is counted.
fn used(memory: Memory) -> Option<u64> {
    if let Some(private) = memory.private_working_set.filter(|bytes| *bytes > 0) {
        return Some(private);
    }
    // Whatever runs uses some: 0 is what engines tell where the controller is off.
    let usage = memory.usage.filter(|bytes| *bytes > 0)?;
    let cache = memory.total_inactive_file.or(memory.inactive_file).unwrap_or(0);
    Some(usage.checked_sub(cache).filter(|bytes| *bytes > 0).unwrap_or(usage))
}

/// What may be used at most. Absent when that is what the machine has.
fn limit(memory: Memory, host: &Host) -> Option<u64> {
    memory.limit.filter(|limit| *limit > 0 && host.memory.is_some_and(|machine| *limit < machine))
}

/// CPU time in percent.
#[derive(Debug, Clone, Copy)]
struct Cpu {
    of_core: f64,
    of_host: Option<f64>,
}

/// Two looks that may be compared.
struct Pair<'a> {
    before: &'a Counters,
    now: &'a Counters,
    /// The nanoseconds between them; at least [`LEAST`].
    elapsed: u64,
}

impl<'a> Pair<'a> {
    fn new(before: &'a Look, now: &'a Look) -> Option<Self> {
        let same = before.key == now.key && before.how == now.how;
        let elapsed = elapsed(before, now).filter(|_| same)?;
        let pair = Self { before: &before.counters, now: &now.counters, elapsed };
        // CPU time never falls: it was started again, and nobody noticed.
        let fell = pair.before.cpu_nanos.zip(pair.now.cpu_nanos).is_some_and(|(before, now)| now < before);
        (!fell).then_some(pair)
    }

    /// By how much a counter grew. Absent when it fell.
    fn grown(&self, of: fn(&Counters) -> Option<u64>) -> Option<u64> {
        of(self.now)?.checked_sub(of(self.before)?)
    }

    /// A second.
    fn rate(&self, of: fn(&Counters) -> Option<u64>) -> Option<u64> {
        u64::try_from(u128::from(self.grown(of)?) * 1_000_000_000 / u128::from(self.elapsed)).ok()
    }

    fn cpu(&self, host: &Host) -> Option<Cpu> {
        let used = self.grown(|counters| counters.cpu_nanos)? as f64;
        let known = |cpus: Option<u32>| cpus.filter(|cpus| (1..=MOST_CPUS).contains(cpus));
        let (before, now) = (known(self.before.cpus), known(self.now.cpus));
        // Those that left in between worked for a part of the time.
        let cpus = now.max(before).or_else(|| known(host.cpus));
        let most = f64::from(cpus.unwrap_or(MOST_CPUS)) * 100.0 * SLACK;
        let by_time = used * 100.0 / self.elapsed as f64;
        let by_system = now
            .filter(|_| before == now)
            .and_then(|cpus| Some(used * 100.0 / self.system(cpus, used)? * f64::from(cpus)));
        let of_core = by_system.into_iter().chain([by_time]).find(|percent| *percent <= most)?;
        Some(Cpu { of_core, of_host: cpus.map(|cpus| (of_core / f64::from(cpus)).min(100.0)) })
    }

    /// By how much the system's counter grew, in nanoseconds, when the container used so much. Absent when it is not the
    /// time of so many processors: it is the container's own, as with Podman, or no counter at all. Where one container
    /// really has all processors, the time that passed says the same.
    fn system(&self, cpus: u32, used: f64) -> Option<f64> {
        let grown = self.grown(|counters| counters.system_nanos)? as f64;
        let expected = self.elapsed as f64 * f64::from(cpus);
        ((expected / 2.0..=expected * 2.0).contains(&grown) && grown > used * 1.02).then_some(grown)
    }
}

/// The nanoseconds between two looks: on the engine's clock where it has one that goes with ours, since it read the
/// counters at a moment of its own. Absent when there is nothing between them.
fn elapsed(before: &Look, now: &Look) -> Option<u64> {
    let least = u64::try_from(LEAST.as_nanos()).unwrap_or(u64::MAX);
    let ours = now.at.0.checked_sub(before.at.0)?;
    let theirs =
        before.counters.read.zip(now.counters.read).map(|(before, now)| i128::from(now.0) - i128::from(before.0));
    let chosen = match theirs {
        // The engine answered with the sample that it had already.
        Some(0) => return None,
        Some(theirs) => {
            let room = u128::from(ours / 2).max(DIFFERENCE.as_nanos());
            let goes = theirs > 0 && (theirs - i128::from(ours)).unsigned_abs() <= room;
            if goes { u64::try_from(theirs).ok()? } else { ours }
        }
        None => ours,
    };
    (chosen >= least).then_some(chosen)
}

#[cfg(test)]
mod tests;
