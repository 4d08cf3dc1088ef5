//! Copies that vigie did not start, and what was left behind (R4.5, R4.6): named with what matches, ended with their trees,
//! and never mistaken.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use serde_json::Value;
use vigie_real_tests::{Done, Running, World, alive, is_root, program, skip, until};

/// It waits, and would not wait for ever.
const SCRIPT: &str = "import signal\nsignal.alarm(180)\nsignal.pause()\n";

/// A project with a script; `None`, with the reason told, where there is no Python for it.
fn world_of(world: World, test: &str, manifest: &str) -> Option<World> {
    if !Path::new("/usr/bin/python3").exists() {
        skip(test, "there is no /usr/bin/python3");
        return None;
    }
    world.manifest(manifest);
    std::fs::write(world.project().join("server.py"), SCRIPT).expect("written");
    Some(world)
}

const API: &str = "[service.api]\ncommand = [\"python3\", \"server.py\"]\nstop = [\"TERM 5s\", \"KILL 5s\"]\n";

/// A command that somebody types; `exec` keeps the shell from staying.
fn by_hand(world: &World, line: &str) -> Running {
    world.shell(line).start()
}

fn json(done: &Done) -> Value {
    serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"))
}

fn strays(world: &World) -> Value {
    json(&world.vigie(&["strays", "--json"]).run())
}

fn pids(list: &Value) -> BTreeSet<u64> {
    list.as_array().expect("a list").iter().filter_map(|one| one["pid"].as_u64()).collect()
}

/// Waits until so many are named: a process is another one until its last exec.
fn wait_strays(world: &World, count: usize) -> Value {
    until("the strays are named", || {
        Some(strays(world)).filter(|report| report["strays"].as_array().is_some_and(|all| all.len() == count))
    })
}

fn facts(stray: &Value) -> Vec<&str> {
    stray["matched"].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
fn copies_started_by_hand_are_named_and_swept() {
    let Some(world) = world_of(World::new(), "copies_started_by_hand_are_named_and_swept", API) else { return };
    let bin = world.project().join("venv/bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    symlink("/usr/bin/python3", bin.join("python")).expect("a link");
    let copies = [
        "exec python3 server.py",
        "exec python3 -u -W ignore ./server.py --verbose",
        "exec venv/bin/python server.py",
        "exec env A=B python3 server.py",
        "exec nohup python3 server.py",
        "exec timeout 170 python3 server.py",
        "python3 server.py; true",
        "cd / && exec python3 @world/demo/server.py",
    ]
    .map(|line| by_hand(&world, line));
    let top_of = |report: &Value| {
        let all = report["strays"].as_array().expect("a list");
        all.iter().find(|stray| stray["pid"] == copies[5].pid()).map(|top| top["processes"].clone())
    };
    // It is a stray already before it has started what it is for.
    let report = until("timeout and what it runs are one", || {
        Some(wait_strays(&world, copies.len())).filter(|report| top_of(report) == Some(2.into()))
    });
    world.vigie(&["strays"]).run().code(1);
    for stray in report["strays"].as_array().expect("a list") {
        assert_eq!((&stray["service"], &stray["kind"]), (&"api".into(), &"stray".into()), "{stray}");
        let matched = facts(stray);
        assert!(matched.contains(&"script") && matched.contains(&"user"), "{stray}");
    }
    let found = pids(&report["strays"]);
    for (place, copy) in copies.iter().enumerate() {
        // A shell that stays is none; its child is.
        assert_eq!(found.contains(&copy.pid().into()), place != 6, "{place}: {report}");
    }

    let status = world.status();
    assert_eq!(pids(&status["strays"]), found);
    let shown = world.vigie(&["status"]).run().text();
    assert!(shown.contains("8 strays: "), "{shown}");

    let done = world.vigie(&["sweep"]).run().code(4).says("--yes");
    assert!(done.text().contains(&copies[0].pid().to_string()), "{done}");
    assert!(copies.iter().all(|copy| alive(copy.pid())));
    let planned = json(&world.vigie(&["sweep", "--dry-run", "--json"]).run().code(0));
    assert_eq!(pids(&planned["found"]["strays"]), found);
    assert!(copies.iter().all(|copy| alive(copy.pid())));
    let swept = json(&world.vigie(&["sweep", "--yes", "--json"]).run().code(0));
    assert_eq!(pids(&swept["outcomes"]), found, "what was shown is what was done");
    for pid in found {
        assert!(!alive(u32::try_from(pid).expect("a PID")), "{pid}");
    }
    world.vigie(&["strays"]).run().code(0);
    world.vigie(&["sweep", "--yes"]).run().code(0);
}

/// R4.5: what mentions a script is not what runs it.
#[test]
fn bystanders_are_no_strays() {
    let Some(world) = world_of(World::new(), "bystanders_are_no_strays", API) else { return };
    let other = world.path("other");
    std::fs::create_dir(&other).expect("a folder");
    std::fs::copy(world.project().join("server.py"), other.join("server.py")).expect("copied");
    let bin = world.path("bin");
    std::fs::create_dir(&bin).expect("a folder");
    for editor in ["vi", "nano"] {
        // The executable decides, not what it is told to be.
        std::fs::copy("/usr/bin/python3", bin.join(editor)).expect("copied");
        std::fs::set_permissions(bin.join(editor), std::fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let fifo = world.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    let mut bystanders = [
        "exec @world/bin/vi server.py",
        "exec @world/bin/nano server.py",
        "exec grep server.py @world/fifo",
        "exec tail -f server.py",
        ": python3 server.py; sleep 170; true",
        "exec bash -c ': python3 server.py; sleep 170; true'",
        "cd @world/other && exec python3 server.py",
        "exec python3 -c 'import signal; signal.alarm(170); signal.pause()' server.py",
    ]
    .map(|line| by_hand(&world, line))
    .into_iter()
    .collect::<Vec<_>>();
    if is_root() {
        let mut call = world.shell("exec /usr/bin/python3 @world/demo/server.py");
        std::fs::set_permissions(world.path(""), std::fs::Permissions::from_mode(0o755)).expect("ours");
        call.command().uid(65_534).gid(65_534);
        bystanders.push(call.start());
    } else {
        skip("bystanders_are_no_strays", "another user's copy needs root");
    }
    // One that is a stray tells that the others could have been seen by now.
    let stray = by_hand(&world, "exec python3 server.py");
    let report = wait_strays(&world, 1);
    assert_eq!(pids(&report["strays"]), BTreeSet::from([stray.pid().into()]), "{report}");
    world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!(!alive(stray.pid()));
    for bystander in &bystanders {
        assert!(alive(bystander.pid()), "{bystander:?}");
    }
    for bystander in &bystanders {
        let target = format!("pid:{}", bystander.pid());
        world.vigie(&["sweep", "--yes", &target]).run().code(8);
        world.vigie(&["ignore", &target]).run().code(8);
    }
}

/// A run is never a stray: not of its own service, not of another project's.
#[test]
fn runs_are_no_strays() {
    let Some(world) = world_of(World::new(), "runs_are_no_strays", API) else { return };
    let other = world.path("other");
    world.write_manifest(
        &other,
        "[service.same]\ncommand = [\"python3\", \"@world/demo/server.py\"]\ncwd = \"@world/demo\"\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["up", "-d"]).within(&other).run().code(0);
    world.vigie(&["strays"]).run().code(0);
    world.vigie(&["strays", "--all"]).run().code(0);
    let copy = by_hand(&world, "exec python3 server.py");
    let report = wait_strays(&world, 1);
    let stray = &report["strays"][0];
    assert_eq!((&stray["pid"], &stray["kind"]), (&copy.pid().into(), &"duplicate".into()));
    assert_eq!(stray["run_pid"], world.pid("api"));
    world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!(!alive(copy.pid()));
    assert_eq!(world.service("api")["state"], "running");
}

/// Case A: one launcher, and what the tests of an afternoon left.
#[test]
fn fifteen_leftover_runners() {
    let manifest = format!(
        "{API}[service.tests]\ncommand = [\"python3\", \"tests/runner.py\"]\nmatch = {{ script = \"tests/runner.py\" }}\n"
    );
    let Some(world) = world_of(World::new(), "fifteen_leftover_runners", &manifest) else { return };
    std::fs::create_dir(world.project().join("tests")).expect("a folder");
    // Each has a child of another name, which takes its time; one in three does not hear TERM.
    let runner = "import os, signal, sys, time\nsignal.alarm(180)\n\
        if int(sys.argv[1]) % 3 == 0: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        if os.fork() == 0: os.execvp('sleep', ['sleep', '170'])\nsignal.pause()\n";
    std::fs::write(world.project().join("tests/runner.py"), runner).expect("written");
    std::fs::write(
        world.project().join("vigie.toml"),
        std::fs::read_to_string(world.project().join("vigie.toml")).expect("read")
            + "stop = [\"TERM 300ms\", \"KILL 10s\"]\n",
    )
    .expect("written");
    let launcher = by_hand(&world, "exec python3 server.py");
    let runners: Vec<Running> =
        (0..15).map(|number| by_hand(&world, &format!("exec python3 tests/runner.py {number}"))).collect();
    let report = until("all are there with their children", || {
        let report = strays(&world);
        let all = report["strays"].as_array().expect("a list");
        let whole = all.iter().filter(|stray| stray["service"] == "tests" && stray["processes"] == 2).count();
        (all.len() == 16 && whole == 15).then_some(report)
    });
    let children: Vec<u32> = report["strays"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|stray| stray["tree"].as_array().expect("a list").iter())
        .filter_map(|pid| u32::try_from(pid.as_u64()?).ok())
        .collect();
    assert_eq!(children.len(), 15);
    let named = |args: &[&str]| pids(&json(&world.vigie(args).run().code(0))["found"]["strays"]);
    let planned = named(&["sweep", "--dry-run", "--json", "tests"]);
    assert_eq!(planned, runners.iter().map(|runner| runner.pid().into()).collect());
    let swept = json(&world.vigie(&["sweep", "--yes", "--json", "tests"]).run().code(0));
    assert_eq!(pids(&swept["outcomes"]), planned);
    assert!(runners.iter().all(|runner| !alive(runner.pid())), "{swept}");
    assert!(children.iter().all(|child| !alive(*child)), "{swept}");
    assert!(alive(launcher.pid()), "only what was named");
    assert_eq!(pids(&wait_strays(&world, 1)["strays"]), BTreeSet::from([launcher.pid().into()]));
}

#[test]
fn asked_at_a_terminal_and_declined() {
    let Some(world) = world_of(World::new(), "asked_at_a_terminal_and_declined", API) else { return };
    let copy = by_hand(&world, "exec python3 server.py");
    wait_strays(&world, 1);
    let mut terminal = world.terminal(&["sweep"]);
    terminal.wait_for_prompt("[y/N] ", 1);
    terminal.type_in("n\n");
    assert_eq!(terminal.finish().code(), Some(1));
    assert!(alive(copy.pid()));
    world.vigie(&["sweep", "nobody", "--yes"]).run().code(8);
    world.vigie(&["strays", "nobody"]).run().code(8);
    world.vigie(&["sweep", "port:80", "--yes"]).run().code(2);
    world.vigie(&["sweep", &format!("pid:{}", copy.pid()), "--yes"]).run().code(0);
    assert!(!alive(copy.pid()));
}

#[test]
fn what_is_ignored_is_left_alone_until_it_is_forgotten() {
    let Some(world) = world_of(World::new(), "what_is_ignored_is_left_alone_until_it_is_forgotten", API) else {
        return;
    };
    let one = by_hand(&world, "exec python3 server.py --one");
    let two = by_hand(&world, "exec python3 server.py --two");
    wait_strays(&world, 2);
    let target = format!("pid:{}", one.pid());
    world.vigie(&["ignore", &target]).run().code(0);
    let report = wait_strays(&world, 1);
    assert_eq!(
        (pids(&report["strays"]), pids(&report["ignored"])),
        ([two.pid().into()].into(), [one.pid().into()].into())
    );
    assert!(world.vigie(&["ignore"]).run().code(0).text().contains(&one.pid().to_string()));
    world.vigie(&["ignore", "api"]).run().code(0);
    assert_eq!(strays(&world)["strays"], serde_json::json!([]));
    assert_eq!(world.status()["strays"], serde_json::json!([]));
    world.vigie(&["strays"]).run().code(0);
    world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!(alive(one.pid()) && alive(two.pid()));
    // By its command also the next one.
    let again = by_hand(&world, "exec python3 server.py --two");
    until("it is there, ignored", || pids(&strays(&world)["ignored"]).contains(&again.pid().into()).then_some(()));
    world.vigie(&["forget", "api"]).run().code(0);
    world.vigie(&["forget", "api"]).run().code(8);
    wait_strays(&world, 3);
    world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!([&one, &two, &again].iter().all(|copy| !alive(copy.pid())));
}

/// Everything as an ordinary user; root's copy is another user's.
#[test]
fn as_an_ordinary_user() {
    let Some(world) = world_of(World::unprivileged(), "as_an_ordinary_user", API) else { return };
    let copy = by_hand(&world, "exec timeout 170 python3 server.py");
    let roots = is_root().then(|| {
        let mut command = std::process::Command::new("/usr/bin/python3");
        command.arg("server.py").current_dir(world.project()).spawn().expect("python3")
    });
    let report = wait_strays(&world, 1);
    assert_eq!(pids(&report["strays"]), BTreeSet::from([copy.pid().into()]));
    world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!(!alive(copy.pid()));
    if let Some(mut roots) = roots {
        assert!(alive(roots.id()), "another user's");
        roots.kill().expect("our own child");
        roots.wait().expect("our own child");
    }
}

/// Somebody starts them again: that is said, and not success.
#[test]
fn what_comes_again_is_said() {
    let Some(world) = world_of(World::new(), "what_comes_again_is_said", API) else { return };
    let endless = by_hand(&world, "trap exit TERM; while :; do python3 server.py; done");
    wait_strays(&world, 1);
    until("the new one is seen", || {
        let done = world.vigie(&["sweep", "--yes"]).run();
        // The new one may not be recognisable yet when it is looked.
        (done.status.code() == Some(5)).then(|| done.says("was started meanwhile"))
    });
    endless.kill();
    wait_strays(&world, 1);
    world.vigie(&["sweep", "--yes"]).run().code(0);
}

/// The last resort takes them along.
#[test]
fn kill_all_ends_strays_of_this_project() {
    let Some(world) = world_of(World::new(), "kill_all_ends_strays_of_this_project", API) else { return };
    world.vigie(&["up", "-d"]).run().code(0);
    let run = world.pid("api");
    let copy = by_hand(&world, "exec python3 server.py");
    wait_strays(&world, 1);
    let plan = world.vigie(&["kill-all", "--dry-run"]).run().code(0).text();
    assert!(plan.contains(&copy.pid().to_string()) && plan.contains(&run.to_string()), "{plan}");
    world.vigie(&["kill-all", "--yes"]).run().code(0);
    assert!(!alive(copy.pid()) && !alive(run));
}

/// What the manifest says decides.
#[test]
fn by_the_manifest() {
    let manifest = "[service.api]\ncommand = [\"./start\"]\n\
        match = { executable = \"python3\", args = [\"--blue\"] }\n";
    let Some(world) = world_of(World::new(), "by_the_manifest", manifest) else { return };
    let red = by_hand(&world, "exec python3 server.py --red");
    let blue = by_hand(&world, "exec python3 server.py -v --blue");
    let report = wait_strays(&world, 1);
    assert_eq!(report["strays"][0]["pid"], blue.pid());
    assert_eq!(facts(&report["strays"][0]), ["executable", "arguments", "directory", "user"]);
    world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!(alive(red.pid()) && !alive(blue.pid()));
}

#[test]
fn sockets_and_pid_files_that_nobody_stands_behind() {
    let manifest = format!("{API}legacy_pidfile = \"old.pid\"\n");
    let Some(world) = world_of(World::new(), "sockets_and_pid_files_that_nobody_stands_behind", &manifest) else {
        return;
    };
    let path = |name: &str| world.project().join(name);
    drop(std::os::unix::net::UnixListener::bind(path("stale.sock")).expect("bound"));
    let live = std::os::unix::net::UnixListener::bind(path("live.sock")).expect("bound");
    std::fs::write(path("old.pid"), "1\n1700000000\n").expect("written");
    let report = strays(&world);
    let kinds: Vec<&str> =
        report["leftovers"].as_array().expect("a list").iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["pid-file", "socket"], "{report}");
    world.vigie(&["sweep", "--dry-run"]).run().code(0);
    assert!(path("stale.sock").exists() && path("old.pid").exists());
    world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!(!path("stale.sock").exists() && !path("old.pid").exists());
    assert!(path("live.sock").exists());
    drop(live);
    // One that names a copy that runs is no leftover: the copy is a stray.
    let copy = by_hand(&world, "exec python3 server.py");
    std::fs::write(path("old.pid"), copy.pid().to_string()).expect("written");
    std::fs::remove_file(path("live.sock")).expect("there");
    assert_eq!(wait_strays(&world, 1)["leftovers"], serde_json::json!([]));
}

/// A run whose keeper is gone, and no daemon to take care of it.
#[test]
fn orphans_are_named_and_swept() {
    for unprivileged in [false, true] {
        let world = if unprivileged { World::unprivileged() } else { World::new() };
        world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
        world.vigie(&["up", "-d"]).run().code(0);
        let pid = world.pid("a");
        world.daemon().kill();
        world.keeper("a").kill();
        let report = strays(&world);
        assert_eq!(pids(&report["orphans"]), BTreeSet::from([pid.into()]), "{report}");
        assert_eq!(report["strays"], serde_json::json!([]), "{report}");
        world.vigie(&["strays"]).run().code(1);
        world.vigie(&["sweep", "--yes"]).run().code(0);
        assert!(!alive(pid));
        world.vigie(&["strays"]).run().code(0);
    }
}

#[test]
fn an_executable_that_was_replaced() {
    let world = World::new();
    let own = world.project().join("own");
    std::fs::copy(program("hostile"), &own).expect("copied");
    world.manifest("[service.a]\ncommand = \"./own wait\"\nready = { log = \"^ready\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["strays"]).run().code(0);
    std::fs::remove_file(&own).expect("there");
    let report = strays(&world);
    let leftover = &report["leftovers"][0];
    assert_eq!(
        (&leftover["kind"], &leftover["pid"]),
        (&"deleted-executable".into(), &world.pid("a").into()),
        "{report}"
    );
    assert!(world.vigie(&["sweep", "--yes"]).run().code(0).text().contains("not touched"));
    assert_eq!(world.service("a")["state"], "ready");
}

/// The same thing as seen from another world: named, and left to it.
#[test]
fn another_namespace_is_told_and_left_alone() {
    const TEST: &str = "another_namespace_is_told_and_left_alone";
    let Some(world) = world_of(World::new(), TEST, API) else { return };
    if !world.shell("unshare -m true").run().status.success() {
        return skip(TEST, "no mount namespace can be made");
    }
    let copy = by_hand(&world, "exec unshare -m python3 server.py");
    let report = wait_strays(&world, 1);
    let stray = &report["strays"][0];
    assert_eq!((&stray["kind"], &stray["namespaces"]), (&"elsewhere".into(), &serde_json::json!(["mnt"])));
    let done = world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!(done.text().contains("not ended") && done.text().contains("namespace"), "{done}");
    assert!(alive(copy.pid()));
}
