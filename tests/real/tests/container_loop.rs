//! A crash loop that nobody looks at for a night (R6.3, R10.3): two hundred ends of one container, told by an engine that
//! repeats itself and whose streams break, are one story with two messages.

use std::time::Duration;

use serde_json::Value;
use vigie_fake_engine::{FakeEngine, Faults};
use vigie_real_tests::{Receiver, World, elapsed, now, of_kind, until};

/// So often it ends.
const EXITS: usize = 200;

/// So many ends are told together: far less than an engine remembers, so that what happens while nobody listens is not lost.
const TOGETHER: usize = 20;

fn json(world: &World, args: &[&str]) -> Value {
    let done = world.vigie(args).run().code(0);
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// What happened to the container, as the journal has it: when, and what.
fn told(world: &World) -> Vec<(u64, String)> {
    let events = world.told(&["container:web"]);
    let of = |event: &&Value| {
        let detail = &event["detail"];
        (detail["time_nano"].as_u64().unwrap_or(0), detail["action"].as_str().unwrap_or_default().to_owned())
    };
    of_kind(&events, "container_event").iter().map(of).collect()
}

#[test]
fn two_hundred_ends_are_one_story() {
    let receiver = Receiver::new();
    let world = World::new();
    world.vigie(&["notify", "add", "hook", &receiver.url("/hook"), "--private"]).run().code(0);
    world.vigie(&["rules", "set", "crash-loop", "clear=10s", "renotify=never"]).run().code(0);
    let engine = FakeEngine::start(Faults { doubles: true, ..Faults::default() });
    engine.happen("create", "web");
    world.vigie(&["source", "add", "nas", &engine.endpoint()]).run().code(0);
    world.wait_live("nas");
    engine.change(|state| state.history = Some(Vec::new()));

    let batches = EXITS / TOGETHER;
    for batch in 0..batches {
        if batch == batches / 2 {
            engine.break_streams();
        }
        engine.change(|state| {
            for _ in 0..TOGETHER {
                state.happen("start", "web", &[]);
                state.happen("die", "web", &[("exitCode", "7")]);
            }
        });
        // It is down meanwhile: however long that takes, nothing stays up.
        let count = 2 * TOGETHER * (batch + 1);
        until(&format!("{count} events are told"), || (told(&world).len() >= count).then_some(()));
    }
    assert_eq!(receiver.wait(1).len(), 1, "it was not over before it stayed up");
    let up = now();
    engine.happen("start", "web");
    let got = receiver.wait(2);
    assert!(elapsed(up) >= Duration::from_secs(10), "it was over after {:?}", elapsed(up));

    // Each once, in order, and nothing beside it: no end was guessed, and none is missing.
    let history = engine.change(|state| state.history.take()).unwrap_or_default();
    let happened: Vec<(u64, String)> = history.into_iter().map(|(at, _, action, _)| (at, action)).collect();
    assert_eq!(told(&world), happened);
    let streams = engine.requests().iter().filter(|path| path.contains("/events")).count();
    assert!(streams >= 2, "the stream that broke was opened again");
    let events = world.told(&["source:nas"]);
    let deaths: Vec<&Value> = events.iter().filter(|event| event["detail"]["action"] == "die").collect();
    assert_eq!(deaths.len(), EXITS);
    for death in deaths {
        let detail = &death["detail"];
        assert_eq!((&detail["exit_code"], &detail["inferred"]), (&7.into(), &false.into()), "{death:#}");
    }
    assert!(of_kind(&events, "gap").is_empty(), "{:#?}", of_kind(&events, "gap"));

    // One incident, one message when it opens, one when it is over, and none that waits.
    let all = json(&world, &["incidents", "--all", "--json"])["incidents"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all:#}");
    let one = &all[0];
    assert_eq!(
        (&one["rule"], &one["standing"], &one["container"], &one["count"]),
        (&"crash-loop".into(), &"resolved".into(), &"web".into(), &EXITS.into()),
        "{one:#}"
    );
    for kind in ["incident_opened", "incident_resolved"] {
        assert_eq!(of_kind(&events, kind).len(), 1, "{kind}");
    }
    let channel = until("it is known that both were delivered", || {
        Some(json(&world, &["notify", "ls", "--json"])["channels"][0].clone()).filter(|one| one["waiting"] == 0)
    });
    assert_eq!((&channel["delivered"], &channel["dropped"]), (&2.into(), &0.into()), "{channel:#}");
    let all = receiver.all();
    assert_eq!(all.len(), 2, "{all:#?}");
    let told = |place: usize, key: &str| got[place].body[key].clone();
    for (place, occasion, count) in [(0, "opened", 5), (1, "resolved", EXITS)] {
        assert_eq!(
            (told(place, "occasion"), told(place, "count"), told(place, "rule"), told(place, "container")),
            (occasion.into(), count.into(), "crash-loop".into(), "web".into()),
            "{got:#?}"
        );
    }
    assert_ne!(got[0].key, got[1].key);
    assert!(
        told(1, "text").as_str().is_some_and(|text| text.starts_with("it stays up again, for 10s now")),
        "{got:#?}"
    );
}
