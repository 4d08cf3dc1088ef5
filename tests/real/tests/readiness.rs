//! Readiness and start order (R2.3, R6.4).

use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;
use vigie_real_tests::{World, free_port, is_root};

/// Each probe: not ready before, ready after, and dependents start only then.
#[test]
fn dependents_start_when_it_is_ready() {
    let go = |world: &World| world.path("go");
    type Scene = (&'static str, fn(u16) -> (String, String));
    let scenes: [Scene; 5] = [
        ("tcp", |port| (format!("listen {port} when @world/go"), format!("tcp = \"127.0.0.1:{port}\""))),
        ("http", |port| (format!("listen {port} http when @world/go"), format!("http = \"http://127.0.0.1:{port}/\""))),
        ("log", |port| (format!("listen {port} when @world/go"), "log = \"^ready \\\\d+ listen\"".to_owned())),
        ("exec", |_| ("wait".to_owned(), "exec = [\"test\", \"-e\", \"@world/go\"]".to_owned())),
        ("unix", |_| ("listen-unix @world/socket".to_owned(), "unix = \"@world/socket\"".to_owned())),
    ];
    for (name, scene) in scenes {
        let world = World::new();
        let (mode, probe) = scene(free_port());
        world.manifest(&format!(
            "[service.base]\ncommand = \"@hostile {mode}\"\nready = {{ {probe}, every = \"20ms\" }}\n\
             [service.top]\ncommand = \"@hostile wait\"\nafter = {{ base = \"ready\" }}\n\
             [service.beside]\ncommand = \"@hostile wait\"\nafter = {{ base = \"started\" }}\n"
        ));
        let up = world.vigie(&["up", "-d"]).start();
        if name != "unix" {
            world.wait_state("beside", "running");
            assert_eq!(world.service("base")["state"], "running", "{name}");
            assert_eq!(world.service("top")["state"], "waiting", "{name}");
            std::fs::write(go(&world), "").expect("written");
        }
        up.finish().code(0);
        let status = world.status();
        let states: Vec<&str> = status["services"]
            .as_array()
            .expect("services")
            .iter()
            .filter_map(|service| service["state"].as_str())
            .collect();
        assert_eq!(states, ["ready", "running", "running"], "{name}: base, beside, top");
        let events = world.events();
        let place = |service: &str, kind: &str| {
            events.iter().position(|event| event["service"] == service && event["kind"] == kind)
        };
        assert!(place("base", "ready") < place("top", "started"), "{name}:\n{}", world.story());
        assert_eq!(world.events_of("base", "ready").len(), 1, "{name}");
    }
}

/// R2.3: an answer from somebody else is a finding, and no readiness.
#[test]
fn an_answer_of_another_is_no_readiness() {
    let elsewhere = World::new();
    let impostor = elsewhere.stranger(&["listen", "0", "http"]).start();
    let port = impostor.wait_out(" listen ");
    for probe in [format!("tcp = \"127.0.0.1:{port}\""), format!("http = \"http://127.0.0.1:{port}/\"")] {
        let world = World::new();
        world.manifest(&format!(
            "[service.a]\ncommand = \"@hostile wait\"\nrestart = \"never\"\n\
             ready = {{ {probe}, every = \"20ms\", within = \"3s\", timeout = \"10s\" }}\n"
        ));
        world.vigie(&["up", "-d"]).run().code(1).says("not ready within 3s");
        assert!(world.events_of("a", "ready").is_empty(), "{}", world.story());
        let other = world.wait_events("a", "answered_by_other", 1);
        assert_eq!(other.len(), 1, "told once a run: {other:#?}");
        let who = other[0]["detail"]["who"].as_str().expect("somebody");
        assert!(who.contains(&impostor.pid().to_string()), "it is named: {who}");
        assert_eq!(world.wait_events("a", "not_ready", 1).len(), 1);
    }
}

/// The port is held before the start: refused, with the holder's name, and nothing is spawned (R4.4).
#[test]
fn a_claimed_port_that_another_holds() {
    let port = free_port();
    let impostor = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("nobody has it");
    let world = World::new();
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile listen {port}\"\nports = [\"127.0.0.1:{port}\"]\nready = {{ log = \"^ready\" }}\n\
         env = {{ HOSTILE_REGISTER = \"{}\" }}\n",
        register.display()
    ));
    let done = world.vigie(&["up", "-d"]).run().code(3);
    assert!(done.errors().contains(&port.to_string()), "{done}");
    assert!(!is_root() || done.errors().contains(&std::process::id().to_string()), "{done}");
    assert!(!register.join("starts").exists(), "nothing was spawned");
    drop(impostor);
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["down", "--yes"]).run().code(0);
    // What was not looked at before the request is looked at under the lock.
    let _impostor = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it is free again");
    world.vigie(&["restart", "a", "--yes"]).run().code(3).says(&port.to_string());
    assert_eq!(world.service("a")["state"], "conflict");
    assert_eq!(std::fs::read_to_string(register.join("starts")).map(|text| text.lines().count()).ok(), Some(1));
}

/// A failed dependency stops the chain with the reason.
#[test]
fn a_failed_dependency_stops_the_chain() {
    let world = World::new();
    world.manifest(
        "[service.seed]\nkind = \"task\"\ncommand = \"@hostile exit 9\"\n\
         [service.base]\ncommand = \"@hostile wait\"\nafter = { seed = \"done\" }\n\
         [service.top]\ncommand = \"@hostile wait\"\nafter = { base = \"ready\" }\n\
         [service.beside]\ncommand = \"@hostile wait\"\n",
    );
    let done = world.vigie(&["up", "-d"]).run().code(1);
    assert!(done.errors().contains("seed") && done.errors().contains("exit code 9"), "{done}");
    assert_eq!(world.service("beside")["state"], "running", "what does not depend on it runs");
    for name in ["base", "top"] {
        let service = world.service(name);
        assert!(service["why"].as_str().is_some_and(|why| why.contains("seed") || why.contains("base")), "{service:#}");
        assert!(world.events_of(name, "started").is_empty());
    }
    let told = world.wait_events("base", "dependency_failed", 1);
    assert_eq!((told.len(), &told[0]["detail"]["on"]), (1, &"seed".into()));
}

#[test]
fn a_task_that_is_done_lets_others_start() {
    let world = World::new();
    world.manifest(
        "[service.seed]\nkind = \"task\"\ncommand = \"@hostile life 3 100 0\"\n\
         [service.top]\ncommand = \"@hostile wait\"\nafter = { seed = \"done\" }\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    assert_eq!(world.service("seed")["state"], "done");
    assert_eq!(world.service("top")["state"], "running");
    let events = world.events();
    let place = |service: &str, kind: &str| {
        events.iter().position(|event| event["service"] == service && event["kind"] == kind).expect("it happened")
    };
    assert!(place("seed", "exited") < place("top", "started"));
    // What is done is not done again, unless it is asked for by its name.
    world.vigie(&["stop", "top", "--yes"]).run().code(0);
    world.vigie(&["up", "-d"]).run().code(0);
    assert_eq!(world.events_of("seed", "started").len(), 1);
    world.vigie(&["start", "seed"]).run().code(0);
    assert_eq!(world.events_of("seed", "started").len(), 2);
}

/// `up -d` fails with the reason when it is not ready in time; the run is ended and not left half up.
#[test]
fn not_ready_in_time() {
    let world = World::new();
    let lifeline = world.lifeline();
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile escapee\"\nready = {{ log = \"^never\", within = \"300ms\" }}\nrestart = \"never\"\n\
         stop = [\"TERM 200ms\", \"KILL 5s\"]\nenv = {{ HOSTILE_LIFELINE = \"{}\" }}\n",
        lifeline.path().display()
    ));
    let done = world.vigie(&["up", "-d"]).run().code(1);
    assert!(done.errors().contains("ready"), "{done}");
    lifeline.wait_cut();
    let service = world.wait_state("a", "failed");
    assert!(service["why"].is_string(), "{service:#}");
}

/// `--timeout` of `up`: the honest no, and what was started goes on.
#[test]
fn whoever_waits_may_give_up() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^never\", within = \"1h\" }\n");
    let done = world.vigie(&["up", "-d", "--timeout", "300ms"]).run();
    assert!(matches!(done.status.code(), Some(1 | 5)), "{done}");
    // Whoever gave up may have done so before it was spawned.
    let service = world.wait_state("a", "running");
    assert_eq!(service["wanted"], "up");
}

/// The health probe fails: degraded, then ended and started again as the policy says.
#[test]
fn what_is_not_well_is_started_again() {
    let world = World::new();
    let well = world.path("well");
    std::fs::write(&well, "").expect("written");
    world.manifest(
        "[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n\
         alive = { exec = [\"test\", \"-e\", \"@world/well\"], every = \"30ms\", failures = 3 }\n\
         restart = { delay = \"1ms\", jitter = 0, factor = 1, attempts = 100000 }\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    let run = world.service("a")["run"]["id"].clone();
    std::fs::remove_file(&well).expect("removed");
    world.wait_service("a", "another run", |service| {
        let id = &service["run"]["id"];
        (*id != run && *id != Value::Null).then_some(())
    });
    std::fs::write(&well, "").expect("written");
    let degraded = world.wait_events("a", "degraded", 1);
    assert_eq!(degraded[0]["run"], run);
    assert!(degraded[0]["detail"]["failures"].as_u64().is_some_and(|failures| failures >= 1), "{degraded:#?}");
    world.wait_state("a", "ready");
}

/// Profiles start with their word only.
#[test]
fn profiles() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile wait\"\n[service.b]\ncommand = \"@hostile wait\"\nprofiles = [\"dev\"]\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    assert_eq!(
        (world.service("a")["state"].as_str(), world.service("b")["state"].as_str()),
        (Some("running"), Some("stopped"))
    );
    world.vigie(&["up", "-d", "--profile", "dev"]).run().code(0);
    assert_eq!(world.service("b")["state"], "running");
}
