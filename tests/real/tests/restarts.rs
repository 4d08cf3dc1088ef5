//! New starts after an end (R6.2): delays, counters, giving up.

use serde_json::Value;
use vigie_real_tests::{Process, World};

/// The delay of a `restart_scheduled` event, in milliseconds.
fn delay(event: &Value) -> f64 {
    let text = event["detail"]["delay"].as_str().unwrap_or_else(|| panic!("{event:#}"));
    let mut millis = 0.0;
    for part in text.split_inclusive('s') {
        let split = part.find(|c: char| c.is_ascii_alphabetic()).expect("a unit");
        let factor = match &part[split..] {
            "s" => 1000.0,
            "ms" => 1.0,
            "us" => 0.001,
            "ns" => 0.000_001,
            unit => panic!("{unit}: {event:#}"),
        };
        millis += part[..split].parse::<f64>().expect("a number") * factor;
    }
    millis
}

/// When an event happened, in milliseconds within its day.
fn at(event: &Value) -> f64 {
    let text = event["at"].as_str().expect("a time");
    let time = &text[text.find('T').expect("a date before it") + 1..text.len() - 1];
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number")) * 1000.0
}

/// Ten crashes in a row.
#[test]
fn ten_crashes_in_a_row() {
    let world = World::new();
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile exit 7 1\"\nenv = {{ HOSTILE_REGISTER = \"{}\" }}\n\
         restart = {{ delay = \"20ms\", factor = 1.5, max_delay = \"200ms\", jitter = 0, attempts = 9, stable = \"30s\" }}\n",
        register.display()
    ));
    let begun = world.vigie(&["up", "-d", "--timeout", "30s"]).run();
    let service = world.wait_state("a", "failed");
    // It was running when `up` looked, or had failed by then.
    assert!(matches!(begun.status.code(), Some(0 | 1)), "{begun}");
    assert_eq!(service["restarts"], 9);
    assert_eq!(service["last_exit"]["code"], 7);
    assert!(service["why"].as_str().is_some_and(|why| why.contains("exit code 7") && why.contains('9')), "{service:#}");

    let scheduled = world.wait_events("a", "restart_scheduled", 9);
    let mut expected = 20.0;
    for (number, event) in scheduled.iter().enumerate() {
        assert!((delay(event) - expected).abs() < 0.5, "restart {}: {event:#}", number + 1);
        // The counter is not reset by a spawn.
        assert_eq!((&event["detail"]["attempt"], &event["detail"]["of"]), (&(number + 1).into(), &9.into()));
        expected = f64::min(expected * 1.5, 200.0);
    }
    let started = world.events_of("a", "started");
    assert_eq!(started.len(), 10);
    for (event, next) in scheduled.iter().zip(&started[1..]) {
        let waited = at(next) - at(event);
        assert!(waited >= delay(event) - 1.0, "started {waited} ms after {event:#}");
    }
    for (kind, count) in [("exited", 10), ("empty", 10), ("gave_up", 1), ("reset", 0)] {
        assert_eq!(world.events_of("a", kind).len(), count, "{kind}");
    }
    let gave_up = &world.events_of("a", "gave_up")[0];
    assert!(gave_up["detail"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{gave_up:#}");
    assert_eq!(std::fs::read_to_string(register.join("starts")).expect("starts").lines().count(), 10);

    // `start` works again, with all attempts.
    let manifest = std::fs::read_to_string(world.project().join("vigie.toml")).expect("written");
    std::fs::write(world.project().join("vigie.toml"), manifest.replace("exit 7 1", "wait")).expect("written");
    world.vigie(&["start", "a"]).run().code(0);
    let service = world.service("a");
    assert_eq!((&service["state"], &service["restarts"]), (&"running".into(), &0.into()));
    assert!(!register.join("doubles").exists());
}

#[test]
fn jitter_stays_within_its_part() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile exit 1\"\n\
         restart = { delay = \"20ms\", factor = 1, jitter = 0.5, attempts = 20 }\n",
    );
    world.vigie(&["up", "-d"]).run();
    world.wait_state("a", "failed");
    let delays: Vec<f64> = world.wait_events("a", "restart_scheduled", 20).iter().map(delay).collect();
    assert!(delays.iter().all(|delay| (9.9..=30.1).contains(delay)), "{delays:?}");
    assert!(delays.iter().any(|delay| (delay - delays[0]).abs() > 0.1), "{delays:?}");
}

#[test]
fn zero_delay() {
    let world = World::new();
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile exit 1\"\nenv = {{ HOSTILE_REGISTER = \"{}\" }}\n\
         restart = {{ delay = \"0s\", factor = 1, jitter = 0, attempts = 200 }}\n",
        register.display()
    ));
    world.vigie(&["up", "-d"]).run();
    world.wait_state("a", "failed");
    assert_eq!(std::fs::read_to_string(register.join("starts")).expect("starts").lines().count(), 201);
    assert!(!register.join("doubles").exists());
    for (kind, count) in [("started", 201), ("exited", 201), ("restart_scheduled", 200), ("gave_up", 1)] {
        assert_eq!(world.wait_events("a", kind, count).len(), count, "{kind}");
    }
}

/// The counter is zero again after a stable period, and only then.
#[test]
fn a_stable_period_resets_the_counter() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n\
         restart = { delay = \"1ms\", factor = 1, jitter = 0, attempts = 2, stable = \"400ms\" }\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    for crash in 1..=4 {
        Process::open(world.pid("a"), |_| true).expect("it lives").kill();
        world.wait_events("a", "reset", crash);
    }
    assert_eq!(world.service("a")["state"], "ready", "more crashes than attempts, each after a stable period");
    for event in world.events_of("a", "restart_scheduled") {
        assert_eq!(event["detail"]["attempt"], 1, "{event:#}");
    }
}

#[test]
fn a_reset_gives_all_attempts_again() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n\
         restart = { delay = \"1ms\", factor = 1, jitter = 0, attempts = 2, stable = \"1h\" }\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    let crash = |number: u64| {
        let pid = world.pid("a");
        Process::open(pid, |_| true).expect("it lives").kill();
        world.wait_service("a", "another run", |service| {
            (service["state"] == "ready" && service["run"]["pid"] != pid).then_some(())
        });
        assert_eq!(world.service("a")["restarts"], number);
    };
    crash(1);
    crash(2);
    world.vigie(&["reset", "a"]).run().code(0);
    let pid = world.pid("a");
    Process::open(pid, |_| true).expect("it lives").kill();
    world.wait_service("a", "started a third time", |service| {
        (service["state"] == "ready" && service["run"]["pid"] != pid).then_some(())
    });
    assert_eq!(world.events_of("a", "reset").len(), 1);
}

/// `when`, `clean`, `fatal`.
#[test]
fn ends_and_what_follows() {
    let world = World::new();
    let never = "restart = \"never\"";
    let failure =
        "restart = { when = \"failure\", delay = \"1ms\", jitter = 0, attempts = 1, clean = [0, 143], fatal = [78] }";
    let always = "restart = { when = \"always\", delay = \"1ms\", jitter = 0, attempts = 2 }";
    for (code, policy, state, starts) in [
        (0, never, "done", 1),
        (5, never, "failed", 1),
        (0, failure, "done", 1),
        (143, failure, "done", 1),
        (78, failure, "failed", 1),
        (5, failure, "failed", 2),
        (0, always, "failed", 3),
    ] {
        let name = format!("a{code}-{starts}-{}", policy.len());
        world.manifest(&format!("[service.{name}]\ncommand = \"@hostile exit {code}\"\n{policy}\n"));
        world.vigie(&["up", "-d"]).run();
        let service = world.wait_state(&name, state);
        assert_eq!(service["last_exit"]["code"], code, "{service:#}");
        assert_eq!(world.events_of(&name, "started").len(), starts, "{code} {policy}:\n{}", world.story());
        assert_eq!(world.events_of(&name, "gave_up").len(), usize::from(state == "failed"), "{code} {policy}");
    }
}

/// A signal is no clean end, whatever its number.
#[test]
fn an_end_by_a_signal() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile crash 11\"\n\
         restart = { delay = \"1ms\", jitter = 0, attempts = 1, clean = [0, 11, 139] }\n",
    );
    world.vigie(&["up", "-d"]).run();
    let service = world.wait_state("a", "failed");
    assert_eq!((&service["last_exit"]["signal"], &service["last_exit"]["code"]), (&11.into(), &Value::Null));
    assert_eq!(world.events_of("a", "started").len(), 2);
}

/// What cannot be started at all.
#[test]
fn a_program_that_is_not_there() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = [\"@world/no-such-program\"]\nrestart = { delay = \"1ms\", jitter = 0, attempts = 2 }\n",
    );
    let done = world.vigie(&["up", "-d"]).run().code(1);
    assert!(done.errors().contains("no-such-program"), "{done}");
    let service = world.wait_state("a", "failed");
    assert_eq!((&service["last_exit"], &service["run"]), (&Value::Null, &Value::Null));
    let failed = world.wait_events("a", "spawn_failed", 1);
    assert_eq!(failed[0]["detail"]["step"], "exec", "{failed:#?}");
    assert!(world.events_of("a", "started").is_empty());
}

/// A crash of what others depend on does not touch them; its end for good neither starts nor stops them.
#[test]
fn a_crash_of_a_dependency() {
    let world = World::new();
    world.manifest(
        "[service.base]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n\
         restart = { delay = \"1ms\", jitter = 0, attempts = 1, stable = \"1h\" }\n\
         [service.top]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\nafter = { base = \"ready\" }\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    let top = world.service("top")["run"]["id"].clone();
    let base = world.pid("base");
    Process::open(base, |_| true).expect("it lives").kill();
    world.wait_service("base", "another run", |service| {
        (service["state"] == "ready" && service["run"]["pid"] != base).then_some(())
    });
    assert_eq!(world.service("top")["run"]["id"], top);
    Process::open(world.pid("base"), |_| true).expect("it lives").kill();
    world.wait_state("base", "failed");
    let service = world.service("top");
    assert_eq!((&service["run"]["id"], &service["wanted"]), (&top, &"up".into()));
}

/// A mode that stops by itself is done, and not started again.
#[test]
fn a_duration_ends_a_mode() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = [\"@hostile\"]\nrestart = \"always\"\n\
         [service.a.mode.graphical]\nargs = [\"print\"]\n[service.a.mode.headless]\nargs = [\"wait\"]\nduration = \"300ms\"\n",
    );
    world.vigie(&["start", "a:headless"]).run().code(0);
    let service = world.wait_state("a", "done");
    assert_eq!(service["mode"], "headless");
    assert_eq!(world.events_of("a", "started").len(), 1);
    assert_eq!(world.events_of("a", "restart_scheduled").len(), 0);
}
