//! The journal (R6.11, R10.1): everything that happened, each once.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use vigie_real_tests::{World, until};

/// One life, from being wanted to being gone: exactly this happened, and nothing else.
#[test]
fn one_life() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile ignore-term\"\nready = { log = \"^ready\" }\nstop = [\"TERM 200ms\", \"KILL 5s\"]\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let run = world.service("a")["run"]["id"].clone();
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    let events: Vec<Value> = world.events().into_iter().filter(|event| event["service"] == "a").collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(
        kinds,
        ["wanted_up", "locked", "started", "ready", "wanted_down", "stopping", "rung", "rung", "exited", "empty"]
    );
    for event in &events {
        assert_eq!((&event["schema"], &event["project"]), (&1.into(), &"demo".into()), "{event:#}");
        assert!(event["at"].is_string() && event["text"].is_string() && event["detail"].is_object(), "{event:#}");
        let of_run = !matches!(event["kind"].as_str(), Some("wanted_up"));
        assert!(!of_run || event["run"] == run, "{event:#}");
    }
    assert!(events[2]["detail"]["by"].as_str().is_some_and(|by| by.contains(&*world.project().to_string_lossy())));
    assert_eq!(events[8]["detail"]["exit"]["signal"]["signal"], 9, "{:#}", events[8]);
    let numbers: Vec<u64> = world.events().iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no number is missing or twice");
}

/// `-f` shows what happens from now on; `--since`, `-n` a part.
#[test]
fn followed_and_in_parts() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    // Begun before there is anything to be followed.
    let follow = world.vigie(&["events", "-f", "--json"]).start();
    world.vigie(&["up", "-d"]).run().code(0);
    follow.wait_out("\"kind\":\"ready\"");
    // Nothing of before, all of since.
    let count = world.events().len() as u64;
    let new = world.vigie(&["events", "-f", "-n", "0", "--json"]).start();
    until("what comes is shown", || {
        world.vigie(&["restart", "a", "--yes"]).run().code(0);
        (!new.lines().is_empty()).then_some(())
    });
    let first: Value = serde_json::from_str(&new.lines()[0]).expect("JSON");
    assert!(first["seq"].as_u64().is_some_and(|seq| seq > count), "{first:#}");
    new.kill();
    world.daemon().kill();
    world.vigie(&["daemon", "start"]).run().code(0);
    follow.wait_out("\"kind\":\"adopted\"");
    let all = world.events();
    let lines = until("it has caught up", || Some(follow.lines()).filter(|lines| lines.len() >= all.len()));
    let followed: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(followed[..all.len()], all[..]);
    follow.kill();
    let part = |args: &[&str]| {
        let done = world.vigie(&[&["events", "--json"], args].concat()).run().code(0);
        done.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>()
    };
    assert_eq!(part(&["-n", "2"]), all[all.len() - 2..]);
    assert_eq!(part(&["--since", "1h"]), all);
    assert!(part(&["--since", "2100-01-01"]).is_empty());
    let at = all[3]["at"].as_str().expect("a time");
    let since = part(&["--since", at]);
    assert!(since.contains(&all[3]) && since.len() < all.len());
    let until = part(&["--until", at]);
    assert!(until.contains(&all[3]) && until.len() < all.len());
    let then = part(&["--since", at, "--until", at]);
    assert!(then.contains(&all[3]) && then.iter().all(|event| event["at"] == at), "{then:#?}");
    let of = |kinds: &[&str]| {
        let kinds = |event: &&Value| event["kind"].as_str().is_some_and(|kind| kinds.contains(&kind));
        all.iter().filter(kinds).cloned().collect::<Vec<Value>>()
    };
    assert_eq!(part(&["--kind", "started,exited", "--kind", "ready"]), of(&["started", "exited", "ready"]));
    assert!(part(&["--kind", "gave_up"]).is_empty());
    world.vigie(&["events", "-n", "x"]).run().code(2).says("write how many lines, as 20");
    world.vigie(&["logs", "-n", "-1"]).run().code(2);
    let wrong = world.vigie(&["events", "--kind", "exitd"]).run().code(2);
    assert!(wrong.errors().contains("'exited'"), "{wrong}");
    // What no daemon has journalled yet is chosen in the same way.
    world.daemon().kill();
    world.run("x", &["exit", "7"]).run().code(7);
    let exits = part(&["--kind", "exited"]);
    assert_eq!(exits.last().map(|event| (&event["service"], &event["seq"])), Some((&"x".into(), &Value::Null)));
    assert!(exits.iter().all(|event| event["kind"] == "exited"), "{exits:#?}");
}

/// What `vigie run` did is in the journal too, once a daemon has looked.
#[test]
fn runs_without_a_daemon_are_told_once() {
    let world = World::new();
    for _ in 0..3 {
        world.run("x", &["exit", "7"]).run().code(7);
    }
    for _ in 0..3 {
        world.vigie(&["daemon", "start"]).run().code(0);
        world.daemon().kill();
    }
    let exited = world.events_of("x", "exited");
    assert_eq!(exited.len(), 3, "{}", world.story());
    let mut runs: Vec<&str> = exited.iter().filter_map(|event| event["run"].as_str()).collect();
    let count = runs.len();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len(), count, "one of them is told twice: {}", world.story());
}

/// A file that must not grow (`ulimit -f`) is a full disk: the signal that comes with it ends nobody, services are ended and
/// started all the same, and what could not be written is written later.
#[test]
fn a_file_that_must_not_grow() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let daemon = world.status()["daemon"]["pid"].clone();
    let pid = daemon.as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).expect("a PID");
    let limit = |current| {
        let limits = Rlimit { current, maximum: None };
        prlimit(Some(pid), Resource::Fsize, limits).expect("ours");
    };
    limit(Some(0));
    let first = world.pid("a");
    world.vigie(&["restart", "a", "--yes"]).run().code(0);
    let second = world.pid("a");
    assert_ne!(first, second);
    let journalled = |kind: &str| world.events_of("a", kind).iter().filter(|event| event["seq"].is_u64()).count();
    assert_eq!(journalled("started"), 1, "nothing could be written: {}", world.story());
    let unwritten = world.events_of("a", "started").pop().expect("the keeper wrote it down");
    assert_eq!((&unwritten["seq"], &unwritten["detail"]["by"]), (&Value::Null, &"a daemon".into()));
    limit(None);
    until("it is written", || (journalled("ready") == 2).then_some(()));
    let kinds = ["locked", "started", "ready", "stopping", "exited", "empty"];
    assert_eq!(kinds.map(journalled), [2, 2, 2, 1, 1, 1], "{kinds:?} {}", world.story());
    assert_eq!(world.status()["daemon"]["pid"], daemon);
}

/// A damaged journal is set aside and told of, never silently dropped; the services go on.
#[test]
fn a_damaged_journal_is_set_aside() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let pid = world.pid("a");
    world.daemon().kill();
    let state = world.home().join("state");
    for name in ["journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(state.join(name));
    }
    std::fs::write(state.join("journal.db"), vigie_hostile::content::bytes(100_000)).expect("written");
    world.vigie(&["daemon", "start"]).run().code(0);
    let damaged =
        || world.events().into_iter().filter(|event| event["kind"] == "journal_damaged").collect::<Vec<Value>>();
    until("it is told", || (!damaged().is_empty()).then_some(()));
    let told = damaged();
    assert_eq!(told.len(), 1, "{}", world.story());
    let kept = told[0]["detail"]["kept_as"].as_str().expect("where it is");
    assert!(std::path::Path::new(kept).exists(), "{kept}");
    assert!(vigie_real_tests::alive(pid), "the service does not care");
    world.vigie(&["kill-all", "--yes"]).run();
}

/// Of somebody whom nobody knows: a typing error, and not one to whom nothing happened.
#[test]
fn somebody_unknown() {
    let world = World::new();
    let unknown = |target: &str, word: &str| {
        let done = world.vigie(&["events", target]).run().code(8);
        let text = String::from_utf8_lossy(&done.err);
        assert!(text.contains(&format!("nothing is known of {target}")) && text.contains(word), "{done}");
    };
    unknown("worker", "'vigie events' shows");
    world.manifest("[service.worker]\ncommand = \"@hostile wait\"\n[service.late]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["events", "late"]).run().code(0);
    world.vigie(&["start", "worker"]).run().code(0);
    world.vigie(&["events", "late"]).run().code(0);
    unknown("workr", "did you mean worker?");
    unknown("demo/workr", "did you mean demo/worker?");
    unknown("shop/worker", "did you mean demo/worker?");
    unknown("worker:fast", "did you mean worker?");
    unknown("container:nope", "'vigie events' shows");
    unknown("source:neverseen", "'vigie events' shows");
    world.vigie(&["events", "worker", "--since", "2100-01-01"]).run().code(0);
    world.vigie(&["events", "worker", "workr"]).run().code(8);
    let follow = world.vigie(&["events", "-f", "-n", "100", "nobody", "worker"]).start();
    follow.wait_out("started as PID");
    follow.kill();
    // It is gone, from the manifest, too; what happened to it is not.
    world.vigie(&["down", "--yes"]).run().code(0);
    world.manifest("[service.late]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["events", "worker"]).run().code(0);
    // A source that was removed.
    world.vigie(&["source", "add", "nas", "unix:///nowhere.sock"]).run().code(0);
    world.vigie(&["source", "rm", "nas"]).run().code(0);
    world.vigie(&["events", "source:nas"]).run().code(0);
    unknown("source:nass", "did you mean source:nas?");
}
