//! Ports of containers (R7.1, R7.3), with a real engine: the container is named, and to free its port it is stopped; the
//! proxy that holds the port outside is never touched.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use vigie_real_tests::{Call, Done, Engine, Process, World, until};

/// `vigie ARGS` with this engine.
fn vigie(world: &World, engine: &Engine, args: &[&str]) -> Call {
    world.vigie(args).env("DOCKER_HOST", engine.host())
}

/// `vigie ports PORT --json` of one port, in the network of this engine: others test at the same time.
#[track_caller]
fn port(world: &World, engine: &Engine, port: &str) -> Value {
    let done = vigie(world, engine, &["ports", port, "--json"]).run();
    let all: Value = serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"));
    let ports = all["ports"].as_array().unwrap_or_else(|| panic!("{done}"));
    let here: Vec<&Value> = ports.iter().filter(|port| port["netns"].is_null()).collect();
    assert_eq!(here.len(), 1, "{done}");
    here[0].clone()
}

/// Nobody has it; of the connection of the test the kernel may keep a while what is left.
#[track_caller]
fn is_free(world: &World, engine: &Engine) {
    let seen = port(world, engine, "18080");
    assert!(seen["verdict"] == "free" || seen["verdict"] == "time-wait", "{seen:#}");
}

#[track_caller]
fn pid(port: &Value, holder: usize) -> Process {
    let pid = port["holders"][holder]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    Process::open(pid.unwrap_or_else(|| panic!("{port:#}")), |_| true).expect("it lives")
}

/// A web server in a container; waits until it answers through its proxy.
fn web(engine: &Engine, name: &str, published: u16, options: &[&str]) -> String {
    let publish = format!("{published}:80");
    let id = engine.run(name, &[&["--publish", &publish], options].concat(), &["httpd", "-f", "-p", "80"]);
    until("the container answers", || {
        let mut stream = TcpStream::connect(("127.0.0.1", published)).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).ok()?;
        (&answer == b"HTTP").then_some(())
    });
    id
}

fn short(id: &str) -> &str {
    &id[..12]
}

#[track_caller]
fn mentions(done: &Done, text: &str) {
    assert!(done.text().contains(text) || done.errors().contains(text), "{text:?} is missing: {done}");
}

#[test]
fn the_container_is_stopped_and_not_its_proxy() {
    let world = World::new();
    let Some(engine) = Engine::start(&world, "the_container_is_stopped_and_not_its_proxy", &[]) else { return };
    engine.enter();
    let id = web(&engine, "web", 18080, &[]);
    web(&engine, "other", 18081, &[]);

    let label = format!("web ({})", short(&id));
    let seen = port(&world, &engine, "18080");
    assert_eq!(seen["verdict"], "used", "{seen:#}");
    for holder in seen["holders"].as_array().expect("an array") {
        assert_eq!((&holder["name"], &holder["container"]), (&"docker-proxy".into(), &label.as_str().into()));
    }
    let other = port(&world, &engine, "18081");
    let proxy_of_other = pid(&other, 0);
    let text = vigie(&world, &engine, &["ports", "18080"]).run().code(1);
    mentions(&text, &label);

    // Nothing is done without a yes.
    let done = vigie(&world, &engine, &["free", "18080", "--dry-run"]).run().code(0);
    mentions(&done, &label);
    vigie(&world, &engine, &["free", "18080"]).run().code(4);
    assert!(engine.is_running("web"));

    let mut client = TcpStream::connect(("127.0.0.1", 18080)).expect("it listens");
    let done = vigie(&world, &engine, &["free", "18080", "--yes", "--timeout", "1s"]).run().code(0);
    mentions(&done, &label);
    assert!(!engine.is_running("web"), "{done}");
    is_free(&world, &engine);
    // The client has lost its connection, as with any server that ends, and nothing else.
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    assert!(matches!(client.read(&mut [0; 64]), Ok(0) | Err(_)));

    assert!(engine.is_running("other"));
    assert!(!proxy_of_other.ended_within(Duration::ZERO), "the proxy of another container was ended");
    vigie(&world, &engine, &["free", "18080"]).run().code(0);
}

/// A container that ignores TERM gets its time, then the engine kills it; one that removes itself is named as such.
#[test]
fn a_stubborn_container_and_one_that_removes_itself() {
    let world = World::new();
    let test = "a_stubborn_container_and_one_that_removes_itself";
    let Some(engine) = Engine::start(&world, test, &[]) else { return };
    engine.enter();
    web(&engine, "deaf", 18080, &["--rm", "--init=false", "--restart=no"]);
    // The first process of a PID namespace gets no signal that it has no handler for: httpd ignores TERM here.
    let done = vigie(&world, &engine, &["free", "18080", "--yes", "--timeout", "1s"]).run().code(0);
    mentions(&done, "removed");
    assert!(!engine.is_running("deaf"));
    is_free(&world, &engine);
}

/// Without a proxy the engine itself holds the port, and it must not be ended for it.
#[test]
fn an_engine_that_holds_the_ports_itself() {
    let world = World::new();
    let test = "an_engine_that_holds_the_ports_itself";
    let Some(engine) = Engine::start(&world, test, &["--userland-proxy=false"]) else { return };
    engine.enter();
    let id = engine.run("web", &["--publish", "18080:80"], &["httpd", "-f", "-p", "80"]);
    let seen = until("the port is held", || {
        let seen = port(&world, &engine, "18080");
        (seen["verdict"] == "used").then_some(seen)
    });
    let label = format!("web ({})", short(&id));
    assert_eq!((&seen["holders"][0]["name"], &seen["holders"][0]["container"]), (&"dockerd".into(), &label.into()));
    vigie(&world, &engine, &["free", "18080", "--yes", "--timeout", "1s"]).run().code(0);
    assert!(!engine.is_running("web"), "and the engine answers");
}

/// With the network of the machine, the server in the container holds the port itself.
#[test]
fn a_container_in_the_network_of_the_machine() {
    let world = World::new();
    let test = "a_container_in_the_network_of_the_machine";
    let Some(engine) = Engine::start(&world, test, &[]) else { return };
    engine.enter();
    let id = engine.run("bare", &["--network", "host"], &["httpd", "-f", "-p", "18080"]);
    let seen = until("the port is held", || {
        let seen = port(&world, &engine, "18080");
        (seen["verdict"] == "used").then_some(seen)
    });
    assert_eq!(seen["holders"][0]["container"], format!("bare ({})", short(&id)), "{seen:#}");
    vigie(&world, &engine, &["free", "18080", "--yes", "--timeout", "1s"]).run().code(0);
    assert!(!engine.is_running("bare"));
}

/// An engine that hangs delays nobody for long, and its proxy is left alone; one that is not for everybody says who may.
#[test]
fn an_engine_that_does_not_answer() {
    let world = World::unprivileged();
    let Some(engine) = Engine::start(&world, "an_engine_that_does_not_answer", &[]) else { return };
    engine.enter();
    web(&engine, "web", 18080, &[]);
    vigie(&world, &engine, &["free", "18080", "--yes"]).run().code(7).says("docker group");

    let world = World::new();
    let seen = port(&world, &engine, "18080");
    let proxy = pid(&seen, 0);
    let dockerd = engine.dockerd();
    dockerd.stop();
    let done = vigie(&world, &engine, &["ports", "18080", "--json"]).run().code(1);
    assert!(done.took < Duration::from_secs(10), "{done}");
    let done = vigie(&world, &engine, &["free", "18080", "--yes"]).run().code(9);
    mentions(&done, "docker-proxy");
    assert!(!proxy.ended_within(Duration::ZERO), "the proxy was ended: {done}");
    dockerd.signal(Signal::CONT);
    assert!(engine.is_running("web"));
}

/// A proxy that its engine forgot is nobody's, and can be ended; as long as no engine can say so, it is not.
#[test]
fn a_proxy_that_was_left_behind() {
    let world = World::new();
    let Some(engine) = Engine::start(&world, "a_proxy_that_was_left_behind", &[]) else { return };
    engine.enter();
    let proxy = world.shell(
        "exec docker-proxy -proto tcp -host-ip 127.0.0.1 -host-port 18080 \\
        -container-ip 127.0.0.1 -container-port 9 3>&1",
    );
    let mut proxy = proxy.env("TERM", "dumb").start();
    until("the proxy listens", || TcpStream::connect(("127.0.0.1", 18080)).ok());
    let nobody = format!("unix://{}", world.path("nobody.sock").display());
    let done = world.vigie(&["free", "18080", "--yes"]).env("DOCKER_HOST", nobody).run().code(9);
    mentions(&done, "docker-proxy");
    assert!(!proxy.is_over(), "{done}");
    vigie(&world, &engine, &["free", "18080", "--yes"]).run().code(0);
    assert!(proxy.is_over());
}

/// As in a development container that has the socket of the engine outside: what is published there is no business of
/// whoever is in here.
#[test]
fn an_engine_outside_of_our_own_world() {
    let world = World::new();
    let Some(engine) = Engine::start(&world, "an_engine_outside_of_our_own_world", &[]) else { return };
    engine.enter();
    web(&engine, "web", 18080, &[]);
    let vigie = vigie_real_tests::program("vigie");
    let inner = format!("exec unshare --pid --fork --mount --mount-proc {} free 18080 --yes", vigie.display());
    let done = world.shell(&inner).env("VIGIE_HOME", world.home()).env("DOCKER_HOST", engine.host()).run().code(7);
    mentions(&done, "left as it is");
    assert!(engine.is_running("web"));
}
