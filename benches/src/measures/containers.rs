//! What it costs to measure containers: by the files of their cgroups, and by asking their engine.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use vigie_core::docker::stats::{Files as _, Look, Wanted, parse, readings};
use vigie_docker::Dial;
use vigie_docker::measure::{Gauge, PARALLEL};
use vigie_os::containers::Containers;

use crate::cgroups::Cgroups;
use crate::engine::Engine;
use crate::failure::{Failure, Result};
use crate::page::{Budget, Page, Table};
use crate::samples::{Samples, digits, time, times};
use crate::site::Site;
use crate::supervisors::Peer;
use crate::time::Stopwatch;

/// Of the spec: 1,000 local containers, each every ten seconds.
const MANY: usize = 1_000;
const EVERY: Duration = Duration::from_secs(10);

/// Of a core.
const LIMIT: f64 = 0.01;

/// How long a round may take: here as long as it wants.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn measure(site: &Rc<Site>, _: &[Peer]) -> Result<Page> {
    let mut page = Page::new(
        "Containers",
        &[
            "*Simulated*: 1,000 cgroups in the trees of cgroup v1 (cpuacct, memory, blkio, pids), as an engine makes them, each \
             with a process that waits; all in the network of the host, so that no network is read. A cycle reads all of them \
             (5 files each) and makes of it what is stored. *Kept*: files are opened once and read again at their beginning. \
             *Opened*: opened, read and closed each time. *Found*: one look at all processes, and the files opened; once, when \
             the measuring begins.",
            "*Real*: idle busybox containers without a network, of a dockerd of the measurement's own. A round of vigie includes \
             asking the engine which containers run. *One-shot* is vigie's way with engines that are elsewhere. *Two samples* is \
             `stats?stream=false`, the usual way of other tools, by a bare client, as many at a time. CPU time is that of the measuring \
             process, and that of the engine (dockerd, containerd and the shims), for each container. An engine before Docker 25 \
             answers both when its collector comes by, which is once a second.",
        ],
    );
    simulated(site, &mut page)?;
    match Engine::start(site) {
        Ok(engine) => real(site, &engine, &mut page)?,
        Err(failure) => page.notes.push(format!("no real containers: {failure}")),
    }
    Ok(page)
}

/// CPU time of this process.
fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What some cycles took.
#[derive(Default)]
struct Cycles {
    wall: Samples,
    cpu: Samples,
}

impl Cycles {
    fn of(rounds: usize, mut cycle: impl FnMut() -> Result<()>) -> Result<Self> {
        let mut cycles = Self::default();
        for _ in 0..rounds {
            let (watch, before) = (Stopwatch::start(), own_cpu());
            cycle()?;
            cycles.cpu.add(own_cpu().saturating_sub(before));
            cycles.wall.add(watch.elapsed());
        }
        Ok(cycles)
    }
}

/// Reads containers again and again as a round does.
struct Reading {
    containers: Containers,
    looks: HashMap<Arc<str>, Look>,
    ids: Vec<String>,
}

impl Reading {
    fn new(ids: &[String], kept: bool) -> Result<Self> {
        let mut containers = Containers::new()?;
        if !kept {
            containers.keep_nothing();
        }
        let wanted: Vec<Wanted<'_>> = ids.iter().map(|id| Wanted { id, no_network: false }).collect();
        containers.find(&wanted).map_err(Failure::new)?;
        if containers.len() != ids.len() {
            return Err(Failure::new(format!("{} of {} containers were found", containers.len(), ids.len())));
        }
        Ok(Self { containers, looks: HashMap::new(), ids: ids.to_vec() })
    }

    fn cycle(&mut self) -> Result<()> {
        self.containers.begin();
        let host = self.containers.host();
        for id in &self.ids {
            let look = self.containers.read(id).ok_or_else(|| Failure::new(format!("{id} is gone")))?;
            let made = readings(self.looks.get(&**id), &look, &host);
            if made.is_empty() {
                return Err(Failure::new(format!("nothing could be read of {id}")));
            }
            self.looks.insert(Arc::clone(&look.key.id), look);
        }
        Ok(())
    }
}

fn simulated(site: &Rc<Site>, page: &mut Page) -> Result<()> {
    vigie_os::limits::raise_open_files()?;
    let cgroups = match Cgroups::new(site, MANY) {
        Ok(cgroups) => cgroups,
        Err(failure) => {
            page.notes.push(format!("no simulated cgroups: {failure}"));
            return Ok(());
        }
    };
    let rounds = site.pick(50, 10);
    let found = Cycles::of(5, || Reading::new(cgroups.ids(), true).map(drop))?;
    let (mut kept, mut opened) = (Reading::new(cgroups.ids(), true)?, Reading::new(cgroups.ids(), false)?);
    // They take turns, so that a machine that slows down slows both.
    let (mut kept_cycles, mut opened_cycles) = (Cycles::default(), Cycles::default());
    for _ in 0..rounds {
        for (reading, into) in [(&mut kept, &mut kept_cycles), (&mut opened, &mut opened_cycles)] {
            let one = Cycles::of(1, || reading.cycle())?;
            into.wall.add(one.wall.median());
            into.cpu.add(one.cpu.median());
        }
    }
    let head = ["1,000 simulated cgroups", "CPU: min", "p50", "p99", "each", "wall: p50", "beside kept", "cycles"];
    let mut table = Table::new(head);
    for (name, cycles) in [("kept", &kept_cycles), ("opened", &opened_cycles), ("found", &found)] {
        table.row([
            name.to_owned(),
            time(cycles.cpu.min()),
            time(cycles.cpu.median()),
            time(cycles.cpu.p99()),
            time(cycles.cpu.median() / MANY as u32),
            time(cycles.wall.median()),
            times(cycles.cpu.median(), kept_cycles.cpu.median()),
            cycles.cpu.len().to_string(),
        ]);
    }
    page.tables.push(table);
    let share = kept_cycles.cpu.median().as_secs_f64() / EVERY.as_secs_f64();
    page.budgets.push(Budget::new(
        "1,000 local containers, every 10 s: reading their files",
        "< 1 % of one core",
        format!("{} % ({} a cycle)", digits(share * 100.0), time(kept_cycles.cpu.median())),
        share < LIMIT,
    ));
    Ok(())
}

/// A way to measure real containers.
struct Way {
    name: &'static str,
    wall: Samples,
    own: Samples,
    engine: Samples,
}

impl Way {
    fn of(name: &'static str, rounds: usize, engine: &Engine, mut cycle: impl FnMut() -> Result<()>) -> Result<Self> {
        // The first is of connections and descriptors that are there afterwards.
        cycle()?;
        let mut way = Self { name, wall: Samples::default(), own: Samples::default(), engine: Samples::default() };
        // The engine's time goes in steps of ten milliseconds: all rounds together.
        let engine_before = engine.cpu()?;
        for _ in 0..rounds {
            let (watch, own) = (Stopwatch::start(), own_cpu());
            cycle()?;
            way.own.add(own_cpu().saturating_sub(own));
            way.wall.add(watch.elapsed());
        }
        way.engine.add(engine.cpu()?.saturating_sub(engine_before) / rounds as u32);
        Ok(way)
    }

    fn all(&self) -> Duration {
        self.own.median() + self.engine.median()
    }
}

fn real(site: &Rc<Site>, engine: &Engine, page: &mut Page) -> Result<()> {
    let head = [
        "way",
        "containers",
        "wall: p50",
        "own CPU, each",
        "engine's CPU, each",
        "all, each",
        "to the files",
        "rounds",
    ];
    let mut table = Table::new(head);
    let mut ids = Vec::new();
    for count in site.pick(vec![100, 400], vec![100]) {
        ids.extend(engine.run(count - ids.len())?);
        let ways = ways(site, engine, &ids)?;
        let files = ways.first().map(Way::all).unwrap_or_default();
        for way in &ways {
            let each = |time_of_all: Duration| time(time_of_all / count as u32);
            table.row([
                way.name.to_owned(),
                count.to_string(),
                time(way.wall.median()),
                each(way.own.median()),
                each(way.engine.median()),
                each(way.all()),
                times(way.all(), files),
                way.wall.len().to_string(),
            ]);
        }
    }
    page.tables.push(table);
    Ok(())
}

fn ways(site: &Rc<Site>, engine: &Engine, ids: &[String]) -> Result<Vec<Way>> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot make a runtime: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let gauge = |files: Option<Containers>| {
        let asked = vigie_docker::Engine::over(Dial::Unix(engine.socket()), PATIENCE);
        let files = files.map(|files| Box::new(files) as Box<dyn vigie_core::docker::stats::Files>);
        // Its clocks belong to a runtime.
        let _inside = runtime.enter();
        Gauge::new(Arc::new(asked), files, PARALLEL)
    };
    let round = |gauge: &mut Gauge| {
        let round = runtime.block_on(gauge.round(PATIENCE)).map_err(|error| Failure::new(error.to_string()))?;
        match round.measured.len() == ids.len() {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "{} of {} were measured: {:?}",
                round.measured.len(),
                ids.len(),
                round.missing
            ))),
        }
    };
    let (mut reading, mut here, mut elsewhere) =
        (Reading::new(ids, true)?, gauge(Some(Containers::new()?)), gauge(None));
    Ok(vec![
        Way::of("files alone, kept", site.pick(50, 10), engine, || reading.cycle())?,
        Way::of("vigie: a round, by files", site.pick(20, 5), engine, || round(&mut here))?,
        Way::of("vigie: a round, one-shot", site.pick(5, 2), engine, || round(&mut elsewhere))?,
        Way::of("two samples", site.pick(2, 1), engine, || two_samples(&engine.socket(), ids))?,
    ])
}

/// Asks for each as other tools do, so many at a time.
fn two_samples(socket: &Path, ids: &[String]) -> Result<()> {
    let (next, good) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let ask = || {
        while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
            let answer = question(socket, &format!("/v1.41/containers/{id}/stats?stream=false"));
            if answer.is_ok_and(|body| parse(&body).is_ok_and(|body| body.counters.cpu_nanos.is_some())) {
                good.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| (0..PARALLEL).for_each(|_| drop(scope.spawn(ask))));
    let good = good.load(Ordering::Relaxed);
    if good == ids.len() { Ok(()) } else { Err(Failure::new(format!("{good} of {} answered", ids.len()))) }
}

/// The body of one answer.
fn question(socket: &Path, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    // HTTP/1.0: the body is not in pieces, and the connection ends with it.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(answer.len().saturating_sub(4));
    Ok(answer.split_off(end + 4))
}
