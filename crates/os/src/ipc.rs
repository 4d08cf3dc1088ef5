//! What outlives whoever made it: shared memory, semaphores and message queues, of System V and of POSIX.
//!
//! System V: `/proc/sysvipc` lists what the IPC namespace of the reader has (proc(5)). A segment names who
//! made it and who used it last, a queue who used it last; of semaphores only semctl(2) tells who, and only to those who
//! may read them. POSIX: files of the two file systems that are made for it, shm_overview(7) and mq_overview(7).

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use vigie_core::soak::{Kind, Object};

use crate::error::OsError;
use crate::proc::Proc;
use crate::proc::stat::number;

/// Of so many semaphores of a set it is asked who used them last; a set may have 32,000.
const ASKED: i32 = 64;

/// Where the file systems of POSIX lie, and what is there.
const FOLDERS: [(&str, Kind); 2] = [("/dev/shm", Kind::PosixMemory), ("/dev/mqueue", Kind::PosixQueue)];

/// All that can be seen.
///
/// # Errors
/// When a list of the kernel cannot be read. A kernel without System V IPC has none.
pub fn objects(proc: &Proc) -> Result<Vec<Object>, OsError> {
    let mut found = Vec::new();
    let mut buf = Vec::new();
    for (file, kind) in
        [("sysvipc/shm", Kind::SharedMemory), ("sysvipc/sem", Kind::Semaphores), ("sysvipc/msg", Kind::MessageQueue)]
    {
        let text = proc.read_global(file, &mut buf)?.unwrap_or_default();
        found.extend(text.split(|&byte| byte == b'\n').skip(1).filter_map(|line| object(kind, line)));
    }
    if proc.is_this_machines() {
        for object in found.iter_mut().filter(|object| object.kind == Kind::Semaphores) {
            object.users = semaphore_users(object);
        }
        for (folder, kind) in FOLDERS {
            files(Path::new(folder), kind, &mut found);
        }
    }
    Ok(found)
}

/// Whether a file of a process is one that [`objects`] may list: from the text of a link below `/proc/PID/fd`, or of a line
/// of `maps`. A queue's link is its name alone.
pub(crate) fn file_of_link(link: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(link).into_owned();
    match link {
        _ if link.starts_with(b"/dev/shm/") || link.starts_with(b"/dev/mqueue/") => Some(text),
        [b'/', rest @ ..] if !rest.is_empty() && !rest.contains(&b'/') => Some(format!("/dev/mqueue{text}")),
        _ => None,
    }
}

/// One line of `/proc/sysvipc`. The columns are those of `sysvipc_shm_proc_show` (ipc/shm.c), `sysvipc_sem_proc_show`
/// (ipc/sem.c) and `sysvipc_msg_proc_show` (ipc/msg.c).
fn object(kind: Kind, line: &[u8]) -> Option<Object> {
    let fields: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
    let at = |place: usize| number::<u64>(fields.get(place)?);
    let pid = |place: usize| at(place).and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
    let (bytes, users, uid) = match kind {
        // key shmid perms size cpid lpid nattch uid …
        Kind::SharedMemory => (at(3), vec![pid(4), pid(5)], at(7)?),
        // key semid perms nsems uid …
        Kind::Semaphores => (None, Vec::new(), at(4)?),
        // key msqid perms cbytes qnum lspid lrpid uid …
        Kind::MessageQueue => (at(3), vec![pid(5), pid(6)], at(7)?),
        _ => return None,
    };
    let users = users.into_iter().flatten().collect();
    Some(Object { kind, id: at(1)?, file: None, uid: u32::try_from(uid).ok()?, users, bytes })
}

/// Who operated on a set of semaphores last (`sempid`); nobody, when that may not be read.
fn semaphore_users(object: &Object) -> Vec<u32> {
    let Ok(id) = i32::try_from(object.id) else { return Vec::new() };
    let mut users = Vec::new();
    for place in 0..ASKED {
        // SAFETY: GETPID takes no fourth argument and returns a number; a set that is gone, or has no semaphore at this
        // place, is an error.
        match unsafe { libc::semctl(id, place, libc::GETPID) } {
            -1 => break,
            pid => users.extend(u32::try_from(pid).ok().filter(|pid| *pid != 0)),
        }
    }
    users.sort_unstable();
    users.dedup();
    users
}

/// The files in a folder. What is not there or may not be read has none that could be told. Both file systems are the
/// kernel's own, in memory: asking them does not hang.
fn files(folder: &Path, kind: Kind, found: &mut Vec<Object>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // Of the entry itself: a link is not followed.
        let Ok(meta) = entry.metadata() else { continue };
        if !meta.is_file() {
            continue;
        }
        let file = Some(String::from_utf8_lossy(entry.path().as_os_str().as_bytes()).into_owned());
        let bytes = (kind == Kind::PosixMemory).then_some(meta.size());
        found.push(Object { kind, id: meta.ino(), file, uid: meta.uid(), users: Vec::new(), bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_the_kernel() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("sys/kernel/random")).unwrap();
        std::fs::create_dir_all(root.path().join("sysvipc")).unwrap();
        std::fs::write(root.path().join("sys/kernel/random/boot_id"), "b\n").unwrap();
        let write = |name: &str, text: &str| std::fs::write(root.path().join("sysvipc").join(name), text).unwrap();
        write(
            "shm",
            "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      \
             dtime      ctime                   rss                  swap\n         0          3  1600               524288  \
             4711     0      2  1000  1000  1000  1000          0          0          0                     0        0\n",
        );
        write("sem", "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
        write(
            "msg",
            "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime  \
             ctime\n      1234      65537   600          11          1    12     0     7     7     7     7   1   0   1\nbroken\n",
        );
        let object = |kind, id, uid, users, bytes| Object { kind, id, file: None, uid, users, bytes };
        assert_eq!(
            objects(&Proc::open(root.path()).unwrap()).unwrap(),
            [
                object(Kind::SharedMemory, 3, 1000, vec![4711], Some(524_288)),
                object(Kind::MessageQueue, 65537, 7, vec![12], Some(11)),
            ]
        );
    }

    /// Who is asked for by the kernel's own numbers.
    #[test]
    fn a_set_of_semaphores_names_who_used_it_last() {
        struct Set(i32);
        impl Drop for Set {
            fn drop(&mut self) {
                // SAFETY: IPC_RMID takes no fourth argument.
                unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) };
            }
        }
        // SAFETY: numbers only.
        let set = Set(unsafe { libc::semget(libc::IPC_PRIVATE, 2, 0o600) });
        let id = u64::try_from(set.0).unwrap();
        let find = || {
            let all = objects(&Proc::system().unwrap()).unwrap();
            all.into_iter().find(|object| object.kind == Kind::Semaphores && object.id == id)
        };
        assert_eq!(find().map(|object| object.users), Some(Vec::new()));
        // SAFETY: SETVAL takes a number.
        assert_eq!(unsafe { libc::semctl(set.0, 1, libc::SETVAL, 1) }, 0);
        assert_eq!(find().map(|object| object.users), Some(vec![std::process::id()]));
        drop(set);
        assert_eq!(find(), None);
    }

    #[test]
    fn links_that_mean_such_files() {
        for (link, file) in [
            ("/dev/shm/cache", Some("/dev/shm/cache")),
            ("/dev/shm/sem.lock", Some("/dev/shm/sem.lock")),
            ("/jobs", Some("/dev/mqueue/jobs")),
            ("/dev/null", None),
            ("/", None),
            ("socket:[5]", None),
        ] {
            assert_eq!(file_of_link(link.as_bytes()).as_deref(), file, "{link}");
        }
    }
}
