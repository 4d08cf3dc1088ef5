//! Measuring runs (R10.2): every five seconds, every second while somebody watches, never while nothing runs.
//!
//! The runs are measured in small groups with other work in between, so that a thousand of them do not hold up the
//! restart of one.

use std::collections::BTreeMap;
use std::time::Duration;

use vigie_core::clock::Mono;
use vigie_core::identity::RunId;
use vigie_os::proc::Proc;
use vigie_os::usage::{Meter, Tree, Usage};

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
    /// When the next round begins.
    next: Option<Mono>,
    watched_until: Mono,
}

struct Measured {
    meter: Meter,
    usage: Option<Usage>,
}

impl Sampler {
    pub(crate) fn new(proc: Proc) -> Self {
        Self { proc, meters: BTreeMap::new(), round: Vec::new(), next: None, watched_until: Mono(0) }
    }

    /// Begins to measure a run.
    pub(crate) fn add(&mut self, run: RunId, tree: Tree, now: Mono) {
        self.meters.insert(run, Measured { meter: Meter::new(tree), usage: None });
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

    /// Measures some runs, if it is time.
    pub(crate) fn work(&mut self, now: Mono) {
        if self.round.is_empty() {
            if self.next.is_none_or(|next| next > now) {
                return;
            }
            self.next = Some(now + self.interval(now));
            self.round = self.meters.keys().copied().collect();
        }
        for run in self.round.split_off(self.round.len().saturating_sub(GROUP)) {
            if let Some(measured) = self.meters.get_mut(&run) {
                measured.take(&self.proc, now);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_wakes_when_nothing_runs() {
        let proc = Proc::system().expect("/proc");
        let me = proc.key(std::process::id()).expect("readable").expect("alive");
        let mut sampler = Sampler::new(proc);
        assert_eq!(sampler.due(), None);
        let second = |count: u64| Mono(count * 1_000_000_000);
        for run in 0..40 {
            sampler.add(RunId(run), Tree::Below(me.clone()), second(0));
        }
        assert_eq!(sampler.due(), Some(second(5)));
        sampler.work(second(4));
        assert_eq!(sampler.due(), Some(second(5)), "too early");
        sampler.work(second(5));
        assert_eq!(sampler.due(), Some(Mono(0)), "not all in one go");
        sampler.work(second(5));
        assert_eq!(sampler.due(), Some(second(10)));
        let first = sampler.usage(RunId(0), second(6)).expect("measured");
        assert_eq!(first.cpu_percent_of_core, None);
        sampler.watch(second(6));
        assert_eq!(sampler.due(), Some(second(7)));
        sampler.work(second(7));
        sampler.work(second(7));
        assert_eq!(sampler.due(), Some(second(8)));
        assert!(sampler.usage(RunId(0), second(7)).expect("measured").cpu_percent_of_core.is_some());
        for run in 0..40 {
            sampler.remove(RunId(run));
        }
        assert_eq!(sampler.due(), None);
    }
}
