//! One list of cases, run on both: what happens at the engine, and what has to be in the journal.

use std::collections::BTreeSet;

use serde_json::Value;
use vigie_fake_engine::{FakeEngine, Faults};
use vigie_real_tests::{Engine, Recording, Told, World, actions, compare, of_kind, until};

/// As much of an engine as the cases need. Containers are known by their names.
trait Dock {
    fn endpoint(&self) -> String;
    /// Everything that has happened to containers since it was made.
    fn truth(&self) -> BTreeSet<Told>;
    fn run(&self, name: &str);
    /// TERM, which it ignores, then KILL.
    fn stop(&self, name: &str);
    fn signal(&self, name: &str, count: usize);
    fn act(&self, action: &str, name: &str);
    fn rename(&self, name: &str, to: &str);
    /// The id of a container.
    fn id(&self, name: &str) -> String;
    /// Waits until this was told by the engine itself.
    fn wait(&self, action: &str, id: &str);
}

struct Real {
    engine: Engine,
    recording: Recording,
}

impl Dock for Real {
    fn endpoint(&self) -> String {
        self.engine.host()
    }

    fn truth(&self) -> BTreeSet<Told> {
        self.recording.told()
    }

    fn run(&self, name: &str) {
        // The first process of a PID namespace gets no signal that it has no handler for: it ignores TERM.
        self.engine.run(name, &["--network", "none"], &["sleep", "1000"]);
    }

    fn stop(&self, name: &str) {
        self.engine.docker(&["stop", "--time", "0", name]).run().code(0);
    }

    fn signal(&self, name: &str, count: usize) {
        let args = [&["kill", "--signal", "CONT"][..], &vec![name; count]].concat();
        self.engine.docker(&args).run().code(0);
    }

    fn act(&self, action: &str, name: &str) {
        self.engine.docker(&[action, name]).run().code(0);
    }

    fn rename(&self, name: &str, to: &str) {
        self.engine.docker(&["rename", name, to]).run().code(0);
    }

    fn id(&self, name: &str) -> String {
        let done = self.engine.docker(&["inspect", "--format", "{{.Id}}", name]).run().code(0);
        done.text().trim().to_owned()
    }

    fn wait(&self, action: &str, id: &str) {
        self.recording.wait(action, id);
    }
}

struct Fake(FakeEngine);

impl Dock for Fake {
    fn endpoint(&self) -> String {
        self.0.endpoint()
    }

    fn truth(&self) -> BTreeSet<Told> {
        let all = self.0.change(|state| state.history.clone()).unwrap_or_default();
        all.into_iter().map(|(at, _, action, id)| (at, action, id)).collect()
    }

    fn run(&self, name: &str) {
        self.0.happen_with("create", &self.id(name), &[("name", name), ("image", "vigie-test")]);
        self.0.happen("start", &self.id(name));
    }

    fn stop(&self, name: &str) {
        let id = self.id(name);
        self.0.happen_with("kill", &id, &[("signal", "15")]);
        self.0.happen_with("kill", &id, &[("signal", "9")]);
        self.0.happen_with("die", &id, &[("exitCode", "137")]);
        self.0.happen("stop", &id);
    }

    fn signal(&self, name: &str, count: usize) {
        self.0.burst(count, "kill", &self.id(name), &[("signal", "18")]);
    }

    fn act(&self, action: &str, name: &str) {
        let action = if action == "rm" { "destroy" } else { action };
        self.0.happen(action, &self.id(name));
    }

    fn rename(&self, name: &str, to: &str) {
        self.0.happen_with("rename", &self.id(name), &[("name", to)]);
    }

    /// By its name, or as the id of one that was made under another.
    fn id(&self, name: &str) -> String {
        let known = |state: &mut vigie_fake_engine::state::State| {
            let mut all = state.containers.iter();
            all.find(|(_, container)| container.name == name).map(|(id, _)| id.clone())
        };
        self.0.change(known).unwrap_or_else(|| format!("{:0>64}", format!("{name}c0ffee")))
    }

    fn wait(&self, action: &str, id: &str) {
        until(&format!("{id} {action}"), || {
            self.truth().iter().any(|(_, told, of)| told == action && of == id).then_some(())
        });
    }
}

/// Runs a case on both engines, each with the source `nas` of a world of its own.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        mod on_a_real_engine {
            $(#[test]
            fn $case() {
                let world = super::World::new();
                let Some(engine) = super::Engine::start(&world, stringify!($case), &[]) else { return };
                let recording = super::Recording::begin(&engine.socket());
                let dock = super::Real { engine, recording };
                super::followed(&world, &dock);
                super::$case(&world, &dock);
            })*
        }

        mod on_the_fake_engine {
            $(#[test]
            fn $case() {
                let world = super::World::new();
                let engine = super::FakeEngine::start(super::Faults::default());
                engine.change(|state| state.history = Some(Vec::new()));
                // As dockerd does: there is always something that happened before.
                engine.happen_elsewhere("network", "create", "bridge");
                let dock = super::Fake(engine);
                super::followed(&world, &dock);
                super::$case(&world, &dock);
            })*
        }
    };
}

cases!(
    each_thing_once,
    away_for_a_hundred,
    away_for_six_hundred,
    broken_streams_lose_nothing,
    changed_while_it_runs,
    removed_while_it_is_asked,
);

fn followed(world: &World, dock: &impl Dock) {
    world.vigie(&["source", "add", "nas", &dock.endpoint()]).run().code(0);
    world.wait_live("nas");
}

/// Compares what happened with what is told. The last thing has to have happened to a container of this name.
#[track_caller]
fn right(world: &World, dock: &impl Dock, name: &str, last: &str) -> Vec<Value> {
    world.wait_last(&format!("container:{name}"), last);
    let events = world.told(&["source:nas"]);
    let compared = compare(&dock.truth(), &events);
    compared.assert_right();
    assert_eq!((compared.in_gaps, compared.inferred), (0, 0), "{compared:?}");
    events
}

/// Rows 26, 33, 34: everything that happens, once, with its facts and to the nanosecond.
fn each_thing_once(world: &World, dock: &impl Dock) {
    dock.run("web");
    let id = dock.id("web");
    dock.act("pause", "web");
    dock.act("unpause", "web");
    dock.rename("web", "api");
    dock.stop("api");
    dock.wait("stop", &id);
    dock.act("rm", "api");
    dock.wait("destroy", &id);
    let events = right(world, dock, "api", "destroy");
    let events = of_kind(&events, "container_event");
    let told: Vec<&str> = events.iter().filter_map(|event| event["detail"]["action"].as_str()).collect();
    let stop = ["kill", "kill", "die", "stop"];
    assert_eq!(told, [&["create", "start", "pause", "unpause", "rename"][..], &stop, &["destroy"]].concat());
    let detail = |place: usize, name: &str| events[place]["detail"][name].clone();
    assert_eq!((detail(5, "signal"), detail(6, "signal"), detail(7, "exit_code")), (15.into(), 9.into(), 137.into()));
    assert_eq!((detail(4, "old_name"), &events[4]["container"]), ("web".into(), &"api".into()));
}

/// Row 22: what happens while nobody reads is asked for again, as long as the engine has it.
fn away_for_a_hundred(world: &World, dock: &impl Dock) {
    dock.run("web");
    world.wait_last("container:web", "start");
    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    dock.signal("web", 100);
    world.vigie(&["daemon", "start"]).run().code(0);
    dock.act("pause", "web");
    dock.act("unpause", "web");
    let events = right(world, dock, "web", "unpause");
    assert!(of_kind(&events, "gap").is_empty(), "{events:#?}");
}

/// Row 23: what it has not any more is a gap, one, and nothing outside of it is missing.
fn away_for_six_hundred(world: &World, dock: &impl Dock) {
    dock.run("web");
    world.wait_last("container:web", "start");
    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    dock.signal("web", 600);
    world.vigie(&["daemon", "start"]).run().code(0);
    world.wait_kind("nas", "gap", 1);
    dock.act("pause", "web");
    world.wait_last("container:web", "pause");
    // What is frozen cannot be killed on cgroup v1: the engine could not be ended.
    dock.act("unpause", "web");
    world.wait_last("container:web", "unpause");
    let events = world.told(&["source:nas"]);
    let compared = compare(&dock.truth(), &events);
    compared.assert_right();
    assert!(compared.in_gaps >= 600 - 256 && compared.inferred == 0, "{compared:?}");
    assert_eq!(of_kind(&events, "gap").len(), 1);
}

/// Row 22: the worker dies again and again while things happen.
fn broken_streams_lose_nothing(world: &World, dock: &impl Dock) {
    dock.run("web");
    world.wait_last("container:web", "start");
    for _ in 0..3 {
        let pid = until("a worker follows", || world.sources()["worker"]["pid"].as_u64());
        dock.act("pause", "web");
        // It may have been replaced since: then there is nobody to kill.
        if let Some(worker) = vigie_real_tests::Process::open(u32::try_from(pid).expect("a PID"), |_| true) {
            worker.kill();
        }
        dock.act("unpause", "web");
        world.wait_last("container:web", "unpause");
    }
    dock.rename("web", "api");
    let events = right(world, dock, "api", "rename");
    assert!(of_kind(&events, "gap").is_empty(), "{events:#?}");
}

/// Rows 36, D3: settings that are changed count from then on, and lose nothing.
fn changed_while_it_runs(world: &World, dock: &impl Dock) {
    dock.run("web");
    world.wait_last("container:web", "start");
    let endpoint = dock.endpoint();
    let settings = ["source", "add", "nas", &endpoint, "--replace", "--ignore-name", "ci-*", "--action", "pause"];
    world.vigie(&settings).run().code(0);
    dock.run("ci-1");
    dock.act("pause", "ci-1");
    dock.act("pause", "web");
    dock.act("unpause", "web");
    dock.act("pause", "web");
    until("the second pause is told", || {
        let events = world.told(&["container:web"]);
        (actions(&events).iter().filter(|action| *action == "pause").count() == 2).then_some(())
    });
    // What is frozen cannot be killed on cgroup v1: the engine could not be ended.
    dock.act("unpause", "ci-1");
    dock.act("unpause", "web");
    let events = world.told(&["source:nas"]);
    assert_eq!(actions(&events), ["create", "start", "pause", "pause"], "neither ci-1 nor unpause");
    assert!(of_kind(&events, "gap").is_empty(), "{events:#?}");
    assert_eq!(world.source("nas")["containers"], 2, "what is not told is known all the same");
}

/// Row D5: one that is removed, whatever it is being asked, leaves nothing behind, and begins anew when it is added again.
fn removed_while_it_is_asked(world: &World, dock: &impl Dock) {
    dock.run("web");
    world.wait_last("container:web", "start");
    for _ in 0..3 {
        world.vigie(&["source", "add", "nas", &dock.endpoint(), "--replace", "--poll", "30s"]).run().code(0);
        world.vigie(&["source", "rm", "nas"]).run().code(0);
        assert_eq!(world.sources()["sources"], Value::Array(Vec::new()));
        world.vigie(&["source", "add", "nas", &dock.endpoint()]).run().code(0);
        world.vigie(&["source", "rm", "nas"]).run().code(0);
    }
    until("no source, no worker", || world.status()["services"].as_array().is_some_and(Vec::is_empty).then_some(()));
    assert_eq!(world.sources()["worker"], Value::Null);
    dock.act("pause", "web");
    followed(world, dock);
    dock.act("unpause", "web");
    let events = world.wait_last("container:web", "unpause");
    assert!(!actions(&events).contains(&"pause".to_owned()), "it was no source then: {events:#?}");
    assert_eq!(world.source("nas")["containers"], 1);
}
