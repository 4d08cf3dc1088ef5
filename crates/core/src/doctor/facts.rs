//! What was seen in one look. Nothing here is concluded.

use std::time::Duration;

use crate::claim::PortClaim;
use crate::clock::{Mono, Wall};
use crate::service::{State, Wanted};
use crate::stuck::TaskVerdict;
use crate::text::OsText;
use crate::why::facts::{Process, Told};
use crate::why::{Evidence, Remedy};

/// One look at the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// When.
    pub at: Mono,
    /// Processes that do not simply run or sleep, judged.
    pub held: Vec<Held>,
    /// Dead processes that nobody has taken notice of.
    pub dead: Vec<Dead>,
    /// Cgroups that were frozen by themselves, with processes in them or below.
    pub cgroups: Vec<FrozenGroup>,
    /// Connections of FUSE on which requests wait.
    pub connections: Vec<Connection>,
    /// Services that are known.
    pub services: Vec<Service>,
    /// What is one too many, or was left behind.
    pub left: Vec<Left>,
    /// Ports that services claim, and others hold.
    pub ports: Vec<TakenPort>,
    /// Processes of runs, with the descriptors that they have open.
    pub descriptors: Vec<Descriptors>,
    /// The folders that vigie writes to.
    pub disks: Vec<Disk>,
    /// The journal.
    pub journal: Option<Journal>,
    /// The daemon.
    pub daemon: Option<Daemon>,
    /// The keepers.
    pub keepers: Vec<Keeper>,
    /// What could not be seen, and why.
    pub unseen: Vec<(String, String)>,
    /// The version of this command.
    pub version: String,
}

/// A process that does not simply run or sleep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// It.
    pub process: Process,
    /// What it is.
    pub verdict: TaskVerdict,
    /// Whether KILL ends it.
    pub killable: Option<bool>,
    /// KILL was sent, and the kernel has not ended it yet.
    pub kill_pending: bool,
    /// The run that it belongs to: `demo/api`.
    pub of: Option<String>,
    /// It holds that run, or is vigie's daemon: told as that.
    pub is_vigie: bool,
    /// How often its threads were given a processor; the same number in two looks: none of them ran.
    pub ran: u64,
    /// For how long the thread that decides has not run, as the kernel tells; absent where it does not.
    pub still: Option<Duration>,
    /// The connection of FUSE whose answer it waits for.
    pub connection: Option<u32>,
    /// What the verdict follows from.
    pub because: Vec<String>,
    /// The raw facts.
    pub evidence: Vec<Evidence>,
    /// What can be done, the mildest first.
    pub remedies: Vec<Remedy>,
}

/// A dead process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// It.
    pub process: Process,
    /// Who does not take notice; absent when that is outside of what can be seen.
    pub parent: Option<Process>,
    /// Why nobody ends that parent for it.
    pub guarded: Option<String>,
    /// The run that the parent belongs to.
    pub of: Option<String>,
    /// How long it has been dead, as far as the kernel tells.
    pub still: Option<Duration>,
}

/// A frozen cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenGroup {
    /// Of which hierarchy.
    pub version: u8,
    /// Its folder.
    pub folder: OsText,
    /// Who is in it or below it.
    pub members: Vec<u32>,
    /// The run that it, or one of those, belongs to.
    pub of: Option<String>,
    /// Whether the caller may thaw it.
    pub writable: bool,
}

/// A connection of FUSE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its number.
    pub number: u32,
    /// Where it is mounted, as vigie sees it, or somebody who waits.
    pub point: OsText,
    /// `fuse.sshfs`
    pub kind: OsText,
    /// Requests that wait for an answer.
    pub waiting: Told<u64>,
    /// Who has the device of this connection open.
    pub servers: Told<Vec<Process>>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `demo/api`
    pub label: String,
    /// As a target, from where the command was started.
    pub target: String,
    /// Whether it is to run.
    pub wanted: Option<Wanted>,
    /// Where it stands.
    pub state: State,
    /// Now, on the clock of [`Service::failed_at`].
    pub now: Wall,
    /// Why it stands there.
    pub why: Option<String>,
    /// New starts since it was asked for.
    pub restarts: u32,
    /// How its last run ended, for people: `exit code 7`. Absent when that was as it should be.
    pub failure: Option<String>,
    /// When that was.
    pub failed_at: Option<Wall>,
    /// The main process of its run.
    pub pid: Option<u32>,
}

/// What is one too many, or was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// A copy of a service.
    Stray {
        /// Of which.
        service: String,
        /// As a target.
        target: String,
        /// It.
        pid: u32,
        /// What it runs.
        command: String,
        /// What it is known by.
        why: String,
        /// The service itself runs as well.
        duplicate: bool,
    },
    /// Processes of a run whose keeper is gone.
    Orphans {
        /// Of which.
        service: String,
        /// As a target.
        target: String,
        /// They.
        pids: Vec<u32>,
        /// Who held them.
        keeper: u32,
    },
    /// A file or a record.
    Leftover {
        /// Of which service.
        service: String,
        /// As a target.
        target: String,
        /// `socket`, `pid file`, `record`, `executable`
        kind: &'static str,
        /// Which: a path; for a record its folder.
        path: String,
        /// The run that it is about.
        pid: Option<u32>,
        /// Why it says nothing.
        why: String,
        /// `vigie sweep` removes it.
        removable: bool,
    },
}

/// A port that a service claims and another holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenPort {
    /// It.
    pub port: PortClaim,
    /// Who claims it.
    pub service: String,
    /// Who is to run and cannot, or could not.
    pub wanted: bool,
    /// Who holds it, as far as that can be seen: the number and what it runs.
    pub holders: Vec<(u32, String)>,
}

/// The descriptors of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptors {
    /// Whose.
    pub pid: u32,
    /// What it calls itself.
    pub name: String,
    /// Of which run.
    pub of: String,
    /// So many are open.
    pub open: u64,
    /// So many may be (`RLIMIT_NOFILE`).
    pub limit: u64,
}

/// The file system of a folder that vigie writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// What lies there: `state`, `runtime files`, `logs`.
    pub what: &'static str,
    /// The folder.
    pub path: String,
    /// Bytes; absent when it did not answer.
    pub size: Option<u64>,
    /// Bytes that this user may still write.
    pub free: Option<u64>,
    /// Inodes; absent where there is no such limit.
    pub inodes: Option<u64>,
    /// Inodes that are free.
    pub free_inodes: Option<u64>,
}

/// The journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// Its file.
    pub path: String,
    /// Why it cannot be read.
    pub fault: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
}

/// The daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// It; absent when it cannot be found out.
    pub process: Option<Process>,
    /// It answered.
    pub answers: bool,
    /// Its version, as it says.
    pub version: Option<String>,
}

/// A keeper that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    /// It.
    pub process: Process,
    /// Of which service.
    pub service: String,
    /// It answered.
    pub answers: bool,
    /// The program's version, as its record says.
    pub version: String,
    /// It speaks another protocol than this command.
    pub foreign: bool,
    /// Its record.
    pub record: String,
}
