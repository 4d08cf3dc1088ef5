//! What frees a stuck process, as it can be carried out.

use crate::ladder::Signal;
use crate::text::OsText;
use crate::why::facts::Process;

/// A deed that frees something. Who is to be signalled is meant by identity, not by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cure {
    /// A signal for a process: CONT for one that was stopped, KILL for one that ends at nothing less.
    Signal {
        /// Whom.
        process: Process,
        /// Which.
        signal: Signal,
    },
    /// The end of another process, TERM first: the tracer, the listener, the holder of the lock, the parent that does not
    /// reap, the server that does not answer.
    End {
        /// Whose.
        process: Process,
        /// What it is to the stuck one: `itself`, `tracer`, `child`, `parent`, `reader`, `holder`, `owner`, `server`,
        /// `listener`, `supplier`
        role: &'static str,
    },
    /// Tells a parent once more that a child of it has ended (CHLD). It does nothing to one that has no handler for that.
    Tell {
        /// Whom.
        process: Process,
    },
    /// Thaws a cgroup.
    ThawCgroup {
        /// Of which hierarchy.
        version: u8,
        /// Its folder.
        folder: OsText,
    },
    /// Aborts a FUSE connection: every request that waits fails, and so does every later one.
    AbortFuse {
        /// Its number.
        connection: u32,
    },
    /// Thaws a file system (FITHAW; ioctl_fsfreeze).
    ThawFilesystem {
        /// A process that sees the mount.
        witness: Process,
        /// Where it is mounted, as that process sees it.
        point: OsText,
        /// Of the file system: major and minor; what is thawed is compared with it.
        device: (u32, u32),
    },
    /// Reads away what is in a pipe, so that its writer goes on. What was read is lost.
    DrainPipe {
        /// Who writes to it.
        writer: Process,
        /// By which descriptor.
        fd: u32,
        /// The number of the pipe, which is compared.
        inode: u64,
    },
}

impl Cure {
    /// The same deed to the same thing. What is seen of a process beside its identity may differ between two looks.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Cure::End { process: one, .. }, Cure::End { process: two, .. })
            | (Cure::Tell { process: one }, Cure::Tell { process: two }) => one.key == two.key,
            (Cure::Signal { process: one, signal: first }, Cure::Signal { process: two, signal: second }) => {
                one.key == two.key && first == second
            }
            (Cure::ThawFilesystem { device: one, .. }, Cure::ThawFilesystem { device: two, .. }) => one == two,
            (Cure::DrainPipe { inode: one, .. }, Cure::DrainPipe { inode: two, .. }) => one == two,
            _ => self == other,
        }
    }
}
