use super::*;

use std::collections::HashMap;

/// A file system: links and contents.
#[derive(Default)]
struct World(HashMap<&'static str, (&'static str, &'static str)>);

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        for (path, target) in [
            ("/usr/bin/python3", "/usr/bin/python3.11"),
            ("/usr/bin/node", "/usr/bin/node"),
            ("/usr/bin/npm", "/usr/lib/node_modules/npm/bin/npm-cli.js"),
            ("/usr/bin/env", "/usr/bin/env"),
            ("/usr/bin/bash", "/usr/bin/bash"),
            ("/usr/bin/sh", "/usr/bin/dash"),
            ("/usr/bin/sleep", "/usr/bin/sleep"),
            ("/usr/bin/timeout", "/usr/bin/timeout"),
            ("/usr/bin/uv", "/usr/bin/uv"),
            ("/usr/bin/java", "/opt/jdk/bin/java"),
            ("/p/venv/bin/python", "/usr/bin/python3.11"),
            ("/p/server.py", "/p/server.py"),
            ("/p/link.py", "/p/server.py"),
            ("/p/app/__main__.py", "/p/app/__main__.py"),
            ("/p/app.jar", "/p/app.jar"),
            ("/p/sub/server.py", "/p/sub/server.py"),
            ("/other/server.py", "/other/server.py"),
            ("/p/bin/api", "/p/bin/api"),
            ("/p", "/p"),
            ("/link-to-p/server.py", "/p/server.py"),
            ("/p/node_modules/.bin/vite", "/p/node_modules/vite/bin/vite.js"),
        ] {
            world.0.insert(path, (target, ""));
        }
        for (path, content) in [
            ("/shims/python3", "#!/usr/bin/env bash\nexec pyenv exec python3\n"),
            ("/p/run", "#!/usr/bin/env python3\nprint(1)\n"),
            ("/p/run.sh", "#!/bin/bash -eu\necho\n"),
            ("/p/split", "#!/usr/bin/env -S python3 -u\n"),
            ("/p/venv/bin/uvicorn", "#!/p/venv/bin/python\n"),
            ("/usr/lib/node_modules/npm/bin/npm-cli.js", "#!/usr/bin/env node\n"),
            ("/p/node_modules/vite/bin/vite.js", "#!/usr/bin/env node\n"),
            ("/p/package.json", r#"{"scripts": {"dev": "vite --port 3000", "start": "node server.js"}}"#),
            ("/p/Cargo.toml", "[package]\nname = \"api\"\n"),
            ("/p/go.mod", "module example.org/x/api\n"),
        ] {
            world.0.insert(path, (path, content));
        }
        world
    }
}

impl Files for World {
    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        let path = normal(path);
        self.0.get(path.to_str()?).map(|(target, _)| PathBuf::from(target))
    }

    fn beginning(&self, path: &Path) -> Option<Vec<u8>> {
        let (_, content) = self.0.get(path.to_str()?)?;
        (!content.is_empty()).then(|| content.as_bytes().to_vec())
    }
}

fn expected(line: &str) -> Expected {
    let path = OsText::from("/p/venv/bin:/usr/bin");
    let argvs = line.split(" | ").map(|line| words(line.as_bytes())).collect();
    let command = Command { argvs, path: Some(&path), cwd: Path::new("/p"), root: Path::new("/p"), uid: 1000 };
    Expected::of(&command, &World::new())
}

fn seen(executable: &str, argv: &[&str], cwd: &str) -> Seen {
    let argv = argv.iter().copied().map(OsText::from).collect();
    Seen { executable: Some(executable.into()), argv, cwd: Some(cwd.into()), uid: 1000 }
}

fn facts(expected: &Expected, executable: &str, line: &str, cwd: &str) -> Option<String> {
    let line: Vec<&str> = line.split_whitespace().collect();
    let seen = seen(executable, &line, cwd);
    let found = expected.recognise(&seen, &World::new()).map(|found| found.facts.join(" "));
    if found.is_some() {
        assert!(expected.could_be(Path::new(executable)), "a cheap look must not miss {executable} {line:?}");
    }
    found
}

const PYTHON: &str = "/usr/bin/python3.11";

/// R4.5, the heart of it.
#[test]
fn the_same_thing_and_what_only_looks_like_it() {
    let server = expected("python3 server.py");
    for (executable, line, cwd, wanted) in [
        (PYTHON, "python3 server.py", "/p", Some("executable script directory user")),
        (PYTHON, "python3 -u -W ignore server.py --verbose", "/p", Some("executable script directory user")),
        (PYTHON, "venv/bin/python ./server.py", "/p", Some("executable script directory user")),
        (PYTHON, "python3 /p/server.py 9000", "/", Some("executable script project user")),
        (PYTHON, "python3 ../server.py", "/p/sub", Some("executable script project user")),
        (PYTHON, "python3 link.py", "/p", Some("executable script directory user")),
        (PYTHON, "python3 server.py", "/link-to-p", Some("executable script project user")),
        (
            "/home/ana/.pyenv/versions/3.12/bin/python3.12",
            "python server.py",
            "/p",
            Some("interpreter script directory user"),
        ),
        ("/usr/bin/python3.11 (deleted)", "python3 server.py", "/p", Some("executable script directory user")),
        ("/usr/bin/timeout", "timeout 60 python3 server.py", "/p", Some("interpreter script directory user")),
        ("/usr/bin/nice", "nice -n 5 python3 server.py", "/p", Some("interpreter script directory user")),
        ("/usr/bin/uv", "uv run server.py", "/p", Some("interpreter script directory user")),
        (PYTHON, "python3 sub/server.py", "/p", None),
        (PYTHON, "python3 server.py", "/p/sub", None),
        (PYTHON, "python3 server.py", "/other", None),
        (PYTHON, "python3 other.py", "/p", None),
        (PYTHON, "python3 other.py server.py", "/p", None),
        (PYTHON, "python3 time.py python3 server.py", "/p", None),
        (PYTHON, "python3 /opt/bin/poetry run python server.py", "/p", Some("interpreter script directory user")),
        (PYTHON, "python3 -m server.py", "/p", None),
        (PYTHON, "python3 -c server.py server.py", "/p", None),
        (PYTHON, "python3 server.py migrate", "/p", None),
        ("/usr/bin/vim", "vim server.py", "/p", None),
        ("/usr/bin/nano", "python3 server.py", "/p", None),
        ("/usr/bin/grep", "grep -r server.py", "/p", None),
        ("/usr/bin/dash", "sh -c python3\u{a0}server.py", "/p", None),
        ("/usr/bin/bash", "bash -c server.py", "/p", None),
        ("/usr/bin/bash", "bash server.py", "/p", None),
        ("/usr/bin/tail", "tail -f server.py", "/p", None),
        ("/usr/bin/node", "node server.py", "/p", None),
    ] {
        assert_eq!(facts(&server, executable, line, cwd).as_deref(), wanted, "{executable}: {line} in {cwd}");
    }
}

#[test]
fn other_users_and_what_cannot_be_seen() {
    let server = expected("python3 server.py");
    let ours = seen(PYTHON, &["python3", "server.py"], "/p");
    assert!(server.recognise(&ours, &World::new()).is_some());
    for other in [
        Seen { uid: 1001, ..ours.clone() },
        Seen { executable: None, ..ours.clone() },
        Seen { cwd: None, ..ours.clone() },
        Seen { argv: Vec::new(), ..ours },
    ] {
        assert_eq!(server.recognise(&other, &World::new()), None, "{other:?}");
    }
}

/// The shims of a version manager are scripts that choose an interpreter: whichever that is, it is the one.
#[test]
fn version_managers() {
    let shim = expected("/shims/python3 server.py");
    let chosen = "/home/ana/.pyenv/versions/3.11.7/bin/python3.11";
    assert_eq!(facts(&shim, chosen, "python3 server.py", "/p").as_deref(), Some("executable script directory user"));
    let absent = expected("/nowhere/python3 server.py");
    assert_eq!(facts(&absent, chosen, "python3 server.py", "/p").as_deref(), Some("interpreter script directory user"));
}

/// What commands become.
#[test]
fn commands_and_their_processes() {
    for (command, executable, line, wanted) in [
        ("./run", PYTHON, "python3 ./run", Some("executable script directory user")),
        ("./split", PYTHON, "python3 -u ./split", Some("executable script directory user")),
        ("./run.sh", "/usr/bin/bash", "/bin/bash -eu ./run.sh", Some("interpreter script directory user")),
        ("bash run.sh", "/usr/bin/bash", "bash run.sh", Some("executable script directory user")),
        ("uv run server.py", PYTHON, "python3 server.py", Some("executable script directory user")),
        ("poetry run python server.py", PYTHON, "python server.py", Some("executable script directory user")),
        ("env A=B nice python3 server.py", PYTHON, "python3 server.py", Some("executable script directory user")),
        ("sh -c server.py", "/usr/bin/dash", "sh -c server.py", Some("executable arguments directory user")),
        ("python3 -m app serve", PYTHON, "python3 -m app serve -v", Some("executable module directory user")),
        ("python3 -m app serve", PYTHON, "python3 -m app migrate", None),
        (
            "python3 -m http.server 8000",
            PYTHON,
            "python3 -m http.server 8000",
            Some("executable module directory user"),
        ),
        ("python3 -m http.server 8000", PYTHON, "python3 -m http.server 9000", None),
        (
            "uvicorn app:main",
            PYTHON,
            "/p/venv/bin/python /p/venv/bin/uvicorn app:main",
            Some("executable script directory user"),
        ),
        ("uvicorn app:main", PYTHON, "/p/venv/bin/python /p/venv/bin/uvicorn other:main", None),
        (
            "npm run dev",
            "/usr/bin/node",
            "node /usr/lib/node_modules/npm/bin/npm-cli.js run dev",
            Some("executable task directory user"),
        ),
        (
            "npm run dev",
            "/usr/bin/node",
            "node /p/node_modules/.bin/vite --port 3000",
            Some("executable script directory user"),
        ),
        ("npm run dev", "/usr/bin/node", "node /p/node_modules/.bin/vite build", None),
        ("npm run dev", "/usr/bin/node", "node /usr/lib/node_modules/npm/bin/npm-cli.js run test", None),
        ("npm start", "/usr/bin/node", "node server.js", Some("executable script directory user")),
        ("npx vite", "/usr/bin/node", "node /p/node_modules/.bin/vite", Some("executable script directory user")),
        (
            "java -cp a -jar app.jar",
            "/opt/jdk/bin/java",
            "java -Xmx1g -jar app.jar",
            Some("executable script directory user"),
        ),
        (
            "cargo run --release -- serve",
            "/p/target/release/api",
            "target/release/api serve",
            Some("executable arguments directory user"),
        ),
        ("cargo run", "/p/target/release/api", "target/release/api", None),
        (
            "cargo run --bin tool",
            "/p/target/debug/tool",
            "target/debug/tool",
            Some("executable arguments directory user"),
        ),
        (
            "go run .",
            "/tmp/go-build12/b001/exe/api",
            "/tmp/go-build12/b001/exe/api",
            Some("executable arguments directory user"),
        ),
        ("go run .", "/usr/bin/api", "api", None),
        ("bin/api --port 1", "/p/bin/api", "bin/api --port 2", Some("executable arguments directory user")),
        ("bin/api serve", "/p/bin/api", "bin/api migrate", None),
        ("sleep 60", "/usr/bin/sleep", "sleep 60", Some("executable arguments directory user")),
        ("sleep 60", "/usr/bin/sleep", "sleep 61", None),
        (
            "server.py | python3 server.py fast",
            PYTHON,
            "python3 server.py fast",
            Some("executable script directory user"),
        ),
    ] {
        assert_eq!(facts(&expected(command), executable, line, "/p").as_deref(), wanted, "{command} as {line}");
    }
}

#[test]
fn npm_writes_over_its_arguments() {
    let dev = expected("npm run dev");
    for argv in [&["npm run dev"][..], &["npm run dev", "", "", ""]] {
        let found = dev.recognise(&seen("/usr/bin/node", argv, "/p"), &World::new()).expect("recognised");
        assert_eq!(found.facts, ["executable", "task", "directory", "user"]);
    }
    assert_eq!(dev.recognise(&seen("/usr/bin/node", &["npm run test", ""], "/p"), &World::new()), None);
}

/// Outside of the project a tool is only the same in the same folder, with the same arguments.
#[test]
fn what_belongs_to_nobody_needs_the_folder() {
    let sleep = expected("sleep 60");
    assert_eq!(facts(&sleep, "/usr/bin/sleep", "sleep 60", "/p/sub"), None);
    assert_eq!(facts(&sleep, "/usr/bin/sleep", "sleep 60", "/other"), None);
}

/// Two services that look alike are told apart by their arguments.
#[test]
fn whose_copy_it_is() {
    let seen = seen(PYTHON, &["python3", "server.py", "--blue"], "/p");
    let exact = |line| expected(line).recognise(&seen, &World::new()).map(|found| found.exact);
    assert_eq!(exact("python3 server.py --red"), Some(false));
    assert_eq!(exact("python3 server.py --blue"), Some(true));
}

#[test]
fn what_the_manifest_says() {
    let by = |by: Match| Expected::matching(by, Path::new("/p"), 1000, &World::new());
    let script = by(Match { script: Some("/p/server.py".into()), ..Match::default() });
    assert_eq!(facts(&script, PYTHON, "python3 server.py migrate", "/p").as_deref(), Some("script directory user"));
    assert_eq!(facts(&script, PYTHON, "python3 /p/server.py", "/").as_deref(), Some("script project user"));
    assert_eq!(facts(&script, PYTHON, "python3 server.py", "/other"), None);
    assert_eq!(facts(&script, "/usr/bin/vim", "vim server.py", "/p"), None);
    let args = Match { executable: Some("python3".into()), args: vec!["--blue".into()], ..Match::default() };
    let args = by(args);
    assert_eq!(
        facts(&args, PYTHON, "python3 x.py --fast --blue", "/p/sub").as_deref(),
        Some("executable arguments project user")
    );
    assert_eq!(facts(&args, PYTHON, "python3 x.py --blue", "/other"), None);
    assert_eq!(facts(&args, PYTHON, "python3 x.py", "/p"), None);
    let folder = by(Match { module: Some("app".into()), cwd: Some("/other".into()), ..Match::default() });
    assert_eq!(facts(&folder, PYTHON, "python3 -m app", "/other").as_deref(), Some("module directory user"));
    assert_eq!(facts(&folder, PYTHON, "python3 -m app", "/p"), None);
}
