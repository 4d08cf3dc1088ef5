//! Reading `/proc`: who lives, who is whose child, what a process is made of.
//!
//! [`Proc`] opens files below a root, which is `/proc` or a folder that a test made; the parsers ([`stat`], [`status`],
//! [`text`]) take bytes. A process that vanishes before or between two reads is `Ok(None)`. Buffers belong to the
//! caller and are used again, so that a scan of the whole machine allocates nothing per process.

mod identity;
mod io;
pub mod stat;
pub mod status;
pub mod text;
mod tree;

use std::fmt;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, RawDirEntry, openat, readlinkat, readlinkat_raw, statat};
use rustix::io::Errno;
use vigie_core::identity::BootId;

use crate::error::OsError;
pub use identity::Life;
pub use io::Moved;
use stat::Stat;
use status::Status;
pub use tree::Member;

/// How much is asked for in one read; more than any `stat` line has.
const CHUNK: usize = 2048;

/// A `/proc`, opened. Cheap to keep, and made once: it also remembers the boot it was opened in.
#[derive(Debug)]
pub struct Proc {
    root: PathBuf,
    dir: OwnedFd,
    boot_id: BootId,
    /// The kernel lists children (`CONFIG_PROC_CHILDREN`).
    lists_children: bool,
}

impl Proc {
    /// The one of this machine.
    ///
    /// # Errors
    /// When `/proc` is not mounted, is not one, or shows another PID namespace than the one that this process lives in
    /// (`unshare --pid` without `--mount-proc`): a number that is read there is somebody else's number for pidfd_open(2).
    pub fn system() -> Result<Self, OsError> {
        let root = Path::new("/proc");
        let proc = Self::open(root)?;
        // What one is called there; pid_namespaces(7).
        let itself = readlinkat(&proc.dir, "self", Vec::new()).map_err(OsError::on("read", &root.join("self")))?;
        if itself.to_bytes() != std::process::id().to_string().as_bytes() {
            let why = "it shows the processes of another PID namespace; 'mount -t proc proc /proc' in this one first";
            return Err(OsError::refused("use", root, why));
        }
        Ok(proc)
    }

    /// One below any folder.
    ///
    /// # Errors
    /// When the folder or its `sys/kernel/random/boot_id` cannot be read.
    pub fn open(root: &Path) -> Result<Self, OsError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, root, flags, Mode::empty()).map_err(OsError::on("open", root))?;
        let lists_children = statat(&dir, "thread-self/children", AtFlags::empty()).is_ok();
        let mut proc = Self { root: root.to_owned(), dir, boot_id: BootId("".into()), lists_children };
        proc.boot_id = proc.read_boot_id()?;
        Ok(proc)
    }

    /// Another handle of the same folder, for a thread that may never come back.
    ///
    /// # Errors
    /// When there are too many descriptors.
    pub fn try_clone(&self) -> Result<Self, OsError> {
        let dir = self.dir.try_clone().map_err(OsError::on("open", &self.root))?;
        Ok(Self { root: self.root.clone(), dir, boot_id: self.boot_id.clone(), lists_children: self.lists_children })
    }

    /// It tells of the processes that system calls mean by the same numbers; a folder that a test made does not.
    pub(crate) fn is_this_machines(&self) -> bool {
        self.root == Path::new("/proc")
    }

    /// The boot that this machine is in.
    pub fn boot_id(&self) -> &BootId {
        &self.boot_id
    }

    /// Reads a whole file of a process (`cmdline`, `environ`, `cgroup`, …) into `buf`, which is emptied before.
    ///
    /// # Errors
    /// What the kernel says; mostly `PermissionDenied` for other users' processes.
    pub fn read<'b>(&self, pid: u32, file: &str, buf: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, OsError> {
        self.read_at(&Rel::new(format_args!("{pid}/{file}")), End::Empty, buf)
    }

    /// Reads a whole file that belongs to no process, as `net/tcp` or `locks`. `None` where the kernel has none.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read_global<'b>(&self, file: &str, buf: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, OsError> {
        self.read_at(&Rel::new(format_args!("{file}")), End::Empty, buf)
    }

    /// The `stat` line of a process.
    ///
    /// # Errors
    /// What the kernel says, and `InvalidData` for a line that is not one.
    pub fn stat<'b>(&self, pid: u32, buf: &'b mut Vec<u8>) -> Result<Option<Stat<'b>>, OsError> {
        let rel = Rel::new(format_args!("{pid}/stat"));
        let Some(line) = self.read_at(&rel, End::Short, buf)? else { return Ok(None) };
        stat::parse(line).map(Some).ok_or_else(|| self.misread(&rel))
    }

    /// Signal masks, user and tracer of a process.
    ///
    /// # Errors
    /// As for [`Proc::stat`].
    pub fn status(&self, pid: u32, buf: &mut Vec<u8>) -> Result<Option<Status>, OsError> {
        let rel = Rel::new(format_args!("{pid}/status"));
        let Some(content) = self.read_at(&rel, End::Empty, buf)? else { return Ok(None) };
        status::parse(content).map(Some).ok_or_else(|| self.misread(&rel))
    }

    /// Memory of a process, in pages.
    ///
    /// # Errors
    /// As for [`Proc::stat`].
    pub fn statm(&self, pid: u32, buf: &mut Vec<u8>) -> Result<Option<text::Statm>, OsError> {
        let rel = Rel::new(format_args!("{pid}/statm"));
        let Some(content) = self.read_at(&rel, End::Short, buf)? else { return Ok(None) };
        text::statm(content).map(Some).ok_or_else(|| self.misread(&rel))
    }

    /// The arguments of a process: NUL after each, see [`text::arguments`]. Empty for kernel threads and zombies.
    ///
    /// # Errors
    /// As for [`Proc::read`].
    pub fn cmdline<'b>(&self, pid: u32, buf: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, OsError> {
        self.read(pid, "cmdline", buf)
    }

    /// One variable of the environment that the process was started with; `None` also when it has none of that name. In
    /// the instant of an exec the kernel shows an empty environment.
    ///
    /// # Errors
    /// As for [`Proc::read`].
    pub fn variable<'b>(&self, pid: u32, name: &str, buf: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, OsError> {
        Ok(self.read(pid, "environ", buf)?.and_then(|content| text::variable(content, name.as_bytes())))
    }

    /// The path of a process in the cgroup v2 tree (`controller` absent) or the v1 tree of a controller.
    ///
    /// # Errors
    /// As for [`Proc::read`].
    pub fn cgroup<'b>(
        &self,
        pid: u32,
        controller: Option<&str>,
        buf: &'b mut Vec<u8>,
    ) -> Result<Option<&'b [u8]>, OsError> {
        let content = self.read(pid, "cgroup", buf)?;
        Ok(content.and_then(|content| text::cgroup_path(content, controller.map(str::as_bytes))))
    }

    /// Where a link of a process points to: `exe`, `cwd`, `root`. Only the text of the link is read, never what lies
    /// behind it. `None` also for kernel threads and zombies, which have none.
    ///
    /// # Errors
    /// What the kernel says; mostly `PermissionDenied` for other users' processes.
    pub fn link(&self, pid: u32, file: &str) -> Result<Option<PathBuf>, OsError> {
        let rel = Rel::new(format_args!("{pid}/{file}"));
        match readlinkat(&self.dir, rel.bytes(), Vec::new()) {
            Ok(target) => Ok(Some(std::ffi::OsString::from_vec(target.into_bytes()).into())),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(self.error("read", &rel, errno)),
        }
    }

    /// The number in a link such as `ns/net`, which reads `net:[N]`; `kind` is `net:[`. Allocates nothing.
    pub(crate) fn link_number(&self, rel: &Rel, kind: &[u8]) -> Result<Option<u64>, Errno> {
        let mut text = [0; 64];
        match readlinkat_raw(&self.dir, rel.bytes(), &mut text[..]) {
            Ok(len) => Ok(text[..len].strip_prefix(kind).and_then(|rest| stat::number(rest.strip_suffix(b"]")?))),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The effective user of a process: who owns its folder. `None` when it is gone.
    pub(crate) fn owner_of(&self, pid: u32) -> Option<u32> {
        let folder = Rel::new(format_args!("{pid}"));
        statat(&self.dir, folder.bytes(), AtFlags::empty()).ok().map(|stat| stat.st_uid)
    }

    /// All processes, appended to `out` in the order of the kernel (ascending).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn pids(&self, out: &mut Vec<u32>) -> Result<(), OsError> {
        self.numbers(&Rel::new(format_args!(".")), out).map(|_| ())
    }

    /// All processes with the inode of their folder, appended to `out` in the order of the kernel (ascending).
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn listed(&self, out: &mut Vec<Listed>) -> Result<(), OsError> {
        self.list(&Rel::new(format_args!(".")), |_, entry| {
            let pid = stat::number(entry.file_name().to_bytes());
            out.extend(pid.map(|pid| Listed { pid, inode: entry.ino() }));
        })
        .map(|_| ())
    }

    /// The folder of a process, opened: what is read below it later is of this process, or is not there.
    ///
    /// # Errors
    /// What open(2) says; that it is gone is one.
    pub(crate) fn folder(&self, pid: u32) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.dir, Rel::new(format_args!("{pid}")).bytes(), flags, Mode::empty())
    }

    /// The memory of a thread, opened for reading at its addresses; proc_pid_mem(5).
    ///
    /// # Errors
    /// `PermissionDenied` for whoever may not trace it.
    pub(crate) fn memory(&self, pid: u32, tid: u32) -> Result<Option<std::fs::File>, OsError> {
        let rel = Rel::new(format_args!("{pid}/task/{tid}/mem"));
        match openat(&self.dir, rel.bytes(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(self.error("open", &rel, errno)),
        }
    }

    /// The threads of a process, appended to `out`; `false` when it is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tasks(&self, pid: u32, out: &mut Vec<u32>) -> Result<bool, OsError> {
        self.numbers(&Rel::new(format_args!("{pid}/task")), out)
    }

    /// The numbers among the names in a folder; `false` when it is gone.
    fn numbers(&self, rel: &Rel, out: &mut Vec<u32>) -> Result<bool, OsError> {
        self.entries(rel, |_, name| out.extend(stat::number::<u32>(name)))
    }

    /// Calls `each` with the opened folder and every name in it; `false` when it is gone.
    pub(crate) fn entries(&self, rel: &Rel, mut each: impl FnMut(&OwnedFd, &[u8])) -> Result<bool, OsError> {
        self.list(rel, |dir, entry| each(dir, entry.file_name().to_bytes()))
    }

    fn list(&self, rel: &Rel, mut each: impl FnMut(&OwnedFd, &RawDirEntry<'_>)) -> Result<bool, OsError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match openat(&self.dir, rel.bytes(), flags, Mode::empty()) {
            Ok(dir) => dir,
            Err(errno) if is_gone(errno) => return Ok(false),
            Err(errno) => return Err(self.error("open", rel, errno)),
        };
        let mut buf = [MaybeUninit::<u8>::uninit(); 8192];
        let mut entries = RawDir::new(dir.as_fd(), &mut buf);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => each(&dir, &entry),
                Err(errno) if is_gone(errno) => return Ok(false),
                Err(errno) => return Err(self.error("list", rel, errno)),
            }
        }
        Ok(true)
    }

    fn read_at<'b>(&self, rel: &Rel, end: End, buf: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, OsError> {
        buf.clear();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(&self.dir, rel.bytes(), flags, Mode::empty()) {
            Ok(file) => file,
            Err(errno) if is_gone(errno) => return Ok(None),
            Err(errno) => return Err(self.error("open", rel, errno)),
        };
        loop {
            buf.reserve(CHUNK);
            let room = buf.capacity() - buf.len();
            match rustix::io::read(&file, spare_capacity(buf)) {
                Ok(0) => return Ok(Some(buf)),
                Ok(count) if end == End::Short && count < room => return Ok(Some(buf)),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) if is_gone(errno) => return Ok(None),
                Err(errno) => return Err(self.error("read", rel, errno)),
            }
        }
    }

    fn error(&self, action: &'static str, rel: &Rel, errno: Errno) -> OsError {
        OsError::new(action, self.root.join(rel.as_path()), errno)
    }

    fn misread(&self, rel: &Rel) -> OsError {
        let why = std::io::Error::new(std::io::ErrorKind::InvalidData, "its content is not what the kernel documents");
        OsError::new("understand", self.root.join(rel.as_path()), why)
    }
}

/// An entry of `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) pid: u32,
    /// Of its folder: it belongs to one process, not to one number.
    pub(crate) inode: u64,
}

/// How the end of a file is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// A read that returns nothing: always right.
    Empty,
    /// A read that returns less than there was room for: saves a call for files that the kernel writes as one record.
    Short,
}

/// The process is not there any more: open(2) says `ENOENT`, read(2) on what was opened before says `ESRCH`.
pub(crate) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::SRCH)
}

/// A path below the root, made on the stack.
pub(crate) struct Rel {
    bytes: [u8; 64],
    len: usize,
}

impl Rel {
    pub(crate) fn new(path: fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; 64];
        let mut rest = &mut bytes[..];
        rest.write_fmt(path).expect("two numbers and the name of a kernel file are shorter than 64 bytes");
        let len = 64 - rest.len();
        Self { bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn as_path(&self) -> &Path {
        Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(self.bytes()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
