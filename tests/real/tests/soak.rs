//! Cycles of start and stop, and what is left after each (R5.7).

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use vigie_real_tests::{Done, World, program, until};

const READY: &str = "ready = { log = \"^ready\", within = \"30s\" }\n";

/// The report of `vigie soak --json`.
#[track_caller]
fn report(done: &Done) -> Value {
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// The kinds of what was left.
fn kinds(report: &Value) -> Vec<&str> {
    let left = report["leftovers"].as_array().expect("a list");
    left.iter().map(|left| left["kind"].as_str().expect("a name")).collect()
}

/// The numbers of System V objects in `/proc/sysvipc/FILE` that have this in a column.
fn ids(file: &str, column: usize, value: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new("/proc/sysvipc").join(file)).unwrap_or_default();
    let fields = text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields.get(column) == Some(&value)).map(|fields| fields[1].to_owned()).collect()
}

/// Takes away what a leaking program has left, whatever becomes of the test.
struct Ipc {
    what: &'static str,
    file: &'static str,
    column: usize,
    value: String,
}

impl Ipc {
    /// Segments of a size that nobody else's have.
    fn memory(number: u32) -> Self {
        let value = (4096 * 7 + std::process::id() % 100_000 + number * 100_000).to_string();
        Self { what: "shm", file: "shm", column: 3, value }
    }

    /// By a key that nobody else uses.
    fn keyed(what: &'static str, file: &'static str, number: u32) -> Self {
        Self {
            what,
            file,
            column: 0,
            value: (1_442_840_576 + std::process::id() % 1_000_000 + number * 1_000_000).to_string(),
        }
    }

    fn ids(&self) -> Vec<String> {
        ids(self.file, self.column, &self.value)
    }
}

impl Drop for Ipc {
    fn drop(&mut self) {
        for id in self.ids() {
            let _ = std::process::Command::new(program("hostile")).args(["remove-ipc", self.what, &id]).status();
        }
    }
}

/// A service that leaves nothing, with cgroups and without; and vigie itself does not grow.
#[test]
fn an_obedient_service_leaves_nothing() {
    for world in [World::new(), World::unprivileged()] {
        world.manifest(&format!("[service.a]\ncommand = \"@hostile wait\"\n{READY}"));
        let done = world.vigie(&["soak", "a", "--cycles", "25", "--json"]).run().code(0);
        let report = report(&done);
        assert_eq!(
            (&report["schema"], &report["cycles"], &report["done"]),
            (&1.into(), &25.into(), &25.into()),
            "{done}"
        );
        assert_eq!(
            (&report["clean"], &report["ended"], &report["code"]),
            (&true.into(), &Value::Null, &0.into()),
            "{done}"
        );
        for list in ["leftovers", "unseen"] {
            assert_eq!(report[list], serde_json::json!([]), "{done}");
        }
        for step in ["start", "ready", "stop"] {
            let times = &report["times"][step];
            let [p50, p99, max] = ["p50_ms", "p99_ms", "max_ms"].map(|name| times[name].as_f64().expect("measured"));
            assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{done}");
        }
        let times = &report["times"];
        assert!(times["start"]["p50_ms"].as_f64() <= times["ready"]["p50_ms"].as_f64(), "{done}");
        let vigie = report["vigie"].as_array().expect("a list");
        for process in ["daemon", "keeper"] {
            let own = vigie.iter().find(|own| own["process"] == process).unwrap_or_else(|| panic!("{process}: {done}"));
            for value in ["descriptors", "threads", "memory_bytes"] {
                assert!(own[value]["first"].as_u64() > Some(0), "{process} {value}: {done}");
                assert_eq!(own[value]["leaks"], false, "{process} {value}: {done}");
            }
        }
        assert_eq!(world.events_of("a", "started").len(), 25);
        assert_eq!(world.events_of("a", "empty").len(), 25);
        assert_eq!(world.service("a")["state"], "stopped");
    }
}

/// It has no parent, no group, no session and no environment: its cgroup and the keeper find it, and it is told.
#[test]
fn a_child_that_outlives_the_main_process_is_found_in_the_first_cycle() {
    for world in [World::new(), World::unprivileged()] {
        world.manifest(&format!("[service.a]\ncommand = \"@hostile leak child\"\n{READY}"));
        let done = world.vigie(&["soak", "a", "--cycles", "500", "--json"]).run().code(1);
        let report = report(&done);
        assert_eq!((&report["done"], &report["ended"]), (&1.into(), &"leftover".into()), "{done}");
        assert_eq!(kinds(&report), ["orphan"], "{done}");
        let left = &report["leftovers"][0];
        assert_eq!((&left["name"], &left["first_cycle"]), (&"hostile".into(), &1.into()), "{done}");
        assert!(left["detail"].as_str().is_some_and(|detail| detail.starts_with("hostile (PID ")), "{done}");
    }
}

#[test]
fn a_shared_memory_segment_is_found_in_the_first_cycle() {
    let world = World::new();
    let mine = Ipc::memory(1);
    world.manifest(&format!("[service.a]\ncommand = \"@hostile leak shm {}\"\n{READY}", mine.value));
    let done = world.vigie(&["soak", "a", "--cycles", "500"]).run().code(1);
    let ids = mine.ids();
    assert_eq!(ids.len(), 1, "{done}");
    let text = done.text();
    let name = format!("shared-memory segment of {} bytes by hostile: first in cycle 1\n", mine.value);
    assert!(text.contains(&name) && text.contains(&format!("taken away by: ipcrm -m {}\n", ids[0])), "{done}");
    assert!(text.starts_with("demo/a: 1 of 500 cycles\n"), "{done}");
}

/// With `--keep-going` the same thing is one entry, counted. What is there already is nobody's fault.
#[test]
fn leftovers_are_counted_by_name() {
    let world = World::new();
    let (mine, others) = (Ipc::memory(2), Ipc::memory(3));
    let other = world.stranger(&["leak", "shm", &others.value]).start();
    until("another program has a segment", || (others.ids().len() == 1).then_some(()));
    world.manifest(&format!("[service.a]\ncommand = \"@hostile leak shm {}\"\n{READY}", mine.value));
    let done = world.vigie(&["soak", "a", "-n", "4", "--keep-going", "--json"]).run().code(1);
    other.kill();
    let report = report(&done);
    assert_eq!(
        (&report["done"], &report["ended"], &report["clean"]),
        (&4.into(), &Value::Null, &false.into()),
        "{done}"
    );
    assert_eq!(kinds(&report), ["shared-memory"], "{done}");
    let left = &report["leftovers"][0];
    assert_eq!((&left["first_cycle"], &left["cycles"], &left["count"]), (&1.into(), &4.into(), &4.into()), "{done}");
    assert_eq!(mine.ids().len(), 4);
}

/// Its maker ends before anybody can see it, so the kernel ties it to nobody; but it comes with every cycle.
#[test]
fn what_a_helper_leaves_is_told_once_it_is_no_chance() {
    let world = World::new();
    let mine = Ipc::memory(4);
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile leak-and-go {}; exec @hostile wait\"\nshell = true\n{READY}",
        mine.value
    ));
    let done = world.vigie(&["soak", "a", "-n", "3", "--json"]).run().code(0);
    let few = report(&done);
    let unclear = few["unclear"].as_array().expect("a list");
    let size = format!(" of {} bytes", mine.value);
    let own = unclear.iter().find(|left| left["name"].as_str().is_some_and(|name| name.ends_with(&size)));
    assert_eq!((own.map(|own| &own["count"]), &few["clean"]), (Some(&3.into()), &true.into()), "{done}");
    let done = world.vigie(&["soak", "a", "-n", "10", "--json"]).run().code(1);
    let many = report(&done);
    assert_eq!(
        (kinds(&many), &many["done"], &many["clean"]),
        (vec!["shared-memory"], &10.into(), &false.into()),
        "{done}"
    );
    assert_eq!(many["leftovers"][0]["count"], 10, "{done}");
}

/// Each kind by its name, in the first cycle.
#[test]
fn everything_else_that_outlives_its_maker() {
    let world = World::new();
    let (semaphores, queue) = (Ipc::keyed("semaphore", "sem", 1), Ipc::keyed("queue", "msg", 2));
    // Removed at the end of the test by its name, whoever has made it then.
    let posix = tempfile::Builder::new().prefix("vigie-soak-").tempfile_in("/dev/shm").expect("a file in memory");
    let path = posix.path().to_owned();
    std::fs::remove_file(&path).expect("ours");
    let socket = world.path("left.sock");
    for (mode, kind, name) in [
        (format!("leak semaphore {}", semaphores.value), "semaphores", "set of semaphores by hostile".to_owned()),
        (format!("leak queue {}", queue.value), "message-queue", "message queue of 8 bytes by hostile".to_owned()),
        (format!("leak posix {}", path.display()), "posix-memory", path.display().to_string()),
        (format!("listen-unix {}", socket.display()), "socket-file", socket.display().to_string()),
    ] {
        world.manifest(&format!("[service.a]\ncommand = \"@hostile {mode}\"\n{READY}"));
        let done = world.vigie(&["soak", "a", "-n", "3", "--json"]).run().code(1);
        let report = report(&done);
        assert_eq!(kinds(&report), [kind], "{done}");
        assert_eq!((&report["leftovers"][0]["name"], &report["done"]), (&name.into(), &1.into()), "{done}");
    }
}

/// It ends processes, so it asks; it does not stop in silence what somebody uses (R3.2).
#[test]
fn a_service_that_runs_is_stopped_only_when_that_is_agreed_to() {
    let world = World::new();
    world.manifest(&format!("[service.a]\ncommand = \"@hostile wait\"\n{READY}"));
    world.vigie(&["start", "a"]).run().code(0);
    let pid = world.pid("a");
    world.vigie(&["soak", "a", "-n", "2"]).run().code(4).says("--yes");
    assert_eq!(world.pid("a"), pid, "it was touched");
    world.vigie(&["soak", "a", "-n", "2", "--yes"]).run().code(0);
    assert_eq!(world.service("a")["state"], "stopped");
    assert_eq!(world.events_of("a", "started").len(), 3);
}

/// A claim that another program holds is dealt with before the first cycle, as `up` does it.
#[test]
fn a_stranger_on_its_port_is_told_before_the_first_cycle() {
    let world = World::new();
    let stranger = world.stranger(&["listen", "0"]).start();
    let port = stranger.wait_out("ready ").split_whitespace().last().expect("a port").to_owned();
    world.manifest(&format!("[service.a]\ncommand = \"@hostile listen {port}\"\nports = [{port}]\n{READY}"));
    world.vigie(&["soak", "a", "-n", "2"]).run().code(3).says(&port);
    assert_eq!(world.events_of("a", "started").len(), 0);
    stranger.kill();
}

#[test]
fn one_that_ends_by_itself_or_does_not_get_ready_ends_the_soak() {
    let world = World::new();
    world.manifest(
        "[service.short]\ncommand = \"@hostile life 1 2000 7\"\nrestart = { when = \"never\" }\n\
         [service.never]\ncommand = \"@hostile wait\"\nready = { log = \"no such line\", within = \"200ms\" }\n\
         restart = { when = \"never\" }\n[service.task]\ncommand = \"@hostile exit 0\"\nkind = \"task\"\n",
    );
    let done = world.vigie(&["soak", "short", "-n", "3", "--run", "4s", "--json"]).run().code(1);
    let short = report(&done);
    assert_eq!((&short["ended"], &short["done"]), (&"failed".into(), &0.into()), "{done}");
    assert!(short["why"].as_str().is_some_and(|why| why.contains("ended by itself: exited with code 7")), "{done}");
    let done = world.vigie(&["soak", "never", "-n", "3", "--json"]).run().code(1);
    let never = report(&done);
    assert_eq!((&never["ended"], &never["times"]["ready"]), (&"failed".into(), &Value::Null), "{done}");
    assert!(never["why"].as_str().is_some_and(|why| why.starts_with("cycle 1: it did not become ready")), "{done}");
    world.vigie(&["soak", "task", "-n", "3"]).run().code(2).says("is a task");
    world.vigie(&["soak", "unknown", "-n", "3"]).run().code(2).says("unknown");
    assert!(world.status()["services"].as_array().expect("a list").iter().all(|service| service["run"].is_null()));
}

/// A cycle is one start: the restarts, here three hours of them, are not waited for.
#[test]
fn one_that_would_be_started_again_ends_the_soak_at_once() {
    let world = World::new();
    let again = "restart = { when = \"always\", delay = \"1h\", max_delay = \"1h\", attempts = 3 }";
    world.manifest(&format!(
        "[service.crash]\ncommand = \"@hostile exit 7\"\n{READY}{again}\n\
         [service.absent]\ncommand = \"./no-such-program\"\n{READY}{again}\n"
    ));
    for (name, why) in [("crash", "exited with code 7"), ("absent", "no-such-program")] {
        let done = world.vigie(&["soak", name, "-n", "3", "--json"]).run().code(1);
        let report = report(&done);
        assert_eq!((&report["ended"], &report["done"]), (&"failed".into(), &0.into()), "{done}");
        assert!(report["why"].as_str().is_some_and(|text| text.contains(why)), "{done}");
        assert_eq!(world.service(name)["state"], "stopped", "{done}");
    }
    assert_eq!(world.events_of("crash", "started").len(), 1);
}

/// Ctrl-C: the cycle is ended in order, the report tells of those before.
#[test]
fn an_interrupt_ends_the_cycle_in_order() {
    let world = World::new();
    world.manifest(&format!("[service.a]\ncommand = \"@hostile wait\"\n{READY}"));
    for signal in [Signal::INT, Signal::TERM] {
        let soak = world.vigie(&["soak", "a", "-n", "2", "--run", "1h", "--json"]).start();
        world.wait_state("a", "ready");
        soak.signal(signal);
        let done = soak.finish().code(1);
        let report = report(&done);
        assert_eq!((&report["ended"], &report["clean"]), (&"interrupted".into(), &true.into()), "{done}");
        assert_eq!(world.service("a")["state"], "stopped", "{done}");
    }
}

/// What it depends on runs through all cycles, and is stopped at the end unless it ran before.
#[test]
fn what_it_depends_on_is_no_part_of_a_cycle() {
    let world = World::new();
    world.manifest(&format!(
        "[service.db]\ncommand = \"@hostile wait\"\n{READY}\
         [service.a]\ncommand = \"@hostile wait\"\nafter = {{ db = \"ready\" }}\n{READY}"
    ));
    world.vigie(&["soak", "a", "-n", "3"]).run().code(0);
    assert_eq!((world.events_of("db", "started").len(), world.events_of("a", "started").len()), (1, 3));
    assert_eq!(world.service("db")["state"], "stopped");
    world.vigie(&["start", "db"]).run().code(0);
    world.vigie(&["soak", "a", "-n", "2"]).run().code(0);
    assert_eq!(world.service("db")["state"], "ready");
}

#[test]
fn progress_is_shown_at_a_terminal() {
    let world = World::new();
    world.manifest(&format!("[service.a]\ncommand = \"@hostile wait\"\n{READY}"));
    let mut terminal = world.terminal(&["soak", "a", "-n", "3"]);
    terminal.wait_for_prompt("cycle 3 of 3", 1);
    terminal.wait_for("3 of 3 cycles");
    assert!(terminal.finish().success());
}
