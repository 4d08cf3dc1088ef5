//! `kill -9` at random moments, under load: nothing is doubled, nothing is lost.
//!
//! `VIGIE_CHAOS_ROUNDS` sets the rounds (300), `VIGIE_CHAOS_SEED` the moments; the seed is printed. A seed does not
//! repeat a run exactly, the kernel's scheduler has its own; it repeats what is done and about when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use vigie_real_tests::{Dice, World, until};

fn rounds() -> usize {
    std::env::var("VIGIE_CHAOS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// What runs, how often it ends, and what it leaves for the check.
struct Load {
    world: World,
    registers: BTreeMap<&'static str, PathBuf>,
}

/// How many lines each short life writes.
const LINES: usize = 20;

const RESTART: &str = "restart = { when = \"always\", delay = \"20ms\", factor = 1, jitter = 0.5, attempts = 1000000 }";

impl Load {
    fn new() -> Self {
        let world = World::new();
        let mut load = Self { world, registers: BTreeMap::new() };
        let services = [
            ("steady", "wait".to_owned(), "ready = { log = \"^ready\" }"),
            ("crashing", format!("life {LINES} 30 1"), RESTART),
            ("crashing-fast", format!("life {LINES} 0 3"), RESTART),
            ("ending", format!("life {LINES} 60 0"), RESTART),
            ("leaving", "daemonize".to_owned(), RESTART),
            ("toggled", "slow-stop 20".to_owned(), "ready = { log = \"^ready\" }"),
        ];
        let mut text = String::new();
        for (name, mode, keys) in services {
            let register = load.world.register(&format!("register-{name}"));
            text.push_str(&format!(
                "[service.{name}]\ncommand = \"@hostile {mode}\"\n{keys}\nstop = [\"TERM 100ms\", \"KILL 5s\"]\n\
                 log = {{ max_size = \"1MiB\", keep = 1000 }}\nenv = {{ HOSTILE_REGISTER = \"{}\", HOSTILE_SAFETY = \"1000\" }}\n",
                register.display()
            ));
            load.registers.insert(name, register);
        }
        load.world.manifest(&text);
        load.world.vigie(&["up", "-d"]).run();
        load.world.wait_state("steady", "ready");
        load
    }

    fn never_two(&self) {
        for (name, register) in &self.registers {
            let doubles = std::fs::read_to_string(register.join("doubles")).unwrap_or_default();
            assert!(doubles.is_empty(), "two of {name} lived at one time: {doubles}\n{}", self.world.story());
        }
    }
}

/// What a service entered into its register: PID by run.
fn registered(register: &Path) -> Vec<(String, u32)> {
    let text = std::fs::read_to_string(register.join("starts")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(pid, run)| (run.to_owned(), pid.parse().unwrap_or(0)))
        .collect()
}

/// The events of a service, by run.
fn by_run<'a>(events: &'a [Value], service: &str) -> BTreeMap<String, Vec<&'a Value>> {
    let mut runs: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["service"] == service) {
        if let Some(run) = event["run"].as_str() {
            runs.entry(run.to_owned()).or_default().push(event);
        }
    }
    runs
}

fn count(events: &[&Value], kind: &str) -> usize {
    events.iter().filter(|event| event["kind"] == kind).count()
}

#[test]
fn the_daemon_is_killed() {
    let mut dice = Dice::of_chaos("the_daemon_is_killed");
    let load = Load::new();
    let world = &load.world;
    let steady = world.service("steady")["run"].clone();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Somebody starts and stops one of them all the time, and meets every death of the daemon.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for line in [&["stop", "toggled", "--yes"][..], &["start", "toggled"]] {
                    let done = world.vigie(line).run();
                    // Done, not ready in time, refused, still alive, not running, the daemon died under it.
                    assert!(matches!(done.status.code(), Some(0 | 1 | 3 | 5 | 8 | 9)), "{done}");
                }
            }
        });
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..rounds() {
                dice.moment(150);
                world.daemon().kill();
                dice.moment(30);
                world.vigie(&["daemon", "start"]).run().code(0);
                if round % 25 == 0 {
                    load.never_two();
                }
            }
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = killed {
            std::panic::resume_unwind(panic);
        }
    });
    assert_eq!(world.service("steady")["run"]["pid"], steady["pid"], "nobody had a reason to touch it");
    assert_eq!(world.service("steady")["run"]["id"], steady["id"]);
    world.vigie(&["down", "--yes"]).run().code(0);
    load.never_two();
    check_events(&load);
    for name in ["crashing", "crashing-fast", "ending"] {
        check_output(&load, name);
    }
}

/// Each start that a service registered is in the journal, each once, with one end; and no other.
fn check_events(load: &Load) {
    let events = load.world.events();
    let faults: Vec<&Value> = events.iter().filter(|event| event["kind"] == "internal_fault").collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "numbers ascend");
    let mut lives = 0;
    for (name, register) in &load.registers {
        let runs = by_run(&events, name);
        for (run, pid) in registered(register) {
            lives += 1;
            let events = runs.get(&run).unwrap_or_else(|| panic!("run {run} of {name} is not in the journal"));
            let shown = || events.iter().map(|event| format!("{}\n", event["text"])).collect::<String>();
            for kind in ["locked", "started", "exited", "empty"] {
                assert_eq!(count(events, kind), 1, "{kind} of run {run} of {name}:\n{}", shown());
            }
            let started = events.iter().find(|event| event["kind"] == "started").expect("counted");
            assert_eq!(started["detail"]["main_pid"], pid, "run {run} of {name}:\n{}", shown());
        }
        for (run, events) in &runs {
            let known = registered(register).iter().filter(|(known, _)| known == run).count();
            // A process that is killed before it comes to its first line was started, too.
            assert!(known == 1 || count(events, "started") <= 1, "run {run} of {name} was started {known} times");
        }
    }
    println!("{lives} lives, {} events", events.len());
}

/// Each life that came to its end by itself wrote all its lines, in order; and what others wrote has no hole.
fn check_output(load: &Load, name: &str) {
    let output = load.world.raw(name);
    let text = String::from_utf8(output).expect("the lines are plain text");
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        let (run, number) = line.split_once(' ').unwrap_or_else(|| panic!("a torn line: {line:?}"));
        lines.entry(run).or_default().push(number);
    }
    let expected: Vec<String> = (1..=LINES).map(|line| format!("{line}/{LINES}")).collect();
    let events = load.world.events();
    let by_run = by_run(&events, name);
    for (run, _) in registered(&load.registers[name]) {
        let found = lines.get(run.as_str()).map_or(&[][..], |found| found);
        let exited = by_run[&run].iter().find(|event| event["kind"] == "exited").expect("checked before");
        let whole = exited["detail"]["exit"]["code"].is_i64();
        assert_eq!(found, &expected[..found.len().min(LINES)], "run {run} of {name}");
        assert!(!whole || found.len() == LINES, "run {run} of {name} wrote {LINES} lines, {} are kept", found.len());
    }
}

/// Keepers die, alone and together with the daemon: there are never two, and everything comes back.
#[test]
fn keepers_are_killed() {
    let mut dice = Dice::of_chaos("keepers_are_killed");
    let load = Load::new();
    let world = &load.world;
    let home = world.home();
    for _ in 0..rounds() / 5 {
        dice.moment(60);
        let with_daemon = dice.below(3) == 0;
        let daemon = with_daemon.then(|| world.daemon());
        let names = ["steady", "crashing", "ending", "leaving", "toggled"];
        let name = *dice.pick(&names);
        // It may be between two lives.
        let keeper = world.record(name).and_then(|record| record["holder"]["keeper"]["pid"].as_u64());
        let keeper = keeper.and_then(|pid| {
            let of_world = |pid: u32| {
                let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                let lock = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
                exe.ends_with("vigie-keeper")
                    && lock.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|path| path.starts_with(&home))
            };
            vigie_real_tests::Process::open(u32::try_from(pid).ok()?, of_world)
        });
        if let Some(daemon) = daemon {
            daemon.kill();
        }
        if let Some(keeper) = keeper {
            keeper.kill();
        }
        if with_daemon {
            world.vigie(&["daemon", "start"]).run().code(0);
        }
    }
    load.never_two();
    for name in ["steady", "toggled"] {
        world.wait_state(name, "ready");
    }
    for name in ["crashing", "ending"] {
        let before = registered(&load.registers[name]).len();
        until("it goes on crashing", || (registered(&load.registers[name]).len() > before).then_some(()));
    }
    world.vigie(&["down", "--yes"]).run().code(0);
    load.never_two();
    let events = world.events();
    let faults: Vec<&Value> = events.iter().filter(|event| event["kind"] == "internal_fault").collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for name in load.registers.keys() {
        for (run, events) in by_run(&events, name) {
            for kind in ["locked", "started", "exited", "empty", "keeper_lost"] {
                assert!(count(&events, kind) <= 1, "{kind} of run {run} of {name} is there twice");
            }
        }
    }
}

/// Everybody wants something else of one service, while its daemon dies again and again.
#[test]
fn starters_race() {
    let mut dice = Dice::of_chaos("starters_race");
    let world = World::new();
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile slow-stop 5\"\nready = {{ log = \"^ready\" }}\n\
         stop = [\"TERM 100ms\", \"KILL 5s\"]\nenv = {{ HOSTILE_REGISTER = \"{}\" }}\n",
        register.display()
    ));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let lines: [&[&str]; 4] = [
            &["up", "-d"],
            &["stop", "a", "--yes"],
            &["restart", "a", "--yes"],
            &["run", "-n", "a", "--", "@hostile", "exit", "0"],
        ];
        for line in lines {
            let (world, over, register) = (&world, &over, &register);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let done = world.vigie(line).env("HOSTILE_REGISTER", register).run();
                    // 143: somebody else has stopped it.
                    assert!(matches!(done.status.code(), Some(0 | 1 | 3 | 5 | 8 | 9 | 143)), "{done}");
                }
            });
        }
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..rounds() / 6 {
                dice.moment(200);
                world.daemon().kill();
                world.vigie(&["daemon", "start"]).run().code(0);
            }
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = killed {
            std::panic::resume_unwind(panic);
        }
    });
    let doubles = std::fs::read_to_string(register.join("doubles")).unwrap_or_default();
    assert!(doubles.is_empty(), "two lived at one time: {doubles}\n{}", world.story());
    world.vigie(&["down", "--yes"]).run().code(0);
    world.vigie(&["up", "-d"]).run().code(0);
    world.wait_state("a", "ready");
    world.vigie(&["down", "--yes"]).run().code(0);
    assert!(world.events().iter().all(|event| event["kind"] != "internal_fault"), "{}", world.story());
}
