//! `vigie status` (R3.6, R1): its shape, and what hostile names cannot do to it.

use serde_json::Value;
use vigie_real_tests::{World, is_root, until};

/// Every field of R3.6 is there, absent values are null.
#[test]
fn the_shape() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile listen 0\"\nready = { log = \"^ready\" }\n[service.b]\ncommand = \"@hostile wait\"\n",
    );
    let check = |status: &Value| {
        assert_eq!(status["schema"], 1);
        assert!(status["at"].as_str().is_some_and(|at| at.ends_with('Z')));
        assert!(status["strays"].as_array().is_some_and(Vec::is_empty));
        for service in status["services"].as_array().expect("services") {
            for field in
                ["project", "service", "mode", "wanted", "state", "since", "restarts", "run", "last_exit", "findings"]
            {
                assert!(service.get(field).is_some(), "{field}: {service:#}");
            }
            let run = &service["run"];
            for field in [
                "id",
                "pid",
                "boot_id",
                "start_ticks",
                "started_at",
                "containment",
                "cpu_percent_of_core",
                "memory_bytes",
                "processes",
                "threads",
                "ports",
            ] {
                assert!(run.is_null() || run.get(field).is_some(), "{field}: {service:#}");
            }
        }
    };
    let before = world.status();
    check(&before);
    assert!(before["daemon"].is_null() && before["services"][0]["run"].is_null());
    assert_eq!(before["services"][0]["state"], "stopped");
    assert!(before["services"][0]["last_exit"].is_null());
    world.vigie(&["start", "a"]).run().code(0);
    let during = world.status();
    check(&during);
    assert!(during["daemon"]["pid"].is_u64() && during["daemon"]["version"].is_string());
    let run = &during["services"][0]["run"];
    let pid = u32::try_from(run["pid"].as_u64().expect("its PID")).expect("small");
    assert_eq!(run["start_ticks"].as_u64(), vigie_real_tests::start_ticks(pid));
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot").trim().replace('-', "");
    assert_eq!(run["boot_id"], boot);
    assert_eq!((&run["processes"], &run["threads"]), (&1.into(), &1.into()));
    assert!(run["memory_bytes"].as_u64().is_some_and(|memory| memory > 10_000), "{run:#}");
    let ports = run["ports"].as_array().expect("ports");
    assert!(ports.len() == 1 && ports[0].as_str().is_some_and(|port| port.starts_with("127.0.0.1:")), "{run:#}");
    let contained = if is_root() { &["cgroup2", "cgroup1", "subreaper"][..] } else { &["cgroup2", "subreaper"] };
    assert!(contained.iter().any(|kind| run["containment"] == *kind), "{run:#}");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    let after = world.status();
    check(&after);
    assert_eq!(
        (&after["services"][0]["last_exit"]["signal"], &after["services"][0]["last_exit"]["code"]),
        (&15.into(), &Value::Null)
    );
}

/// CPU needs two samples (R1): the first look has none, a watched one has.
#[test]
fn cpu_is_absent_at_the_first_look() {
    let world = World::new();
    let running = world.run("x", &["wait"]).start();
    running.wait_out("ready");
    world.wait_named("x");
    assert!(world.service("x")["run"]["cpu_percent_of_core"].is_null(), "one look tells no CPU");
    let watch = world.vigie(&["status", "--json", "--watch"]).start();
    let looks = until("a second look", || Some(watch.lines()).filter(|looks| looks.len() >= 2));
    let [first, second] = [0, 1].map(|look| serde_json::from_str::<Value>(&looks[look]).expect("JSON"));
    assert!(first["services"][0]["run"]["cpu_percent_of_core"].is_null());
    assert!(second["services"][0]["run"]["cpu_percent_of_core"].is_number(), "{second:#}");
    watch.kill();
    let table = world.vigie(&["status"]).run().code(0).text();
    assert!(table.contains('–'), "what was not observed is no 0: {table}");
}

/// A process that calls itself by newlines, escapes and invalid UTF-8 breaks no table and no JSON.
#[test]
fn hostile_names() {
    for world in [World::new(), World::unprivileged()] {
        world.manifest(
            "[service.a]\ncommand = [\"@hostile\", \"rename\", \"a\\nb\", \"\\u001b[2Jc\"]\nready = { log = \"^ready\" }\n\
             stop = [\"TERM 10s\", \"KILL 5s\"]\n",
        );
        world.vigie(&["up", "-d"]).run().code(0);
        let service = world.service("a");
        assert_eq!((&service["run"]["processes"], &service["state"]), (&1.into(), &"ready".into()));
        for line in [&["status"][..], &["status", "--classic"], &["stop", "a", "--dry-run"], &["events"]] {
            let done = world.vigie(line).run().code(0);
            assert!(!done.out.contains(&0x1b), "an escape sequence: {done}");
            let text = String::from_utf8(done.out.clone()).expect("UTF-8");
            assert!(!text.lines().any(|line| line.starts_with('b')), "a line that a name has made: {text}");
        }
        // Its identity is read right although its name looks like other fields.
        world.vigie(&["stop", "a", "--yes"]).run().code(0);
    }
}

/// An argument need not be UTF-8.
#[test]
fn arguments_that_are_not_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::new();
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe\n\x1b[31m");
    let running = world.run("x", &["wait"]).arg(odd).start();
    running.wait_out("ready");
    world.wait_named("x");
    let done = world.vigie(&["status", "--classic"]).run().code(0);
    assert!(String::from_utf8(done.out.clone()).is_ok() && !done.out.contains(&0x1b), "{done}");
    let done = world.vigie(&["stop", "x", "--dry-run"]).run().code(0);
    assert!(String::from_utf8(done.out.clone()).is_ok() && !done.out.contains(&0x1b), "{done}");
}

/// A run of `vigie run` is shown beside the managed ones.
#[test]
fn unmanaged_runs_are_shown() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let running = world.run("x", &["wait"]).start();
    running.wait_out("ready");
    world.wait_named("x");
    let service = world.service("x");
    assert_eq!((&service["state"], &service["wanted"]), (&"running".into(), &Value::Null));
    assert!(service["run"]["pid"].is_u64());
    let targets = world.vigie(&["status", "x", "--json"]).run().code(0);
    let targets: Value = serde_json::from_slice(&targets.out).expect("JSON");
    assert_eq!(targets["services"].as_array().map(Vec::len), Some(1));
    world.vigie(&["status", "nope"]).run().code(8);
}

/// A target may be a process or a port.
#[test]
fn by_process_and_by_port() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile listen 0\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let run = world.service("a")["run"].clone();
    let port = run["ports"][0]
        .as_str()
        .and_then(|port| port.strip_prefix("127.0.0.1:")?.strip_suffix("/tcp"))
        .expect("a port");
    for target in [format!("pid:{}", run["pid"]), format!("port:{port}"), "demo/a".to_owned()] {
        let done = world.vigie(&["status", &target, "--json"]).run().code(0);
        let status: Value = serde_json::from_slice(&done.out).expect("JSON");
        assert_eq!(status["services"][0]["run"]["id"], run["id"], "{target}");
    }
    world.vigie(&["stop", &format!("port:{port}"), "--yes"]).run().code(0);
    assert_eq!(world.service("a")["state"], "stopped");
}
