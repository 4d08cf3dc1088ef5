//! Strays: processes that are recognisably the same thing as a service and are not its run (R4.4, R4.5).
//!
//! Most processes are told to be none by their executable alone, so a look costs one link for each and little more.
//! A process that bears the mark of a run, or descends from a keeper, belongs to that run: it is no stray, whosesoever
//! run that is.

mod ending;
mod files;
mod held;
mod service;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;

use vigie_core::identity::ProcKey;
use vigie_core::protect::{Asker, Facts, protection};
use vigie_core::recognise::{Expected, Recognised, Seen};
use vigie_core::text::OsText;

use crate::error::OsError;
use crate::proc::Proc;
use crate::proc::text::arguments;
use crate::remains::MARK;
pub use ending::{Ended, Family, end};
pub use files::System;
pub use service::{of_launch, of_process, of_service, of_service_on};

/// A process that is the same thing as a service, and not its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// It: the top of the chain that is recognisable (the `timeout` of `timeout 60 python3 server.py`).
    pub key: ProcKey,
    /// The service, as its place among those that were looked for.
    pub of: usize,
    /// What matched: [`Recognised::facts`].
    pub matched: Vec<&'static str>,
    /// Its program and arguments.
    pub argv: Vec<OsText>,
    /// Its executable.
    pub executable: PathBuf,
    /// Its working folder.
    pub cwd: PathBuf,
    /// Its user.
    pub uid: u32,
    /// The file of its executable is gone: it was deleted, or replaced by another version.
    pub deleted: bool,
    /// The namespaces of another kind of world that it lives in, as `mnt` and `pid`: what it calls its folder may be
    /// another one. It is named, and never ended.
    pub elsewhere: Vec<&'static str>,
    /// Whoever descends from it, parents before their children; without vigie's own.
    pub tree: Vec<ProcKey>,
}

/// For a look at one process, of whose runs nothing is known.
static NONE: OnceLock<HashSet<u32>> = OnceLock::new();

/// The namespaces in which a path or a number means something else.
const NAMESPACES: [(&str, &str); 2] = [("ns/mnt", "mnt"), ("ns/pid", "pid")];

/// All strays of these services, oldest number first. `runs` are processes that are known to belong to a run, and so does
/// whoever descends from them: one that was adopted bears no mark.
///
/// # Errors
/// When `/proc` cannot be read. What is hidden from this user is no error: it is another user's.
pub fn find(proc: &Proc, expected: &[&Expected], runs: &HashSet<u32>) -> Result<Vec<Stray>, OsError> {
    if expected.is_empty() {
        return Ok(Vec::new());
    }
    find_among(proc, &Present::list(proc)?, expected, runs)
}

/// The numbers of all processes: the part of a look that needs to know nothing of services.
#[derive(Debug)]
pub struct Present(Vec<u32>);

impl Present {
    /// Lists them.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn list(proc: &Proc) -> Result<Self, OsError> {
        let mut pids = Vec::new();
        proc.pids(&mut pids)?;
        Ok(Self(pids))
    }
}

/// As [`find`], of those who were there a moment ago. What `runs` names is not looked at: on a machine where vigie runs
/// much, that is most of it.
///
/// # Errors
/// As of [`find`].
pub fn find_among(
    proc: &Proc,
    present: &Present,
    expected: &[&Expected],
    runs: &HashSet<u32>,
) -> Result<Vec<Stray>, OsError> {
    let search = Search { runs, ..Search::new(proc, expected)? };
    let others = present.0.iter().filter(|pid| !runs.contains(pid));
    // Who has none is gone, a thread of the kernel, or another user's.
    let found = others.filter_map(|pid| search.examine(*pid, proc.link(*pid, "exe").ok()??)).collect();
    let tops = search.tops(found);
    tops.into_iter().map(|stray| search.with_tree(stray)).collect()
}

/// One process, if it is a stray of one of these services: for numbers that somebody gave.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn examine(proc: &Proc, pid: u32, expected: &[&Expected]) -> Result<Option<Stray>, OsError> {
    let search = Search::new(proc, expected)?;
    let Ok(Some(executable)) = proc.link(pid, "exe") else { return Ok(None) };
    search.examine(pid, executable).map(|stray| search.with_tree(stray)).transpose()
}

/// The parent of this process, the parent of that, and so on.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn ancestors(proc: &Proc) -> Result<Vec<u32>, OsError> {
    ancestors_of(proc, std::process::id())
}

fn ancestors_of(proc: &Proc, pid: u32) -> Result<Vec<u32>, OsError> {
    let mut buffer = Vec::new();
    let mut ancestors = Vec::new();
    let mut pid = pid;
    while let Some(stat) = proc.stat(pid, &mut buffer)? {
        // A number that was given out again while we climb could lead in a circle.
        if stat.ppid == 0 || ancestors.contains(&stat.ppid) {
            break;
        }
        pid = stat.ppid;
        ancestors.push(pid);
    }
    Ok(ancestors)
}

/// One look at the machine.
struct Search<'a> {
    proc: &'a Proc,
    expected: &'a [&'a Expected],
    files: System,
    /// Processes that are known to belong to a run.
    runs: &'a HashSet<u32>,
    ancestors: Vec<u32>,
    uid: u32,
    /// Which services a process with this executable could be of.
    likely: RefCell<HashMap<PathBuf, Rc<[usize]>>>,
    /// Our own namespaces.
    namespaces: [Option<PathBuf>; 2],
}

impl<'a> Search<'a> {
    fn new(proc: &'a Proc, expected: &'a [&'a Expected]) -> Result<Self, OsError> {
        let own = std::process::id();
        let namespace = |(link, _): (&str, &str)| proc.link(own, link).ok().flatten();
        Ok(Self {
            proc,
            expected,
            files: System::default(),
            runs: NONE.get_or_init(HashSet::new),
            ancestors: ancestors(proc)?,
            uid: crate::user::uid(),
            likely: RefCell::default(),
            namespaces: NAMESPACES.map(namespace),
        })
    }

    /// Everything that cannot be read is a process that is gone, or another user's.
    fn examine(&self, pid: u32, executable: PathBuf) -> Option<Stray> {
        let likely = self.likely(&executable);
        if likely.is_empty() {
            return None;
        }
        let mut buffer = Vec::new();
        let mut argv: Vec<OsText> =
            arguments(self.proc.cmdline(pid, &mut buffer).ok()??).map(|word| OsText(word.to_vec())).collect();
        // A title that was written over the arguments leaves the rest of their room empty.
        if argv.iter().skip(1).all(|word| word.0.is_empty()) {
            argv.truncate(1);
        }
        if !likely.iter().any(|place| self.expected[*place].could_be_called(&executable, &argv)) {
            return None;
        }
        let key = self.proc.key(pid).ok()??;
        let cwd = self.proc.link(pid, "cwd").ok()??;
        let status = self.proc.status(pid, &mut buffer).ok()??;
        let seen = Seen {
            executable: Some(executable.clone().into()),
            argv: argv.clone(),
            cwd: Some(cwd.clone().into()),
            uid: status.euid,
        };
        let (of, recognised) = self.recognise(&seen, &likely)?;
        let facts = Facts {
            pid,
            uid: status.euid,
            kernel: false,
            init: status.innermost_pid == Some(1),
            executable: Some(&executable),
            name: b"",
            argv: &argv,
        };
        let asker = Asker { pid: std::process::id(), ancestors: &self.ancestors, uid: self.uid };
        let elsewhere = self.elsewhere(pid);
        if let Some(protection) = protection(&facts, &asker) {
            let proven = protection.yields_to_proof() && recognised.facts.contains(&"executable");
            // The first process of a container is told, and not ended either.
            let told = protection == vigie_core::protect::Protection::Init && !elsewhere.is_empty();
            if !proven && !told {
                return None;
            }
        }
        if self.is_of_a_run(pid) {
            return None;
        }
        // All that was read since is of one process only if the number did not change hands meanwhile; and what was read
        // before only if it still is so.
        let same = self.proc.link(pid, "exe").ok().flatten().as_ref() == Some(&executable);
        if !same || self.proc.life(&key).ok()? != crate::proc::Life::Alive {
            return None;
        }
        let deleted = executable.as_os_str().as_encoded_bytes().ends_with(b" (deleted)");
        let matched = recognised.facts;
        let uid = status.euid;
        Some(Stray { key, of, matched, argv, executable, cwd, uid, deleted, elsewhere, tree: Vec::new() })
    }

    fn likely(&self, executable: &Path) -> Rc<[usize]> {
        if let Some(known) = self.likely.borrow().get(executable) {
            return known.clone();
        }
        let could_be = |place: &usize| self.expected[*place].could_be(executable);
        let likely: Rc<[usize]> = (0..self.expected.len()).filter(could_be).collect();
        self.likely.borrow_mut().insert(executable.to_owned(), likely.clone());
        likely
    }

    /// Whose it is. Where services look alike, the one with the very arguments.
    fn recognise(&self, seen: &Seen, likely: &[usize]) -> Option<(usize, Recognised)> {
        let mut found = None;
        for &place in likely {
            if let Some(recognised) = self.expected[place].recognise(seen, &self.files) {
                if recognised.exact {
                    return Some((place, recognised));
                }
                found = found.or(Some((place, recognised)));
            }
        }
        found
    }

    /// By its mark, which every process inherits; by its keeper, for those that have cleared their environment; by their
    /// cgroup or by whom they descend from, for those that were adopted.
    fn is_of_a_run(&self, pid: u32) -> bool {
        let mut buffer = Vec::new();
        if matches!(self.proc.variable(pid, MARK, &mut buffer), Ok(Some(_))) {
            return true;
        }
        if held::run_of(self.proc, pid).is_some() {
            return true;
        }
        let keeper = |pid: &u32| {
            let executable = self.proc.link(*pid, "exe").ok().flatten();
            executable.is_some_and(|path| {
                let name = path.file_name().unwrap_or_default().as_encoded_bytes();
                name.strip_suffix(b" (deleted)").unwrap_or(name) == b"vigie-keeper"
            })
        };
        let known = |pid: &u32| self.runs.contains(pid);
        ancestors_of(self.proc, pid).is_ok_and(|line| line.iter().any(|pid| known(pid) || keeper(pid)))
    }

    fn elsewhere(&self, pid: u32) -> Vec<&'static str> {
        let other = |((link, name), own): ((&str, &'static str), &Option<PathBuf>)| {
            let theirs = self.proc.link(pid, link).ok().flatten();
            (own.is_some() && theirs.is_some() && theirs != *own).then_some(name)
        };
        NAMESPACES.into_iter().zip(&self.namespaces).filter_map(other).collect()
    }

    /// Without those that descend from another one of the same service: they are its tree.
    fn tops(&self, found: Vec<Stray>) -> Vec<Stray> {
        let known: Vec<(u32, usize)> = found.iter().map(|stray| (stray.key.pid, stray.of)).collect();
        let is_below = |stray: &Stray| {
            let ancestors = ancestors_of(self.proc, stray.key.pid).unwrap_or_default();
            known.iter().any(|(pid, of)| *of == stray.of && ancestors.contains(pid))
        };
        if known.len() < 2 { found } else { found.into_iter().filter(|stray| !is_below(stray)).collect() }
    }

    fn with_tree(&self, mut stray: Stray) -> Result<Stray, OsError> {
        stray.tree = ending::below(self.proc, &stray.key, &self.ancestors)?;
        Ok(stray)
    }
}

#[cfg(test)]
mod tests;
