//! What containers use (R10.2, R11.3), with a real engine: by each reader what the kernel itself says, on the right scale,
//! and nothing absurd when one is started again or vanishes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use vigie_core::docker::stats::{Files, Host, How, Wanted};
use vigie_core::samples::{Metric, Readings};
use vigie_docker::measure::{Gauge, Measured, PARALLEL, Stream};
use vigie_os::containers::Containers;
use vigie_real_tests::{Engine, LONG, World, elapsed, now, until};

const MIB: u64 = 1 << 20;

/// Between two rounds: what the engine reads a second early or late is a tenth of it.
const BETWEEN: Duration = Duration::from_secs(10);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn engine_of(engine: &Engine) -> Arc<vigie_docker::Engine> {
    let dial = vigie_docker::Dial::Unix(engine.socket());
    Arc::new(vigie_docker::Engine::over(dial, LONG))
}

fn by_files(engine: &Engine) -> Gauge {
    let files = Containers::new().expect("/proc can be read");
    Gauge::new(engine_of(engine), Some(Box::new(files)), PARALLEL)
}

fn by_engine(engine: &Engine) -> Gauge {
    Gauge::new(engine_of(engine), None, PARALLEL)
}

fn of(readings: &Readings, metric: Metric) -> Option<u64> {
    readings.iter().find_map(|(other, value)| (*other == metric).then_some(*value))
}

#[track_caller]
fn readings<'a>(measured: &'a [Measured], name: &str) -> &'a Readings {
    &measured.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{name} is missing: {measured:?}")).readings
}

/// A container as the kernel has it, seen without vigie's own eyes.
struct Kernel {
    /// Its cgroup that counts CPU time, and the file.
    cpu: PathBuf,
    procs: PathBuf,
}

impl Kernel {
    /// Of the container with this id, wherever below a tree of cgroups the engine has put it.
    fn of(id: &str) -> Self {
        let (mut cpu, mut procs) = (None, None);
        for tree in ["cpuacct", "cpu,cpuacct", "pids", ""] {
            let folders =
                |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            let of_it = |folder: &PathBuf| folder.file_name().is_some_and(|name| name.to_string_lossy().contains(id));
            for folder in folders(PathBuf::from("/sys/fs/cgroup").join(tree)).flat_map(folders).filter(of_it) {
                let there = |name: &str| Some(folder.join(name)).filter(|file| file.exists());
                cpu = cpu.or_else(|| there("cpuacct.usage")).or_else(|| there("cpu.stat"));
                procs = procs.or_else(|| there("cgroup.procs"));
            }
        }
        Self { cpu: cpu.expect("it has a cgroup"), procs: procs.expect("it has a cgroup") }
    }

    /// CPU time in nanoseconds, as its cgroup counts it.
    fn cpu_nanos(&self) -> Option<u64> {
        let text = std::fs::read_to_string(&self.cpu).ok()?;
        match text.strip_prefix("usage_usec ") {
            Some(rest) => Some(rest.lines().next()?.parse::<u64>().ok()? * 1_000),
            None => text.trim().parse().ok(),
        }
    }

    fn pids(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(&self.procs).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// CPU time in nanoseconds, as its processes themselves have it (`utime` and `stime` of proc_pid_stat(5)).
    fn cpu_of_processes(&self) -> u64 {
        let ticks = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest).to_owned();
            let field = |place: usize| rest.split_ascii_whitespace().nth(place)?.parse::<u64>().ok();
            field(11).unwrap_or(0) + field(12).unwrap_or(0)
        };
        self.pids().into_iter().map(ticks).sum::<u64>() * (1_000_000_000 / rustix::param::clock_ticks_per_second())
    }

    /// Memory of its processes that belongs to no file, in bytes (`RssAnon` of proc_pid_status(5)).
    fn anonymous(&self) -> u64 {
        let of = |pid: u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line =
                status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?.trim().strip_suffix(" kB")?.to_owned();
            line.trim().parse::<u64>().ok()
        };
        self.pids().into_iter().filter_map(of).sum::<u64>() * 1024
    }
}

/// The CPU time of a container over time: each moment that a reader may have looked at is in it.
struct Curve {
    points: Arc<Mutex<Vec<(Duration, u64)>>>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Curve {
    fn of(kernel: Kernel) -> Self {
        let points = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (into, until_over) = (Arc::clone(&points), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !until_over.load(Ordering::Relaxed) {
                let before = now();
                if let Some(nanos) = kernel.cpu_nanos() {
                    into.lock().expect("nobody panics with it").push(((before + now()) / 2, nanos));
                }
                std::thread::park_timeout(Duration::from_millis(10));
            }
        });
        let curve = Self { points, over, thread: Some(thread) };
        until("the curve begins", || curve.last().map(drop));
        curve
    }

    fn last(&self) -> Option<(Duration, u64)> {
        self.points.lock().expect("nobody panics with it").last().copied()
    }

    /// Percent of one core between any moment of the first span of time and any of the second: the least and the most.
    fn percent(&self, first: (Duration, Duration), second: (Duration, Duration)) -> (f64, f64) {
        // The point before and the one behind a span enclose what lies in it.
        until("the curve has gone on", || self.last().filter(|(at, _)| *at > second.1).map(drop));
        let points = self.points.lock().expect("nobody panics with it");
        let within = |(from, to): (Duration, Duration)| {
            let start = points.partition_point(|(at, _)| *at < from).saturating_sub(1);
            let end = points.partition_point(|(at, _)| *at <= to).min(points.len() - 1);
            points[start..=end].to_vec()
        };
        let (mut least, mut most) = (f64::MAX, 0.0_f64);
        for (from, before) in within(first) {
            for (to, after) in within(second) {
                let percent = (after - before) as f64 * 100.0 / (to - from).as_nanos() as f64;
                (least, most) = (least.min(percent), most.max(percent));
            }
        }
        (least, most)
    }
}

impl Drop for Curve {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Within five in a hundred of the truth.
#[track_caller]
fn is_true(who: &str, readings: &Readings, (least, most): (f64, f64)) {
    let told = of(readings, Metric::CpuOfCore).unwrap_or_else(|| panic!("{who} tells no CPU: {readings:?}"));
    let percent = Metric::CpuOfCore.value(told);
    assert!(
        percent >= least * 0.95 && percent <= most * 1.05,
        "{who} tells {percent:.1} %, and it was between {least:.1} and {most:.1} %"
    );
    let processors = std::thread::available_parallelism().expect("known").get() as u64;
    let host = of(readings, Metric::CpuOfHost).expect("the number of processors is known");
    assert!(host.abs_diff(told / processors) <= 1, "{who}: {host} of the host, {told} of a core, {processors}");
}

#[track_caller]
fn is_about(who: &str, told: Option<u64>, truth: u64) {
    let told = told.unwrap_or_else(|| panic!("{who} tells nothing"));
    let off = told.abs_diff(truth) as f64 / truth as f64;
    assert!(off <= 0.05, "{who} tells {told}, and it is {truth}");
}

/// A loop that keeps a core busy, as far as others let it.
const BURN: [&str; 3] = ["sh", "-c", "while :; do :; done"];

/// A program that has filled 100 MiB, and waits.
const HOLD: [&str; 3] = ["sh", "-c", "/busybox dd if=/dev/zero bs=104857600 count=1 | /busybox sleep 100000"];

#[test]
fn each_reader_tells_the_truth() {
    let world = World::new();
    let Some(engine) = Engine::start(&world, "each_reader_tells_the_truth", &[]) else { return };
    they_tell_the_truth(&engine, true);
}

/// Podman tells neither the page cache nor the mode of a network, and of a network where there is none.
#[test]
fn each_reader_tells_the_truth_of_podman() {
    let world = World::new();
    let Some(engine) = Engine::podman(&world, "each_reader_tells_the_truth_of_podman") else { return };
    they_tell_the_truth(&engine, false);
}

fn they_tell_the_truth(engine: &Engine, networks: bool) {
    let burn = engine.run("burn", &["--network", "host"], &BURN);
    let network: &[&str] = if networks { &[] } else { &["--network", "none"] };
    let hold = Kernel::of(&engine.run("hold", &[&["--memory", "300m"], network].concat(), &HOLD));
    until("it has its memory", || (hold.anonymous() >= 100 * MIB).then_some(()));
    // The engine tells in whole seconds how long one runs: it must be clear that both ran in the first round.
    a_second();
    a_second();
    let processes = Kernel::of(&burn);
    let curve = Curve::of(Kernel::of(&burn));

    let runtime = runtime();
    let asked = engine_of(engine);
    let (mut files, mut api) = (by_files(engine), by_engine(engine));
    let round = |gauge: &mut Gauge| {
        let before = now();
        let round = runtime.block_on(gauge.round(LONG)).expect("the engine answers");
        assert_eq!((round.running, round.measured.len(), &round.remark), (2, 2, &None), "{round:?}");
        (round, (before, now()))
    };
    let (first_files, files_from) = round(&mut files);
    let (first_api, api_from) = round(&mut api);
    let own_from = (now(), processes.cpu_of_processes());
    assert_eq!((first_files.how, first_api.how), (Some(How::Files), Some(How::OneShot)));
    for round in [&first_files, &first_api] {
        for metric in [Metric::CpuOfCore, Metric::CpuOfHost, Metric::Read, Metric::Received] {
            assert_eq!(of(readings(&round.measured, "burn"), metric), None, "{metric:?} takes two samples");
        }
        assert_eq!(
            round.host.cpus.map(u64::from),
            std::thread::available_parallelism().ok().map(|count| count.get() as u64)
        );
    }

    // Meanwhile the stream: a sample a second.
    let host = first_api.host;
    let mut stream = runtime.block_on(Stream::open(&asked, &burn, host)).expect("the engine answers");
    let mut next = || {
        let readings = runtime.block_on(stream.next()).expect("a sample").expect("it runs");
        (readings, now())
    };
    let (first, mut before) = next();
    assert_eq!(of(&first, Metric::CpuOfCore), None, "the first has nothing to compare with");
    // The engine has read it a little earlier than it arrives here.
    let read = |at: Duration| (at.saturating_sub(Duration::from_millis(300)), at);
    for _ in 0..5 {
        let (sample, at) = next();
        is_true("the stream", &sample, curve.percent(read(before), read(at)));
        before = at;
    }

    until("ten seconds are over", || (elapsed(api_from.1) >= BETWEEN).then_some(()));
    let (files_round, files_to) = round(&mut files);
    let (api_round, api_to) = round(&mut api);
    let own_to = (now(), processes.cpu_of_processes());
    is_true("the files", readings(&files_round.measured, "burn"), curve.percent(files_from, files_to));
    is_true("the API", readings(&api_round.measured, "burn"), curve.percent(api_from, api_to));
    // What the cgroup counts is what its processes themselves have.
    let by_processes = (own_to.1 - own_from.1) as f64 * 100.0 / (own_to.0 - own_from.0).as_nanos() as f64;
    let (least, most) = curve.percent((own_from.0, own_from.0), (own_to.0, own_to.0));
    assert!(by_processes >= least * 0.95 && by_processes <= most * 1.05, "{by_processes} {least} {most}");

    for (who, round) in [("the files", &files_round), ("the API", &api_round)] {
        let held = readings(&round.measured, "hold");
        is_about(who, of(held, Metric::Memory), hold.anonymous());
        assert_eq!(of(held, Metric::MemoryLimit), Some(300 * MIB), "{who}");
        assert_eq!(of(readings(&round.measured, "burn"), Metric::MemoryLimit), None, "{who}: it has none");
        assert_eq!(of(held, Metric::Threads), Some(3), "{who}: a shell, dd and sleep");
        assert_eq!(of(held, Metric::Received).is_some(), networks, "{who}: whether it has a network of its own");
        assert_eq!(of(readings(&round.measured, "burn"), Metric::Received), None, "{who}: its network is the host's");
        let idle = of(held, Metric::CpuOfCore).expect("measured twice");
        assert!(idle <= 1_000, "{who}: it only waits, and has {idle}");
    }
}

/// Two looks that follow each other at once say nothing.
fn a_second() {
    let begun = now();
    until("a second is over", || (elapsed(begun) >= Duration::from_secs(1)).then_some(()));
}

/// A container that is started again has counters of another life; one that vanishes leaves n of m, and no 0.
#[test]
fn a_restart_and_one_that_vanishes() {
    let world = World::new();
    let Some(engine) = Engine::start(&world, "a_restart_and_one_that_vanishes", &[]) else { return };
    engine.run("burn", &["--network", "none"], &BURN);
    let runtime = runtime();
    let (mut files, mut api) = (by_files(&engine), by_engine(&engine));
    let processors = std::thread::available_parallelism().expect("known").get() as u64;
    let cpu = |gauge: &mut Gauge| {
        let round = runtime.block_on(gauge.round(LONG)).expect("the engine answers");
        let readings = readings(&round.measured, "burn").clone();
        let absurd = |value: &u64| *value > processors * 125_000;
        assert!(of(&readings, Metric::CpuOfCore).as_ref().is_none_or(|value| !absurd(value)), "{readings:?}");
        of(&readings, Metric::CpuOfCore)
    };
    for gauge in [&mut files, &mut api] {
        assert_eq!(cpu(gauge), None);
        a_second();
        assert!(cpu(gauge).is_some(), "the second round knows CPU");
    }
    engine.docker(&["restart", "--time", "0", "burn"]).run().code(0);
    for (who, gauge) in [("files", &mut files), ("the API", &mut api)] {
        assert_eq!(cpu(gauge), None, "{who}: another life");
        // The engine tells in whole seconds how long it runs.
        a_second();
        until("it is measured again", || {
            let measured = cpu(gauge);
            a_second();
            measured
        });
    }

    // An engine before 25 takes a second for a sample: time enough to go.
    let seen = until("a container vanishes between the list and its sample", || {
        let id = engine.run("mayfly", &["--network", "none"], &["sleep", "100000"]);
        let mut kept = Containers::new().expect("/proc can be read");
        let wanted = Wanted { id: &id, no_network: false };
        kept.find(&[wanted]).expect("/proc can be read");
        assert!(kept.read(&id).is_some(), "it runs");
        let remove = || engine.docker(&["rm", "--force", "mayfly"]).run().code(0);
        let round = std::thread::scope(|scope| {
            let removing = scope.spawn(remove);
            let round = runtime.block_on(api.round(LONG)).expect("the engine answers");
            removing.join().expect("removed");
            round
        });
        until("the kernel says that its cgroup is gone", || kept.read(&id).is_none().then_some(()));
        assert!(!kept.knows(&id));
        assert!(round.measured.len() <= round.running);
        (round.running == 2 && round.measured.len() == 1).then_some(round)
    });
    assert_eq!(seen.missing.len(), 1, "{seen:?}");
    assert_eq!((seen.missing[0].name.as_str(), seen.missing[0].why.as_str()), ("mayfly", "it did not run any more"));
    assert!(of(readings(&seen.measured, "burn"), Metric::CpuOfCore).is_some(), "the others are measured");
    assert_eq!(runtime.block_on(api.round(LONG)).expect("the engine answers").running, 1);
    let nobody = runtime.block_on(Stream::open(&engine_of(&engine), "mayfly", Host::default()));
    assert!(nobody.is_err_and(|error| error.to_string().contains("404")), "there is no such container");
}
