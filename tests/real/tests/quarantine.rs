//! Going on without what no signal ends (R5.4, R8.4): the service is free, the ghost is on record, and its end is told once.
//!
//! What cannot be ended is made with the freezer of cgroup v1: KILL waits until it is thawed; and with a server of FUSE that
//! has taken a write and never answers it (`stuck`).

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde_json::{Value, json};
use vigie_real_tests::{Frozen, LONG, Process, World, alive, free_port, freezer, is_root, program, skip, until};

/// `stuck fuse-server`, until this is dropped; then its connection is aborted, and whoever waited for it goes on.
struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    /// The process that answers, or does not.
    pid: u32,
}

impl Server {
    /// Absent where the kernel has no FUSE.
    fn start() -> Option<Self> {
        let mut command = Command::new(program("stuck"));
        let child = command.arg("fuse-server").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = child.spawn().expect("it was built");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let read = out.read_line(&mut line);
        let pid = line.split(' ').find_map(|word| word.strip_prefix("server=")?.parse().ok());
        if read.is_err() || pid.is_none() {
            let status = child.wait().expect("own child");
            assert_eq!(status.code(), Some(77), "it says that this machine cannot: {line}");
            return None;
        }
        Some(Self { child, out, pid: pid.expect("just looked") })
    }

    /// Waits until it has taken a request that it does not answer. Who waits for that is ended by no signal any more.
    fn has_taken(&mut self) {
        let time = Timespec::try_from(LONG).expect("it fits");
        let told = poll(&mut [PollFd::new(self.out.get_ref(), PollFlags::IN)], Some(&time)).expect("it can be polled");
        assert_eq!(told, 1, "nothing was asked of the server");
        let mut line = String::new();
        self.out.read_line(&mut line).expect("it tells");
        assert_eq!(line.trim_end(), "taken");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Our child, not yet waited for: the number is its own.
        let ended = Process::open(self.child.id(), |_| true).is_some_and(|child| child.ended_within(LONG));
        if !ended {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        if !std::thread::panicking() {
            assert!(ended, "it frees what it made, and ends");
        }
    }
}

/// A server whose port is claimed, up.
fn server(world: &World, port: u16) -> u32 {
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile listen {port}\"\nports = [\"127.0.0.1:{port}\"]\n\
         ready = {{ log = \"^ready\" }}\nstop = [\"TERM 200ms\", \"KILL 500ms\"]\n"
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    world.pid("a")
}

fn records(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.home().join("run/ghosts")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The cgroups of those on record. They go a moment after the record: a test that ends before would leave one behind.
fn cgroups(world: &World) -> Vec<PathBuf> {
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&std::fs::read(path).ok()?).ok();
    let records = records(world).into_iter().filter_map(read);
    records.filter_map(|record| record["cgroup"].as_str().map(PathBuf::from)).collect()
}

/// Waits until the end of a ghost was told so often, and nothing of it is left.
#[track_caller]
fn wait_gone(world: &World, service: &str, count: usize, cgroups: &[PathBuf]) -> Vec<Value> {
    let told = world.wait_events(service, "ghost_gone", count);
    until("its cgroup is gone", || cgroups.iter().all(|folder| !folder.exists()).then_some(()));
    told
}

/// The PIDs of the ghosts of `a`.
fn ghosts(world: &World) -> Vec<Value> {
    ghosts_of(&world.service("a"))
}

fn ghosts_of(service: &Value) -> Vec<Value> {
    let ghosts = service["ghosts"].as_array().cloned().unwrap_or_default();
    ghosts
        .iter()
        .flat_map(|ghost| ghost["processes"].as_array().cloned().unwrap_or_default())
        .map(|one| one["pid"].clone())
        .collect()
}

/// The whole way: a stop that ends with a ghost, a successor on its port, a daemon that dies, and the end of the ghost.
#[test]
fn a_successor_runs_on_the_port_of_a_ghost() {
    let Some(root) = freezer("a_successor_runs_on_the_port_of_a_ghost") else { return };
    let (world, port) = (World::new(), free_port());
    let pid = server(&world, port);
    world.vigie(&["quarantine", "a", "--yes"]).run().code(1).says("no ghost");
    let frozen = Frozen::new(root, pid);
    let stopped = world.vigie(&["stop", "a", "--yes"]).run().code(6);
    for named in [&pid.to_string()[..], "vigie why demo/a", "vigie quarantine demo/a"] {
        assert!(stopped.errors().contains(named), "{named}: {stopped}");
    }
    let service = world.service("a");
    assert_eq!((&service["state"], &service["run"]["left"][0]["pid"]), (&json!("ghost"), &json!(pid)), "{service:#}");
    assert_eq!(service["run"]["left"][0]["kill_pending"], true);
    assert_eq!(service["run"]["ports"], json!([format!("127.0.0.1:{port}/tcp")]), "what it holds is named");
    let finding = &service["findings"][0];
    assert_eq!((&finding["kind"], &finding["pids"]), (&json!("ghost"), &json!([pid])), "{service:#}");
    let evidence = finding["evidence"].to_string();
    assert!(evidence.contains("lock") && evidence.contains(&format!("127.0.0.1:{port}/tcp is held")), "{evidence}");

    // The next daemon knows it as well.
    world.daemon().kill();
    world.vigie(&["stop", "a", "--yes"]).run().code(6);
    let service = world.service("a");
    assert_eq!((&service["state"], &service["run"]["left"][0]["pid"]), (&json!("ghost"), &json!(pid)), "{service:#}");

    // To look changes nothing, and nobody to ask is a no.
    world.vigie(&["quarantine", "a"]).run().code(4);
    let plan = world.vigie(&["quarantine", "a", "--dry-run"]).run().code(0);
    for named in [pid.to_string(), format!("127.0.0.1:{port}/tcp")] {
        assert!(plan.text().contains(&named), "{named}: {plan}");
    }
    assert_eq!((&world.service("a")["state"], records(&world).len()), (&json!("ghost"), 0));

    let done = world.vigie(&["quarantine", "a", "--yes", "--json"]).run().code(0);
    let report: Value = serde_json::from_slice(&done.out).expect("JSON");
    assert_eq!((&report["quarantined"], &report["processes"][0]["pid"]), (&json!(true), &json!(pid)), "{report:#}");
    assert_ne!(report["ports"][0]["bindable"], "no", "{report:#}");
    assert_eq!(report["processes"][0]["verdict"], "frozen", "{report:#}");
    let (before, after) = (report["memory_before"].as_u64(), report["memory_after"].as_u64());
    assert!(before.zip(after).is_some_and(|(before, after)| after < before), "{report:#}");
    let service = world.service("a");
    assert_eq!((&service["state"], &service["run"]), (&json!("stopped"), &Value::Null), "{service:#}");
    assert_eq!((ghosts(&world), records(&world).len()), (vec![json!(pid)], 1));
    assert_eq!(world.events_of("a", "quarantined").len(), 1);
    let text = world.vigie(&["status"]).run().code(0).text();
    assert!(text.contains("ghost of demo/a") && text.contains(&format!("PID {pid}")), "{text}");

    // What was taken back is in nobody's way, and told as what it is.
    let text = world.vigie(&["why", "a"]).run().code(0).text();
    assert!(text.starts_with("demo/a is stopped") && text.contains("was set aside"), "{text}");
    let ports = world.vigie(&["ports"]).run().code(1).text();
    assert!(ports.contains(&format!("PID {pid} is a ghost of demo/a")), "{ports}");
    let found: Value = serde_json::from_slice(&world.vigie(&["doctor", "--json"]).run().out).expect("JSON");
    let kinds: Vec<&Value> = found["findings"].as_array().expect("a list").iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&json!("ghost")), "{found:#}");
    let of_port = |one: &&Value| one["kind"] == "port-taken" && one["service"] == "demo/a";
    assert_eq!(found["findings"].as_array().expect("a list").iter().find(of_port), None);

    // The successor; exactly once all the same, and the ghost is no stray of it.
    world.vigie(&["start", "a"]).run().code(0);
    let successor = world.pid("a");
    assert!(successor != pid && alive(pid) && alive(successor));
    assert_eq!(world.service("a")["run"]["ports"], json!([format!("127.0.0.1:{port}/tcp")]));
    world.vigie(&["start", "a"]).run().code(3);
    let strays = world.vigie(&["strays"]).run().code(0).text();
    assert!(strays.contains(&format!("PID {pid} (demo/a)")), "left out, and not silently: {strays}");
    assert_eq!(world.status()["strays"], json!([]));

    // Nothing of it is in a daemon's memory only.
    world.daemon().kill();
    assert_eq!(ghosts(&world), [json!(pid)], "seen without a daemon");
    world.vigie(&["daemon", "start"]).run().code(0);
    assert_eq!(ghosts(&world), [json!(pid)], "found by the next one");
    assert_eq!(world.pid("a"), successor);

    let folders = cgroups(&world);
    drop(frozen);
    let gone = wait_gone(&world, "a", 1, &folders);
    assert!(gone[0]["data"]["after"].is_string() || gone[0]["text"].as_str().is_some_and(|text| text.contains("late")));
    until("its record is gone", || records(&world).is_empty().then_some(()));
    assert!(!alive(pid));
    assert_eq!((ghosts(&world), world.pid("a")), (vec![], successor), "the successor is another matter");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    assert_eq!(world.events_of("a", "ghost_gone").len(), 1, "told once");
}

/// The keeper of a ghost is killed: the daemon watches, and sets aside in its place.
#[test]
fn a_ghost_without_a_keeper_is_set_aside_and_watched() {
    let Some(root) = freezer("a_ghost_without_a_keeper_is_set_aside_and_watched") else { return };
    let (world, port) = (World::new(), free_port());
    let pid = server(&world, port);
    let frozen = Frozen::new(root, pid);
    world.vigie(&["stop", "a", "--yes"]).run().code(6);
    world.keeper("a").kill();
    world.wait_events("a", "keeper_lost", 1);
    world.wait_state("a", "ghost");
    world.vigie(&["quarantine", "a", "--yes"]).run().code(0);
    assert_eq!(world.events_of("a", "quarantined").len(), 1);
    world.vigie(&["start", "a"]).run().code(0);
    assert!(alive(pid));
    let folders = cgroups(&world);
    drop(frozen);
    wait_gone(&world, "a", 1, &folders);
    assert_eq!(world.service("a")["state"], "ready");
}

/// A ghost whose keeper was killed and that nobody set aside: when it is gone, the service is free.
#[test]
fn a_ghost_without_a_keeper_is_watched() {
    let Some(root) = freezer("a_ghost_without_a_keeper_is_watched") else { return };
    let (world, port) = (World::new(), free_port());
    let pid = server(&world, port);
    let frozen = Frozen::new(root, pid);
    world.vigie(&["stop", "a", "--yes"]).run().code(6);
    world.keeper("a").kill();
    world.wait_events("a", "keeper_lost", 1);
    world.wait_state("a", "ghost");
    drop(frozen);
    world.wait_state("a", "stopped");
    assert_eq!(world.events_of("a", "ghost_gone").len(), 1);
}

/// R8.4: whoever could still act is not set aside, whatever is asked.
#[test]
fn without_a_pending_kill_nothing_is_set_aside() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile ignore-term\"\nready = { log = \"^ready\" }\nstop = [\"TERM 100ms\"]\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    let pid = world.pid("a");
    world.vigie(&["stop", "a", "--yes"]).run().code(5);
    let refused = world.vigie(&["quarantine", "a", "--yes"]).run().code(1);
    assert!(
        refused.errors().contains("KILL is not pending") && refused.errors().contains(&pid.to_string()),
        "{refused}"
    );
    assert_eq!(world.service("a")["state"], "ghost");
    assert!(records(&world).is_empty());
    world.vigie(&["stop", "a", "--yes", "--ladder", "KILL 10s"]).run().code(0);
    world.vigie(&["quarantine", "a", "--yes"]).run().code(8);
}

/// What `vigie run` started and no daemon manages is set aside by its keeper alone.
#[test]
fn a_run_without_a_daemon_is_set_aside() {
    let Some(root) = freezer("a_run_without_a_daemon_is_set_aside") else { return };
    let world = World::new();
    let run = world.run("x", &["wait"]).start();
    run.wait_out("ready");
    // Its keeper writes it down a moment after it began to run.
    let pid = world.wait_service("x", "there", |service| u32::try_from(service["run"]["pid"].as_u64()?).ok());
    let frozen = Frozen::new(root, pid);
    let process = Process::open(pid, |_| true).expect("it lives");
    run.signal(Signal::TERM);
    world.vigie(&["stop", "x", "--yes", "--ladder", "KILL 300ms"]).run().code(6);
    world.vigie(&["run", "-n", "x", "--", "true"]).run().code(3);
    world.vigie(&["quarantine", "x", "--yes"]).run().code(0);
    world.vigie(&["run", "-n", "x", "--", "true"]).run().code(0);
    assert_eq!(records(&world).len(), 1);
    let folders = cgroups(&world);
    drop(frozen);
    assert!(process.ended_within(LONG));
    // No daemon watched: the next one tells it.
    world.vigie(&["daemon", "start"]).run().code(0);
    assert_eq!(wait_gone(&world, "x", 1, &folders).len(), 1);
    until("its record is gone", || records(&world).is_empty().then_some(()));
}

/// R4.7: a ghost of another boot ended with it. The daemon that begins says so, once, and its record goes.
#[test]
fn a_new_boot_closes_a_ghost() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["daemon", "start"]).run().code(0);
    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    let process = json!({"boot_id": "0", "pid": std::process::id(), "start_ticks": 3});
    let origin = json!({"uid": 0, "user": null, "terminal": null, "pid": 5, "cwd": "/"});
    let record = json!({
        "version": 1,
        "holder": {
            "run": "00000000000000aa",
            "key": {"scope": "project", "dir": world.project(), "service": "a"},
            "project": "demo", "mode": null, "keeper": process, "main": process, "since": 4, "origin": origin,
        },
        "containment": null, "cgroup": null, "exit": null,
        "left": [{"process": process, "name": "dd", "state": "D", "kill_pending": true}],
        "stuck": null, "quarantined": [1, 2],
    });
    let dir = world.home().join("run/ghosts");
    std::fs::create_dir_all(&dir).expect("a folder");
    std::fs::write(dir.join("00000000000000aa.json"), record.to_string()).expect("a file");
    assert_eq!(ghosts(&world), [] as [Value; 0], "nobody of another boot is alive");
    world.vigie(&["daemon", "start"]).run().code(0);
    let gone = world.wait_events("a", "ghost_gone", 1);
    assert!(gone[0]["text"].as_str().is_some_and(|text| text.contains("the machine was restarted")), "{gone:?}");
    until("its record is gone", || records(&world).is_empty().then_some(()));
    world.daemon().kill();
    world.vigie(&["daemon", "start"]).run().code(0);
    assert_eq!(world.events_of("a", "ghost_gone").len(), 1, "told once");
}

/// The whole story: a service writes to a file whose server has stopped answering, and holds 500 MB, a port of TCP and one
/// of UDP. No signal ends it; its successor gets what it needs; and when the server is gone, so is the ghost.
#[test]
fn a_hung_write_keeps_no_successor_from_its_ports() {
    const MEMORY: u64 = 500_000_000;
    let test = "a_hung_write_keeps_no_successor_from_its_ports";
    if !is_root() {
        return skip(test, "needs root, to mount a file system of FUSE");
    }
    let (world, tcp, udp) = (World::new(), free_port(), free_port());
    let Some(mut server) = Server::start() else { return skip(test, "the kernel has no FUSE") };
    let stuck = format!(
        "{} fuse-holder --in {} --memory 500MB --tcp {tcp} --udp {udp}",
        program("stuck").display(),
        server.pid
    );
    world.manifest(&format!(
        "[service.a]\ncommand = [\"sh\", \"-c\", \"test -e @world/again && exec @hostile listen {tcp}; exec {stuck}\"]\n\
         ports = [\"127.0.0.1:{tcp}\", \"127.0.0.1:{udp}/udp\"]\nready = {{ log = \"^ready\" }}\n\
         stop = [\"TERM 200ms\", \"KILL 500ms\"]\n"
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let pid = world.pid("a");
    // It says that it is ready before it writes.
    server.has_taken();
    let stopped = world.vigie(&["stop", "a", "--yes"]).run().code(6);
    assert!(stopped.errors().contains(&pid.to_string()) && stopped.errors().contains("FUSE"), "{stopped}");

    let done = world.vigie(&["quarantine", "a", "--yes", "--json"]).run().code(0);
    let report: Value = serde_json::from_slice(&done.out).expect("JSON");
    let bindable = |place: usize| report["ports"][place]["bindable"].as_str().unwrap_or("not said").to_owned();
    assert!(["plainly", "with-reuse"].contains(&&*bindable(0)), "{report:#}");
    assert!(["plainly", "with-reuse"].contains(&&*bindable(1)), "{report:#}");
    let (before, after) = (report["memory_before"].as_u64(), report["memory_after"].as_u64());
    let freed = before.zip(after).map(|(before, after)| before - after);
    assert!(freed.is_some_and(|freed| freed > MEMORY * 9 / 10), "{report:#}");

    std::fs::write(world.path("again"), "").expect("a file");
    world.vigie(&["start", "a"]).run().code(0);
    assert_eq!(world.service("a")["state"], "ready", "on the same port");
    std::net::TcpStream::connect(("127.0.0.1", tcp)).expect("the successor answers");
    assert!(alive(pid));
    assert_eq!(ghosts(&world), [json!(pid)]);

    let folders = cgroups(&world);
    drop(server);
    wait_gone(&world, "a", 1, &folders);
    assert!(!alive(pid));
    assert_eq!((ghosts(&world), &world.service("a")["state"]), (vec![], &json!("ready")));
}

/// What needs no root: an ordinary user takes back what his own ghost holds.
#[test]
fn an_ordinary_user_takes_back_his_own() {
    let Some(root) = freezer("an_ordinary_user_takes_back_his_own") else { return };
    let (world, port) = (World::unprivileged(), free_port());
    let pid = server(&world, port);
    let frozen = Frozen::new(root, pid);
    world.vigie(&["stop", "a", "--yes"]).run().code(6);
    let done = world.vigie(&["quarantine", "a", "--yes"]).run().code(0);
    assert!(done.text().contains("taken back"), "{done}");
    world.vigie(&["start", "a"]).run().code(0);
    assert_eq!((ghosts(&world), alive(pid)), (vec![json!(pid)], true));
    let folders = cgroups(&world);
    drop(frozen);
    wait_gone(&world, "a", 1, &folders);
    assert_eq!(world.service("a")["state"], "ready");
}

/// Keeper and daemon are killed at any moment of a quarantine: afterwards the run is a ghost, or a ghost on record, and
/// never both or neither; asked again, it is set aside; its end is told once.
#[test]
fn a_death_at_any_moment_confuses_nothing() {
    const ROUNDS: usize = 8;
    let Some(root) = freezer("a_death_at_any_moment_confuses_nothing") else { return };
    let (world, port) = (World::new(), free_port());
    server(&world, port);
    for round in 0..ROUNDS {
        let pid = world.pid("a");
        let frozen = Frozen::new(root, pid);
        world.vigie(&["stop", "a", "--yes"]).run().code(6);
        let (keeper, daemon) = (world.keeper("a"), world.daemon());
        let asked = world.vigie(&["quarantine", "a", "--yes"]).start();
        // At another moment each time; a debug build takes some tens of milliseconds for all of it.
        assert!(!daemon.ended_within(Duration::from_millis(round as u64 * 12)), "nobody has killed it yet");
        if round % 3 != 0 {
            keeper.kill();
        }
        if round % 3 != 1 {
            daemon.kill();
        }
        asked.finish();
        until("it is set aside", || {
            let again = world.vigie(&["quarantine", "a", "--yes"]).run();
            // Of one look: what an earlier daemon was asked for may go on between two.
            let service = world.service("a");
            let (on_record, state) = (ghosts_of(&service) == [json!(pid)], service["state"].clone());
            assert!(
                alive(pid) && (state != "stopped" || on_record),
                "round {round}: {state} {again}\n{}",
                world.story()
            );
            (state == "stopped").then_some(())
        });
        world.vigie(&["start", "a"]).run().code(0);
        assert!(alive(pid) && world.pid("a") != pid);
        assert_eq!((ghosts(&world), records(&world).len()), (vec![json!(pid)], 1), "round {round}");
        let folders = cgroups(&world);
        drop(frozen);
        wait_gone(&world, "a", round + 1, &folders);
        until("its record is gone", || records(&world).is_empty().then_some(()));
    }
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    assert_eq!(world.events_of("a", "ghost_gone").len(), ROUNDS, "each told once:\n{}", world.story());
}
