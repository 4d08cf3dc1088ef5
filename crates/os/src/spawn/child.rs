//! The fork, and what the child does until exec. Between the two only system calls are made: no allocation, no lock,
//! no panic.

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::fd::{AsRawFd, RawFd};

use rustix::io::Errno;
use rustix::process::Pid;

use super::{Inside, Limits, Session, Step};

/// Bytes of a [`Report`] in the pipe.
pub(super) const REPORT_SIZE: usize = 8;

/// What failed in the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) step: u32,
    pub(super) errno: i32,
}

impl Report {
    pub(super) fn encode(self) -> [u8; REPORT_SIZE] {
        let ([a, b, c, d], [e, f, g, h]) = (self.step.to_ne_bytes(), self.errno.to_ne_bytes());
        [a, b, c, d, e, f, g, h]
    }

    pub(super) fn decode(bytes: [u8; REPORT_SIZE]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self { step: u32::from_ne_bytes([a, b, c, d]), errno: i32::from_ne_bytes([e, f, g, h]) }
    }
}

/// Everything that the child needs, ready to use.
pub(super) struct Orders<'a> {
    pub(super) candidates: &'a [CString],
    /// Ends with a null pointer, as `env`.
    pub(super) argv: &'a [*const c_char],
    pub(super) env: &'a [*const c_char],
    pub(super) cwd: &'a CStr,
    pub(super) session: Session,
    pub(super) limits: Limits,
    pub(super) oom_text: Option<&'a CStr>,
    pub(super) stdio: [RawFd; 3],
    pub(super) report: RawFd,
    /// The highest descriptor to mark one by one; absent: all at once.
    pub(super) last_descriptor: Option<RawFd>,
    /// Whether to try clone3(2).
    pub(super) clone_into: bool,
}

/// `struct clone_args` up to `cgroup` (clone3(2), Linux 5.7).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks; the child never returns from here.
pub(super) fn fork_and_exec(orders: &Orders<'_>, cgroup: Option<Inside<'_>>) -> Result<Pid, Errno> {
    let (folder, procs) = match cgroup {
        None => (None, None),
        Some(Inside::Cgroup2 { folder, procs }) => (Some(folder.as_raw_fd()), Some(procs.as_raw_fd())),
        Some(Inside::Cgroup1 { procs }) => (None, Some(procs.as_raw_fd())),
    };
    if let Some(folder) = folder.filter(|_| orders.clone_into) {
        match clone_into(folder) {
            Ok(0) => run(orders, None),
            Ok(pid) => return Pid::from_raw(pid).ok_or(Errno::CHILD),
            // A full process table is no reason to try again. Everything else is: an older kernel (ENOSYS, EINVAL,
            // E2BIG), a filter that does not let it through (EPERM), a cgroup that wants to be joined otherwise
            // (EACCES, EBUSY, EOPNOTSUPP).
            Err(errno @ (Errno::AGAIN | Errno::NOMEM)) => return Err(errno),
            Err(_) => {}
        }
    }
    // SAFETY: the child makes nothing but async-signal-safe calls until it execs or exits (see `run`), so it may be
    // forked even from a process with several threads.
    match unsafe { libc::fork() } {
        0 => run(orders, procs),
        pid if pid > 0 => Pid::from_raw(pid).ok_or(Errno::CHILD),
        _ => Err(last_errno()),
    }
}

/// Forks into a cgroup: 0 in the child.
fn clone_into(folder: RawFd) -> Result<c_int, Errno> {
    let arguments = CloneArgs {
        flags: CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: u64::from(folder.unsigned_abs()),
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM and without a stack it behaves as fork(2). libc is not told of it, so that its cached
    // thread id is that of the parent; the child calls nothing that uses it (see `run`). The structure lives through
    // the call and its size is passed.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, std::mem::size_of::<CloneArgs>()) };
    match c_int::try_from(result) {
        Ok(pid) if pid >= 0 => Ok(pid),
        _ => Err(last_errno()),
    }
}

/// Whether the kernel can set close-on-exec on a whole range of descriptors. Asked with an empty range.
pub(super) fn can_mark_range() -> bool {
    mark_range(RawFd::MAX).is_ok()
}

fn mark_range(first: RawFd) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: c_int = 4;
    // SAFETY: takes three integers; it closes nothing, it only sets a flag on descriptors that are open.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) })
}

fn last_errno() -> Errno {
    // SAFETY: the pointer that it returns is valid for the calling thread.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

fn check(result: impl TryInto<i64>) -> Result<(), Errno> {
    match result.try_into() {
        Ok(value) if value >= 0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// The child's whole life before exec.
fn run(orders: &Orders<'_>, procs: Option<RawFd>) -> ! {
    let (step, errno) = match prepare(orders, procs) {
        Err(failed) => failed,
        Ok(()) => (Step::Exec, exec(orders)),
    };
    let report = Report { step: step as u32, errno: errno.raw_os_error() }.encode();
    // SAFETY: write(2) and _exit(2) are async-signal-safe; the buffer is a local array. When the write fails the
    // parent sees the end of the pipe and then exit code 127.
    unsafe {
        libc::write(orders.report, report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

fn prepare(orders: &Orders<'_>, procs: Option<RawFd>) -> Result<(), (Step, Errno)> {
    let at = |step: Step| move |errno: Errno| (step, errno);
    if let Some(procs) = procs {
        // "0" is whoever writes it (cgroups(7)).
        write_all(procs, b"0").map_err(at(Step::Cgroup))?;
    }
    group(orders.session).map_err(at(Step::Group))?;
    stdio(orders.stdio).map_err(at(Step::Stdio))?;
    signals(orders.session).map_err(at(Step::Signals))?;
    descriptors(orders).map_err(at(Step::Descriptors))?;
    // SAFETY: the text ends with NUL and outlives the call.
    check(unsafe { libc::chdir(orders.cwd.as_ptr()) }).map_err(at(Step::Chdir))?;
    if let Some(files) = orders.limits.files {
        let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
        // SAFETY: the structure lives through the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map_err(at(Step::Files))?;
    }
    if let Some(nice) = orders.limits.nice {
        // SAFETY: takes integers only; 0 is the caller itself.
        check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map_err(at(Step::Nice))?;
    }
    if let Some(text) = orders.oom_text {
        oom_score_adj(text).map_err(at(Step::OomScoreAdj))?;
    }
    Ok(())
}

fn group(session: Session) -> Result<(), Errno> {
    match session {
        // SAFETY: takes nothing; a child that was just forked leads no group, so it may.
        Session::Own => check(unsafe { libc::setsid() }),
        Session::Group(pgid) => {
            let pgid = libc::pid_t::try_from(pgid).unwrap_or(0);
            // SAFETY: takes integers only; 0 is the caller itself.
            match check(unsafe { libc::setpgid(0, pgid) }) {
                Ok(()) => Ok(()),
                // The group has vanished, or never was in this session.
                // SAFETY: as above.
                Err(_) => check(unsafe { libc::setpgid(0, 0) }),
            }
        }
    }
}

/// Puts the three descriptors where they belong. One that already lies below 3 is first moved out of the way.
fn stdio(wanted: [RawFd; 3]) -> Result<(), Errno> {
    let mut sources = wanted;
    for source in &mut sources {
        if *source <= 2 {
            // SAFETY: takes integers only.
            let moved = unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, 3) };
            check(moved)?;
            *source = moved;
        }
    }
    for (target, source) in (0..).zip(sources) {
        // SAFETY: takes integers only; what was open at the target belongs to this process alone.
        check(unsafe { libc::dup2(source, target) })?;
    }
    Ok(())
}

/// Default actions and an empty mask: what is ignored or blocked here would stay so after exec (execve(2)).
///
/// In the group of who asked, what that one ignores stays ignored, so that nohup(1) and the `&` of a script mean for the
/// command what they would mean without us. PIPE is the exception: every Rust program ignores it, this one included.
fn signals(session: Session) -> Result<(), Errno> {
    let keep_ignored = matches!(session, Session::Group(_));
    // The kernel's own structure, all zero: SIG_DFL, no flags, an empty mask. libc's functions keep two of the signals
    // for themselves, which an ancestor may have ignored all the same.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        if keep_ignored && signal != libc::SIGPIPE && is_ignored(signal) {
            continue;
        }
        // KILL and STOP are refused; that is as it should be.
        // SAFETY: `struct sigaction` of the kernel is 32 bytes, or less, on every 64-bit architecture, of which the mask
        // is the 8 that are passed as its size; it is only read. The old action is not asked for.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8_usize)
        };
    }
    // SAFETY: a signal set is plain bits, for which zero is valid; sigemptyset then makes it empty.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals; the old mask is not asked for.
    check(unsafe {
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut())
    })
}

fn is_ignored(signal: i32) -> bool {
    let mut action = [0_u64; 4];
    // SAFETY: as in `signals`; here the structure is only written. Its first field is the action, except on mips.
    let asked =
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, std::ptr::null::<u64>(), action.as_mut_ptr(), 8_usize) };
    asked == 0 && action[0] == libc::SIG_IGN as u64
}

fn descriptors(orders: &Orders<'_>) -> Result<(), Errno> {
    let Some(last) = orders.last_descriptor else {
        return mark_range(3);
    };
    for descriptor in 3..=last {
        // A hole among them is EBADF, and nothing to mark.
        // SAFETY: takes integers only.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

fn oom_score_adj(text: &CStr) -> Result<(), Errno> {
    // SAFETY: the path ends with NUL and is static.
    let file = unsafe { libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    check(file)?;
    write_all(file, text.to_bytes())
}

fn write_all(file: RawFd, bytes: &[u8]) -> Result<(), Errno> {
    // SAFETY: the slice lives through the call. The files of /proc and cgroups take a value whole or not at all.
    check(unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) } as i64)
}

/// Tries the candidates as execvp(3) does: absent ones are passed over, a forbidden one is remembered.
fn exec(orders: &Orders<'_>) -> Errno {
    let mut verdict = Errno::NOENT;
    for candidate in orders.candidates {
        // SAFETY: path, arguments and environment end with NUL, both arrays with a null pointer, and all outlive the
        // call: it returns only on failure.
        unsafe { libc::execve(candidate.as_ptr(), orders.argv.as_ptr(), orders.env.as_ptr()) };
        match last_errno() {
            Errno::ACCESS => verdict = Errno::ACCESS,
            Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT => {}
            errno => return errno,
        }
    }
    verdict
}
