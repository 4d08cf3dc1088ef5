//! A simulator that somebody has started by hand already, and test runners that were left behind since the afternoon
//! (R4.4, R4.5): found, named, and ended only when that is asked for.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use vigie_real_tests::{World, alive, until};

const ROBOT: &str =
    "import signal, sys, time\nsignal.alarm(120)\nprint('walking', flush=True)\nwhile True: time.sleep(60)\n";

fn project(world: &World) {
    for (file, text) in [("scripts/launch_complete_robot.py", ROBOT), ("tests/test_websocket.py", ROBOT)] {
        let path = world.project().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    world.manifest(
        "[service.robot]\ncommand = [\"python3\", \"scripts/launch_complete_robot.py\"]\nready = { log = \"^walking\" }\n\
         stop = [\"TERM 5s\", \"KILL 5s\"]\n[service.robot.mode.graphical]\n[service.robot.mode.headless]\n\
         args = [\"--headless\"]\n[service.tests]\ncommand = [\"python3\", \"tests/test_websocket.py\"]\nprofiles = [\"test\"]\n",
    );
}

/// Started by hand, as in a terminal in the project's folder.
struct ByHand(Child);

impl ByHand {
    fn start(world: &World, arguments: &[&str]) -> Self {
        Self::start_in(&world.project(), arguments)
    }

    fn start_in(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new("python3");
        // The search path of `World`: the same interpreter as the services'.
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        let child = Self(command.spawn().expect("python3"));
        // Until its exec it is a copy of this test, and for an instant after it a program without arguments.
        let dir = Path::new("/proc").join(child.0.id().to_string());
        until("python runs", || {
            let is_python = std::fs::read_link(dir.join("exe")).ok()?.to_string_lossy().contains("python");
            let words = std::fs::read_to_string(dir.join("cmdline")).ok()?;
            (is_python && words.contains(arguments[0])).then_some(())
        });
        child
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended, reaped or not.
    fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("our child").is_some()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn up_with_a_duplicate_that_was_started_by_hand() {
    let world = World::new();
    project(&world);
    let mut duplicate = ByHand::start(&world, &["scripts/launch_complete_robot.py", "--headless"]);
    let found = world.vigie(&["strays"]).run().code(1);
    assert!(found.text().contains(&duplicate.pid().to_string()), "{found}");

    // In a script: refused, the duplicate named, nothing ended.
    let refused = world.vigie(&["up", "-d", "robot:headless"]).run().code(3);
    let said = format!("{}{}", refused.text(), refused.errors());
    assert!(said.contains(&duplicate.pid().to_string()) && said.contains("--replace"), "{said}");
    assert!(!duplicate.is_over());

    // At a terminal: asked; Enter cancels, 1 replaces.
    let mut terminal = world.terminal(&["up", "-d", "robot:headless"]);
    terminal.wait_for("3");
    terminal.type_in("\n");
    assert_eq!(terminal.finish().code(), Some(3), "{}", terminal.screen());
    assert!(!duplicate.is_over());
    let mut terminal = world.terminal(&["up", "-d", "robot:headless"]);
    terminal.wait_for("3");
    terminal.type_in("1\n");
    assert_eq!(terminal.finish().code(), Some(0), "{}", terminal.screen());
    assert!(duplicate.is_over(), "{}", terminal.screen());
    let robot = world.wait_state("robot", "ready");
    assert_eq!(robot["mode"], "headless");
    world.vigie(&["strays"]).run().code(0);
    world.vigie(&["stop", "robot", "--yes"]).run().code(0);
}

#[test]
fn fifteen_test_runners_of_the_afternoon() {
    let world = World::new();
    project(&world);
    let mut runners: Vec<ByHand> = (0..15).map(|_| ByHand::start(&world, &["tests/test_websocket.py"])).collect();
    // Another folder's file of the same name is somebody else's.
    let elsewhere = world.path("elsewhere");
    std::fs::create_dir_all(elsewhere.join("tests")).expect("a folder");
    std::fs::write(elsewhere.join("tests/test_websocket.py"), ROBOT).expect("a file");
    let other = ByHand::start_in(&elsewhere, &["tests/test_websocket.py"]);

    let expected: BTreeSet<u64> = runners.iter().map(|runner| u64::from(runner.pid())).collect();
    let named = |arguments: &[&str]| -> BTreeSet<u64> {
        let done = world.vigie(arguments).run();
        let found: serde_json::Value =
            serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"));
        found["strays"].as_array().expect("a list").iter().filter_map(|stray| stray["pid"].as_u64()).collect()
    };
    assert_eq!(named(&["strays", "--json"]), expected);
    let dry = world.vigie(&["sweep", "--dry-run"]).run();
    for pid in &expected {
        assert!(dry.text().contains(&pid.to_string()), "{pid}: {dry}");
    }
    assert!(runners.iter_mut().all(|runner| !runner.is_over()));
    world.vigie(&["sweep"]).run().code(4);
    world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!(runners.iter_mut().all(ByHand::is_over));
    assert!(alive(other.pid()));
    world.vigie(&["strays"]).run().code(0);
}
