//! The worlds themselves: one that leaves something behind fails its test, and ends it all the same.

use vigie_real_tests::World;

#[test]
fn what_is_left_behind_is_found_named_and_ended() {
    let world = World::new();
    let lifeline = world.lifeline();
    std::fs::create_dir(world.home()).expect("a folder");
    // A process of this world that no keeper holds, deaf and in a session of its own.
    let stray = world.stranger(&["daemonize"]).env("VIGIE_HOME", world.home()).env("HOSTILE_LIFELINE", lifeline.path());
    // It holds the output, so only its parent is waited for.
    let parent = stray.start();
    parent.wait_out("ready");
    parent.kill();
    assert!(!lifeline.is_cut());
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(world)));
    let message = end.expect_err("something is left behind");
    let message = message.downcast_ref::<String>().expect("a text");
    assert!(message.contains("left behind") && message.contains("daemonize"), "{message}");
    lifeline.wait_cut();
}

/// Two at one time are seen, also when the second is only the first one's orphan.
#[test]
fn a_double_is_registered() {
    let world = World::new();
    let register = world.register("register");
    let start = |mode: &[&str]| {
        let running = world.stranger(mode).env("HOSTILE_REGISTER", &register).start();
        running.wait_out("ready");
        running
    };
    let doubles = || std::fs::read_to_string(register.join("doubles")).unwrap_or_default().lines().count();
    let lifeline = world.lifeline();
    let first = world.stranger(&["leader"]).env("HOSTILE_REGISTER", &register).env("HOSTILE_LIFELINE", lifeline.path());
    let first = first.start();
    first.wait_out("ready");
    assert_eq!(doubles(), 0);
    let second = start(&["wait"]);
    assert_eq!(doubles(), 1);
    second.kill();
    // The leader is gone, its child is not.
    let child = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", first.pid())).expect("it has one");
    let child =
        child.trim().parse().ok().and_then(|pid| vigie_real_tests::Process::open(pid, |_| true)).expect("alive");
    first.kill();
    assert!(!lifeline.is_cut());
    let third = start(&["wait"]);
    assert_eq!(doubles(), 2);
    third.kill();
    child.kill();
    lifeline.wait_cut();
    start(&["wait"]).kill();
    assert_eq!(doubles(), 2, "nobody lived beside the last one");
}
