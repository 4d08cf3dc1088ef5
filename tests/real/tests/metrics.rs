//! `vigie metrics` (R10.2, R1): what was measured of services, over time, with a daemon and without one.

use serde_json::Value;
use vigie_real_tests::{World, until};

/// `vigie metrics ARGS --json`
#[track_caller]
fn metrics(world: &World, args: &[&str]) -> Value {
    let done = world.vigie(&[&["metrics", "--json"], args].concat()).run().code(0);
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// One metric of the one subject of a report.
#[track_caller]
fn series(report: &Value, metric: &str) -> Value {
    let all = report["subjects"][0]["metrics"].as_array();
    let found = all.and_then(|all| all.iter().find(|series| series["metric"] == metric));
    found.unwrap_or_else(|| panic!("no {metric}: {report:#}")).clone()
}

/// Waits until a metric of a service is as it should be.
#[track_caller]
fn wait<T>(world: &World, service: &str, metric: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
    until(&format!("{metric} of {service}"), || {
        let report = metrics(world, &[service]);
        report["subjects"].as_array().filter(|subjects| subjects.len() == 1)?;
        look(&series(&report, metric))
    })
}

fn samples(series: &Value) -> u64 {
    series["count"].as_u64().unwrap_or(0)
}

/// What a process had of a core since its start, in percent, as the kernel tells.
fn share(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let field = |number: usize| stat.rsplit(')').next()?.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
    let uptime: f64 = std::fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    Some(100.0 * (field(14)? + field(15)?) / (uptime * ticks - field(22)?))
}

/// One core and no more: 100 % where there is one to be had, and on a machine that has more to do than processors its share
/// of one. The names say of what it is a part.
#[test]
fn a_busy_core_is_seen_as_one() {
    let world = World::new();
    world.manifest("[service.burn]\ncommand = [\"sh\", \"-c\", \"while :; do :; done\"]\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let pid = world.pid("burn");
    let cpu = wait(&world, "burn", "cpu_percent_of_core", |cpu| {
        let (mean, share) = (cpu["mean"].as_f64()?, share(pid)?);
        (samples(cpu) >= 3 && mean > 40.0_f64.min(share / 2.0)).then(|| cpu.clone())
    });
    // Not 200, whatever the machine does between the look at the clock and that at the counter.
    assert!(cpu["max"].as_f64().is_some_and(|max| max <= 150.0), "{cpu:#}");
    assert_eq!(cpu["unit"], "percent");
    let report = metrics(&world, &["burn"]);
    let max = |metric| series(&report, metric)["max"].as_f64().expect("a number");
    let (core, host) = (max("cpu_percent_of_core"), max("cpu_percent_of_host"));
    assert!(host <= 150.0 && host <= core + 1.0, "{host} of the host, {core} of a core");
}

#[test]
fn memory_that_is_held_is_seen() {
    let world = World::new();
    world.manifest(
        "[service.big]\ncommand = [\"sh\", \"-c\", \"x=$(head -c 100000000 /dev/zero | tr '\\\\0' x); while :; do sleep 1; done\"]\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    let memory =
        wait(&world, "big", "memory_bytes", |memory| (memory["last"].as_u64()? >= 100_000_000).then(|| memory.clone()));
    assert!(memory["max"].as_u64() >= memory["last"].as_u64() && memory["unit"] == "bytes", "{memory:#}");
    let report = metrics(&world, &["big"]);
    for metric in ["processes", "threads", "descriptors"] {
        assert!(series(&report, metric)["max"].as_u64().is_some_and(|count| count >= 1), "{report:#}");
    }
}

/// R1: what was not measured is absent. CPU needs two looks; nobody has looked here before the first round.
#[test]
fn the_first_sample_knows_no_cpu() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    let before = metrics(&world, &["a"]);
    assert!(before["store"].is_null(), "{before:#}");
    assert!(series(&before, "memory_bytes")["last"].is_null());
    world.vigie(&["up", "-d"]).run().code(0);
    let file = world.home().join("state/samples.db");
    until("samples are stored without anybody who looks", || file.exists().then_some(()));
    let report = until("some samples", || {
        let report = metrics(&world, &["a"]);
        (samples(&series(&report, "memory_bytes")) >= 2).then_some(report)
    });
    let (cpu, memory) = (series(&report, "cpu_percent_of_core"), series(&report, "memory_bytes"));
    assert_eq!(samples(&cpu) + 1, samples(&memory), "{report:#}");
    assert!(cpu["since"].as_str() > memory["since"].as_str(), "{report:#}");
}

/// The daemon is killed: what was stored is shown without it, the series goes on with the next one, and the time between is a
/// gap.
#[test]
fn a_killed_daemon_leaves_a_gap_in_a_series_that_goes_on() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let before = wait(&world, "a", "memory_bytes", |memory| (samples(memory) >= 2).then(|| memory.clone()));
    let pid = world.pid("a");
    world.daemon().kill();
    until("the daemon is gone", || world.status()["daemon"].is_null().then_some(()));
    // Without a daemon: all of it is still there, and where it ends, the gap begins.
    let during = wait(&world, "a", "memory_bytes", |memory| {
        memory["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty()).then(|| memory.clone())
    });
    assert!(samples(&during) >= samples(&before), "{during:#}");
    assert_eq!(during["since"], before["since"]);
    assert_eq!(during["gaps"][0]["from"], during["last_at"]);
    world.vigie(&["daemon", "start"]).run().code(0);
    let after =
        wait(&world, "a", "memory_bytes", |memory| (samples(memory) > samples(&during)).then(|| memory.clone()));
    assert_eq!(world.pid("a"), pid, "the same process");
    assert_eq!(after["since"], before["since"], "the same series");
    let gap = &after["gaps"][0];
    assert_eq!(gap["from"], during["last_at"], "{after:#}");
    assert!(gap["until"].as_str() > gap["from"].as_str());
    let within = |point: &&Value| {
        let at = point["at"].as_str();
        at > gap["from"].as_str() && at < gap["until"].as_str() && point["count"] == 0
    };
    for point in after["points"].as_array().expect("points").iter().filter(within) {
        assert!(point["min"].is_null() && point["mean"].is_null() && point["max"].is_null(), "{point:#}");
    }
}

/// A restart goes on with the series of the service; while nothing of it runs there is a gap.
#[test]
fn a_stopped_service_has_a_gap_and_a_restarted_one_the_same_series() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n[service.b]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let before = wait(&world, "a", "processes", |processes| (samples(processes) >= 1).then(|| processes.clone()));
    world.vigie(&["restart", "a", "--yes"]).run().code(0);
    let restarted =
        wait(&world, "a", "processes", |processes| (samples(processes) > samples(&before)).then(|| processes.clone()));
    assert_eq!(restarted["since"], before["since"], "the same series");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    let stopped = wait(&world, "a", "processes", |processes| {
        let gap = processes["gaps"].as_array()?.last()?.clone();
        (gap["from"] == processes["last_at"]).then(|| (processes.clone(), gap))
    });
    let report = metrics(&world, &["a"]);
    assert!(stopped.1["until"].as_str() <= report["until"].as_str());
    // The other one goes on.
    let other = wait(&world, "b", "processes", |other| {
        (other["last_at"].as_str() > stopped.0["last_at"].as_str()).then(|| other.clone())
    });
    assert_eq!(other["last"], 1, "{other:#}");
}

/// Every name of the schema is there, absent values are null.
#[test]
fn the_shape() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n[service.b]\ncommand = \"@hostile wait\"\n");
    let empty = metrics(&world, &[]);
    assert_eq!((&empty["subjects"], &empty["store"]), (&serde_json::json!([]), &Value::Null));
    world.vigie(&["up", "-d"]).run().code(0);
    wait(&world, "b", "memory_bytes", |memory| (samples(memory) >= 1).then_some(()));
    let report = metrics(&world, &[]);
    assert_eq!(report["schema"], 1);
    for field in ["at", "from", "until"] {
        assert!(report[field].as_str().is_some_and(|at| at.ends_with('Z')), "{report:#}");
    }
    assert_eq!((&report["resolution"], &report["store"]["lost_samples"]), (&"raw".into(), &0.into()));
    assert!(report["step"].is_string() && report["store"]["bytes"].is_u64() && report["store"]["wal_bytes"].is_u64());
    let subjects = report["subjects"].as_array().expect("subjects");
    let names: Vec<&Value> = subjects.iter().map(|subject| &subject["subject"]).collect();
    assert_eq!(names, ["service demo/a", "service demo/b"]);
    for subject in subjects {
        assert_eq!((&subject["project"], &subject["mode"]), (&"demo".into(), &Value::Null));
        assert!(subject["key"].is_string() && subject["service"].is_string());
        assert_eq!(subject["metrics"].as_array().map(Vec::len), Some(8));
        for series in subject["metrics"].as_array().expect("metrics") {
            for field in ["metric", "unit", "since", "last_at", "last", "min", "mean", "max", "count", "gaps", "points"]
            {
                assert!(series.get(field).is_some(), "{field}: {series:#}");
            }
            for point in series["points"].as_array().expect("points") {
                for field in ["at", "min", "mean", "max", "count"] {
                    assert!(point.get(field).is_some(), "{field}: {point:#}");
                }
            }
        }
    }
    let one = metrics(&world, &["demo/a", "--metric", "memory", "--step", "1m"]);
    assert_eq!(one["subjects"][0]["metrics"].as_array().map(Vec::len), Some(1));
    assert_eq!((&one["step"], &one["resolution"]), (&"1m".into(), &"1m".into()));
    assert!(series(&one, "memory_bytes")["last"].is_u64(), "an open bucket is there: {one:#}");
    // By process, and what there is not.
    let pid = world.pid("b");
    assert_eq!(metrics(&world, &[&format!("pid:{pid}")])["subjects"][0]["service"], "b");
    world.vigie(&["metrics", "nope"]).run().code(8);
    world.vigie(&["metrics", "a:mode"]).run().code(8);
    world.vigie(&["metrics", "--since", "5m", "--until", "1h"]).run().code(2);
}

/// For people: a line of blocks at a terminal, numbers alone in a pipe.
#[test]
fn tables_and_blocks() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    wait(&world, "a", "memory_bytes", |memory| (samples(memory) >= 1).then_some(()));
    let table = world.vigie(&["metrics"]).run().code(0).text();
    assert!(table.contains("demo/a") && table.contains("CPU of one core") && table.contains("MEAN"), "{table}");
    assert!(!table.contains('█'), "blocks in a pipe: {table}");
    let mut terminal = world.terminal(&["metrics", "a"]);
    assert!(terminal.finish().success());
    let screen = terminal.screen();
    assert!(screen.contains('█') && screen.contains("descriptors") && screen.contains("since "), "{screen}");
    // Measured every second while somebody watches.
    let watch = world.vigie(&["metrics", "a", "-m", "memory", "--json", "--watch"]).start();
    until("it is shown again and again, with more", || {
        let counts: Vec<u64> = watch
            .out()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|report| samples(&series(&report, "memory_bytes")))
            .collect();
        (counts.last()? > counts.first()?).then_some(())
    });
    watch.kill();
}

/// R10.1, R10.2: damaged samples are set aside and told of, and measuring goes on.
#[test]
fn damaged_samples_are_set_aside_and_told_of() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    wait(&world, "a", "memory_bytes", |memory| (samples(memory) >= 1).then_some(()));
    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    let file = world.home().join("state/samples.db");
    std::fs::write(&file, "this is no database, and long enough to be looked at as one".repeat(100)).expect("harmed");
    world.vigie(&["metrics", "a"]).run().code(70);
    world.vigie(&["up", "-d"]).run().code(0);
    // Nobody can be told what was measured until the daemon writes for the first time.
    until("it is told", || {
        let told = world.events().into_iter().find(|event| event["kind"] == "samples_damaged")?;
        let kept = told["detail"]["kept_as"].as_str()?.to_owned();
        std::path::Path::new(&kept).exists().then_some(())
    });
    wait(&world, "a", "memory_bytes", |memory| (samples(memory) >= 1).then_some(()));
}
