//! The daemon may die at any moment (R6.7); looking works without it (R3.3).

use rustix::process::Signal;
use serde_json::Value;
use vigie_real_tests::{World, until};

const THREE: &str = "[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n\
    [service.b]\ncommand = \"@hostile double-fork\"\nready = { log = \"^ready\" }\nstop = [\"TERM 300ms\", \"KILL 5s\"]\n\
    [service.c]\ncommand = \"@hostile tick 20\"\nready = { log = \"^tick\" }\n";

fn identities(status: &Value) -> Vec<(Value, Value, Value)> {
    let services = status["services"].as_array().expect("services");
    services
        .iter()
        .map(|service| (service["service"].clone(), service["run"]["pid"].clone(), service["run"]["id"].clone()))
        .collect()
}

/// The row of the table: daemon killed and started again, 3 of 3, same PIDs.
#[test]
fn three_of_three_are_adopted() {
    let world = World::new();
    world.manifest(THREE);
    world.vigie(&["up", "-d"]).run().code(0);
    let before = world.status();
    for round in 1..=5 {
        world.daemon().kill();
        let alone = world.status();
        assert_eq!(alone["daemon"], Value::Null);
        assert_eq!(identities(&alone), identities(&before), "seen without a daemon");
        for service in alone["services"].as_array().expect("services") {
            assert_eq!((&service["state"], &service["wanted"]), (&"ready".into(), &"up".into()), "{service:#}");
        }
        world.vigie(&["daemon", "start"]).run().code(0);
        world.daemon();
        for name in ["a", "b", "c"] {
            world.wait_state(name, "ready");
            assert_eq!(world.wait_events(name, "adopted", round).len(), round);
            assert_eq!(world.events_of(name, "started").len(), 1);
        }
        assert_eq!(identities(&world.status()), identities(&before), "seen by the next daemon");
    }
    // It supervises them: what crashes is started again.
    let pid = world.pid("a");
    vigie_real_tests::Process::open(pid, |_| true).expect("it lives").kill();
    world.wait_service("a", "another run", |service| {
        (service["state"] == "ready" && service["run"]["pid"] != pid).then_some(())
    });
    world.vigie(&["down", "--yes"]).run().code(0);
}

/// A service that exits 7 while no daemon lives.
#[test]
fn the_end_of_a_service_while_nobody_looks() {
    let world = World::new();
    let go = world.path("go");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile exit-when {} 7 3000\"\nready = {{ log = \"^ready\" }}\nrestart = \"never\"\n",
        go.display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let run = world.service("a")["run"]["id"].clone();
    let ready = world.raw("a").len();
    world.daemon().kill();
    std::fs::write(&go, "").expect("written");
    let service = world.wait_service("a", "over", |service| service["run"].is_null().then(|| service.clone()));
    let check = |service: &Value| {
        let last = &service["last_exit"];
        assert_eq!((&last["code"], &last["run"]), (&7.into(), &run), "{service:#}");
        assert!(last["at"].is_string(), "{service:#}");
    };
    check(&service);
    let lines = |world: &World| {
        let output = world.raw("a");
        assert!(output[ready..] == vigie_hostile::content::lines(0, 300_000, true)[..], "{} bytes", output.len());
    };
    lines(&world);
    world.vigie(&["daemon", "start"]).run().code(0);
    check(&world.wait_state("a", "failed"));
    lines(&world);
    let exited = world.wait_events("a", "exited", 1);
    assert_eq!((exited.len(), &exited[0]["detail"]["exit"]["code"]), (1, &7.into()));
    assert_eq!(world.wait_events("a", "gave_up", 1).len(), 1);
}

/// Its restart is due all the same, and its counter goes on.
#[test]
fn a_crash_while_nobody_looks_is_acted_on_and_counted() {
    let world = World::new();
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile wait\"\nready = {{ log = \"^ready\" }}\n\
         env = {{ HOSTILE_REGISTER = \"{}\" }}\nrestart = {{ delay = \"10ms\", factor = 1, jitter = 0, attempts = 5 }}\n",
        register.display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    for crash in 1..=3 {
        let pid = world.pid("a");
        world.daemon().kill();
        vigie_real_tests::Process::open(pid, |_| true).expect("it lives").kill();
        world.vigie(&["daemon", "start"]).run().code(0);
        world.wait_service("a", "started again", |service| {
            (service["state"] == "ready" && service["restarts"] == crash).then_some(())
        });
    }
    assert!(!register.join("doubles").exists(), "two lived at one time");
    for (kind, count) in [("started", 4), ("exited", 3), ("restart_scheduled", 3)] {
        assert_eq!(world.events_of("a", kind).len(), count, "{kind}:\n{}", world.story());
    }
}

/// The daemon dies while a stop is under way: the keeper climbs on, and what was wanted is remembered.
#[test]
fn a_stop_goes_on_without_the_daemon() {
    let world = World::new();
    let lifeline = world.lifeline();
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile ignore-term\"\nready = {{ log = \"^ready\" }}\nrestart = \"always\"\n\
         stop = [\"TERM 5s\", \"KILL 5s\"]\nenv = {{ HOSTILE_LIFELINE = \"{}\" }}\n",
        lifeline.path().display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let daemon = world.daemon();
    let stop = world.vigie(&["stop", "a", "--yes", "--timeout", "1ms"]).run();
    assert_eq!(stop.status.code(), Some(5), "{stop}");
    daemon.kill();
    lifeline.wait_cut();
    until("the status says it", || {
        let service = world.service("a");
        (service["state"] == "stopped" && service["wanted"] == "down").then_some(())
    });
    world.vigie(&["daemon", "start"]).run().code(0);
    world.daemon();
    assert_eq!(world.service("a")["state"], "stopped", "what was to stop is not started again");
    assert_eq!(world.events_of("a", "started").len(), 1);
}

/// What was never told to it is told to the next one, in the order in which it happened and once.
#[test]
fn looking_works_with_the_daemon_stopped_by_a_signal() {
    let world = World::new();
    world.manifest(THREE);
    world.vigie(&["up", "-d"]).run().code(0);
    let before = world.status();
    let daemon = world.daemon();
    daemon.stop();
    // It has the socket and says nothing: that is said, and the rest is seen without it.
    let done = world.vigie(&["status", "--json"]).run().code(0);
    daemon.signal(Signal::CONT);
    let status: Value = serde_json::from_slice(&done.out).expect("JSON");
    assert_eq!(identities(&status), identities(&before));
    assert!(done.errors().contains("does not answer"), "{done}");
}

/// The runtime folder is deleted under a daemon, and with it its lock: another one starts, and the first one must not start
/// what the second one has started.
#[test]
fn a_daemon_whose_folder_was_deleted_gives_way() {
    let world = World::new();
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile wait\"\nready = {{ log = \"^ready\" }}\n\
         env = {{ HOSTILE_REGISTER = \"{}\" }}\nrestart = {{ when = \"always\", delay = \"20ms\", attempts = 50 }}\n",
        register.display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let first = world.daemon();
    // The daemon puts its socket back as soon as it is gone, which may be before the folder is.
    let run = world.home().join("run");
    vigie_real_tests::until("the folder is gone", || std::fs::remove_dir_all(&run).ok());
    world.vigie(&["daemon", "start"]).run().code(0);
    assert_ne!(world.daemon().pid, first.pid);
    assert!(first.ended_within(vigie_real_tests::LONG), "the first daemon goes on");
    world.wait_state("a", "ready");
    world.vigie(&["down", "--yes"]).run().code(0);
    assert!(!register.join("doubles").exists(), "two ran at once");
}

/// Without its socket nobody could reach a daemon, and no other one could start beside it.
#[test]
fn a_deleted_socket_is_put_back() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let (daemon, service) = (world.daemon().pid, world.pid("a"));
    let socket = world.home().join("run/daemon.sock");
    for _ in 0..3 {
        std::fs::remove_file(&socket).expect("removed");
        until("the socket is there again", || socket.exists().then_some(()));
        assert_eq!((world.daemon().pid, world.pid("a")), (daemon, service));
    }
    world.vigie(&["down", "--yes"]).run().code(0);
}

/// A daemon that a signal has stopped is named by whoever needs it; the last resort does without it.
#[test]
fn a_stopped_daemon_is_named_and_the_last_resort_needs_none() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let daemon = world.daemon();
    daemon.stop();
    let name = format!("PID {}", daemon.pid);
    for args in [&["stop", "a", "--yes"][..], &["daemon", "status"]] {
        world.vigie(args).run().code(9).says(&name);
    }
    let done = world.vigie(&["kill-all", "--yes"]).run().code(0).says("without the daemon");
    assert!(done.text().contains("nothing of this project is left"), "{done}");
    daemon.kill();
}

/// What keepers hold is seen and stopped also when the journal cannot be read, and when it is lost.
#[test]
fn no_journal_hides_what_runs() {
    let world = World::new();
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile wait\"\nready = {{ log = \"^ready\" }}\nenv = {{ HOSTILE_REGISTER = \"{}\" }}\n",
        register.display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let first = world.pid("a");
    world.daemon().kill();
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        std::fs::remove_file(world.home().join("state").join(file)).expect("removed");
    }
    world.vigie(&["daemon", "start"]).run().code(0);
    world.vigie(&["up", "-d"]).run();
    assert_eq!(world.pid("a"), first);
    world.vigie(&["down", "--yes"]).run().code(0);
    assert!(!vigie_real_tests::alive(first), "said to be stopped");

    world.vigie(&["up", "-d"]).run().code(0);
    let second = world.pid("a");
    world.daemon().kill();
    let journal = world.home().join("state/journal.db");
    std::fs::remove_file(&journal).expect("removed");
    std::fs::create_dir(&journal).expect("something that cannot be read");
    assert_eq!(world.pid("a"), second);
    world.vigie(&["down", "--yes"]).run().code(0).says("warning");
    assert!(!vigie_real_tests::alive(second), "said to be stopped");
    assert!(!register.join("doubles").exists(), "two ran at once");
}

/// A keeper that a signal has stopped hears of no stop.
#[test]
fn a_stopped_keeper_goes_on_to_stop_its_service() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let keeper = world.keeper("a");
    keeper.stop();
    world.vigie(&["stop", "a", "--yes"]).run().code(0).says(&format!("PID {}", keeper.pid));
}
