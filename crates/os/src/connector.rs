//! The process connector: the kernel tells which processes have executed something, ended, or become somebody else's.
//!
//! A help for [`crate::scan`], which does without it. Since Linux 6.6 every user may listen, and may say what to; before
//! that it takes `CAP_NET_ADMIN`. In containers it says nothing: it belongs to the first PID and user namespace
//! (drivers/connector/cn_proc.c, include/uapi/linux/cn_proc.h).
//!
//! What is told is only a hint to look: it may be lost ([`Connector::drain`] says so) and may come late, never earlier
//! than it happened.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with};

use crate::error::OsError;
use crate::netlink::u32_at;

/// Number of the connector's user, of its group and of its only value: `CN_IDX_PROC`, `CN_VAL_PROC`.
const PROC: u32 = 1;
/// `PROC_CN_MCAST_LISTEN`.
const LISTEN: u32 = 1;

/// `PROC_EVENT_NONE`: the answer to [`LISTEN`].
const ANSWER: u32 = 0;
const EXEC: u32 = 0x2;
const UID: u32 = 0x4;
const SID: u32 = 0x80;
const COMM: u32 = 0x200;
const EXIT: u32 = 0x8000_0000;

/// What changes a process that one knows. Forks do not: who is new stands in the list of processes.
const WANTED: u32 = EXEC | UID | SID | COMM | EXIT;

/// `struct nlmsghdr`, then `struct cn_msg`; what follows is the `struct proc_event`.
const HEADERS: usize = 16 + 20;
/// Where the numbers of the process stand in a `struct proc_event`: after kind, processor and time.
const NUMBERS: usize = 16;

/// Bytes that may wait for us; a message takes about 700 of them. The kernel grants an ordinary user less.
const WAITING: usize = 2 << 20;

/// So many messages are taken at once. More come only when the machine makes them as fast as they are read.
const MOST: usize = 64 * 1024;

/// Listens from when it is opened.
#[derive(Debug)]
pub struct Connector {
    socket: OwnedFd,
}

impl Connector {
    /// `None` where the kernel does not let us listen.
    pub fn open() -> Option<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::CONNECTOR)).ok()?;
        bind(&socket, &SocketAddrNetlink::new(0, PROC)).ok()?;
        if set_socket_recv_buffer_size_force(&socket, WAITING).is_err() {
            // Whatever the kernel grants will do.
            let _ = set_socket_recv_buffer_size(&socket, WAITING);
        }
        let connector = Self { socket };
        connector.send(&[LISTEN]).ok()?;
        // The kernel answers while it takes the request, so that nothing is waited for.
        let mut granted = false;
        let heard = connector.messages(|event| {
            granted |= u32_at(event, 0) == Some(ANSWER) && u32_at(event, NUMBERS) == Some(0);
        });
        heard.ok().filter(|_| granted)?;
        // Not answered: the wish leaves the answer out. Kernels before 6.6 drop it, and go on to tell everything.
        connector.send(&[LISTEN, WANTED]).ok()?;
        Some(connector)
    }

    fn send(&self, words: &[u32]) -> Result<(), Errno> {
        let payload: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let total = u32::try_from(HEADERS + payload.len()).map_err(|_| Errno::MSGSIZE)?;
        let length = u16::try_from(payload.len()).map_err(|_| Errno::MSGSIZE)?;
        // `NLMSG_DONE` without flags, sequence and sender; then whose it is, sequence, acknowledgement, length, flags.
        let mut message = Vec::with_capacity(HEADERS + payload.len());
        for word in [total, 3, 0, 0, PROC, PROC, 0, 0] {
            message.extend(word.to_ne_bytes());
        }
        message.extend(length.to_ne_bytes());
        message.extend([0; 2]);
        message.extend(payload);
        send(&self.socket, &message, SendFlags::empty()).map(|_| ())
    }

    /// Calls `each` with the number of every process to which something happened since the last time; most are told more
    /// than once. `false`: some of it is lost, and anything may have happened to anybody.
    ///
    /// # Errors
    /// When the socket has failed.
    pub fn drain(&mut self, mut each: impl FnMut(u32)) -> Result<bool, OsError> {
        self.messages(|event| {
            if let Some(pid) = whom(event) {
                each(pid);
            }
        })
        .map_err(|errno| OsError::new("read", "the process connector", errno))
    }

    /// Calls `each` with every `struct proc_event` that waits.
    fn messages(&self, mut each: impl FnMut(&[u8])) -> Result<bool, Errno> {
        let mut complete = true;
        for _ in 0..MOST {
            let mut buf = [MaybeUninit::uninit(); 256];
            match recv(&self.socket, &mut buf, RecvFlags::DONTWAIT) {
                Ok(((message, _), _)) => each(message.get(HEADERS..).unwrap_or_default()),
                Err(Errno::AGAIN) => return Ok(complete),
                // The kernel had no room to tell it; what waits is still there.
                Err(Errno::NOBUFS) => complete = false,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(false)
    }
}

/// The process that an event is about. What a thread does with itself alone is none of ours.
fn whom(event: &[u8]) -> Option<u32> {
    let (thread, process) = (u32_at(event, NUMBERS)?, u32_at(event, NUMBERS + 4)?);
    match u32_at(event, 0)? {
        EXEC | UID | SID => Some(process),
        COMM | EXIT => (thread == process).then_some(process),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::proc::tests::eventually;

    fn event(what: u32, thread: u32, process: u32) -> Vec<u8> {
        [what, 0, 0, 0, thread, process].iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn whom_an_event_is_about() {
        for (what, thread, wanted) in [
            (EXEC, 7, Some(7)),
            (EXEC, 8, Some(7)),
            (SID, 7, Some(7)),
            (UID, 8, Some(7)),
            (EXIT, 7, Some(7)),
            (EXIT, 8, None),
            (COMM, 7, Some(7)),
            (COMM, 8, None),
            (1, 7, None),
            (ANSWER, 7, None),
        ] {
            assert_eq!(whom(&event(what, thread, 7)), wanted, "{what:#x} {thread}");
        }
        for length in 0..24 {
            assert_eq!(whom(&event(EXEC, 7, 7)[..length]), None);
        }
    }

    #[test]
    fn a_program_that_starts_and_ends_is_told() {
        let Some(mut connector) = Connector::open() else {
            println!("skipped: this kernel lets us not listen");
            return;
        };
        let mut child = Command::new("true").spawn().unwrap();
        let mut times = 0;
        eventually("its exec and its end are told", || {
            connector.drain(|pid| times += u32::from(pid == child.id())).unwrap();
            times >= 2
        });
        child.wait().unwrap();
    }

    /// Forks and the ends of threads are most of what happens on a machine.
    #[test]
    fn what_is_not_wanted_is_not_told() {
        let Some(connector) = Connector::open() else {
            println!("skipped: this kernel lets us not listen");
            return;
        };
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy().into_owned();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
        if (numbers.next().unwrap(), numbers.next().unwrap()) < (6, 6) {
            println!("skipped: this kernel tells everything");
            return;
        }
        // What happened before the kernel had the wish is here already, however long that took.
        connector.messages(|_| ()).unwrap();
        let child = Command::new("true").spawn().unwrap().wait_with_output().unwrap();
        assert!(child.status.success());
        let mut kinds = Vec::new();
        eventually("something is told", || {
            connector.messages(|event| kinds.extend(u32_at(event, 0))).unwrap();
            !kinds.is_empty()
        });
        // What was on its way through another processor at that moment may have come too.
        assert!(kinds.iter().filter(|&&kind| kind & WANTED == 0).count() <= kinds.len() / 2, "{kinds:?}");
    }

    #[test]
    fn what_is_lost_is_said() {
        let Some(mut connector) = Connector::open() else {
            println!("skipped: this kernel lets us not listen");
            return;
        };
        // The smallest buffer that there is: a few messages.
        set_socket_recv_buffer_size(&connector.socket, 1).unwrap();
        eventually("more happens than the buffer takes", || {
            for _ in 0..20 {
                Command::new("true").status().unwrap();
            }
            !connector.drain(|_| ()).unwrap()
        });
    }
}
