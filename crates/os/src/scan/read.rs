//! Reading one process.

use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use vigie_core::identity::ProcKey;
use vigie_core::text::OsText;

use crate::error::OsError;
use crate::proc::{Proc, is_gone, stat, text};

/// How many bytes of a command line are kept. A process may have megabytes of them, and may rewrite them at will.
pub const COMMAND_LINE: usize = 64 * 1024;

/// How many arguments of a process are kept.
pub const ARGUMENTS: usize = 4096;

/// More than any `stat` line has: a name is at most 64 bytes, and 52 numbers of 20 digits follow.
const STAT_LINE: usize = 2048;

/// A process, as it was when it was read; see [`super`] for when that was.
///
/// Executable, working directory, cgroup and environment cost more and are asked for where they are needed
/// ([`Proc::link`], [`Proc::cgroup`], [`Proc::variable`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its identity.
    pub key: ProcKey,
    /// Its parent; 0 for one whose parent is outside of this PID namespace.
    pub parent: u32,
    /// Its session.
    pub session: u32,
    /// The device number of its controlling terminal; 0 when it has none. See [`crate::user::terminal_name`].
    pub tty: u32,
    /// Whose it is: its effective user.
    pub uid: u32,
    /// What it calls itself. Never a proof.
    pub name: OsText,
    /// Its arguments. A process may have written anything over them. Empty for threads of the kernel and zombies.
    pub argv: Vec<OsText>,
    /// There are more arguments than [`COMMAND_LINE`] and [`ARGUMENTS`] let in.
    pub cut: bool,
    /// It is a thread of the kernel.
    pub kernel: bool,
    /// It was dead, and its parent had not taken notice.
    pub zombie: bool,
}

impl Process {
    /// Clock ticks from boot to its start.
    pub fn started(&self) -> u64 {
        self.key.start_ticks
    }
}

/// What came of reading one.
#[derive(Debug)]
pub(super) enum Reading {
    /// The process, and the inode of its folder if it was read there.
    Read(Process, Option<u64>),
    /// It is there, and may not be looked at (`hidepid` of proc(5)), or shows what no kernel documents.
    Hidden,
    /// It has vanished.
    Gone,
}

/// Reads processes; its buffer is used again.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buf: Vec<u8>,
}

impl Reader {
    /// Reads one process. All of it is of the same one, however fast its number is given out again: everything is read
    /// below its folder, which was opened first.
    pub(super) fn read(&mut self, proc: &Proc, pid: u32) -> Result<Reading, OsError> {
        match self.try_read(proc, pid) {
            Ok(Some((process, inode))) => Ok(Reading::Read(process, Some(inode))),
            Ok(None) | Err(Errno::ACCESS | Errno::PERM) => Ok(Reading::Hidden),
            Err(errno) if is_gone(errno) => Ok(Reading::Gone),
            Err(errno) => Err(OsError::on_process("read", pid)(errno)),
        }
    }

    fn try_read(&mut self, proc: &Proc, pid: u32) -> Result<Option<(Process, u64)>, Errno> {
        let folder = proc.folder(pid)?;
        let owner = fstat(&folder)?;
        self.fill(&folder, "stat", STAT_LINE)?;
        let Some(stat) = stat::parse(&self.buf) else { return Ok(None) };
        let mut process = Process {
            key: proc.key_of(pid, stat.start_ticks),
            parent: stat.ppid,
            session: stat.session,
            tty: stat.tty_nr.cast_unsigned(),
            uid: owner.st_uid,
            name: OsText(stat.comm.to_vec()),
            argv: Vec::new(),
            cut: false,
            kernel: stat.is_kernel_thread(),
            zombie: stat.is_zombie(),
        };
        if !process.kernel && !process.zombie {
            match self.fill(&folder, "cmdline", COMMAND_LINE + 1) {
                Ok(()) => self.take_arguments(&mut process),
                // It stays a process whose arguments are not known.
                Err(Errno::ACCESS | Errno::PERM) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(Some((process, owner.st_ino)))
    }

    fn take_arguments(&self, process: &mut Process) {
        let content = self.buf.get(..COMMAND_LINE).unwrap_or(&self.buf);
        process.cut = content.len() < self.buf.len();
        let mut arguments = text::arguments(content);
        process.argv = arguments.by_ref().take(ARGUMENTS).map(|argument| OsText(argument.to_vec())).collect();
        process.cut |= arguments.next().is_some();
    }

    /// Reads a file to its end, or its first `limit` bytes.
    fn fill(&mut self, folder: &OwnedFd, name: &str, limit: usize) -> Result<(), Errno> {
        self.buf.clear();
        self.buf.reserve(limit);
        let file = openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
        while self.buf.len() < limit {
            let before = self.buf.len();
            match rustix::io::read(&file, spare_capacity(&mut self.buf)) {
                // The kernel writes both files as one record: what leaves room is the end. `cmdline` may end short of
                // a page that is swapped out no more (the process died), which is an end as well.
                Ok(_) if self.buf.len() < self.buf.capacity() => break,
                Ok(_) if self.buf.len() == before => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.buf.truncate(limit);
        Ok(())
    }
}
