//! Starting a process exactly as it was described, with no shell, no thread and no allocation between fork and exec.
//!
//! [`Plan`] holds everything ready-made: C strings, pointers, the candidates of the `PATH` search. After the fork the
//! child only makes system calls (signal-safety(7)); what fails is told through a pipe that closes itself at exec, so
//! the parent learns of success by the end of that pipe ([`Starting::poll`]) and of failure as step and `errno`.

mod child;

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::io::Errno;
use rustix::process::Pid;

use child::{REPORT_SIZE, Report};

/// What is done between fork and exec, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; `Step::name` writes them out")]
#[repr(u32)]
pub enum Step {
    Fork = 1,
    Cgroup,
    Group,
    Stdio,
    Signals,
    Descriptors,
    Chdir,
    Files,
    Nice,
    OomScoreAdj,
    Exec,
}

impl Step {
    const ALL: [Step; 11] = [
        Step::Fork,
        Step::Cgroup,
        Step::Group,
        Step::Stdio,
        Step::Signals,
        Step::Descriptors,
        Step::Chdir,
        Step::Files,
        Step::Nice,
        Step::OomScoreAdj,
        Step::Exec,
    ];

    /// The word for people and for the wire.
    pub fn name(self) -> &'static str {
        match self {
            Step::Fork => "fork",
            Step::Cgroup => "cgroup",
            Step::Group => "setpgid",
            Step::Stdio => "stdio",
            Step::Signals => "signals",
            Step::Descriptors => "close_range",
            Step::Chdir => "chdir",
            Step::Files => "setrlimit",
            Step::Nice => "nice",
            Step::OomScoreAdj => "oom_score_adj",
            Step::Exec => "exec",
        }
    }
}

/// A process that could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to start {}: {}: {}", .on.display(), .step.name(), std::io::Error::from_raw_os_error(*.errno))]
pub struct Failure {
    /// The step that failed.
    pub step: Step,
    /// What it was about: a path, a value.
    pub on: OsString,
    /// `errno`
    pub errno: i32,
}

/// Which session and group the process goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// A session, and so a group, of its own (setsid(2)).
    Own,
    /// This group of the caller's session; a group of its own when that one is gone.
    Group(u32),
}

/// Limits that are set between fork and exec. Absent: as the caller has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// `RLIMIT_NOFILE`, soft and hard.
    pub files: Option<u64>,
    /// The nice value (setpriority(2)).
    pub nice: Option<i32>,
    /// `/proc/self/oom_score_adj` (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: Option<i32>,
}

/// A process as it is to be started.
#[derive(Debug)]
pub struct Plan {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
    session: Session,
    limits: Limits,
    oom_text: Option<CString>,
    kernel: Kernel,
}

/// What the kernel can do. Tests take it away, to see that it goes without.
#[derive(Debug, Clone, Copy)]
struct Kernel {
    /// clone3(2) into a cgroup: Linux 5.7. Tried each time; another way is taken when it fails.
    clone_into: bool,
    /// close_range(2) that only marks: Linux 5.11.
    mark_range: bool,
}

/// The folder of a cgroup that the new process is to be in from its first instruction on.
#[derive(Debug, Clone, Copy)]
pub enum Inside<'a> {
    /// A cgroup v2 folder: cloned into it (clone3(2), Linux 5.7), else moved before exec.
    Cgroup2 {
        /// The folder.
        folder: BorrowedFd<'a>,
        /// Its `cgroup.procs`, open for writing.
        procs: BorrowedFd<'a>,
    },
    /// A cgroup v1 folder: moved before exec.
    Cgroup1 {
        /// Its `cgroup.procs`, open for writing.
        procs: BorrowedFd<'a>,
    },
}

impl Plan {
    /// Prepares a start. A program without a slash is searched in the `PATH` of `env` as execvp(3) does, relative
    /// entries counting from `cwd`; a file of unknown format is an error, never handed to a shell.
    ///
    /// # Errors
    /// When a text holds NUL or `argv` is empty.
    pub fn new<'a>(
        argv: impl IntoIterator<Item = &'a OsStr>,
        env: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
        cwd: &OsStr,
        session: Session,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let text = |bytes: Vec<u8>, step| {
            CString::new(bytes).map_err(|error| Failure {
                step,
                on: OsString::from_vec(error.into_vec()),
                errno: Errno::INVAL.raw_os_error(),
            })
        };
        let argv = argv
            .into_iter()
            .map(|argument| text(argument.as_bytes().to_vec(), Step::Exec))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(program) = argv.first() else {
            return Err(Failure { step: Step::Exec, on: OsString::new(), errno: Errno::INVAL.raw_os_error() });
        };
        let mut path: Option<Vec<u8>> = None;
        let mut variables = Vec::new();
        for (name, value) in env {
            if name == "PATH" {
                path = Some(value.as_bytes().to_vec());
            }
            variables.push(text([name.as_bytes(), b"=", value.as_bytes()].concat(), Step::Exec)?);
        }
        Ok(Self {
            candidates: candidates(program.as_bytes(), path.as_deref())
                .into_iter()
                .map(|candidate| text(candidate, Step::Exec))
                .collect::<Result<_, _>>()?,
            env: variables,
            cwd: text(cwd.as_bytes().to_vec(), Step::Chdir)?,
            session,
            limits,
            oom_text: match limits.oom_score_adj {
                Some(value) => Some(text(value.to_string().into_bytes(), Step::OomScoreAdj)?),
                None => None,
            },
            kernel: Kernel { clone_into: true, mark_range: child::can_mark_range() },
            argv,
        })
    }

    /// Forks. `stdio` becomes descriptors 0, 1 and 2; nothing else is inherited.
    ///
    /// # Errors
    /// When there can be no pipe or no process: `EAGAIN` (too many), `ENOMEM`.
    pub fn spawn(&self, stdio: [BorrowedFd<'_>; 3], cgroup: Option<Inside<'_>>) -> Result<Starting, Failure> {
        let fork_failed = |errno: Errno| Failure { step: Step::Fork, on: self.program(), errno: errno.raw_os_error() };
        let (report, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(fork_failed)?;
        // The parent must be able to look without waiting; the child's end blocks, which eight bytes never do.
        rustix::fs::fcntl_setfl(&report, rustix::fs::OFlags::NONBLOCK).map_err(fork_failed)?;
        let pointers =
            |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
        let argv = pointers(&self.argv);
        let env = pointers(&self.env);
        let orders = child::Orders {
            candidates: &self.candidates,
            argv: &argv,
            env: &env,
            cwd: &self.cwd,
            session: self.session,
            limits: self.limits,
            oom_text: self.oom_text.as_deref(),
            stdio: stdio.map(|fd| fd.as_raw_fd()),
            report: write.as_raw_fd(),
            last_descriptor: if self.kernel.mark_range { None } else { last_descriptor() },
            clone_into: self.kernel.clone_into,
        };
        let pid = child::fork_and_exec(&orders, cgroup).map_err(fork_failed)?;
        drop(write);
        Ok(Starting { child: Child { pid }, report })
    }

    /// Names what a report is about.
    fn failure(&self, report: Report) -> Failure {
        let step = Step::ALL.into_iter().find(|step| *step as u32 == report.step).unwrap_or(Step::Exec);
        let on = match step {
            Step::Chdir => OsStr::from_bytes(self.cwd.as_bytes()).to_owned(),
            Step::Files => self.limits.files.unwrap_or_default().to_string().into(),
            Step::Nice => self.limits.nice.unwrap_or_default().to_string().into(),
            Step::OomScoreAdj => self.limits.oom_score_adj.unwrap_or_default().to_string().into(),
            Step::Fork | Step::Cgroup | Step::Group | Step::Stdio | Step::Signals | Step::Descriptors | Step::Exec => {
                self.program()
            }
        };
        Failure { step, on, errno: report.errno }
    }

    fn program(&self) -> OsString {
        OsString::from_vec(self.argv.first().map(|program| program.as_bytes().to_vec()).unwrap_or_default())
    }
}

/// A child of this process that it has not yet waited for.
///
/// The kernel gives a PID out again only after the parent has waited for it. So as long as this value lives, which is
/// until its owner reaps it, the bare number means this process and nobody else, and signalling it is safe.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
}

impl Child {
    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal by number. It may have ended already: then nothing happens.
    ///
    /// # Errors
    /// `EPERM` when it has become another user's, `EINVAL` for a number that is no signal.
    pub fn signal(&self, signal: i32) -> Result<(), Errno> {
        rustix::process::kill_process(self.pid, number(signal)?)
    }

    /// Signals the group that it leads: it was made its leader when it was spawned, and a group outlives the PID of its
    /// leader, so that the number cannot mean another group before the child is reaped.
    ///
    /// # Errors
    /// `ESRCH` when it left its group; as [`Child::signal`].
    pub fn signal_group(&self, signal: i32) -> Result<(), Errno> {
        rustix::process::kill_process_group(self.pid, number(signal)?)
    }
}

/// The signal of this number.
///
/// # Errors
/// `EINVAL` when it has no name.
pub fn number(signal: i32) -> Result<rustix::process::Signal, Errno> {
    rustix::process::Signal::from_named_raw(signal).ok_or(Errno::INVAL)
}

/// A child between fork and exec.
#[derive(Debug)]
pub struct Starting {
    /// The child. It can be signalled already.
    pub child: Child,
    report: OwnedFd,
}

impl Starting {
    /// Looks whether exec happened: `None` not yet. `Ok` also stands for a child that was killed before it.
    pub fn poll(&self, plan: &Plan) -> Option<Result<(), Failure>> {
        let mut bytes = [0; REPORT_SIZE];
        loop {
            return match rustix::io::read(&self.report, &mut bytes) {
                Ok(REPORT_SIZE) => Some(Err(plan.failure(Report::decode(bytes)))),
                Ok(_) => Some(Ok(())),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => None,
                Err(errno) => Some(Err(Failure { step: Step::Exec, on: plan.program(), errno: errno.raw_os_error() })),
            };
        }
    }
}

/// Readable when [`Starting::poll`] has something to say.
impl AsFd for Starting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }
}

/// The files that execvp(3) would try.
fn candidates(program: &[u8], path: Option<&[u8]>) -> Vec<Vec<u8>> {
    if program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    // Without PATH: what confstr(_CS_PATH) gives with glibc.
    path.unwrap_or(b"/bin:/usr/bin")
        .split(|byte| *byte == b':')
        .map(|folder| match folder {
            b"" => [b"./", program].concat(),
            folder => [folder, b"/", program].concat(),
        })
        .collect()
}

/// The highest open descriptor.
fn last_descriptor() -> Option<RawFd> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).max()
}

#[cfg(test)]
mod tests;
