//! Whether anything is left after a service was started and stopped, again and again (R5.7).
//!
//! What was seen of the machine before a cycle, of the run during it and of the machine after it comes in as values
//! ([`Machine`], [`Sighting`]); [`leftovers`] says what of it is the run's and still there. Two rules keep the machine's
//! other programs out of it: what was there before the cycle is nobody's fault, and what is new must be tied to the run by
//! something that the kernel said of it. What is new, belongs to the same user and cannot be tied is told apart
//! ([`Verdict::unclear`]) and accuses nobody.

mod compare;
mod growth;
mod ledger;
mod times;

pub use compare::{FileLock, Machine, Object, Sighting, Sock, Verdict, leftovers};
pub use growth::{Growth, Kept, growth};
pub use ledger::{Entry, Ledger};
pub use times::{Times, times};

use serde::{Deserialize, Serialize};

/// What can be left of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A process that was still there when the main process had ended: vigie had to end it.
    Orphan,
    /// A process that lives after the stop.
    Process,
    /// The folder of the run's cgroup.
    Cgroup,
    /// The keeper of the run.
    Keeper,
    /// The lock of the service.
    ServiceLock,
    /// A port that the service claims.
    Claim,
    /// A TCP or UDP socket.
    Socket,
    /// A Unix socket with a name.
    UnixSocket,
    /// The file of a Unix socket behind which nobody listens.
    SocketFile,
    /// A file lock.
    FileLock,
    /// A System V shared-memory segment; shmget(2).
    SharedMemory,
    /// A System V set of semaphores; semget(2).
    Semaphores,
    /// A System V message queue; msgget(2).
    MessageQueue,
    /// A file in `/dev/shm`: shared memory or a semaphore with a name; shm_overview(7), sem_overview(7).
    PosixMemory,
    /// A message queue with a name; mq_overview(7).
    PosixQueue,
}

impl Kind {
    /// For people: `shared-memory segment`.
    pub fn text(self) -> &'static str {
        match self {
            Kind::Orphan => "process that outlived the main process",
            Kind::Process => "process",
            Kind::Cgroup => "cgroup",
            Kind::Keeper => "keeper",
            Kind::ServiceLock => "lock of the service",
            Kind::Claim => "claim",
            Kind::Socket => "socket",
            Kind::UnixSocket => "Unix socket",
            Kind::SocketFile => "file of a Unix socket",
            Kind::FileLock => "file lock",
            Kind::SharedMemory => "shared-memory segment",
            Kind::Semaphores => "set of semaphores",
            Kind::MessageQueue => "message queue",
            Kind::PosixMemory => "shared memory with a name",
            Kind::PosixQueue => "message queue with a name",
        }
    }
}

/// Something that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub kind: Kind,
    /// What it is called, so that the same thing has the same name in every cycle: no numbers that change.
    pub name: String,
    /// This one of them, with its numbers: `id 32769, made by PID 12`.
    pub detail: String,
    /// What takes it away, when a command does.
    pub remedy: Option<String>,
}
