//! Stop for real (R5): nothing of a service is left when its stop is over, whatever its processes do.
//!
//! Each row of the first part is a kind of family that other supervisors leave behind. The proof of its end is a
//! lifeline: a FIFO that the whole family holds open, looked at in the moment in which `vigie stop` has returned.

use std::time::Duration;

use rustix::process::Signal;
use vigie_real_tests::{Done, Frozen, LONG, Process, World, alive, elapsed, freezer, now, until};

/// Starts `hostile MODE` as service `a`, stops it, looks whether anything is left.
#[track_caller]
fn gone(world: &World, mode: &str, keys: &str) -> Done {
    let lifeline = world.lifeline();
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile {mode}\"\nready = {{ log = \"^ready\" }}\nrestart = \"never\"\n\
         env = {{ HOSTILE_LIFELINE = \"{}\" }}\n{keys}\n",
        lifeline.path().display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    assert!(!lifeline.is_cut(), "it does not run");
    let done = world.vigie(&["stop", "a", "--yes"]).run().code(0);
    lifeline.assert_cut();
    let service = world.service("a");
    assert_eq!((service["state"].as_str(), &service["run"]), (Some("stopped"), &serde_json::Value::Null));
    assert_eq!(world.wait_events("a", "empty", 1).len(), 1);
    done
}

const SHORT: &str = "stop = [\"TERM 300ms\", \"KILL 5s\"]";

/// One row: as whoever runs the tests (root: in a cgroup), and as an ordinary user (the subreaper alone).
macro_rules! rows {
    ($($name:ident: $mode:literal;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn contained() {
                gone(&World::new(), $mode, SHORT);
            }

            #[test]
            fn as_ordinary_user() {
                gone(&World::unprivileged(), $mode, SHORT);
            }
        }
    )*};
}

rows! {
    obedient: "wait";
    term_ignored: "ignore-term";
    leader_ends_and_child_ignores_term: "leader";
    child_in_a_session_of_its_own: "escapee";
    double_fork: "double-fork";
    hydra_every_half_millisecond: "hydra 500";
    hydra_every_millisecond: "hydra 1000";
    stopped_tree: "stopped";
    output_closed: "close-output";
}

/// The table's last column: the ladder that nobody wrote, ten seconds of TERM and then KILL.
#[test]
fn term_is_ignored_under_the_default_ladder() {
    let done = gone(&World::new(), "ignore-term", "");
    assert!(done.took > Duration::from_secs(9), "{done}");
    assert!(done.took < Duration::from_secs(30), "{done}");
}

/// A process that stops in time is not waited for any longer.
#[test]
fn obedience_is_not_kept_waiting() {
    let done = gone(&World::new(), "slow-stop 100", "");
    assert!(done.took < Duration::from_secs(9), "it was waited for: {done}");
}

/// A service whose main process ends and leaves somebody behind: orphans are ended by the ladder, without being asked.
#[test]
fn what_a_main_process_leaves_behind_is_ended() {
    for world in [World::new(), World::unprivileged()] {
        for mode in ["daemonize", "hydra-alone 500", "pipe-holder"] {
            let lifeline = world.lifeline();
            world.manifest(&format!(
                "[service.a]\ncommand = \"@hostile {mode}\"\nkind = \"task\"\n{SHORT}\n\
                 env = {{ HOSTILE_LIFELINE = \"{}\" }}\n",
                lifeline.path().display()
            ));
            world.vigie(&["up", "-d", "a"]).run().code(0);
            lifeline.assert_cut();
            assert_eq!(world.service("a")["state"], "done", "{mode}");
        }
        assert_eq!(world.wait_events("a", "orphans", 3).len(), 3);
    }
}

#[test]
fn orphans_that_are_to_be_kept_stay_until_they_are_stopped() {
    let world = World::new();
    let lifeline = world.lifeline();
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile daemonize\"\norphans = \"keep\"\n{SHORT}\n\
         env = {{ HOSTILE_LIFELINE = \"{}\" }}\n",
        lifeline.path().display()
    ));
    world.vigie(&["up", "-d"]).run();
    world.wait_events("a", "orphans", 1);
    assert!(!lifeline.is_cut(), "the orphan was ended");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    lifeline.assert_cut();
}

#[test]
fn an_end_of_input_is_a_rung() {
    let world = World::new();
    gone(&world, "until-eof", "stop = [\"close-stdin 5s\", \"KILL 5s\"]");
    assert!(String::from_utf8_lossy(&world.raw("a")).ends_with("eof\n"));
    let last = &world.service("a")["last_exit"];
    assert_eq!((&last["code"], &last["signal"]), (&0.into(), &serde_json::Value::Null));
    assert_eq!(world.events_of("a", "rung").len(), 1, "the KILL was not needed");
}

/// `main`, `group`, `tree`: who hears which rung.
#[test]
fn a_rung_is_heard_by_those_whom_it_addresses() {
    for world in [World::new(), World::unprivileged()] {
        let heard = world.register("heard").join("signals");
        // What was sent before the KILL and not yet taken is lost with it: the last of them gets more time.
        let ladder = "stop = [\"INT 200ms\", \"HUP group 200ms\", \"USR1 tree 3s\", \"KILL 5s\"]";
        gone(&world, &format!("family {}", heard.display()), ladder);
        let mut lines: Vec<String> =
            std::fs::read_to_string(&heard).expect("somebody heard").lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["group 1", "group 10", "main 1", "main 10", "main 2", "session 10"]);
    }
}

/// R5.6: the reverse of the start, branches in parallel.
#[test]
fn dependents_stop_first_and_branches_in_parallel() {
    let world = World::new();
    let file = world.register("order").join("lines");
    // Both branches take long: as long as one takes, the other one has time to begin.
    let service = |name: &str, after: &str| {
        let millis = if ["left", "right"].contains(&name) { 3000 } else { 50 };
        format!(
            "[service.{name}]\ncommand = \"@hostile tell-stop {} {name} {millis}\"\nready = {{ log = \"^ready\" }}\n\
             after = {{ {after} }}\n",
            file.display()
        )
    };
    world.manifest(
        &[
            service("base", ""),
            service("left", "base = \"ready\""),
            service("right", "base = \"ready\""),
            service("top", "left = \"ready\", right = \"ready\""),
        ]
        .concat(),
    );
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["down", "--yes"]).run().code(0);
    let text = std::fs::read_to_string(&file).expect("lines");
    let place = |line: &str| text.lines().position(|other| other == line).unwrap_or_else(|| panic!("{line}:\n{text}"));
    for (earlier, later) in [
        ("base started", "left started"),
        ("base started", "right started"),
        ("left started", "top started"),
        ("right started", "top started"),
        ("top stopped", "left stopping"),
        ("top stopped", "right stopping"),
        ("left stopping", "right stopped"),
        ("right stopping", "left stopped"),
        ("left stopped", "base stopping"),
        ("right stopped", "base stopping"),
    ] {
        assert!(place(earlier) < place(later), "{earlier} must come before {later}:\n{text}");
    }
}

/// The order is that of `after`, not that of the words.
#[test]
fn the_order_of_targets_does_not_matter() {
    let world = World::new();
    let file = world.register("order").join("lines");
    let service = |name: &str, after: &str| {
        format!(
            "[service.{name}]\ncommand = \"@hostile tell-stop {} {name} 100\"\nready = {{ log = \"^ready\" }}\n\
             after = {{ {after} }}\n",
            file.display()
        )
    };
    world.manifest(&[service("base", ""), service("top", "base = \"ready\"")].concat());
    world.vigie(&["up", "-d", "top"]).run().code(0);
    world.vigie(&["down", "base", "top", "--yes"]).run().code(0);
    let text = std::fs::read_to_string(&file).expect("lines");
    assert!(text.ends_with("top stopping\ntop stopped\nbase stopping\nbase stopped\n"), "{text}");
}

/// `--timeout`: exit 5, and the ladder goes on.
#[test]
fn a_deadline_that_passes_is_exit_5() {
    let world = World::new();
    let lifeline = world.lifeline();
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile ignore-term\"\nready = {{ log = \"^ready\" }}\n\
         stop = [\"TERM 9s\", \"KILL 5s\"]\nenv = {{ HOSTILE_LIFELINE = \"{}\" }}\n",
        lifeline.path().display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let done = world.vigie(&["stop", "a", "--yes", "--timeout", "200ms"]).run().code(5);
    assert!(done.took < Duration::from_secs(9), "{done}");
    assert!(done.errors().contains("(hostile) ignores TERM; 'vigie why pid:"), "{done}");
    assert!(!lifeline.is_cut(), "it is said to be alive, and is");
    assert_eq!(world.service("a")["state"], "stopping");
    lifeline.wait_cut();
    world.wait_state("a", "stopped");
}

/// R8.1: a signal that was taken and changed nothing is told from one that was never sent.
#[test]
fn a_signal_that_is_swallowed() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = [\"sh\", \"-c\", \"trap : TERM; sleep 1000 & echo ready; while :; do wait; done\"]\n\
         ready = { log = \"^ready\" }\nstop = [\"TERM 30s\", \"KILL 5s\"]\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    let pid = world.pid("a");
    let verdict = || {
        let told = world.vigie(&["why", &format!("pid:{pid}"), "--json"]).run().code(0);
        serde_json::from_slice::<serde_json::Value>(&told.out).expect("JSON")["verdict"].clone()
    };
    assert_ne!(verdict(), "signal-swallowed", "nobody asked it to end");
    let done = world.vigie(&["stop", "a", "--yes", "--timeout", "2s"]).run().code(5);
    assert!(done.errors().contains(&format!("PID {pid} (sh) was sent TERM and goes on")), "{done}");
    assert_eq!(verdict(), "signal-swallowed");
}

#[test]
fn another_ladder_than_the_manifests() {
    let world = World::new();
    let lifeline = world.lifeline();
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile ignore-term\"\nready = {{ log = \"^ready\" }}\n\
         stop = [\"TERM 1m\", \"KILL 5s\"]\nenv = {{ HOSTILE_LIFELINE = \"{}\" }}\n",
        lifeline.path().display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let done = world.vigie(&["stop", "a", "--yes", "--ladder", "KILL 5s"]).run().code(0);
    assert!(done.took < Duration::from_secs(10), "{done}");
    lifeline.assert_cut();
}

/// Standard input closed and no `--yes`: exit 4, and nothing happens.
#[test]
fn without_a_terminal_and_without_yes_nothing_happens() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let (before, daemon) = (world.service("a")["run"]["id"].clone(), world.daemon().pid);
    for line in [&["stop", "a"][..], &["down"], &["restart", "a"], &["kill-all"], &["daemon", "stop"]] {
        let done = world.vigie(line).run().code(4).says("--yes");
        assert!(done.errors().contains("nothing was done"), "{done}");
        // Somebody who pipes a yes into it is nobody at a terminal.
        world.vigie(line).input("y\n").run().code(4);
        world.vigie(line).arg("--dry-run").run().code(0);
    }
    let service = world.service("a");
    assert_eq!((&service["run"]["id"], &service["state"]), (&before, &"ready".into()));
    assert_eq!(world.daemon().pid, daemon);
    assert!(world.events_of("a", "stopping").is_empty());
    assert!(world.events_of("a", "wanted_down").is_empty());
}

#[test]
fn at_a_terminal_no_is_the_default() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let pid = world.pid("a");
    for (answer, code) in [("\n", 1), ("n\n", 1), ("y\n", 0)] {
        let mut terminal = world.terminal(&["stop", "a"]);
        terminal.wait_for_prompt("[y/N]", 1);
        assert!(terminal.screen().contains(&pid.to_string()), "the table names the process: {}", terminal.screen());
        assert!(alive(pid), "it was not asked yet");
        terminal.type_in(answer);
        assert_eq!(terminal.finish().code(), Some(code), "{answer:?}: {}", terminal.screen());
        assert_eq!(alive(pid), code != 0, "{answer:?}");
    }
}

#[test]
fn what_does_not_run_cannot_be_stopped() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["stop", "a", "--yes"]).run().code(8);
    world.vigie(&["stop", "nope", "--yes"]).run().code(8);
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    world.vigie(&["stop", "a", "--yes"]).run().code(8);
    // To want that nothing runs, and nothing does, is well.
    world.vigie(&["down", "--yes"]).run().code(0);
}

/// Without a daemon, the keeper climbs alone.
#[test]
fn a_run_without_a_daemon_is_stopped_through_its_keeper() {
    let world = World::new();
    let lifeline = world.lifeline();
    let mut running = world.run("x", &["double-fork"]).env("HOSTILE_LIFELINE", lifeline.path()).start();
    running.wait_out("ready");
    world.wait_named("x");
    world.vigie(&["stop", "x", "--yes", "--ladder", "TERM 200ms,KILL 5s"]).run().code(0);
    lifeline.assert_cut();
    until("the guard ends", || running.is_over().then_some(()));
    assert_eq!(running.finish().status.code(), Some(128 + 15));
}

#[test]
fn the_last_resort_ends_everything_of_the_project() {
    let world = World::new();
    let (managed, by_hand) = (world.lifeline(), world.lifeline());
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile hydra 500\"\nready = {{ log = \"^ready\" }}\nstop = [\"TERM 1m\", \"KILL 5s\"]\n\
         env = {{ HOSTILE_LIFELINE = \"{}\" }}\n",
        managed.path().display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let running = world.run("b", &["ignore-term"]).env("HOSTILE_LIFELINE", by_hand.path()).start();
    running.wait_out("ready");
    let done = world.vigie(&["kill-all", "--yes"]).run().code(0);
    managed.assert_cut();
    by_hand.assert_cut();
    assert!(done.took < Duration::from_secs(10), "{done}");
    assert_eq!(world.service("a")["wanted"], "down");
    assert!(world.events_of("a", "restart_scheduled").is_empty());
}

/// Somebody stops it already, by a ladder that takes long, and whether the last resort finds it there when it has climbed
/// for it is chance: what it ended is ended, which is what was asked for.
#[test]
fn the_last_resort_ends_what_is_being_stopped() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile ignore-term\"\nready = { log = \"^ready\" }\nstop = [\"TERM 1h\", \"KILL 5s\"]\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    let stop = world.vigie(&["stop", "a", "--yes"]).start();
    world.wait_state("a", "stopping");
    let done = world.vigie(&["kill-all", "--yes"]).run().code(0);
    assert!(
        done.text().contains("demo/a: stopped") && done.text().contains("nothing of this project is left"),
        "{done}"
    );
    stop.finish().code(0);

    // And what no daemon manages.
    let lifeline = world.lifeline();
    let call = world.run("b", &["ignore-term"]).env("HOSTILE_LIFELINE", lifeline.path());
    let running = call.start();
    running.wait_out("ready");
    let stop = world.vigie(&["stop", "b", "--yes", "--ladder", "TERM 1h,KILL 5s"]).start();
    world.wait_state("b", "stopping");
    world.vigie(&["kill-all", "--yes"]).run().code(0);
    lifeline.assert_cut();
    stop.finish().code(0);
    running.finish();
}

/// A restart is a stop and a start under one lock: another process, never two.
#[test]
fn a_restart_never_has_two() {
    let world = World::new();
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile double-fork\"\nready = {{ log = \"^ready\" }}\n{SHORT}\n\
         env = {{ HOSTILE_REGISTER = \"{}\" }}\n",
        register.display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let mut pids = vec![world.pid("a")];
    for _ in 0..3 {
        world.vigie(&["restart", "a", "--yes"]).run().code(0);
        pids.push(world.pid("a"));
    }
    let starts = std::fs::read_to_string(register.join("starts")).expect("starts");
    let registered: Vec<u32> = starts.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    assert_eq!(registered, pids);
    assert!(!register.join("doubles").exists());
    assert_eq!(world.service("a")["restarts"], 0, "what was asked for does not count as a crash");
}

/// A process that the kernel does not end: exit 6, a ghost that is named, and one event when it is gone (R5.4).
#[test]
fn what_no_signal_ends_is_a_ghost() {
    let Some(root) = freezer("what_no_signal_ends_is_a_ghost") else { return };
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\nrestart = \"always\"\n\
         stop = [\"TERM 200ms\", \"KILL 500ms\"]\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    let pid = world.pid("a");
    let frozen = Frozen::new(root, pid);
    let done = world.vigie(&["stop", "a", "--yes"]).run().code(6);
    let folder = frozen.folder().display();
    let why = format!(
        "PID {pid} (hostile) is frozen with its cgroup {folder}, where KILL does not end it; 'vigie why pid:{pid}'"
    );
    assert!(done.errors().contains(&why), "{done}");
    let told = world.vigie(&["why", "a", "--json"]).run().code(0);
    let told: serde_json::Value = serde_json::from_slice(&told.out).expect("JSON");
    assert_eq!(told["verdict"], "stuck", "{told:#}");
    let remedies: Vec<&str> =
        told["remedies"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    assert!(remedies.contains(&"thaw"), "{told:#}");
    let service = world.service("a");
    assert_eq!(service["state"], "ghost", "{service:#}");
    // It still is there, so no second one starts (R4.1).
    let refused = world.vigie(&["start", "a", "--timeout", "300ms"]).run();
    assert_ne!(refused.status.code(), Some(0), "{refused}");
    assert!(alive(pid));
    assert_eq!(world.events_of("a", "stuck").len(), 1);
    let begin = now();
    drop(frozen);
    world.wait_events("a", "ghost_gone", 1);
    assert!(elapsed(begin) < LONG);
    world.wait_service("a", "no ghost", |service| (service["state"] != "ghost").then_some(()));
}

/// A signal to the keeper's service from outside is an end like any other, and is said as such.
#[test]
fn the_signal_that_ended_it_is_told() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\nrestart = \"never\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    Process::open(world.pid("a"), |_| true).expect("it lives").signal(Signal::QUIT);
    let service = world.wait_state("a", "failed");
    assert_eq!((&service["last_exit"]["signal"], &service["last_exit"]["code"]), (&3.into(), &serde_json::Value::Null));
}
