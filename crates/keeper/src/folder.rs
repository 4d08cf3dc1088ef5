//! The folder of a service: its record, its events, its socket. Whoever holds the lock is its only writer.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use vigie_core::launch::Holder;
use vigie_os::atomic;
use vigie_os::error::OsError;
use vigie_os::lock::Lock;
use vigie_os::place::private_dir;
use vigie_os::socket::bind_over;
use vigie_wire::keeper::State;

use crate::eventlog::EventLog;

const RECORD: &str = "record.json";
const SOCKET: &str = "control.sock";

/// The folder, with the lock held.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    /// The events.
    pub(crate) events: EventLog,
    lock: Lock,
}

impl Folder {
    /// Makes the folder, 0700 and ours, when it is not there. This needs no lock.
    ///
    /// # Errors
    /// When it cannot be made, or is another user's.
    pub(crate) fn prepare(dir: &Path) -> Result<(), OsError> {
        private_dir(dir)
    }

    /// What the last keeper wrote of itself. Absent when there was none, or when it cannot be understood.
    pub(crate) fn last_state(dir: &Path) -> Option<State> {
        serde_json::from_slice(&std::fs::read(dir.join(RECORD)).ok()?).ok()
    }

    /// Opens it with the lock that was taken for it.
    ///
    /// # Errors
    /// With the path.
    pub(crate) fn open(dir: &Path, lock: Lock) -> Result<Self, OsError> {
        Ok(Self { dir: dir.to_owned(), events: EventLog::open(dir)?, lock })
    }

    /// Where what was set aside is kept on record.
    pub(crate) fn ghosts(&self) -> PathBuf {
        vigie_os::ghosts::beside(&self.dir)
    }

    /// Writes the record anew.
    ///
    /// # Errors
    /// With the path.
    pub(crate) fn write_record(&self, state: &State) -> Result<(), OsError> {
        let line = vigie_wire::frame::encode(state)
            .map_err(|error| OsError::new("write", self.dir.join(RECORD), std::io::Error::other(error)))?;
        atomic::write(&self.dir.join(RECORD), &line)
    }

    /// Listens on the control socket, in the place of an earlier keeper's.
    ///
    /// # Errors
    /// With the path.
    pub(crate) fn listen(&self) -> Result<OwnedFd, OsError> {
        let path = self.dir.join(SOCKET);
        let listener = bind_over(&path, &self.lock)?;
        listener.set_nonblocking(true).map_err(OsError::on("listen on", &path))?;
        Ok(listener.into())
    }

    /// Labels the lock with who holds it. A lock file of another user cannot be labelled; the lock is as good without.
    pub(crate) fn label(&self, holder: &Holder) {
        if let Ok(label) = vigie_wire::frame::encode(holder) {
            let _ = self.lock.write_label(&label);
        }
    }

    /// Frees the lock. Its label and the socket go before it does: afterwards they are another's.
    pub(crate) fn release(mut self) {
        self.events.forget();
        let _ = std::fs::remove_file(self.dir.join(SOCKET));
        let _ = self.lock.write_label(b"");
    }
}
