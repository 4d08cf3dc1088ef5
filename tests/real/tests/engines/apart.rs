//! Sources are independent: what one engine does is felt by nobody else.

use vigie_real_tests::{Engine, World, actions, elapsed, now, until};

/// Two real engines; one stands still (SIGSTOP), and then dies: the events of the other come without delay.
#[test]
fn one_stands_still() {
    let world = World::new();
    let test = "one_stands_still";
    let Some(first) = Engine::named("first", &world, test, &[]) else { return };
    let Some(second) = Engine::named("second", &world, test, &[]) else { return };
    for (name, engine) in [("first", &first), ("second", &second)] {
        world.vigie(&["source", "add", name, &engine.host()]).run().code(0);
    }
    world.wait_live("first");
    world.wait_live("second");
    second.run("web", &["--network", "none"], &["sleep", "1000"]);
    world.wait_last("container:second/web", "start");
    let told_within = |what: &str| {
        let before = actions(&world.told(&["container:second/web"])).len();
        second.docker(&["kill", "--signal", "CONT", "web"]).run().code(0);
        let happened = now();
        until(what, || (actions(&world.told(&["container:second/web"])).len() > before).then_some(()));
        elapsed(happened)
    };
    let usual = told_within("an event while both are well");
    let dockerd = first.dockerd();
    dockerd.stop();
    let beside_one_that_hangs = told_within("an event beside an engine that hangs");
    dockerd.signal(rustix::process::Signal::CONT);
    first.kill();
    let beside_one_that_died = told_within("an event beside an engine that died");
    world.wait_kind("first", "source_offline", 1);
    let beside_one_offline = told_within("an event beside an engine that is offline");
    println!("{usual:?} {beside_one_that_hangs:?} {beside_one_that_died:?} {beside_one_offline:?}");
    // The first attempt to reach the one that is away again comes after five seconds: nobody waits for that.
    let most = std::time::Duration::from_secs(4) + usual;
    for took in [beside_one_that_hangs, beside_one_that_died, beside_one_offline] {
        assert!(took < most, "{took:?}, and {usual:?} while both are well");
    }
    assert_eq!(world.source("second")["online"], true);
    assert!(world.told(&["source:second"]).iter().all(|event| event["kind"] != "source_offline"));
}
