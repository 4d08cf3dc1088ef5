//! The disk of an engine fills up and has room again (R10.3, R11.5): a real file system, whose folder an engine of this
//! machine names, and a real receiver.

use std::time::Duration;

use serde_json::Value;
use vigie_fake_engine::{FakeEngine, Faults};
use vigie_real_tests::{Receiver, SmallDisk, World, elapsed, now, of_kind, until};

fn json(world: &World, args: &[&str]) -> Value {
    // That an incident is open is an exit code of its own.
    let done = world.vigie(args).run();
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// Waits until the disk was asked and said that it is so full.
#[track_caller]
fn wait_used(world: &World, percent: u32) {
    let disk = until(&format!("its disk is known to be {percent} % full"), || {
        let disk = world.source("nas")["last_disk"].clone();
        // It has pages, and no pieces of them.
        let said = disk["used_percent"].as_f64();
        said.is_some_and(|said| (said - f64::from(percent)).abs() < 0.6).then_some(disk)
    });
    assert_eq!((&disk["how"], &disk["total_bytes"]), (&"statfs".into(), &(1 << 20).into()), "{disk:#}");
}

#[test]
fn a_disk_that_fills_up() {
    let receiver = Receiver::new();
    let world = World::new();
    let root = world.home().join("engine");
    let Some(disk) = SmallDisk::at(&root, "a_disk_that_fills_up") else { return };
    let engine = FakeEngine::start(Faults::default());
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    engine.change(|state| state.place = Some((name, root.display().to_string())));
    world.vigie(&["notify", "add", "hook", &receiver.url("/hook"), "--private"]).run().code(0);
    world.vigie(&["settings", "set", "disk.interval=59s"]).run().code(2).says("1m");
    world.vigie(&["settings", "set", "disk.interval=1m"]).run().code(0);

    // Below, and between the two bounds on its way up: nothing.
    disk.fill_to(83);
    world.vigie(&["source", "add", "nas", &engine.endpoint()]).run().code(0);
    wait_used(&world, 83);
    // Whoever measures anew measures soon; no rule waits for the next minute then.
    let anew = || {
        world.daemon().kill();
        world.vigie(&["daemon", "start"]).run().code(0);
    };
    disk.fill_to(90);
    anew();
    let opened = receiver.wait(1)[0].body.clone();
    assert_eq!(
        (&opened["occasion"], &opened["rule"], &opened["severity"], &opened["source"]),
        (&"opened".into(), &"disk-low".into(), &"warning".into(), &"nas".into()),
        "{opened:#}"
    );

    // Between the two on its way down: still the same, over the death of the daemon, too.
    until("it is known that it was delivered", || {
        (json(&world, &["notify", "ls", "--json"])["channels"][0]["delivered"] == 1).then_some(())
    });
    disk.fill_to(82);
    anew();
    wait_used(&world, 82);
    let measured = now();
    let open = json(&world, &["incidents", "--all", "--json"])["incidents"].clone();
    assert_eq!((open.as_array().map(Vec::len), &open[0]["standing"]), (Some(1), &"open".into()), "{open:#}");

    // The next look is the one that the interval brings.
    disk.fill_to(60);
    until("the next look is near", || (elapsed(measured) > Duration::from_secs(45)).then_some(()));
    let resolved = receiver.wait(2)[1].body.clone();
    wait_used(&world, 60);
    assert_eq!(
        (&resolved["occasion"], &resolved["rule"], &resolved["incident"]),
        (&"resolved".into(), &"disk-low".into(), &opened["incident"]),
        "{resolved:#}"
    );
    // What it was at 83 and 82 % is no part of the story.
    for (body, text) in [(&opened, "disk_used_percent is 90"), (&resolved, "disk_used_percent is 60")] {
        assert!(body["text"].as_str().is_some_and(|told| told.starts_with(text)), "{body:#}");
    }
    let channel = until("it is known that both were delivered", || {
        Some(json(&world, &["notify", "ls", "--json"])["channels"][0].clone()).filter(|one| one["waiting"] == 0)
    });
    assert_eq!((&channel["delivered"], &channel["dropped"]), (&2.into(), &0.into()), "{channel:#}");
    assert_eq!(receiver.all().len(), 2, "{:#?}", receiver.all());
    let all = json(&world, &["incidents", "--all", "--json"])["incidents"].clone();
    assert_eq!((all.as_array().map(Vec::len), &all[0]["standing"]), (Some(1), &"resolved".into()), "{all:#}");
    let events = world.told(&["source:nas"]);
    for kind in ["incident_opened", "incident_resolved"] {
        assert_eq!(of_kind(&events, kind).len(), 1, "{kind}: {events:#?}");
    }
}
