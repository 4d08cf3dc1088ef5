//! Holding a tree of processes together (R5.2; cgroups(7)).
//!
//! A process leaves its group and its session when it likes, but not its cgroup, unless it may write to that tree. So
//! where a folder can be made below the own one, a run gets its own, and its end is certain: `cgroup.kill`, or
//! freezing first, which no fork outruns.

mod admit;
mod find;
mod v1;
mod v2;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use vigie_core::clock::Mono;
use vigie_core::identity::RunId;
use vigie_core::launch::Containment;

use crate::error::OsError;
use crate::spawn;

pub use find::{Own, own};
pub(crate) use find::{Trees, parse, unescape};
pub(crate) use v2::flag;

/// How often a state of the kernel is looked at that it does not tell of by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The cgroup folder of one run.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// What is needed to start a process inside of a [`Cgroup`].
#[derive(Debug)]
pub struct Entrance {
    version: Version,
    folder: OwnedFd,
    procs: OwnedFd,
}

impl Entrance {
    /// For [`spawn::Plan::spawn`].
    pub fn inside(&self) -> spawn::Inside<'_> {
        match self.version {
            Version::V1 => spawn::Inside::Cgroup1 { procs: self.procs.as_fd() },
            Version::V2 => spawn::Inside::Cgroup2 { folder: self.folder.as_fd(), procs: self.procs.as_fd() },
        }
    }
}

impl Cgroup {
    /// Makes the best folder that can be made below the own one: cgroup v2, else the v1 freezer. `None` when there is
    /// neither: then only the subreaper holds the tree.
    pub fn create(own: &Own, run: RunId) -> Option<Self> {
        // Two runs whose ids are the same by chance must never share a folder: one's end would be the other's. So a folder
        // that is there already is not ours, whatever it is called.
        let names = names(run, std::process::id());
        for (parent, version) in [(&own.v2, Version::V2), (&own.freezer, Version::V1)] {
            let Some(parent) = parent else { continue };
            let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
            let made = names.iter().map(|name| parent.join(name)).find(|path| rustix::fs::mkdir(path, mode).is_ok());
            let Some(path) = made else { continue };
            let cgroup = Self { path, version };
            // A folder that cannot be entered is none.
            if cgroup.entrance().is_ok() {
                return Some(cgroup);
            }
            let _ = rustix::fs::rmdir(&cgroup.path);
        }
        None
    }

    /// Removes the empty folder that process `maker` may have made for a run of which it then told nobody, because it was
    /// killed. One that is not empty is somebody's, and stays.
    pub fn sweep(own: &Own, run: RunId, maker: u32) {
        for parent in [&own.v2, &own.freezer].into_iter().flatten() {
            for name in names(run, maker) {
                let _ = rustix::fs::rmdir(parent.join(name));
            }
        }
    }

    /// The folder of an earlier run, when it still is there.
    pub fn existing(path: &Path) -> Option<Self> {
        let version = if path.join("cgroup.events").exists() {
            Version::V2
        } else if path.join("freezer.state").exists() {
            Version::V1
        } else {
            return None;
        };
        Some(Self { path: path.to_owned(), version })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind it is.
    pub fn containment(&self) -> Containment {
        match self.version {
            Version::V1 => Containment::Cgroup1,
            Version::V2 => Containment::Cgroup2,
        }
    }

    /// Opens it for a start.
    ///
    /// # Errors
    /// `EACCES` when this user may not move processes into it.
    pub fn entrance(&self) -> Result<Entrance, OsError> {
        let open = |path: &Path, flags| {
            rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(OsError::on("open", path))
        };
        Ok(Entrance {
            version: self.version,
            folder: open(&self.path, OFlags::PATH | OFlags::DIRECTORY)?,
            procs: open(&self.path.join("cgroup.procs"), OFlags::WRONLY)?,
        })
    }

    /// The processes in it and below it.
    pub fn processes(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for_each_folder(&self.path, &mut |folder| {
            let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        });
        found
    }

    /// Whether this process is in it or below it now.
    pub fn contains(&self, pid: u32) -> bool {
        let Ok(content) = std::fs::read(format!("/proc/{pid}/cgroup")) else { return false };
        let controller = match self.version {
            Version::V1 => Some(b"freezer".as_slice()),
            Version::V2 => None,
        };
        let Some(path) = crate::proc::text::cgroup_path(&content, controller) else { return false };
        // No two folders have the same name: see `create`.
        let Some(name) = self.path.file_name() else { return false };
        path.split(|byte| *byte == b'/').any(|part| part == name.as_encoded_bytes())
    }

    /// Whether any process is in it or below it.
    pub fn populated(&self) -> bool {
        match self.version {
            Version::V2 => v2::populated(&self.path),
            Version::V1 => !self.processes().is_empty(),
        }
    }

    /// A descriptor that tells of changes of [`Cgroup::populated`] ([`crate::poll::Interest::Change`]), where there is one.
    pub fn changes(&self) -> Option<Changes> {
        match self.version {
            Version::V2 => Changes::open(&self.path.join("cgroup.events")),
            Version::V1 => None,
        }
    }

    /// Sends KILL to every process in it, those included that are forked meanwhile. It does not wait for their end.
    ///
    /// # Errors
    /// When the kernel has no way, or refuses it; whoever could be reached by PID was killed.
    pub fn kill(&self) -> Result<(), OsError> {
        match self.version {
            Version::V2 => v2::kill(self),
            Version::V1 => v1::kill(self),
        }
    }

    /// Removes the empty folder and those that the run made below it. A process that has just ended may keep it busy for
    /// a moment: that is waited for until `deadline`.
    ///
    /// # Errors
    /// `EBUSY` when it is not empty by then.
    pub fn remove(&self, deadline: Mono) -> Result<(), OsError> {
        loop {
            let mut folders = Vec::new();
            for_each_folder(&self.path, &mut |folder| folders.push(folder.to_owned()));
            let mut outcome = Ok(());
            // Deepest first.
            for folder in folders.iter().rev() {
                match rustix::fs::rmdir(folder) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => outcome = Err(OsError::on("remove", folder)(errno)),
                }
            }
            let left = deadline.since(crate::clock::mono());
            if outcome.is_ok() || left.is_zero() {
                return outcome;
            }
            wait_for_change(self.changes().as_ref(), left);
        }
    }

    /// Signals the processes in it with KILL, one by one; tells how many there were.
    fn kill_each(&self) -> usize {
        let processes = self.processes();
        for &pid in &processes {
            let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { continue };
            let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { continue };
            // The descriptor first, membership afterwards: were the PID another's by now, it would not be in here.
            if self.contains(pid.as_raw_nonzero().get().unsigned_abs()) {
                let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            }
        }
        processes.len()
    }
}

/// `cgroup.events`, open.
#[derive(Debug)]
pub struct Changes {
    file: OwnedFd,
}

impl Changes {
    fn open(path: &Path) -> Option<Self> {
        let changes = Self { file: rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()? };
        changes.seen();
        Some(changes)
    }

    /// Reads it, after which the next change is told of.
    pub fn seen(&self) {
        let _ = rustix::io::pread(&self.file, &mut [0; 128], 0);
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Waits for a change, at most for [`LOOK_AGAIN`]: freezing and the last moments of a process are not always told of.
fn wait_for_change(changes: Option<&Changes>, left: Duration) {
    let mut set = crate::poll::PollSet::default();
    if let Some(changes) = changes {
        set.add(changes, crate::poll::Interest::Change);
    }
    let _ = set.wait(Some(left.min(LOOK_AGAIN)));
    if let Some(changes) = changes {
        changes.seen();
    }
}

/// What the folder of a run is called: the second name is for when the first is taken.
fn names(run: RunId, maker: u32) -> [String; 2] {
    [format!("vigie-{run}"), format!("vigie-{run}-{maker}")]
}

/// The folder and all below it, parents first.
fn for_each_folder(folder: &Path, then: &mut dyn FnMut(&Path)) {
    then(folder);
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            for_each_folder(&entry.path(), then);
        }
    }
}

#[cfg(test)]
mod tests;
