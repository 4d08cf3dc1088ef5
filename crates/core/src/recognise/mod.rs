//! Whether a process is recognisably the same thing as a service (R4.5): by resolved executable, script, working folder
//! or project, and user; or by what the manifest says (`match`). Never by a part of the command line: an editor, a `grep`
//! or a shell that mentions a script has another executable, and another project's copy lies in another folder.
//!
//! A service's command is not what the kernel shows of it. `uv run server.py` becomes `python3 server.py`, a script with
//! `#!` becomes its interpreter, `cargo run` becomes `target/debug/NAME`. So a command has several *forms*, one for each
//! process that comes of it, and a process is the same thing when it has one of them. What a process runs inside of a
//! wrapper counts as well: the `timeout` of `timeout 60 python3 server.py` is recognised, and so is its child; which of
//! them is the top of the stray, the tree of processes tells.

mod command;
mod forms;
mod interpreter;
mod pattern;
mod sight;
mod wrapper;

use std::path::{Component, Path, PathBuf};

use crate::text::OsText;
pub use command::Command;
use forms::Form;
pub use pattern::Match;
use sight::Sight;

/// What is asked of the file system. The decisions stay without I/O.
pub trait Files {
    /// The path with all symbolic links resolved; absent when nothing is there.
    fn canonical(&self, path: &Path) -> Option<PathBuf>;
    /// The beginning of a file, at least its first 256 bytes; the whole of one below 64 KiB.
    fn beginning(&self, path: &Path) -> Option<Vec<u8>>;
}

/// What runs of a service look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    by: By,
    /// The working folder, canonical.
    cwd: PathBuf,
    /// The folder of the project, canonical.
    root: PathBuf,
    /// The user.
    uid: u32,
}

/// How it is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    /// By what its command becomes.
    Forms(Vec<Form>),
    /// By what the manifest says.
    Match(Match),
}

/// What a process looks like. Absent: it could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `/proc/PID/exe`
    pub executable: Option<OsText>,
    /// `/proc/PID/cmdline`
    pub argv: Vec<OsText>,
    /// `/proc/PID/cwd`
    pub cwd: Option<OsText>,
    /// Its effective user.
    pub uid: u32,
}

/// A process that is the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    /// The facts that match, of: `executable`, `interpreter` (the same language, another installation), `script`,
    /// `module`, `task`, `arguments`, `directory`, `project` (somewhere in it), `user`.
    pub facts: Vec<&'static str>,
    /// The arguments are the same, all of them. Where two services look alike, this tells whose copy it is.
    pub exact: bool,
}

impl Expected {
    /// By what its command becomes.
    pub fn of(command: &Command<'_>, files: &dyn Files) -> Self {
        let forms = forms::of(command, files);
        Self { by: By::Forms(forms), cwd: command.cwd.to_owned(), root: command.root.to_owned(), uid: command.uid }
    }

    /// By what the manifest says.
    pub fn matching(by: Match, root: &Path, uid: u32, files: &dyn Files) -> Self {
        let root = files.canonical(root).unwrap_or_else(|| root.to_owned());
        let by = by.resolved(files);
        let cwd = by.cwd.as_ref().map_or_else(|| root.clone(), |cwd| cwd.as_path().to_owned());
        Self { by: By::Match(by), cwd, root, uid }
    }

    /// The user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether a process with this executable is worth a second look. Cheap, and never wrongly no.
    pub fn could_be(&self, executable: &Path) -> bool {
        let path = sight::undeleted(executable);
        let name = base_name(path_bytes(path));
        if sight::is_wrapper(name) {
            return true;
        }
        match &self.by {
            By::Forms(forms) => forms.iter().any(|form| form.could_be(path, name)),
            By::Match(by) => by.could_be(path, name),
        }
    }

    /// Whether a process that could be it by its executable could be it by its arguments as well. As cheap, and never
    /// wrongly no.
    pub fn could_be_called(&self, executable: &Path, argv: &[OsText]) -> bool {
        let name = base_name(path_bytes(sight::undeleted(executable)));
        match &self.by {
            By::Forms(forms) => {
                let rest = argv.get(1..).unwrap_or_default();
                sight::is_wrapper(name) || forms.iter().any(|form| form.could_have(name, rest))
            }
            By::Match(_) => true,
        }
    }

    /// The facts that match, when they are enough.
    pub fn recognise(&self, seen: &Seen, files: &dyn Files) -> Option<Recognised> {
        if seen.uid != self.uid {
            return None;
        }
        let executable = seen.executable.as_ref()?.as_path();
        if !self.could_be(executable) || !self.could_be_called(executable, &seen.argv) {
            return None;
        }
        let sights = Sight::all(seen)?;
        let mut best: Option<Recognised> = None;
        for sight in &sights {
            let found = match &self.by {
                By::Forms(forms) => {
                    let mut found = forms.iter().filter_map(|form| form.matches(sight, self, files));
                    found.clone().find(|found| found.exact).or_else(|| found.next())
                }
                By::Match(by) => by.matches(sight, self, files),
            };
            if let Some(found) = found
                && best.as_ref().is_none_or(|best| found.exact && !best.exact)
            {
                best = Some(found);
            }
        }
        let mut best = best?;
        best.facts.push("user");
        Some(best)
    }

    /// `directory` or `project`, as far as a folder is where the service would be.
    fn place_of(&self, cwd: &Path) -> Option<&'static str> {
        if cwd == self.cwd {
            return Some("directory");
        }
        // A project that is the root folder is none: everything lies below it.
        (self.root.parent().is_some() && cwd.starts_with(&self.root)).then_some("project")
    }

    /// The file is the project's own, not a tool that it has installed.
    fn owns(&self, file: &Path) -> bool {
        owns(&self.root, file)
    }
}

/// The file is the project's own: below its folder, and not where package managers put what belongs to others.
fn owns(root: &Path, file: &Path) -> bool {
    const INSTALLED: &[&str] =
        &["node_modules", "site-packages", "dist-packages", "vendor", ".venv", "venv", ".tox", ".nox"];
    let Ok(inside) = file.strip_prefix(root) else { return false };
    root.parent().is_some() && !inside.components().any(|part| INSTALLED.iter().any(|known| part.as_os_str() == *known))
}

/// Without `.` and `..`, as the text says; links are not followed.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}

/// Whether a file that a process names is this one.
fn same_file(named: &OsText, cwd: &Path, wanted: &Path, files: &dyn Files) -> bool {
    let path = normal(&cwd.join(named.as_path()));
    path == wanted || files.canonical(&path).is_some_and(|path| path == wanted)
}

/// `python3.11` of `/usr/bin/python3.11`
pub(crate) fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn path_bytes(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}

/// The script that a shell with these arguments runs.
pub(crate) fn shell_script(arguments: &[OsText]) -> Option<&OsText> {
    match interpreter::Family::Shell.runs(arguments) {
        interpreter::Runs::Script(file, _) => Some(file),
        _ => None,
    }
}

/// Split at blanks.
fn words(line: &[u8]) -> Vec<OsText> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(|word| OsText(word.to_vec())).collect()
}

#[cfg(test)]
mod tests;
