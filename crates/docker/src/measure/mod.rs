//! What the containers of an engine use, by three readers (R11.3): files, one sample of the engine, its stream.
//!
//! # Theory of operation
//!
//! A [`Gauge`] measures the containers of one engine in *rounds*. The engine is asked which containers run; those of them
//! that are processes of this machine are read from their cgroups ([`Files`]), at a fiftieth of what the engine takes for
//! it; the others the engine is asked about, some at a time, on connections that are used again. The engine is believed to
//! be this machine's only as far as that shows: a container that is in no cgroup of ours runs elsewhere, in a virtual
//! machine, or behind a socket that somebody forwarded.
//!
//! Counters of the round before are the gauge's own. A container that was started again in between has none: with files
//! the kernel says so; the engine's list says how long each runs, and one that does not run for as long as its counters are
//! old is another life of it.
//!
//! A round ends at its deadline with what it has: how many were measured of how many that run. What was asked for and is
//! not there yet is given up, its connections are closed, and whoever was left out comes first in the next round.
//!
//! For one container that somebody looks at there is [`Stream`], and for files [`Gauge::glance`]. Both have counters of
//! their own, so that looking does not shorten what a round tells about.

mod api;
mod listed;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use vigie_core::clock::Mono;
use vigie_core::docker::stats::{Counters, Files, Host, How, Key, Look, Wanted, readings};
use vigie_core::samples::Readings;

use crate::dial::Dial;
use crate::engine::Engine;
use crate::error::Error;
use api::Outcome;
use listed::Running;

pub use stream::Stream;

/// How many containers an engine is asked about at a time, unless somebody wants less.
pub const PARALLEL: usize = 32;

/// The same over SSH: each is a process here and one there, and sshd refuses more than ten that begin (`MaxStartups`).
const PARALLEL_SSH: usize = 4;

/// How often a container is looked for among the processes before it is taken for one that is not here.
const TRIES: u8 = 3;

/// How many rounds what an engine says about its host is believed.
const ROUNDS_OF_HOST: u64 = 20;

/// How many containers are read before others get on.
const CHUNK: usize = 64;

/// Of so many that could not be measured it is said why.
const TOLD: usize = 5;

/// In characters.
const LONGEST_WHY: usize = 300;

/// Uptimes of a minute and more are told so coarsely that the time between two rounds is easily a little longer.
const BLUR: Duration = Duration::from_secs(1);

/// Measures the containers of one engine again and again.
pub struct Gauge {
    engine: Arc<Engine>,
    files: Option<Box<dyn Files>>,
    parallel: usize,
    /// Of the last round in which each was measured.
    looks: HashMap<Arc<str>, Last>,
    /// Of the last glance.
    glances: HashMap<Arc<str>, Look>,
    /// How often each was looked for in vain.
    tries: HashMap<Arc<str>, u8>,
    /// Names of those that ran in the last round.
    names: HashMap<Arc<str>, String>,
    /// What the engine said about its host, and in which round.
    host: Option<(Host, u64)>,
    rounds: u64,
    /// Where the clock of the API's looks begins.
    epoch: Instant,
    /// When this round began, on that clock.
    began: Mono,
}

/// What a container had in an earlier round.
struct Last {
    look: Look,
    /// When that round began: it was read later.
    began: Mono,
}

/// What one round measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// How many containers ran.
    pub running: usize,
    /// Those that were measured.
    pub measured: Vec<Measured>,
    /// Why some were not; of the first few.
    pub missing: Vec<Missing>,
    /// How most were read; absent when none was.
    pub how: Option<How>,
    /// The host of the engine, as far as it is known.
    pub host: Host,
    /// Why it was not read in the best way.
    pub remark: Option<Remark>,
}

/// A container that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Its id.
    pub id: Arc<str>,
    /// Its name now.
    pub name: String,
    /// How it was read.
    pub how: How,
    /// What is stored of it.
    pub readings: Readings,
}

/// A container that ran, and could not be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its id.
    pub id: Arc<str>,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Why containers were not read in the best way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// The engine listens here, and none of its containers is a process of this machine.
    Elsewhere,
    /// The processes of this machine cannot be looked at.
    NotPermitted(String),
    /// The engine knows no single samples: it takes two, a second apart.
    TwoSamples,
}

impl std::fmt::Display for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Elsewhere => f.write_str("its containers are no processes of this machine, so the engine is asked"),
            Self::NotPermitted(why) => write!(f, "the engine is asked, since cgroups cannot be looked at: {why}"),
            Self::TwoSamples => f.write_str("it knows no single samples (API 1.41), so each takes it two seconds"),
        }
    }
}

impl Gauge {
    /// Of this engine. `files`: where its containers may be processes of this machine. `parallel`: of so many it is asked at a
    /// time.
    pub fn new(engine: Arc<Engine>, files: Option<Box<dyn Files>>, parallel: usize) -> Self {
        let (files, parallel) = match engine.dial() {
            Dial::Unix(_) => (files, parallel),
            Dial::Tcp { .. } => (None, parallel),
            Dial::Ssh { .. } => (None, parallel.min(PARALLEL_SSH)),
        };
        Self {
            engine,
            files,
            parallel: parallel.max(1),
            looks: HashMap::new(),
            glances: HashMap::new(),
            tries: HashMap::new(),
            names: HashMap::new(),
            host: None,
            rounds: 0,
            epoch: Instant::now(),
            began: Mono(0),
        }
    }

    /// Measures all containers that run, until `deadline` has passed. Dropping it closes all connections.
    ///
    /// # Errors
    /// When the engine does not tell which containers it has.
    pub async fn round(&mut self, deadline: Duration) -> Result<Round, Error> {
        let end = Instant::now() + deadline;
        self.rounds += 1;
        self.began = self.now();
        let running = self.engine.running(deadline).await?;
        self.forget(&running);
        let mut round = Round {
            running: running.len(),
            measured: Vec::with_capacity(running.len()),
            missing: Vec::new(),
            how: None,
            host: Host::default(),
            remark: None,
        };
        let rest = self.by_files(&running, &mut round).await;
        if !rest.is_empty() {
            self.by_engine(rest, end, &mut round).await?;
        }
        round.host = match &self.files {
            Some(files) if round.measured.iter().any(|measured| measured.how == How::Files) => files.host(),
            _ => self.host.map(|(host, _)| host).unwrap_or_default(),
        };
        round.how = most(&round.measured);
        Ok(round)
    }

    /// Reads these from their files, now; those that are not read so are left out. Counters are those of the last glance.
    pub fn glance<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>) -> Vec<Measured> {
        let Some(files) = &mut self.files else { return Vec::new() };
        files.begin();
        let host = files.host();
        let mut measured = Vec::new();
        for id in ids {
            let (Some(look), Some(name)) = (files.read(id), self.names.get(id)) else { continue };
            let id = Arc::clone(&look.key.id);
            let readings = readings(self.glances.get(&id), &look, &host);
            self.glances.insert(Arc::clone(&id), look);
            measured.push(Measured { id, name: name.clone(), how: How::Files, readings });
        }
        measured
    }

    /// What does not run any more is forgotten.
    fn forget(&mut self, running: &[Running]) {
        self.names = running.iter().map(|one| (Arc::clone(&one.id), one.name.clone())).collect();
        let names = &self.names;
        self.looks.retain(|id, _| names.contains_key(id));
        self.glances.retain(|id, _| names.contains_key(id));
        self.tries.retain(|id, _| names.contains_key(id));
        if let Some(files) = &mut self.files {
            files.retain(&|id| names.contains_key(id));
        }
    }

    /// Reads what is here; gives what is not.
    async fn by_files(&mut self, running: &[Running], round: &mut Round) -> Vec<Running> {
        let Some(files) = &mut self.files else { return running.to_vec() };
        let tried = |id: &Arc<str>| self.tries.get(id).copied().unwrap_or(0);
        let new = |one: &&Running| !files.knows(&one.id) && tried(&one.id) < TRIES;
        let new: Vec<&Running> = running.iter().filter(new).collect();
        if !new.is_empty() {
            let wanted: Vec<Wanted<'_>> =
                new.iter().map(|one| Wanted { id: &one.id, no_network: one.no_network }).collect();
            if let Err(why) = files.find(&wanted) {
                round.remark = Some(Remark::NotPermitted(why));
            }
            for one in new.iter().filter(|one| !files.knows(&one.id)) {
                *self.tries.entry(Arc::clone(&one.id)).or_default() += 1;
            }
        }
        files.begin();
        let host = files.host();
        let mut rest = Vec::new();
        for (place, one) in running.iter().enumerate() {
            if place % CHUNK == CHUNK - 1 {
                tokio::task::yield_now().await;
            }
            match files.read(&one.id) {
                Some(look) => {
                    let before = self.looks.get(&one.id).map(|last| &last.look);
                    let readings = readings(before, &look, &host);
                    self.looks.insert(Arc::clone(&one.id), Last { look, began: self.began });
                    round.take(one, How::Files, readings);
                }
                None => rest.push(one.clone()),
            }
        }
        // One that was never found may have been started or ended a moment ago.
        let elsewhere = |one: &Running| self.tries.get(&one.id).is_some_and(|tries| *tries > 1);
        if rest.len() == running.len() && rest.iter().any(elsewhere) && round.remark.is_none() {
            round.remark = Some(Remark::Elsewhere);
        }
        rest
    }

    /// Asks the engine, until `end`.
    async fn by_engine(&mut self, mut rest: Vec<Running>, end: Instant, round: &mut Round) -> Result<(), Error> {
        let spoken = self.engine.spoken().await?;
        let how = if spoken.knows_one_shot() { How::OneShot } else { How::TwoSamples };
        if how == How::TwoSamples {
            round.remark = Some(Remark::TwoSamples);
        }
        let host = self.host_of_engine(end).await;
        // Whoever was left out the last time comes first.
        rest.sort_by_key(|one| self.looks.get(&one.id).map_or(Mono(0), |last| last.began));
        let ids = rest.iter().map(|one| Arc::clone(&one.id)).collect();
        let mut answers = api::Answers::ask(&self.engine, ids, self.parallel, end).await?;
        let mut open: Vec<Option<Running>> = rest.into_iter().map(Some).collect();
        while let Some((place, outcome)) = answers.next(end).await {
            let Some(one) = open.get_mut(place).and_then(Option::take) else { continue };
            match outcome {
                Outcome::Told(mut counters) => {
                    // Podman tells of a network without traffic where there is none.
                    if one.no_network {
                        (counters.received_bytes, counters.sent_bytes) = (None, None);
                    }
                    let look = self.look(&one, how, *counters);
                    let before = self.looks.get(&one.id).map(|last| &last.look);
                    let readings = readings(before, &look, &host);
                    self.looks.insert(Arc::clone(&one.id), Last { look, began: self.began });
                    round.take(&one, how, readings);
                }
                Outcome::Gone => round.miss(&one, "it did not run any more"),
                Outcome::Failed(error) => round.miss(&one, &error.reason()),
            }
        }
        for one in open.iter().flatten() {
            round.miss(one, "there was no time left for it");
        }
        Ok(())
    }

    fn look(&self, one: &Running, how: How, counters: Counters) -> Look {
        let life = match self.looks.get(&one.id).filter(|last| last.look.how == how) {
            Some(last) if one.up.is_some_and(|up| !ran_then(up, self.began.since(last.began))) => {
                last.look.key.life + 1
            }
            Some(last) => last.look.key.life,
            None => 0,
        };
        Look { key: Key { id: Arc::clone(&one.id), life }, at: self.now(), how, counters }
    }

    fn now(&self) -> Mono {
        Mono(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// What is known about the host of the engine. That it does not tell is no reason to measure nothing.
    async fn host_of_engine(&mut self, end: Instant) -> Host {
        let fresh = |(_, round): &(Host, u64)| self.rounds < round + ROUNDS_OF_HOST;
        if let Some((host, _)) = self.host.filter(fresh) {
            return host;
        }
        let asked = tokio::time::timeout_at(end, self.engine.host()).await;
        if let Ok(Ok(host)) = asked {
            self.host = Some((host, self.rounds));
        }
        self.host.map(|(host, _)| host).unwrap_or_default()
    }
}

impl Round {
    fn take(&mut self, one: &Running, how: How, readings: Readings) {
        self.measured.push(Measured { id: Arc::clone(&one.id), name: one.name.clone(), how, readings });
    }

    fn miss(&mut self, one: &Running, why: &str) {
        if self.missing.len() < TOLD {
            // Errors may quote what an engine wrote.
            let why = why.chars().take(LONGEST_WHY).collect();
            self.missing.push(Missing { id: Arc::clone(&one.id), name: one.name.clone(), why });
        }
    }
}

/// Whether a container that has run for `up` at least ran so long ago already.
fn ran_then(up: Duration, ago: Duration) -> bool {
    let blur = if up < Duration::from_secs(60) { Duration::ZERO } else { BLUR };
    up + blur >= ago
}

/// How most of them were read.
fn most(measured: &[Measured]) -> Option<How> {
    let mut counts: HashMap<How, usize> = HashMap::new();
    for one in measured {
        *counts.entry(one.how).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(how, count)| (*count, *how)).map(|(how, _)| how)
}
