//! Watching what no signal ends and was set aside (R5.4), until it is gone.

use tokio::sync::mpsc;

use vigie_core::ghost::Ghost;
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::supervisor::Event;
use vigie_os::error::OsError;
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_store::Error;
use vigie_store::journal::Journal;
use vigie_store::state::DocumentChange;

use crate::input::Input;
use crate::log::Log;
use crate::readable::Readable;

/// The kind of the documents that keep ghosts, each a [`Ghost`] under the id of its run. Records do not outlive the machine;
/// that a ghost ended with it, only these tell.
pub(crate) const KIND: &str = "ghost";

/// What is to be written of a ghost; absent: it is gone.
///
/// # Errors
/// None: a ghost can be written as JSON.
pub(crate) fn document(run: RunId, ghost: Option<&Ghost>) -> Result<DocumentChange, Error> {
    match ghost {
        Some(ghost) => DocumentChange::put(KIND, &run.to_string(), ghost),
        None => Ok(DocumentChange::delete(KIND, &run.to_string())),
    }
}

/// Those that an earlier daemon kept.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn kept(journal: &Journal, log: &Log) -> Result<Vec<Ghost>, Error> {
    let mut ghosts = Vec::new();
    for document in journal.reader().documents(KIND)? {
        match document.parse() {
            Ok(ghost) => ghosts.push(ghost),
            Err(error) => log.line(&error.to_string()),
        }
    }
    Ok(ghosts)
}

/// Tells when nobody of a ghost is left. Each is watched by a descriptor of its identity; nothing wakes meanwhile.
pub(crate) fn watch(ghost: &Ghost, inputs: mpsc::Sender<Input>, log: Log) {
    let (run, left) = (ghost.run(), ghost.left.iter().map(|left| left.process.clone()).collect::<Vec<_>>());
    tokio::spawn(async move {
        for process in left {
            if let Err(error) = outlast(&process).await {
                // Unknown is not gone. The next daemon looks again.
                return log.line(&format!("PID {}, which no signal ends, cannot be watched: {error}", process.pid));
            }
        }
        let _ = inputs.send(Input::Event(Event::GhostGone { run, reboot: false })).await;
    });
}

async fn outlast(process: &ProcKey) -> Result<(), OsError> {
    let target = match Target::open(&Proc::system()?, process)? {
        Some(target) if !target.is_dead()? => target,
        _ => return Ok(()),
    };
    let target = Readable::new(target).map_err(|error| OsError::new("watch", format!("PID {}", process.pid), error))?;
    target.wait().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;
    use std::process::Command;

    use vigie_core::clock::{Mono, Wall};
    use vigie_core::launch::{Holder, Origin, Scope, ServiceKey};
    use vigie_core::name::Name;
    use vigie_core::run::Left;

    use crate::test::run;

    #[test]
    fn the_end_of_the_last_one_is_told_once() {
        run(async {
            let proc = Proc::system().expect("/proc");
            let mut children = [0; 2].map(|_| Command::new("sleep").arg("600").spawn().expect("sleep"));
            let keys = [0, 1].map(|place| proc.key(children[place].id()).expect("readable").expect("alive"));
            let name = Name::lossy("a");
            let holder = Holder {
                run: RunId(7),
                key: ServiceKey::new(Scope::User, Path::new("/"), name.clone()),
                project: name,
                mode: None,
                keeper: proc.key_of(1, 0),
                main: None,
                since: Wall(1),
                origin: Origin::default(),
                managed: true,
                attempt: 0,
                adopted: false,
            };
            let left = |process| Left { process, name: "sleep".into(), state: 'D', kill_pending: true };
            // One of another life of the same number is gone already.
            let other = ProcKey { start_ticks: keys[0].start_ticks + 1, ..keys[0].clone() };
            let left = keys.into_iter().chain([other]).map(left).collect();
            let (containment, cgroup, exit, stuck) = (None, None, None, None);
            let quarantined = (Wall(2), Mono(2));
            let ghost = Ghost { version: 1, holder, containment, cgroup, exit, left, stuck, quarantined };
            let (inputs, mut queue) = mpsc::channel(4);
            let folder = tempfile::tempdir().expect("folder");
            watch(&ghost, inputs, Log::open(folder.path()));
            for child in &mut children {
                assert!(queue.try_recv().is_err(), "one of them lives");
                child.kill().expect("own child");
                child.wait().expect("own child");
            }
            let told = queue.recv().await;
            assert!(matches!(told, Some(Input::Event(Event::GhostGone { run: RunId(7), reboot: false }))));
            assert!(queue.recv().await.is_none(), "and nothing more");
        });
    }
}
