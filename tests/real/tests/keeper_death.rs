//! The keeper may die (R6.7): its tree is found again and ended, and there are never two.

use vigie_real_tests::{Process, World};

fn world(mode: &str, more: &str, unprivileged: bool) -> (World, std::path::PathBuf) {
    let world = if unprivileged { World::unprivileged() } else { World::new() };
    let register = world.register("register");
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile {mode}\"\nready = {{ log = \"^ready\" }}\n{more}\n\
         env = {{ HOSTILE_REGISTER = \"{}\" }}\nstop = [\"TERM 300ms\", \"KILL 5s\"]\n",
        register.display()
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    (world, register)
}

const RESTART: &str = "restart = { delay = \"10ms\", factor = 1, jitter = 0 }";

/// The tree is ended, and one new run follows by policy.
#[test]
fn one_restart_and_never_two() {
    for unprivileged in [false, true] {
        for mode in ["wait", "double-fork", "escapee"] {
            let (world, register) = world(mode, RESTART, unprivileged);
            for kills in 1..=3 {
                let pid = world.pid("a");
                world.keeper("a").kill();
                world.wait_service("a", "another run", |service| {
                    (service["state"] == "ready" && service["run"]["pid"] != pid).then_some(())
                });
                assert_eq!(world.service("a")["restarts"], kills, "{}", world.story());
            }
            assert!(!register.join("doubles").exists(), "{mode}: two lived at one time:\n{}", world.story());
            assert_eq!(world.events_of("a", "keeper_lost").len(), 3);
            assert_eq!(world.events_of("a", "started").len(), 4);
        }
    }
}

#[test]
fn without_a_restart_nothing_of_it_is_left() {
    for unprivileged in [false, true] {
        let (world, _) = world("hydra 1000", "restart = \"never\"", unprivileged);
        world.keeper("a").kill();
        let service = world.wait_state("a", "failed");
        assert!(service["why"].is_string(), "{service:#}");
        assert!(service["run"].is_null(), "{service:#}");
        // The world's end looks for the hydra, too.
    }
}

/// Keeper, main process and daemon, all at once.
#[test]
fn all_that_could_tell_is_gone() {
    let (world, register) = world("double-fork", RESTART, false);
    for _ in 0..3 {
        let (keeper, main, daemon) = (world.keeper("a"), world.pid("a"), world.daemon());
        let main = Process::open(main, |_| true).expect("it lives");
        daemon.kill();
        keeper.kill();
        main.kill();
        world.vigie(&["daemon", "start"]).run().code(0);
        world.wait_service("a", "another run", |service| {
            (service["state"] == "ready" && service["run"]["pid"] != main.pid).then_some(())
        });
    }
    assert!(!register.join("doubles").exists(), "two lived at one time:\n{}", world.story());
}

/// The keeper is gone, the daemon was not there to see it: seen without a daemon, and ended by hand.
#[test]
fn the_last_resort_finds_what_nobody_holds() {
    let (world, _) = world("double-fork", RESTART, false);
    let lifeline = world.lifeline();
    let other = world.run("x", &["double-fork"]).env("HOSTILE_LIFELINE", lifeline.path()).start();
    other.wait_out("ready");
    let (daemon, keepers) = (world.daemon(), [world.keeper("a"), world.keeper("x")]);
    other.stop();
    daemon.kill();
    for keeper in keepers {
        keeper.kill();
    }
    other.kill();
    let service = world.service("a");
    assert!(service["run"]["pid"].is_u64(), "it still runs: {service:#}");
    assert!(service["why"].as_str().is_some_and(|why| why.contains("keeper")), "{service:#}");
    world.vigie(&["kill-all", "--yes"]).run().code(0);
    lifeline.assert_cut();
    assert!(world.service("a")["run"].is_null());
}
