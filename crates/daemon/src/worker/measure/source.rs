//! One source: the shell around its two clockworks, of containers and of the disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

use vigie_core::clock::{Mono, Now};
use vigie_core::docker::pace::{CONTAINERS, DISKS, Do, Pace, is_slow};
use vigie_core::docker::presence::Presence;
use vigie_core::docker::source::Source;
use vigie_core::docker::told::{Identity, Stage, Status, Told};
use vigie_core::samples::{Metric, Moment, millis};
use vigie_docker::watch::About;
use vigie_docker::{Dial, Engine};
use vigie_os::clock;
use vigie_wire::worker::{Cycle, Disk, Measured, Readings, Said};

use super::cycle::{self, Kit, Turn};
use super::disk::{self, Sized};
use super::{Intervals, Look, Outbox, Work};
use crate::aside::off_thread;

/// How long an engine may take for what it knows by heart.
const PATIENCE: Duration = Duration::from_secs(10);

/// Containers that somebody looks at are measured so often.
const LOOKED_AT: Duration = Duration::from_secs(1);

/// So many at most.
const LOOKED_AT_MOST: usize = 64;

/// What was measured of so many containers goes in one message.
const PART: usize = 500;

/// The longest sleep: timers of the runtime stand still during suspend, deadlines do not.
const NAP: Duration = Duration::from_secs(30);

/// What a task gets to work with.
pub(super) struct Parts {
    pub(super) work: watch::Receiver<Work>,
    pub(super) intervals: watch::Receiver<Intervals>,
    pub(super) looks: mpsc::Receiver<Look>,
    pub(super) disks: Arc<Semaphore>,
    pub(super) outbox: Outbox,
}

/// What came of a job.
enum Came {
    Measured(u64, Now, Turn),
    Looked(u64, Now, Box<Kit>, Vec<Measured>),
    Sized(u64, Now, Result<Sized, String>),
}

/// What goes on.
struct Job {
    /// What comes of another is not waited for any more.
    number: u64,
    handle: AbortHandle,
}

impl Drop for Job {
    fn drop(&mut self) {
        // Its connections close with it.
        self.handle.abort();
    }
}

#[derive(Default)]
struct Looked {
    containers: BTreeSet<String>,
    /// Those that are younger than the last cycle. Each hurries the next one once: one that does not run is in none.
    young: BTreeSet<String>,
    until: Mono,
    next: Mono,
    goes_on: Option<Job>,
}

struct Shell {
    work: Work,
    intervals: Intervals,
    outbox: Outbox,
    disks: Arc<Semaphore>,
    /// Absent while its containers are not measured.
    containers: Option<Pace>,
    /// Absent while its disk is not.
    disk: Option<Pace>,
    measuring: Option<Job>,
    sizing: Option<Job>,
    looked: Looked,
    jobs: JoinSet<Came>,
    job: u64,
    /// What is kept from one cycle to the next; a job that goes on has it.
    kit: Option<Box<Kit>>,
    /// Nothing was told of these yet.
    begins: (bool, bool),
    presence: Option<Presence>,
    engine: Option<Identity>,
    told: Option<Status>,
    dropped: u64,
}

/// Measures a source until `stopped` says so, or is dropped. What goes on then is let go of, and nothing more is told.
pub(super) async fn measure(mut parts: Parts, mut stopped: oneshot::Receiver<()>) {
    let work = parts.work.borrow_and_update().clone();
    let intervals = *parts.intervals.borrow_and_update();
    let mut shell = Shell {
        presence: work.tells.clone().map(Presence::new),
        work,
        intervals,
        outbox: parts.outbox,
        disks: parts.disks,
        containers: None,
        disk: None,
        measuring: None,
        sizing: None,
        looked: Looked::default(),
        jobs: JoinSet::new(),
        job: 0,
        kit: None,
        begins: (true, true),
        engine: None,
        told: None,
        dropped: 0,
    };
    shell.set_up();
    loop {
        shell.step();
        let nap = shell.due().map_or(NAP, |due| due.since(clock::mono()).min(NAP));
        tokio::select! {
            _ = &mut stopped => return,
            Ok(()) = parts.work.changed() => {
                shell.work = parts.work.borrow_and_update().clone();
                shell.set_up();
            }
            Ok(()) = parts.intervals.changed() => {
                shell.intervals = *parts.intervals.borrow_and_update();
                shell.pace();
            }
            Some(look) = parts.looks.recv() => shell.look(look),
            Some(came) = shell.jobs.join_next(), if !shell.jobs.is_empty() => {
                // One that was let go of is nobody's.
                if let Ok(came) = came {
                    shell.came(came);
                }
            }
            () = tokio::time::sleep(nap) => {}
        }
    }
}

impl Shell {
    /// Begins with what is to be measured, ends with what is not. What goes on and is still wanted is not disturbed.
    fn set_up(&mut self) {
        let now = clock::mono();
        let (containers, disk) = (self.work.source.measures_containers(), self.work.source.measures_disk());
        if !containers {
            (self.containers, self.measuring, self.kit, self.looked) = (None, None, None, Looked::default());
            self.begins.0 = true;
        } else if self.containers.is_none() {
            self.containers = Some(Pace::new(CONTAINERS, self.intervals.containers.0, now, seed()));
        }
        if !disk {
            (self.disk, self.sizing) = (None, None);
            self.begins.1 = true;
        } else if self.disk.is_none() {
            self.disk = Some(Pace::new(DISKS, self.intervals.disk.0, now, seed()));
        }
    }

    fn pace(&mut self) {
        let now = clock::mono();
        if let Some(pace) = &mut self.containers {
            pace.set_interval(self.intervals.containers.0, now);
        }
        if let Some(pace) = &mut self.disk {
            pace.set_interval(self.intervals.disk.0, now);
        }
    }

    fn look(&mut self, look: Look) {
        let now = clock::mono();
        if self.containers.is_none() {
            return;
        }
        if self.looked.until <= now {
            self.looked.containers.clear();
            self.looked.young.clear();
            self.looked.next = now;
        }
        self.looked.containers.extend(look.containers.into_iter().take(LOOKED_AT_MOST));
        while self.looked.containers.len() > LOOKED_AT_MOST {
            self.looked.containers.pop_last();
        }
        self.looked.until = now + look.length.0;
        let Some(kit) = &self.kit else { return };
        let unknown = self.looked.containers.iter().filter(|id| !kit.knows(id));
        let young: Vec<String> = unknown.filter(|id| !self.looked.young.contains(*id)).cloned().collect();
        if let Some(pace) = self.containers.as_mut().filter(|_| !young.is_empty()) {
            pace.hurry(now);
            self.looked.young.extend(young);
        }
    }

    fn due(&self) -> Option<Mono> {
        // Whoever looks has what is kept between two cycles; that takes a moment.
        let containers = self.containers.as_ref().filter(|_| self.looked.goes_on.is_none()).map(Pace::due);
        let looked = self.may_look().then_some(self.looked.next);
        let presence = self.presence.as_ref().and_then(Presence::due);
        containers.into_iter().chain(self.disk.as_ref().map(Pace::due)).chain(looked).chain(presence).min()
    }

    /// Somebody looks, and what is needed for that is at hand.
    fn may_look(&self) -> bool {
        self.kit.is_some() && self.looked.goes_on.is_none() && self.looked.next < self.looked.until
    }

    fn step(&mut self) {
        let now = clock::now();
        if self.looked.goes_on.is_none() {
            while let Some(what) = self.containers.as_mut().and_then(|pace| pace.step(now.mono)) {
                match what {
                    Do::Measure => self.begin_cycle(now),
                    Do::Knock => {
                        // Reached anew, and asked who it is first.
                        self.kit = None;
                        self.begin_cycle(now);
                    }
                    Do::GiveUp => {
                        self.measuring = None;
                        self.failed(format!("it was not measured within {:?}", CONTAINERS.deadline), true);
                    }
                }
            }
        }
        while let Some(what) = self.disk.as_mut().and_then(|pace| pace.step(now.mono)) {
            match what {
                Do::Measure | Do::Knock => self.begin_disk(now),
                Do::GiveUp => {
                    self.sizing = None;
                    self.failed("how full its disk is was not to be had".to_owned(), self.containers.is_none());
                }
            }
        }
        if self.may_look() && self.looked.next <= now.mono {
            self.begin_look(now);
        } else if self.looked.until <= now.mono
            && let Some(kit) = &mut self.kit
        {
            kit.look_away();
        }
        if self.presence.as_ref().and_then(Presence::due).is_some_and(|due| due <= now.mono) {
            let told = self.presence.as_mut().and_then(|presence| presence.judge(now.mono));
            self.tell(told, Stage::Backoff);
        }
    }

    fn spawn(&mut self, job: impl Future<Output = Came> + Send + 'static) -> Job {
        Job { number: self.job, handle: self.jobs.spawn(job) }
    }

    fn begin_cycle(&mut self, now: Now) {
        self.job += 1;
        let (number, source, kit) = (self.job, self.work.source.clone(), self.kit.take());
        let job = self.spawn(async move { Came::Measured(number, now, cycle::measure(source, kit).await) });
        self.measuring = Some(job);
    }

    fn begin_look(&mut self, now: Now) {
        let Some(kit) = self.kit.take() else { return };
        self.looked.next = now.mono + LOOKED_AT;
        self.job += 1;
        let (number, containers) = (self.job, self.looked.containers.iter().cloned().collect::<Vec<_>>());
        let job = self.spawn(async move {
            let (kit, found) = cycle::look(kit, containers).await;
            Came::Looked(number, now, kit, found)
        });
        self.looked.goes_on = Some(job);
    }

    fn begin_disk(&mut self, now: Now) {
        self.job += 1;
        let (number, source, disks) = (self.job, self.work.source.clone(), Arc::clone(&self.disks));
        let job = self.spawn(async move {
            // One after the other.
            let Ok(_turn) = disks.acquire().await else { return Came::Sized(number, now, Err("it ends".to_owned())) };
            let began = clock::now();
            Came::Sized(number, began, disk::size(source).await)
        });
        self.sizing = Some(job);
    }

    fn came(&mut self, came: Came) {
        let is = |job: &Option<Job>, number| job.as_ref().is_some_and(|job| job.number == number);
        match came {
            Came::Measured(number, began, turn) if is(&self.measuring, number) => {
                self.measuring = None;
                self.measured(began, turn);
            }
            Came::Looked(number, began, kit, found) if is(&self.looked.goes_on, number) => {
                self.looked.goes_on = None;
                self.kit = Some(kit);
                if !found.is_empty() {
                    self.tell_containers(began, millis(LOOKED_AT), false, found, None);
                }
            }
            Came::Sized(number, began, outcome) if is(&self.sizing, number) => {
                self.sizing = None;
                self.sized(began, outcome);
            }
            // It was let go of in the moment in which it was over.
            Came::Measured(..) | Came::Looked(..) | Came::Sized(..) => {}
        }
    }

    fn measured(&mut self, began: Now, turn: Turn) {
        let now = clock::mono();
        self.kit = turn.kit;
        if let Some(kit) = &self.kit {
            self.engine = Some(kit.about.identity.clone());
        }
        let Some(pace) = &mut self.containers else { return };
        pace.over(turn.outcome.is_ok(), now);
        match turn.outcome {
            Err(why) => self.failed(why, true),
            Ok(mut found) => {
                let (every, skipped) = (millis(pace.every()), pace.skipped());
                let begins = std::mem::replace(&mut self.begins.0, false);
                found.whole.took = millis(now.since(began.mono));
                (found.whole.skipped, found.whole.dropped) = (skipped, self.dropped);
                self.answered();
                self.tell_containers(began, every, begins, found.containers, Some(found.whole));
            }
        }
    }

    fn sized(&mut self, began: Now, outcome: Result<Sized, String>) {
        let now = clock::mono();
        let took = now.since(began.mono);
        let Some(pace) = &mut self.disk else { return };
        pace.over(outcome.is_ok() && !is_slow(took), now);
        // Until the next, which comes later after one that took long.
        let every = millis(pace.due().since(began.mono));
        match outcome {
            Err(why) => self.failed(format!("disk: {why}"), self.containers.is_none()),
            Ok(Sized { how, readings }) => {
                let begins = std::mem::replace(&mut self.begins.1, false);
                let at = Moment::from(began.wall).0;
                let disk = Box::new(Disk { at, every, begins, readings, how, took: millis(took) });
                let said = Said::DiskUsage { source: self.work.source.name.clone(), number: self.work.number, disk };
                self.say(said, 1);
                if self.containers.is_none() {
                    self.answered();
                }
            }
        }
    }

    /// In parts, and the whole with the last of them.
    fn tell_containers(
        &mut self,
        began: Now,
        every: u64,
        begins: bool,
        mut containers: Vec<Measured>,
        mut whole: Option<vigie_wire::worker::Whole>,
    ) {
        let at = Moment::from(began.wall).0;
        loop {
            let rest = containers.split_off(PART.min(containers.len()));
            let part = std::mem::replace(&mut containers, rest);
            let count = part.len() as u64;
            let last = containers.is_empty();
            let whole = if last { whole.take() } else { None };
            let cycle = Box::new(Cycle { at, every, begins, containers: part, whole });
            let said = Said::Metric { source: self.work.source.name.clone(), number: self.work.number, cycle };
            self.say(said, count);
            if last {
                return;
            }
        }
    }

    /// What finds no place is lost: it is outdated soon.
    fn say(&mut self, said: Said, samples: u64) {
        if self.outbox.put(said).is_err() {
            self.dropped += samples.max(1);
        }
    }

    fn answered(&mut self) {
        let told = self.presence.as_mut().and_then(|presence| presence.answered(clock::mono()));
        self.tell(told, Stage::Live);
    }

    /// Why it could not be measured. `absent`: that tells of whether it is there, too.
    fn failed(&mut self, why: String, absent: bool) {
        let source = Some(self.work.source.name.clone());
        self.say(Said::Error { source, message: why.clone() }, 0);
        if absent {
            let told = self.presence.as_mut().and_then(|presence| presence.failed(clock::mono(), why));
            self.tell(told, Stage::Backoff);
        }
    }

    /// Tells whether it is there, when nobody else does.
    fn tell(&mut self, told: Option<Told>, stage: Stage) {
        let Some(presence) = &self.presence else { return };
        let (why, failures) = presence.why();
        let status = Status {
            stage,
            online: presence.online(),
            why: why.map(str::to_owned),
            failures,
            engine: self.engine.clone(),
            bad_lines: 0,
            retry_at: None,
        };
        let source = &self.work.source.name;
        if let Some(told) = told {
            let said = Said::ContainerEvent { source: source.clone(), told: vec![told] };
            self.say(said, 0);
        }
        if self.told.as_ref() != Some(&status) {
            let source = self.work.source.name.clone();
            let said = Said::SourceStatus { source, status: Box::new(status.clone()), dropped: 0 };
            if self.outbox.put(said).is_ok() {
                self.told = Some(status);
            }
        }
    }
}

/// Looks up how the engine is reached, which may be different by now, and asks who it is.
///
/// # Errors
/// Why it does not answer, in a few words.
pub(super) async fn reach(source: &Source) -> Result<(Arc<Engine>, About), String> {
    let (endpoint, tls) = (source.endpoint.clone(), source.tls.clone());
    let resolve = move || Dial::resolve(&endpoint, tls.as_ref(), &|name| std::env::var_os(name));
    let dial = off_thread(resolve).await.map_err(|error| error.to_string())?.map_err(|error| error.reason())?;
    let engine = Arc::new(Engine::over(dial, PATIENCE));
    let about = engine.about().await.map_err(|error| error.reason())?;
    Ok((engine, about))
}

/// Numbers of metrics with what is stored, ascending; what was not seen is not in it.
pub(super) fn packed(readings: impl IntoIterator<Item = (Metric, Option<u64>)>) -> Readings {
    let mut packed: Readings =
        readings.into_iter().filter_map(|(metric, value)| Some((metric.number(), value?))).collect();
    packed.sort_unstable();
    packed
}

/// For jitter: without randomness all sources would be asked at once.
fn seed() -> u64 {
    vigie_os::random::u64().unwrap_or_else(|_| clock::now().wall.0)
}
