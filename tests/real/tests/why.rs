//! Explanations (R1, R3.6, R4.5, R8.1): of processes, ports and services, each with its evidence.

use serde_json::Value;
use vigie_real_tests::{Running, World, alive, is_root, skip, until};

/// `vigie why TARGET --json`, which must end with `code`.
#[track_caller]
fn why(world: &World, target: &str, code: i32) -> Value {
    let done = world.vigie(&["why", target, "--json"]).run().code(code);
    let why: Value = serde_json::from_slice(&done.out).unwrap_or_else(|error| panic!("{error}: {done}"));
    check(&why);
    why
}

/// R3.6: every field is there, absent values are null, every fact has its source.
#[track_caller]
fn check(why: &Value) {
    assert_eq!(why["schema"], 1);
    for field in
        ["target", "verdict", "killable", "tasks", "evidence", "remedies", "at", "answer", "because", "blind", "also"]
    {
        assert!(why.get(field).is_some(), "{field}: {why:#}");
    }
    let answers = std::iter::once(why).chain(why["also"].as_array().expect("a list"));
    for answer in answers {
        assert!(answer["answer"].as_str().is_some_and(|text| !text.is_empty() && !text.contains('\n')), "{answer:#}");
        for fact in answer["evidence"].as_array().expect("evidence") {
            let hidden = fact["value"].as_str().is_some_and(|value| value.contains("cannot be seen"));
            assert!(hidden || fact["source"].as_str().is_some_and(|source| !source.is_empty()), "{fact:#}");
        }
        for remedy in answer["remedies"].as_array().expect("remedies") {
            for field in ["name", "needs", "effect", "command"] {
                assert!(remedy.get(field).is_some(), "{remedy:#}");
            }
        }
    }
    for task in why["tasks"].as_array().expect("tasks") {
        for field in ["tid", "name", "state", "verdict"] {
            assert!(task.get(field).is_some(), "{task:#}");
        }
    }
}

fn answer(why: &Value) -> &str {
    why["answer"].as_str().unwrap_or_default()
}

/// The first fact of this name.
fn fact<'a>(why: &'a Value, name: &str) -> Option<&'a str> {
    let facts = why["evidence"].as_array()?;
    facts.iter().find(|fact| fact["fact"] == name)?["value"].as_str()
}

fn reasons(why: &Value) -> String {
    let reasons = why["because"].as_array().into_iter().flatten().filter_map(Value::as_str);
    reasons.collect::<Vec<_>>().join("\n")
}

fn commands(why: &Value) -> Vec<&str> {
    why["remedies"].as_array().into_iter().flatten().filter_map(|remedy| remedy["command"].as_str()).collect()
}

/// The number in its first line.
#[track_caller]
fn port(running: &Running) -> u16 {
    let text = if running.out().contains("hold ") { "hold " } else { "listen " };
    running.wait_out(text).trim().parse().expect("a port")
}

#[track_caller]
fn stranger(world: &World, args: &[&str]) -> Running {
    let running = world.stranger(args).start();
    running.wait_out("ready");
    running
}

fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

#[track_caller]
fn child(of: u32) -> u32 {
    until("it has a child", || children(of).first().copied())
}

/// R8.1: what the state alone tells for certain.
#[test]
fn states_of_processes() {
    for world in [World::new(), World::unprivileged()] {
        let sleeper = stranger(&world, &["wait"]);
        let target = format!("pid:{}", sleeper.pid());
        let told = until("it sleeps", || Some(why(&world, &target, 0)).filter(|told| told["verdict"] == "sleeping"));
        assert_eq!(told["killable"], true);
        assert_eq!(told["tasks"][0]["tid"], sleeper.pid());
        assert_eq!(fact(&told, "state"), Some("S (sleeping)"));
        assert_eq!(told["evidence"][0]["source"], format!("/proc/{0}/task/{0}/stat", sleeper.pid()));
        assert_eq!(commands(&told), [format!("vigie end pid:{}", sleeper.pid())]);
        assert!(fact(&told, "command").is_some_and(|line| line.ends_with("hostile wait")), "{told:#}");
        assert_eq!(fact(&told, "folder"), world.project().to_str());

        let stopped = world.stranger(&["stopped"]).start();
        stopped.wait_out("ready");
        let target = format!("pid:{}", stopped.pid());
        let told = until("it is stopped", || Some(why(&world, &target, 0)).filter(|told| told["verdict"] == "stopped"));
        assert_eq!(told["killable"], true);
        assert_eq!(commands(&told)[0], format!("kill -CONT {}", stopped.pid()));

        let parent = stranger(&world, &["unreaped"]);
        let zombie = child(parent.pid());
        let target = format!("pid:{zombie}");
        let told = until("it is dead", || Some(why(&world, &target, 0)).filter(|told| told["verdict"] == "zombie"));
        assert_eq!(told["killable"], false);
        assert!(reasons(&told).contains(&format!("only its parent, hostile (PID {})", parent.pid())), "{told:#}");
        let parents = parent.pid();
        assert_eq!(commands(&told), [format!("kill -CHLD {parents}"), format!("vigie end pid:{parents}")]);
        let blamed = serde_json::json!([{"pid": parents, "name": "hostile", "role": "parent"}]);
        assert_eq!((&told["blamed"], &told["sure"]), (&blamed, &true.into()), "{told:#}");

        let tracer = stranger(&world, &["traced"]);
        let target = format!("pid:{}", child(tracer.pid()));
        let told =
            until("it stands still", || Some(why(&world, &target, 0)).filter(|told| told["verdict"] == "traced"));
        assert!(reasons(&told).contains(&format!("hostile (PID {}) traces it", tracer.pid())), "{told:#}");
        assert_eq!(commands(&told)[0], format!("vigie end pid:{}", tracer.pid()));

        let leaderless = stranger(&world, &["hold", "thread"]);
        let target = format!("pid:{}", leaderless.pid());
        let told =
            until("it is alone", || Some(why(&world, &target, 0)).filter(|told| told["verdict"] == "leader-exited"));
        assert!(
            told["tasks"].as_array().is_some_and(|tasks| tasks.len() > 1 && tasks[0]["verdict"] == "leader-exited"),
            "{told:#}"
        );
        // The child of one that stops itself and its child is stopped, too; it must not be left behind.
        for pid in children(stopped.pid()) {
            if let Some(process) = vigie_real_tests::Process::open(pid, |pid| children(stopped.pid()).contains(&pid)) {
                process.kill();
            }
        }
    }
}

/// Who started it: its parent, its terminal, the connection that its environment tells of.
#[test]
fn who_started_it() {
    let world = World::new();
    let plain = stranger(&world, &["wait"]);
    let told = why(&world, &format!("pid:{}", plain.pid()), 0);
    let own = std::process::id();
    assert!(answer(&told).contains(&format!("(PID {own})")), "{told:#}");
    assert!(fact(&told, "parent").is_some_and(|parent| parent.starts_with(&format!("PID {own}: "))), "{told:#}");
    assert!(fact(&told, "started").is_some_and(|at| at.contains("Z (")), "{told:#}");

    let env = [("SSH_CONNECTION", "10.9.8.7 5022 10.0.0.2 22")];
    let hostile = vigie_real_tests::program("hostile");
    let terminal = world.terminal_of(&hostile.to_string_lossy(), &["wait"], &env);
    terminal.wait_for("ready");
    let told = why(&world, &format!("pid:{}", terminal.pid()), 0);
    let name = fact(&told, "terminal").expect("it has one").to_owned();
    assert!(name.starts_with("pts/") && answer(&told).contains(&name), "{told:#}");
    assert!(answer(&told).contains("over ssh from 10.9.8.7"), "{told:#}");
    assert_eq!(fact(&told, "session"), Some("it leads its own"));

    // Its parent has ended: that is said, and nobody is named in its place.
    let mut shell = world.stranger(&[]);
    let line = format!("'{}' wait >/dev/null 2>&1 & echo ready $!", hostile.display());
    *shell.command() = std::process::Command::new("sh");
    shell.command().args(["-c", &line]);
    let running = shell.start();
    let orphan: u32 = running.wait_out("ready").parse().expect("its PID");
    let process = vigie_real_tests::Process::open(orphan, alive).expect("it lives");
    drop(running.finish());
    let told = why(&world, &format!("pid:{orphan}"), 0);
    assert!(answer(&told).contains("by a process that has ended"), "{told:#}");
    process.kill();
}

/// What belongs to vigie is named as that, and stopped as that.
#[test]
fn what_belongs_to_vigie() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = [\"sh\", \"-c\", \"@hostile wait & exec @hostile wait\"]\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let main = world.pid("a");
    let told = why(&world, &format!("pid:{main}"), 0);
    assert!(answer(&told).contains("is demo/a and"), "{told:#}");
    assert!(fact(&told, "run of vigie").is_some_and(|run| run.starts_with("demo/a ")), "{told:#}");
    assert_eq!(commands(&told), ["vigie stop demo/a"]);
    let told = why(&world, &format!("pid:{}", child(main)), 0);
    assert!(answer(&told).contains("belongs to demo/a"), "{told:#}");
    let keeper = world.keeper("a").pid;
    let told = why(&world, &format!("pid:{keeper}"), 0);
    assert!(answer(&told).contains("is the keeper of demo/a"), "{told:#}");
    assert_eq!(commands(&told), ["vigie stop demo/a"]);
    let told = why(&world, &format!("pid:{}", world.daemon().pid), 0);
    assert_eq!(commands(&told), ["vigie daemon stop"]);
}

/// What was adopted was started by somebody else, and that is who is named.
#[test]
fn what_was_adopted() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    let copy = stranger(&world, &["wait"]);
    world.vigie(&["adopt", "a"]).run().code(0);
    let told = why(&world, &format!("pid:{}", copy.pid()), 0);
    assert!(answer(&told).contains("is demo/a and"), "{told:#}");
    assert!(answer(&told).contains(&format!("(PID {})", std::process::id())), "{told:#}");
    assert!(reasons(&told).contains("vigie did not start it"), "{told:#}");
    let told = why(&world, "a", 1);
    assert!(answer(&told).contains("adopted"), "{told:#}");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
}

/// R4.5: a second copy, and which facts match; with a manifest and without one.
#[test]
fn runs_twice() {
    for world in [World::new(), World::unprivileged()] {
        world.manifest("[service.a]\ncommand = \"@hostile wait\"\n[service.b]\ncommand = \"@hostile tick 500\"\n");
        let copy = stranger(&world, &["wait"]);
        let told = why(&world, "a", 0);
        assert_eq!(told["verdict"], "stray", "{told:#}");
        copy.kill();
        world.vigie(&["up", "-d", "b"]).run().code(0);
        let guarded = world.run("c", &["wait"]).start();
        guarded.wait_out("ready");
        world.wait_named("c");
        let copy = stranger(&world, &["wait"]);
        let told = why(&world, "c", 0);
        assert_eq!(told["verdict"], "runs-twice", "{told:#}");
        assert!(answer(&told).contains(&format!("PID {} (hostile)", copy.pid())), "{told:#}");
        assert!(reasons(&told).contains("is the same thing: its executable"), "{told:#}");
        assert!(reasons(&told).contains(&format!("(PID {})", std::process::id())), "{told:#}");
        assert!(
            told["also"].as_array().is_some_and(|also| also.iter().any(|one| one["verdict"] == "well")),
            "{told:#}"
        );
        let of_copy = why(&world, &format!("pid:{}", copy.pid()), 0);
        assert!(answer(&of_copy).contains("is another copy of"), "{of_copy:#}");
        // The run of another is no copy of it.
        assert_eq!(why(&world, "b", 1)["verdict"], "well");
        copy.kill();
        assert_eq!(why(&world, "c", 1)["verdict"], "well");
    }
}

/// R7.2: who has a port; a client of it is not who has it.
#[test]
fn a_busy_port() {
    for world in [World::new(), World::unprivileged()] {
        let listener = stranger(&world, &["listen", "0"]);
        let port = port(&listener);
        let client = stranger(&world, &["hold", "connection", &port.to_string()]);
        let told = why(&world, &format!("port:{port}"), 0);
        assert_eq!(told["verdict"], "used", "{told:#}");
        assert!(answer(&told).contains(&format!("PID {} (hostile)", listener.pid())), "{told:#}");
        assert!(!told.to_string().contains(&format!("PID {}", client.pid())), "{told:#}");
        assert!(fact(&told, "holder").is_some_and(|holder| holder.contains("socket:[")), "{told:#}");
        assert_eq!(commands(&told), [format!("vigie free {port}/tcp")]);
        client.kill();
        listener.kill();
        let target = format!("port:{port}");
        until("the port is free", || {
            let done = world.vigie(&["why", &target, "--json"]).run();
            let told: Value = serde_json::from_slice(&done.out).ok()?;
            (told["verdict"] == "free" && done.status.code() == Some(1) || told["verdict"] == "time-wait").then_some(())
        });
    }
}

/// A listener whose main thread has ended, and two who share.
#[test]
fn holders_that_are_overlooked() {
    let world = World::new();
    let leaderless = stranger(&world, &["hold", "thread"]);
    let told = why(&world, &format!("port:{}", port(&leaderless)), 0);
    assert!(answer(&told).contains(&format!("PID {}", leaderless.pid())), "{told:#}");
    assert!(reasons(&told).contains("the main thread of"), "{told:#}");
    let first = stranger(&world, &["hold", "twin", "0"]);
    let port = port(&first);
    let second = stranger(&world, &["hold", "twin", &port.to_string()]);
    let told = why(&world, &format!("port:{port}"), 0);
    assert_eq!(told["verdict"], "shared");
    for twin in [&first, &second] {
        assert!(answer(&told).contains(&format!("PID {}", twin.pid())), "{told:#}");
    }
}

/// What is held in another network namespace is in nobody's way here, and is told.
#[test]
fn another_network_namespace() {
    if !is_root() {
        skip("another_network_namespace", "needs root, to make one");
        return;
    }
    let world = World::new();
    let far = stranger(&world, &["hold", "namespace"]);
    let told = why(&world, &format!("port:{}", port(&far)), 1);
    assert_eq!(told["verdict"], "free", "{told:#}");
    assert!(reasons(&told).contains(&format!("PID {} (hostile) has it", far.pid())), "{told:#}");
    let told = why(&world, &format!("pid:{}", far.pid()), 0);
    assert!(fact(&told, "net namespace").is_some_and(|number| number.contains("vigie looks from")), "{told:#}");
}

/// R1: what an ordinary user cannot see is said, with exit code 7.
#[test]
fn what_cannot_be_seen() {
    if !is_root() {
        skip("what_cannot_be_seen", "needs root, to have something to hide");
        return;
    }
    let (roots, users) = (World::new(), World::unprivileged());
    let listener = stranger(&roots, &["listen", "0"]);
    let told = why(&users, &format!("port:{}", port(&listener)), 7);
    assert_eq!((&told["verdict"], &told["blind"]), (&"used".into(), &true.into()));
    assert!(answer(&told).contains("a process of root"), "{told:#}");
    assert!(reasons(&told).contains("needs root"), "{told:#}");
    let told = why(&users, &format!("pid:{}", listener.pid()), 0);
    assert_eq!(fact(&told, "executable"), Some("cannot be seen: needs root"), "{told:#}");
    assert_eq!(told["remedies"][0]["needs"], "root");
    assert_eq!(told["verdict"], "sleeping", "the state is no secret");
}

/// R6.11: the step that failed, the exit code with the last output, the claim that is held.
#[test]
fn cannot_start() {
    let world = World::new();
    let listener = stranger(&world, &["listen", "0"]);
    let port = port(&listener);
    world.manifest(&format!(
        "[service.nowhere]\ncommand = \"/no/such/program\"\nrestart = {{ when = \"never\" }}\n\
         [service.crash]\ncommand = \"@hostile exit 7 3\"\nrestart = {{ when = \"never\" }}\n\
         [service.busy]\ncommand = \"@hostile listen {port}\"\nports = [{port}]\n\
         [service.after]\ncommand = \"@hostile wait\"\nafter = {{ crash = \"done\" }}\n"
    ));
    drop(world.vigie(&["start", "nowhere", "--timeout", "20s"]).run());
    let told = why(&world, "nowhere", 0);
    assert_eq!(told["verdict"], "cannot-start");
    assert!(answer(&told).contains("exec /no/such/program"), "{told:#}");
    assert!(told["evidence"].as_array().is_some_and(|facts| {
        facts.iter().any(|fact| fact["source"].as_str().is_some_and(|source| source.starts_with("journal entry ")))
    }));
    drop(world.vigie(&["start", "crash", "--timeout", "20s"]).run());
    world.wait_state("crash", "failed");
    let told = why(&world, "crash", 0);
    assert!(answer(&told).contains("it exited with code 7"), "{told:#}");
    assert!(fact(&told, "output").is_some_and(|line| line.starts_with("00000000000")), "{told:#}");
    drop(world.vigie(&["start", "busy", "--timeout", "20s"]).run());
    let told = why(&world, "busy", 0);
    assert!(told.to_string().contains(&format!("PID {} (hostile)", listener.pid())), "{told:#}");
    assert!(
        told["verdict"] == "cannot-start" || told["verdict"] == "port-busy" || told["verdict"] == "stray",
        "{told:#}"
    );
    drop(world.vigie(&["start", "after", "--timeout", "20s"]).run());
    let told = why(&world, "after", 0);
    assert!(told.to_string().contains("crash"), "{told:#}");
}

/// A second start is refused: who has the lock, since when, from where.
#[test]
fn its_lock_is_held() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    let guarded = world.run("a", &["wait"]).start();
    guarded.wait_out("ready");
    world.wait_named("a");
    world.vigie(&["start", "a"]).run().code(3);
    let told = why(&world, "a", 0);
    assert_eq!(told["verdict"], "cannot-start", "{told:#}");
    assert!(answer(&told).contains("it runs already, as PID"), "{told:#}");
    assert!(fact(&told, "lock").is_some(), "{told:#}");
}

/// R6.2: the last restarts with their causes, the counter, the policy; also when no daemon lives any more.
#[test]
fn was_restarted() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile exit-when @world/now 7 2\"\nrestart = { delay = \"20ms\", factor = 1, attempts = 100000 }\n",
    );
    world.vigie(&["start", "a"]).run().code(0);
    std::fs::write(world.path("now"), "").expect("a file");
    world.wait_events("a", "restart_scheduled", 2);
    std::fs::remove_file(world.path("now")).expect("ours");
    world.wait_state("a", "running");
    let told = why(&world, "a", 0);
    assert_eq!(told["verdict"], "restarted", "{told:#}");
    assert!(answer(&told).contains("it exited with code 7"), "{told:#}");
    assert!(reasons(&told).contains("its policy: started again after a failure, after 20ms"), "{told:#}");
    assert!(fact(&told, "restarts").is_some_and(|count| count.parse().is_ok_and(|count: u32| count >= 2)), "{told:#}");
    let daemon = world.daemon();
    daemon.kill();
    let told = why(&world, "a", 0);
    assert_eq!(told["verdict"], "restarted", "nobody needs a daemon to look: {told:#}");
}

/// R2.3: what is asked, what answers, how long it has.
#[test]
fn is_not_ready() {
    let world = World::new();
    // A port that was free a moment ago, and that nobody is given: it is bound, without listening.
    let bound = stranger(&world, &["hold", "other-loopback"]);
    let port = port(&bound);
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile wait\"\nready = {{ tcp = \"127.0.0.1:{port}\", within = \"100s\" }}\n\
         [service.b]\ncommand = \"@hostile wait\"\nafter = {{ a = \"ready\" }}\n\
         [service.c]\ncommand = \"@hostile wait\"\nready = {{ log = \"^never\", within = \"100s\" }}\n"
    ));
    let up = world.vigie(&["up", "-d"]).start();
    world.wait_state("a", "running");
    world.wait_state("c", "running");
    world.wait_state("b", "waiting");
    let told = why(&world, "a", 0);
    assert_eq!(told["verdict"], "not-ready");
    assert!(answer(&told).contains(&format!("nobody listens on port 127.0.0.1:{port}/tcp")), "{told:#}");
    assert!(reasons(&told).contains("it has 1m40s for that"), "{told:#}");
    let told = why(&world, "b", 0);
    assert!(answer(&told).contains("it waits for a to be ready"), "{told:#}");
    assert_eq!(commands(&told), ["vigie why a"]);
    let told = why(&world, "c", 0);
    assert!(answer(&told).contains("no line of its output matches \"^never\""), "{told:#}");
    let other = stranger(&world, &["listen", &port.to_string()]);
    let told = until("the other is seen", || {
        let told = why(&world, "a", 0);
        answer(&told).contains(&format!("is another's: PID {}", other.pid())).then_some(told)
    });
    assert!(commands(&told).contains(&format!("vigie why port:127.0.0.1:{port}/tcp").as_str()), "{told:#}");
    world.wait_events("a", "answered_by_other", 1);
    assert!(reasons(&why(&world, "a", 0)).contains("the readiness probe was answered by another"));
    up.kill();
}

/// What is not there, what never was, and what is well.
#[test]
fn nothing_to_explain() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    let told = why(&world, "a", 0);
    assert!(answer(&told).ends_with("it was never started"), "{told:#}");
    world.vigie(&["why", "nope"]).run().code(8);
    world.vigie(&["why", "pid:4194304"]).run().code(8);
    world.vigie(&["why", "pid:0"]).run().code(2);
    world.vigie(&["up", "-d"]).run().code(0);
    let told = why(&world, "a", 1);
    assert_eq!(told["verdict"], "well");
    assert!(fact(&told, "started by").is_some(), "{told:#}");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    let told = why(&world, "a", 0);
    assert_eq!(told["verdict"], "stopped");
    assert!(reasons(&told).contains("wanted down by"), "{told:#}");
}

/// The first line is the answer; names cannot draw.
#[test]
fn hostile_names() {
    for world in [World::new(), World::unprivileged()] {
        let odd = stranger(&world, &["rename", "a\nb", "\x1b[2Jc"]);
        let target = format!("pid:{}", odd.pid());
        let done = world.vigie(&["why", &target]).run().code(0);
        assert!(!done.out.contains(&0x1b), "an escape sequence: {done}");
        let text = String::from_utf8(done.out.clone()).expect("UTF-8");
        let first = text.lines().next().expect("a line");
        assert!(first.starts_with(&format!("PID {} (", odd.pid())) && first.contains("is sleeping"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with('b')), "a line that a name has made: {text}");
        assert!(text.contains("what can be done:"), "{text}");
        why(&world, &target, 0);
    }
}
