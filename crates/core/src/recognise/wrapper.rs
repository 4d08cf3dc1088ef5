//! Programs that start another program and are not what a service is about: `env`, `timeout`, `sudo`, `uv run`, `npx`.
//! [`peel`] takes one of them away. What is left may have a wrapper again.

use std::path::{Path, PathBuf};

use super::{base_name, words};
use crate::text::OsText;

/// A command without its outermost wrapper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inner {
    /// Program and arguments; never empty.
    pub(super) argv: Vec<OsText>,
    /// Where it runs.
    pub(super) cwd: PathBuf,
}

/// How a wrapper reads its own arguments, up to the command.
struct Grammar {
    names: &'static [&'static str],
    /// Letters with a value: the rest of the word, or the next word.
    valued: &'static [u8],
    /// Long options whose value is the next word.
    words: &'static [&'static str],
    /// The letter or long option that tells the folder.
    folder: &'static [&'static str],
    /// `NAME=VALUE` may stand before the command.
    variables: bool,
    /// So many words stand before the command.
    before: usize,
    /// Options with which no command follows.
    none: &'static [&'static str],
    /// The command stands behind one of these words: `uv run`.
    verb: &'static [&'static str],
}

const PLAIN: Grammar =
    Grammar { names: &[], valued: b"", words: &[], folder: &[], variables: false, before: 0, none: &[], verb: &[] };

const GRAMMARS: &[Grammar] = &[
    Grammar {
        names: &["env"],
        valued: b"uCS",
        words: &["--unset", "--chdir"],
        folder: &["-C", "--chdir"],
        variables: true,
        none: &["-S", "--split-string"],
        ..PLAIN
    },
    Grammar { names: &["nice"], valued: b"n", words: &["--adjustment"], ..PLAIN },
    Grammar {
        names: &["ionice"],
        valued: b"cn",
        words: &["--class", "--classdata"],
        none: &["-p", "-P", "-u", "--pid"],
        ..PLAIN
    },
    Grammar { names: &["nohup", "setsid", "catchsegv", "unbuffer", "dumb-init"], ..PLAIN },
    Grammar { names: &["timeout"], valued: b"sk", words: &["--signal", "--kill-after"], before: 1, ..PLAIN },
    Grammar { names: &["stdbuf"], valued: b"ioe", words: &["--input", "--output", "--error"], ..PLAIN },
    Grammar { names: &["time"], valued: b"fo", words: &["--format", "--output"], ..PLAIN },
    Grammar { names: &["chrt"], valued: b"TPD", before: 1, none: &["-p", "--pid", "-m"], ..PLAIN },
    Grammar { names: &["taskset"], before: 1, none: &["-p", "--pid"], ..PLAIN },
    Grammar { names: &["tini", "tini-static"], valued: b"pe", ..PLAIN },
    Grammar { names: &["xvfb-run"], valued: b"nsfewp", words: &["--server-num", "--server-args"], ..PLAIN },
    Grammar {
        names: &["sudo"],
        valued: b"ugChpDRTU",
        words: &["--user", "--group", "--chdir", "--prompt"],
        folder: &["-D", "--chdir"],
        variables: true,
        none: &["-i", "-s", "-e", "-l", "-v", "-k", "-K", "--login", "--shell", "--edit", "--list"],
        ..PLAIN
    },
    Grammar { names: &["doas"], valued: b"uC", none: &["-s", "-L"], ..PLAIN },
    Grammar {
        names: &["uv"],
        valued: b"p",
        words: &[
            "--with",
            "--with-editable",
            "--with-requirements",
            "--python",
            "--extra",
            "--group",
            "--only-group",
            "--no-group",
            "--env-file",
            "--project",
            "--directory",
            "--package",
            "--index",
            "--default-index",
            "--config-file",
            "--cache-dir",
        ],
        folder: &["--directory"],
        verb: &["run"],
        ..PLAIN
    },
    Grammar {
        names: &["poetry", "pdm", "rye", "hatch", "volta"],
        valued: b"Cp",
        words: &["--directory", "--project"],
        folder: &["-C", "--directory"],
        verb: &["run"],
        ..PLAIN
    },
    Grammar { names: &["pipenv"], words: &["--python"], verb: &["run"], ..PLAIN },
    Grammar {
        names: &["conda", "mamba", "micromamba"],
        valued: b"np",
        words: &["--name", "--prefix", "--cwd"],
        folder: &["--cwd"],
        verb: &["run"],
        ..PLAIN
    },
    Grammar { names: &["bundle", "bundler"], words: &["--gemfile"], verb: &["exec"], ..PLAIN },
    Grammar { names: &["pyenv", "rbenv", "nodenv", "jenv", "plenv", "phpenv", "asdf"], verb: &["exec"], ..PLAIN },
    Grammar { names: &["direnv"], before: 1, verb: &["exec"], ..PLAIN },
];

/// A program of this name may be one.
pub(super) fn is_known(name: &[u8]) -> bool {
    const OTHERS: &[&[u8]] = &[b"npx", b"bunx", b"pnpx", b"npm", b"pnpm", b"yarn", b"bun", b"mise", b"rtx"];
    OTHERS.contains(&name) || GRAMMARS.iter().any(|grammar| grammar.names.iter().any(|known| known.as_bytes() == name))
}

/// Takes the outermost wrapper away; `None` when there is none, or when it cannot be told what it runs.
pub(super) fn peel(argv: &[OsText], cwd: &Path) -> Option<Inner> {
    let (program, arguments) = argv.split_first()?;
    let name = base_name(&program.0);
    let inner = |argv: Vec<OsText>| (!argv.is_empty()).then(|| Inner { argv, cwd: cwd.to_owned() });
    match name {
        b"npx" | b"bunx" | b"pnpx" => return node_tool(arguments).and_then(inner),
        b"npm" | b"pnpm" | b"yarn" | b"bun" => {
            return match arguments.first().map(|word| &word.0[..]) {
                Some(b"exec" | b"x" | b"dlx") => node_tool(arguments.get(1..)?).and_then(inner),
                _ => None,
            };
        }
        b"mise" | b"rtx" => {
            // The tools and their versions stand before the two strokes.
            let verb = arguments.first().is_some_and(|word| matches!(&word.0[..], b"exec" | b"x"));
            let place = arguments.iter().position(|word| word.0 == b"--").filter(|_| verb)?;
            return inner(arguments.get(place + 1..)?.to_vec());
        }
        _ => {}
    }
    let known = |grammar: &&Grammar| grammar.names.iter().any(|known| known.as_bytes() == name);
    let mut found = GRAMMARS.iter().find(known)?.read(arguments, cwd)?;
    if name == b"uv" {
        found.argv = python_of_uv(found.argv)?;
    }
    Some(found)
}

impl Grammar {
    fn read(&self, arguments: &[OsText], cwd: &Path) -> Option<Inner> {
        let mut cwd = cwd.to_owned();
        let mut place = 0;
        let (mut before, mut verb) = (self.before, !self.verb.is_empty());
        while let Some(word) = arguments.get(place) {
            let next = || arguments.get(place + 1);
            let bytes = &word.0[..];
            let text = word.as_os_str().to_str().unwrap_or_default();
            if bytes == b"--" {
                place += 1;
                if !verb && before == 0 {
                    break;
                }
                continue;
            }
            // `-m` of `uv run` is part of the command.
            if !verb && self.verb == ["run"] && matches!(bytes, b"-m" | b"--module") {
                break;
            }
            if self.none.contains(&text) {
                // What is split here and nowhere else: `#!/usr/bin/env -S python3 -u`.
                let line = (text == "-S" || text == "--split-string").then(next).flatten()?;
                let behind = arguments.get(place + 2..).unwrap_or_default();
                let argv = words(&line.0).into_iter().chain(behind.iter().cloned()).collect();
                return peel_again(argv, cwd);
            }
            if bytes.starts_with(b"--") {
                let (option, given) =
                    text.split_once('=').map_or((text, None), |(option, value)| (option, Some(value)));
                let mut value = given.map(OsText::from);
                if value.is_none() && self.words.contains(&option) {
                    value = next().cloned();
                    place += 1;
                }
                if self.folder.contains(&option) {
                    cwd.push(value?.as_path());
                }
            } else if let [b'-', letters @ ..] = bytes
                && !letters.is_empty()
            {
                if let Some(at) = letters.iter().position(|letter| self.valued.contains(letter)) {
                    let mut value = Some(OsText(letters[at + 1..].to_vec())).filter(|rest| !rest.0.is_empty());
                    if value.is_none() {
                        value = next().cloned();
                        place += 1;
                    }
                    let option = format!("-{}", char::from(letters[at]));
                    if self.folder.contains(&option.as_str()) {
                        cwd.push(value?.as_path());
                    }
                }
            } else if bytes == b"-" || self.variables && bytes.contains(&b'=') {
                // `env -` empties the environment.
            } else if verb {
                if !self.verb.contains(&text) {
                    return None;
                }
                verb = false;
            } else if before > 0 {
                before -= 1;
            } else {
                break;
            }
            place += 1;
        }
        let argv = arguments.get(place..)?.to_vec();
        (!verb && before == 0 && !argv.is_empty()).then_some(Inner { argv, cwd })
    }
}

/// The words that `env -S` made may begin with variables.
fn peel_again(argv: Vec<OsText>, cwd: PathBuf) -> Option<Inner> {
    let start = argv.iter().position(|word| !word.0.contains(&b'='))?;
    Some(Inner { argv: argv.get(start..)?.to_vec(), cwd })
}

/// `uv run -m pkg`, `uv run server.py`
fn python_of_uv(argv: Vec<OsText>) -> Option<Vec<OsText>> {
    let first = &argv.first()?.0[..];
    let python = || std::iter::once(OsText::from("python3"));
    Some(match first {
        b"-m" | b"--module" => python().chain([OsText::from("-m")]).chain(argv.into_iter().skip(1)).collect(),
        file if file.ends_with(b".py") => python().chain(argv).collect(),
        _ => argv,
    })
}

/// What `npx vite` starts: the program that the project has installed.
fn node_tool(arguments: &[OsText]) -> Option<Vec<OsText>> {
    let mut place = 0;
    while let Some(word) = arguments.get(place) {
        match &word.0[..] {
            b"-p" | b"--package" | b"-w" | b"--workspace" => place += 2,
            b"-c" | b"--call" => return None,
            [b'-', ..] => place += 1,
            _ => break,
        }
    }
    let (tool, rest) = arguments.get(place..)?.split_first()?;
    // `vite@5` is installed as `vite`.
    let name = tool.0.iter().skip(1).position(|byte| *byte == b'@').map_or(&tool.0[..], |at| &tool.0[..=at]);
    let program = OsText([b"node_modules/.bin/", name].concat());
    Some(std::iter::once(program).chain(rest.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peeled(line: &str) -> String {
        peel(&words(line.as_bytes()), Path::new("/p")).map_or_else(String::new, |inner| {
            let argv: Vec<String> = inner.argv.iter().map(OsText::to_string).collect();
            let cwd = if inner.cwd == Path::new("/p") { String::new() } else { format!("{}: ", inner.cwd.display()) };
            format!("{cwd}{}", argv.join(" "))
        })
    }

    #[test]
    fn wrappers_are_taken_away() {
        for (line, wanted) in [
            ("env A=B -u C python3 s.py", "python3 s.py"),
            ("/usr/bin/env -i -C /srv python3 s.py", "/srv: python3 s.py"),
            ("env --chdir=sub python3 s.py", "/p/sub: python3 s.py"),
            ("env", ""),
            ("nice -n 5 python3 s.py", "python3 s.py"),
            ("nice -5 python3 s.py", "python3 s.py"),
            ("nohup python3 s.py", "python3 s.py"),
            ("setsid -f python3 s.py -f", "python3 s.py -f"),
            ("timeout -k 5 -s INT 10s python3 s.py", "python3 s.py"),
            ("timeout 10", ""),
            ("stdbuf -oL -e 0 ./s", "./s"),
            ("sudo -u ana -E A=B ./s -i", "./s -i"),
            ("sudo -i", ""),
            ("taskset -c 0-3 ./s", "./s"),
            ("taskset -p 12", ""),
            ("uv run server.py --x", "python3 server.py --x"),
            ("uv run --with rich -m http.server 80", "python3 -m http.server 80"),
            ("uv run --directory sub python s.py", "/p/sub: python s.py"),
            ("uv --quiet run -- uvicorn app:app", "uvicorn app:app"),
            ("uv sync", ""),
            ("poetry run python s.py", "python s.py"),
            ("poetry install", ""),
            ("pipenv run python s.py", "python s.py"),
            ("bundle exec rails server", "rails server"),
            ("pyenv exec python s.py", "python s.py"),
            ("mise exec node@20 -- node s.js", "node s.js"),
            ("npx --yes vite@5 --port 3000", "node_modules/.bin/vite --port 3000"),
            ("npx -p typescript @scope/x", "node_modules/.bin/@scope/x"),
            ("npm exec -- vite build", "node_modules/.bin/vite build"),
            ("npm run dev", ""),
            ("time -v ./s", "./s"),
            ("python3 s.py", ""),
        ] {
            assert_eq!(peeled(line), wanted, "{line}");
        }
    }
}
