//! An engine that is away for a while, and its containers go on without it.

use vigie_real_tests::{Engine, Process, World, actions, of_kind, until};

/// Rows 22, 32: dockerd dies, its containers live on (`--live-restore`), some end meanwhile. When it is back the state is right,
/// the time between is a gap with its reason, what nobody saw is marked, and that it was away is told once, as is the return.
#[test]
fn an_engine_away_for_long() {
    let world = World::new();
    let Some(engine) = Engine::start(&world, "an_engine_away_for_long", &["--live-restore"]) else { return };
    world.vigie(&["source", "add", "nas", &engine.host()]).run().code(0);
    world.wait_live("nas");
    let mut ids = Vec::new();
    for name in ["steady", "ending", "removed"] {
        ids.push(engine.run(name, &["--network", "none"], &["sleep", "1000"]));
        world.wait_last(&format!("container:{name}"), "start");
    }
    engine.kill_alone();
    world.wait_kind("nas", "source_offline", 1);
    kill(&ids[1]);
    engine.again();
    world.wait_live("nas");
    let events = world.wait_last("container:ending", "die");
    let die = events.last().expect("die");
    assert_eq!(die["detail"]["id"], ids[1].as_str());
    // An engine that finds it dead when it comes back may tell of it, or its list shows it.
    println!("the end of a container without its engine: {:#}", die["detail"]);
    engine.docker(&["rm", "--force", "removed"]).run().code(0);
    world.wait_last("container:removed", "destroy");
    let events = world.told(&["source:nas"]);
    for kind in ["source_offline", "source_online", "gap"] {
        assert_eq!(of_kind(&events, kind).len(), 1, "{kind}: {events:#?}");
    }
    let gap = &of_kind(&events, "gap")[0]["detail"];
    assert!(gap["why"].as_str().is_some_and(|why| why.contains("forgotten")), "{gap:#}");
    assert!(gap["from"].as_u64() < gap["to"].as_u64(), "{gap:#}");
    assert_eq!(actions(&world.told(&["container:steady"])), ["create", "start"], "it lived through all of it");
    assert_eq!(world.source("nas")["containers"], 2);
}

/// Ends the processes of a container behind the back of its engine: by descriptor, after another look at whose they are.
#[track_caller]
fn kill(id: &str) {
    let belongs = |pid: u32| {
        let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroup.contains(id)
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found: Vec<Process> = pids.filter_map(|pid| Process::open(pid, belongs)).collect();
    assert!(!found.is_empty(), "nobody is in the cgroup of {id}");
    found.iter().for_each(Process::kill);
    until("it is gone", || found.iter().all(|one| !vigie_real_tests::alive(one.pid)).then_some(()));
}
