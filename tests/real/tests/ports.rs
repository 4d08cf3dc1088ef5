//! `vigie ports` (R7.1, R7.2, R7.4): every way to hold a port is found and named, as root and as an ordinary user.

use std::net::TcpListener;

use serde_json::Value;
use vigie_real_tests::{Running, World, free_port, is_root, skip, until};

/// A stranger that holds a port in this way, and the port.
fn hold(world: &World, args: &[&str]) -> (Running, String) {
    let running = world.stranger(&[&["hold"], args].concat()).start();
    let port = running.wait_out("hold ");
    (running, port)
}

/// `vigie ports ARGS… --json` with its exit code.
#[track_caller]
fn look(world: &World, args: &[&str]) -> (Vec<Value>, i32) {
    let done = world.vigie(&[&["ports", "--json"], args].concat()).run();
    let report: Value = serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"));
    assert_eq!(report["schema"], 1);
    let ports = report["ports"].as_array().unwrap_or_else(|| panic!("{done}")).clone();
    (ports, done.status.code().unwrap_or_else(|| panic!("{done}")))
}

/// What is told of one port in this network namespace.
#[track_caller]
fn one(world: &World, claim: &str) -> (Value, i32) {
    let (ports, code) = look(world, &[claim]);
    let here: Vec<Value> = ports.into_iter().filter(|port| port["netns"].is_null()).collect();
    assert_eq!(here.len(), 1, "{here:#?}");
    (here[0].clone(), code)
}

/// The verdict, the exit code, and who is named.
#[track_caller]
fn expect(world: &World, claim: &str, verdict: &str, pids: &[u32]) -> Value {
    let (port, code) = one(world, claim);
    assert_eq!(port["verdict"], verdict, "{claim}: {port:#}");
    assert_eq!(code, i32::from(!["free", "time-wait"].contains(&verdict)), "{claim}: {port:#}");
    let mut named: Vec<u32> = holders(&port).iter().map(pid).collect();
    let mut wanted = pids.to_vec();
    named.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(named, wanted, "{claim}: {port:#}");
    port
}

fn holders(port: &Value) -> &[Value] {
    port["holders"].as_array().expect("a list")
}

fn pid(holder: &Value) -> u32 {
    holder["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_else(|| panic!("no PID: {holder:#}"))
}

/// As root, and as somebody who may look into his own processes only.
fn worlds() -> [World; 2] {
    [World::new(), World::unprivileged()]
}

/// R7.2: addresses count, and so does the protocol.
#[test]
fn other_addresses_and_protocols() {
    for world in worlds() {
        let (stranger, port) = hold(&world, &["other-loopback"]);
        for (place, verdict) in
            [("", "used"), ("127.0.0.1:", "free"), ("127.0.0.2:", "used"), ("0.0.0.0:", "used"), ("[::1]:", "free")]
        {
            let pids = if verdict == "used" { &[stranger.pid()][..] } else { &[] };
            expect(&world, &format!("{place}{port}"), verdict, pids);
        }
        let (stranger, port) = hold(&world, &["v6-only"]);
        for (place, verdict) in [("", "used"), ("127.0.0.1:", "free"), ("[::1]:", "used"), ("[::]:", "used")] {
            let pids = if verdict == "used" { &[stranger.pid()][..] } else { &[] };
            expect(&world, &format!("{place}{port}"), verdict, pids);
        }
        let (stranger, port) = hold(&world, &["dual-stack"]);
        for place in ["", "127.0.0.1:", "[::1]:", "0.0.0.0:"] {
            expect(&world, &format!("{place}{port}"), "used", &[stranger.pid()]);
        }
        let (stranger, port) = hold(&world, &["udp"]);
        expect(&world, &format!("{port}/udp"), "used", &[stranger.pid()]);
        expect(&world, &port, "free", &[]);
    }
}

/// R7.2: the second copy that nobody notices.
#[test]
fn twins_share_a_port() {
    for world in worlds() {
        let (first, port) = hold(&world, &["twin", "0"]);
        expect(&world, &port, "used", &[first.pid()]);
        let (second, _) = hold(&world, &["twin", &port]);
        expect(&world, &port, "shared", &[first.pid(), second.pid()]);
        let done = world.vigie(&["ports", &port]).run().code(1);
        assert!(done.text().starts_with(&format!("Port {port}: shared by hostile (PID ")), "{done}");
    }
}

/// R7.1: it blocks the port and most tools do not show it.
#[test]
fn bound_and_not_listening() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
    let mut version = release.split(['.', '-']).filter_map(|part| part.parse::<u32>().ok());
    if (version.next(), version.next()) < (Some(6), Some(8)) {
        skip("bound_and_not_listening", "the kernel lists bound TCP sockets since 6.8");
        return;
    }
    for world in worlds() {
        let (stranger, port) = hold(&world, &["bound"]);
        expect(&world, &port, "bound", &[stranger.pid()]);
    }
}

/// R7.1: no other tool names its owner.
#[test]
fn a_listener_whose_main_thread_has_ended() {
    for world in worlds() {
        let (stranger, port) = hold(&world, &["thread"]);
        let told = expect(&world, &port, "used", &[stranger.pid()]);
        let holder = &holders(&told)[0];
        assert!(holder["tid"].as_u64().is_some_and(|tid| tid != u64::from(stranger.pid())), "{told:#}");
        assert!(holder["command"].as_array().is_some_and(|words| words.len() == 3), "{told:#}");
    }
}

/// R7.1: all who inherited a socket are named.
#[test]
fn one_socket_of_two_processes() {
    for world in worlds() {
        let (stranger, port) = hold(&world, &["inherited"]);
        let (told, code) = one(&world, &port);
        let pids: Vec<u32> = holders(&told).iter().map(pid).collect();
        assert_eq!((&told["verdict"], pids.len(), code), (&"used".into(), 2, 1), "{told:#}");
        assert!(pids.contains(&stranger.pid()), "{told:#}");
    }
}

/// R7.2: a client of a port does not hold it; the port that it uses itself is another matter.
#[test]
fn an_outgoing_connection() {
    for world in worlds() {
        let server = world.stranger(&["listen", "0"]).start();
        let port = server.wait_out("listen ");
        let (client, own) = hold(&world, &["connection", &port]);
        expect(&world, &port, "used", &[server.pid()]);
        let told = expect(&world, &own, "ephemeral", &[client.pid()]);
        assert!(told["note"].as_str().is_some_and(|note| note.contains(&format!("127.0.0.1:{port}"))), "{told:#}");
    }
}

/// R7.2: nothing runs, and the port is not quite free.
#[test]
fn what_a_server_leaves_behind() {
    for world in worlds() {
        let (stranger, port) = hold(&world, &["time-wait"]);
        stranger.finish().code(0);
        let told = expect(&world, &port, "time-wait", &[]);
        let note = told["note"].as_str().expect("a note");
        let parts: Vec<&str> = note.split("; ").collect();
        assert_eq!(parts[..2], ["usable by servers that set SO_REUSEADDR", "1 connection"], "{note}");
        assert!(parts[2].starts_with("until ") && told["until"].is_string(), "{told:#}");
        let done = world.vigie(&["ports", &port]).run().code(0);
        assert!(done.text().contains(&format!(": time-wait: {note}\n")), "{done}");
        // As it says: whoever sets the option can have it, which the standard library does.
        drop(TcpListener::bind(format!("127.0.0.1:{port}")).expect("can be had"));
    }
}

/// R7.1: it is no hindrance here, and yet it is shown where it is. Root goes there to look; an ordinary user may not, and
/// reads what a process there shows.
#[test]
fn another_network_namespace() {
    for world in worlds() {
        let mut stranger = world.stranger(&["hold", "namespace"]).start();
        let begun = until("a network of its own, or none", || {
            stranger.out().contains('\n').then_some(true).or_else(|| stranger.is_over().then_some(false))
        });
        if !begun {
            skip("another_network_namespace", "an ordinary user may not have a network of his own here");
            continue;
        }
        let port = stranger.wait_out("hold ");
        expect(&world, &port, "free", &[]);
        let (ports, code) = look(&world, &[&port]);
        let link = std::fs::read_link(format!("/proc/{}/ns/net", stranger.pid())).expect("its namespace");
        let number: u64 = link.to_string_lossy().trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
        let there = ports.iter().find(|port| port["netns"] == number).unwrap_or_else(|| panic!("{ports:#?}"));
        assert_eq!((&there["verdict"], pid(&holders(there)[0]), code), (&"used".into(), stranger.pid(), 0));
        assert_eq!(holders(there)[0]["netns"], number);
        // The look has moved nobody: whoever asks again sees the same.
        let again = look(&world, &[&port]).0;
        let told = |ports: &[Value]| -> Vec<_> {
            ports.iter().map(|port| (port["netns"].clone(), port["verdict"].clone(), holders(port).len())).collect()
        };
        assert_eq!(told(&again), told(&ports));
        let list = world.vigie(&["ports"]).run().code(0).text();
        let line = list.lines().find(|line| line.contains(&format!("{port}/tcp"))).expect("listed");
        assert!(line.contains(&stranger.pid().to_string()), "{line}");
        assert!(line.contains(&format!("network namespace {number}")), "{line}");
    }
}

/// R1: of whom one may not know in which network namespace he is, that is said.
#[test]
fn hidden_network_namespaces() {
    if !is_root() {
        skip("hidden_network_namespaces", "it takes two users");
        return;
    }
    let (root, ordinary) = (World::new(), World::unprivileged());
    let (_stranger, port) = hold(&root, &["namespace"]);
    let done = ordinary.vigie(&["ports", &port]).run().code(0);
    let text = done.text();
    assert_eq!(text.lines().next(), Some(format!("Port {port}: free").as_str()), "{text}");
    assert!(text.contains("other network namespaces: cannot see all of them, needs root"), "{text}");
}

/// R1, R7.1: what an ordinary user cannot see is said, and is not taken for free.
#[test]
fn a_hidden_owner() {
    if !is_root() {
        skip("a_hidden_owner", "it takes two users");
        return;
    }
    let (root, ordinary) = (World::new(), World::unprivileged());
    for way in ["dual-stack", "udp", "inherited", "thread"] {
        let (_stranger, port) = hold(&root, &[way]);
        let claim = if way == "udp" { format!("{port}/udp") } else { port };
        let (told, code) = one(&ordinary, &claim);
        assert_eq!((&told["verdict"], code), (&"used".into(), 1), "{told:#}");
        let [holder] = holders(&told) else { panic!("{told:#}") };
        assert_eq!((&holder["pid"], &holder["name"], &holder["command"]), (&Value::Null, &Value::Null, &Value::Null));
        assert_eq!(holder["user"], "root");
        let done = ordinary.vigie(&["ports", &claim]).run().code(1);
        assert!(done.text().contains("used by a process of root, cannot see who, needs root"), "{done}");
    }
}

/// R7.2
#[test]
fn a_low_port_takes_a_privilege() {
    let setting = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    let lowest: u16 = setting.trim().parse().unwrap_or(1024);
    // Some address that nobody uses.
    let claim = "127.0.0.77:1";
    if lowest <= 1 {
        skip("a_low_port_takes_a_privilege", "no port is low here");
        return;
    }
    let told = expect(&World::unprivileged(), claim, "reserved", &[]);
    assert!(told["note"].as_str().is_some_and(|note| note.contains(&lowest.to_string())), "{told:#}");
    if is_root() {
        expect(&World::new(), claim, "free", &[]);
    }
}

/// R7.4: the claims first, in case C's form.
#[test]
fn the_claims_of_a_project() {
    for world in worlds() {
        let stranger = world.stranger(&["listen", "0"]).start();
        let used = stranger.wait_out("listen ");
        let free = free_port();
        world.manifest(&format!(
            "[service.api]\ncommand = \"@hostile wait\"\nports = [{used}]\n\
             [service.web]\ncommand = \"@hostile wait\"\nports = [\"127.0.0.1:{free}\"]\n"
        ));
        let text = world.vigie(&["ports"]).run().code(1).text();
        let lines: Vec<&str> = text.lines().collect();
        let start = format!("Port {used} (api): used by hostile (PID {}, ", stranger.pid());
        let end = [" s)", " min)"];
        assert!(lines[0].starts_with(&start) && end.iter().any(|end| lines[0].ends_with(end)), "{text}");
        assert_eq!(lines[1], format!("Port 127.0.0.1:{free} (web): free"));
        assert_eq!(lines[2], "=".repeat(60));
        assert_eq!(lines[3], "1 of 2 ports used: services seem to run already");
        let rest = lines[4..].join("\n");
        assert!(!rest.contains(&format!("{used}/tcp")), "told already: {text}");
        // A port that is named is known by its claim, and one may ask for one service.
        let (told, code) = one(&world, &used);
        assert_eq!((&told["claimed_by"], code), (&"demo/api".into(), 1));
        let text = world.vigie(&["ports", "--for", "web"]).run().code(0).text();
        assert!(text.ends_with("\n1 port: all free\n") || text.contains("\n1 port: all free\nother network"), "{text}");
        world.vigie(&["ports", "--for", "nope"]).run().code(8);
        stranger.kill();
        let text = world.vigie(&["ports"]).run().code(0).text();
        assert!(text.contains("\n2 ports: all free\n"), "{text}");
    }
}

/// R7.4: whose run it is, also when the daemon is gone and in whatever folder one asks.
#[test]
fn the_run_behind_a_port() {
    for world in worlds() {
        let guard = world.run("guarded", &["listen", "0"]).start();
        let port = guard.wait_out("listen ");
        world.wait_named("guarded");
        let elsewhere = world.path(".");
        let done = world.vigie(&["ports", "--json", &port]).within(&elsewhere).run().code(1);
        let report: Value = serde_json::from_slice(&done.out).expect("JSON");
        let holder = &report["ports"][0]["holders"][0];
        let service = world.service("guarded");
        let label = format!("{}/guarded", service["project"].as_str().expect("a project"));
        assert_eq!((&holder["service"], &holder["run"]), (&label.into(), &service["run"]["id"]), "{report:#}");
        assert_eq!(holder["pid"], service["run"]["pid"]);
        guard.kill();
    }
}

/// R7.4: without a manifest all of the machine.
#[test]
fn the_whole_machine() {
    for world in worlds() {
        let (stranger, port) = hold(&world, &["dual-stack"]);
        let text = world.vigie(&["ports"]).run().code(0).text();
        let line = text.lines().find(|line| line.contains(&format!("{port}/tcp"))).unwrap_or_else(|| panic!("{text}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[..3], [&format!("{port}/tcp"), "::", "used"], "{line}");
        assert_eq!(words[3], stranger.pid().to_string(), "{line}");
        assert!(line.ends_with("hold dual-stack"), "{line}");
        let watch = world.vigie(&["ports", "--json", "--watch"]).start();
        let second = until("a second look", || watch.lines().into_iter().nth(1));
        assert!(serde_json::from_str::<Value>(&second).is_ok_and(|report| report["ports"].is_array()), "{second}");
        watch.kill();
        world.vigie(&["ports", "nonsense"]).run().code(2).says("is not a port");
    }
}
