//! A process that runs already becomes a run (R4.4): watched, stopped for real, its end noticed; when those who hold it
//! die it goes on (R6.7).

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use vigie_real_tests::{Process, Running, World, alive, free_port, until};

/// A service that waits, and a copy of it that was started by hand.
fn with_copy(mode: &str, more: &str) -> (World, Running) {
    let world = World::new();
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile {mode}\"\nstop = [\"TERM 500ms\", \"KILL 5s\"]\n{more}\n"
    ));
    let args: Vec<&str> = mode.split(' ').collect();
    let copy = world.stranger(&args).start();
    copy.wait_out("ready");
    (world, copy)
}

fn is_adopted(service: &Value, pid: u32) -> bool {
    service["run"]["pid"] == pid && service["run"]["adopted"] == true
}

#[test]
fn an_adopted_process_is_a_run() {
    let (world, mut copy) = with_copy("wait", "");
    let pid = copy.pid();
    let dry = world.vigie(&["adopt", "a", "--dry-run"]).run().code(0);
    assert!(dry.text().contains(&pid.to_string()) && dry.text().contains("dry run"), "{dry}");
    assert!(world.service_dir("a").is_none(), "nothing was done");

    world.vigie(&["adopt", "a"]).run().code(0);
    let service = world.service("a");
    assert!(is_adopted(&service, pid), "{service:#}");
    assert_eq!(service["state"], "running");
    assert!(service["run"]["processes"].as_u64() >= Some(1), "{service:#}");
    let entry = &world.wait_events("a", "adopted_stray", 1)[0];
    assert_eq!(entry["detail"]["main_pid"], pid, "{entry:#}");
    assert!(entry["detail"]["by"].as_str().is_some_and(|by| by.contains("PID")), "{entry:#}");
    // It is a run now: neither a copy, nor to be adopted again, nor in the way.
    world.vigie(&["adopt", "a"]).run().code(8);
    world.vigie(&["adopt", &format!("pid:{pid}"), "--as", "a"]).run().code(3);
    world.vigie(&["up", "-d"]).run().code(3).says(&format!("PID {pid}"));
    let guard = world.run("a", &["wait"]).run().code(3).says(&format!("PID {pid}"));
    assert!(guard.errors().contains(", adopted by "), "{guard}");
    world.vigie(&["logs", "a"]).run().code(0).says("its output goes where it did");
    assert!(!copy.is_over());

    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    assert_eq!(copy.finish().signal(), Some(Signal::TERM.as_raw()));
    assert!(world.service("a")["run"].is_null());
}

/// What it has forked before is stopped with it, deaf or in another session.
#[test]
fn a_tree_is_adopted_whole() {
    for mode in ["leader", "escapee"] {
        let world = World::new();
        world.manifest(&format!("[service.a]\ncommand = \"@hostile {mode}\"\nstop = [\"TERM 300ms\", \"KILL 10s\"]\n"));
        let lifeline = world.lifeline();
        let copy = world.stranger(&[mode]).env("HOSTILE_LIFELINE", lifeline.path()).start();
        copy.wait_out("ready");
        world.vigie(&["adopt", "a"]).run().code(0);
        // Its child looks just as it does, and is a part of the run.
        world.vigie(&["strays"]).run().code(0);
        world.vigie(&["stop", "a", "--yes"]).run().code(0);
        lifeline.assert_cut();
    }
}

/// What it forks from now on is inside, and stays there: something that forks all the time, each time in a new session, with
/// parents that end, deaf to TERM.
#[test]
fn what_it_forks_afterwards_is_its_own() {
    let world = World::new();
    let script = world.project().join("later.sh");
    let text = "#!/bin/sh\ntrap 'exit 0' TERM\necho ready\nwhile [ ! -e go ]; do sleep 0.01; done\n\
                @hostile hydra 2000 &\nwhile :; do sleep 0.05; done\n";
    std::fs::write(&script, world.fill(text)).expect("written");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    world.manifest("[service.a]\ncommand = \"./later.sh\"\nstop = [\"TERM 300ms\", \"KILL 10s\"]\n");
    let lifeline = world.lifeline();
    let mut command = Command::new(&script);
    command.current_dir(world.project()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut copy = ByHand(command.env("HOSTILE_LIFELINE", lifeline.path()).spawn().expect("sh"));
    let mut out = BufReader::new(copy.0.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("it speaks");
    world.vigie(&["adopt", "a"]).run().code(0);
    let service = world.service("a");
    if service["run"]["containment"] == "descent" {
        println!("skipped: this user may make no cgroups, and by descent alone such a thing is not held");
        return;
    }
    std::fs::write(world.project().join("go"), "").expect("written");
    line.clear();
    out.read_line(&mut line).expect("the hydra speaks");
    assert!(line.starts_with("ready"), "{line}");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    lifeline.assert_cut();
    copy.0.wait().expect("our child");
}

/// Started by this test, and no one's whom vigie knows.
struct ByHand(Child);

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its end is noticed, with its code, and followed by a real run.
#[test]
fn its_end_is_noticed_and_followed_by_the_policy() {
    let world = World::new();
    let go = world.path("go");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile exit-when {} 7\"\nready = {{ log = \"^ready\" }}\n\
         restart = {{ delay = \"10ms\", jitter = 0 }}\n",
        go.display()
    ));
    let copy = world.stranger(&["exit-when", &go.to_string_lossy(), "7"]).start();
    copy.wait_out("ready");
    let pid = copy.pid();
    // Its readiness is read from its output, which is not ours: it runs, and nothing is said beyond that.
    world.vigie(&["adopt", "a"]).run().code(0);
    assert_eq!(world.service("a")["state"], "running");
    std::fs::write(&go, "").expect("written");
    let exits = world.wait_events("a", "exited", 1);
    let code = &exits[0]["detail"]["exit"]["code"];
    // Nobody has waited for it yet: a zombie tells on every kernel.
    assert_eq!(*code, 7, "{exits:#?}");
    std::fs::remove_file(&go).expect("it was there");
    let again = world.wait_service("a", "another run", |service| {
        (service["state"] == "ready" && service["run"]["pid"] != pid).then(|| service.clone())
    });
    assert_eq!(again["run"]["adopted"], false, "{again:#}");
    copy.finish().code(7);
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
}

/// Probes look whose socket it is: the adopted one's is the run's own.
#[test]
fn its_probes_are_answered_by_itself() {
    let port = free_port();
    let ready = format!("ports = [\"127.0.0.1:{port}\"]\nready = {{ http = \"http://127.0.0.1:{port}/\" }}");
    let (world, copy) = with_copy(&format!("listen {port} http"), &ready);
    world.vigie(&["adopt", &format!("port:{port}")]).run().code(0);
    let service = world.wait_state("a", "ready");
    assert!(is_adopted(&service, copy.pid()), "{service:#}");
    assert_eq!(service["run"]["ports"], serde_json::json!([format!("127.0.0.1:{port}/tcp")]));
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    assert!(!alive(copy.pid()));
}

/// What it listens on is shown at once, although the daemon has seen that socket before and it was nobody's; also where
/// the run is held by descent alone.
#[test]
fn its_ports_are_shown() {
    for world in [World::new(), World::unprivileged()] {
        let port = free_port();
        let command = format!("listen {port} http");
        world.manifest(&format!(
            "[service.a]\ncommand = \"@hostile {command}\"\n[service.b]\ncommand = \"@hostile wait\"\n"
        ));
        let args: Vec<&str> = command.split(' ').collect();
        let copy = world.stranger(&args).start();
        copy.wait_out("ready");
        world.vigie(&["start", "b"]).run().code(0);
        assert!(world.service("a")["run"].is_null());
        world.vigie(&["adopt", "a"]).run().code(0);
        let service = world.service("a");
        assert!(is_adopted(&service, copy.pid()), "{service:#}");
        assert_eq!(service["run"]["ports"], serde_json::json!([format!("127.0.0.1:{port}/tcp")]), "{service:#}");
        world.vigie(&["down", "--yes"]).run().code(0);
    }
}

/// To be held is not its end: one that does not become ready goes on.
#[test]
fn what_does_not_become_ready_goes_on() {
    let ready = format!("ready = {{ tcp = \"127.0.0.1:{}\", within = \"300ms\" }}", free_port());
    let (world, copy) = with_copy("wait", &ready);
    world.vigie(&["adopt", "a"]).run().code(1).says("not ready within 300ms");
    assert!(is_adopted(&world.service("a"), copy.pid()));
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
}

/// R6.7: the daemon is killed; the next one has the same run. What ends meanwhile is known, with its code.
#[test]
fn the_daemon_dies() {
    let (world, copy) = with_copy("wait", "restart = \"never\"");
    world.vigie(&["adopt", "a"]).run().code(0);
    let id = world.service("a")["run"]["id"].clone();
    for _ in 0..2 {
        world.daemon().kill();
        let alone = world.service("a");
        assert!(is_adopted(&alone, copy.pid()) && alone["run"]["id"] == id, "seen without a daemon: {alone:#}");
        world.vigie(&["daemon", "start"]).run().code(0);
        world.daemon();
        let service = world.wait_state("a", "running");
        assert!(is_adopted(&service, copy.pid()) && service["run"]["id"] == id, "{service:#}");
    }
    world.daemon().kill();
    copy.signal(Signal::TERM);
    until("its keeper has seen it", || world.record("a").filter(|record| record["phase"] == "empty"));
    world.vigie(&["daemon", "start"]).run().code(0);
    let service = world.wait_state("a", "failed");
    assert_eq!(service["last_exit"]["signal"], 15, "{service:#}");
    assert_eq!(world.events_of("a", "adopted_stray").len(), 1);
    assert_eq!(world.events_of("a", "started").len(), 0);
}

/// R6.7: the keeper is killed. The process is left alone and held again; nothing is spawned beside it, whoever else dies.
#[test]
fn the_keeper_dies() {
    for daemon_too in [false, true] {
        let (world, mut copy) = with_copy("wait", "");
        world.vigie(&["adopt", "a"]).run().code(0);
        for round in 2..=3 {
            let (keeper, daemon) = (world.keeper("a"), world.daemon());
            if daemon_too {
                daemon.kill();
            }
            keeper.kill();
            if daemon_too {
                world.vigie(&["daemon", "start"]).run().code(0);
            }
            world.wait_events("a", "adopted_stray", round);
            let service = world.wait_state("a", "running");
            assert!(is_adopted(&service, copy.pid()), "{service:#}");
            assert!(!copy.is_over());
        }
        assert_eq!(world.events_of("a", "started").len(), 0, "{}", world.story());
        assert!(world.events_of("a", "survivors_ended").is_empty(), "{}", world.story());
        world.vigie(&["stop", "a", "--yes"]).run().code(0);
        assert!(!alive(copy.pid()));
    }
}

/// The keeper is killed and the process as well: its run is over, and the policy follows.
#[test]
fn the_keeper_dies_with_what_it_held() {
    let (world, copy) = with_copy("wait", "restart = { delay = \"10ms\" }");
    world.vigie(&["adopt", "a"]).run().code(0);
    let pid = copy.pid();
    let (keeper, main) = (world.keeper("a"), Process::open(pid, |_| true).expect("it lives"));
    world.daemon().kill();
    keeper.kill();
    main.kill();
    drop(copy);
    world.vigie(&["daemon", "start"]).run().code(0);
    world.wait_service("a", "another run", |service| {
        (service["state"] == "running" && service["run"]["pid"] != pid && service["run"]["adopted"] == false)
            .then_some(())
    });
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
}

/// An ordinary user, who may make no cgroups: held by descent alone, and that is said.
#[test]
fn without_a_cgroup() {
    let world = World::unprivileged();
    world.manifest("[service.a]\ncommand = \"@hostile leader\"\nstop = [\"TERM 300ms\", \"KILL 10s\"]\n");
    let lifeline = world.lifeline();
    let mut copy = world.stranger(&["leader"]);
    copy = copy.env("HOSTILE_LIFELINE", lifeline.path());
    let copy = copy.start();
    copy.wait_out("ready");
    world.vigie(&["adopt", "a"]).run().code(0);
    let service = world.service("a");
    assert!(is_adopted(&service, copy.pid()), "{service:#}");
    if service["run"]["containment"] == "descent" {
        assert_eq!(service["run"]["processes"], 2, "{service:#}");
    } else {
        println!("skipped in part: this user may make cgroups");
    }
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    lifeline.assert_cut();
}

/// Exit codes and reasons of what is refused; nobody is touched.
#[test]
fn what_is_not_adopted() {
    let (world, copy) = with_copy("wait", "[service.b]\ncommand = \"@hostile tick 50\"\n");
    let second = world.stranger(&["wait"]).start();
    second.wait_out("ready");
    world.vigie(&["adopt", "a"]).run().code(2).says("2 copies");
    world.vigie(&["adopt", "b"]).run().code(8).says("no copy of b");
    world.vigie(&["adopt", "nope"]).run().code(2);
    world.vigie(&["adopt", "pid:4000000"]).run().code(8);
    world.vigie(&["adopt", &format!("port:{}", free_port())]).run().code(8);
    world
        .vigie(&["adopt", &format!("pid:{}", copy.pid()), &format!("pid:{}", second.pid()), "--as", "a"])
        .run()
        .code(2);
    // This test itself is above the command, and the first process of all is nobody's service.
    world.vigie(&["adopt", &format!("pid:{}", std::process::id()), "--as", "a"]).run().code(7);
    world.vigie(&["adopt", "pid:1", "--as", "a"]).run().code(7);
    let shell = world.stranger(&["recorder", &world.path("heard").to_string_lossy()]).start();
    shell.wait_out("ready");
    world.vigie(&["adopt", &format!("pid:{}", shell.pid())]).run().code(8).says("--as");
    assert!(alive(copy.pid()) && alive(second.pid()) && alive(shell.pid()));
    assert!(!world.path("heard").exists(), "somebody was signalled");
    // One of the two, named.
    world.vigie(&["adopt", &format!("pid:{}", second.pid())]).run().code(0);
    assert!(is_adopted(&world.service("a"), second.pid()));
    assert!(alive(copy.pid()));
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    assert!(alive(copy.pid()), "the other one is nobody's");
}

/// Two at once: one of them has it, and it has one keeper.
#[test]
fn adopted_by_two_at_once() {
    let (world, copy) = with_copy("wait", "[service.b]\ncommand = \"@hostile tick 50\"\n");
    let target = format!("pid:{}", copy.pid());
    world.vigie(&["daemon", "start"]).run().code(0);
    let calls: Vec<Running> =
        ["a", "b"].into_iter().map(|service| world.vigie(&["adopt", &target, "--as", service]).start()).collect();
    let codes: Vec<Option<i32>> = calls.into_iter().map(|call| call.finish().status.code()).collect();
    let have = ["a", "b"].iter().filter(|name| {
        let status = world.status();
        let services = status["services"].as_array().cloned().unwrap_or_default();
        services.iter().any(|service| service["service"] == **name && is_adopted(service, copy.pid()))
    });
    assert!(have.count() <= 1, "{codes:?} {}", world.story());
    assert!(alive(copy.pid()));
    world.vigie(&["down", "--yes"]).run();
}
