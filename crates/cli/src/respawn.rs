//! Who would start it again: programs that run another one and start it anew when it ends or when a file changes.
//!
//! To end only what they started frees a port for a moment. Those that watch files for one developer are ended with it;
//! managers of many services are not, their own command is named instead. What is not known here, the look afterwards
//! finds: a port that is taken again is not called free.

use vigie_core::text::OsText;

/// What a parent is to what it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Respawner {
    /// It starts this one program again: it ends with it.
    Watcher,
    /// It keeps many; it has this command for stopping one.
    Manager(&'static str),
}

/// Programs, and scripts of interpreters, that are nothing but this.
const WATCHERS: [&str; 22] = [
    "nodemon",
    "nodemon.js",
    "node-dev",
    "ts-node-dev",
    "tsnd",
    "supervisor.js",
    "forever",
    "watchexec",
    "cargo-watch",
    "bacon",
    "entr",
    "air",
    "reflex",
    "gow",
    "wgo",
    "CompileDaemon",
    "modd",
    "watchmedo",
    "hupper",
    "jurigged",
    "rerun",
    "watch",
];

/// Programs that are it only with one of these arguments.
const WITH_ARGUMENT: [(&str, &[&str]); 14] = [
    ("node", &["--watch"]),
    ("bun", &["--watch", "--hot"]),
    ("deno", &["--watch", "--watch-hmr"]),
    ("tsx", &["watch"]),
    ("cli.mjs", &["watch"]),
    ("uvicorn", &["--reload"]),
    ("hypercorn", &["--reload"]),
    ("granian", &["--reload"]),
    ("fastapi", &["dev", "--reload"]),
    ("flask", &["--reload", "--debug"]),
    ("manage.py", &["runserver"]),
    ("cargo", &["watch"]),
    ("dotnet", &["watch"]),
    ("php", &["octane:start", "--watch"]),
];

/// Managers, by the beginning of what they call themselves, and how one of theirs is stopped.
const MANAGERS: [(&str, &str); 8] = [
    ("supervisord", "supervisorctl stop NAME"),
    ("PM2 ", "pm2 stop NAME"),
    ("runsv", "sv down NAME"),
    ("s6-supervise", "s6-svc -d FOLDER"),
    ("supervise", "svc -d FOLDER"),
    ("circusd", "circusctl stop NAME"),
    ("monit", "monit stop NAME"),
    ("process-compose", "process-compose process stop NAME"),
];

const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "ash"];

/// What a process with these arguments is.
pub(crate) fn kind(argv: &[OsText]) -> Option<Respawner> {
    let words: Vec<&str> = argv.iter().map(|word| std::str::from_utf8(&word.0).unwrap_or_default()).collect();
    let program = base(words.first()?);
    // The script of an interpreter, or its module, stands behind the options.
    let script = words[1..].iter().find(|word| !word.starts_with('-')).map_or("", |word| base(word));
    let manager = |name: &str| MANAGERS.iter().find(|(known, _)| name.starts_with(known));
    if let Some((_, command)) = manager(words[0]).or_else(|| manager(program)).or_else(|| manager(script)) {
        return Some(Respawner::Manager(command));
    }
    let is = |known: &str| program == known || is_interpreter(program) && script == known;
    let named = WATCHERS.iter().any(|known| is(known));
    let told = WITH_ARGUMENT.iter().any(|(known, arguments)| is(known) && has(&words[1..], arguments));
    (named || told || is_loop(program, &words)).then_some(Respawner::Watcher)
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_interpreter(program: &str) -> bool {
    ["node", "python", "ruby", "bun", "deno"].iter().any(|known| program.starts_with(known))
}

/// One of the arguments, alone or with a value.
fn has(words: &[&str], arguments: &[&str]) -> bool {
    let fits = |word: &&str, argument: &&str| {
        word == argument || word.strip_prefix(argument).is_some_and(|rest| rest.starts_with(['=', '-']))
    };
    words.iter().any(|word| arguments.iter().any(|argument| fits(word, argument)))
}

/// `sh -c 'while true; do …; done'`
fn is_loop(program: &str, words: &[&str]) -> bool {
    let command = words.iter().position(|word| *word == "-c").and_then(|place| words.get(place + 1));
    let repeats = |command: &&str| {
        let mut parts = command.split(|c: char| c.is_whitespace() || c == ';');
        parts.clone().any(|part| part == "while" || part == "until") && parts.any(|part| part == "done")
    };
    SHELLS.contains(&program.trim_start_matches('-')) && command.is_some_and(repeats)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Option<Respawner> {
        kind(&words.iter().map(|word| OsText::from(*word)).collect::<Vec<_>>())
    }

    #[test]
    fn who_starts_things_again() {
        for words in [
            &["node", "/srv/node_modules/.bin/nodemon", "app.js"][..],
            &["/usr/bin/node", "--watch", "app.js"],
            &["node", "--watch-path=./src", "app.js"],
            &["/usr/bin/python3", "/usr/bin/uvicorn", "app:app", "--reload"],
            &["python3.11", "manage.py", "runserver", "8000"],
            &["watchexec", "-r", "./server"],
            &["/usr/bin/cargo", "watch", "-x", "run"],
            &["bash", "-c", "while true; do ./server; done"],
            &["sh", "-c", "until ./server; do sleep 1;done"],
        ] {
            assert_eq!(of(words), Some(Respawner::Watcher), "{words:?}");
        }
        assert_eq!(of(&["/usr/bin/python3", "/usr/bin/supervisord", "-n"]), Some(Respawner::Manager(MANAGERS[0].1)));
        assert_eq!(of(&["PM2 v5.3.0: God Daemon (/home/ana/.pm2)"]), Some(Respawner::Manager("pm2 stop NAME")));
        assert_eq!(of(&["runsv", "api"]), Some(Respawner::Manager("sv down NAME")));
    }

    #[test]
    fn and_who_does_not() {
        for words in [
            &[][..],
            &["node", "app.js", "watch"],
            &["npm", "run", "watch"],
            &["uvicorn", "app:app"],
            &["vim", "nodemon"],
            &["sh", "-c", "echo while"],
            &["bash", "run.sh"],
            &["python3", "manage.py", "migrate"],
            &["/srv/air-quality"],
        ] {
            assert_eq!(of(words), None, "{words:?}");
        }
    }
}
