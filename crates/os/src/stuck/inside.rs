//! What the letter of a state hides: whether a signal ends the wait, and which lock of the kernel is waited for, and who
//! has it. Only a BPF program sees this (see `bpf` in this crate), so it takes root, and a kernel that tells its types.

/// How one thread waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    /// Which.
    pub tid: u32,
    /// `task_struct.__state` (include/linux/sched.h); see `vigie_core::stuck::facts::KILLABLE`.
    pub raw_state: u32,
    /// The lock of the kernel that it waits for. Absent also where the kernel does not note it (before Linux 6.16).
    pub blocker: Option<Blocker>,
}

/// A lock of the kernel, and who has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocker {
    /// Of which kind.
    pub lock: Lock,
    /// The thread that has it; of a semaphore the one that took it last. Absent when nobody is noted: for a lock that
    /// readers have, or at the moment when it is given away.
    pub owner_tid: Option<u32>,
}

/// Kinds of locks that the kernel notes for those who wait for them (include/linux/hung_task.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// `struct mutex`
    Mutex,
    /// `struct semaphore`
    Semaphore,
    /// `struct rw_semaphore`
    RwSemaphore,
}

impl Lock {
    /// As in `vigie_core::stuck::facts::Object::KernelLock`.
    pub fn name(self) -> &'static str {
        match self {
            Lock::Mutex => "mutex",
            Lock::Semaphore => "semaphore",
            Lock::RwSemaphore => "rw-semaphore",
        }
    }
}

/// How the threads of a process wait. `None` where the kernel does not tell: to others than root, in a PID namespace of
/// one's own, without BTF, or in a vigie that was built without `bpf`. The first call of a program loads what it needs
/// (some milliseconds); then it costs one look at all threads of the machine, which nothing can make hang.
pub fn inside(pid: u32) -> Option<Vec<Inside>> {
    told(pid)
}

#[cfg(feature = "bpf")]
fn told(pid: u32) -> Option<Vec<Inside>> {
    static LOADED: std::sync::OnceLock<Option<crate::bpf::Insides>> = std::sync::OnceLock::new();
    LOADED.get_or_init(|| crate::bpf::Insides::open(&crate::proc::Proc::system().ok()?)).as_ref()?.of(pid)
}

#[cfg(not(feature = "bpf"))]
fn told(_: u32) -> Option<Vec<Inside>> {
    None
}
