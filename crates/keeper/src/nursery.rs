//! The process that the daemon's keepers are forked from.
//!
//! A keeper that is a program of its own costs an exec, a start of the C library and pages of its own. So the daemon starts
//! one process of this program, with a socket of messages as descriptor 0, and asks it for copies: each begins where the
//! program would ([`crate::run`]), with the connection that came with the request, and shares every page that it does not
//! write. What all of them need is made before.
//!
//! It has one thread, holds nothing, and sleeps between two requests; the ends of its children do not wake it. It ends when
//! the daemon closes the socket, and its keepers go on below init, as they do when it is killed. What a copy has of it is
//! the name until its launch, and the null device as descriptors 0, 1 and 2.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use vigie_os::clock::mono;
use vigie_os::fork::{Forked, Forker};
use vigie_os::poll::{Interest, PollSet};
use vigie_os::proc::Proc;
use vigie_os::signals::set_process_name;
use vigie_os::{memory, rights};
use vigie_wire::nursery::{Born, LIMIT, REQUEST};

/// Serves until there is nobody left to serve: `None`. In every copy: the connection that it is to hold, and `/proc`.
pub(crate) fn serve(requests: OwnedFd) -> Option<(OwnedFd, Proc)> {
    // Fails for one who leads already. Keys of the daemon's terminal are not meant for keepers to be.
    let _ = rustix::process::setsid();
    set_process_name("vigie-nursery");
    let proc = Proc::system().ok()?;
    ask_the_processor();
    let forker = Forker::new().ok()?;
    let mut set = PollSet::default();
    set.add(&requests, Interest::Read);
    memory::trim();
    loop {
        set.wait(None).ok()?;
        let mut bytes = [0; LIMIT];
        let connection = match rights::receive(requests.as_fd(), &mut bytes) {
            Ok((length, connection)) if &bytes[..length] == REQUEST => connection,
            Err(Errno::AGAIN | Errno::INTR) => continue,
            // The daemon is gone, or it is none.
            Ok(_) | Err(_) => return None,
        };
        // The kernel leaves the descriptor away when there is no place for it.
        let forked = connection.as_ref().ok_or(Errno::MFILE).and_then(|_| forker.fork());
        let answered = match forked {
            Ok(Forked::Child) => return connection.map(|connection| (connection, proc)),
            Ok(Forked::Parent { pid, pidfd }) => answer(&requests, Born::Pid(pid), Some(pidfd.as_fd())),
            // A copy that could not be held ends by itself when the daemon closes the other end.
            Err(errno) => answer(&requests, Born::Failed(errno.raw_os_error()), None),
        };
        answered?;
    }
}

/// Once for all: where to read the time, and what the processor can do (searches in text want to know it). In a virtual
/// machine each of some dozen questions to the processor is a trap, and all of them together cost as much as the fork.
fn ask_the_processor() {
    let _ = mono();
    #[cfg(target_arch = "x86_64")]
    let _ = std::arch::is_x86_feature_detected!("avx2");
}

fn answer(requests: &OwnedFd, born: Born, pidfd: Option<BorrowedFd<'_>>) -> Option<()> {
    let bytes = serde_json::to_vec(&born).ok()?;
    loop {
        match rights::send(requests.as_fd(), &bytes, pidfd) {
            Ok(_) => return Some(()),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}
