//! Measuring runs (R10.2): every five seconds, every second while somebody watches, never while nothing runs. What is
//! measured in a round bears one time, that of its beginning, and the name of the service: its series goes on when the
//! next run begins.
//!
//! The runs are measured in small groups with other work in between, so that a thousand of them do not hold up the
//! restart of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vigie_core::clock::{Mono, Now};
use vigie_core::identity::RunId;
use vigie_core::samples::{Metric, Moment, Subject, millis, pack_readings};
use vigie_os::proc::Proc;
use vigie_os::processors;
use vigie_os::usage::{Meter, Tree, Usage};
use vigie_store::samples::{Round, Sample};

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(5);

/// While somebody watches.
const WATCHED_INTERVAL: Duration = Duration::from_secs(1);

/// How long somebody watches who asked once.
const WATCHED: Duration = Duration::from_secs(10);

/// How many are measured in one go.
const GROUP: usize = 32;

/// All runs that are measured.
pub(crate) struct Sampler {
    proc: Proc,
    meters: BTreeMap<RunId, Measured>,
    /// Those that are still to be measured in this round.
    round: Vec<RunId>,
    /// What was measured in this round.
    measured: Option<Round>,
    /// How many processors the machine had when this round began.
    processors: Option<u32>,
    /// No round has ended yet.
    begins: bool,
    /// When the next round begins.
    next: Option<Mono>,
    watched_until: Mono,
}

struct Measured {
    subject: Arc<Subject>,
    meter: Meter,
    usage: Option<Usage>,
}

impl Sampler {
    pub(crate) fn new(proc: Proc) -> Self {
        Self {
            proc,
            meters: BTreeMap::new(),
            round: Vec::new(),
            measured: None,
            processors: None,
            begins: true,
            next: None,
            watched_until: Mono(0),
        }
    }

    /// Begins to measure a run of `subject`.
    pub(crate) fn add(&mut self, run: RunId, subject: Subject, tree: Tree, now: Mono) {
        let subject = Arc::new(subject);
        self.meters.insert(run, Measured { subject, meter: Meter::new(tree), usage: None });
        if self.next.is_none() {
            self.next = Some(now + self.interval(now));
        }
    }

    /// Forgets a run.
    pub(crate) fn remove(&mut self, run: RunId) {
        self.meters.remove(&run);
        if self.meters.is_empty() {
            self.next = None;
        }
    }

    /// Somebody looks again and again.
    pub(crate) fn watch(&mut self, now: Mono) {
        self.watched_until = now + WATCHED;
        let soon = now + WATCHED_INTERVAL;
        self.next = self.next.map(|next| next.min(soon));
    }

    /// What was measured last; for a run that was never measured: now.
    pub(crate) fn usage(&mut self, run: RunId, now: Mono) -> Option<Usage> {
        let measured = self.meters.get_mut(&run)?;
        if measured.usage.is_none() {
            measured.take(&self.proc, now);
        }
        measured.usage
    }

    /// When to call [`Sampler::work`].
    pub(crate) fn due(&self) -> Option<Mono> {
        if self.round.is_empty() { self.next } else { Some(Mono(0)) }
    }

    /// Measures some runs, if it is time. Gives a round when it is over.
    pub(crate) fn work(&mut self, now: Now) -> Option<Round> {
        if self.round.is_empty() {
            if self.next.is_none_or(|next| next > now.mono) {
                return None;
            }
            self.begin(now);
        }
        for run in self.round.split_off(self.round.len().saturating_sub(GROUP)) {
            let Some(measured) = self.meters.get_mut(&run) else { continue };
            measured.take(&self.proc, now.mono);
            if let (Some(usage), Some(round)) = (&measured.usage, &mut self.measured) {
                round.samples.push(sample(&measured.subject, usage, self.processors));
            }
        }
        if !self.round.is_empty() {
            return None;
        }
        self.begins = false;
        self.measured.take()
    }

    fn begin(&mut self, now: Now) {
        let interval = self.interval(now.mono);
        self.next = Some(now.mono + interval);
        self.round = self.meters.keys().copied().collect();
        self.processors = processors::online();
        self.measured = Some(Round {
            at: Moment::from(now.wall),
            every: millis(interval),
            begins: self.begins,
            samples: Vec::with_capacity(self.round.len()),
        });
    }

    fn interval(&self, now: Mono) -> Duration {
        if now < self.watched_until { WATCHED_INTERVAL } else { INTERVAL }
    }
}

impl Measured {
    fn take(&mut self, proc: &Proc, now: Mono) {
        // What cannot be seen is absent (R1). A run that is gone is about to be reported so.
        self.usage = self.meter.sample(proc, now).ok().flatten();
    }
}

/// What is stored of it. What was not seen is not in it (R1).
fn sample(subject: &Arc<Subject>, usage: &Usage, processors: Option<u32>) -> Sample {
    let cpu = usage.cpu_percent_of_core;
    let of_host = cpu.zip(processors).map(|(cpu, processors)| cpu / f64::from(processors.max(1)));
    let whole = |number: u32| Some(u64::from(number));
    let readings = [
        (Metric::CpuOfCore, cpu.and_then(|cpu| Metric::CpuOfCore.stored(cpu))),
        (Metric::CpuOfHost, of_host.and_then(|cpu| Metric::CpuOfHost.stored(cpu))),
        (Metric::Memory, Some(usage.memory_bytes)),
        (Metric::Read, usage.read_bytes_per_second),
        (Metric::Written, usage.written_bytes_per_second),
        (Metric::Processes, whole(usage.processes)),
        (Metric::Threads, whole(usage.threads)),
        (Metric::Descriptors, usage.descriptors.and_then(whole)),
    ];
    let seen: Vec<(Metric, u64)> =
        readings.into_iter().filter_map(|(metric, value)| value.map(|value| (metric, value))).collect();
    let mut row = Vec::with_capacity(32);
    pack_readings(&seen, &mut row);
    Sample { subject: Arc::clone(subject), row: row.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::samples::unpack_readings;

    #[test]
    fn nothing_wakes_when_nothing_runs() {
        let proc = Proc::system().expect("/proc");
        let me = proc.key(std::process::id()).expect("readable").expect("alive");
        let mut sampler = Sampler::new(proc);
        assert_eq!(sampler.due(), None);
        let second = |count: u64| Mono(count * 1_000_000_000);
        let wall = 1_700_000_000_000_000_000;
        let now = |count: u64| Now { mono: second(count), wall: Wall(wall + count * 1_000_000_000) };
        for run in 0..40 {
            let subject = Subject { name: format!("service demo/s{run}"), key: String::new() };
            sampler.add(RunId(run), subject, Tree::Below(me.clone()), second(0));
        }
        assert_eq!(sampler.due(), Some(second(5)));
        assert!(sampler.work(now(4)).is_none());
        assert_eq!(sampler.due(), Some(second(5)), "too early");
        assert!(sampler.work(now(5)).is_none());
        assert_eq!(sampler.due(), Some(Mono(0)), "not all in one go");
        let round = sampler.work(now(6)).expect("all");
        assert_eq!((round.at, round.every, round.begins), (Moment(wall / 1_000_000 + 5_000), 5_000, true));
        assert_eq!(round.samples.len(), 40);
        let of = |round: &Round, metric| {
            let row = unpack_readings(&round.samples[0].row).expect("a row");
            row.into_iter().find_map(|(other, value)| (other == metric).then_some(value))
        };
        assert_eq!(of(&round, Metric::CpuOfCore), None, "the first knows no CPU");
        assert!(of(&round, Metric::Memory).is_some() && of(&round, Metric::Descriptors).is_some());
        assert_eq!(sampler.due(), Some(second(10)));
        let first = sampler.usage(RunId(0), second(6)).expect("measured");
        assert_eq!(first.cpu_percent_of_core, None);
        sampler.watch(second(6));
        assert_eq!(sampler.due(), Some(second(7)));
        assert!(sampler.work(now(7)).is_none());
        let round = sampler.work(now(7)).expect("all");
        assert_eq!((round.every, round.begins), (1_000, false));
        let (core, host) = (of(&round, Metric::CpuOfCore), of(&round, Metric::CpuOfHost));
        let processors = u64::from(processors::online().expect("some"));
        assert!(core.zip(host).is_some_and(|(core, host)| host.abs_diff(core / processors) <= 1), "{core:?} {host:?}");
        assert_eq!(sampler.due(), Some(second(8)));
        assert!(sampler.usage(RunId(0), second(7)).expect("measured").cpu_percent_of_core.is_some());
        for run in 0..40 {
            sampler.remove(RunId(run));
        }
        assert_eq!(sampler.due(), None);
    }
}
