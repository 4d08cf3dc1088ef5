//! What is no process and lies about all the same: files of sockets that nobody holds, PID files of older tools, records of
//! runs of which nothing is left; and runs whose executable was replaced under them.

use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use vigie_api::strays::{Leftover, LeftoverKind};
use vigie_core::manifest::Probe;
use vigie_os::pidfile::{self, Says};
use vigie_os::place::Place;
use vigie_os::proc::Proc;
use vigie_os::strays::{self, System};

use super::Known;
use crate::failure::Failure;
use crate::look::Record;
use crate::scene::Scene;

/// A folder with more entries is not looked through for sockets.
const ENTRIES: usize = 4096;

/// Those of one service.
///
/// # Errors
/// When `/proc` cannot be read.
pub(super) fn of(known: &Known, files: &System, scene: &Scene, found: &mut Vec<Leftover>) -> Result<(), Failure> {
    if let Some(main) = known.main
        && let Ok(Some(executable)) = scene.proc.link(main, "exe")
        && executable.as_os_str().as_encoded_bytes().ends_with(b" (deleted)")
    {
        let why = "its executable was deleted or replaced since it was started; a restart runs what is there now";
        found.push(Leftover { pid: Some(main), ..leftover(known, LeftoverKind::DeletedExecutable, why, false) });
    }
    let Some(service) = &known.service else { return Ok(()) };
    // Another project's folder may lie where nobody answers any more.
    let answers = |path: &Path| !files.may_hang(path);
    if let Some(file) = &service.legacy_pidfile
        && answers(file.as_path())
        && let Some(why) = pid_file(file.as_path(), known, &scene.proc)?
    {
        let leftover = leftover(known, LeftoverKind::PidFile, &why, true);
        found.push(Leftover { path: Some(file.clone()), ..leftover });
    }
    if known.runs {
        return Ok(());
    }
    let probes = [service.ready.as_ref().map(|ready| &ready.probe), service.alive.as_ref().map(|alive| &alive.probe)];
    let mut sockets: Vec<PathBuf> = probes
        .into_iter()
        .flatten()
        .filter_map(|probe| if let Probe::Unix { path } = probe { Some(path.as_path().to_owned()) } else { None })
        .collect();
    sockets.retain(|path| answers(path));
    let folder = Some(service.cwd.as_path()).filter(|folder| answers(folder));
    let entries =
        folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().take(ENTRIES).flatten();
    sockets
        .extend(entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket())).map(|entry| entry.path()));
    sockets.sort();
    sockets.dedup();
    for path in sockets {
        let known_already =
            found.iter().any(|leftover| leftover.path.as_ref().is_some_and(|other| other.as_path() == path));
        if !known_already && is_stale(&path, &scene.place) {
            let leftover = leftover(known, LeftoverKind::Socket, "no socket of any process is bound to it", true);
            found.push(Leftover { path: Some(path.into()), ..leftover });
        }
    }
    Ok(())
}

/// The record of a run that was killed together with its keeper. One that ended in order is history.
pub(super) fn record(record: &Record) -> Option<Leftover> {
    let holder = &record.state.holder;
    (!record.state.phase.is_over()).then(|| Leftover {
        kind: LeftoverKind::Record,
        project: holder.project.clone(),
        service: holder.key.service.clone(),
        path: None,
        pid: None,
        why: format!(
            "its keeper, PID {}, was killed, and nothing of run {} is left; it blocks nothing, and the next start \
             replaces it",
            holder.keeper.pid, holder.run
        ),
        removable: false,
    })
}

/// Why a PID file of an older tool says nothing (any more); `None` when it names a copy that runs, or is not there. A file
/// that names no process at all may be anything, and is no leftover.
fn pid_file(file: &Path, known: &Known, proc: &Proc) -> Result<Option<String>, Failure> {
    let Some(Says::Names(pid)) = pidfile::read(file) else { return Ok(None) };
    if known.main == Some(pid) || strays::examine(proc, pid, &[&known.expected])?.is_some() {
        return Ok(None);
    }
    Ok(Some(match proc.key(pid)? {
        None => format!("it names PID {pid}, and there is no such process"),
        Some(_) => format!("it names PID {pid}, which is something else"),
    }))
}

/// Whether a file that a socket was bound to is nobody's: it is of this user, and the kernel refuses a connection to it.
/// Asked as a datagram socket, so that nobody who listens gets a connection: every other kind of socket answers
/// `EPROTOTYPE`, and only where nothing is bound there is `ECONNREFUSED` (unix(7)).
fn is_stale(path: &Path, place: &Place) -> bool {
    let own = std::fs::symlink_metadata(path)
        .is_ok_and(|meta| meta.file_type().is_socket() && meta.uid() == vigie_os::user::uid());
    // vigie's own sockets are its own affair.
    if !own || path.starts_with(&place.runtime) {
        return false;
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let (Ok(folder), Ok(socket)) = (std::fs::File::open(folder), UnixDatagram::unbound()) else { return false };
    // A path may be longer than an address can hold.
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    socket.connect(short).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Removes what is removable, if it still is what it was.
///
/// # Errors
/// What the kernel says; nothing is removed that has changed, which is `false`.
pub(super) fn remove(leftover: &Leftover, known: &[Known], scene: &Scene) -> Result<bool, Failure> {
    let Some(path) = leftover.path.as_ref().filter(|_| leftover.removable) else { return Ok(false) };
    let path = path.as_path();
    let still = match leftover.kind {
        LeftoverKind::Socket => is_stale(path, &scene.place),
        LeftoverKind::PidFile => {
            let known = known.iter().find(|known| {
                let file = known.service.as_ref().and_then(|service| service.legacy_pidfile.as_ref());
                file.is_some_and(|file| file.as_path() == path)
            });
            match known {
                Some(known) => pid_file(path, known, &scene.proc)?.is_some(),
                None => false,
            }
        }
        LeftoverKind::Record | LeftoverKind::DeletedExecutable => false,
    };
    if still {
        std::fs::remove_file(path).map_err(|error| Failure::io(path.display(), &error))?;
    }
    Ok(still)
}

fn leftover(known: &Known, kind: LeftoverKind, why: &str, removable: bool) -> Leftover {
    Leftover {
        kind,
        project: known.project.clone(),
        service: known.key.service.clone(),
        path: None,
        pid: None,
        why: why.to_owned(),
        removable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::net::UnixListener;

    #[test]
    fn only_a_socket_that_nobody_has_is_stale() {
        let folder = tempfile::tempdir().expect("a folder");
        let get = |name: &str| (name == "VIGIE_HOME").then(|| folder.path().join("home").into_os_string());
        let place = Place::from_env(get, 1000).expect("a place");
        let path = |name: &str| folder.path().join(name);
        let listener = UnixListener::bind(path("stream")).expect("bound");
        let datagram = UnixDatagram::bind(path("datagram")).expect("bound");
        std::fs::write(path("file"), "").expect("written");
        for name in ["stream", "datagram", "file", "nothing"] {
            assert!(!is_stale(&path(name), &place), "{name}");
        }
        drop((listener, datagram));
        assert!(is_stale(&path("stream"), &place));
        assert!(is_stale(&path("datagram"), &place));
        assert!(!is_stale(&path("file"), &place));
    }
}
