//! Incidents of containers (R10.3, R11.4) of a real engine, told to a real receiver: one story a cause, and nothing of what
//! somebody asked for.

use serde_json::Value;
use vigie_real_tests::{Engine, Receiver, Request, World, skip, until};

/// A world with a channel to this receiver, an engine and the source `nas`. `None`: skipped.
fn begin(test: &str, receiver: &Receiver) -> Option<(World, Engine)> {
    let world = World::new();
    let engine = Engine::start(&world, test, &[])?;
    world.vigie(&["notify", "add", "hook", &receiver.url("/hook"), "--private"]).run().code(0);
    world.vigie(&["source", "add", "nas", &engine.host()]).run().code(0);
    until("the source is followed", || {
        let nas = json(&world, &["source", "ls", "--json"])["sources"][0].clone();
        (nas["stage"] == "live" && nas["online"] == true).then_some(())
    });
    Some((world, engine))
}

fn json(world: &World, args: &[&str]) -> Value {
    let done = world.vigie(args).run();
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// What was told of a container.
fn about(receiver: &Receiver, name: &str) -> Vec<Request> {
    receiver.all().into_iter().filter(|got| got.body["container"] == name).collect()
}

fn wait_about(receiver: &Receiver, name: &str, count: usize) -> Vec<Value> {
    let got = until(&format!("{count} messages about {name}"), || {
        Some(about(receiver, name)).filter(|got| got.len() >= count)
    });
    got.into_iter().map(|got| got.body).collect()
}

fn occasions(messages: &[Value]) -> Vec<&str> {
    messages.iter().filter_map(|message| message["occasion"].as_str()).collect()
}

/// The actions of a container that the journal has.
fn actions(world: &World, target: &str) -> Vec<String> {
    let done = world.vigie(&["events", "--json", "-n", "100000", target]).run();
    // 8: nothing is known of it yet.
    assert!(matches!(done.status.code(), Some(0 | 8)), "{done}");
    let events = done.out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let of = |line: &[u8]| {
        let event: Value = serde_json::from_slice(line).ok()?;
        Some(event["detail"]["action"].as_str()?.to_owned())
    };
    events.filter_map(of).collect()
}

/// R6.3: the engine starts again what exits, and waits longer each time: one story with a count and the exit code, opened
/// once, resolved once, whoever of vigie is killed meanwhile.
#[test]
fn a_container_that_crashes() {
    let receiver = Receiver::new();
    let Some((world, engine)) = begin("a_container_that_crashes", &receiver) else { return };
    world.vigie(&["rules", "set", "crash-loop", "clear=10s"]).run().code(0);
    // What it writes outlives its ends. Behind the eighth the engine waits for 25 seconds: who is down is not up for ten.
    let script = "n=$(/busybox cat /n 2>/dev/null || echo 0); n=$((n+1)); echo $n > /n; \
        if [ $n -le 8 ]; then exit 7; fi; exec /busybox sleep 1000";
    engine.run("web", &["--network", "none", "--restart", "always"], &["sh", "-c", script]);
    let opened = wait_about(&receiver, "web", 1)[0].clone();
    assert_eq!(
        (&opened["rule"], &opened["count"], &opened["source"]),
        (&"crash-loop".into(), &5.into(), &"nas".into())
    );
    assert_eq!(opened["severity"], "critical");
    let title = opened["title"].as_str().expect("a title");
    assert!(
        title.contains("container:nas/web: crash loop: 5 ends in ") && title.ends_with("exited with code 7"),
        "{title}"
    );
    until("it is known that it was delivered", || {
        (json(&world, &["notify", "ls", "--json"])["channels"][0]["delivered"] == 1).then_some(())
    });
    world.daemon().kill();
    world.vigie(&["daemon", "start"]).run().code(0);
    until("the last end is told", || {
        (actions(&world, "container:web").iter().filter(|action| *action == "die").count() == 8).then_some(())
    });
    let got = wait_about(&receiver, "web", 2);
    assert_eq!(occasions(&got), ["opened", "resolved"]);
    assert_eq!(got[1]["count"], 8, "{:#}", got[1]);
    assert!(
        got[1]["text"].as_str().is_some_and(|text| text.starts_with("it stays up again, for 10s now")),
        "{:#}",
        got[1]
    );
    assert_eq!(actions(&world, "container:web").iter().filter(|action| *action == "die").count(), 8);
    let all = json(&world, &["incidents", "--all", "--json"])["incidents"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all:#}");
    assert_eq!((&all[0]["standing"], &all[0]["container"]), (&"resolved".into(), &"web".into()));
}

/// What somebody asks for is told to nobody; memory that runs out, and a health check that fails, is one story each.
#[test]
fn what_is_asked_for_and_what_is_not() {
    let receiver = Receiver::new();
    let Some((world, engine)) = begin("what_is_asked_for_and_what_is_not", &receiver) else { return };
    // To be told of all that could be told of.
    for rule in [&["crash-loop", "exits=2"][..], &["container-exited", "on=yes", "for=1s"], &["degraded", "for=0s"]] {
        world.vigie(&[&["rules", "set"], rule].concat()).run().code(0);
    }
    // The first process of a PID namespace gets no signal that it has no handler for: it ignores TERM.
    engine.run("calm", &["--network", "none"], &["sleep", "1000"]);
    for command in [
        &["stop", "--time", "1", "calm"][..],
        &["start", "calm"],
        &["restart", "--time", "1", "calm"],
        &["kill", "--signal", "HUP", "calm"],
        &["kill", "--signal", "USR1", "calm"],
        &["kill", "calm"],
        &["start", "calm"],
        &["restart", "--time", "0", "calm"],
        &["rm", "--force", "calm"],
    ] {
        engine.docker(command).run().code(0);
    }
    engine.run("job", &["--network", "none"], &["true"]);

    let has_limits = engine.docker(&["info", "--format", "{{.MemoryLimit}}"]).run().code(0).text().trim() == "true";
    if has_limits {
        engine.run(
            "hungry",
            &["--network", "none", "--memory", "16m", "--restart", "on-failure:2"],
            &["tail", "/dev/zero"],
        );
        let got = wait_about(&receiver, "hungry", 1);
        assert_eq!(
            (&got[0]["rule"], &got[0]["severity"]),
            (&"container-oom".into(), &"critical".into()),
            "{:#}",
            got[0]
        );
        until("it was started twice again", || {
            (actions(&world, "container:hungry").iter().filter(|action| *action == "die").count() == 3).then_some(())
        });
    } else {
        skip("what_is_asked_for_and_what_is_not", "the engine limits no memory: its cgroups have no such controller");
    }

    let check = "HEALTHCHECK --interval=1s --retries=1 CMD [\"/busybox\", \"test\", \"-e\", \"/ok\"]";
    engine.docker(&["create", "--name", "plain", "vigie-test", "/busybox", "true"]).run().code(0);
    engine.docker(&["commit", "--change", check, "plain", "checked"]).run().code(0);
    let command = ["run", "--detach", "--network", "none", "--name", "ill", "checked", "/busybox", "sleep", "1000"];
    engine.docker(&command).run().code(0);
    let got = wait_about(&receiver, "ill", 1);
    assert_eq!((&got[0]["rule"], &got[0]["occasion"]), (&"degraded".into(), &"opened".into()), "{:#}", got[0]);
    let health = |wanted: &str| {
        until(wanted, || {
            let state = engine.docker(&["inspect", "--format", "{{.State.Health.Status}}", "ill"]).run().code(0);
            (state.text().trim() == wanted).then_some(())
        });
    };
    for _ in 0..2 {
        engine.docker(&["exec", "ill", "/busybox", "touch", "/ok"]).run().code(0);
        health("healthy");
        engine.docker(&["exec", "ill", "/busybox", "rm", "/ok"]).run().code(0);
        health("unhealthy");
    }
    engine.docker(&["rm", "--force", "ill"]).run().code(0);
    until("its end is told", || actions(&world, "container:ill").contains(&"destroy".to_owned()).then_some(()));

    // A loop that is stopped is over. What there was to tell before it was told before it.
    world.vigie(&["rules", "set", "container-exited", "on=no"]).run().code(0);
    engine.run("loop", &["--network", "none", "--restart", "always"], &["sh", "-c", "exit 3"]);
    wait_about(&receiver, "loop", 1);
    engine.docker(&["rm", "--force", "loop"]).run().code(0);
    let got = wait_about(&receiver, "loop", 2);
    assert_eq!(occasions(&got), ["opened", "resolved"]);
    let why = got[1]["text"].as_str().unwrap_or_default();
    assert!(why.starts_with("somebody stopped it") || why.starts_with("it was removed"), "{why}");
    for (name, told) in [("calm", 0), ("job", 0), ("plain", 0), ("ill", 2), ("hungry", usize::from(has_limits))] {
        let got = about(&receiver, name);
        assert_eq!(got.len(), told, "{name}: {got:#?}");
    }
}

/// Of a container that somebody works on, and of a whole source, nothing is told; all of it can be seen.
#[test]
fn a_silenced_container() {
    let receiver = Receiver::new();
    let Some((world, engine)) = begin("a_silenced_container", &receiver) else { return };
    world.vigie(&["rules", "set", "container-exited", "on=yes", "for=0s"]).run().code(0);
    for (args, code, word) in [
        (&["container:lopy"][..], 8, "there is no container lopy"),
        (&["source:nass"], 8, "did you mean source:nas?"),
        (&["port:80"], 2, "a service, a container or a source"),
    ] {
        let done = world.vigie(&[&["notify", "silence", "--for", "1h"], args].concat()).run().code(code);
        assert!(String::from_utf8_lossy(&done.err).contains(word), "{done}");
    }
    for name in ["loopy", "other"] {
        engine.run(name, &["--network", "none"], &["sh", "-c", "sleep 1000 & wait; exit 7"]);
        until("it is known", || {
            actions(&world, &format!("container:{name}")).last().filter(|last| *last == "start").map(drop)
        });
    }
    let done = world.vigie(&["notify", "silence", "container:nas/loopy", "--for", "1h"]).run().code(0);
    assert!(String::from_utf8_lossy(&done.out).contains("about container:nas/loopy until"), "{done}");
    for name in ["loopy", "other"] {
        engine.docker(&["exec", name, "/busybox", "kill", "-9", "-1"]).run();
    }
    wait_about(&receiver, "other", 1);
    let open = || json(&world, &["incidents", "--json"])["incidents"].as_array().map_or(0, Vec::len);
    until("both are open", || (open() == 2).then_some(()));
    assert!(about(&receiver, "loopy").is_empty(), "it was silenced");
    // The whole source: this silence ends, and the other one holds back what it did.
    world.vigie(&["notify", "silence", "source:nas", "--for", "1h"]).run().code(0);
    world.vigie(&["notify", "silence", "--end", "1"]).run().code(0);
    let silences = json(&world, &["notify", "silence", "--json"])["silences"].clone();
    assert_eq!((&silences[0]["source"], &silences[0]["container"]), (&"nas".into(), &Value::Null), "{silences:#}");
    assert!(about(&receiver, "loopy").is_empty(), "its source is silenced");
    world.vigie(&["notify", "silence", "--end", "2"]).run().code(0);
    assert_eq!(occasions(&wait_about(&receiver, "loopy", 1)), ["opened"]);
}
