//! The names of what a thread or a process can be found to be.

/// What a process or a thread is found to be (R8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskVerdict {
    /// It computes, or could.
    Running,
    /// It waits, and every signal reaches it.
    Sleeping,
    /// It waits until its child, made with vfork(2), has executed a program or ended.
    VforkWait,
    /// It waits in the kernel, for what is not known; a signal that ends it wakes it.
    KillableWait,
    /// It waits in the kernel, for what is not known; no signal wakes it.
    Uninterruptible,
    /// It is at its end.
    Exiting,
    /// It is dead; its parent has not taken notice.
    Zombie,
    /// Its main thread has ended, others go on.
    LeaderExited,
    /// It was stopped by a signal.
    Stopped,
    /// A tracer holds it.
    Traced,
    /// A cgroup that it is in is frozen.
    Frozen,
    /// It is the first process of a PID namespace: what it has no handler for is not delivered.
    NamespaceInit,
    /// It ignores the signal that is to end it.
    SignalIgnored,
    /// It blocks the signal that is to end it: the signal waits.
    SignalBlocked,
    /// It was sent the signal that is to end it, has a handler for it, and goes on.
    SignalSwallowed,
    /// It writes into a pipe that is full.
    PipeFull,
    /// It waits for a file lock.
    FileLock,
    /// It waits for the server of a FUSE file system.
    Fuse,
    /// It waits for an NFS server.
    Nfs,
    /// It writes to a file system that is frozen.
    FrozenFilesystem,
    /// It waits for a block device.
    BlockDevice,
    /// It waits for the permission of a fanotify listener.
    Fanotify,
    /// It waits for the daemon of an autofs mount.
    Autofs,
    /// It waits for a page that a userfaultfd handler is to supply.
    Userfault,
}

impl TaskVerdict {
    /// All of them.
    pub const ALL: &[TaskVerdict] = &[
        TaskVerdict::Running,
        TaskVerdict::Sleeping,
        TaskVerdict::VforkWait,
        TaskVerdict::KillableWait,
        TaskVerdict::Uninterruptible,
        TaskVerdict::Exiting,
        TaskVerdict::Zombie,
        TaskVerdict::LeaderExited,
        TaskVerdict::Stopped,
        TaskVerdict::Traced,
        TaskVerdict::Frozen,
        TaskVerdict::NamespaceInit,
        TaskVerdict::SignalIgnored,
        TaskVerdict::SignalBlocked,
        TaskVerdict::SignalSwallowed,
        TaskVerdict::PipeFull,
        TaskVerdict::FileLock,
        TaskVerdict::Fuse,
        TaskVerdict::Nfs,
        TaskVerdict::FrozenFilesystem,
        TaskVerdict::BlockDevice,
        TaskVerdict::Fanotify,
        TaskVerdict::Autofs,
        TaskVerdict::Userfault,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            TaskVerdict::Running => "running",
            TaskVerdict::Sleeping => "sleeping",
            TaskVerdict::VforkWait => "vfork-wait",
            TaskVerdict::KillableWait => "killable-wait",
            TaskVerdict::Uninterruptible => "uninterruptible",
            TaskVerdict::Exiting => "exiting",
            TaskVerdict::Zombie => "zombie",
            TaskVerdict::LeaderExited => "leader-exited",
            TaskVerdict::Stopped => "stopped",
            TaskVerdict::Traced => "traced",
            TaskVerdict::Frozen => "frozen",
            TaskVerdict::NamespaceInit => "namespace-init",
            TaskVerdict::SignalIgnored => "signal-ignored",
            TaskVerdict::SignalBlocked => "signal-blocked",
            TaskVerdict::SignalSwallowed => "signal-swallowed",
            TaskVerdict::PipeFull => "pipe-full",
            TaskVerdict::FileLock => "file-lock",
            TaskVerdict::Fuse => "fuse",
            TaskVerdict::Nfs => "nfs",
            TaskVerdict::FrozenFilesystem => "frozen-filesystem",
            TaskVerdict::BlockDevice => "block-device",
            TaskVerdict::Fanotify => "fanotify",
            TaskVerdict::Autofs => "autofs",
            TaskVerdict::Userfault => "userfault",
        }
    }

    /// As the end of a sentence about a process.
    pub fn text(self) -> &'static str {
        match self {
            TaskVerdict::Running => "is running",
            TaskVerdict::Sleeping => "is sleeping",
            TaskVerdict::VforkWait => "waits for its child to execute a program",
            TaskVerdict::KillableWait => "waits in the kernel, where a signal that ends it reaches it",
            TaskVerdict::Uninterruptible => "waits in the kernel, where no signal reaches it",
            TaskVerdict::Exiting => "is at its end",
            TaskVerdict::Zombie => "is dead and waits for its parent",
            TaskVerdict::LeaderExited => "goes on without its main thread",
            TaskVerdict::Stopped => "is stopped",
            TaskVerdict::Traced => "is held by a tracer",
            TaskVerdict::Frozen => "is frozen with its cgroup",
            TaskVerdict::NamespaceInit => "is the init of a PID namespace, which TERM does not reach",
            TaskVerdict::SignalIgnored => "ignores TERM",
            TaskVerdict::SignalBlocked => "blocks TERM, which waits for it",
            TaskVerdict::SignalSwallowed => "was sent TERM and goes on",
            TaskVerdict::PipeFull => "writes into a full pipe",
            TaskVerdict::FileLock => "waits for a file lock",
            TaskVerdict::Fuse => "waits for the server of a FUSE file system",
            TaskVerdict::Nfs => "waits for an NFS server",
            TaskVerdict::FrozenFilesystem => "writes to a frozen file system",
            TaskVerdict::BlockDevice => "waits for a block device",
            TaskVerdict::Fanotify => "waits for the permission of a fanotify listener",
            TaskVerdict::Autofs => "waits for the daemon of an autofs mount",
            TaskVerdict::Userfault => "waits for a page of memory that another process is to supply",
        }
    }
}
