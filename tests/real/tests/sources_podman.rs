//! Podman as a source (R11.1): its compatible API, with the ways of its own.

use serde_json::Value;
use vigie_real_tests::{Engine, World, until};

fn source(world: &World) -> Value {
    let done = world.vigie(&["source", "ls", "--json"]).run().code(0);
    let sources: Value = serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"));
    sources["sources"][0].clone()
}

/// What happened to containers: name, action, exit code.
fn told(world: &World) -> Vec<(String, String, Option<i64>)> {
    let events = world.events().into_iter().filter(|event| event["kind"] == "container_event");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |event: Value| {
        (text(&event["container"]), text(&event["detail"]["action"]), event["detail"]["exit_code"].as_i64())
    };
    events.map(one).collect()
}

#[test]
fn podman_is_a_source() {
    let world = World::new();
    let Some(engine) = Engine::podman(&world, "podman_is_a_source") else { return };
    let test = world.vigie(&["source", "test", &engine.host(), "--json"]).run().code(0);
    let test: Value = serde_json::from_slice(&test.out).expect("JSON");
    assert_eq!((&test["engine"]["podman"], &test["engine"]["id"]), (&true.into(), &Value::Null), "{test:#}");
    world.vigie(&["source", "add", "pod", &engine.host()]).run().code(0);
    let live = || {
        let source = source(&world);
        (source["stage"] == "live" && source["online"] == true).then_some(())
    };
    until("it is followed", live);
    engine.run("web", &["--network", "none"], &["sleep", "1000"]);
    for command in [
        &["pause", "web"][..],
        &["unpause", "web"],
        &["kill", "--signal", "HUP", "web"],
        &["rename", "web", "api"],
        &["kill", "api"],
        &["wait", "api"],
        &["start", "api"],
    ] {
        engine.docker(command).run().code(0);
    }
    engine.run("seven", &["--network", "none"], &["sh", "-c", "exit 7"]);
    let seen = |name: &str, action: &str| told(&world).iter().any(|one| one.0 == name && one.1 == action);
    until("all of it is told", || seen("seven", "die").then_some(()));

    // It invents an id for each answer: that must not make another engine of it when somebody asks anew.
    world.keeper("events").kill();
    until("another one follows", || (world.events_of("events", "started").len() == 2).then_some(()));
    until("it goes on", live);
    engine.docker(&["rm", "--force", "seven", "api"]).run().code(0);
    until("their end is told", || (seen("seven", "destroy") && seen("api", "destroy")).then_some(()));

    let of = |name: &str| {
        let all = told(&world).into_iter().filter(|one| one.0 == name);
        all.map(|(_, action, code)| (action, code)).collect::<Vec<_>>()
    };
    let plain = |action: &str| (action.to_owned(), None);
    let died = |code| ("die".to_owned(), Some(code));
    assert_eq!(of("web"), ["create", "start", "pause", "unpause", "kill"].map(plain));
    // Whether removing it by force is told as a stop, too, depends on how fast it dies.
    let told: Vec<_> = of("api").into_iter().filter(|one| *one != plain("stop")).collect();
    assert_eq!(told, [plain("rename"), plain("kill"), died(137), plain("start"), died(137), plain("destroy")]);
    assert_eq!(of("seven"), [plain("create"), plain("start"), died(7), plain("destroy")]);
    assert!(world.events().iter().all(|event| event["kind"] != "gap"), "{}", world.story());
    assert_eq!((&source(&world)["bad_lines"], &source(&world)["containers"]), (&0.into(), &0.into()));
}
