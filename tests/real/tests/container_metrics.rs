//! What containers use and how full disks are (R11.3, R11.5, R11.6), with a real engine: measured by a worker of its own, changed
//! while it runs, readable by name and id when the container is long gone.

use std::time::Duration;

use serde_json::Value;
use vigie_real_tests::{Engine, Process, World, elapsed, now, until};

/// A world with an engine, the container `web`, and the source `nas`.
fn begin(test: &str) -> Option<(World, Engine, String)> {
    let world = World::new();
    let engine = Engine::start(&world, test, &[])?;
    let id = engine.run("web", &["--network", "none"], &["sleep", "1000"]);
    world.vigie(&["source", "add", "nas", &engine.host()]).run().code(0);
    Some((world, engine, id))
}

#[track_caller]
fn json(world: &World, args: &[&str]) -> Value {
    let done = world.vigie(args).run().code(0);
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// The one source of `vigie source ls --json`.
fn nas(world: &World) -> Value {
    json(world, &["source", "ls", "--json"])["sources"][0].clone()
}

fn worker(world: &World, which: &str) -> Option<u32> {
    u32::try_from(json(world, &["source", "ls", "--json"])[which]["pid"].as_u64()?).ok()
}

/// The subjects of `vigie metrics TARGET --json`.
#[track_caller]
fn subjects(world: &World, target: &str) -> Vec<Value> {
    json(world, &["metrics", target, "--json"])["subjects"].as_array().expect("an array").clone()
}

#[track_caller]
fn series(subject: &Value, metric: &str) -> Value {
    let found = subject["metrics"].as_array().and_then(|all| all.iter().find(|series| series["metric"] == metric));
    found.unwrap_or_else(|| panic!("no {metric}: {subject:#}")).clone()
}

fn count(subject: &Value, metric: &str) -> u64 {
    series(subject, metric)["count"].as_u64().unwrap_or(0)
}

/// Waits for a cycle that began after this one.
#[track_caller]
fn cycle_after(world: &World, last: &Value) -> Value {
    until("another cycle", || {
        let cycle = nas(world)["last_cycle"].clone();
        (!cycle.is_null() && cycle["at"] != last["at"]).then_some(cycle)
    })
}

/// Of the day.
fn seconds(text: &str) -> f64 {
    let field = |range: std::ops::Range<usize>| text[range].parse::<f64>().expect("a number");
    field(11..13) * 3600.0 + field(14..16) * 60.0 + field(17..23)
}

/// Looks at a container, and sees that it is measured more often than any interval would have it.
#[track_caller]
fn looked_at(world: &World, target: &str) {
    let watch = world.vigie(&["metrics", target, "-m", "memory", "--json", "--watch"]).start();
    until("it is measured every second", || {
        let mut seen: Vec<f64> = watch
            .out()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|report| {
                // At first there is nothing.
                let all = report["subjects"][0]["metrics"].as_array()?;
                let memory = all.iter().find(|series| series["metric"] == "memory_bytes")?;
                Some(seconds(memory["last_at"].as_str()?))
            })
            .collect();
        seen.dedup();
        // Three looks within less than ten seconds, the shortest interval that there is.
        seen.windows(3).any(|three| (three[2] - three[0]).rem_euclid(86_400.0) < 9.0).then_some(())
    });
    watch.kill();
}

/// R11.3, R11.6: n of m and how it was read; another interval from the next cycle on, with the same process; renamed and
/// removed, and still readable.
#[test]
fn a_container_is_measured_and_remembered() {
    let Some((world, engine, id)) = begin("a_container_is_measured_and_remembered") else { return };
    let first = cycle_after(&world, &Value::Null);
    assert_eq!((&first["measured"], &first["running"]), (&1.into(), &1.into()), "{first:#}");
    assert!(first["how"].is_string() && first["skipped"] == 0 && first["dropped"] == 0, "{first:#}");
    let pid = worker(&world, "metrics_worker").expect("it measures");

    // It is 30 s when nobody says otherwise; then less, and nobody was restarted for it.
    world.vigie(&["settings", "set", "metrics.interval=9s"]).run().code(2).says("10s to 5m");
    world.vigie(&["settings", "set", "metrics.interval=10s"]).run().code(0);
    assert_eq!(json(&world, &["settings", "--json"])["settings"][0]["value"], "10s");
    let second = cycle_after(&world, &first);
    let third = cycle_after(&world, &second);
    for (before, after) in [(&first, &second), (&second, &third)] {
        let began = |cycle: &Value| seconds(cycle["at"].as_str().expect("a time"));
        let between = (began(after) - began(before)).rem_euclid(86_400.0);
        assert!(between < 28.0, "{between} s between two cycles of every 10 s");
    }
    assert_eq!(worker(&world, "metrics_worker"), Some(pid));

    // Two looks make a rate. The first has none.
    let web = until("CPU of the container", || {
        let found = subjects(&world, "container:web");
        (count(&found[0], "cpu_percent_of_core") >= 1).then(|| found[0].clone())
    });
    assert_eq!(
        (&web["source"], &web["container"], &web["container_id"]),
        (&"nas".into(), &"web".into(), &id.as_str().into())
    );
    assert_eq!(web["subject"], format!("container nas/{id}"));
    assert!(count(&web, "memory_bytes") > count(&web, "cpu_percent_of_core"), "{web:#}");
    let memory = series(&web, "memory_bytes")["last"].as_u64().expect("seen");
    assert!((1 << 12..1 << 30).contains(&memory), "{memory}");
    let whole = subjects(&world, "source:nas")[0].clone();
    for (metric, value) in [("containers", 1), ("containers_running", 1)] {
        assert_eq!((&series(&whole, metric)["min"], &series(&whole, metric)["max"]), (&value.into(), &value.into()));
    }
    let share = series(&whole, "containers_memory_bytes")["last"].as_u64().expect("seen");
    let host = series(&whole, "host_memory_total_bytes")["last"].as_u64().expect("seen");
    assert!(share > 0 && share < host, "{share} of {host}");
    engine.docker(&["rename", "web", "api"]).run().code(0);
    until("its new name is known", || {
        (world.vigie(&["metrics", "container:api"]).run().status.code() == Some(0)).then_some(())
    });
    // Somebody looks: every second, and only meanwhile.
    looked_at(&world, "container:api");

    // The first may have begun before.
    cycle_after(&world, &cycle_after(&world, &nas(&world)["last_cycle"]));
    let api = subjects(&world, "container:nas/api")[0].clone();
    assert_eq!((&api["key"], &api["container_id"]), (&"api".into(), &id.as_str().into()));
    assert!(count(&api, "memory_bytes") > count(&web, "memory_bytes"), "its history goes on: {api:#}");
    assert_eq!(subjects(&world, "container:web")[0]["subject"], api["subject"], "it is found by its old name, too");
    engine.docker(&["rm", "--force", "api"]).run().code(0);
    let empty = until("it is gone", || {
        let cycle = nas(&world)["last_cycle"].clone();
        (cycle["running"] == 0).then_some(cycle)
    });
    assert_eq!((&empty["measured"], &empty["how"]), (&0.into(), &Value::Null));
    for target in ["container:api".to_owned(), "container:web".to_owned(), format!("container:{}", &id[..12])] {
        let found = subjects(&world, &target);
        assert!(count(&found[0], "memory_bytes") >= count(&api, "memory_bytes"), "{target}: {found:#?}");
    }
    world.vigie(&["metrics", "container:nobody"]).run().code(8);
    let all = json(&world, &["metrics", "--containers", "--json"]);
    assert_eq!(all["subjects"].as_array().map(Vec::len), Some(1), "{all:#}");
    world.vigie(&["source", "rm", "nas"]).run().code(0);
    assert_eq!(subjects(&world, "container:web")[0]["container_id"], id.as_str(), "also without the source");
}

/// R11.3: whoever is looked at does not wait for the next round, however far that is.
#[test]
fn one_that_is_younger_than_the_last_round() {
    let Some((world, engine, _)) = begin("one_that_is_younger_than_the_last_round") else { return };
    world.vigie(&["settings", "set", "metrics.interval=5m"]).run().code(0);
    cycle_after(&world, &Value::Null);
    engine.run("young", &["--network", "none"], &["sleep", "1000"]);
    until("it is known", || {
        (world.vigie(&["metrics", "container:young"]).run().status.code() == Some(0)).then_some(())
    });
    looked_at(&world, "container:young");
}

/// R11.2, R11.6: `kill -9` of worker and daemon; switches and pauses touch only whom they concern.
#[test]
fn whoever_measures_may_be_killed_and_switched_off() {
    let Some((world, engine, _)) = begin("whoever_measures_may_be_killed_and_switched_off") else { return };
    world.vigie(&["settings", "set", "metrics.interval=10s"]).run().code(0);
    let first = cycle_after(&world, &Value::Null);
    let pid = worker(&world, "metrics_worker").expect("it measures");
    let events = until("its events are followed", || worker(&world, "worker"));
    Process::open(pid, |_| true).expect("it lives").kill();
    let next = until("another measures", || worker(&world, "metrics_worker").filter(|other| *other != pid));
    let second = cycle_after(&world, &first);
    assert_eq!(worker(&world, "worker"), Some(events), "whoever follows events has nothing to do with it");
    world.daemon().kill();
    // Back at once, it misses no round: that would be no gap.
    let then = now();
    until("three rounds are missed", || (elapsed(then) > Duration::from_secs(35)).then_some(()));
    world.vigie(&["daemon", "start"]).run().code(0);
    let third = cycle_after(&world, &second);
    assert_ne!(worker(&world, "metrics_worker"), Some(next), "the end of the daemon ends its workers");
    let fourth = cycle_after(&world, &third);
    let whole = until("what was measured before and after is there", || {
        let whole = subjects(&world, "source:nas")[0].clone();
        (count(&whole, "containers") >= 4).then_some(whole)
    });
    assert_eq!(series(&whole, "containers")["max"], 1, "nothing is counted twice");
    assert!(
        !series(&whole, "containers")["gaps"].as_array().expect("an array").is_empty(),
        "a daemon was away: {whole:#}"
    );

    let events = until("its events are followed", || worker(&world, "worker"));
    world.vigie(&["source", "set", "nas", "metrics=off", "disc=off"]).run().code(2).says("disk-above");
    world.vigie(&["source", "set", "nas", "metrics=off", "disk=off"]).run().code(0);
    let stopped = |world: &World| world.service("metrics")["state"] == "stopped";
    until("nobody measures what is switched off", || stopped(&world).then_some(()));
    assert!(nas(&world)["last_cycle"].is_null(), "what is not measured is not shown as if it was");
    assert_eq!(worker(&world, "worker"), Some(events));
    let before = count(&subjects(&world, "source:nas")[0], "containers");
    world.vigie(&["source", "set", "nas", "metrics=on", "events=off"]).run().code(0);
    until("nobody follows its events", || (world.service("events")["state"] == "stopped").then_some(()));
    cycle_after(&world, &fourth);
    until("whoever measures it tells that it is there", || (nas(&world)["online"] == true).then_some(()));
    assert!(count(&subjects(&world, "source:nas")[0], "containers") > before);

    // The engine hangs: a cycle is given up, and the source is away; others would not wait for it.
    engine.dockerd().stop();
    until("it is not measured", || nas(&world)["not_measured"].is_string().then_some(()));
    until("it is said to be away", || (nas(&world)["online"] == false).then_some(()));
    engine.dockerd().signal(rustix::process::Signal::CONT);
    let back =
        until("it is back", || Some(nas(&world)).filter(|nas| nas["online"] == true && nas["not_measured"].is_null()));
    assert_eq!(back["last_cycle"]["measured"], 1, "{back:#}");
    let kinds = |kind: &str| {
        let done = world.vigie(&["events", "--json", "-n", "1000", "source:nas"]).run().code(0).text();
        done.lines().filter(|line| line.contains(&format!("\"kind\":\"{kind}\""))).count()
    };
    until("both are told", || (kinds("source_online") == 1).then_some(()));
    assert_eq!(kinds("source_offline"), 1, "once each");

    world.vigie(&["source", "pause", "nas"]).run().code(0);
    until("nobody measures what is paused", || stopped(&world).then_some(()));
    world.vigie(&["source", "resume", "nas"]).run().code(0);
    let cycle = cycle_after(&world, &back["last_cycle"]);
    assert_eq!(cycle["measured"], 1);
    world.vigie(&["source", "rm", "nas"]).run().code(0);
    until("no source, no worker", || world.status()["services"].as_array().is_some_and(Vec::is_empty).then_some(()));
}

/// R11.5: what the file system says where it can be asked; else what the engine has counted.
#[test]
fn disks_here_and_an_engine_elsewhere() {
    let Some((world, engine, _)) = begin("disks_here_and_an_engine_elsewhere") else { return };
    let disk = until("it was asked", || Some(nas(&world)["last_disk"].clone()).filter(|disk| !disk.is_null()));
    let stat = rustix::fs::statvfs(world.path("engine/data")).expect("a file system");
    let (total, used) = (disk["total_bytes"].as_u64().expect("known"), disk["used_bytes"].as_u64().expect("known"));
    assert_eq!((&disk["how"], total), (&"statfs".into(), stat.f_blocks * stat.f_frsize));
    // Others write meanwhile.
    let really = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
    assert!(used.abs_diff(really) < total / 10, "{used} and {really} of {total}");
    let whole = until("it is stored", || {
        let whole = subjects(&world, "source:nas")[0].clone();
        (count(&whole, "disk_used_percent") >= 1).then_some(whole)
    });
    assert!(
        series(&whole, "disk_used_percent")["last"].as_f64().is_some_and(|percent| (0.0..=100.0).contains(&percent))
    );

    // At another machine, by what looks like ssh.
    let bin = world.path("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let ssh = bin.join("ssh");
    let script = format!("#!/bin/sh\nexec docker --host {} system dial-stdio\n", engine.host());
    std::fs::write(&ssh, script).expect("a file");
    std::fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    world.vigie(&["source", "rm", "nas"]).run().code(0);
    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
    world.vigie(&["daemon", "start"]).env("PATH", &path).run().code(0);
    world.vigie(&["source", "add", "nas", "ssh://ana@nas", "--no-events", "--no-metrics"]).run().code(0);
    assert_eq!(nas(&world)["disk"], false, "an engine elsewhere has to count: nobody asked for it");
    world.vigie(&["source", "set", "nas", "disk=on", "disk-above=200GB"]).run().code(0);
    assert_eq!(nas(&world)["disk_above"], "200GB");
    let disk = until("it was asked", || Some(nas(&world)["last_disk"].clone()).filter(|disk| !disk.is_null()));
    assert_eq!(disk["how"], "system_df");
    assert!(disk["used_bytes"].as_u64().is_some_and(|used| used > 100_000), "the image alone has more: {disk:#}");
    assert!(disk["total_bytes"].is_null() && disk["used_percent"].is_null(), "nobody told: {disk:#}");

    // Its containers are asked for one by one, and streamed while somebody looks.
    world.vigie(&["source", "set", "nas", "metrics=on", "disk=off"]).run().code(0);
    let cycle = cycle_after(&world, &Value::Null);
    assert_eq!((&cycle["how"], &cycle["measured"]), (&"one_shot".into(), &1.into()), "{cycle:#}");
    looked_at(&world, "container:nas/web");
}
