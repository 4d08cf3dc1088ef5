//! What was seen of a process that may be stuck. Nothing here is concluded.

use crate::text::OsText;
use crate::why::facts::{Process, Told};

/// A set of signals, as the kernel writes it: bit 0 is signal 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Whether it holds the signal with this number.
    pub fn has(self, signal: i32) -> bool {
        (1..=64).contains(&signal) && self.0 >> (signal - 1) & 1 == 1
    }

    /// Their names, as of signal(7): `TERM, 34`.
    pub fn names(self) -> String {
        const NAMES: [&str; 31] = [
            "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
            "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
            "WINCH", "IO", "PWR", "SYS",
        ];
        let name = |signal: i32| match NAMES.get(usize::try_from(signal - 1).unwrap_or(usize::MAX)) {
            Some(name) => (*name).to_owned(),
            None => signal.to_string(),
        };
        (1..=64).filter(|signal| self.has(*signal)).map(name).collect::<Vec<_>>().join(", ")
    }
}

/// One process with all its threads, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessFacts {
    /// It.
    pub process: Process,
    /// Its parent: the one who can take notice of its end. Absent when that is outside of what can be seen.
    pub parent: Option<Process>,
    /// Who traces it.
    pub tracer: Option<Process>,
    /// Its threads; the main thread first.
    pub tasks: Vec<TaskFacts>,
    /// Signals that wait for the whole process (`ShdPnd`).
    pub pending: SignalSet,
    /// Signals that it ignores (`SigIgn`).
    pub ignored: SignalSet,
    /// Signals that it has a handler for (`SigCgt`).
    pub caught: SignalSet,
    /// It is the first process of a PID namespace, which is not the one that vigie lives in: the last number in `NSpid` is 1.
    pub namespace_init: bool,
    /// The kernel writes its core at this moment (`CoreDumping`).
    pub dumping: bool,
    /// How it ended: the wait status of a zombie (field 52 of `stat`), as for waitpid(2).
    pub wait_status: Told<i32>,
    /// The frozen cgroups above it, the nearest first.
    pub frozen: Vec<FrozenCgroup>,
    /// A signal that vigie is known to have sent it, and how long ago, in seconds: TERM by a ladder that has reached it.
    pub sent: Option<(i32, u64)>,
}

/// A cgroup that was frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenCgroup {
    /// 1: a task in it cannot even be killed. 2: signals that end it still do.
    pub version: u8,
    /// Its folder, as it can be opened from here: `/sys/fs/cgroup/freezer/jobs`.
    pub folder: OsText,
    /// It was frozen itself. Otherwise one above it was.
    pub by_itself: bool,
}

/// One thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFacts {
    /// Its number; that of the main thread is the PID.
    pub tid: u32,
    /// What it calls itself.
    pub name: OsText,
    /// The letter of its state; proc_pid_stat(5).
    pub state: char,
    /// `task_struct.__state`, which tells apart what the letter `D` does not: see [`KILLABLE`]. Only BPF shows it.
    pub raw_state: Told<u32>,
    /// Signals that wait for this thread alone (`SigPnd`).
    pub pending: SignalSet,
    /// Signals that it blocks (`SigBlk`).
    pub blocked: SignalSet,
    /// The function of the kernel that it sleeps in (`wchan`). `Nothing`: it does not sleep.
    pub wchan: Told<OsText>,
    /// The system call that it is in. `Nothing`: it is in none.
    pub call: Told<Call>,
    /// The functions of the kernel that it is in, the innermost first, without offsets (`stack`).
    pub stack: Told<Vec<OsText>>,
    /// What it waits for, as far as that was found.
    pub waits: Vec<Object>,
}

/// Bit of [`TaskFacts::raw_state`]: a signal that ends the process wakes it (`TASK_WAKEKILL`, include/linux/sched.h).
pub const KILLABLE: u32 = 0x100;

/// A system call, from `/proc/PID/task/TID/syscall`; proc_pid_syscall(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name, where vigie knows the number on this architecture.
    pub name: Option<&'static str>,
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// Something that a thread waits for, and who could end the wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// Its child, made with vfork(2).
    Child(Process),
    /// A pipe that it writes to.
    Pipe {
        /// Its descriptor.
        fd: u32,
        /// The number of the pipe.
        inode: u64,
        /// Who could read from it. [`Told::Hidden`]: not everybody's descriptors could be looked at, and nobody was found.
        readers: Told<Vec<Process>>,
    },
    /// A lock of a file.
    Lock {
        /// `flock`, `posix`, `ofd`, `lease`
        kind: &'static str,
        /// The file, where it is known by a name.
        file: Option<OsText>,
        /// Its device (major, minor) and inode.
        inode: (u32, u32, u64),
        /// Who has it; whoever inherited the descriptor, too.
        holders: Told<Vec<Process>>,
    },
    /// A file, or a path, on this mount.
    File {
        /// Its descriptor, when it is open.
        fd: Option<u32>,
        /// Its name.
        path: Told<OsText>,
        /// Where that lies.
        mount: Option<Mount>,
    },
    /// A lock of the kernel (`task_struct.blocker`; Linux 6.16 and later, only BPF shows it).
    KernelLock {
        /// `mutex`, `semaphore`, `rw-semaphore`
        kind: &'static str,
        /// The thread that has it, and its process.
        owner: Option<(u32, Process)>,
    },
    /// The answer of one of these, who listen for permission events.
    Listener {
        /// Who has such a listener open.
        listeners: Told<Vec<Process>>,
    },
    /// The answer of one of these, who have the userfaultfd open.
    PageSupplier {
        /// Who has one open. A process can be its own.
        suppliers: Told<Vec<Process>>,
    },
}

/// A mount, from mountinfo; proc_pid_mountinfo(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number.
    pub id: u32,
    /// Of the file system: major and minor.
    pub device: (u32, u32),
    /// `ext4`, `fuse.sshfs`, `nfs4`, …
    pub kind: OsText,
    /// What is mounted: `/dev/loop0`, `nas:/export`.
    pub source: OsText,
    /// Where, as the waiting process sees it.
    pub point: OsText,
    /// Who serves it, when it is FUSE.
    pub fuse: Option<Fuse>,
    /// What lies below its block device, when that is a file: the mount of the file behind a loop device.
    pub backing: Option<Box<Backing>>,
}

/// The file behind a loop device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// `/dev/loop0`
    pub device: OsText,
    /// The file, as the kernel names it.
    pub file: OsText,
    /// Where that lies.
    pub mount: Option<Mount>,
}

/// A connection of FUSE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fuse {
    /// Its number: the folder below `/sys/fs/fuse/connections`; the minor number of the file system's device.
    pub connection: u32,
    /// Requests that wait for an answer.
    pub waiting: Told<u64>,
    /// Who has the device of this connection open: the server.
    pub servers: Told<Vec<Process>>,
}
