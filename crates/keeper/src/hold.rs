//! Taking the lock, or learning who has it (R4.1, R4.2).

use std::time::Duration;

use vigie_core::launch::{Holder, Launch, Scope};
use vigie_os::clock::mono;
use vigie_os::error::OsError;
use vigie_os::lock::{Lock, read_label};
use vigie_os::poll::PollSet;
use vigie_os::proc::Proc;
use vigie_os::watch::Watch;

use crate::folder::Folder;

/// How long a holder may take until its label names its main process, or until it is gone: it may be about to start,
/// or about to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The kernel tells of a new label, but not of a lock that becomes free.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is ours until the process ends.
    Held(Lock),
    /// It is another's: this one's, when that can be said.
    Refused(Option<Box<Holder>>),
}

/// Takes the lock. When it is held, waits until the holder can be named with its main process, or lets go.
///
/// # Errors
/// When the lock file cannot be used.
pub(crate) fn take(proc: &Proc, launch: &Launch) -> Result<Outcome, OsError> {
    let deadline = mono() + PATIENCE;
    let path = launch.lock.as_path();
    let mut watch = None;
    loop {
        let lock = match launch.key.scope {
            Scope::Project | Scope::User => Lock::take(path)?,
            Scope::Machine => Lock::take_shared(path)?,
        };
        if let Some(lock) = lock {
            return Ok(Outcome::Held(lock));
        }
        let holder = holder(proc, launch);
        let now = mono();
        if holder.as_ref().is_some_and(|holder| holder.main.is_some()) || now >= deadline {
            return Ok(Outcome::Refused(holder));
        }
        if watch.is_none() {
            watch = watch_folder(launch);
        }
        let soon = deadline.min(now + LOOK_AGAIN);
        if let Some(watch) = &watch {
            watch.wait(soon)?;
        } else {
            PollSet::default().wait(Some(soon.since(now))).map_err(OsError::on("wait for", path))?;
        }
    }
}

/// Who says that it holds the lock, and lives. A label is no proof, and one whose keeper is dead is an earlier holder's.
fn holder(proc: &Proc, launch: &Launch) -> Option<Box<Holder>> {
    let holder = label(launch).or_else(|| Folder::last_state(launch.folder.as_path()).map(|state| state.holder))?;
    proc.is_alive(&holder.keeper).ok()?.then(|| Box::new(holder))
}

/// What the last one who labelled the lock said of itself.
pub(crate) fn label(launch: &Launch) -> Option<Holder> {
    serde_json::from_slice(&read_label(launch.lock.as_path()).ok()??).ok()
}

/// Without it, looking again every few milliseconds must do.
fn watch_folder(launch: &Launch) -> Option<Watch> {
    let watch = Watch::new().ok()?;
    watch.folder(launch.lock.as_path().parent()?).ok()?;
    Some(watch)
}
