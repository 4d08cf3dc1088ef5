//! The grammar and the one table of exit codes (R3.1, R3.4, R3.5).

use vigie_real_tests::World;

/// Code, and a line that ends with it.
#[test]
fn the_table() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n\
         [service.never]\ncommand = \"@hostile wait\"\nready = { log = \"^never\", within = \"200ms\" }\nrestart = \"never\"\nprofiles = [\"x\"]\n\
         [service.deaf]\ncommand = \"@hostile ignore-term\"\nready = { log = \"^ready\" }\nstop = [\"TERM 2s\", \"KILL 5s\"]\nprofiles = [\"x\"]\n",
    );
    let lines: &[(i32, &[&str])] = &[
        (0, &["up", "-d"]),
        (1, &["start", "never"]),
        (2, &["start", "nope"]),
        (2, &["frobnicate"]),
        (2, &["up", "--no-such-flag"]),
        (2, &["status", "not a target"]),
        (3, &["up", "-d"]),
        (3, &["start", "a"]),
        (4, &["stop", "a"]),
        (0, &["start", "deaf"]),
        (5, &["stop", "deaf", "--yes", "--timeout", "100ms"]),
        (8, &["stop", "nope", "--yes"]),
        (8, &["logs", "nope"]),
        (8, &["status", "nope"]),
        (0, &["down", "--yes"]),
        (8, &["stop", "a", "--yes"]),
        (0, &["help", "exit-codes"]),
        (0, &["--help"]),
        (0, &["--version"]),
        (127, &["run", "-n", "x", "--", "no-such-command"]),
        (126, &["run", "-n", "x", "--", "/"]),
        (2, &["run"]),
        (2, &["run", "-n", "not a name", "--", "true"]),
    ];
    for (code, line) in lines {
        world.vigie(line).run().code(*code);
    }
    let help = world.vigie(&["help", "exit-codes"]).run().code(0).text();
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "70", "125", "126", "127"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))), "{code}: {help}");
    }
}

/// Where vigie may not write: 7, with the path.
#[test]
fn not_permitted() {
    let world = World::unprivileged();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    // Somebody else's folder, or one that nobody can write to.
    for home in ["/proc/vigie-home", "/sys/vigie-home"] {
        let done = world.vigie(&["run", "-n", "x", "--", "true"]).env("VIGIE_HOME", home).run();
        assert!(matches!(done.status.code(), Some(7 | 8 | 70 | 125)), "{done}");
        assert!(done.errors().contains(home), "{done}");
    }
}

/// A projects' two services of one name are told apart by the project.
#[test]
fn names_of_projects() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n");
    let shop = world.path("shop");
    world.write_manifest(
        &shop,
        "[project]\nname = \"shop\"\n[service.a]\ncommand = \"@hostile wait\"\nready = { log = \"^ready\" }\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["up", "-d"]).within(&shop).run().code(0);
    let here = world.pid("a");
    world.vigie(&["stop", "shop/a", "--yes"]).run().code(0);
    assert_eq!(world.pid("a"), here, "the one here is not meant");
    let outside = world.vigie(&["stop", "demo/a", "--yes"]).within(&world.path("")).run().code(0);
    assert!(outside.text().contains("demo/a"), "{outside}");
    assert!(world.service("a")["run"].is_null());
}

/// No colour and no symbols in pipes; `NO_COLOR` and `CLICOLOR_FORCE` are heeded.
#[test]
fn colour() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile wait\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    assert!(!world.vigie(&["status"]).run().code(0).out.contains(&0x1b));
    assert!(world.vigie(&["status"]).env("CLICOLOR_FORCE", "1").run().code(0).out.contains(&0x1b));
    let mut terminal = world.terminal(&["status"]);
    terminal.finish();
    terminal.wait_for_prompt("\x1b[", 1);
    let mut plain = world.vigie(&["status"]).env("NO_COLOR", "1").env("CLICOLOR_FORCE", "");
    assert!(!plain.command().get_args().next().is_none_or(std::ffi::OsStr::is_empty));
    assert!(!plain.run().code(0).out.contains(&0x1b));
}

/// Completions for three shells, man pages for every verb.
#[test]
fn completions_and_man_pages() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let done = world.vigie(&["completions", shell]).run().code(0);
        assert!(done.text().contains("kill-all"), "{shell}");
    }
    let folder = world.path("man");
    std::fs::create_dir(&folder).expect("a folder");
    world.vigie(&["man", "@world/man"]).run().code(0);
    let pages: Vec<String> = std::fs::read_dir(folder)
        .expect("pages")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    for page in ["vigie.1", "vigie-up.1", "vigie-run.1", "vigie-kill-all.1"] {
        assert!(pages.iter().any(|name| name == page), "{page}: {pages:?}");
    }
}

/// A reader that goes away is no error of ours.
#[test]
fn a_closed_pipe() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile flood 5000000\"\nkind = \"task\"\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let program = vigie_real_tests::program("vigie");
    let line = format!("{} logs a | head -n 1; exit ${{PIPESTATUS[0]}}", program.display());
    let mut call = world.vigie(&[]);
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &line]).current_dir(world.project()).env_clear();
    let envs: Vec<_> =
        call.command().get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    shell.envs(envs.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().expect("a shell");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
}
