//! Which run a process belongs to, wherever it stands: by the mark in its environment, by the cgroup in which its socket
//! was made, by its ancestors. Without the daemon (R3.3).

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;

use vigie_core::identity::RunId;
use vigie_core::launch::Containment;
use vigie_os::error::OsError;
use vigie_os::place::Place;
use vigie_os::proc::Proc;
use vigie_os::remains::MARK;

use crate::failure::Failure;
use crate::look::{self, Record};

/// A run that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Which.
    pub(crate) run: RunId,
    /// Of which service: `demo/api`.
    pub(crate) label: String,
    /// Its keeper lives.
    kept: bool,
    /// The number of its cgroup v2 folder, as sockets have it.
    cgroup: Option<u64>,
    /// Its keeper and its main process, as far as they live: whoever descends from them is of this run.
    roots: Vec<u32>,
}

/// The runs of this user that live.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Known>);

impl Runs {
    /// Reads the records of the keepers.
    ///
    /// # Errors
    /// When the folders cannot be read.
    pub(crate) fn read(place: &Place, proc: &Proc) -> Result<Self, Failure> {
        let records = look::records(place, proc, &HashSet::new())?;
        Ok(Self(records.iter().filter(|record| record.is_live()).map(known).collect()))
    }

    /// The run of a process, or of whoever made a socket in this cgroup.
    pub(crate) fn of(&self, proc: &Proc, pid: Option<u32>, cgroup: Option<u64>) -> Option<&Known> {
        if self.0.is_empty() {
            return None;
        }
        let mut buffer = Vec::new();
        let mark = pid.and_then(|pid| proc.variable(pid, MARK, &mut buffer).ok().flatten());
        let marked = mark.and_then(|mark| std::str::from_utf8(mark).ok()?.parse::<RunId>().ok());
        let by_mark = || self.0.iter().find(|known| Some(known.run) == marked);
        let by_cgroup = || self.0.iter().find(|known| known.cgroup.is_some() && known.cgroup == cgroup);
        let by_descent = || {
            let pid = pid?;
            let mut line = proc.ancestors(pid).ok()?;
            line.insert(0, pid);
            // The nearest one: a run may be started from within another.
            line.iter().find_map(|pid| self.0.iter().find(|known| known.roots.contains(pid)))
        };
        by_mark().or_else(by_cgroup).or_else(by_descent)
    }

    /// The run that somebody else holds a process for: its keeper lives, and this command is no part of it. What is left of
    /// others is nobody's, and what was started from the same shell under `vigie run` is one's own.
    pub(crate) fn holding(&self, proc: &Proc, pid: u32) -> Option<&Known> {
        let run = self.of(proc, Some(pid), None).filter(|known| known.kept)?;
        let own = proc.ancestors(std::process::id()).unwrap_or_default();
        (!run.roots.iter().any(|root| own.contains(root))).then_some(run)
    }
}

/// The keeper that a process lives under and that this command does not: of another vigie, when no run here is known to
/// have the process. It would start again what is ended under it.
pub(crate) fn keeper_above(proc: &Proc, pid: u32) -> Result<Option<u32>, OsError> {
    let own = proc.ancestors(std::process::id())?;
    let is_keeper = |pid: &u32| {
        let executable = proc.link(*pid, "exe").ok().flatten();
        executable.is_some_and(|path| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            name.strip_suffix(b" (deleted)").unwrap_or(name) == b"vigie-keeper"
        })
    };
    Ok(proc.ancestors(pid)?.into_iter().find(|above| !own.contains(above) && is_keeper(above)))
}

fn known(record: &Record) -> Known {
    let (state, holder) = (&record.state, &record.state.holder);
    let number = |folder: &vigie_core::text::OsText| std::fs::metadata(folder.as_path()).ok().map(|meta| meta.ino());
    let cgroup = state.cgroup.as_ref().filter(|_| state.containment == Some(Containment::Cgroup2)).and_then(number);
    let keeper = record.keeper_alive.then_some(holder.keeper.pid);
    let main = holder.main.as_ref().filter(|_| record.main_alive).map(|main| main.pid);
    Known {
        run: holder.run,
        label: format!("{}/{}", holder.project, holder.key.service),
        kept: record.keeper_alive,
        cgroup,
        roots: keeper.into_iter().chain(main).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::{Command, Stdio};

    #[test]
    fn by_mark_by_cgroup_and_by_descent() {
        let one = |run, label: &str, cgroup, roots| Known {
            run: RunId(run),
            label: label.to_owned(),
            kept: true,
            cgroup,
            roots,
        };
        let me = std::process::id();
        let runs = Runs(vec![one(1, "demo/a", Some(77), vec![]), one(2, "demo/b", None, vec![me])]);
        let proc = Proc::system().expect("/proc");
        let label = |pid, cgroup| runs.of(&proc, pid, cgroup).map(|known| known.label.as_str());
        assert_eq!(label(Some(me), None), Some("demo/b"));
        assert_eq!(label(None, Some(77)), Some("demo/a"));
        assert_eq!(label(Some(1), Some(78)), None);
        assert_eq!(label(None, None), None);
        let mut marked = Command::new("cat");
        let mut child = marked.env(MARK, RunId(1).to_string()).stdin(Stdio::piped()).spawn().expect("cat");
        // For an instant after an exec the kernel shows no environment yet.
        let deadline = vigie_os::clock::mono() + std::time::Duration::from_secs(60);
        while label(Some(child.id()), None) != Some("demo/a") {
            assert!(vigie_os::clock::mono() < deadline, "the mark goes before the descent");
            std::thread::yield_now();
        }
        drop(child.stdin.take());
        child.wait().expect("ended");
        assert!(Runs::default().of(&proc, Some(me), Some(77)).is_none());
    }
}
