//! Processes that no signal ends, and the records of those that were set aside (R5.4): one file per run, in a folder beside
//! that of the services.
//!
//! A record is written whole before its service's lock is given back, by whoever holds that lock, and it is the one step
//! that decides: with it the run is a ghost, whatever the folder of the service still says.

use std::path::{Path, PathBuf};

use vigie_core::ghost::Ghost;
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::ladder::Signal;
use vigie_core::run::Left;
use vigie_core::text::OsText;

use crate::atomic;
use crate::error::OsError;
use crate::place::private_dir;
use crate::proc::Proc;
use crate::proc::stat;
use crate::proc::status::{self, Status};

/// `PF_EXITING` in include/linux/sched.h: it is on its way out, and runs nothing of its own any more.
const EXITING: u32 = 0x4;

/// The folder of the records, beside the folder of all services in which this one's lies.
pub fn beside(service: &Path) -> PathBuf {
    let runtime = service.parent().and_then(Path::parent).unwrap_or(service);
    runtime.join("ghosts")
}

/// Writes a record.
///
/// # Errors
/// With the path.
pub fn write(dir: &Path, ghost: &Ghost) -> Result<(), OsError> {
    private_dir(dir)?;
    let path = path(dir, ghost.run());
    let text = ghost.to_json().map_err(|error| OsError::on("write", &path)(std::io::Error::from(error)))?;
    atomic::write(&path, &text)
}

/// The record of a run; absent when there is none that is understood.
pub fn find(dir: &Path, run: RunId) -> Option<Ghost> {
    Ghost::from_json(&std::fs::read(path(dir, run)).ok()?).filter(|ghost| ghost.run() == run)
}

/// All records that are understood, by run.
pub fn all(dir: &Path) -> Vec<Ghost> {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let runs = names.filter_map(|name| name.to_str()?.strip_suffix(".json")?.parse().ok());
    let mut ghosts: Vec<Ghost> = runs.filter_map(|run| find(dir, run)).collect();
    ghosts.sort_by_key(Ghost::run);
    ghosts
}

/// Removes the record of a run, if there is one.
///
/// # Errors
/// With the path.
pub fn remove(dir: &Path, run: RunId) -> Result<(), OsError> {
    let path = path(dir, run);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(OsError::on("remove", &path)(error)),
        _ => Ok(()),
    }
}

fn path(dir: &Path, run: RunId) -> PathBuf {
    dir.join(format!("{run}.json"))
}

/// How a process stands that should be gone; absent when it is, or when it is another by now.
pub fn look(proc: &Proc, key: &ProcKey, buffer: &mut Vec<u8>) -> Option<Left> {
    // A record may outlive its boot, and numbers and times begin anew with each.
    if key.boot_id != *proc.boot_id() {
        return None;
    }
    let stat = proc.stat(key.pid, buffer).ok()??;
    if stat.is_zombie() || stat.start_ticks != key.start_ticks {
        return None;
    }
    let (name, state) = (OsText(stat.comm.to_vec()), char::from(stat.state));
    Some(Left { process: key.clone(), name, state, kill_pending: is_doomed(proc, key.pid, buffer) })
}

/// Whether a process never gets to run its own program again: KILL is pending on it, or each of its threads has KILL
/// pending (`zap_other_threads` in kernel/signal.c) or is exiting. A main thread that has ended while others go on is not
/// that.
pub(crate) fn is_doomed(proc: &Proc, pid: u32, buffer: &mut Vec<u8>) -> bool {
    let has_kill = |mask| Status::has(mask, Signal::Kill.number());
    if proc.status(pid, buffer).ok().flatten().is_some_and(|status| has_kill(status.shared_pending)) {
        return true;
    }
    let mut tasks = Vec::new();
    if !proc.tasks(pid, &mut tasks).unwrap_or(false) || tasks.is_empty() {
        return false;
    }
    tasks.into_iter().all(|tid| {
        let status = proc.read(pid, &format!("task/{tid}/status"), buffer).ok().flatten().and_then(status::parse);
        if status.is_some_and(|status| has_kill(status.pending)) {
            return true;
        }
        let line = proc.read(pid, &format!("task/{tid}/stat"), buffer).ok().flatten();
        // A thread that is gone does nothing any more.
        line.is_none_or(|line| stat::parse(line).is_some_and(|stat| stat.flags & EXITING != 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::Command;

    use vigie_core::clock::{Mono, Wall};
    use vigie_core::launch::{Holder, Origin, Scope, ServiceKey};
    use vigie_core::name::Name;

    use crate::proc::tests::Guard;

    fn ghost(run: u64, left: Vec<Left>, keeper: ProcKey) -> Ghost {
        let name = Name::lossy("a");
        let holder = Holder {
            run: RunId(run),
            key: ServiceKey::new(Scope::User, Path::new("/"), name.clone()),
            project: name,
            mode: None,
            keeper,
            main: None,
            since: Wall(1),
            origin: Origin::default(),
            managed: true,
            attempt: 0,
            adopted: false,
        };
        let quarantined = (Wall(2), Mono(2));
        let (containment, cgroup, exit, stuck) = (None, None, None, None);
        Ghost { version: 1, holder, containment, cgroup, exit, left, stuck, quarantined }
    }

    #[test]
    fn records_are_found_until_they_are_removed() {
        let runtime = tempfile::tempdir().unwrap();
        let dir = beside(&runtime.path().join("services/a-1"));
        assert_eq!(dir, runtime.path().join("ghosts"));
        assert_eq!((all(&dir), find(&dir, RunId(1))), (vec![], None));
        let keeper = Proc::system().unwrap().key_of(1, 1);
        let (one, two) = (ghost(1, vec![], keeper.clone()), ghost(2, vec![], keeper));
        write(&dir, &two).unwrap();
        write(&dir, &one).unwrap();
        std::fs::write(dir.join("x.json"), "{").unwrap();
        std::fs::write(dir.join("0000000000000003.json"), "{").unwrap();
        assert_eq!(all(&dir), [one, two.clone()]);
        remove(&dir, RunId(1)).unwrap();
        remove(&dir, RunId(1)).unwrap();
        assert_eq!((find(&dir, RunId(1)), find(&dir, RunId(2))), (None, Some(two)));
    }

    #[test]
    fn whoever_may_still_act_is_not_doomed() {
        let proc = Proc::system().unwrap();
        let child = Guard(Command::new("sleep").arg("600").spawn().unwrap());
        let key = proc.key(child.0.id()).unwrap().unwrap();
        let mut buffer = Vec::new();
        let left = look(&proc, &key, &mut buffer).expect("it lives");
        assert!(!left.kill_pending, "{left}");
        let other = ProcKey { start_ticks: key.start_ticks + 1, ..key.clone() };
        assert_eq!(look(&proc, &other, &mut buffer), None, "a number that is another's by now");
        let other = ProcKey { boot_id: vigie_core::identity::BootId("another".into()), ..key };
        assert_eq!(look(&proc, &other, &mut buffer), None, "one of another boot, of the same number and age");
    }
}
