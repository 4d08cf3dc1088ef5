//! A process as the kernel shows it, and what it says to run inside of it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::interpreter::{Family, Runs};
use super::wrapper::{self, Inner};
use super::{Seen, base_name, path_bytes, words};
use crate::text::OsText;

/// So many wrappers are looked through.
const DEPTH: usize = 4;

/// What the kernel appends to the name of an executable whose file is gone.
const DELETED: &[u8] = b" (deleted)";

/// One reading of a process.
#[derive(Debug)]
pub(super) struct Sight {
    /// The kernel's word; absent for what a wrapper says to run.
    pub(super) executable: Option<PathBuf>,
    /// Program and arguments; never empty.
    pub(super) argv: Vec<OsText>,
    /// The working folder.
    pub(super) cwd: PathBuf,
}

impl Sight {
    /// The process itself, then what it wraps. `None` when too little of it can be seen.
    pub(super) fn all(seen: &Seen) -> Option<Vec<Self>> {
        let executable = undeleted(seen.executable.as_ref()?.as_path()).to_owned();
        let cwd = undeleted(seen.cwd.as_ref()?.as_path()).to_owned();
        let outer = Self { executable: Some(executable), argv: seen.argv.clone(), cwd };
        if outer.argv.is_empty() {
            return None;
        }
        let mut inner = outer.tool();
        let mut all = vec![outer];
        while let Some(Inner { argv, cwd }) = inner.take() {
            let sight = Self { executable: None, argv, cwd };
            if all.len() <= DEPTH {
                inner = sight.tool();
            }
            all.push(sight);
        }
        Some(all)
    }

    /// The base name of what runs. A program with many names goes by the one that it was called by.
    pub(super) fn name(&self) -> &[u8] {
        const MANY: &[&[u8]] = &[b"busybox", b"toybox", b"coreutils"];
        let called = || self.argv.first().map_or(&[][..], |program| base_name(&program.0));
        match &self.executable {
            Some(path) => Some(base_name(path_bytes(path))).filter(|name| !MANY.contains(name)).unwrap_or_else(called),
            None => called(),
        }
    }

    pub(super) fn family(&self) -> Option<Family> {
        Family::of(self.name())
    }

    pub(super) fn arguments(&self) -> &[OsText] {
        self.argv.get(1..).unwrap_or_default()
    }

    /// What it runs, when it is an interpreter.
    pub(super) fn runs(&self) -> Option<(Family, Runs<'_>)> {
        let family = self.family()?;
        Some((family, family.runs(self.arguments())))
    }

    /// What it wraps: the command behind `env`, and `npm run dev` behind `node …/npm-cli.js run dev`.
    fn tool(&self) -> Option<Inner> {
        // npm writes its command over its arguments, as one, and leaves the rest empty.
        if let [title, rest @ ..] = &self.argv[..]
            && rest.iter().all(|word| word.0.is_empty())
            && self.family() == Some(Family::Node)
            && title.0.contains(&b' ')
        {
            let argv = words(&title.0);
            return argv
                .first()
                .is_some_and(|tool| is_task_runner(&tool.0))
                .then(|| Inner { argv, cwd: self.cwd.clone() });
        }
        if let Some((_, Runs::Script(file, rest))) = self.runs() {
            let name = tool_of_script(base_name(&file.0))?;
            let argv = std::iter::once(OsText(name.to_vec())).chain(rest.iter().cloned()).collect();
            return Some(Inner { argv, cwd: self.cwd.clone() });
        }
        let name = self.name();
        let argv = match &self.argv[0].0 {
            called if base_name(called) == name => Cow::Borrowed(&self.argv),
            _ => {
                let mut argv = self.argv.clone();
                argv[0] = OsText(name.to_vec());
                Cow::Owned(argv)
            }
        };
        wrapper::peel(&argv, &self.cwd)
    }
}

/// The tool that a script is: `npm` for `npm-cli.js`. Only of those that are written as scripts: a project's own `time.py`
/// wraps nothing.
fn tool_of_script(file: &[u8]) -> Option<&[u8]> {
    const SCRIPTS: &[&[u8]] = &[
        b"npm",
        b"npx",
        b"pnpm",
        b"pnpx",
        b"yarn",
        b"poetry",
        b"pipenv",
        b"pdm",
        b"hatch",
        b"conda",
        b"bundle",
        b"bundler",
        b"pyenv",
        b"rbenv",
        b"nodenv",
        b"jenv",
        b"plenv",
        b"phpenv",
        b"asdf",
        b"xvfb-run",
    ];
    let name = [&b".js"[..], b".cjs", b".mjs"].iter().find_map(|ending| file.strip_suffix(*ending)).unwrap_or(file);
    let name = name.strip_suffix(b"-cli").unwrap_or(name);
    SCRIPTS.contains(&name).then_some(name)
}

/// `npm` and its like run what a project calls by a name.
pub(super) fn is_task_runner(name: &[u8]) -> bool {
    matches!(name, b"npm" | b"pnpm" | b"yarn" | b"bun")
}

/// Something is run inside of it, as its arguments tell.
pub(super) fn is_wrapper(name: &[u8]) -> bool {
    wrapper::is_known(name)
}

/// Without what the kernel appends when the file is gone.
pub(super) fn undeleted(path: &Path) -> &Path {
    let bytes = path_bytes(path);
    let bytes = bytes.strip_suffix(DELETED).unwrap_or(bytes);
    Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes))
}
