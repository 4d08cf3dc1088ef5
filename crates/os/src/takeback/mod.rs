//! Taking back from a process that nothing ends what its successor needs (R8.4): memory, and ports.
//!
//! # Theory of operation
//!
//! A process that waits in the kernel where KILL does not reach it never comes back to its program. So what it holds is of
//! no use to it any more, and the kernel lets others take it: its memory by process_mrelease(2), its sockets by
//! pidfd_getfd(2), which gives another descriptor of the same socket.
//!
//! **Only from who is condemned.** Each function looks itself whether KILL waits for every thread of the process, or the
//! thread is ending already; from anybody else nothing is taken ([`condemned`]). A socket that a living process holds
//! too (it inherited it, or gave it away) is left alone, and that is said.
//!
//! **Nothing of it can hang**: a process can be stuck while it holds the lock of its memory or of its socket. So all of it is
//! done as an errand ([`crate::cure::errand`]).
//!
//! **What frees a port** (measured on Linux 6.18; the second column is what bind(2) of the successor must be asked with):
//!
//! | done to the socket of the ghost | TCP | UDP |
//! |---|---|---|
//! | nothing | never | both set `SO_REUSEADDR` before |
//! | `shutdown`, `close` of another descriptor | as SOCK_DESTROY for a listener, as nothing for others | as nothing |
//! | SOCK_DESTROY | `SO_REUSEADDR`, if the ghost had set it too | as nothing |
//! | `connect` to no address (`AF_UNSPEC`) | as SOCK_DESTROY | as nothing |
//! | the same, when it was bound to port 0 or not at all | plain | plain |
//! | `SO_REUSEADDR` and `SO_REUSEPORT` set, then `connect` to no address | either of them | either of them |
//!
//! The port of a socket that was bound to it by number stays bound until the last descriptor is closed, which the ghost
//! never does: the kernel keeps `SOCK_BINDPORT_LOCK` for so long (tcp_set_state in net/ipv4/tcp.c, __udp_disconnect in
//! net/ipv4/datagram.c), and nothing from outside clears it. So a successor that sets neither option cannot be helped,
//! and it is told. Nor can a socket be found whose ghost waits in the close of another file at its end: from
//! then on the kernel shows none of its descriptors, and has not closed those behind ([`Port::closing`]). Of two UDP sockets with `SO_REUSEPORT` each gets a half of what comes; that of the ghost
//! is therefore connected to itself, after which nothing but its own datagrams reaches it.

mod memory;
mod port;
mod socket;

use vigie_core::identity::ProcKey;

use crate::error::OsError;
use crate::pidfd::Target;
use crate::proc::Proc;

pub use memory::{Memory, memory};
pub use port::{Bindable, Outcome, Port, Taken, port};

/// `PF_EXITING` of include/linux/sched.h.
const EXITING: u32 = 0x4;

/// KILL in a set of signals.
const KILL: u64 = 1 << (9 - 1);

/// The process, when it can never go on: KILL waits for each of its threads, or the thread is ending.
///
/// # Errors
/// `NotFound`: it is gone, so there is nothing to take back. `InvalidInput`: it may still go on.
fn condemned(proc: &Proc, key: &ProcKey) -> Result<Target, OsError> {
    let failed = |kind, why: &str| {
        let why = std::io::Error::new(kind, why.to_owned());
        OsError::on_process("take anything back from", key.pid)(why)
    };
    let gone = || failed(std::io::ErrorKind::NotFound, "it is gone");
    let target = Target::open(proc, key)?.ok_or_else(gone)?;
    if target.is_dead()? {
        return Err(gone());
    }
    let (mut tasks, mut buffer) = (Vec::new(), Vec::new());
    proc.tasks(key.pid, &mut tasks)?;
    for task in tasks {
        let Some(stat) = proc.stat(task, &mut buffer)? else { continue };
        let ending = stat.flags & EXITING != 0;
        let Some(status) = proc.status(task, &mut buffer)? else { continue };
        if !ending && (status.pending | status.shared_pending) & KILL == 0 {
            return Err(failed(
                std::io::ErrorKind::InvalidInput,
                "no KILL waits for it, so it may go on; end it first",
            ));
        }
    }
    Ok(target)
}

#[cfg(test)]
mod tests;
