//! What one thread is found to be.

use super::TaskVerdict;
use super::facts::{KILLABLE, Mount, Object, ProcessFacts, TaskFacts};
use super::signs::{self, Row, Sign, Wake};
use crate::text::OsText;

/// The number of SIGKILL.
pub(super) const KILL: i32 = 9;

/// The number of SIGTERM.
pub(super) const TERM: i32 = 15;

/// A thread, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskJudgement {
    /// Its number.
    pub tid: u32,
    /// What it calls itself.
    pub name: OsText,
    /// The letter of its state.
    pub state: char,
    /// What it is.
    pub verdict: TaskVerdict,
    /// Whether KILL ends it. `None`: what was seen does not tell.
    pub killable: Option<bool>,
    /// What was seen proves the verdict. `false`: something that could not be seen may change it.
    pub sure: bool,
}

/// Judges one thread, without what holds for the process as a whole.
pub(super) fn judge(task: &TaskFacts, facts: &ProcessFacts) -> TaskJudgement {
    let (verdict, sure, wake) = verdict(task, facts);
    TaskJudgement {
        tid: task.tid,
        name: task.name.clone(),
        state: task.state,
        verdict,
        killable: killable(task, facts, verdict, wake),
        sure,
    }
}

/// The order of precedence, first to last: the dead; who is held from outside (tracer, freezer, stop signal), since that
/// hides what it waited for; what it waits for; that it waits.
fn verdict(task: &TaskFacts, facts: &ProcessFacts) -> (TaskVerdict, bool, Wake) {
    let lives = |other: &TaskFacts| !matches!(other.state, 'Z' | 'X' | 'x');
    match task.state {
        'Z' if task.tid == facts.process.pid() && facts.tasks.iter().any(lives) => {
            return (TaskVerdict::LeaderExited, true, Wake::Nothing);
        }
        'Z' => return (TaskVerdict::Zombie, true, Wake::Nothing),
        'X' | 'x' => return (TaskVerdict::Exiting, true, Wake::Nothing),
        't' => return (TaskVerdict::Traced, true, Wake::Untold),
        _ => {}
    }
    let sign = sign(task);
    // A frozen thread shows the function that it slept in when the frost came: the freezer is asked first. With
    // cgroup v2 it sleeps in a place of its own, and what waits elsewhere is held by that.
    let v1 = facts.frozen.iter().any(|cgroup| cgroup.version == 1);
    let trapped = || task.wchan.known().is_none_or(|place| signs::is_trap(&lossy(&place.0)));
    if v1 && task.state == 'D' {
        return (TaskVerdict::Frozen, true, Wake::Nothing);
    }
    match task.state {
        'T' => return (TaskVerdict::Stopped, true, Wake::Kill),
        'S' | 'R' if v1 || !facts.frozen.is_empty() && sign.is_none() && trapped() => {
            return (TaskVerdict::Frozen, true, Wake::Kill);
        }
        'R' => return (TaskVerdict::Running, true, Wake::Kill),
        // Whoever takes its core may be slow; what it wrote to then does not count.
        'S' if facts.dumping => return (TaskVerdict::Exiting, true, Wake::Untold),
        _ => {}
    }
    if let Some((verdict, sure, wake)) = sign.and_then(|(sign, wake)| named(sign, wake, task)).or_else(|| unnamed(task))
    {
        return (verdict, sure, wake);
    }
    let raw = task.raw_state.known();
    match task.state {
        _ if facts.dumping || functions(task).any(|name| signs::is_exit(&name)) => {
            (TaskVerdict::Exiting, true, Wake::Untold)
        }
        'D' if raw.is_some_and(|raw| raw & KILLABLE != 0) => (TaskVerdict::KillableWait, true, Wake::Kill),
        'D' if raw.is_none() && stack(task).any(|name| signs::is_killable(&name)) => {
            (TaskVerdict::KillableWait, true, Wake::Kill)
        }
        'D' => (TaskVerdict::Uninterruptible, raw.is_some(), sign.map_or(Wake::Untold, |(_, wake)| wake)),
        // I of kernel threads, and what older kernels call P and K.
        _ => (TaskVerdict::Sleeping, task.wchan.hidden().is_none(), Wake::Kill),
    }
}

/// What a sign means for this thread; nothing, when only its mount could tell and that is not known.
fn named(sign: Sign, wake: Wake, task: &TaskFacts) -> Option<(TaskVerdict, bool, Wake)> {
    let verdict = match sign {
        Sign::Vfork => TaskVerdict::VforkWait,
        Sign::Pipe => TaskVerdict::PipeFull,
        Sign::Lock => TaskVerdict::FileLock,
        Sign::Fuse => TaskVerdict::Fuse,
        Sign::Nfs => TaskVerdict::Nfs,
        Sign::FrozenFilesystem => TaskVerdict::FrozenFilesystem,
        Sign::Block => TaskVerdict::BlockDevice,
        Sign::Fanotify => TaskVerdict::Fanotify,
        Sign::Autofs => TaskVerdict::Autofs,
        Sign::Userfault => TaskVerdict::Userfault,
        Sign::Page => {
            let kind = kind(mount(task)?)?;
            let wake = if wake == Wake::Untold && reads(task) { Wake::Kill } else { wake };
            return Some((kind, true, wake));
        }
        Sign::Gate => {
            let changes = changes(task);
            let proven = changes && mount(task).is_some();
            return (changes || mount(task).is_some()).then_some((TaskVerdict::FrozenFilesystem, proven, wake));
        }
    };
    Some((verdict, true, wake))
}

/// What the objects alone tell, where the function cannot be seen, or is none that has a meaning.
fn unnamed(task: &TaskFacts) -> Option<(TaskVerdict, bool, Wake)> {
    if task.state == 'I' {
        return None;
    }
    // Behind somebody who waits for an answer, others wait for a lock of a directory or a file, in any function.
    if task.wchan.known().is_some() {
        let kind = kind(mount(task).filter(|_| task.state == 'D')?)?;
        return matches!(kind, TaskVerdict::Fuse | TaskVerdict::Nfs).then_some((kind, false, Wake::Untold));
    }
    if task.state == 'D' && task.call.known().is_some_and(|call| call.name == Some("vfork")) {
        return Some((TaskVerdict::VforkWait, true, Wake::Kill));
    }
    task.waits.iter().find_map(|object| match object {
        Object::Child(_) if task.state == 'D' => Some((TaskVerdict::VforkWait, true, Wake::Kill)),
        Object::Lock { .. } => Some((TaskVerdict::FileLock, true, Wake::Kill)),
        Object::Pipe { .. } => Some((TaskVerdict::PipeFull, false, Wake::Kill)),
        Object::Listener { .. } if task.state == 'D' => Some((TaskVerdict::Fanotify, false, Wake::Untold)),
        Object::File { mount: Some(mount), .. } if task.state == 'D' => {
            kind(mount).map(|kind| (kind, false, Wake::Untold))
        }
        _ => None,
    })
}

/// Whether KILL ends it.
fn killable(task: &TaskFacts, facts: &ProcessFacts, verdict: TaskVerdict, wake: Wake) -> Option<bool> {
    let killed = task.pending.has(KILL) || facts.pending.has(KILL);
    match verdict {
        TaskVerdict::Zombie | TaskVerdict::LeaderExited => Some(false),
        TaskVerdict::Exiting if matches!(task.state, 'X' | 'x') => Some(false),
        // KILL wakes a traced thread at once. One that stands there with KILL pending does so at its very exit
        // (PTRACE_O_TRACEEXIT), and no second KILL is heard.
        TaskVerdict::Traced if killed => Some(false),
        TaskVerdict::Traced if functions(task).any(|name| signs::is_exit(&name)) => None,
        TaskVerdict::Frozen if facts.frozen.iter().any(|cgroup| cgroup.version == 1) => Some(false),
        TaskVerdict::Exiting => None,
        _ if ends(task) => Some(false),
        _ if task.state == 'D' => match (task.raw_state.known(), wake) {
            (Some(raw), _) if raw & KILLABLE == 0 => Some(false),
            // It is about to go, unless it waits again.
            (Some(_), _) | (None, Wake::Kill) => (!killed).then_some(true),
            (None, Wake::Nothing) => Some(false),
            (None, Wake::Untold | Wake::Unread) => killed.then_some(false),
        },
        _ if killed || wake == Wake::Unread => None,
        _ => Some(true),
    }
}

/// Whether it ends its process and waits for something on the way: the kernel drops every signal for that process, KILL too
/// (`SIGNAL_GROUP_EXIT` in `prepare_signal`, kernel/signal.c).
pub(super) fn ends(task: &TaskFacts) -> bool {
    stack(task).any(|name| name == "do_group_exit")
}

/// What its functions tell: a sign that names what is waited for, before one that does not; and what wakes it, which the
/// innermost that knows tells.
pub(super) fn sign(task: &TaskFacts) -> Option<(Sign, Wake)> {
    if !matches!(task.state, 'S' | 'D') {
        return None;
    }
    let rows: Vec<&Row> =
        functions(task).enumerate().filter_map(|(at, name)| signs::row_of(&name, at == 0, task.state)).collect();
    let names = |row: &&&Row| !matches!(row.sign, Sign::Page | Sign::Gate);
    let best = rows.iter().find(names).or_else(|| rows.first())?;
    let wake = rows.iter().map(|row| row.wake).find(|wake| *wake != Wake::Untold);
    Some((best.sign, wake.unwrap_or(Wake::Untold)))
}

/// The functions that it is in, the innermost first: where it sleeps, then its stack without the scheduler.
pub(super) fn functions(task: &TaskFacts) -> impl Iterator<Item = String> + '_ {
    let place = task.wchan.known().map(|name| lossy(&name.0));
    let same = place.clone();
    let rest = stack(task).filter(|name| !signs::is_scheduler(name)).enumerate();
    place.into_iter().chain(rest.filter(move |(at, name)| *at > 0 || same.as_ref() != Some(name)).map(|(_, name)| name))
}

fn stack(task: &TaskFacts) -> impl Iterator<Item = String> + '_ {
    task.stack.known().into_iter().flatten().map(|name| lossy(&name.0))
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The mount of what it waits for.
pub(super) fn mount(task: &TaskFacts) -> Option<&Mount> {
    task.waits.iter().find_map(|object| match object {
        Object::File { mount, .. } => mount.as_ref(),
        _ => None,
    })
}

/// What a wait for a file system of this kind is. `None`: it has nothing to wait for, or lies on others.
pub(super) fn kind(mount: &Mount) -> Option<TaskVerdict> {
    let kind = lossy(&mount.kind.0);
    if mount.fuse.is_some() || kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.") {
        return Some(TaskVerdict::Fuse);
    }
    if matches!(kind.as_str(), "nfs" | "nfs4") {
        return Some(TaskVerdict::Nfs);
    }
    // File systems without a device have a major number of 0; btrfs has, too, and one all the same.
    (mount.device.0 != 0 || kind == "btrfs").then_some(TaskVerdict::BlockDevice)
}

/// It reads a file: that wait is killable (`filemap_update_page`).
fn reads(task: &TaskFacts) -> bool {
    const READS: &[&str] = &["read", "pread64", "readv", "preadv", "preadv2"];
    task.call.known().and_then(|call| call.name).is_some_and(|name| READS.contains(&name))
}

/// It changes a file system, which a frozen one does not let it.
fn changes(task: &TaskFacts) -> bool {
    const CHANGES: &[&str] = &[
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "pwritev2",
        "open",
        "openat",
        "openat2",
        "creat",
        "unlink",
        "unlinkat",
        "mkdir",
        "mkdirat",
        "rmdir",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "mknod",
        "mknodat",
        "truncate",
        "ftruncate",
        "fallocate",
        "chmod",
        "fchmod",
        "fchmodat",
        "fchmodat2",
        "chown",
        "fchown",
        "lchown",
        "fchownat",
        "utime",
        "utimes",
        "utimensat",
        "futimesat",
        "setxattr",
        "lsetxattr",
        "fsetxattr",
        "removexattr",
        "sendfile",
        "copy_file_range",
        "splice",
    ];
    task.call.known().and_then(|call| call.name).is_some_and(|name| CHANGES.contains(&name))
}
