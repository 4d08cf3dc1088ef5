//! `vigie free` (R7.3): who holds a port is ended by identity, or it is said why that would be wrong; nobody else is touched,
//! and what is called free is free.

use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use vigie_real_tests::{Done, Running, World, free_port, is_root, skip, until};

/// A stranger that holds a port in this way, and the port.
fn hold(world: &World, args: &[&str]) -> (Running, String) {
    let running = world.stranger(&[&["hold"], args].concat()).start();
    let port = running.wait_out("hold ");
    (running, port)
}

/// As root, and as somebody who may look into his own processes only.
fn worlds() -> [World; 2] {
    [World::new(), World::unprivileged()]
}

/// `vigie free ARGS…`
#[track_caller]
fn free(world: &World, args: &[&str], code: i32) -> Done {
    world.vigie(&[&["free"], args].concat()).run().code(code)
}

#[track_caller]
fn said(done: &Done, text: &str) {
    assert!(done.text().contains(text) || done.errors().contains(text), "{text:?} is missing: {done}");
}

/// Nobody holds it: seen by binding it, which is another way than vigie's.
#[track_caller]
fn can_be_bound(port: &str) {
    let port: u16 = port.parse().expect("a port");
    TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|error| panic!("{port}: {error}"));
}

/// A port that nobody had a moment ago.
fn unused() -> String {
    free_port().to_string()
}

fn json(done: &Done) -> Value {
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// Every kind of holder that can be ended, is.
#[test]
fn each_kind_of_holder_is_ended() {
    for world in worlds() {
        for way in ["other-loopback", "v6-only", "dual-stack", "udp", "bound", "thread"] {
            let (mut stranger, port) = hold(&world, &[way]);
            let claim = if way == "udp" { format!("{port}/udp") } else { port.clone() };
            let done = free(&world, &[&claim, "--yes"], 0);
            said(&done, ": free");
            assert!(stranger.is_over(), "{way}: {done}");
            if way != "udp" {
                can_be_bound(&port);
            }
        }
    }
}

/// All processes that have the socket end, and both servers that share a port.
#[test]
fn whoever_has_a_part_of_it_ends() {
    for world in worlds() {
        let (mut parent, port) = hold(&world, &["inherited"]);
        let done = free(&world, &[&port, "--yes"], 0);
        assert!(parent.is_over(), "{done}");
        can_be_bound(&port);

        let (mut first, port) = hold(&world, &["twin", "0"]);
        let (mut second, _) = hold(&world, &["twin", &port]);
        let done = free(&world, &[&port, "--yes"], 0);
        said(&done, "several servers share it");
        assert!(first.is_over() && second.is_over(), "{done}");
    }
}

/// R7.3: a client of the port lives, and so does whoever uses a port as its own end of a connection.
#[test]
fn clients_are_never_touched() {
    for world in worlds() {
        let mut server = world.stranger(&["listen", "0"]).start();
        let port = server.wait_out("listen ");
        let (mut client, own) = hold(&world, &["connection", &port]);
        // The client's own port: explained, and left alone.
        let done = free(&world, &[&own, "--yes"], 1);
        said(&done, "a client is never ended");
        assert!(!client.is_over(), "{done}");
        let done = free(&world, &[&port, "--yes"], 0);
        assert!(server.is_over() && !client.is_over(), "{done}");
    }
}

/// What only the kernel keeps is explained: there is nobody to end, and a server can have the port.
#[test]
fn closed_connections_are_no_holders() {
    let world = World::new();
    let done = world.stranger(&["hold", "time-wait"]).run().code(0);
    let port = done.text().rsplit(' ').next().expect("a port").trim().to_owned();
    let done = free(&world, &[&port], 0);
    said(&done, "SO_REUSEADDR");
    let done = free(&world, &[&port, "--json"], 0);
    assert_eq!(
        (&json(&done)["ports"][0]["before"], &json(&done)["ports"][0]["free"]),
        (&"time-wait".into(), &true.into())
    );
}

/// The ladder: TERM, then KILL for who still has it; and CONT for who is stopped.
#[test]
fn deaf_stopped_and_polite_holders() {
    for world in worlds() {
        let (mut deaf, port) = hold(&world, &["deaf"]);
        let done = free(&world, &[&port, "--yes", "--timeout", "300ms"], 0);
        said(&done, "killed");
        assert!(deaf.is_over(), "{done}");

        let stopped = world.stranger(&["listen", "0"]).start();
        let port = stopped.wait_out("listen ");
        stopped.signal(Signal::STOP);
        let done = free(&world, &[&port, "--yes"], 0);
        assert!(done.took < Duration::from_secs(8), "it was waited for: {done}");
        assert_eq!(stopped.finish().signal(), Some(Signal::TERM.as_raw()));

        // Who gives up its port and goes on, with what it has begun, is let go on.
        let (mut polite, port) = hold(&world, &["drain"]);
        let done = free(&world, &[&port, "--yes", "--timeout", "5s"], 0);
        said(&done, "goes on");
        assert!(!polite.is_over(), "{done}");
        can_be_bound(&port);
    }
}

/// R3.2: nothing is done without a clear yes.
#[test]
fn nothing_without_a_yes() {
    let world = World::new();
    let (mut stranger, port) = hold(&world, &["dual-stack"]);
    let done = free(&world, &[&port, "--dry-run"], 0);
    said(&done, &stranger.pid().to_string());
    free(&world, &[&port], 4).says("--yes");
    let done = free(&world, &[&port, "--json"], 4);
    assert!(done.out.is_empty(), "{done}");
    let mut terminal = world.terminal(&["free", &port]);
    terminal.wait_for_prompt("[y/N]", 1);
    terminal.type_in("n\n");
    assert_eq!(terminal.finish().code(), Some(1));
    assert!(!stranger.is_over());
    let mut terminal = world.terminal(&["free", &port]);
    terminal.wait_for_prompt("[y/N]", 1);
    terminal.type_in("y\n");
    assert_eq!(terminal.finish().code(), Some(0), "{}", terminal.screen());
    until("the stranger has ended", || stranger.is_over().then_some(()));
    free(&world, &[&port], 0);
}

/// R4.6: between the plan and the yes another process took the port. It was not shown, so it is not ended; it is named.
#[test]
fn who_was_not_shown_is_not_ended() {
    let world = World::new();
    let port = unused();
    let first = world.stranger(&["listen", &port]).start();
    first.wait_out("listen ");
    let mut terminal = world.terminal(&["free", &port]);
    terminal.wait_for_prompt("[y/N]", 1);
    first.kill();
    let mut second = world.stranger(&["listen", &port]).start();
    second.wait_out("listen ");
    terminal.type_in("y\n");
    assert_eq!(terminal.finish().code(), Some(5), "{}", terminal.screen());
    assert!(terminal.screen().contains(&format!("PID {}", second.pid())), "{}", terminal.screen());
    assert!(!second.is_over());
}

/// A run of this project is stopped as by `stop`: it stays stopped, whatever its policy.
#[test]
fn a_run_of_this_project_is_stopped() {
    for world in worlds() {
        let port = unused();
        world.manifest(&format!(
            "[service.a]\ncommand = \"@hostile listen {port}\"\nready = {{ log = \"^ready\" }}\nrestart = {{ when = \"always\", delay = \"1ms\" }}\n"
        ));
        world.vigie(&["up", "-d"]).run().code(0);
        let done = free(&world, &[&port, "--dry-run"], 0);
        said(&done, "demo/a");
        let done = free(&world, &[&port, "--yes", "--json"], 0);
        let told = json(&done);
        let step = &told["ports"][0]["steps"][0];
        assert_eq!((&step["what"], &step["service"]), (&"stop".into(), &"demo/a".into()), "{told:#}");
        assert_eq!((&told["ports"][0]["free"], &told["ports"][0]["after"]), (&true.into(), &"free".into()));
        assert_eq!(world.service("a")["state"], "stopped");
        can_be_bound(&port);
        // The same for one that no daemon manages.
        let guard = world.run("b", &["listen", &port]).start();
        guard.wait_out("listen ");
        world.wait_named("b");
        free(&world, &[&port, "--yes"], 0);
        drop(guard.finish());
        can_be_bound(&port);
    }
}

/// A run of another project is named, and takes a consent of its own.
#[test]
fn a_run_of_another_project_is_asked_about_on_its_own() {
    let world = World::new();
    let port = unused();
    let other = world.path("shop");
    world.write_manifest(
        &other,
        &format!("[project]\nname = \"shop\"\n[service.till]\ncommand = \"@hostile listen {port}\"\nready = {{ log = \"^ready\" }}\n"),
    );
    world.vigie(&["up", "-d"]).within(&other).run().code(0);
    let done = free(&world, &[&port, "--yes"], 4);
    said(&done, "shop/till");
    said(&done, "--others");
    assert!(!done.text().contains("PID  USER"), "nothing of it is ended, so it is not on the plan: {done}");
    free(&world, &[&port, "--dry-run"], 4);
    free(&world, &[&port, "--dry-run", "--others"], 0);
    assert_eq!(world.service("till")["state"], "ready");
    let mut terminal = world.terminal(&["free", &port]);
    terminal.wait_for_prompt("of another project? [y/N]", 1);
    terminal.type_in("n\n");
    assert_eq!(terminal.finish().code(), Some(1), "{}", terminal.screen());
    assert_eq!(world.service("till")["state"], "ready");
    free(&world, &[&port, "--yes", "--others"], 0);
    assert_eq!(world.service("till")["state"], "stopped");
    // From its own folder it is no stranger.
    world.vigie(&["up", "-d"]).within(&other).run().code(0);
    world.vigie(&["free", &port, "--yes"]).within(&other).run().code(0);
    assert_eq!(world.service("till")["state"], "stopped");
}

/// What another vigie keeps would be started again: it is named and refused.
#[test]
fn a_run_of_another_vigie_is_refused() {
    let (world, elsewhere) = (World::new(), World::new());
    let run = elsewhere.run("a", &["listen", "0"]).start();
    let port = run.wait_out("listen ");
    elsewhere.wait_named("a");
    let done = free(&world, &[&port, "--yes"], 7);
    said(&done, "a run of another vigie");
    assert_eq!(elsewhere.service("a")["run"]["processes"], 1, "{done}");
    elsewhere.vigie(&["stop", "a", "--yes"]).run().code(0);
    drop(run.finish());
}

/// A shell under `vigie run`: what is started in it can be freed from within, and the shell goes on.
#[test]
fn from_within_a_run() {
    let world = World::new();
    let script = "'@hostile' listen 0 & read port; '@vigie' free $port --yes; echo done $?; read end";
    let vigie = vigie_real_tests::program("vigie");
    let script = script.replace("@vigie", &vigie.display().to_string());
    let mut shell = world.terminal(&["run", "-n", "shell", "--", "sh", "-c", &script]);
    let port = shell.wait_for("listen ");
    shell.type_in(&format!("{port}\n"));
    assert_eq!(shell.wait_for("done "), "0", "{}", shell.screen());
    shell.type_in("\n");
    assert_eq!(shell.finish().code(), Some(0), "{}", shell.screen());
    can_be_bound(&port);
}

/// Whoever started this command is protected; and a port is freed as a whole or left as it is.
#[test]
fn protected_holders_and_halves() {
    let world = World::new();
    let ours =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).expect("a socket");
    rustix::net::sockopt::set_socket_reuseport(&ours, true).expect("ours");
    rustix::net::bind(&ours, &"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address")).expect("bound");
    rustix::net::listen(&ours, 1).expect("listens");
    let address = std::net::SocketAddr::try_from(rustix::net::getsockname(&ours).expect("a name")).expect("an address");
    let port = address.port().to_string();
    let done = free(&world, &[&port, "--yes"], 7);
    said(&done, "protected");
    // As root anybody may share it who says so, too.
    let (mut twin, _) = hold(&world, &["twin", &port]);
    let done = free(&world, &[&port, "--yes"], 7);
    said(&done, "left as it is");
    assert!(!twin.is_over(), "{done}");
}

/// An ordinary user cannot see who it is, and is told what that takes.
#[test]
fn the_port_of_somebody_else() {
    if !is_root() {
        skip("the_port_of_somebody_else", "only root can be two users");
        return;
    }
    let (root, world) = (World::new(), World::unprivileged());
    let mut server = root.stranger(&["listen", "0"]).start();
    let port = server.wait_out("listen ");
    free(&world, &[&port, "--yes"], 7).says("needs root");
    assert!(!server.is_over());
}

/// What would start it again at once ends with it; what is not known as such is found out and named.
#[test]
fn who_starts_it_again() {
    let world = World::new();
    let port = unused();
    let mut shell = world.shell(&format!("while :; do @hostile listen {port}; done")).start();
    shell.wait_out("listen ");
    let done = free(&world, &[&port, "--yes"], 0);
    said(&done, "would start hostile");
    assert!(shell.is_over(), "{done}");
    can_be_bound(&port);

    let script = world.path("again.sh");
    std::fs::write(&script, world.fill(&format!("while :; do @hostile listen {port}; done\n"))).expect("a file");
    let mut shell = world.shell(&format!("exec sh {}", script.display())).start();
    shell.wait_out("listen ");
    let done = free(&world, &[&port, "--yes"], 5);
    said(&done, "not free");
    said(&done, &format!("started by sh (PID {})", shell.pid()));
    assert!(!shell.is_over(), "{done}");
    shell.kill();
    free(&world, &[&port, "--yes"], 0);
}

/// Another network namespace is another machine: nothing is in the way here. Who wants it can have it ended.
#[test]
fn a_holder_in_another_network_namespace() {
    if !is_root() {
        skip("a_holder_in_another_network_namespace", "only root may make one and look into it");
        return;
    }
    let world = World::new();
    let (mut stranger, port) = hold(&world, &["namespace"]);
    let done = free(&world, &[&port, "--yes"], 0);
    said(&done, "in another network namespace");
    assert!(!stranger.is_over(), "{done}");
    let done = free(&world, &[&port, "--yes", "--others"], 0);
    said(&done, "listens on");
    assert!(stranger.is_over(), "{done}");
}

/// Several ports at once, one of them free already.
#[test]
fn several_ports() {
    let world = World::new();
    let (mut first, one) = hold(&world, &["dual-stack"]);
    let (mut second, two) = hold(&world, &["udp"]);
    let two = format!("{two}/udp");
    let three = unused();
    let done = free(&world, &[&one, &two, &three, &one, "--yes", "--json"], 0);
    let told = json(&done);
    let ports = told["ports"].as_array().expect("a list");
    assert_eq!(ports.len(), 3, "each once: {told:#}");
    assert!(ports.iter().all(|port| port["free"] == true), "{told:#}");
    assert_eq!((&ports[0]["steps"][0]["pid"], &ports[2]["after"]), (&first.pid().into(), &Value::Null));
    assert!(first.is_over() && second.is_over());
    free(&world, &["0"], 2);
}
