//! Sources (R11): what happens to the containers of a real engine, each once, and every hole with its reason.

use serde_json::Value;
use vigie_real_tests::{Engine, World, until};

/// A world with an engine and the source `nas`. `None`: skipped.
fn begin(test: &str) -> Option<(World, Engine)> {
    let world = World::new();
    let engine = Engine::start(&world, test, &[])?;
    world.vigie(&["source", "add", "nas", &engine.host()]).run().code(0);
    online(&world);
    Some((world, engine))
}

/// `vigie source ls --json`
fn sources(world: &World) -> Value {
    let done = world.vigie(&["source", "ls", "--json"]).run().code(0);
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

fn online(world: &World) {
    until("the source is followed", || {
        let sources = sources(world);
        let nas = &sources["sources"][0];
        (nas["stage"] == "live" && nas["online"] == true).then_some(())
    });
}

/// Kind and action of all that the journal has about these targets.
fn told(world: &World, targets: &[&str]) -> Vec<Value> {
    let done = world.vigie(&[&["events", "--json", "-n", "100000"], targets].concat()).run();
    // 8: nothing is known of it yet.
    assert!(matches!(done.status.code(), Some(0 | 8)), "{done}");
    let lines = done.out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {done}"))).collect()
}

fn actions(events: &[Value]) -> Vec<String> {
    let of = |event: &Value| Some(event["detail"]["action"].as_str()?.to_owned());
    events.iter().filter_map(of).collect()
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

/// Waits until the last thing that happened to a container is this.
#[track_caller]
fn wait_last(world: &World, target: &str, action: &str) -> Vec<Value> {
    until(&format!("{action} of {target} is told"), || {
        let events = told(world, &[target]);
        (actions(&events).last().map(String::as_str) == Some(action)).then_some(events)
    })
}

/// R11.4: each thing once, with its facts.
#[test]
fn what_happens_to_a_container_is_told_once() {
    let Some((world, engine)) = begin("what_happens_to_a_container_is_told_once") else { return };
    // The first process of a PID namespace gets no signal that it has no handler for: it ignores TERM.
    let id = engine.run("web", &["--network", "none"], &["sleep", "1000"]);
    for command in [
        &["pause", "web"][..],
        &["unpause", "web"],
        &["restart", "--time", "1", "web"],
        &["rename", "web", "api"],
        &["kill", "--signal", "HUP", "api"],
        &["stop", "--time", "1", "api"],
        &["rm", "api"],
    ] {
        engine.docker(command).run().code(0);
    }
    wait_last(&world, "container:api", "destroy");
    let events: Vec<Value> =
        told(&world, &["source:nas"]).into_iter().filter(|event| event["kind"] == "container_event").collect();
    assert_eq!(
        actions(&events),
        [
            "create", "start", "pause", "unpause", "kill", "kill", "die", "stop", "start", "restart", "rename", "kill",
            "kill", "kill", "die", "stop", "destroy"
        ]
    );
    for event in &events {
        assert_eq!((&event["source"], &event["detail"]["id"]), (&"nas".into(), &id.as_str().into()), "{event:#}");
        assert_eq!(event["detail"]["inferred"], false, "{event:#}");
    }
    let detail = |place: usize, name: &str| events[place]["detail"][name].clone();
    assert_eq!((detail(4, "signal"), detail(5, "signal"), detail(11, "signal")), (15.into(), 9.into(), 1.into()));
    assert_eq!((detail(6, "exit_code"), detail(6, "oom")), (137.into(), false.into()));
    assert_eq!((detail(10, "old_name"), &events[10]["container"]), ("web".into(), &"api".into()));
    assert!(told(&world, &["container:nas/web"]).len() < events.len());
    // A rename belongs to both names; the id is that of all of it.
    let renamed = |target: &str| actions(&told(&world, &[target])).iter().filter(|action| *action == "rename").count();
    assert_eq!((renamed("container:web"), renamed("container:api"), renamed("container:other")), (1, 1, 0));
    assert_eq!(actions(&told(&world, &[&format!("container:{}", &id[..12])])), actions(&events));
    assert!(of_kind(&told(&world, &["source:nas"]), "gap").is_empty());
}

/// The engine dies, a container ends with it, and it comes back: the state is right, the hole is told with its reason, what
/// nobody saw is marked, and that it was away is told once.
#[test]
fn an_engine_that_was_away() {
    let Some((world, engine)) = begin("an_engine_that_was_away") else { return };
    engine.run("web", &["--network", "none"], &["sleep", "1000"]);
    wait_last(&world, "container:web", "start");
    engine.kill();
    until("that it is away is told", || {
        (!of_kind(&told(&world, &["source:nas"]), "source_offline").is_empty()).then_some(())
    });
    engine.again();
    let events = wait_last(&world, "container:web", "die");
    let die = events.last().expect("die");
    assert_eq!((&die["detail"]["inferred"], &die["detail"]["time_nano"]), (&true.into(), &Value::Null), "{die:#}");
    online(&world);
    engine.docker(&["rm", "web"]).run().code(0);
    wait_last(&world, "container:web", "destroy");
    let events = told(&world, &["source:nas"]);
    for kind in ["source_offline", "source_online", "gap"] {
        assert_eq!(of_kind(&events, kind).len(), 1, "{kind}: {events:#?}");
    }
    let gap = &of_kind(&events, "gap")[0]["detail"];
    assert!(gap["why"].as_str().is_some_and(|why| why.contains("forgotten")), "{gap:#}");
    assert!(gap["from"].as_u64() < gap["to"].as_u64(), "{gap:#}");
    assert_eq!(sources(&world)["sources"][0]["containers"], 0);
}

/// The engine keeps 256 events: of fewer nothing is missed, of more it is said.
#[test]
fn what_happens_while_vigie_is_away() {
    let Some((world, engine)) = begin("what_happens_while_vigie_is_away") else { return };
    engine.run("web", &["--network", "none"], &["sleep", "1000"]);
    wait_last(&world, "container:web", "start");
    let signals = |count: usize| {
        let args = [&["kill", "--signal", "CONT"][..], &vec!["web"; count]].concat();
        engine.docker(&args).run().code(0);
    };
    let kills =
        |world: &World| actions(&told(world, &["container:web"])).iter().filter(|action| *action == "kill").count();
    let gaps = |world: &World| of_kind(&told(world, &["source:nas"]), "gap").len();

    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    signals(100);
    world.vigie(&["daemon", "start"]).run().code(0);
    until("all of it is told", || (kills(&world) == 100).then_some(()));
    online(&world);
    assert_eq!(gaps(&world), 0);

    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    signals(600);
    world.vigie(&["daemon", "start"]).run().code(0);
    until("the gap is told", || (gaps(&world) > 0).then_some(()));
    // Two of them are those of the restart.
    engine.docker(&["restart", "--time", "0", "web"]).run().code(0);
    wait_last(&world, "container:web", "restart");
    let kills = kills(&world) - 2;
    assert_eq!((gaps(&world), kills), (1, 356), "what the engine still had is there");
}

/// `kill -9` of the worker and of the daemon, while things happen: nothing twice, nothing missing.
#[test]
fn whoever_is_killed_loses_and_doubles_nothing() {
    let Some((world, engine)) = begin("whoever_is_killed_loses_and_doubles_nothing") else { return };
    engine.run("web", &["--network", "none"], &["sleep", "1000"]);
    const ROUNDS: usize = 6;
    for round in 0..ROUNDS {
        engine.docker(&["pause", "web"]).run().code(0);
        if round % 2 == 0 {
            let pid = until("a worker follows", || sources(&world)["worker"]["pid"].as_u64());
            let pid = u32::try_from(pid).expect("a PID");
            // It may have been replaced since: then there is nobody to kill.
            if let Some(worker) = vigie_real_tests::Process::open(pid, |_| true) {
                worker.kill();
            }
        } else {
            world.daemon().kill();
        }
        engine.docker(&["unpause", "web"]).run().code(0);
        world.vigie(&["daemon", "start"]).run().code(0);
    }
    engine.docker(&["rename", "web", "api"]).run().code(0);
    wait_last(&world, "container:api", "rename");
    online(&world);
    let events = told(&world, &["source:nas"]);
    let mut wanted = vec!["create", "start"];
    wanted.extend(["pause", "unpause"].repeat(ROUNDS));
    wanted.push("rename");
    let in_order = {
        let mut events: Vec<&Value> = of_kind(&events, "container_event");
        events.sort_by_key(|event| event["detail"]["time_nano"].as_u64());
        events.into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(actions(&in_order), wanted);
    assert!(of_kind(&events, "gap").is_empty(), "{events:#?}");
}

/// Settings are changed while it runs; the worker is there exactly while there is something to follow.
#[test]
fn sources_come_and_go() {
    let Some((world, engine)) = begin("sources_come_and_go") else { return };
    let host = engine.host();
    world.vigie(&["source", "add", "nas", &host]).run().code(2).says("--replace");
    world.vigie(&["source", "add", "x", "nonsense"]).run().code(2).says("no scheme");
    world.vigie(&["source", "rm", "other"]).run().code(8);
    world.vigie(&["source", "add", "twin", &host]).run().code(0);
    let twin = until("the twin is known", || {
        let sources = sources(&world);
        sources["sources"].as_array()?.iter().find(|one| one["same_engine_as"] == "nas").cloned()
    });
    assert_eq!(twin["name"], "twin");
    world.vigie(&["source", "rm", "twin"]).run().code(0);

    let done = world.vigie(&["source", "test", "nas", "--json"]).run().code(0);
    let test: Value = serde_json::from_slice(&done.out).expect("JSON");
    assert!(test["engine"]["id"].is_string() && test["would_collect"]["events"] == true, "{test:#}");
    world.vigie(&["source", "test", "unix:///nowhere.sock"]).run().code(9);

    world.vigie(&["source", "pause", "nas"]).run().code(0);
    let gone = |world: &World| world.service("events")["state"] == "stopped";
    until("nobody follows what is paused", || gone(&world).then_some(()));
    engine.run("web", &["--network", "none"], &["sleep", "1000"]);
    world.vigie(&["source", "add", "nas", &host, "--poll", "30s", "--action", "start", "--replace"]).run().code(0);
    let events = until("it is polled from where it was", || {
        let events = told(&world, &["container:web"]);
        (!events.is_empty()).then_some(events)
    });
    assert_eq!(actions(&events), ["start"], "nothing else was asked for");
    world.vigie(&["source", "rm", "nas"]).run().code(0);
    until("no source, no worker", || {
        let status = world.status();
        status["services"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    assert_eq!(sources(&world)["sources"], Value::Array(Vec::new()));
}

/// Over the `ssh` of the machine, here a stand-in for one that leads to the engine; and by a context of `docker`.
#[test]
fn by_ssh_and_by_context() {
    let world = World::new();
    let Some(engine) = Engine::start(&world, "by_ssh_and_by_context", &[]) else { return };
    let bin = world.path("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let ssh = bin.join("ssh");
    let script = "#!/bin/sh\necho \"$@\" >> ARGS\nexec docker --host HOST system dial-stdio\n";
    let args = world.path("ssh-args");
    let script = script.replace("ARGS", &args.display().to_string()).replace("HOST", &engine.host());
    std::fs::write(&ssh, script).expect("a file");
    std::fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
    world.vigie(&["daemon", "start"]).env("PATH", &path).run().code(0);
    world.vigie(&["source", "add", "nas", "ssh://ana@nas:2222"]).run().code(0);
    online(&world);
    engine.run("web", &["--network", "none"], &["sleep", "1000"]);
    wait_last(&world, "container:nas/web", "start");
    let args = std::fs::read_to_string(args).expect("it was called");
    let first = args.lines().next().expect("a line");
    assert!(
        first.contains("BatchMode=yes") && first.ends_with("-lana -p2222 -- nas docker system dial-stdio"),
        "{first}"
    );

    let config = world.path("docker");
    engine
        .docker(&["context", "create", "lab", "--docker", &format!("host={}", engine.host())])
        .env("DOCKER_CONFIG", &config)
        .run()
        .code(0);
    let done = world.vigie(&["source", "test", "context:lab"]).env("DOCKER_CONFIG", &config).run().code(0);
    assert!(done.text().contains("it is the same engine as the source nas"), "{done}");
    world
        .vigie(&["source", "test", "context:other"])
        .env("DOCKER_CONFIG", &config)
        .run()
        .code(2)
        .says("no context other");
}

/// Which socket is not there, and when it is looked for again.
#[test]
fn an_engine_that_was_never_there() {
    let world = World::new();
    let socket = world.path("nowhere.sock").display().to_string();
    world.vigie(&["source", "add", "nas", &format!("unix://{socket}")]).run().code(0);
    let ls = until("it says when it asks again", || {
        let ls = world.vigie(&["source", "ls"]).run().code(0).text();
        ls.contains("asked again in").then_some(ls)
    });
    let nas = sources(&world)["sources"][0].clone();
    assert_eq!(nas["why"].as_str(), Some(&*format!("{socket}: No such file or directory (os error 2)")), "{ls}");
}
