//! Exactly once (R4): the kernel's lock decides, files only label it.

use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde_json::Value;
use vigie_real_tests::{LONG, World, alive, elapsed, now, start_ticks, until};

/// How many start at once, and how often.
const STARTERS: usize = 16;

/// How often, unless `VIGIE_ROUNDS` says it.
const ROUNDS: usize = 200;

/// 200 × 16 simultaneous `vigie run`: each round exactly one runs, fifteen exit 3 and name the holder, and the next round
/// starts without anything having been cleaned up.
#[test]
fn sixteen_starters() {
    let rounds = std::env::var("VIGIE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let world = World::new();
    let register = world.register("register");
    for round in 0..rounds {
        let mut starters: Vec<std::process::Child> = (0..STARTERS)
            .map(|_| {
                let mut call = world.run("x", &["wait"]).env("HOSTILE_REGISTER", &register);
                let command = call.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
                command.spawn().expect("vigie starts")
            })
            .collect();
        let ended = all_but_one_end(&mut starters);
        let starts = || std::fs::read_to_string(register.join("starts")).unwrap_or_default();
        // Who has the lock may not have spawned yet when the last of the others is gone.
        until("the winner has started", || (starts().lines().count() > round).then_some(()));
        let starts = starts();
        let main = starts.lines().last().and_then(|line| line.split(' ').next()).unwrap_or_default().to_owned();
        let keeper = world.record("x").expect("a record")["holder"]["keeper"]["pid"].to_string();
        assert_eq!(starts.lines().count(), round + 1, "round {round}: exactly one is started:\n{starts}");
        for (code, errors) in ended {
            assert_eq!(code, Some(3), "round {round}: {errors}");
            // While the winner is about to spawn there is no main process yet.
            let named = [&main, &keeper].iter().any(|pid| errors.contains(&format!("PID {pid},")));
            assert!(named, "round {round}: neither {main} nor {keeper} is named: {errors}");
        }
        let [winner] = &mut starters[..] else { panic!("round {round}: {} still run", starters.len()) };
        let pid = Pid::from_raw(winner.id().cast_signed()).expect("a PID");
        rustix::process::kill_process(pid, Signal::TERM).expect("our child");
        let status = winner.wait().expect("our child");
        assert_eq!(status.code(), Some(128 + 15), "round {round}: the guard passes the signal and its end on");
    }
    assert!(!register.join("doubles").exists(), "two lived at one time");
}

/// Waits until one is left; takes the others out, with their codes and what they said.
fn all_but_one_end(starters: &mut Vec<std::process::Child>) -> Vec<(Option<i32>, String)> {
    let start = now();
    let mut ended = Vec::new();
    while starters.len() > 1 {
        assert!(elapsed(start) < LONG, "{} starters neither run nor end", starters.len());
        let fds: Vec<_> = starters
            .iter()
            .map(|child| {
                let pid = Pid::from_raw(child.id().cast_signed()).expect("a PID");
                pidfd_open(pid, PidfdFlags::empty()).expect("our child")
            })
            .collect();
        let mut set: Vec<PollFd<'_>> =
            fds.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
        let _ = poll(&mut set, Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
        let mut place = 0;
        starters.retain_mut(|child| {
            let over = !set[place].revents().is_empty();
            place += 1;
            if over {
                let code = child.wait().expect("our child").code();
                let mut errors = String::new();
                let stderr = child.stderr.as_mut().expect("piped");
                std::io::Read::read_to_string(stderr, &mut errors).expect("text");
                ended.push((code, errors));
            }
            !over
        });
    }
    ended
}

/// The same by the daemon, which has to be started first, by one of them.
#[test]
fn simultaneous_up() {
    let world = World::new();
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile wait\"\nready = {{ log = \"^ready\" }}\n\
         env = {{ HOSTILE_REGISTER = \"{}\" }}\n",
        register.display()
    ));
    for round in 1..=5 {
        let starters: Vec<_> = (0..8).map(|_| world.vigie(&["up", "-d"]).start()).collect();
        let mut codes: Vec<_> = starters
            .into_iter()
            .map(|starter| {
                let done = starter.finish();
                let code = done.status.code();
                if code == Some(3) {
                    // Before it has a PID, only whoever asked for it can be named.
                    let names = ["already running: PID ", "starting already, asked for by "];
                    assert!(names.iter().any(|text| done.errors().contains(text)), "{done}");
                }
                code
            })
            .collect();
        codes.sort();
        assert_eq!(codes, [&[Some(0)][..], &[Some(3); 7]].concat(), "{}", world.story());
        assert_eq!(world.events_of("a", "started").len(), round);
        world.vigie(&["stop", "a", "--yes"]).run().code(0);
    }
    let daemons = world.events().iter().filter(|event| event["kind"] == "daemon_started").count();
    assert_eq!(daemons, 1, "one daemon served them all");
    assert!(!register.join("doubles").exists(), "two lived at one time");
}

/// What the daemon runs and what `vigie run` runs is one thing when it is called the same.
#[test]
fn managed_and_unmanaged_share_the_lock() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let pid = world.pid("a");
    world.run("a", &["exit", "0"]).run().code(3).says(&format!("PID {pid},"));
    world.vigie(&["stop", "a", "--yes"]).run().code(0);

    let running = world.run("a", &["wait"]).start();
    running.wait_out("ready");
    let pid = world.wait_named("a");
    world.vigie(&["up", "-d"]).run().code(3).says(&format!("PID {pid}"));
    assert_eq!(world.service("a")["state"], "conflict");
    assert_eq!(world.wait_events("a", "conflict", 1).len(), 1);
    running.signal(Signal::TERM);
    running.finish().code(128 + 15);
    world.vigie(&["start", "a"]).run().code(0);
}

/// R4.7: a record that names a living stranger neither blocks a start nor gets the stranger signalled.
#[test]
fn a_record_that_names_a_stranger() {
    let world = World::new();
    let heard = world.register("heard").join("signals");
    let stranger = world.stranger(&["recorder", &heard.to_string_lossy()]).start();
    stranger.wait_out("ready");
    let pid = stranger.pid();
    world.run("x", &["exit", "0"]).run().code(0);
    let folder = world.service_dir("x").expect("its folder");
    let mut record = world.record("x").expect("its record");
    let ticks = start_ticks(pid).expect("it lives");
    // Its number, with the start time of the process that had the number before.
    let key = serde_json::json!({
        "boot_id": record["holder"]["keeper"]["boot_id"], "pid": pid, "start_ticks": ticks - 1,
    });
    record["holder"]["main"] = key.clone();
    record["holder"]["keeper"] = key;
    record["phase"] = "running".into();
    record["cgroup"] = Value::Null;
    std::fs::write(folder.join("record.json"), record.to_string()).expect("written");
    std::fs::write(folder.join("lock"), record["holder"].to_string()).expect("written");

    assert_ne!(world.status()["services"][0]["state"], "running", "the record is no proof");
    world.vigie(&["stop", "x", "--yes"]).run().code(8);
    world.vigie(&["kill-all", "--yes"]).run();
    world.run("x", &["exit", "7"]).run().code(7);
    assert!(alive(pid));
    assert!(!heard.exists(), "the stranger was signalled: {:?}", std::fs::read_to_string(&heard));
}

/// R4.8: a PID file of an older tool is a hint, and a wrong one is no more than that.
#[test]
fn a_pid_file_that_names_a_stranger() {
    let world = World::new();
    let heard = world.register("heard").join("signals");
    let stranger = world.stranger(&["recorder", &heard.to_string_lossy()]).start();
    stranger.wait_out("ready");
    std::fs::write(world.path("old.pid"), format!("{}\nlaunch\n", stranger.pid())).expect("written");
    world.manifest(
        "[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\nlegacy_pidfile = \"@world/old.pid\"\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["restart", "a", "--yes"]).run().code(0);
    world.vigie(&["down", "--yes"]).run().code(0);
    world.vigie(&["kill-all", "--yes"]).run();
    assert!(alive(stranger.pid()));
    assert!(!heard.exists(), "the stranger was signalled: {:?}", std::fs::read_to_string(&heard));
}

/// R4.1: the lock is on an inode, and somebody has removed its name.
#[test]
fn a_deleted_lock_file_lets_nobody_in() {
    let world = World::new();
    let running = world.run("x", &["wait"]).start();
    let main = running.wait_out("ready").split(' ').next().map(str::to_owned).expect("its PID");
    world.wait_named("x");
    std::fs::remove_file(world.service_dir("x").expect("its folder").join("lock")).expect("it was there");
    let done = world.run("x", &["wait"]).run().code(3);
    assert!(done.errors().contains(&main), "{done}");
    assert!(!running.out().is_empty() && alive(main.parse().expect("a PID")));
    running.signal(Signal::TERM);
    running.finish().code(128 + 15);
    world.run("x", &["exit", "0"]).run().code(0);
}

/// R4.3
#[test]
fn scopes_reach_as_far_as_they_say() {
    let world = World::new();
    let other = world.path("other");
    std::fs::create_dir(&other).expect("a folder");
    for (scope, reaches) in [("project", false), ("user", true), ("machine", true)] {
        let line = ["run", "--name", "x", "--scope", scope, "--", "@hostile", "wait"];
        let first = world.vigie(&line).start();
        first.wait_out("ready");
        world.vigie(&line).run().code(3);
        let second = world.vigie(&line).within(&other);
        if reaches {
            second.run().code(3).says("already running");
        } else {
            let second = second.start();
            second.wait_out("ready");
            second.signal(Signal::TERM);
            second.finish().code(128 + 15);
        }
        first.signal(Signal::TERM);
        first.finish().code(128 + 15);
    }
    // Names of different scopes are different things.
    let runs: Vec<_> = ["project", "user", "machine"]
        .iter()
        .map(|scope| {
            let running = world.vigie(&["run", "--name", "x", "--scope", scope, "--", "@hostile", "wait"]).start();
            running.wait_out("ready");
            running
        })
        .collect();
    for running in runs {
        running.signal(Signal::TERM);
        running.finish().code(128 + 15);
    }
}

#[test]
fn a_second_daemon_is_refused() {
    let world = World::new();
    world.vigie(&["daemon", "status"]).run().code(8);
    world.vigie(&["daemon", "start"]).run().code(0);
    let first = world.daemon();
    world.vigie(&["daemon", "run"]).run().code(3).says(&first.pid.to_string());
    world.vigie(&["daemon", "start"]).run().code(0);
    world.vigie(&["daemon", "status"]).run().code(0);
    assert_eq!(world.daemon().pid, first.pid);
    assert!(!first.ended_within(Duration::ZERO));
}

/// The losers of a race for the place of the daemon find the winner.
#[test]
fn simultaneous_daemons() {
    let world = World::new();
    let daemons = || world.events().iter().filter(|event| event["kind"] == "daemon_started").count();
    for round in 0..10 {
        let starters: Vec<_> = (0..6).map(|_| world.vigie(&["daemon", "start"]).start()).collect();
        for starter in starters {
            starter.finish().code(0);
        }
        // It serves before that is on the disk.
        until("its beginning is in the journal", || (daemons() > round).then_some(()));
        world.daemon().kill();
    }
    assert_eq!(daemons(), 10);
}

/// While the holder is being stopped it still is the holder.
#[test]
fn who_is_stopping_still_holds() {
    let world = World::new();
    let register = world.register("register");
    let gone = world.path("gone");
    let first = world.run("x", &["slow-stop", &gone.to_string_lossy()]).env("HOSTILE_REGISTER", &register).start();
    first.wait_out("ready");
    first.signal(Signal::TERM);
    first.wait_out("stopping");
    world.run("x", &["exit", "0"]).env("HOSTILE_REGISTER", &register).run().code(3);
    let waits = world
        .vigie(&["run", "--name", "x", "--wait", "50s", "--", "@hostile", "exit", "9"])
        .env("HOSTILE_REGISTER", &register)
        .start();
    std::fs::write(&gone, "").expect("written");
    waits.finish().code(9);
    first.finish().code(0);
    assert!(!register.join("doubles").exists(), "two lived at one time");
}

/// A path of a socket may be 107 bytes long (unix(7)); that of a home may be longer.
#[test]
fn a_home_deep_down() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    let deep = world.home().join("a-folder-with-a-long-name".repeat(4)).join("another-one".repeat(8));
    assert!(deep.as_os_str().len() > 200);
    let call = |args: &[&str]| world.vigie(args).env("VIGIE_HOME", &deep);
    call(&["up", "-d"]).run().code(0);
    let status: Value = serde_json::from_slice(&call(&["status", "--json"]).run().code(0).out).expect("JSON");
    assert_eq!(status["services"][0]["state"], "ready");
    call(&["run", "--name", "a", "--", "@hostile", "exit", "0"]).run().code(3);
    call(&["stop", "a", "--yes"]).run().code(0);
    call(&["daemon", "stop", "--yes"]).run().code(0);
    until("nothing of it is left", || {
        let sockets = std::fs::read_to_string("/proc/net/unix").ok()?;
        (!sockets.contains(&*deep.to_string_lossy())).then_some(())
    });
}
