//! What is tied to a terminal ends with it (R5.5), and what is not does not.

use rustix::process::Signal;
use vigie_real_tests::{Lifeline, World, until};

/// A service that ends only by its ladder, and says which rung it heard.
fn service(world: &World, more: &str) -> (Lifeline, std::path::PathBuf) {
    let (lifeline, heard) = (world.lifeline(), world.register("heard").join("signals"));
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile family {}\"\nready = {{ log = \"^ready\" }}\n{more}\n\
         stop = [\"INT 2s\", \"KILL 5s\"]\nenv = {{ HOSTILE_LIFELINE = \"{}\" }}\n",
        heard.display(),
        lifeline.path().display()
    ));
    (lifeline, heard)
}

/// The ladder was climbed: its first rung was heard. (That of `family` records every signal and ends of none.)
#[track_caller]
fn by_the_ladder(world: &World, lifeline: &Lifeline, heard: &std::path::Path) {
    lifeline.wait_cut();
    let text = std::fs::read_to_string(heard).expect("somebody heard something");
    assert!(text.lines().any(|line| line == "main 2"), "no rung was heard, only: {text}");
    world.wait_state("a", "stopped");
    assert_eq!(world.service("a")["wanted"], "down");
    let rungs = world.wait_events("a", "rung", 2);
    assert_eq!(rungs.len(), 2, "{rungs:#?}");
}

#[test]
fn closing_the_terminal_of_up_stops_its_services() {
    let world = World::new();
    let (lifeline, heard) = service(&world, "");
    let mut terminal = world.terminal(&["up"]);
    terminal.wait_for("ready");
    world.wait_state("a", "ready");
    terminal.hang_up();
    by_the_ladder(&world, &lifeline, &heard);
}

#[test]
fn killing_up_stops_its_services() {
    let world = World::new();
    let (lifeline, heard) = service(&world, "");
    let up = world.vigie(&["up"]).start();
    up.wait_out("ready");
    world.wait_state("a", "ready");
    up.kill();
    by_the_ladder(&world, &lifeline, &heard);
}

/// Nobody is there to see it: the next daemon does.
#[test]
fn killing_up_and_the_daemon_at_once() {
    let world = World::new();
    let (lifeline, heard) = service(&world, "");
    let up = world.vigie(&["up"]).start();
    up.wait_out("ready");
    world.wait_state("a", "ready");
    let daemon = world.daemon();
    up.stop();
    daemon.kill();
    up.kill();
    world.vigie(&["daemon", "start"]).run().code(0);
    by_the_ladder(&world, &lifeline, &heard);
}

/// The daemon dies during the stop that Ctrl-C asked for: the next one brings it to its end, and the command sees it.
#[test]
fn ctrl_c_outlives_the_daemon_that_heard_it() {
    let world = World::new();
    let (lifeline, heard) = service(&world, "");
    for _ in 0..3 {
        let up = world.vigie(&["up"]).start();
        world.wait_state("a", "ready");
        let daemon = world.daemon();
        up.signal(Signal::INT);
        up.wait_err("stop step 1");
        daemon.kill();
        up.finish().code(0);
        lifeline.wait_cut();
    }
    assert!(heard.exists());
}

/// The command goes on with the next daemon, and the tie with it.
#[test]
fn up_outlives_its_daemon() {
    let world = World::new();
    let (lifeline, heard) = service(&world, "");
    let up = world.vigie(&["up"]).start();
    up.wait_out("ready");
    world.wait_state("a", "ready");
    let pid = world.pid("a");
    world.daemon().kill();
    world.vigie(&["daemon", "start"]).run().code(0);
    world.daemon();
    assert_eq!(world.pid("a"), pid);
    // Time for the command to take its session up again is not given on purpose: its end must count in any case.
    up.kill();
    by_the_ladder(&world, &lifeline, &heard);
}

#[test]
fn ctrl_c_stops_all_and_is_no_failure() {
    let world = World::new();
    let (lifeline, heard) = service(&world, "");
    let mut terminal = world.terminal(&["up"]);
    terminal.wait_for("ready");
    world.wait_state("a", "ready");
    terminal.type_in("\x03");
    let status = terminal.finish();
    lifeline.assert_cut();
    assert!(matches!(status.code(), Some(0 | 130)), "{status}: {}", terminal.screen());
    by_the_ladder(&world, &lifeline, &heard);
}

/// Ctrl-C again: the next rung at once.
#[test]
fn ctrl_c_twice_does_not_wait_for_the_rung() {
    let world = World::new();
    let lifeline = world.lifeline();
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile ignore-term\"\nready = {{ log = \"^ready\" }}\n\
         stop = [\"TERM 10m\", \"KILL 5s\"]\nenv = {{ HOSTILE_LIFELINE = \"{}\" }}\n",
        lifeline.path().display()
    ));
    let mut terminal = world.terminal(&["up"]);
    terminal.wait_for("ready");
    world.wait_state("a", "ready");
    terminal.type_in("\x03");
    world.wait_events("a", "rung", 1);
    assert!(!lifeline.is_cut());
    terminal.type_in("\x03");
    terminal.finish();
    lifeline.assert_cut();
}

#[test]
fn what_was_started_in_the_background_survives_terminal_and_command() {
    let world = World::new();
    let (lifeline, heard) = service(&world, "");
    let mut terminal = world.terminal(&["up", "-d"]);
    assert_eq!(terminal.finish().code(), Some(0), "{}", terminal.screen());
    let pid = world.pid("a");
    terminal.hang_up();
    drop(terminal);
    // A whole round trip through the daemon: by then it would have noticed.
    world.vigie(&["reset", "a"]).run().code(0);
    assert_eq!((world.pid("a"), world.service("a")["state"].as_str()), (pid, Some("ready")));
    assert!(!lifeline.is_cut() && !heard.exists());
}

#[test]
fn what_is_tied_to_nothing_survives_the_terminal_of_up() {
    let world = World::new();
    let (lifeline, heard) = service(&world, "tie = \"none\"");
    let mut terminal = world.terminal(&["up"]);
    terminal.wait_for("ready");
    let pid = world.wait_state("a", "ready")["run"]["pid"].clone();
    let up = terminal.pid();
    terminal.hang_up();
    until("the command ends", || (!vigie_real_tests::alive(up)).then_some(()));
    world.vigie(&["reset", "a"]).run().code(0);
    assert_eq!(world.service("a")["run"]["pid"], pid);
    assert!(!lifeline.is_cut() && !heard.exists());
    // It survives the daemon's orderly end, too.
    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    assert_eq!(world.service("a")["run"]["pid"], pid);
    assert!(!lifeline.is_cut());
    world.vigie(&["kill-all", "--yes"]).run().code(0);
    lifeline.assert_cut();
}

/// An orderly end of the daemon ends what is tied to it, by the ladder.
#[test]
fn an_orderly_end_of_the_daemon_stops_what_is_tied_to_it() {
    let world = World::new();
    let (lifeline, heard) = service(&world, "");
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    lifeline.assert_cut();
    by_the_ladder(&world, &lifeline, &heard);
}

mod run {
    use super::*;

    fn ladder(world: &World) -> [String; 2] {
        [world.register("heard").join("signals").to_string_lossy().into_owned(), "INT 2s,KILL 5s".to_owned()]
    }

    #[track_caller]
    fn heard_and_gone(lifeline: &Lifeline, file: &str) {
        lifeline.wait_cut();
        let text = std::fs::read_to_string(file).expect("somebody heard something");
        assert!(text.lines().any(|line| line == "main 2"), "no rung was heard, only: {text}");
    }

    #[test]
    fn killing_it_stops_its_command() {
        let world = World::new();
        let lifeline = world.lifeline();
        let [file, ladder] = ladder(&world);
        let line = ["run", "-n", "x", "--ladder", &ladder, "--", "@hostile", "family", &file];
        let running = world.vigie(&line).env("HOSTILE_LIFELINE", lifeline.path()).start();
        running.wait_out("ready");
        running.kill();
        heard_and_gone(&lifeline, &file);
        until("the lock is free", || world.run("x", &["exit", "0"]).run().status.success().then_some(()));
    }

    #[test]
    fn closing_its_terminal_stops_its_command() {
        let world = World::new();
        let lifeline = world.lifeline();
        let [file, ladder] = ladder(&world);
        let vigie = vigie_real_tests::program("vigie").to_string_lossy().into_owned();
        let hostile = vigie_real_tests::program("hostile").to_string_lossy().into_owned();
        let line = ["run", "-n", "x", "--ladder", &ladder, "--", &hostile, "family", &file];
        let path = lifeline.path().to_string_lossy().into_owned();
        let mut terminal = world.terminal_of(&vigie, &line, &[("HOSTILE_LIFELINE", &path)]);
        terminal.wait_for("ready");
        terminal.hang_up();
        heard_and_gone(&lifeline, &file);
    }

    /// The keeper is gone with the command: nobody is left who could climb a ladder. The next start finds what is left.
    #[test]
    fn killing_it_and_its_keeper_leaves_nothing_for_long() {
        let world = World::new();
        let (lifeline, register) = (world.lifeline(), world.register("register"));
        let running = world
            .run("x", &["double-fork"])
            .env("HOSTILE_LIFELINE", lifeline.path())
            .env("HOSTILE_REGISTER", &register)
            .start();
        running.wait_out("ready");
        let keeper = world.keeper("x");
        running.stop();
        keeper.kill();
        running.kill();
        world.run("x", &["exit", "0"]).env("HOSTILE_REGISTER", &register).run().code(0);
        lifeline.wait_cut();
        assert!(!register.join("doubles").exists(), "two lived at one time");
    }
}
