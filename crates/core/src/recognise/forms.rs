//! What a service's command becomes as processes.

use std::path::{Path, PathBuf};

use super::interpreter::{Family, Runs};
use super::sight::{Sight, is_task_runner};
use super::{Command, Expected, Files, Recognised, base_name, owns, path_bytes, same_file, words, wrapper};
use crate::text::OsText;

/// So often one command may stand for another.
const DEPTH: usize = 6;

/// One process that comes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    what: What,
    /// The arguments behind what is run.
    rest: Vec<OsText>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// A script and its interpreter.
    Script { family: Family, interpreter: Interpreter, file: PathBuf, own: bool },
    /// A name that an interpreter looks up. Which file that is, nobody knows from outside.
    Module { family: Family, interpreter: Interpreter, name: OsText, own: bool },
    /// A program with its arguments.
    Program { executable: PathBuf, own: bool },
    /// What a project calls by a name: `npm run dev`.
    Task { tool: OsText },
    /// What `cargo run` builds, in this folder.
    Cargo { folder: PathBuf, name: OsText },
    /// What `go run` builds, somewhere.
    Go { name: OsText },
}

/// Which installation of an interpreter it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Interpreter {
    /// This one.
    This(PathBuf),
    /// A version manager's script stands in its place and chooses one (the shims of pyenv, rbenv, asdf).
    Chosen,
    /// None is found.
    Unknown,
}

impl Interpreter {
    fn of(executable: Option<&PathBuf>, files: &dyn Files) -> Self {
        match executable {
            None => Self::Unknown,
            Some(path) if shebang(path, files).is_some() => Self::Chosen,
            Some(path) => Self::This(path.clone()),
        }
    }

    /// What matches when a process runs the same script in the same language.
    fn fact(&self, sight: &Sight) -> &'static str {
        let same = match (self, &sight.executable) {
            (Self::This(path), Some(seen)) => seen == path,
            (Self::Chosen, Some(_)) => true,
            _ => false,
        };
        if same { "executable" } else { "interpreter" }
    }
}

/// The forms of a command, without doubles.
pub(super) fn of(command: &Command<'_>, files: &dyn Files) -> Vec<Form> {
    let mut forms = Vec::new();
    for argv in &command.argvs {
        add(argv, command.cwd, command, files, DEPTH, &mut forms);
    }
    forms.dedup();
    forms
}

fn add(argv: &[OsText], cwd: &Path, command: &Command<'_>, files: &dyn Files, depth: usize, forms: &mut Vec<Form>) {
    let Some((program, arguments)) = argv.split_first() else { return };
    let Some(depth) = depth.checked_sub(1) else { return };
    let name = base_name(&program.0);
    if is_task_runner(name) {
        forms.push(Form { what: What::Task { tool: OsText(name.to_vec()) }, rest: arguments.to_vec() });
        if let Some(line) = task(name, arguments, cwd, files) {
            add(&line, cwd, command, files, depth, forms);
        }
    }
    if let Some(inner) = wrapper::peel(argv, cwd) {
        let cwd = files.canonical(&inner.cwd).unwrap_or(inner.cwd);
        return add(&inner.argv, &cwd, command, files, depth, forms);
    }
    if is_task_runner(name) {
        return;
    }
    if let Some(built) = built(name, arguments, cwd, files) {
        forms.push(built);
    }
    let executable = command.program(program, cwd, files);
    let family = Family::of(name).or_else(|| Family::of(base_name(path_bytes(executable.as_ref()?))));
    if let Some(family) = family {
        let interpreter = Interpreter::of(executable.as_ref(), files);
        match family.runs(arguments) {
            Runs::Script(file, rest) => {
                let path = cwd.join(file.as_path());
                let file = files.canonical(&path).unwrap_or_else(|| super::normal(&path));
                let own = owns(command.root, &file);
                forms.push(Form { what: What::Script { family, interpreter, file, own }, rest: rest.to_vec() });
                return;
            }
            Runs::Module(name, rest) => {
                let own = own_module(name, cwd, command.root, files);
                forms.push(Form {
                    what: What::Module { family, interpreter, name: name.clone(), own },
                    rest: rest.to_vec(),
                });
                return;
            }
            Runs::Other => {
                if family == Family::Shell
                    && let Some(line) = simple_line(arguments)
                {
                    add(&line, cwd, command, files, depth, forms);
                }
            }
        }
    }
    let Some(executable) = executable else { return };
    if let Some(mut line) = family.is_none().then(|| shebang(&executable, files)).flatten() {
        line.push(executable.into());
        line.extend(arguments.iter().cloned());
        return add(&line, cwd, command, files, depth, forms);
    }
    let own = owns(command.root, &executable);
    forms.push(Form { what: What::Program { executable, own }, rest: arguments.to_vec() });
}

/// The interpreter of a script that is executed itself, with its argument: execve(2).
fn shebang(executable: &Path, files: &dyn Files) -> Option<Vec<OsText>> {
    let content = files.beginning(executable)?;
    let line = content.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let space = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (interpreter, argument) = line.split_at(space);
    let argument = Some(argument.trim_ascii()).filter(|argument| !argument.is_empty());
    if base_name(interpreter) == b"env" {
        // Whatever `env -S` splits is a word of its own by the time the interpreter runs.
        let split = words(argument?).into_iter().filter(|word| word.0 != b"-S");
        return Some(std::iter::once(OsText(interpreter.to_vec())).chain(split).collect());
    }
    Some([interpreter].into_iter().chain(argument).map(|word| OsText(word.to_vec())).collect())
}

/// The command of `sh -c`, when no shell is needed to understand it.
fn simple_line(arguments: &[OsText]) -> Option<Vec<OsText>> {
    let [option, line, ..] = arguments else { return None };
    let plain = option.0 == b"-c" && !line.0.iter().any(|byte| b"|&;<>()$`\\\"'*?[]#~!{}\n".contains(byte));
    let mut line = plain.then(|| words(&line.0))?;
    if line.first().is_some_and(|word| word.0 == b"exec") {
        line.remove(0);
    }
    // Variables before the command, as `env` takes them.
    if line.first().is_some_and(|word| word.0.contains(&b'=')) {
        line.insert(0, "env".into());
    }
    Some(line)
}

/// The command behind `npm run dev`, from the scripts of the project.
fn task(tool: &[u8], arguments: &[OsText], cwd: &Path, files: &dyn Files) -> Option<Vec<OsText>> {
    let mut words_of = arguments.iter().filter(|word| !word.0.starts_with(b"-"));
    let first = words_of.next()?;
    let name = match &first.0[..] {
        b"run" | b"run-script" => words_of.next()?,
        b"start" | b"test" => first,
        _ if tool != b"npm" => first,
        _ => return None,
    };
    let package: serde_json::Value = serde_json::from_slice(&files.beginning(&cwd.join("package.json"))?).ok()?;
    let line = package.get("scripts")?.get(name.as_os_str().to_str()?)?.as_str()?;
    let mut line = simple_line(&["-c".into(), line.into()])?;
    let tool = line.first_mut()?;
    // What is installed is found before what is not.
    let installed = OsText([b"node_modules/.bin/", &tool.0[..]].concat());
    if files.canonical(&cwd.join(installed.as_path())).is_some() {
        *tool = installed;
    }
    if let Some(place) = arguments.iter().position(|word| word.0 == b"--") {
        line.extend_from_slice(arguments.get(place + 1..)?);
    }
    Some(line)
}

/// What `cargo run` and `go run` start.
fn built(tool: &[u8], arguments: &[OsText], cwd: &Path, files: &dyn Files) -> Option<Form> {
    // `cargo +nightly run`
    let toolchain = usize::from(arguments.first()?.0.starts_with(b"+"));
    let (verb, words) = arguments.get(toolchain..)?.split_first()?;
    match (tool, &verb.0[..]) {
        (b"cargo", b"run" | b"r") => cargo(words, cwd, files),
        (b"go", b"run") => go(words, cwd, files),
        _ => None,
    }
}

fn cargo(arguments: &[OsText], cwd: &Path, files: &dyn Files) -> Option<Form> {
    let (mut profile, mut example, mut name, mut folder) = ("debug".to_owned(), false, None, None);
    let mut place = 0;
    while let Some(word) = arguments.get(place) {
        let text = word.as_os_str().to_str()?;
        let (option, given) = text.split_once('=').map_or((text, None), |(option, value)| (option, Some(value)));
        let mut value = || {
            given.map(OsText::from).or_else(|| {
                place += 1;
                arguments.get(place).cloned()
            })
        };
        match option {
            "--" => break,
            "--release" | "-r" => profile = "release".to_owned(),
            "--profile" => profile = value()?.as_os_str().to_str()?.to_owned(),
            "--bin" => name = value(),
            "--example" => (example, name) = (true, value()),
            "-p" | "--package" => name = name.or(value()),
            "--target-dir" => folder = Some(cwd.join(value()?.as_path())),
            "--features" | "-F" | "--target" | "--manifest-path" | "-j" | "--jobs" | "--color" | "--config" | "-Z" => {
                value()?;
            }
            _ if option.starts_with('-') => {}
            // The program's own arguments.
            _ => break,
        }
        place += 1;
    }
    let rest = arguments.get(place..).unwrap_or_default();
    let rest = rest.strip_prefix(&[OsText::from("--")][..]).unwrap_or(rest).to_vec();
    let profile = if profile == "dev" { "debug".to_owned() } else { profile };
    // The nearest workspace: its folder is where everything is built.
    let manifests = cwd.ancestors().filter_map(|dir| {
        let text = String::from_utf8(files.beginning(&dir.join("Cargo.toml"))?).ok()?;
        Some((dir, CargoManifest::read(&text)?))
    });
    let manifests: Vec<(&Path, CargoManifest)> = manifests.collect();
    let name = name.or_else(|| manifests.first()?.1.runs.clone())?;
    let workspace = manifests.iter().find(|(_, manifest)| manifest.is_workspace).or(manifests.first());
    let folder = folder.or_else(|| Some(workspace?.0.join("target")))?.join(profile);
    let folder = if example { folder.join("examples") } else { folder };
    let folder = files.canonical(&folder).unwrap_or(folder);
    Some(Form { what: What::Cargo { folder, name }, rest })
}

/// What a `Cargo.toml` says about what is run.
struct CargoManifest {
    /// The program that `cargo run` starts without being told which.
    runs: Option<OsText>,
    is_workspace: bool,
}

impl CargoManifest {
    fn read(text: &str) -> Option<Self> {
        let table = toml::de::DeTable::parse(text).ok()?;
        let table = table.get_ref();
        let package = table.get("package").and_then(|package| package.get_ref().as_table());
        let named = |key: &str| package?.get(key)?.get_ref().as_str().map(OsText::from);
        Some(Self {
            runs: named("default-run").or_else(|| named("name")),
            is_workspace: table.get("workspace").is_some(),
        })
    }
}

fn go(arguments: &[OsText], cwd: &Path, files: &dyn Files) -> Option<Form> {
    let place = arguments.iter().position(|word| !word.0.starts_with(b"-"))?;
    let (package, rest) = arguments.get(place..)?.split_first()?;
    let name = if package.0.ends_with(b".go") {
        OsText(base_name(&package.0).strip_suffix(b".go")?.to_vec())
    } else {
        let folder = super::normal(&cwd.join(package.as_path()));
        let module = files.beginning(&folder.join("go.mod")).and_then(|content| {
            let mut lines = content.split(|byte| *byte == b'\n');
            let path = lines.find_map(|line| line.strip_prefix(b"module "))?.trim_ascii();
            Some(OsText(base_name(path).to_vec()))
        });
        module.or_else(|| folder.file_name().map(|name| OsText::from(name.to_owned())))?
    };
    // More files of the same package belong to it.
    let rest = rest.iter().skip_while(|word| package.0.ends_with(b".go") && word.0.ends_with(b".go"));
    Some(Form { what: What::Go { name }, rest: rest.cloned().collect() })
}

/// Whether a module is the project's own: `pkg.mod` lies in the working folder, or in one of the usual places below.
fn own_module(name: &OsText, cwd: &Path, root: &Path, files: &dyn Files) -> bool {
    let inside: Vec<u8> = name.0.iter().map(|byte| if *byte == b'.' { b'/' } else { *byte }).collect();
    let inside = OsText(inside);
    [cwd.to_owned(), cwd.join("src"), root.to_owned(), root.join("src")].iter().any(|folder| {
        let path = folder.join(inside.as_path());
        let file = |end: &str| files.canonical(&Path::new(&path).with_extension(end)).filter(|file| owns(root, file));
        file("py").or_else(|| files.canonical(&path.join("__main__.py")).filter(|file| owns(root, file))).is_some()
    })
}

impl Form {
    /// Whether a process with this executable can have this form.
    pub(super) fn could_be(&self, executable: &Path, name: &[u8]) -> bool {
        match &self.what {
            What::Script { family, .. } | What::Module { family, .. } => {
                Family::of(name) == Some(*family) || is_many(name)
            }
            What::Program { executable: wanted, .. } => executable == wanted || is_many(name),
            What::Task { .. } => Family::of(name) == Some(Family::Node) || is_task_runner(name),
            What::Cargo { name: wanted, .. } | What::Go { name: wanted } => name == wanted.0,
        }
    }

    /// Whether a process with these arguments (without the program's name) can have this form.
    pub(super) fn could_have(&self, name: &[u8], rest: &[OsText]) -> bool {
        match &self.what {
            // A tool's script may stand for what it runs.
            What::Script { family, .. } | What::Module { family, .. } => {
                is_many(name) || rest.iter().any(|word| word.0.contains(&b' ')) || family.runs(rest) != Runs::Other
            }
            What::Program { own: false, .. } => self.rest == rest || is_many(name),
            What::Program { own: true, .. } | What::Task { .. } | What::Cargo { .. } | What::Go { .. } => true,
        }
    }

    /// What matches, when it is enough; without the user.
    pub(super) fn matches(&self, sight: &Sight, expected: &Expected, files: &dyn Files) -> Option<Recognised> {
        let told = |first: &'static str, second: &'static str, place: &'static str, exact: bool| {
            // What the arguments tell is said only where nothing better is there to be said.
            Recognised { facts: vec![first, second, place], exact }
        };
        let place = expected.place_of(&sight.cwd);
        match &self.what {
            What::Script { family, interpreter, file, own } => {
                let (seen, Runs::Script(named, rest)) = sight.runs()? else { return None };
                let same = seen == *family && self.arguments_fit(rest, *own);
                // Own scripts are where they are, from wherever they are called.
                let place = place.or(own.then_some("project"))?;
                let exact = self.rest == rest;
                (same && same_file(named, &sight.cwd, file, files))
                    .then(|| told(interpreter.fact(sight), "script", place, exact))
            }
            What::Module { family, interpreter, name, own } => {
                let (seen, Runs::Module(named, rest)) = sight.runs()? else { return None };
                let same = seen == *family && named == name && self.arguments_fit(rest, *own);
                let exact = self.rest == rest;
                same.then_some(place?).map(|place| told(interpreter.fact(sight), "module", place, exact))
            }
            What::Program { executable, own } => {
                let same = match &sight.executable {
                    Some(seen) => seen == executable,
                    // What a wrapper says to run.
                    None => sight.name() == base_name(path_bytes(executable)),
                };
                let rest = sight.arguments();
                let place = if *own { place.or(Some("project")) } else { place.filter(|place| *place == "directory") };
                let exact = self.rest == rest;
                (same && self.arguments_fit(rest, *own))
                    .then_some(place?)
                    .map(|place| told("executable", "arguments", place, exact))
            }
            What::Task { tool } => {
                let same = sight.argv.first().is_some_and(|program| base_name(&program.0) == tool.0);
                let rest = sight.arguments();
                let place = place.filter(|place| *place == "directory")?;
                (same && self.rest == rest).then(|| told("executable", "task", place, true))
            }
            What::Cargo { folder, name } => {
                let executable = sight.executable.as_ref()?;
                let same = executable.parent() == Some(folder) && base_name(path_bytes(executable)) == name.0;
                self.built(same, sight, place.or(Some("project"))?)
            }
            What::Go { name } => {
                let executable = sight.executable.as_ref()?;
                let cached = executable.components().any(|part| path_bytes(part.as_ref()).starts_with(b"go-build"));
                self.built(cached && base_name(path_bytes(executable)) == name.0, sight, place?)
            }
        }
    }

    fn built(&self, same: bool, sight: &Sight, place: &'static str) -> Option<Recognised> {
        let rest = sight.arguments();
        (same && self.arguments_fit(rest, true))
            .then(|| Recognised { facts: vec!["executable", "arguments", place], exact: self.rest == rest })
    }

    /// What is the project's own is known by itself, and only what looks like a verb must be the same: `manage.py
    /// migrate` is not `manage.py runserver`. A tool of others is told by all of its arguments.
    fn arguments_fit(&self, rest: &[OsText], own: bool) -> bool {
        self.rest == rest || own && verb(&self.rest) == verb(rest)
    }
}

/// The first argument, when it is neither option nor number.
fn verb(arguments: &[OsText]) -> Option<&OsText> {
    arguments.first().filter(|word| !word.0.starts_with(b"-") && !word.0.iter().all(u8::is_ascii_digit))
}

/// One file with many names.
fn is_many(name: &[u8]) -> bool {
    matches!(name, b"busybox" | b"toybox" | b"coreutils")
}
