//! What is wrong on the machine, and what mends it (R3.3, R8.2). Other tests run beside these with strange processes of their
//! own, so each looks at what it started itself, and mends nothing else.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use vigie_real_tests::{Done, Running, World, alive, elapsed, is_root, now, skip, until};

fn json(done: &Done) -> Value {
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// What is found about a target.
fn doctor(world: &World, target: &str) -> Vec<Value> {
    let report = json(&world.vigie(&["doctor", target, "--json"]).run());
    assert_eq!(report["schema"], 1);
    report["findings"].as_array().expect("a list").clone()
}

/// What is found on the whole machine.
fn machine(world: &World) -> Vec<Value> {
    json(&world.vigie(&["doctor", "--json"]).run())["findings"].as_array().expect("a list").clone()
}

/// Its output says this.
#[track_caller]
fn shows(done: Done, text: &str) {
    assert!(done.text().contains(text), "{text:?} is missing: {done}");
}

fn kinds(found: &[Value]) -> Vec<&str> {
    found.iter().filter_map(|one| one["kind"].as_str()).collect()
}

/// Waits until something of this kind is found about a target.
fn wait_found(world: &World, target: &str, kind: &str) -> Value {
    until(&format!("{kind} is found about {target}"), || {
        doctor(world, target).into_iter().find(|one| one["kind"] == kind)
    })
}

fn is_about(found: &Value, pid: u32) -> bool {
    found["pids"].as_array().is_some_and(|pids| pids.iter().any(|one| *one == pid))
}

/// The letter of the state of a process.
fn state(pid: u32) -> Option<char> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    line.get(line.rfind(')')? + 2..)?.chars().next()
}

fn wait_state(pid: u32, wanted: char) {
    until(&format!("process {pid} is {wanted}"), || (state(pid) == Some(wanted)).then_some(()));
}

fn signal(pid: u32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a PID")).expect("no zero");
    rustix::process::kill_process(pid, signal).expect("signalled");
}

const WAIT: &str = "[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n";

fn up() -> World {
    let world = World::new();
    world.manifest(WAIT);
    world.vigie(&["up", "-d"]).run().code(0);
    world
}

#[test]
fn it_is_quiet_when_all_is_well() {
    let world = up();
    let pid = world.pid("a");
    let quiet = world.vigie(&["doctor", "a"]).run().code(0);
    assert_eq!(quiet.text().lines().count(), 1, "{quiet}");
    assert!(quiet.text().starts_with("nothing found: "), "{quiet}");
    assert_eq!(doctor(&world, &format!("pid:{pid}")), [] as [Value; 0]);
    let of_us = |one: &Value| is_about(one, pid) || one["service"].as_str() == Some("project/a");
    assert!(!machine(&world).iter().any(of_us));
    world.vigie(&["doctor", "nobody"]).run().code(8);
    world.vigie(&["doctor", "pid:4000000"]).run().code(8);
    world.vigie(&["doctor", "a", "--yes"]).run().code(2);
}

#[test]
fn without_a_daemon_and_without_a_manifest() {
    let world = World::new();
    let done = world.vigie(&["doctor", "--json"]).run();
    assert!(matches!(done.status.code(), Some(0 | 1)), "{done}");
    let own = ["daemon", "keeper", "journal", "leftover", "crash-loop"];
    let found = machine(&world);
    assert!(!kinds(&found).iter().any(|kind| own.contains(kind)), "{found:#?}");
    assert!(!world.home().join("run/daemon.sock").exists(), "nobody was started for it");
}

/// A run that stands still is told, and goes on when that is asked for; somebody's own Ctrl-Z is nobody's business.
#[test]
fn a_stopped_run_is_told_and_goes_on() {
    let world = up();
    let pid = world.pid("a");
    let stranger = world.stranger(&["stopped"]).start();
    stranger.wait_out("ready");
    wait_state(stranger.pid(), 'T');
    signal(pid, Signal::STOP);
    wait_state(pid, 'T');
    let found = machine(&world);
    let own = found.iter().find(|one| is_about(one, pid)).unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!((&own["kind"], &own["severity"]), (&"stopped".into(), &"warning".into()), "{own:#}");
    assert_eq!(own["remedies"][0]["name"], "continue", "{own:#}");
    assert!(!found.iter().any(|one| is_about(one, stranger.pid())), "{found:#?}");
    let named = doctor(&world, &format!("pid:{}", stranger.pid()));
    assert_eq!(kinds(&named), ["stopped"], "who is named is told of");

    world.vigie(&["doctor", "a", "--fix"]).run().code(4);
    shows(world.vigie(&["doctor", "a", "--fix", "--dry-run"]).run().code(0), "dry run");
    assert_eq!(state(pid), Some('T'), "nothing was done");
    let fixed = json(&world.vigie(&["doctor", "a", "--fix", "--yes", "--json"]).run().code(0));
    let outcomes: Vec<(&Value, &Value)> = steps(&fixed).map(|step| (&step["remedy"], &step["outcome"])).collect();
    assert_eq!(outcomes[0], (&"continue".into(), &"done".into()), "{fixed:#}");
    assert!(outcomes[1..].iter().all(|(_, outcome)| *outcome == "needless"), "{fixed:#}");
    assert_eq!(fixed["left"], Value::Array(Vec::new()), "{fixed:#}");
    assert_eq!(world.pid("a"), pid, "the same run goes on");
    world.vigie(&["doctor", "a"]).run().code(0);
    stranger.kill();
}

fn steps(fixed: &Value) -> impl Iterator<Item = &Value> {
    fixed["steps"].as_array().expect("steps").iter()
}

fn child_of(parent: u32) -> Option<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// The parent is told first, and is ended only when it was named.
#[test]
fn zombies_are_told_by_their_parent() {
    let world = World::new();
    let mut parent = world.stranger(&["unreaped"]).start();
    parent.wait_out("ready");
    let pid = parent.pid();
    let zombie = until("its child", || child_of(pid));
    wait_state(zombie, 'Z');
    for target in [pid, zombie] {
        let found = doctor(&world, &format!("pid:{target}"));
        let one = found.iter().find(|one| one["kind"] == "zombies").unwrap_or_else(|| panic!("{found:#?}"));
        assert_eq!(one["subject"], format!("pid:{pid}"));
        assert!(is_about(one, zombie), "{one:#}");
        let names: Vec<&Value> = one["remedies"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["tell-parent", "end-parent"]);
    }
    let child = format!("pid:{zombie}");
    let told = json(&world.vigie(&["doctor", &child, "--fix", "--yes", "--json"]).run().code(1));
    let outcomes: Vec<&Value> = steps(&told).map(|step| &step["outcome"]).collect();
    assert_eq!(outcomes, ["not-enough", "left-out"], "{told:#}");
    assert!(alive(pid) && !parent.is_over(), "nobody named it");
    let named = format!("pid:{pid}");
    shows(world.vigie(&["doctor", &named, "--fix", "--yes"]).run().code(0), "has ended");
    until("it has ended", || parent.is_over().then_some(()));
}

#[test]
fn a_crash_loop_and_its_end() {
    let world = World::new();
    let restart =
        |attempts: u32| format!("restart = {{ delay = \"500ms\", factor = 1, jitter = 0, attempts = {attempts} }}\n");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile exit 7\"\n{}[service.b]\ncommand = \"@hostile exit 8\"\n{}",
        restart(100),
        restart(1)
    ));
    world.vigie(&["up", "-d", "--timeout", "5s"]).run();
    let seen = wait_found(&world, "a", "crash-loop");
    assert!(seen["text"].as_str().is_some_and(|text| text.contains("exit code 7")), "{seen:#}");
    assert_eq!(seen["severity"], "critical");
    world.wait_state("b", "failed");
    assert_eq!(kinds(&doctor(&world, "b")), ["gave-up"]);
    shows(world.vigie(&["doctor", "b"]).run().code(1), "exit code 8");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    until("what nobody wants is no finding", || doctor(&world, "a").is_empty().then_some(()));
}

/// A copy that somebody has started, and the record of a run that was killed with its keeper.
#[test]
fn what_is_one_too_many_and_what_was_left() {
    let world = up();
    let copy = world.shell("exec @hostile wait").start();
    copy.wait_out("ready");
    let stray = wait_found(&world, "a", "stray");
    assert_eq!(stray["subject"], format!("pid:{}", copy.pid()), "{stray:#}");
    copy.kill();

    let (daemon, keeper, pid) = (world.daemon(), world.keeper("a"), world.pid("a"));
    daemon.kill();
    keeper.kill();
    let found = wait_found(&world, "a", "orphan");
    assert!(is_about(&found, pid), "{found:#}");
    signal(pid, Signal::KILL);
    let record = world.service_dir("a").expect("a folder").join("record.json");
    wait_found(&world, "a", "leftover");
    shows(world.vigie(&["doctor", "a", "--fix", "--yes"]).run().code(0), "cleared away");
    let left = std::fs::read_to_string(&record).unwrap_or_default();
    assert!(!left.contains(&format!("\"pid\":{pid}")), "{left}");
    world.vigie(&["doctor", "a"]).run().code(0);
}

#[test]
fn a_port_that_somebody_else_has() {
    let world = World::new();
    let holder = world.stranger(&["listen", "0"]).start();
    let said = holder.wait_out("listen ");
    let port: u16 = said.trim().parse().expect("a port");
    world.manifest(&format!("[service.a]\ncommand = \"@hostile wait\"\nports = [{port}]\n"));
    let found = doctor(&world, "a");
    assert_eq!(kinds(&found), ["port-taken"], "{found:#?}");
    assert!(is_about(&found[0], holder.pid()), "{found:#?}");
    holder.kill();
    until("the port is free", || doctor(&world, "a").is_empty().then_some(()));
}

/// vigie's own: a daemon and a keeper that a signal has stopped.
#[test]
fn a_daemon_and_a_keeper_that_do_not_answer() {
    let world = up();
    let daemon = world.daemon();
    let target = format!("pid:{}", daemon_pid(&world));
    daemon.stop();
    let begun = now();
    let found = doctor(&world, &target);
    let took = elapsed(begun);
    assert_eq!(kinds(&found), ["daemon"], "{found:#?}");
    // The commands that need its answer wait much longer.
    assert!(took < Duration::from_secs(9), "{took:?}");
    shows(world.vigie(&["doctor", &target, "--fix", "--yes"]).run().code(0), "goes on");

    let keeper = world.keeper("a");
    keeper.stop();
    let found = doctor(&world, "a");
    assert_eq!(kinds(&found), ["keeper"], "{found:#?}");
    shows(world.vigie(&["doctor", "a", "--fix", "--yes"]).run().code(0), "goes on");
    world.vigie(&["doctor", "a"]).run().code(0);
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
}

fn daemon_pid(world: &World) -> u64 {
    world.status()["daemon"]["pid"].as_u64().expect("a daemon")
}

/// Only what opens and what is resolved; the exit code says what is open at the end.
#[test]
fn watching_tells_changes() {
    let world = up();
    let pid = world.pid("a");
    let watch = |world: &World| -> Running { world.vigie(&["doctor", "a", "--watch", "--json"]).start() };
    let watching = watch(&world);
    signal(pid, Signal::STOP);
    watching.wait_out("\"change\":\"opened\"");
    signal(pid, Signal::CONT);
    watching.wait_out("\"change\":\"resolved\"");
    watching.signal(Signal::INT);
    let done = watching.finish().code(0);
    assert_eq!(done.text().lines().count(), 2, "{done}");
    signal(pid, Signal::STOP);
    let watching = watch(&world);
    watching.wait_out("\"change\":\"opened\"");
    watching.signal(Signal::INT);
    watching.finish().code(1);
    signal(pid, Signal::CONT);
}

/// R8.3: a file system whose server was stopped, and somebody who waits for it: seen in time, and mended.
#[test]
fn a_file_system_that_does_not_answer() {
    const TEST: &str = "a_file_system_that_does_not_answer";
    if !is_root() {
        return skip(TEST, "only root may mount");
    }
    if !std::path::Path::new("/dev/fuse").exists() {
        return skip(TEST, "the kernel has no FUSE");
    }
    let world = World::new();
    let folder = world.register("mount");
    let hung = world.stranger(&["hung-mount", &folder.to_string_lossy()]).start();
    hung.wait_out("hung ");
    let server = until("its server", || child_of(hung.pid()));
    wait_state(server, 'T');
    let waiter = world.shell(&format!("exec stat /proc/{}/cwd/held", hung.pid())).start();
    let of_it = |found: Vec<Value>| found.into_iter().find(|one| one["kind"] == "hung-mount" && is_about(one, server));
    let found = until("the hung mount is found", || of_it(machine(&world)));
    assert!(found["text"].as_str().is_some_and(|text| text.contains(&*folder.to_string_lossy())), "{found:#}");
    assert_eq!(found["remedies"][0]["name"], "continue-server", "{found:#}");
    // The best of three: the machine is not ours alone.
    let timed = |_| {
        let begun = now();
        world.vigie(&["doctor"]).run().code(1);
        elapsed(begun)
    };
    let best = (0..3).map(timed).min().expect("three");
    assert!(best < Duration::from_secs(5), "{best:?}");
    let target = format!("pid:{server}");
    shows(world.vigie(&["doctor", &target, "--fix", "--yes"]).run().code(0), "goes on");
    waiter.finish().code(0);
    // On a busy machine an answer may be late once.
    until("it answers", || of_it(machine(&world)).is_none().then_some(()));
    hung.kill();
}
