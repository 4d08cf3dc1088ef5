//! Signals that arrive as bytes to read instead of as interruptions (signalfd(2)), and the ends of children.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

use vigie_core::exit::Exit;

/// The signals that this process has taken over.
#[derive(Debug)]
pub struct SignalFd {
    descriptor: OwnedFd,
}

impl SignalFd {
    /// Blocks `read` and `ignored` in the calling thread and makes a descriptor that tells of `read`. To be called before
    /// any other thread is started. What is `ignored` stays pending and does nothing; unlike a signal whose action is
    /// to be ignored, it would not stay so in a child that resets its mask.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`.
    pub fn take(read: &[i32], ignored: &[i32]) -> Result<Self, Errno> {
        let wanted = set(read);
        let blocked = set(&[read, ignored].concat());
        // SAFETY: both sets are live locals; the old mask is not asked for.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut()) };
        if result != 0 {
            return Err(Errno::from_raw_os_error(result));
        }
        // SAFETY: the set is a live local; -1 asks for a new descriptor.
        let descriptor = unsafe { libc::signalfd(-1, &raw const wanted, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(last_errno());
        }
        // SAFETY: the kernel just made it, and nobody else has it.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }

    /// The number of the next signal that arrived, if one did.
    pub fn next(&self) -> Option<i32> {
        self.next_with_origin().map(|(number, _)| number)
    }

    /// The same, and whether the kernel itself sent it (`SI_KERNEL`, sigaction(2)): a terminal to its foreground group,
    /// and no process with kill(2).
    pub fn next_with_origin(&self) -> Option<(i32, bool)> {
        // `struct signalfd_siginfo` is 128 bytes; number, errno and code are its first three integers (signalfd(2)).
        let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.descriptor, &mut bytes) {
            Ok(read) if read == bytes.len() => {
                let word = |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
                Some((word(0), word(8) == libc::SI_KERNEL))
            }
            _ => None,
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: a signal set is plain bits, for which zero is valid; sigemptyset then makes it empty.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live local; a number that is no signal is refused without effect.
    unsafe {
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
    }
    set
}

fn last_errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// What there is to say of the children of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// This one ended and was waited for: from now on its PID may mean another process.
    Child {
        /// It.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
    /// There are children, and none of them has ended.
    Busy,
    /// There are none (`ECHILD`). For a subreaper: nothing that was ever forked below it is left.
    Nobody,
}

/// Waits for one child that has ended, whichever it is, without waiting for any to end.
pub fn reap() -> Reaped {
    loop {
        return match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let pid = pid.as_raw_nonzero().get().unsigned_abs();
                let exit = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    // Bit 7 of the status: WCOREDUMP (wait(2)).
                    (None, Some(signal)) => Exit::Signal { signal, core_dumped: status.as_raw() & 0x80 != 0 },
                    (None, None) => continue,
                };
                Reaped::Child { pid, exit }
            }
            Ok(None) => Reaped::Busy,
            Err(Errno::INTR) => continue,
            Err(_) => Reaped::Nobody,
        };
    }
}

/// Becomes the parent of every descendant whose own parent ends (`PR_SET_CHILD_SUBREAPER`, prctl(2)).
///
/// # Errors
/// None on a kernel since 3.4.
pub fn become_subreaper() -> Result<(), Errno> {
    rustix::process::set_child_subreaper(Pid::from_raw(1))
}

/// Sets the name that `ps` and `top` show, cut to 15 bytes (`PR_SET_NAME`, prctl(2)).
pub fn set_process_name(name: &str) {
    let bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
    if let Ok(name) = std::ffi::CString::new(bytes) {
        // It is a convenience for people: nothing depends on it.
        let _ = rustix::thread::set_name(&name);
    }
}
