//! A deed that may never come back, done by a process that nobody waits for longer than a deadline (R8.3).
//!
//! Not by a thread: one that waits in the kernel where KILL does not reach it keeps its whole program from ending, and with
//! it the terminal, the locks and whoever waits for that program. So it is a copy of this process that has given back
//! everything but the descriptors that it needs. It is a child as any other and is reaped here: PID 1 of a container may
//! reap nobody. Only one that is still there at its deadline is left; the next errand looks after it.

use std::ffi::CStr;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, readlinkat_raw};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use rustix::thread::Timespec;
use vigie_core::clock::Mono;

use crate::clock::mono;
use crate::error::OsError;
use crate::proc::stat::number;
use crate::wait;

/// What one deed came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was done, and this came out.
    Done(u64),
    /// This step of it failed; steps are numbered by whoever gave the errand.
    Failed(u32, Errno),
}

/// The other end of what is told; each answer is one write.
pub(crate) struct Report(RawFd);

const RECORD: usize = 16;

impl Report {
    pub(crate) fn tell(&self, answer: Answer) {
        let (step, errno, value) = match answer {
            Answer::Done(value) => (u32::MAX, 0, value),
            Answer::Failed(step, errno) => (step, errno.raw_os_error(), 0),
        };
        let mut record = [0; RECORD];
        record[..4].copy_from_slice(&step.to_ne_bytes());
        record[4..8].copy_from_slice(&errno.to_ne_bytes());
        record[8..].copy_from_slice(&value.to_ne_bytes());
        // SAFETY: writes from a local array to a descriptor of this process. Nobody reads it any more: no harm.
        unsafe { libc::write(self.0, record.as_ptr().cast(), RECORD) };
    }

    fn read(record: &[u8; RECORD]) -> Answer {
        let number = |at: usize| record[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        match number(0) {
            u32::MAX => Answer::Done(record[8..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))),
            step => Answer::Failed(step, Errno::from_raw_os_error(number(4).cast_signed())),
        }
    }
}

/// Does `work` in such a process, which keeps the descriptors of `keep` under their numbers. Gives the answers that came
/// before the deadline; the process then gets a signal that ends it, if anything does.
///
/// `work` makes system calls and nothing else: it must not allocate, since a thread that was not copied may have held the
/// lock of the heap. If it does, it may wait for ever; that is an answer that does not come.
///
/// # Errors
/// When no process could be made.
pub(crate) fn run(keep: &[BorrowedFd<'_>], deadline: Mono, work: impl FnOnce(&Report)) -> Result<Vec<Answer>, OsError> {
    let failed = |errno: Errno| OsError::new("start", "a process that may be left behind", errno);
    let (answers, report) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    let mut kept: Vec<RawFd> = keep.iter().map(|fd| fd.as_raw_fd()).chain([report.as_raw_fd()]).collect();
    kept.sort_unstable();
    let signals = Blocked::all();
    // SAFETY: the copy makes nothing but async-signal-safe calls until it exits, so it may be forked even from a process
    // with several threads.
    let pid = match unsafe { libc::fork() } {
        0 => alone(&kept, deadline, &Report(report.as_raw_fd()), work),
        pid => Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(last_errno),
    };
    drop(signals);
    let pid = pid.map_err(failed)?;
    drop(report);
    let told = collect(&answers, deadline);
    reap(pid, deadline);
    Ok(told)
}

/// Those of this process that were not at their end when nobody waited for them any longer.
static LEFT: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Who has told everything, or was ended by its alarm, is gone within so much.
const LAST: Duration = Duration::from_millis(50);

/// Takes notice of its end, and of the ends of those that were left before.
fn reap(pid: Pid, deadline: Mono) {
    if let Ok(end) = pidfd_open(pid, PidfdFlags::empty()) {
        let _ = wait::readable(&end, deadline.max(mono() + LAST));
    }
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.push(pid);
    // An error: somebody else who waits for the children of this process was faster.
    left.retain(|pid| matches!(waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None)));
}

/// All that there is of the process of an errand.
fn alone(kept: &[RawFd], deadline: Mono, report: &Report, work: impl FnOnce(&Report)) -> ! {
    let end = End;
    // SAFETY: async-signal-safe calls with plain numbers and local structures. The signals of this process are blocked, so
    // that no handler runs in the copy, except the one that ends it, which gets its default action back first.
    unsafe {
        libc::setsid();
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        let left = deadline.since(mono()).max(Duration::from_millis(1));
        let mut timer: libc::itimerval = std::mem::zeroed();
        timer.it_value.tv_sec = libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX);
        timer.it_value.tv_usec = libc::suseconds_t::from(left.subsec_micros());
        libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut::<u8>());
        let mut alarm: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut alarm);
        libc::sigaddset(&raw mut alarm, libc::SIGALRM);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const alarm, std::ptr::null_mut());
        // A lock of this process, its terminal, the pipe of a shell: whoever is left behind must not hold them.
        let mut first = 0;
        for &fd in kept {
            if fd > first {
                libc::syscall(libc::SYS_close_range, first, fd - 1, 0);
            }
            first = fd + 1;
        }
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0);
        libc::chdir(c"/".as_ptr());
    }
    work(report);
    drop(end);
    unreachable!("it has ended");
}

/// Ends the copy, also when it unwinds: it must never run what stands around the errand.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        // SAFETY: nothing of this process is to be cleaned up by its copy.
        unsafe { libc::_exit(0) }
    }
}

/// What is told until nobody can tell any more, or the deadline.
fn collect(answers: &OwnedFd, deadline: Mono) -> Vec<Answer> {
    let mut bytes = Vec::new();
    while wait::readable(answers, deadline).unwrap_or(false) {
        bytes.reserve(4096);
        match rustix::io::read(answers, spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    bytes.as_chunks().0.iter().map(Report::read).collect()
}

/// The calling thread takes no signals while this lives.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn all() -> Self {
        // SAFETY: both sets are local and initialised before they are read.
        unsafe {
            let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set is the one that the kernel gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

fn last_errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// A moment, in an errand.
pub(crate) fn pause() {
    let _ = rustix::thread::nanosleep(&Timespec { tv_sec: 0, tv_nsec: 2_000_000 });
}

/// `/proc/self/fd/N`, without memory from the heap.
pub(crate) struct Link([u8; 32]);

impl Link {
    pub(crate) fn of(fd: impl AsFd) -> Self {
        let mut text = [0; 32];
        // Longer than any number needs, so it ends with NUL.
        let _ = write!(&mut text[..31], "/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        Self(text)
    }

    pub(crate) fn path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }

    /// What the kernel calls the file: `pipe:[N]`, `socket:[N]`. `None` when it is another kind than `kind`, which is
    /// `pipe:[`. Nothing is asked of the file itself.
    pub(crate) fn number(&self, kind: &[u8]) -> Option<u64> {
        let mut text = [0; 64];
        let length = readlinkat_raw(CWD, self.path(), &mut text[..]).ok()?;
        number(text.get(..length)?.strip_prefix(kind)?.strip_suffix(b"]")?)
    }
}
