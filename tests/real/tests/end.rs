//! Ending any process (R3.2, R4.6, R5.1): the plan, the question, who is refused, and what is seen afterwards.

use vigie_real_tests::{Process, Running, World, alive, is_root, program, skip, until};

#[track_caller]
fn stranger(world: &World, args: &[&str]) -> Running {
    let running = world.stranger(args).start();
    running.wait_out("ready");
    running
}

#[track_caller]
fn port(running: &Running) -> u16 {
    let text = if running.out().contains("hold ") { "hold " } else { "listen " };
    running.wait_out(text).trim().parse().expect("a port")
}

fn child(of: u32) -> u32 {
    until("it has a child", || {
        let list = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
        list.split_whitespace().next()?.parse().ok()
    })
}

fn target(running: &Running) -> String {
    format!("pid:{}", running.pid())
}

/// R3.2: the plan is shown; nothing is done without a yes.
#[test]
fn nothing_without_a_yes() {
    for world in [World::new(), World::unprivileged()] {
        let mut victim = stranger(&world, &["wait"]);
        let done = world.vigie(&["end", &target(&victim)]).run().code(4);
        let text = done.text();
        for column in ["PID", "USER", "AGE", "CPU", "MEMORY", "COMMAND", "WHY"] {
            assert!(text.contains(column), "{text}");
        }
        assert!(text.contains(&victim.pid().to_string()) && text.contains("hostile wait"), "{text}");
        let done = world.vigie(&["end", &target(&victim), "--dry-run"]).run().code(0);
        assert!(done.text().contains("dry run: nothing was done"), "{done}");
        assert!(!victim.is_over());
        let done = world.vigie(&["end", &target(&victim), "--yes"]).run().code(0);
        assert!(done.text().contains(&format!("PID {} (hostile): ended", victim.pid())), "{done}");
        until("it is gone", || victim.is_over().then_some(()));
        assert_eq!(victim.finish().signal(), Some(15), "it was asked, not killed");
        // Its number is nobody's by now, or somebody else's, who is not what was meant.
    }
}

/// No is the default; and a process that ends while the question stands is not mistaken for another.
#[test]
fn asked_at_a_terminal() {
    let world = World::new();
    let mut victim = stranger(&world, &["wait"]);
    let mut terminal = world.terminal(&["end", &target(&victim)]);
    terminal.wait_for_prompt("[y/N]", 1);
    assert!(
        terminal.screen().contains(&format!("End PID {} (hostile) (1 process)?", victim.pid())),
        "{}",
        terminal.screen()
    );
    terminal.type_in("\n");
    assert_eq!(terminal.finish().code(), Some(1));
    assert!(!victim.is_over());
    let mut terminal = world.terminal(&["end", &target(&victim)]);
    terminal.wait_for_prompt("[y/N]", 1);
    victim.kill();
    terminal.type_in("y\n");
    terminal.wait_for("ended by itself meanwhile");
    assert_eq!(terminal.finish().code(), Some(0));
}

/// R5.1: a process that ignores TERM is left where only TERM may be tried, and killed else.
#[test]
fn deaf_to_term() {
    let world = World::new();
    let mut victim = stranger(&world, &["ignore-term"]);
    let done = world.vigie(&["end", &target(&victim), "--yes", "--upto", "TERM", "--timeout", "300ms"]).run().code(5);
    let pid = victim.pid();
    assert!(done.errors().contains(&format!("hostile (PID {pid}, state S)")), "{done}");
    let why = format!("PID {pid} (hostile) ignores TERM; 'vigie why pid:{pid}' explains it");
    assert!(done.errors().contains(&why), "{done}");
    assert!(!victim.is_over());
    world.vigie(&["end", &target(&victim), "--yes"]).run().code(0);
    until("it is gone", || victim.is_over().then_some(()));
    assert_eq!(victim.finish().signal(), Some(9));
}

/// What it has started is shown and ends with it, also what left its session; who is stopped hears of it.
#[test]
fn the_whole_tree() {
    let world = World::new();
    let lifeline = world.lifeline();
    let victim = world.stranger(&["stopped"]).env("HOSTILE_LIFELINE", lifeline.path()).start();
    victim.wait_out("ready");
    let below = child(victim.pid());
    let done = world.vigie(&["end", &target(&victim), "--yes"]).run().code(0);
    assert!(done.text().contains(&format!("started by PID {}", victim.pid())), "{done}");
    assert!(done.text().contains("and 1 that it had started"), "{done}");
    until("its child is gone", || (!alive(below)).then_some(()));
    drop(victim);
    lifeline.wait_cut();
}

/// Who is refused, with what to do instead; then nothing is done to the others either.
#[test]
fn who_is_refused() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let mut bystander = stranger(&world, &["wait"]);
    let own = std::process::id();
    for (pid, reason) in [
        (1, "first process of the machine"),
        (own, "this command runs below it"),
        (world.keeper("a").pid, "'vigie stop demo/a'"),
        (world.daemon().pid, "'vigie daemon stop'"),
    ] {
        let done = world.vigie(&["end", &format!("pid:{pid}"), &target(&bystander), "--yes"]).run().code(7);
        assert!(done.errors().contains(reason) && done.errors().contains("nothing was done"), "{done}");
    }
    assert!(!bystander.is_over());
    world.vigie(&["end", "pid:4194304", "--yes"]).run().code(8);
    assert_eq!(world.service("a")["state"], "running");
}

/// The dead are not ended: their parent must reap them.
#[test]
fn the_dead() {
    let world = World::new();
    let parent = stranger(&world, &["unreaped"]);
    let zombie = format!("pid:{}", child(parent.pid()));
    let done = until("it is dead", || {
        let done = world.vigie(&["end", &zombie, "--dry-run"]).run();
        (done.status.code() == Some(8)).then_some(done)
    });
    assert!(done.errors().contains("its parent must reap it"), "{done}");
    assert!(done.errors().contains(&format!("its parent is hostile (PID {})", parent.pid())), "{done}");
}

/// Another user's process: exit code 7, and it lives.
#[test]
fn another_users() {
    if !is_root() {
        skip("another_users", "needs root, to have two users");
        return;
    }
    let (roots, users) = (World::new(), World::unprivileged());
    let mut victim = stranger(&roots, &["wait"]);
    let done = users.vigie(&["end", &target(&victim), "--yes"]).run().code(7);
    assert!(done.errors().contains("it belongs to root"), "{done}");
    assert!(!victim.is_over());
    let mut victim = stranger(&users, &["wait"]);
    roots.vigie(&["end", &target(&victim), "--yes"]).run().code(0);
    until("root may", || victim.is_over().then_some(()));
}

/// The main process of a run stands for the whole run: it is stopped in order, and not started again.
#[test]
fn the_main_process_of_a_run() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nrestart = { when = \"always\", delay = \"20ms\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let main = format!("pid:{}", world.pid("a"));
    let elsewhere = world.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    let done = world.vigie(&["end", &main]).within(&elsewhere).run().code(4);
    assert!(done.text().contains("is the main process of demo/a of another project"), "{done}");
    assert_eq!(world.service("a")["state"], "running");
    let done = world.vigie(&["end", &main, "--yes"]).run().code(0);
    assert!(done.text().contains("demo/a: stopped"), "{done}");
    assert_eq!(world.service("a")["state"], "stopped");
    assert!(world.events_of("a", "restart_scheduled").is_empty());
}

/// Another process of a run is named as that, and ends alone.
#[test]
fn another_process_of_a_run() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = [\"sh\", \"-c\", \"@hostile wait & exec @hostile wait\"]\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let main = world.pid("a");
    let below = child(main);
    let done = world.vigie(&["end", &format!("pid:{below}"), "--yes"]).run().code(0);
    assert!(done.text().contains("it belongs to demo/a, run") && done.text().contains("'vigie stop demo/a'"), "{done}");
    until("it is gone", || (!alive(below)).then_some(()));
    assert!(alive(main), "only that one was meant");
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
}

/// R7.3: the listeners of a port, all of them, and never a client.
#[test]
fn the_listeners_of_a_port() {
    for world in [World::new(), World::unprivileged()] {
        let mut listener = stranger(&world, &["listen", "0"]);
        let port_of = port(&listener).to_string();
        let mut client = stranger(&world, &["hold", "connection", &port_of]);
        let done = world.vigie(&["end", &format!("port:{port_of}"), "--yes"]).run().code(0);
        assert!(
            done.text().contains("has 127.0.0.1:") && done.text().contains(&format!("port {port_of}/tcp: ")),
            "{done}"
        );
        let text = done.text();
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        assert!(!numbers.any(|number| number == client.pid().to_string()), "{done}");
        until("it is gone", || listener.is_over().then_some(()));
        assert!(!client.is_over(), "a client was ended");
        world.vigie(&["end", &format!("port:{port_of}"), "--yes"]).run().code(8);
        let mut first = stranger(&world, &["hold", "twin", "0"]);
        let port_of = port(&first).to_string();
        let mut second = stranger(&world, &["hold", "twin", &port_of]);
        let mut alone = stranger(&world, &["hold", "thread"]);
        let also = format!("port:{}", port(&alone));
        world.vigie(&["end", &format!("port:{port_of}"), &also, "--yes"]).run().code(0);
        until("all are gone", || (first.is_over() && second.is_over() && alone.is_over()).then_some(()));
    }
}

/// A holder that cannot be seen is not guessed at.
#[test]
fn a_hidden_listener() {
    if !is_root() {
        skip("a_hidden_listener", "needs root, to have something to hide");
        return;
    }
    let (roots, users) = (World::new(), World::unprivileged());
    let mut listener = stranger(&roots, &["listen", "0"]);
    let done = users.vigie(&["end", &format!("port:{}", port(&listener)), "--yes"]).run().code(7);
    assert!(done.errors().contains("needs root"), "{done}");
    assert!(!listener.is_over());
}

/// A name cannot draw in the plan, nor in what is said.
#[test]
fn hostile_names() {
    let world = World::new();
    let mut odd = stranger(&world, &["rename", "a\nb", "\x1b[2Jc"]);
    let done = world.vigie(&["end", &target(&odd), "--yes"]).run().code(0);
    assert!(!done.out.contains(&0x1b) && !done.err.contains(&0x1b), "{done}");
    assert!(!done.text().lines().any(|line| line.starts_with('b')), "{done}");
    until("it is gone", || odd.is_over().then_some(()));
}

/// A process that vigie's own program runs, of another vigie: refused, whatever it is called.
#[test]
fn another_vigies_own() {
    let (mine, yours) = (World::new(), World::new());
    yours.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    yours.vigie(&["up", "-d"]).run().code(0);
    let keeper = yours.keeper("a");
    let done = mine.vigie(&["end", &format!("pid:{}", keeper.pid), "--yes"]).run().code(7);
    assert!(done.errors().contains("it is vigie's own"), "{done}");
    let main = yours.pid("a");
    let done = mine.vigie(&["end", &format!("pid:{main}"), "--dry-run"]).run().code(0);
    assert!(done.text().contains("of another vigie"), "{done}");
    assert!(Process::open(main, alive).is_some() && program("vigie").is_file());
}

/// The proxy of a container's port, as far as its program tells: refused, with what frees the port.
#[test]
fn the_proxy_of_a_container() {
    let world = World::new();
    let proxy = world.path("docker-proxy");
    std::fs::copy(program("hostile"), &proxy).expect("a copy");
    let mut call = world.stranger(&[]);
    *call.command() = std::process::Command::new(&proxy);
    call.command().args(["listen", "0", "-container-ip", "172.17.0.9", "-container-port", "80"]);
    let mut running = call.start();
    let port = running.wait_out("listen ");
    let done = world.vigie(&["end", &target(&running), "--yes"]).run().code(7);
    assert!(done.errors().contains("'vigie free PORT'"), "{done}");
    let done = world.vigie(&["end", &format!("port:{port}"), "--yes"]).run().code(7);
    assert!(done.errors().contains(&format!("'vigie free {port}/tcp'")), "{done}");
    assert!(!running.is_over());
}

/// Editors and shells are not protected from whoever names them by their number.
#[test]
fn what_is_named_is_meant() {
    let world = World::new();
    let mut call = world.stranger(&[]);
    *call.command() = std::process::Command::new("sh");
    call.command().args(["-c", "echo ready; read line; exit 3"]);
    call.command().env_clear();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = call.command().stdin(reader).stdout(std::process::Stdio::null()).spawn().expect("a shell");
    let pid = child.id();
    world.vigie(&["end", &format!("pid:{pid}"), "--yes"]).run().code(0);
    let status = child.wait().expect("ours");
    assert!(!status.success());
    drop(writer);
}

/// Who would start it again is named, and ends with what it has started.
#[test]
fn what_would_be_started_again() {
    let world = World::new();
    let mut call = world.stranger(&[]);
    *call.command() = std::process::Command::new("sh");
    call.command().args(["-c", "while :; do \"$0\" wait; done"]).arg(program("hostile"));
    let mut running = call.start();
    running.wait_out("ready");
    let below = child(running.pid());
    let told = world.vigie(&["why", &format!("pid:{below}")]).run().code(0).text();
    assert!(told.contains(&format!("(PID {}) starts it again when it ends", running.pid())), "{told}");
    let done = world.vigie(&["end", &format!("pid:{below}"), "--dry-run"]).run().code(0);
    assert!(done.text().contains(&format!("'vigie end pid:{}' ends both", running.pid())), "{done}");
    world.vigie(&["end", &target(&running), "--yes"]).run().code(0);
    until("both are gone", || (running.is_over() && !alive(below)).then_some(()));
}
