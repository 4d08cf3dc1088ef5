//! A quarantine (R5.4, R8.4) beside others who want something of the same service, and on a disk that is full.

use std::path::PathBuf;

use serde_json::{Value, json};
use vigie_real_tests::{Frozen, SmallDisk, World, alive, free_port, freezer, until};

/// A server whose port is claimed, up.
fn server(world: &World) -> u32 {
    let port = free_port();
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile listen {port}\"\nports = [\"127.0.0.1:{port}\"]\n\
         ready = {{ log = \"^ready\" }}\nstop = [\"TERM 200ms\", \"KILL 500ms\"]\n"
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    world.pid("a")
}

fn ghosts(service: &Value) -> Vec<u64> {
    let ghosts = service["ghosts"].as_array().into_iter().flatten();
    ghosts
        .flat_map(|ghost| ghost["processes"].as_array().into_iter().flatten())
        .filter_map(|one| one["pid"].as_u64())
        .collect()
}

fn records(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.home().join("run/ghosts")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

/// Thaws it, and waits until nothing of it is left.
#[track_caller]
fn let_go(world: &World, frozen: Frozen, count: usize) {
    let record = |path: PathBuf| serde_json::from_slice::<Value>(&std::fs::read(path).ok()?).ok();
    let cgroups: Vec<PathBuf> = records(world)
        .into_iter()
        .filter_map(record)
        .filter_map(|record| record["cgroup"].as_str().map(PathBuf::from))
        .collect();
    drop(frozen);
    world.wait_events("a", "ghost_gone", count);
    until("nothing of it is left", || {
        (records(world).is_empty() && cgroups.iter().all(|folder| !folder.exists())).then_some(())
    });
}

/// Two set it aside, one starts it, one stops it, all at once: it is set aside once, and no run is lost or doubled.
#[test]
fn two_at_once_beside_a_start_and_a_stop() {
    const ROUNDS: usize = 4;
    let Some(root) = freezer("two_at_once_beside_a_start_and_a_stop") else { return };
    let world = World::new();
    server(&world);
    for round in 0..ROUNDS {
        let pid = world.pid("a");
        let frozen = Frozen::new(root, pid);
        world.vigie(&["stop", "a", "--yes"]).run().code(6);
        let asked = [
            &["quarantine", "a", "--yes"][..],
            &["quarantine", "a", "--yes"],
            &["start", "a"],
            &["stop", "a", "--yes"],
        ]
        .map(|words| world.vigie(words).start());
        let ended = asked.map(vigie_real_tests::Running::finish);
        let codes = ended.each_ref().map(|done| done.status.code().unwrap_or(-1));
        // 1 and 8: it is no ghost any more. 6: it was one still.
        assert!(codes[..2].iter().all(|code| [0, 1, 8].contains(code)), "round {round}: {codes:?} {}", ended[0]);
        assert!(codes[..2].contains(&0), "round {round}: {codes:?} {} {}", ended[0], ended[1]);
        // 1: a start that the stop came after.
        assert!(codes[2..].iter().all(|code| [0, 1, 6, 8].contains(code)), "round {round}: {codes:?} {}", ended[2]);
        let service = world.service("a");
        assert_eq!((ghosts(&service), records(&world).len()), (vec![u64::from(pid)], 1), "round {round}: {service:#}");
        assert!(alive(pid) && service["state"] != "ghost", "round {round}: {service:#}");
        assert_eq!(world.events_of("a", "quarantined").len(), round + 1, "round {round}");
        // Whoever came last may have left it up or down.
        let up = world.vigie(&["start", "a"]).run();
        assert!(matches!(up.status.code(), Some(0 | 3)), "{up}");
        assert_ne!(world.pid("a"), pid);
        let_go(&world, frozen, round + 1);
    }
    assert_eq!(world.events_of("a", "internal_fault").len(), 0, "{}", world.story());
}

/// Without its record nothing is set aside: the ghost stays what it is, and a second try with room succeeds.
#[test]
fn a_full_disk_sets_nothing_aside() {
    let name = "a_full_disk_sets_nothing_aside";
    let Some(root) = freezer(name) else { return };
    let world = World::new();
    let Some(disk) = SmallDisk::at(&world.home().join("run"), name) else { return };
    let pid = server(&world);
    let frozen = Frozen::new(root, pid);
    world.vigie(&["stop", "a", "--yes"]).run().code(6);
    let filler = disk.fill();
    let done = world.vigie(&["quarantine", "a", "--yes"]).run().code(1);
    assert!(done.errors().contains("not quarantined") && done.errors().contains("No space left"), "{done}");
    let service = world.service("a");
    assert_eq!((&service["state"], records(&world).len()), (&json!("ghost"), 0), "{service:#}");
    world.vigie(&["start", "a"]).run().code(6);
    std::fs::remove_file(filler).expect("it is ours");
    world.vigie(&["quarantine", "a", "--yes"]).run().code(0);
    world.vigie(&["start", "a"]).run().code(0);
    assert!(alive(pid) && world.pid("a") != pid);
    let_go(&world, frozen, 1);
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
}
