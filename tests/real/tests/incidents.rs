//! Incidents, rules and messages (R6.3, R10.3, R10.4): one story per cause, one message opened and one resolved.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use vigie_real_tests::{Done, Receiver, World, until};

/// What must be seen nowhere.
const SECRET: &str = "hunter2-0123456789";

/// That somebody who looks at the output reads this.
#[track_caller]
fn shows(done: &Done, text: &str) {
    assert!(done.text().contains(text), "{text:?} is missing: {done}");
}

/// A world with a channel to this receiver.
fn world_with(receiver: &Receiver) -> World {
    let world = World::new();
    let url = receiver.url(&format!("/hook/{SECRET}"));
    world.vigie(&["notify", "add", "hook", &url, "--private"]).run().code(0);
    world
}

fn json(world: &World, args: &[&str]) -> Value {
    let done = world.vigie(args).run();
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

/// All incidents that there were.
fn incidents(world: &World) -> Vec<Value> {
    json(world, &["incidents", "--all", "--json"])["incidents"].as_array().cloned().unwrap_or_default()
}

fn channel(world: &World, name: &str) -> Value {
    let channels = json(world, &["notify", "ls", "--json"])["channels"].clone();
    let found = channels.as_array().and_then(|all| all.iter().find(|one| one["name"] == name)).cloned();
    found.unwrap_or_else(|| panic!("no channel {name}: {channels:#}"))
}

/// A service that crashes so often and then stays up, and the manifest for it.
fn crashing(world: &World, times: u32) {
    let script = format!(
        "n=$(cat @world/count 2>/dev/null || echo 0)\nn=$((n+1))\necho $n > @world/count.new\nmv @world/count.new @world/count\n\
         echo \"start $n with API_TOKEN={SECRET}\"\nif [ $n -le {times} ]; then echo 'panic: no database'; exit 7; fi\n\
         exec @hostile wait\n"
    );
    std::fs::write(world.path("crash.sh"), world.fill(&script)).expect("written");
    world.manifest(
        "[service.a]\ncommand = [\"sh\", \"@world/crash.sh\"]\n\
         restart = { delay = \"1ms\", factor = 1, jitter = 0, attempts = 100000 }\n",
    );
}

/// R6.3: 200 exits are one incident with a count and the last lines of output, one message opened and one resolved.
#[test]
fn two_hundred_crashes() {
    let receiver = Receiver::new();
    let world = world_with(&receiver);
    crashing(&world, 200);
    world.vigie(&["rules", "set", "crash-loop", "clear=6s"]).run().code(0);
    world.vigie(&["up", "-d"]).run();
    let got = receiver.wait(2);
    assert_eq!(receiver.occasions("a"), ["opened", "resolved"], "{got:#?}");
    let (opened, resolved) = (&got[0].body, &got[1].body);
    assert_eq!(got[0].path, format!("/hook/{SECRET}"));
    assert_eq!((&opened["project"], &opened["rule"]), (&"demo".into(), &"crash-loop".into()));
    assert_eq!((&opened["severity"], &opened["count"]), (&"critical".into(), &5.into()));
    assert!(opened["title"].as_str().is_some_and(|text| text.contains("demo/a: crash loop: 5 ends in ")), "{opened:#}");
    assert!(opened["title"].as_str().is_some_and(|text| text.contains("exited with code 7")), "{opened:#}");
    let lines = opened["lines"].to_string();
    assert!(lines.contains("panic: no database") && lines.contains("API_TOKEN=***"), "{lines}");
    assert_eq!(resolved["count"], 200);
    assert_ne!(got[0].key, got[1].key);
    assert_eq!(
        (&got[0].key[..], &got[1].key[..]),
        (opened["key"].as_str().unwrap_or(""), resolved["key"].as_str().unwrap_or(""))
    );

    let all = incidents(&world);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(
        (&all[0]["standing"], &all[0]["count"], &all[0]["told"]),
        (&"resolved".into(), &200.into(), &true.into())
    );
    assert!(all[0]["output"].to_string().contains("panic: no database"), "{:#}", all[0]);
    for kind in ["incident_opened", "incident_resolved"] {
        assert_eq!(world.wait_events("a", kind, 1).len(), 1, "{kind}");
    }
    shows(&world.vigie(&["incidents"]).run().code(0), "no incident is open");
    until("everything was counted", || (channel(&world, "hook")["delivered"] == 2).then_some(()));
    let hook = channel(&world, "hook");
    assert_eq!((&hook["waiting"], &hook["dropped"], &hook["kind"]), (&0.into(), &0.into(), &"webhook".into()));

    // The secret is in the file of channels, and nowhere else that could be shown around.
    let url = receiver.url("/***");
    shows(&world.vigie(&["notify", "ls"]).run().code(0), &url);
    for args in
        [&["notify", "ls", "--json"][..], &["events", "-n", "100000", "--json"], &["incidents", "--all", "--json"]]
    {
        let done = world.vigie(args).run();
        assert!(!done.text().contains(SECRET) && !done.errors().contains(SECRET), "{done}");
    }
    for file in ["daemon.log", "journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(world.home().join("state").join(file)).unwrap_or_default();
        assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{file}");
    }
    let book = world.home().join("config/channels.json");
    assert_eq!(std::fs::metadata(book).expect("the file of channels").permissions().mode() & 0o777, 0o600);
}

/// A daemon that is killed between the two messages: still one of each, and the timer goes on.
#[test]
fn a_daemon_that_dies_in_between() {
    let receiver = Receiver::new();
    let world = world_with(&receiver);
    crashing(&world, 30);
    world.vigie(&["rules", "set", "crash-loop", "clear=12s"]).run().code(0);
    world.vigie(&["up", "-d"]).run();
    receiver.wait(1);
    until("it is known that it was delivered", || (channel(&world, "hook")["delivered"] == 1).then_some(()));
    world.daemon().kill();
    let all = incidents(&world);
    assert_eq!((all.len(), &all[0]["standing"]), (1, &"open".into()), "it can be seen without a daemon");
    shows(&world.vigie(&["incidents"]).run().code(1), "daemon: not running");
    world.vigie(&["daemon", "start"]).run().code(0);
    let got = receiver.wait(2);
    assert_eq!(receiver.occasions("a"), ["opened", "resolved"]);
    assert_eq!(got[1].body["count"], 30, "what happened while nobody listened is counted, too");
    let all = incidents(&world);
    assert_eq!((all.len(), &all[0]["standing"], &all[0]["count"]), (1, &"resolved".into(), &30.into()));
    assert_eq!(channel(&world, "hook")["waiting"], 0);
}

/// What is asked for, and what ends well, alarms nobody. The message about `bad` is the first one.
#[test]
fn ordinary_life_is_silent() {
    let receiver = Receiver::new();
    let world = world_with(&receiver);
    world.manifest(
        "[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n\
         [service.task]\nkind = \"task\"\ncommand = \"@hostile exit 0\"\n\
         [service.bad]\ncommand = \"@hostile exit 5\"\nrestart = \"never\"\nprofiles = [\"bad\"]\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    for _ in 0..6 {
        world.vigie(&["restart", "a", "--yes"]).run().code(0);
    }
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    for _ in 0..6 {
        world.vigie(&["start", "task"]).run().code(0);
        world.wait_state("task", "done");
    }
    world.vigie(&["start", "bad"]).run();
    let got = receiver.wait(1);
    assert_eq!((&got[0].body["service"], &got[0].body["rule"]), (&"bad".into(), &"gave-up".into()), "{got:#?}");
    assert_eq!(incidents(&world).len(), 1);
    shows(&world.vigie(&["incidents"]).run().code(1), "gave up");
    // Taken down on request: nobody wants it any more.
    world.vigie(&["down", "--yes"]).run();
    receiver.wait(2);
    assert_eq!(receiver.occasions("bad"), ["opened", "resolved"]);
}

#[test]
fn a_silence() {
    let receiver = Receiver::new();
    let world = world_with(&receiver);
    world.manifest(
        "[service.quiet]\ncommand = \"@hostile exit 5\"\nrestart = \"never\"\n\
         [service.loud]\ncommand = \"@hostile exit 5\"\nrestart = \"never\"\n",
    );
    world.vigie(&["notify", "silence", "nobody", "--for", "1h"]).run().code(8);
    world.vigie(&["notify", "silence", "pid:1", "--for", "1h"]).run().code(2);
    world.vigie(&["notify", "silence", "--for", "0"]).run().code(2);
    shows(
        &world.vigie(&["notify", "silence", "quiet", "--for", "1h", "--reason", "deploy"]).run().code(0),
        "demo/quiet",
    );
    world.vigie(&["start", "quiet"]).run();
    world.wait_events("quiet", "incident_opened", 1);
    // It survives a restart of the daemon.
    world.daemon().kill();
    world.vigie(&["start", "loud"]).run();
    let got = receiver.wait(1);
    assert_eq!(got[0].body["service"], "loud", "{got:#?}");
    let silences = json(&world, &["notify", "silence", "--json"])["silences"].clone();
    assert_eq!((&silences[0]["service"], &silences[0]["reason"]), (&"quiet".into(), &"deploy".into()), "{silences:#}");
    shows(&world.vigie(&["notify", "silence"]).run().code(0), "demo/quiet");
    let id = silences[0]["id"].to_string();
    world.vigie(&["notify", "silence", "--end", &id]).run().code(0);
    receiver.wait(2);
    assert_eq!(receiver.occasions("quiet"), ["opened"], "it is still true");
    shows(&world.vigie(&["notify", "silence"]).run().code(0), "nothing is silent");
    world.vigie(&["notify", "silence", "--end", &id]).run().code(8);
}

/// A receiver that fails gets the same message again; one that refuses does not, and the journal says so.
#[test]
fn receivers_that_fail() {
    let (busy, angry) = (Receiver::answering(&[503]), Receiver::answering(&[401]));
    let world = World::new();
    world.vigie(&["notify", "add", "busy", &busy.url("/x"), "--private"]).run().code(0);
    world.vigie(&["notify", "add", "angry", &angry.url("/x"), "--private"]).run().code(0);
    world.manifest("[service.a]\ncommand = \"@hostile exit 5\"\nrestart = \"never\"\n");
    world.vigie(&["start", "a"]).run();
    let got = busy.wait(2);
    assert_eq!(got[0].key, got[1].key, "the receiver can tell that it is the same");
    assert_eq!(got[0].body, got[1].body);
    until("it is known", || (channel(&world, "busy")["delivered"] == 1).then_some(()));
    assert_eq!(channel(&world, "busy")["why"], Value::Null);
    let failed =
        until("the journal says so", || world.events().into_iter().find(|event| event["kind"] == "notify_failed"));
    assert_eq!((&failed["detail"]["channel"], &failed["detail"]["messages"]), (&"angry".into(), &1.into()));
    assert!(failed["text"].as_str().is_some_and(|text| text.contains("status 401 Unauthorized: there")), "{failed:#}");
    assert_eq!(angry.all().len(), 1);
    let angry = channel(&world, "angry");
    assert_eq!((&angry["dropped"], &angry["waiting"]), (&1.into(), &0.into()), "{angry:#}");
}

/// More than a channel may get goes out together.
#[test]
fn too_many_at_once_are_a_digest() {
    let receiver = Receiver::new();
    let world = world_with(&receiver);
    let services = (0..14).map(|n| format!("[service.s{n}]\ncommand = \"@hostile exit 5\"\nrestart = \"never\"\n"));
    world.manifest(&services.collect::<String>());
    world.vigie(&["up", "-d"]).run();
    until("all of them were delivered", || (channel(&world, "hook")["delivered"] == 14).then_some(()));
    let got = receiver.all();
    // Ten at once, and what waits then in one.
    assert!((2..=11).contains(&got.len()), "{got:#?}");
    let (digests, single): (Vec<_>, Vec<_>) = got.iter().partition(|got| got.body["occasion"] == "digest");
    let in_digests: u64 = digests.iter().filter_map(|got| got.body["count"].as_u64()).sum();
    assert_eq!((digests.len(), in_digests + single.len() as u64), (1, 14), "{got:#?}");
    let lines = digests[0].body["lines"].as_array().cloned().unwrap_or_default();
    assert_eq!(lines.len() as u64, in_digests);
    assert!(lines[0].as_str().is_some_and(|line| line.starts_with("demo/s")), "{lines:#?}");
}

#[test]
fn channels_by_hand() {
    let (good, bad) = (Receiver::new(), Receiver::answering(&[400; 9]));
    let world = World::new();
    shows(&world.vigie(&["notify", "ls"]).run().code(0), "there is no channel");
    world.vigie(&["notify", "test"]).run().code(8);
    let refused = world.vigie(&["notify", "add", "x", &format!("nfty://h/{SECRET}")]).run().code(2);
    assert!(refused.errors().contains("ntfy://") && !refused.errors().contains(SECRET), "{refused}");
    world.vigie(&["notify", "add", "good", "-"]).input(format!("{}?private=allow\n", good.url("/x"))).run().code(0);
    world.vigie(&["notify", "add", "good", &good.url("/x")]).run().code(2);
    world.vigie(&["notify", "add", "bad", &bad.url("/x"), "--private"]).run().code(0);
    let refused = world.vigie(&["notify", "add", "near", &good.url("/x")]).run().code(2);
    assert!(refused.errors().contains("--private"), "{refused}");
    // As a name would be that leads here: it is judged again when something is sent.
    world.vigie(&["notify", "add", "near", &good.url("/x"), "--private"]).run().code(0);
    let book = world.home().join("config/channels.json");
    let mut channels: Value = serde_json::from_slice(&std::fs::read(&book).expect("a file")).expect("JSON");
    let near = channels["channels"].as_array_mut().and_then(|all| all.iter_mut().find(|one| one["name"] == "near"));
    near.expect("it is there")["private"] = false.into();
    std::fs::write(&book, channels.to_string()).expect("written");
    world.vigie(&["notify", "add", "gone", "http://127.0.0.1:1/", "--private"]).run().code(0);

    shows(&world.vigie(&["notify", "test", "good"]).run().code(0), "status 200 OK: there");
    assert_eq!(good.all()[0].body["occasion"], "test");
    shows(&world.vigie(&["notify", "test", "bad"]).run().code(1), "status 400 Bad Request: there");
    shows(&world.vigie(&["notify", "test", "near"]).run().code(1), "--private");
    shows(&world.vigie(&["notify", "test", "gone"]).run().code(9), "cannot connect");
    world.vigie(&["notify", "test", "nobody"]).run().code(8);
    let all = world.vigie(&["notify", "test", "--json"]).run().code(9);
    let tests: Value = serde_json::from_slice(&all.out).expect("JSON");
    let told: Vec<&Value> = tests["tests"].as_array().expect("a list").iter().map(|test| &test["delivered"]).collect();
    assert_eq!(told, [true, false, false, false]);
    assert_eq!(good.all().len(), 2, "nobody came by the way that is not allowed");
    assert_eq!(json(&world, &["notify", "ls", "--json"])["channels"].as_array().map(Vec::len), Some(4));

    world.vigie(&["notify", "rm", "good", "nobody"]).run().code(8);
    world.vigie(&["notify", "rm", "good", "gone"]).run().code(0);
    assert_eq!(json(&world, &["notify", "ls", "--json"])["channels"].as_array().map(Vec::len), Some(2));
    // What others may read is no secret any more.
    std::fs::set_permissions(&book, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let refused = world.vigie(&["notify", "ls"]).run().code(7);
    assert!(refused.errors().contains("chmod 600"), "{refused}");
}

/// A limit of what is measured, with hysteresis and a time, over the death of the daemon.
#[test]
fn a_limit_of_what_is_measured() {
    let receiver = Receiver::new();
    let world = world_with(&receiver);
    // On a busy machine even one that does nothing else gets little of a core.
    let rule =
        ["metric=cpu_percent_of_core", "of=service:demo/burns", "above=4", "clear=2", "for=10s", "severity=notice"];
    world.vigie(&[&["rules", "add", "busy"], &rule[..]].concat()).run().code(0);
    std::fs::write(world.path("burn.sh"), world.fill("while [ ! -e @world/enough ]; do :; done\nexec @hostile wait\n"))
        .expect("written");
    world.manifest(
        "[service.burns]\ncommand = [\"sh\", \"@world/burn.sh\"]\n[service.rests]\ncommand = \"@hostile wait\"\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    let got = receiver.wait(1);
    let opened = &got[0].body;
    assert_eq!((&opened["rule"], &opened["severity"]), (&"busy".into(), &"notice".into()), "{opened:#}");
    let title = opened["title"].as_str().unwrap_or_default();
    assert!(
        title.contains("demo/burns: cpu_percent_of_core is ") && title.ends_with(" %, above 4 % for 10s"),
        "{title}"
    );
    until("it is known that it was delivered", || (channel(&world, "hook")["delivered"] == 1).then_some(()));
    world.daemon().kill();
    std::fs::write(world.path("enough"), "").expect("written");
    world.vigie(&["daemon", "start"]).run().code(0);
    let got = receiver.wait(2);
    assert_eq!(receiver.occasions("burns"), ["opened", "resolved"], "{got:#?}");
    assert_eq!(receiver.occasions("rests"), [""; 0]);
    let all = incidents(&world);
    assert_eq!((all.len(), &all[0]["standing"], &all[0]["rule"]), (1, &"resolved".into(), &"busy".into()), "{all:#?}");
    // Without its rule an incident is still told of.
    world.vigie(&["rules", "rm", "busy"]).run().code(0);
    shows(&world.vigie(&["incidents", "--all"]).run().code(0), "demo/burns");
}

#[test]
fn rules_by_hand() {
    let world = World::new();
    let rule = |world: &World, name: &str| {
        let rules = json(world, &["rules", "--json"])["rules"].clone();
        rules.as_array().and_then(|all| all.iter().find(|one| one["name"] == name)).cloned().expect("a rule")
    };
    assert_eq!(rule(&world, "crash-loop")["settings"]["exits"], "5");
    for (bad, code) in [
        (&["crashloop", "exits=3"][..], 8),
        (&["crash-loop", "exit=3"], 2),
        (&["crash-loop", "exits=1"], 2),
        (&["ghost", "exits"], 2),
    ] {
        world.vigie(&[&["rules", "set"], bad].concat()).run().code(code);
    }
    assert!(!world.home().join("run/daemon.sock").exists(), "what does not fit needs no daemon");
    shows(&world.vigie(&["rules", "set", "crash-loop", "exits=3", "within=30s"]).run().code(0), "exits=3*");
    for (args, code, says) in [
        (&["add", "crash-loop", "exits=3"][..], 2, "there is a rule crash-loop already"),
        (&["add", "busy", "of=service:*", "above=3"], 2, "say what is measured"),
        (&["add", "busy", "metric=cpu", "of=service:*", "above=3"], 2, "measured are cpu_percent_of_core"),
        (&["add", "busy", "metric=threads", "of=service:*", "above=3"], 0, ""),
        (&["add", "busy", "metric=threads", "of=service:*", "above=3"], 2, "already"),
        (&["set", "busi", "above=3"], 8, "did you mean \"busy\"?"),
        (&["set", "busy", "above=4"], 0, ""),
        (&["reset", "busi"], 8, "did you mean \"busy\"?"),
        (&["reset", "busy"], 2, "'vigie rules rm busy' removes it"),
        (&["rm", "busi"], 8, "did you mean \"busy\"?"),
        (&["rm", "disk-low"], 2, "on=no"),
    ] {
        let done = world.vigie(&[&["rules"], args].concat()).run().code(code);
        assert!(done.errors().contains(says), "{done}");
    }
    world.daemon().kill();
    let own = rule(&world, "busy");
    assert_eq!(
        (&own["own"], &own["settings"]["above"], &own["settings"]["clear"]),
        (&true.into(), &"4".into(), &"4".into())
    );
    shows(&world.vigie(&["rules", "rm", "busy"]).run().code(0), "busy: removed");
    assert_eq!(json(&world, &["rules", "--json"])["rules"].as_array().map(Vec::len), Some(11));
    // What is not written out is starred where it shows.
    let severity = |name: &str| {
        let list = world.vigie(&["rules"]).run().code(0).text();
        let line = list.lines().find(|line| line.starts_with(name)).map(str::to_owned).expect("a rule");
        line.split_whitespace().nth(1).map(str::to_owned).expect("a severity")
    };
    assert_eq!((severity("crash-loop"), severity("ghost")), ("critical".to_owned(), "critical".to_owned()));
    world.vigie(&["rules", "set", "ghost", "severity=notice"]).run().code(0);
    world.vigie(&["rules", "set", "not-ready", "on=no"]).run().code(0);
    assert_eq!((severity("ghost"), severity("not-ready")), ("notice*".to_owned(), "off*".to_owned()));
    world.vigie(&["rules", "reset", "not-ready"]).run().code(0);
    let changed = rule(&world, "crash-loop");
    assert_eq!((&changed["settings"]["exits"], &changed["settings"]["within"]), (&"3".into(), &"30s".into()));
    assert_eq!(changed["changed"], serde_json::json!(["exits", "within"]));
    // The next daemon goes by it.
    crashing(&world, 3);
    world.vigie(&["up", "-d"]).run();
    let opened = world.wait_events("a", "incident_opened", 1);
    assert!(opened[0]["text"].as_str().is_some_and(|text| text.contains("crash loop: 3 ends")), "{opened:#?}");
    // Turned off, it is no incident any more.
    world.vigie(&["rules", "set", "crash-loop", "on=no"]).run().code(0);
    world.wait_events("a", "incident_resolved", 1);
    world.vigie(&["rules", "reset", "crash-loop"]).run().code(0);
    assert_eq!(rule(&world, "crash-loop")["changed"], serde_json::json!([]));
}
