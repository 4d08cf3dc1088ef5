//! `kill -9` of daemon, worker and engine, in random order, while things happen: nothing is told twice, and every hole is a gap.
//!
//! `VIGIE_CHAOS_ROUNDS` sets the rounds (12; an engine is killed in one of ten), `VIGIE_CHAOS_SEED` what happens; the seed is
//! printed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use vigie_fake_engine::{FakeEngine, Faults};
use vigie_real_tests::{Dice, Engine, Process, Recording, World, compare, of_kind, until};

fn rounds() -> usize {
    std::env::var("VIGIE_CHAOS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

fn kill_worker(world: &World) {
    let Some(pid) = world.sources()["worker"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()) else { return };
    // It may have been replaced since: then there is nobody to kill.
    let home = world.home();
    let is_ours = |pid: u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environ).contains(&*home.to_string_lossy())
    };
    if let Some(worker) = Process::open(pid, is_ours) {
        worker.kill();
    }
}

fn kill_daemon(world: &World) {
    world.daemon().kill();
    world.vigie(&["daemon", "start"]).run().code(0);
}

/// Numbers ascend, and nothing went wrong inside.
fn sound(events: &[Value]) {
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "numbers ascend");
    assert!(of_kind(events, "internal_fault").is_empty(), "{:#?}", of_kind(events, "internal_fault"));
}

#[test]
fn with_the_fake_engine() {
    let mut dice = Dice::of_chaos("with_the_fake_engine");
    let world = World::new();
    let engine = FakeEngine::start(Faults::default());
    engine.change(|state| state.history = Some(Vec::new()));
    engine.happen_elsewhere("network", "create", "bridge");
    world.vigie(&["source", "add", "nas", &engine.endpoint()]).run().code(0);
    world.wait_live("nas");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                let id = format!("c{}", number / 6 % 5);
                let action =
                    ["create", "start", "kill", "die", "stop", "destroy"][usize::try_from(number % 6).expect("small")];
                engine.happen_with(action, &id, &[("signal", "15"), ("exitCode", "143")]);
                // So slow that the engine still has what happens during the first delay.
                std::thread::park_timeout(Duration::from_millis(60));
            }
        });
        let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..rounds() {
                dice.moment(700);
                match dice.below(10) {
                    kind @ 0..=2 => {
                        match kind {
                            0 => engine.restart(),
                            1 => engine.break_streams(),
                            _ => engine.burst(400, "kill", "c0", &[("signal", "18")]),
                        }
                        // Whoever is away while everything else is killed shows nothing.
                        until("it is listened to again", || (engine.listeners() > 0).then_some(()));
                        world.wait_live("nas");
                    }
                    3..=6 => kill_worker(&world),
                    _ => kill_daemon(&world),
                }
            }
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = rounds {
            std::panic::resume_unwind(panic);
        }
    });
    engine.happen("create", "last");
    engine.happen("start", "last");
    world.wait_live("nas");
    world.wait_last("container:nas/last", "start");
    let events = world.told(&["source:nas"]);
    sound(&events);
    let history = engine.change(|state| state.history.clone()).unwrap_or_default();
    let compared = compare(&history.into_iter().map(|(at, _, action, id)| (at, action, id)).collect(), &events);
    println!(
        "{} gaps, {} within them, {} inferred",
        of_kind(&events, "gap").len(),
        compared.in_gaps,
        compared.inferred
    );
    compared.assert_right();
}

#[test]
fn with_a_real_engine() {
    let mut dice = Dice::of_chaos("with_a_real_engine");
    let world = World::new();
    let Some(engine) = Engine::start(&world, "with_a_real_engine", &["--live-restore"]) else { return };
    let mut recordings = vec![Recording::begin(&engine.socket())];
    world.vigie(&["source", "add", "nas", &engine.host()]).run().code(0);
    world.wait_live("nas");
    engine.run("web", &["--network", "none"], &["sleep", "100000"]);
    for round in 0..rounds() {
        let happen = |what: &[&str]| drop(engine.docker(what).run().code(0));
        happen(&["pause", "web"]);
        dice.moment(50);
        if round % 10 == 5 {
            happen(&["unpause", "web"]);
            engine.kill_alone();
            dice.moment(200);
            engine.again();
            recordings.push(Recording::begin(&engine.socket()));
            // Whoever is away while everything else is killed shows nothing.
            world.wait_live("nas");
            continue;
        }
        if dice.below(2) == 0 {
            kill_worker(&world);
        } else {
            kill_daemon(&world);
        }
        dice.moment(50);
        happen(&["unpause", "web"]);
        happen(&["kill", "--signal", "CONT", "web"]);
    }
    world.wait_live("nas");
    let id = engine.run("last", &["--network", "none"], &["true"]);
    recordings.last().expect("one").wait("die", &id);
    world.wait_last("container:last", "die");
    let events = world.told(&["source:nas"]);
    sound(&events);
    let truth = recordings.iter().flat_map(Recording::told).collect();
    let mut compared = compare(&truth, &events);
    // Between the start of the engine and that of a recording the journal may know more than the recording does.
    let restarts = recordings.len() - 1;
    if restarts > 0 {
        compared.invented.retain(|(_, action, _)| !matches!(action.as_str(), "start" | "die" | "pause" | "unpause"));
    }
    println!("{restarts} times without an engine, {} gaps, {compared:?}", of_kind(&events, "gap").len());
    compared.assert_right();
    until("the state is right", || (world.source("nas")["containers"] == 2).then_some(()));
}
