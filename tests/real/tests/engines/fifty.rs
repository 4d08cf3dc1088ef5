//! Fifty containers, and everything that can happen to them: compared with a recording that vigie has nothing to do with.

use std::thread;

use vigie_real_tests::{Engine, IMAGE, Recording, World, actions, compare, of_kind, until};

/// Containers by what happens to them: ten of each.
const FATES: [&str; 5] = ["stop", "restart", "kill", "oom", "flap"];

/// An image whose containers are well while there is a file `/ok`.
const CHECKED: &str = "vigie-test:checked";

/// Makes it. Its check is no line for a shell: there is none in it.
fn with_a_check(engine: &Engine) {
    let check = "HEALTHCHECK --interval=1s --timeout=20s --retries=1 CMD [\"/busybox\", \"test\", \"-e\", \"/ok\"]";
    for args in [
        &["create", "--name", "seed", IMAGE, "/busybox", "true"][..],
        &["commit", "--change", check, "seed", CHECKED],
        &["rm", "seed"],
    ] {
        engine.docker(args).run().code(0);
    }
}

#[test]
fn fifty_containers() {
    let world = World::new();
    let Some(engine) = Engine::start(&world, "fifty_containers", &[]) else { return };
    with_a_check(&engine);
    let recording = Recording::begin(&engine.socket());
    world.vigie(&["source", "add", "nas", &engine.host()]).run().code(0);
    world.wait_live("nas");
    let ids: Vec<(String, String, &str)> = thread::scope(|scope| {
        let of_fate = |fate: &'static str| {
            let engine = &engine;
            scope.spawn(move || (0..10).map(|number| live(engine, fate, number)).collect::<Vec<_>>())
        };
        let running: Vec<_> = FATES.into_iter().map(of_fate).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(ids.len(), 50);
    for (name, id, last) in &ids {
        recording.wait(last, id);
        until(&format!("{last} of {name} is told"), || {
            let told = actions(&world.told(&[&format!("container:{name}")]));
            told.iter().any(|action| action == last).then_some(())
        });
    }
    // That memory was out may be told before the end of a container or behind it.
    let told = || {
        let events = world.told(&["source:nas"]);
        let truth = recording.told();
        (compare(&truth, &events), events, truth)
    };
    until("both tell of the same", || {
        let compared = told().0;
        (compared.missing.is_empty() && compared.invented.is_empty()).then_some(())
    });
    let (compared, events, truth) = told();
    compared.assert_right();
    assert_eq!((compared.in_gaps, compared.inferred), (0, 0), "{compared:?}");
    assert!(of_kind(&events, "gap").is_empty());
    let count = |wanted: &str| truth.iter().filter(|(_, action, _)| action == wanted).count();
    for action in
        ["create", "start", "die", "stop", "kill", "restart", "rename", "pause", "unpause", "oom", "health_status"]
    {
        assert!(count(action) > 0, "no {action}: nothing was shown of it");
        println!("{action}: {}", count(action));
    }
    assert_eq!(world.source("nas")["bad_lines"], 0);
    assert_eq!(world.source("nas")["dropped"], 0);
}

/// One container: its name at the end, its id, and what ends its story.
fn live(engine: &Engine, fate: &'static str, number: usize) -> (String, String, &'static str) {
    let name = format!("{fate}-{number}");
    let docker = |args: &[&str]| drop(engine.docker(args).run().code(0));
    let plain = ["--network", "none"];
    match fate {
        "stop" => {
            let id = engine.run(&name, &plain, &["sleep", "1000"]);
            docker(&["pause", &name]);
            docker(&["unpause", &name]);
            // It ignores TERM: KILL follows.
            docker(&["stop", "--time", "0", &name]);
            (name, id, "stop")
        }
        "restart" => {
            let id = engine.run(&name, &plain, &["sleep", "1000"]);
            docker(&["restart", "--time", "0", &name]);
            let new = format!("again-{number}");
            docker(&["rename", &name, &new]);
            (new, id, "rename")
        }
        "kill" => {
            let id = engine.run(&name, &plain, &["sleep", "1000"]);
            docker(&["kill", "--signal", "HUP", &name]);
            docker(&["kill", &name]);
            (name, id, "die")
        }
        "oom" => {
            // More than it may have: it grows until the kernel says no. Whoever starts it needs up to 10 MB before it does.
            let limits = ["--network", "none", "--memory", "32m", "--memory-swap", "32m"];
            let id = engine.run(&name, &limits, &["awk", "BEGIN { s = \"x\"; while (1) s = s s }"]);
            (name, id, "die")
        }
        "flap" => {
            let args = ["run", "--detach", "--name", &name, "--network", "none", CHECKED, "/busybox", "sleep", "1000"];
            let id = engine.docker(&args).run().code(0).text().trim().to_owned();
            for (touch, wanted) in [(true, "healthy"), (false, "unhealthy"), (true, "healthy")] {
                let verb = if touch { "touch" } else { "rm" };
                docker(&["exec", &name, "/busybox", verb, "/ok"]);
                until(&format!("{name} is {wanted}"), || {
                    let shown = engine.docker(&["inspect", "--format", "{{.State.Health.Status}}", &name]).run();
                    (shown.text().trim() == wanted).then_some(())
                });
            }
            docker(&["kill", &name]);
            (name, id, "die")
        }
        other => panic!("nothing is known of {other}"),
    }
}
