//! What happens to a run: the events that its keeper writes down, numbers and sends.

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Wall};
use crate::exit::Exit;
use crate::identity::{ProcKey, RunId};
use crate::ladder::Rung;
use crate::launch::Containment;
use crate::text::OsText;

/// Why a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// Somebody asked for it.
    Asked,
    /// What it was tied to ended.
    Tie,
    /// Its duration is over.
    Duration,
    /// Its health probe failed too often.
    Unhealthy,
    /// It did not become ready in time.
    NotReady,
    /// The main process ended and left others behind.
    Orphans,
    /// Another start replaces it.
    Restart,
    /// The keeper itself got this signal.
    KeeperSignalled,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The lock is held, nothing was spawned.
    Locked,
    /// The main process runs.
    Running,
    /// The ladder is being climbed.
    Stopping,
    /// The main process ended; others are left and are kept.
    Orphaned,
    /// The ladder is at its end and processes are left.
    Stuck,
    /// What is left was set aside: the run is over for its service, and a ghost for the kernel (R5.4).
    Quarantined,
    /// The tree is empty.
    Empty,
}

impl Phase {
    /// The service has nothing of this run any more: another may follow.
    pub fn is_over(self) -> bool {
        match self {
            Phase::Quarantined | Phase::Empty => true,
            Phase::Locked | Phase::Running | Phase::Stopping | Phase::Orphaned | Phase::Stuck => false,
        }
    }
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The run.
    pub run: RunId,
    /// Its number within the run, from 1, without holes.
    pub seq: u64,
    /// When, for people.
    pub at: Wall,
    /// When, for durations.
    pub mono: Mono,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The lock was taken.
    Locked {
        /// By this keeper.
        keeper: ProcKey,
    },
    /// Processes of an earlier run whose keeper was killed were found under the lock and ended first.
    Survivors {
        /// The earlier run.
        of: RunId,
        /// How many there were.
        count: u32,
    },
    /// The main process was spawned.
    Started {
        /// It.
        main: ProcKey,
        /// How its tree is contained.
        containment: Containment,
        /// The folder of its cgroup, when it has one.
        cgroup: Option<OsText>,
    },
    /// A process that ran already became the main process (R4.4).
    Adopted {
        /// It.
        main: ProcKey,
        /// How its tree is contained from now on.
        containment: Containment,
        /// The folder of its cgroup, when it was moved into one.
        cgroup: Option<OsText>,
        /// When it was started, by whomever.
        started: Option<(Wall, Mono)>,
    },
    /// The process that was to be adopted was not, and was left as it is.
    AdoptFailed {
        /// It.
        process: ProcKey,
        /// Why not.
        why: String,
    },
    /// The main process could not be spawned.
    SpawnFailed(SpawnFailure),
    /// A stop began.
    Stopping {
        /// Why.
        cause: StopCause,
    },
    /// A rung of the ladder was reached and its deed done.
    Rung {
        /// Its number, from 0.
        index: u32,
        /// The rung.
        rung: Rung,
    },
    /// The main process ended.
    Exited {
        /// How.
        exit: Exit,
    },
    /// The main process ended and these were left.
    Orphans {
        /// Some of them, at most 16.
        left: Vec<Left>,
        /// How many in all.
        count: u32,
    },
    /// The ladder is at its end and these are still there (R5.4).
    Stuck {
        /// Some of them, at most 16.
        left: Vec<Left>,
        /// How many in all.
        count: u32,
    },
    /// These were set aside: KILL is pending on each of them, they are on record, and the lock is given back (R5.4). No
    /// event of this run follows.
    Quarantined {
        /// Some of them, at most 16.
        left: Vec<Left>,
        /// How many in all.
        count: u32,
    },
    /// They were to be set aside, and were not.
    QuarantineRefused {
        /// Why not.
        why: String,
    },
    /// Output was lost.
    LogLost {
        /// How many bytes since the last event of this kind.
        bytes: u64,
        /// Why: the error of the system, or the policy.
        why: String,
    },
    /// The kernel says that the tree is empty.
    Empty,
}

/// What could not be done between fork and exec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnFailure {
    /// The step: `chdir`, `exec`, `setrlimit`, ….
    pub step: String,
    /// What it was about: a path, mostly.
    pub on: OsText,
    /// `errno`.
    pub errno: i32,
}

/// A process that is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// It.
    pub process: ProcKey,
    /// Its name (`comm`).
    pub name: OsText,
    /// Its state letter in `/proc/PID/stat`.
    pub state: char,
    /// KILL is pending and it has not acted on it.
    pub kill_pending: bool,
}

impl std::fmt::Display for StopCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StopCause::Asked => "asked for",
            StopCause::Tie => "what it was tied to ended",
            StopCause::Duration => "its duration is over",
            StopCause::Unhealthy => "its health probe failed too often",
            StopCause::NotReady => "it did not become ready in time",
            StopCause::Orphans => "its main process ended and left others behind",
            StopCause::Restart => "restart asked for",
            StopCause::KeeperSignalled => "its keeper was signalled",
        })
    }
}

/// `name (PID 12, D, KILL pending)`
impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (PID {}, {}", self.name, self.process.pid, self.state)?;
        f.write_str(if self.kill_pending { ", KILL pending)" } else { ")" })
    }
}

impl SpawnFailure {
    /// What the system said: the words of errno(3) for what spawning meets, the number for the rest.
    pub fn error(&self) -> String {
        match self.errno {
            1 => "operation not permitted".to_owned(),
            2 => "no such file or directory".to_owned(),
            7 => "arguments and environment are too long".to_owned(),
            8 => "not an executable (no #! line?)".to_owned(),
            11 => "too many processes".to_owned(),
            12 => "out of memory".to_owned(),
            13 => "permission denied".to_owned(),
            20 => "not a folder".to_owned(),
            22 => "invalid argument".to_owned(),
            24 => "too many open files".to_owned(),
            26 => "the file is being written to".to_owned(),
            40 => "too many symbolic links".to_owned(),
            other => format!("error {other}"),
        }
    }
}

/// `exec ./api: permission denied`
impl std::fmt::Display for SpawnFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.step, self.on, self.error())
    }
}
