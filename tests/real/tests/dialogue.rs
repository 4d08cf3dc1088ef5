//! What is in the way of a start (R4.4): asked about at a terminal; elsewhere a flag decides, or it is refused by name.

use std::net::{Ipv4Addr, TcpStream};

use rustix::process::Signal;
use vigie_real_tests::{Running, World, alive, free_port};

/// A robot with two modes, and a copy of it that was started by hand.
fn robot() -> (World, Running) {
    let world = World::new();
    world.manifest(
        "[service.robot]\ncommand = \"@hostile tick 50\"\nready = { log = \"^tick\" }\nstop = [\"TERM 1s\", \"KILL 5s\"]\n\
         [service.robot.mode.graphical]\n[service.robot.mode.headless]\nargs = [\"--headless\"]\n",
    );
    let copy = world.stranger(&["tick", "50"]).start();
    copy.wait_out("tick");
    (world, copy)
}

/// R4.4: Enter is no; the evidence comes first.
#[test]
fn a_dialogue_with_every_answer() {
    let (world, mut copy) = robot();
    let up = ["up", "-d", "robot:headless"];
    for no in ["\n", "3\n", "y\n", "\u{4}"] {
        let mut terminal = world.terminal(&up);
        terminal.wait_for("demo/robot: same executable");
        terminal.wait_for_prompt("Which? [3]", 1);
        assert!(terminal.screen().contains(&copy.pid().to_string()), "{}", terminal.screen());
        terminal.type_in(no);
        assert_eq!(terminal.finish().code(), Some(3), "{no:?}: {}", terminal.screen());
        assert!(!copy.is_over());
    }
    assert!(world.service_dir("robot").is_none(), "nothing was started");

    let mut terminal = world.terminal(&up);
    terminal.wait_for_prompt("Which? [3]", 1);
    terminal.type_in("2\n");
    assert_eq!(terminal.finish().code(), Some(0), "{}", terminal.screen());
    let service = world.service("robot");
    assert_eq!((&service["run"]["pid"], &service["run"]["adopted"]), (&copy.pid().into(), &true.into()), "{service:#}");
    world.vigie(&["stop", "robot", "--yes"]).run().code(0);
    copy.finish();

    let copy = world.stranger(&["tick", "50"]).start();
    copy.wait_out("tick");
    let mut terminal = world.terminal(&up);
    terminal.wait_for_prompt("Which? [3]", 1);
    terminal.type_in("1\n");
    assert_eq!(terminal.finish().code(), Some(0), "{}", terminal.screen());
    assert_eq!(copy.finish().signal(), Some(Signal::TERM.as_raw()));
    let service = world.wait_state("robot", "ready");
    assert_eq!((&service["mode"], &service["run"]["adopted"]), (&"headless".into(), &false.into()), "{service:#}");
    world.vigie(&["stop", "robot", "--yes"]).run().code(0);
}

/// In the foreground the adopted one is tied to the terminal as any other.
#[test]
fn an_adopted_run_in_the_foreground() {
    let (world, copy) = robot();
    let mut terminal = world.terminal(&["up", "robot"]);
    terminal.wait_for_prompt("Which? [3]", 1);
    terminal.type_in("2\n");
    terminal.wait_for("adopted PID");
    terminal.type_in("\u{3}");
    terminal.finish();
    assert_eq!(copy.finish().signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn without_a_terminal_a_flag_decides() {
    let (world, mut copy) = robot();
    let refused = world.vigie(&["up", "-d"]).run().code(3);
    for text in [&format!("PID {}", copy.pid()), "--replace", "--adopt", "--keep", "same executable"] {
        assert!(refused.errors().contains(text), "{text}: {refused}");
    }
    world.vigie(&["start", "robot"]).run().code(3);
    world.vigie(&["up", "-d", "--replace", "--keep"]).run().code(2);
    assert!(!copy.is_over());

    world.vigie(&["up", "-d", "--keep"]).run().code(0);
    let beside = world.pid("robot");
    assert!(!copy.is_over() && beside != copy.pid());
    world.vigie(&["stop", "robot", "--yes"]).run().code(0);
    assert!(!copy.is_over(), "it is nobody's");

    world.vigie(&["start", "robot", "--adopt"]).run().code(0);
    assert_eq!(world.pid("robot"), copy.pid());
    world.vigie(&["stop", "robot", "--yes"]).run().code(0);
    copy.finish();

    let copy = world.stranger(&["tick", "50"]).start();
    copy.wait_out("tick");
    let done = world.vigie(&["up", "-d", "--replace"]).run().code(0);
    assert!(done.errors().contains(&format!("PID {}", copy.pid())), "it is shown what ends: {done}");
    copy.finish();
    // Nothing is in the way any more: the flag changes nothing.
    world.vigie(&["up", "-d", "--replace"]).run().code(3);
    world.vigie(&["stop", "robot", "--yes"]).run().code(0);
}

/// The holder of a claimed port is no copy: it is named, replaced when that is asked for, and its client goes on.
#[test]
fn a_stranger_on_the_port() {
    let port = free_port();
    let world = World::new();
    world.manifest(&format!(
        "[service.web]\ncommand = \"@hostile listen {port} http\"\nports = [\"127.0.0.1:{port}\"]\n\
         ready = {{ tcp = \"127.0.0.1:{port}\" }}\n"
    ));
    let text = port.to_string();
    let mut stranger = world.stranger(&["listen", &text]).within(&world.path("")).start();
    stranger.wait_out("ready");
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    let held = format!("port 127.0.0.1:{port}/tcp is held by PID {}", stranger.pid());
    world.vigie(&["up", "-d"]).run().code(3).says(&held);
    world.vigie(&["up", "-d", "--keep"]).run().code(3).says(&held);
    world.vigie(&["up", "-d", "--adopt"]).run().code(3).says("--as web");
    world.run("x", &["exit", "0"]).run().code(0);
    let guard = ["run", "-n", "y", "--port", &text, "--"];
    world.vigie(&[&guard[..], &["true"]].concat()).run().code(3).says(&held[held.find("is held").expect("words")..]);
    assert!(!stranger.is_over());
    world.vigie(&["up", "-d", "--replace"]).run().code(0);
    stranger.finish();
    drop(client);
    world.wait_state("web", "ready");
    world.vigie(&["down", "--yes"]).run().code(0);
}

/// One dialogue for all that are to be started.
#[test]
fn several_services_are_one_question() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile wait\"\n[service.b]\ncommand = \"@hostile tick 50\"\n\
         [service.c]\ncommand = \"@hostile ignore-term\"\nstop = [\"KILL 5s\"]\n",
    );
    let copies = [world.stranger(&["wait"]).start(), world.stranger(&["tick", "50"]).start()];
    copies[0].wait_out("ready");
    copies[1].wait_out("tick");
    let mut terminal = world.terminal(&["up", "-d"]);
    terminal.wait_for_prompt("Which? [3]", 1);
    for copy in &copies {
        assert!(terminal.screen().contains(&copy.pid().to_string()), "{}", terminal.screen());
    }
    terminal.type_in("2\n");
    assert_eq!(terminal.finish().code(), Some(0), "{}", terminal.screen());
    for (name, copy) in ["a", "b"].iter().zip(&copies) {
        assert_eq!(world.pid(name), copy.pid());
    }
    assert_eq!(world.service("c")["run"]["adopted"], false);
    world.vigie(&["down", "--yes"]).run().code(0);
}

/// Two projects claim one port: the other one's run is named, and ended only when that is said by itself.
#[test]
fn another_project_has_the_port() {
    let port = free_port();
    let world = World::new();
    let web = format!(
        "[service.web]\ncommand = \"@hostile listen {port} http\"\nports = [{port}]\nready = {{ tcp = \"127.0.0.1:{port}\" }}\n"
    );
    world.manifest(&web);
    let shop = world.path("shop");
    world.write_manifest(&shop, &format!("[project]\nname = \"shop\"\n{web}"));
    world.vigie(&["up", "-d"]).within(&shop).run().code(0);
    let all = world.vigie(&["status", "--json", "--all"]).run().code(0);
    let status: serde_json::Value = serde_json::from_slice(&all.out).expect("JSON");
    let of_shop = |service: &&serde_json::Value| service["project"] == "shop";
    let service = status["services"].as_array().and_then(|all| all.iter().find(of_shop)).expect("it runs");
    let pid = service["run"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("it has a PID");
    world.vigie(&["up", "-d"]).run().code(3).says("is held by PID");
    let refused = world.vigie(&["up", "-d", "--replace"]).run().code(4).says("shop/web");
    assert!(refused.errors().contains("vigie stop shop/web"), "{refused}");
    assert!(alive(pid));
    // At a terminal: the way, and then the run of its own.
    let mut terminal = world.terminal(&["up", "-d"]);
    terminal.wait_for_prompt("Which? [3]", 1);
    terminal.type_in("1\n");
    terminal.wait_for_prompt("Stop shop/web for demo/web", 1);
    terminal.type_in("n\n");
    assert_eq!(terminal.finish().code(), Some(1), "{}", terminal.screen());
    assert!(alive(pid));
    let mut terminal = world.terminal(&["up", "-d", "--replace"]);
    terminal.wait_for_prompt("Stop shop/web for demo/web", 1);
    terminal.type_in("y\n");
    assert_eq!(terminal.finish().code(), Some(0), "{}", terminal.screen());
    assert!(!alive(pid));
    world.vigie(&["down", "--yes"]).run().code(0);
}

/// R4.2: two replace at once. The copy is ended, one wins, the other is refused; what one has started the other does not end.
#[test]
fn two_replace_at_once() {
    for _ in 0..3 {
        let world = World::new();
        let register = world.register("register");
        world.manifest(&format!(
            "[service.a]\ncommand = \"@hostile wait\"\nready = {{ log = \"^ready\" }}\nenv = {{ HOSTILE_REGISTER = \"{}\" }}\n",
            register.display()
        ));
        let copy = world.stranger(&["wait"]).start();
        copy.wait_out("ready");
        let calls: Vec<Running> = (0..2).map(|_| world.vigie(&["up", "-d", "--replace"]).start()).collect();
        let mut codes: Vec<Option<i32>> = calls.into_iter().map(|call| call.finish().status.code()).collect();
        codes.sort();
        assert_eq!(codes, [Some(0), Some(3)], "{}", world.story());
        copy.finish();
        assert_eq!(world.events_of("a", "started").len(), 1, "{}", world.story());
        assert_eq!(world.events_of("a", "exited").len(), 0, "{}", world.story());
        assert!(!register.join("doubles").exists(), "two lived at one time");
        world.vigie(&["down", "--yes"]).run().code(0);
    }
}

/// R4.8: a PID file of an older tool is a hint: what it names is a copy when it is recognised.
#[test]
fn a_pid_file_names_a_copy() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nlegacy_pidfile = \"@world/old.pid\"\n");
    let copy = world.stranger(&["wait"]).start();
    copy.wait_out("ready");
    std::fs::write(world.path("old.pid"), format!("{}\n", copy.pid())).expect("written");
    world.vigie(&["up", "-d"]).run().code(3).says("old.pid");
    world.vigie(&["up", "-d", "--keep"]).run().code(0);
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    world.vigie(&["up", "-d", "--adopt"]).run().code(0);
    assert_eq!(world.pid("a"), copy.pid());
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
}

/// What is to be left alone is in nobody's way.
#[test]
fn an_ignored_copy() {
    let (world, mut copy) = robot();
    world.vigie(&["up", "-d"]).run().code(3);
    world.vigie(&["ignore", &format!("pid:{}", copy.pid())]).run().code(0);
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["down", "--yes"]).run().code(0);
    assert!(!copy.is_over());
}

/// What a keeper that was killed has left behind is no stranger: the next start ends it under the lock, and has its port.
#[test]
fn an_orphan_on_the_own_port() {
    let text = free_port().to_string();
    let world = World::new();
    let run = ["run", "-n", "x", "--port", &text, "--", "@hostile", "listen", &text];
    let first = world.vigie(&run).start();
    first.wait_out("ready");
    let (pid, keeper) = (world.wait_named("x"), world.keeper("x"));
    // The command that is tied to it would end what is left.
    first.stop();
    keeper.kill();
    first.kill();
    assert!(alive(pid), "its processes outlive a keeper");
    let second = world.vigie(&run).start();
    second.wait_out("ready");
    assert!(!alive(pid));
    second.signal(Signal::TERM);
    second.finish().code(128 + 15);
}

/// `run` asks as `up` does, and has no way to adopt.
#[test]
fn a_guard_and_a_copy() {
    let world = World::new();
    let mut copy = world.stranger(&["tick", "50"]).start();
    copy.wait_out("tick");
    let refused = world.run("x", &["tick", "50"]).run().code(3).says(&format!("PID {}", copy.pid()));
    assert!(!refused.errors().contains("--adopt"), "{refused}");
    world.vigie(&["run", "-n", "x", "-E", "0", "--", "@hostile", "tick", "50"]).run().code(0);
    world.vigie(&["run", "-n", "x", "--adopt", "--", "@hostile", "tick", "50"]).run().code(2);
    let mut terminal = world.terminal(&["run", "-n", "x", "--", "@hostile", "tick", "50"]);
    terminal.wait_for_prompt("Which? [3]", 1);
    assert!(!terminal.screen().contains("adopt"), "{}", terminal.screen());
    terminal.type_in("\n");
    assert_eq!(terminal.finish().code(), Some(3), "{}", terminal.screen());
    let beside = world.vigie(&["run", "-n", "x", "--keep", "--", "@hostile", "tick", "50"]).start();
    beside.wait_out("tick");
    beside.signal(Signal::TERM);
    beside.finish().code(128 + 15);
    assert!(!copy.is_over());
    let instead = world.vigie(&["run", "-n", "x", "--replace", "--", "@hostile", "tick", "50"]).start();
    instead.wait_out("tick");
    copy.finish();
    instead.signal(Signal::TERM);
    instead.finish().code(128 + 15);
}

/// R4.4: the port was free when it was looked at, and taken when the service came to bind it. Its end says by whom.
#[test]
fn a_crash_is_explained_by_who_has_the_port() {
    let port = free_port();
    let world = World::new();
    let go = world.path("go");
    world.manifest(&format!(
        "[service.web]\ncommand = \"@hostile listen {port} when {}\"\nports = [\"127.0.0.1:{port}\"]\nrestart = \"never\"\n\
         ready = {{ tcp = \"127.0.0.1:{port}\" }}\n",
        go.display()
    ));
    let up = world.vigie(&["up", "-d"]).start();
    world.wait_state("web", "running");
    let mut taken = world.stranger(&["listen", &port.to_string()]).within(&world.path("")).start();
    taken.wait_out("ready");
    std::fs::write(&go, "").expect("written");
    up.finish().code(1).says(&format!("port 127.0.0.1:{port}/tcp is held by PID {}", taken.pid()));
    let service = world.service("web");
    assert!(service["why"].as_str().is_some_and(|why| why.contains("is held by")), "{service:#}");
    assert_eq!(world.events_of("web", "claim_held").len(), 1, "{}", world.story());
    assert!(!taken.is_over());
    world.vigie(&["down", "--yes"]).run();
}
