//! What only an engine that lies can show, through the whole of vigie.

use std::time::Duration;

use vigie_fake_engine::{Answer, FakeEngine, Faults, Kind};
use vigie_real_tests::{World, actions, of_kind, until};

fn followed(world: &World, engine: &FakeEngine) {
    // As dockerd does: there is always something that happened before.
    engine.happen_elsewhere("network", "create", "bridge");
    // Who measures asks the same questions, and would take the answers that are meant for who follows.
    world.vigie(&["source", "add", "nas", &engine.endpoint(), "--no-metrics"]).run().code(0);
    world.wait_live("nas");
}

/// The most resident memory that a process ever had, in bytes.
fn peak(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).expect("a number") * 1024
}

fn worker(world: &World) -> u64 {
    until("a worker follows", || world.sources()["worker"]["pid"].as_u64())
}

/// Row 29: 200 MB without a newline are one bad line, and no memory.
#[test]
fn an_endless_line() {
    let world = World::new();
    let engine = FakeEngine::start(Faults::default());
    followed(&world, &engine);
    let pid = worker(&world);
    engine.answer("/events", Answer::repeated("x", 200 << 20).chunked(64 << 10).times(1));
    engine.break_streams();
    world.wait_kind("nas", "source_bad_lines", 1);
    world.wait_live("nas");
    engine.happen("create", "web");
    until("it goes on", || (!world.told(&["container:nas/web"]).is_empty()).then_some(()));
    assert_eq!(worker(&world), pid, "it lived through it");
    assert!(peak(pid) < 64 << 20, "{} bytes", peak(pid));
}

/// A list of 100 MB is refused, and asked for again later; the memory that it takes is bounded.
#[test]
fn a_list_of_a_hundred_megabytes() {
    let world = World::new();
    let engine = FakeEngine::start(Faults::default());
    followed(&world, &engine);
    let pid = worker(&world);
    engine.answer("/containers/json", Answer::repeated(" ", 100 << 20).times(1));
    engine.break_streams();
    until("that it is too long is said", || {
        let source = world.source("nas");
        source["why"].as_str().is_some_and(|why| why.contains("its answer is longer than 64")).then_some(())
    });
    world.wait_live("nas");
    assert_eq!(worker(&world), pid, "it lived through it");
    // Once what is read, and once more while it grows.
    assert!(peak(pid) < 160 << 20, "{} bytes", peak(pid));
}

/// Rows 25, 28: each event twice, in disorder, cut within characters: each is told once, in the end.
#[test]
fn an_engine_that_repeats_itself() {
    let world = World::new();
    let engine = FakeEngine::start(Faults { doubles: true, reorders: 3, split: 7, ..Faults::default() });
    followed(&world, &engine);
    for _ in 0..20 {
        engine.burst(3, "kill", "web", &[("signal", "1")]);
    }
    let mut before = 0;
    until("all of it is told", || {
        let told = actions(&world.told(&["source:nas"])).len();
        let settled = told == before && told >= 60;
        before = told;
        settled.then_some(())
    });
    // The first of them makes the container known, without an event of its own.
    let events = world.told(&["source:nas"]);
    assert_eq!(actions(&events), vec!["kill"; 60]);
    assert!(of_kind(&events, "gap").is_empty());
}

/// Row 24: whatever hour it has, its times are its own, and nothing is missed while nobody looks.
#[test]
fn an_engine_in_another_hour() {
    for skew in [-7200, 86_400] {
        let world = World::new();
        let engine = FakeEngine::start(Faults { skew, ..Faults::default() });
        engine.happen("create", "web");
        followed(&world, &engine);
        engine.happen("start", "web");
        world.wait_last("container:nas/web", "start");
        world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
        engine.burst(10, "kill", "web", &[("signal", "1")]);
        world.vigie(&["daemon", "start"]).run().code(0);
        engine.happen("die", "web");
        let events = world.wait_last("container:nas/web", "die");
        assert_eq!(actions(&events).len(), 12, "{events:#?}");
        assert!(of_kind(&world.told(&["source:nas"]), "gap").is_empty());
    }
}

/// Rows 31, 32, D4: a moment's failure is no news, and neither is a source that is changed, paused or begun with.
#[test]
fn changed_settings_are_no_news() {
    let world = World::new();
    let engine = FakeEngine::start(Faults::default());
    followed(&world, &engine);
    engine.answer("/info", Answer::status(503).times(1));
    engine.break_streams();
    until("it failed once", || (world.source("nas")["why"].is_string() || engine.requests().len() > 6).then_some(()));
    world.wait_live("nas");
    let endpoint = engine.endpoint();
    for change in [
        &["source", "add", "nas", &endpoint, "--replace", "--ignore-name", "x"][..],
        &["source", "pause", "nas"],
        &["source", "resume", "nas"],
    ] {
        world.vigie(change).run().code(0);
    }
    world.wait_live("nas");
    world.daemon().kill();
    world.vigie(&["daemon", "start"]).run().code(0);
    world.wait_live("nas");
    let events = world.told(&["source:nas"]);
    for kind in ["source_online", "source_offline", "gap"] {
        assert!(of_kind(&events, kind).is_empty(), "{kind}: {events:#?}");
    }
}

/// Row 23: an engine leaves out a listener that is slow, and its list shows what it did not tell: a gap, and what is inferred.
#[test]
fn a_change_that_nobody_told() {
    let world = World::new();
    let engine = FakeEngine::start(Faults::default());
    engine.happen("create", "web");
    engine.happen("start", "web");
    followed(&world, &engine);
    engine.change_silently("web", Some("exited"));
    engine.break_streams();
    let events = world.wait_last("container:nas/web", "die");
    assert_eq!(events.last().expect("die")["detail"]["inferred"], true);
    let gaps = world.wait_kind("nas", "gap", 1);
    assert!(gaps[0]["detail"]["why"].as_str().is_some_and(|why| why.contains("did not tell")), "{gaps:#?}");
}

/// Podman, also an old one, in its own words.
#[test]
fn podman() {
    for kind in [Kind::Podman, Kind::OldPodman] {
        let world = World::new();
        let engine = FakeEngine::start(Faults { kind, ..Faults::podman() });
        followed(&world, &engine);
        engine.happen("create", "web");
        engine.happen("start", "web");
        for _ in 0..5 {
            engine.happen("health_status: healthy", "web");
        }
        engine.happen_with("die", "web", &[("exitCode", "7")]);
        engine.happen("destroy", "web");
        let events = world.wait_last("container:nas/web", "destroy");
        assert_eq!(actions(&events), ["create", "start", "health_status", "die", "destroy"], "{kind:?}");
        assert_eq!(events[3]["detail"]["exit_code"], 7);
        assert_eq!(events[2]["detail"]["health"], "healthy");
    }
}

/// Ten thousand containers: what is known of them fits through every pipe, also when a worker begins anew.
#[test]
fn ten_thousand_containers() {
    let world = World::new();
    let engine = FakeEngine::start(Faults::default());
    for number in 0..10_000 {
        engine.change_silently(&format!("{number:064}"), Some("running"));
    }
    followed(&world, &engine);
    assert_eq!(world.source("nas")["containers"], 10_000);
    let pid = worker(&world);
    vigie_real_tests::Process::open(u32::try_from(pid).expect("a PID"), |_| true).expect("it runs").kill();
    until("another worker follows", || {
        let sources = world.sources();
        let other = sources["worker"]["pid"].as_u64().is_some_and(|other| other != pid);
        (other && sources["sources"][0]["stage"] == "live").then_some(())
    });
    engine.happen("die", &format!("{:064}", 77));
    let target = format!("container:nas/{:064}", 77);
    assert_eq!(actions(&world.wait_last(&target, "die")), ["die"]);
    assert!(of_kind(&world.told(&["source:nas"]), "gap").is_empty());
}

/// Row D5: one that is removed while it hangs in its own question leaves nothing behind, and what is answered later is nobody's.
#[test]
fn removed_while_it_hangs() {
    let world = World::new();
    let engine = FakeEngine::start(Faults::default());
    followed(&world, &engine);
    let other = FakeEngine::start(Faults::default());
    other.freeze(true);
    world.vigie(&["source", "add", "hung", &other.endpoint()]).run().code(0);
    until("it is asked", || (world.source("hung")["stage"] == "connecting").then_some(()));
    world.vigie(&["source", "rm", "hung"]).run().code(0);
    other.freeze(false);
    other.happen("create", "nobody");
    engine.happen("create", "web");
    world.wait_last("container:nas/web", "create");
    assert_eq!(world.sources()["sources"].as_array().map(Vec::len), Some(1));
    let kinds: Vec<_> = world.told(&["source:hung"]).iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["source_changed", "source_changed"]);
    assert_eq!(other.listeners(), 0);
}

/// An engine that takes seconds for everything is followed all the same.
#[test]
fn a_slow_engine() {
    let world = World::new();
    let engine = FakeEngine::start(Faults { slow: Duration::from_secs(3), ..Faults::default() });
    followed(&world, &engine);
    engine.happen("create", "web");
    world.wait_last("container:nas/web", "create");
    assert!(of_kind(&world.told(&["source:nas"]), "source_offline").is_empty());
}
