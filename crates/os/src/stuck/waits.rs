//! What a thread waits for, and who could end that wait.
//!
//! The functions of the kernel that it is in, or its system call, say which kind of thing to look for; so nothing is walked
//! for a thread that only sleeps.

use vigie_core::stuck::facts::{Object, TaskFacts};
use vigie_core::text::OsText;
use vigie_core::why::facts::{Process, Told};

use super::descriptors::{Holders, holders, inode, reads};
use super::locks::{self, Kind, Lock};
use super::mountinfo::Line;
use super::scene::Scene;
use super::{call, descriptors, fanotify, file, mount};
use crate::error::OsError;

/// Where the making of a child waits for it; `wait_for_vfork_done` is inlined in most kernels.
const VFORK: &[&str] = &["wait_for_vfork_done", "kernel_clone", "_do_fork", "do_fork"];

/// Where a writer waits for room.
const PIPE: &[&str] = &["anon_pipe_write", "pipe_write", "pipe_wait_writable", "pipe_wait"];

/// Where somebody waits for a lock of a file, or for the end of a lease.
const LOCK: &[&str] = &[
    "locks_lock_inode_wait",
    "flock_lock_inode_wait",
    "posix_lock_inode_wait",
    "fcntl_setlk",
    "fcntl_setlk64",
    "do_lock_file_wait",
    "__break_lease",
];

/// Parts of file systems that let one wait in state `S`, as their names begin.
const FAR: &[&str] =
    &["request_wait_answer", "__fuse_", "fuse_", "nfs", "rpc_wait", "autofs", "cifs_", "smb", "ceph_", "p9_", "v9fs_"];

/// The other side of FUSE: a server that waits for work.
const SERVER: &[&str] = &["fuse_dev_do_read", "fuse_dev_read", "fuse_dev_poll", "fuse_dev_splice_read"];

/// What a thread waits for. Nothing when it only sleeps, runs, or is held from outside.
pub(super) fn waits(scene: &Scene<'_>, task: &TaskFacts) -> Result<Vec<Object>, OsError> {
    if !matches!(task.state, 'S' | 'D') {
        return Ok(Vec::new());
    }
    let place = Place::of(task);
    let deep = task.state == 'D';
    if deep && (place.is_any(VFORK) || task.call.known().is_some_and(call::may_vfork)) {
        let child = child(scene, task)?;
        if child.is_some() {
            return Ok(child.into_iter().collect());
        }
    }
    if place.is_any(PIPE) {
        return Ok(pipe(scene, task)?.into_iter().collect());
    }
    if place.is_any(LOCK) || task.call.known().is_some_and(|call| call::locked(call).is_some()) || place.hidden {
        let lock = lock(scene, task)?;
        if lock.is_some() {
            return Ok(lock.into_iter().collect());
        }
    }
    let mut found = Vec::new();
    if deep || place.begins(FAR) && !place.is_any(SERVER) {
        found = files(scene, task, &place)?;
    }
    if place.begins(&["fanotify_handle_event", "fanotify_get_response"]) {
        found.push(Object::Listener { listeners: fanotify::listeners(scene, &found)? });
    }
    if place.is_any(&["handle_userfault"]) {
        found.push(Object::PageSupplier { suppliers: suppliers(scene)? });
    }
    Ok(found)
}

/// The functions that a thread is in.
struct Place {
    names: Vec<String>,
    /// None of that could be seen.
    hidden: bool,
}

impl Place {
    fn of(task: &TaskFacts) -> Self {
        let all = task.wchan.known().into_iter().chain(task.stack.known().into_iter().flatten());
        // What the compiler has split off: `fuse_lock_inode.part.0`.
        let name =
            |text: &OsText| String::from_utf8_lossy(text.0.split(|byte| *byte == b'.').next()?).into_owned().into();
        Self { names: all.filter_map(name).collect(), hidden: task.wchan.hidden().is_some() }
    }

    fn is_any(&self, of: &[&str]) -> bool {
        self.names.iter().any(|name| of.contains(&name.as_str()))
    }

    fn begins(&self, with: &[&str]) -> bool {
        self.names.iter().any(|name| with.iter().any(|beginning| name.starts_with(beginning)))
    }
}

/// The child that has the memory of its parent, as long as it has not executed a program; the youngest, where that cannot
/// be seen.
fn child(scene: &Scene<'_>, task: &TaskFacts) -> Result<Option<Object>, OsError> {
    let mut pids = Vec::new();
    scene.proc.children_of_thread(scene.pid, task.tid, &mut pids)?;
    let mut children = scene.processes(pids)?;
    // Dead, or not any more a child of this one.
    children.retain(|child| !child.is_zombie() && child.parent == scene.pid);
    if scene.proc.is_this_machines() {
        children.retain(|child| shares_memory(scene.pid, child.pid()) != Some(false));
    }
    Ok(children.into_iter().max_by_key(|child| (child.key.start_ticks, child.pid())).map(Object::Child))
}

/// Whether two processes have the same memory: kcmp(2). `None` when the kernel does not tell this user.
fn shares_memory(one: u32, other: u32) -> Option<bool> {
    const KCMP_VM: libc::c_int = 1;
    // SAFETY: kcmp(2) compares two processes by number; with this kind it reads nothing of ours, and the last two arguments
    // are ignored.
    match unsafe { libc::syscall(libc::SYS_kcmp, one.cast_signed(), other.cast_signed(), KCMP_VM, 0_u64, 0_u64) } {
        0 => Some(true),
        1..=3 => Some(false),
        _ => None,
    }
}

/// The pipe that it writes to, and who could read from it.
fn pipe(scene: &Scene<'_>, task: &TaskFacts) -> Result<Option<Object>, OsError> {
    let Some(fd) = task.call.known().and_then(call::written) else { return Ok(None) };
    let link = scene.link(&format!("task/{}/fd/{fd}", task.tid))?;
    let Some(link) = link.known().map(|link| link.0.clone()) else { return Ok(None) };
    let Some(number) = pipe_number(scene, task.tid, fd, &link)? else { return Ok(None) };
    // Of a pipe with a name, others may lie under that name in other mounts.
    let named = link.starts_with(b"/");
    let fits = move |info: &[u8]| (reads(info) && (!named || inode(info) == Some(number))).then_some(());
    let readers = scene.aside.ask(move |proc| holders(proc, |other| other == link, fits))?;
    Ok(Some(Object::Pipe { fd, inode: number, readers: scene.people(&readers)? }))
}

/// The number of a pipe; of one with a name that of its file.
fn pipe_number(scene: &Scene<'_>, tid: u32, fd: u32, link: &[u8]) -> Result<Option<u64>, OsError> {
    if link.starts_with(b"/") {
        return Ok(scene.file(format!("task/{tid}/fdinfo/{fd}"))?.known().and_then(|info| inode(info)));
    }
    let number = link.strip_prefix(b"pipe:[").and_then(|rest| rest.strip_suffix(b"]"));
    Ok(number.and_then(crate::proc::stat::number))
}

/// The lock that it waits for, and who has it.
fn lock(scene: &Scene<'_>, task: &TaskFacts) -> Result<Option<Object>, OsError> {
    let mut buffer = Vec::new();
    let all = locks::parse(scene.proc.read_global("locks", &mut buffer)?.unwrap_or_default());
    if !all.iter().any(|lock| lock.waits) {
        return Ok(None);
    }
    let fd = task.call.known().and_then(call::locked);
    let (mut name, mut place) = (None, None);
    if let Some(fd) = fd {
        name = scene.link(&format!("task/{}/fd/{fd}", task.tid))?.known().cloned();
        let info = scene.file(format!("task/{}/fdinfo/{fd}", task.tid))?;
        let info = info.known().map(Vec::as_slice).unwrap_or_default();
        let id = descriptors::mount_id(info);
        let line = scene.mounts()?.iter().find(|line| Some(line.id) == id);
        place = line.map(|line| line.device).zip(inode(info));
    }
    let Some(waiter) = locks::waiter(&all, scene.pid, place) else { return Ok(None) };
    let mut holders: Vec<Process> = Vec::new();
    let mut hidden = None;
    for held in locks::blockers(&all, waiter) {
        match takers(scene, held, name.as_ref())? {
            Told::Known(them) => {
                for one in them {
                    if !holders.iter().any(|known| known.key == one.key) {
                        holders.push(one);
                    }
                }
            }
            Told::Nothing => {}
            Told::Hidden(why) => hidden = Some(why),
        }
    }
    let holders = match hidden {
        Some(why) if holders.is_empty() => Told::Hidden(why),
        _ => Told::Known(holders),
    };
    let (major, minor) = waiter.device;
    Ok(Some(Object::Lock { kind: waiter.kind.name(), file: name, inode: (major, minor, waiter.inode), holders }))
}

/// Who has a lock: of those that belong to an opened file, everybody who has that.
fn takers(scene: &Scene<'_>, held: &Lock, name: Option<&OsText>) -> Result<Told<Vec<Process>>, OsError> {
    if let (Kind::Posix, Some(pid)) = (held.kind, held.pid) {
        return scene.processes([pid]).map(Told::Known);
    }
    let lock = *held;
    let fits = move |info: &[u8]| locks::parse(info).iter().any(|told| told.is(&lock)).then_some(());
    let mut found: Told<Holders<()>> = Told::Nothing;
    if let Some(name) = name.map(|name| name.0.clone()) {
        // Few have a file of this name: only their descriptors are looked at closely.
        found = scene.aside.ask(move |proc| holders(proc, |link| link == name, fits))?;
    }
    if found.known().is_none_or(|found| found.found.is_empty()) {
        found = scene.aside.ask(move |proc| holders(proc, |link| link.starts_with(b"/"), fits))?;
    }
    if let (Told::Known(found), Some(opener)) = (&found, held.pid)
        && found.found.is_empty()
        && found.hidden.contains(&opener)
    {
        return scene.processes([opener]).map(Told::Known);
    }
    scene.people(&found)
}

/// The files that it waits for; and where its functions say FUSE and its call does not say which, all FUSE file systems that
/// owe an answer.
fn files(scene: &Scene<'_>, task: &TaskFacts, place: &Place) -> Result<Vec<Object>, OsError> {
    let mut found = match task.call.known() {
        Some(call) => file::of_call(scene, task.tid, call)?,
        None => Vec::new(),
    };
    if place.begins(&["request_wait_answer", "__fuse_", "fuse_"]) && !found.iter().any(leads_to_fuse) {
        let mut owing = owing(scene)?;
        owing.append(&mut found);
        found = owing;
    }
    Ok(found)
}

/// It lies on FUSE, or the file behind its device does.
fn leads_to_fuse(object: &Object) -> bool {
    let Object::File { mount, .. } = object else { return false };
    let mut next = mount.as_ref();
    while let Some(mount) = next {
        if mount.fuse.is_some() {
            return true;
        }
        next = mount.backing.as_ref().and_then(|backing| backing.mount.as_ref());
    }
    false
}

/// The FUSE file systems with requests that wait. Where it cannot be seen how many, the only one that there is.
fn owing(scene: &Scene<'_>) -> Result<Vec<Object>, OsError> {
    let mut lines: Vec<&Line> = Vec::new();
    for line in scene.mounts()?.iter().filter(|line| line.is_fuse()) {
        // The same file system may be mounted at several places.
        if !lines.iter().any(|known| known.device == line.device) {
            lines.push(line);
        }
    }
    let alone = lines.len() == 1;
    let mut found = Vec::new();
    for line in lines {
        let Some(connection) = line.connection() else { continue };
        let owes = match mount::waiting(scene, connection)? {
            Told::Known(count) => count > 0,
            Told::Nothing | Told::Hidden(_) => alone,
        };
        if owes {
            found.push(Object::File { fd: None, path: Told::Nothing, mount: Some(mount::of_line(scene, line)?) });
        }
    }
    Ok(found)
}

/// Who has a userfaultfd with faults that wait.
fn suppliers(scene: &Scene<'_>) -> Result<Told<Vec<Process>>, OsError> {
    let found = scene.aside.ask(|proc| {
        holders(
            proc,
            |link| link == b"anon_inode:[userfaultfd]",
            |info| descriptors::faults(info).is_none_or(|count| count > 0).then_some(()),
        )
    })?;
    scene.people(&found)
}
