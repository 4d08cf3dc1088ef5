//! From the sampler to the disk: rounds are collected and handed over in batches.
//!
//! A batch is one transaction and one wake-up of another thread, so they are few: one in ten seconds, and none while nothing
//! runs. What waits is lost when the daemon is killed: some seconds of samples, which is a gap and no more. A round behind
//! which none comes for longer than that does not wait: minutes would be lost. Whoever wants to see the last round now asks
//! for it ([`crate::input::Input::Flush`]).

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use vigie_core::clock::{Mono, Now};
use vigie_core::journal::{Entry, Subject, What, describe};
use vigie_core::samples::Moment;
use vigie_os::clock;
use vigie_store::samples::{Batch, LIMIT, Round, Told, Writer};

use crate::input::Input;
use crate::log::Log;

/// How long the first round of a batch waits. Between two rounds of the sampler lie five seconds: three are a batch.
const WAIT: Duration = Duration::from_secs(9);

/// More samples than these do not wait.
const MANY: usize = 4_096;

/// So many moments are remembered. Rounds of one moment come soon after one another.
const MOMENTS: usize = 32;

/// Collects rounds.
pub(crate) struct Recorder {
    /// The folder of the samples.
    dir: PathBuf,
    /// Started with the first batch: a daemon under which nothing runs has no such thread.
    writer: Option<Writer>,
    waiting: Batch,
    since: Option<Mono>,
    /// The moments of the last rounds: two of them never have the same.
    moments: VecDeque<Moment>,
    inputs: mpsc::Sender<Input>,
    log: Log,
}

impl Recorder {
    pub(crate) fn new(dir: PathBuf, inputs: mpsc::Sender<Input>, log: Log) -> Self {
        Self { dir, writer: None, waiting: Batch::default(), since: None, moments: VecDeque::new(), inputs, log }
    }

    /// Takes a round, and hands over what waited long enough.
    pub(crate) fn take(&mut self, mut round: Round, now: Now) {
        if round.samples.is_empty() {
            return;
        }
        // What is stored of a moment, how long it speaks among it, is stored of all that was measured at it.
        while self.moments.contains(&round.at) {
            round.at = round.at.after(1);
        }
        if self.moments.len() >= MOMENTS {
            self.moments.pop_front();
        }
        self.moments.push_back(round.at);
        let is_seldom = Duration::from_millis(round.every) >= WAIT;
        self.waiting.rounds.push(round);
        let since = *self.since.get_or_insert(now.mono);
        if is_seldom || now.mono.since(since) >= WAIT || self.waiting.len() >= MANY {
            self.flush(now);
        }
    }

    /// Hands over what waits.
    pub(crate) fn flush(&mut self, now: Now) {
        self.since = None;
        let mut batch = std::mem::take(&mut self.waiting);
        if batch.is_empty() {
            return;
        }
        batch.now = now.wall;
        if self.writer.is_none() {
            self.writer = self.spawn();
        }
        // What finds no room is counted, and shown with the samples.
        if let Some(writer) = &self.writer {
            writer.submit(batch);
        }
    }

    /// Hands over what waits and tells when it can be read. Where that is not to be expected, `done` is dropped.
    pub(crate) fn flush_and_tell(&mut self, now: Now, done: oneshot::Sender<()>) {
        self.flush(now);
        match &self.writer {
            // Nobody may be waiting for it any more.
            Some(writer) => writer.tell(Box::new(move || done.send(()).unwrap_or(()))),
            None => done.send(()).unwrap_or(()),
        }
    }

    fn spawn(&self) -> Option<Writer> {
        let (inputs, log) = (self.inputs.clone(), self.log.clone());
        let on_told = Box::new(move |told: Told| {
            log.line(&describe(&entry(&told, clock::now())));
            // A daemon that has no room for it has the log.
            let _ = inputs.try_send(Input::Samples(told));
        });
        let spawned = Writer::spawn(&self.dir, LIMIT, on_told);
        spawned.map_err(|error| self.log.line(&format!("no thread for samples is to be had: {error}"))).ok()
    }
}

/// What the journal says of it.
pub(crate) fn entry(told: &Told, now: Now) -> Entry {
    let what = match told {
        Told::Damaged(damage) => {
            What::SamplesDamaged { why: damage.why.clone(), kept_as: damage.kept_as.as_path().into() }
        }
        Told::Failing(why) => What::SamplesStopped { why: why.clone() },
        Told::Again => What::SamplesResumed,
    };
    Entry::new(now.wall, Subject::Daemon, None, what)
}
