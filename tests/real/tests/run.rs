//! `vigie run`: a transparent guard (R3.2).

use rustix::process::Signal;
use vigie_hostile::content;
use vigie_real_tests::{World, until};

/// It can stand in any pipe: bytes pass through untouched, in both directions.
#[test]
fn bytes_pass_through() {
    let world = World::new();
    let bytes = content::bytes(3 << 20);
    let done = world.run("x", &["cat"]).input(bytes.clone()).run().code(0);
    assert!(done.out == bytes, "{} of {} bytes", done.out.len(), bytes.len());
    assert!(done.err.is_empty(), "{done}");
    world.run("x", &["stdin"]).input(bytes).run().code(0);
    let done = world.vigie(&["run", "-n", "x", "--", "sh", "-c", "echo out; echo err >&2; exit 5"]).run().code(5);
    assert_eq!((done.text().as_str(), done.errors().as_str()), ("out\n", "err\n"));
}

#[test]
fn codes_pass_through() {
    let world = World::new();
    for code in [0, 1, 3, 70, 125, 126, 127, 128, 255] {
        world.run("x", &["exit", &code.to_string()]).run().code(code);
    }
    for signal in [1, 2, 6, 9, 11, 15] {
        world.run("x", &["crash", &signal.to_string()]).run().code(128 + signal);
    }
}

#[test]
fn what_cannot_be_run() {
    let world = World::new();
    world.vigie(&["run", "-n", "x", "--", "no-such-command"]).run().code(127).says("no-such-command");
    world.vigie(&["run", "-n", "x", "--", "@world/nowhere/x"]).run().code(127);
    std::fs::write(world.path("plain"), "text").expect("written");
    world.vigie(&["run", "-n", "x", "--", "@world/plain"]).run().code(126).says("plain");
    world.vigie(&["run", "-n", "x", "--", "/"]).run().code(126);
    // What is not understood is nothing that the command could have said.
    world.vigie(&["run", "-n", "not a name", "--", "true"]).run().code(2);
    world.vigie(&["run", "--", "true"]).run().code(2);
}

/// Environment, folder and arguments are those of whoever called it.
#[test]
fn the_surroundings_pass_through() {
    let world = World::new();
    let done = world.run("x", &["print", "--yes", "-f", "a b", ""]).env("MARK", "of mine").run().code(0);
    let text = done.text();
    for line in ["arg --yes", "arg -f", "arg a b", "arg ", "env MARK=of mine"] {
        assert!(text.lines().any(|other| other == line), "{line:?} is missing: {text}");
    }
    assert!(text.contains(&format!("cwd {}\n", world.project().display())), "{text}");
}

#[test]
fn signals_pass_through() {
    let world = World::new();
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT, Signal::USR1, Signal::USR2] {
        let running = world.run("x", &["wait"]).start();
        running.wait_out("ready");
        running.signal(signal);
        running.finish().code(128 + signal.as_raw());
    }
    let running = world.run("x", &["slow-stop", "200", "9"]).start();
    running.wait_out("ready");
    running.signal(Signal::TERM);
    running.finish().code(9);
}

/// The reader of the pipe goes away: the command hears it, as it would without a guard.
#[test]
fn a_closed_pipe_reaches_the_command() {
    let world = World::new();
    let line = format!(
        "{} run -n x -- {} flood 100000000 | head -c 10",
        vigie_real_tests::program("vigie").display(),
        vigie_real_tests::program("hostile").display()
    );
    let mut call = world.vigie(&[]);
    let home = call
        .command()
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
        .collect::<Vec<_>>();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).current_dir(world.project()).env_clear();
    shell.envs(home.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().expect("a shell");
    assert_eq!(output.stdout.len(), 10);
    until("it is over", || world.run("x", &["exit", "0"]).run().status.success().then_some(()));
}

/// `-E CODE`, `--wait T`.
#[test]
fn refused_or_waiting() {
    let world = World::new();
    let first = world.run("x", &["slow-stop", "300"]).start();
    first.wait_out("ready");
    world.run("x", &["exit", "0"]).run().code(3);
    for code in ["0", "75"] {
        let done = world.vigie(&["run", "-n", "x", "-E", code, "--", "@hostile", "exit", "1"]).run();
        assert_eq!(done.status.code(), code.parse().ok(), "{done}");
        assert!(done.out.is_empty(), "{done}");
    }
    let late = world.vigie(&["run", "-n", "x", "--wait", "100ms", "--", "@hostile", "exit", "1"]).run().code(3);
    assert!(late.took.as_millis() >= 100, "{late}");
    let waiting = world.vigie(&["run", "-n", "x", "--wait", "50s", "--", "@hostile", "exit", "9"]).start();
    first.signal(Signal::TERM);
    waiting.finish().code(9);
    first.finish().code(0);
}

/// R4.2: the holder is named with PID, time and place.
#[test]
fn the_holder_is_named() {
    let world = World::new();
    let first = world.run("x", &["wait"]).start();
    let pid = first.wait_out("ready").split(' ').next().map(str::to_owned).expect("its PID");
    assert_eq!(world.wait_named("x").to_string(), pid);
    let done = world.run("x", &["wait"]).run().code(3);
    let said = done.errors();
    assert!(said.contains(&format!("PID {pid},")) && said.contains("since "), "{said}");
    assert!(said.contains(&*world.project().to_string_lossy()), "{said}");
    assert!(done.out.is_empty(), "standard output is the command's");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// `--port`: refused when another holds it, and nothing is started.
#[test]
fn a_port_that_another_holds() {
    let world = World::new();
    let other = world.stranger(&["listen", "0"]).start();
    let port = other.wait_out(" listen ");
    let line = ["run", "-n", "x", "--port", &port, "--", "@hostile", "print"];
    let done = world.vigie(&line).run().code(3);
    assert!(done.out.is_empty(), "{done}");
    assert!(done.errors().contains(&port) && done.errors().contains(&other.pid().to_string()), "{done}");
    other.kill();
    world.vigie(&line).run().code(0);
}

/// Its command's children do not outlive it, whatever they do.
#[test]
fn nothing_is_left_behind() {
    for world in [World::new(), World::unprivileged()] {
        for mode in [&["daemonize"][..], &["pipe-holder"], &["hydra-alone", "500"]] {
            let lifeline = world.lifeline();
            let line = [&["run", "-n", "x", "--ladder", "TERM 200ms,KILL 5s", "--", "@hostile"], mode].concat();
            world.vigie(&line).env("HOSTILE_LIFELINE", lifeline.path()).run().code(0);
            lifeline.assert_cut();
        }
    }
}

/// Its keeper is killed: how the command ends, nobody sees any more; what is left of it is ended, and that is said.
#[test]
fn the_keeper_is_killed() {
    for world in [World::new(), World::unprivileged()] {
        let lifeline = world.lifeline();
        let running = world.run("x", &["double-fork"]).env("HOSTILE_LIFELINE", lifeline.path()).start();
        running.wait_out("ready");
        world.keeper("x").kill();
        running.finish().code(125).says("keeper");
        lifeline.assert_cut();
        world.run("x", &["exit", "0"]).run().code(0);
    }
}

/// At a terminal: Ctrl-C reaches the command, once; its code comes back.
#[test]
fn ctrl_c_at_a_terminal() {
    let world = World::new();
    let mut terminal = world.terminal(&["run", "-n", "x", "--", "@hostile", "wait"]);
    terminal.wait_for("ready");
    terminal.type_in("\x03");
    assert_eq!(terminal.finish().code(), Some(130), "{}", terminal.screen());

    let heard = world.register("heard").join("signals");
    let path = heard.to_string_lossy().into_owned();
    let line = ["run", "-n", "x", "--ladder", "KILL 5s", "--", "@hostile", "family", &path];
    let mut terminal = world.terminal(&line);
    terminal.wait_for("ready");
    terminal.type_in("\x03");
    let text = until("it is heard", || std::fs::read_to_string(&heard).ok().filter(|text| text.contains("main 2")));
    assert_eq!(text.matches("main 2\n").count(), 1, "{text}");
}

/// Ctrl-Z stops both, `fg` lets both go on, in a shell with job control.
#[test]
fn ctrl_z_at_a_terminal() {
    let world = World::new();
    let vigie = vigie_real_tests::program("vigie").to_string_lossy().into_owned();
    let hostile = vigie_real_tests::program("hostile").to_string_lossy().into_owned();
    let mut terminal = world.terminal_of("/bin/sh", &["-i"], &[("PS1", "prompt> ")]);
    terminal.wait_for_prompt("prompt> ", 1);
    terminal.type_in(&format!("{vigie} run -n x -- {hostile} cat\n"));
    let main = until("it runs", || {
        world.record("x").filter(|record| record["phase"] == "running")?["holder"]["main"]["pid"].as_u64()
    });
    terminal.type_in("one\n");
    terminal.wait_for_nth("one", 2);
    terminal.type_in("\x1a");
    terminal.wait_for_prompt("prompt> ", 2);
    // The shell hears of the end of its own child; the other one of the group may still be on its way.
    until("the command is stopped as well", || {
        let state = std::fs::read_to_string(format!("/proc/{main}/stat")).expect("it lives");
        state.contains(" T ").then_some(())
    });
    terminal.type_in("fg\n");
    terminal.type_in("two\n");
    terminal.wait_for_nth("two", 2);
    terminal.type_in("\x04");
    terminal.wait_for_prompt("prompt> ", 3);
    terminal.type_in("echo code $?\n");
    terminal.wait_for("code 0");
    terminal.type_in("exit\n");
    terminal.finish();
}
