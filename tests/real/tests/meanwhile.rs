//! What is true when a plan is shown and not when it is carried out, and numbers that mean somebody else: nobody is ended
//! for it (R4.6, R7.3).

use vigie_real_tests::{Running, World, free_port, is_root, program, skip, until};

/// A service that waits, and a copy of it that was started by hand.
fn with_copy() -> (World, Running) {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nstop = [\"TERM 1s\", \"KILL 5s\"]\n");
    let copy = world.stranger(&["wait"]).start();
    copy.wait_out("ready");
    (world, copy)
}

/// The question stands, and somebody adopts what it is about: it is a run now, and stays one.
#[test]
fn adopted_between_question_and_answer() {
    for (verb, prompt, yes, code) in
        [("sweep", "[y/N]", "y\n", 0), ("up", "Which? [3]", "1\n", 3), ("end", "[y/N]", "y\n", 3)]
    {
        let (world, mut copy) = with_copy();
        let target = format!("pid:{}", copy.pid());
        let line: &[&str] = match verb {
            "up" => &["up", "-d", "a"],
            "end" => &["end", &target],
            _ => &["sweep"],
        };
        let mut terminal = world.terminal(line);
        terminal.wait_for_prompt(prompt, 1);
        world.vigie(&["adopt", "a"]).run().code(0);
        terminal.type_in(yes);
        terminal.wait_for("by now");
        assert_eq!(terminal.finish().code(), Some(code), "{verb}: {}", terminal.screen());
        assert!(!copy.is_over(), "{verb}");
        assert_eq!(world.pid("a"), copy.pid(), "{verb}");
        world.vigie(&["stop", "a", "--yes"]).run().code(0);
        copy.finish();
    }
}

#[test]
fn adopted_while_a_port_is_to_be_freed() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    let port = free_port();
    let mut holder = world.stranger(&["listen", &port.to_string()]).start();
    holder.wait_out("ready");
    let mut terminal = world.terminal(&["free", &port.to_string()]);
    terminal.wait_for_prompt("[y/N]", 1);
    world.vigie(&["adopt", &format!("port:{port}"), "--as", "a"]).run().code(0);
    terminal.type_in("y\n");
    assert_eq!(terminal.finish().code(), Some(3), "{}", terminal.screen());
    assert!(!holder.is_over() && world.pid("a") == holder.pid());
}

/// Another vigie would start again what is ended, and two that hold one process hold it not at all.
#[test]
fn a_run_of_another_vigie_is_left_to_it() {
    let port = free_port();
    let text = format!(
        "[service.web]\ncommand = \"@hostile listen {port}\"\nports = [\"127.0.0.1:{port}\"]\n\
         ready = {{ tcp = \"127.0.0.1:{port}\" }}\n"
    );
    let (theirs, ours) = (World::new(), World::new());
    theirs.manifest(&text);
    theirs.vigie(&["up", "-d"]).run().code(0);
    let pid = theirs.pid("web");
    ours.manifest(&text);
    ours.vigie(&["up", "-d"]).run().code(3);
    ours.vigie(&["up", "-d", "--replace"]).run().code(3).says("another vigie");
    ours.vigie(&["adopt", &format!("port:{port}"), "--as", "web"]).run().code(3).says("another vigie");
    assert!(ours.service_dir("web").is_none(), "nothing was started");
    assert_eq!(theirs.pid("web"), pid);
}

/// What was adopted from below something else has its old parent still, and is none of that one's tree any more.
#[test]
fn an_adopted_child_is_no_part_of_its_parents_tree() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nstop = [\"TERM 1s\", \"KILL 5s\"]\n");
    let mut parent = world.shell("@hostile wait; true").start();
    parent.wait_out("ready");
    world.vigie(&["adopt", "a"]).run().code(0);
    let service = world.service("a");
    if service["run"]["containment"] == "descent" {
        println!("skipped: this user may make no cgroups, and by descent alone it is not told apart");
        return;
    }
    let pid = world.pid("a");
    let done = world.vigie(&["end", &format!("pid:{}", parent.pid()), "--yes"]).run().code(0);
    let text = done.text();
    assert!(!text.split(|c: char| !c.is_ascii_digit()).any(|number| number == pid.to_string()), "{done}");
    until("the shell is gone", || parent.is_over().then_some(()));
    let service = world.service("a");
    assert_eq!((&service["state"], &service["run"]["pid"]), (&"running".into(), &pid.into()), "{service:#}");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
}

/// Where its messages go is full: what has begun is done, and the code says what came of it.
#[test]
fn nobody_can_be_told() {
    let (world, copy) = with_copy();
    let vigie = program("vigie");
    let script = |line: &str| {
        let line = format!("{} {line} 2>/dev/full", vigie.display());
        world.shell(&line).env("VIGIE_HOME", world.home()).run()
    };
    script("end pid:1 --yes").code(7);
    script("up -d --replace a").code(0);
    assert_eq!(copy.finish().signal(), Some(15));
    assert_eq!(world.service("a")["state"], "running");
}

/// A FIFO has nothing to say until somebody writes: neither a command nor the daemon waits for that.
#[test]
fn a_pid_file_that_is_none() {
    let world = World::new();
    let fifo = world.project().join("old.pid");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).expect("a FIFO");
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nlegacy_pidfile = \"old.pid\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["strays"]).run().code(0);
    world.vigie(&["sweep", "--yes"]).run().code(0);
    assert!(fifo.exists(), "what names no process is no leftover");
    world.vigie(&["down", "--yes"]).run().code(0);
}

/// `/proc` opens a thread by its number, though no list has it.
#[test]
fn the_number_of_a_thread() {
    let world = World::new();
    let (say, hear) = std::sync::mpsc::channel();
    let (leave, stay) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        say.send(rustix::thread::gettid().as_raw_nonzero()).expect("heard");
        let _ = stay.recv();
    });
    let target = format!("pid:{}", hear.recv().expect("said"));
    let own = format!("thread of process {}", std::process::id());
    for verb in ["end", "why"] {
        world.vigie(&[verb, &target]).run().code(8).says(&own);
    }
    drop(leave);
    thread.join().expect("it waits");
}

/// Where `/proc` shows another PID namespace, its numbers are those of others here.
#[test]
fn numbers_of_another_namespace() {
    if !is_root() {
        return skip("numbers_of_another_namespace", "only root may make a PID namespace");
    }
    let world = World::new();
    let mut outside = world.stranger(&["wait"]).start();
    outside.wait_out("ready");
    let vigie = program("vigie");
    let line = format!("exec unshare --pid --fork {} end pid:{} --yes", vigie.display(), outside.pid());
    world.shell(&line).env("VIGIE_HOME", world.home()).run().code(7).says("another PID namespace");
    assert!(!outside.is_over());
}
