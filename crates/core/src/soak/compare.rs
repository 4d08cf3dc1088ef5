//! What of the machine is the run's, and is left.

use std::collections::{BTreeMap, BTreeSet};

use crate::soak::{Kind, Leftover};

/// An object of the kernel that outlives whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// What makes it one: the identifier of System V, the inode of a file.
    pub id: u64,
    /// Its file, when it has one: `/dev/shm/cache`.
    pub file: Option<String>,
    /// The user whom it belongs to.
    pub uid: u32,
    /// The processes that the kernel names for it: who made it, who used it last.
    pub users: Vec<u32>,
    /// Its size in bytes, where the kernel tells.
    pub bytes: Option<u64>,
}

/// A TCP, UDP or Unix socket with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sock {
    /// [`Kind::Socket`] or [`Kind::UnixSocket`].
    pub kind: Kind,
    /// Its number, as in `socket:[N]`.
    pub inode: u64,
    /// Where it was made: the number of the cgroup v2 folder.
    pub cgroup: Option<u64>,
    /// `127.0.0.1:8000/tcp`, `@name`, `/run/x.sock`
    pub name: String,
}

/// A lock of a file; proc_locks(5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileLock {
    /// `FLOCK`, `POSIX`, `OFDLCK`, `LEASE`
    pub kind: String,
    /// Who opened the file; he may be gone, and whoever inherited the descriptor has the lock.
    pub opener: u32,
    /// Device (major, minor) and inode of the file.
    pub file: (u32, u32, u64),
}

/// What the machine has at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Shared memory, semaphores, queues.
    pub objects: Vec<Object>,
    /// Sockets that have a name or a port.
    pub sockets: Vec<Sock>,
    /// Locks of files.
    pub locks: Vec<FileLock>,
}

/// What was seen of a run while it lived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sighting {
    /// The number of each process, with its name.
    pub processes: BTreeMap<u32, String>,
    /// The user of its main process.
    pub uid: Option<u32>,
    /// The sockets that they had.
    pub sockets: BTreeSet<u64>,
    /// Files of [`Object::file`] that they had open or mapped.
    pub files: BTreeSet<String>,
    /// The number of its cgroup v2 folder.
    pub cgroup: Option<u64>,
}

/// What is left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Of the run, as the kernel proves.
    pub left: Vec<Leftover>,
    /// New, of the same user, and whose it is the kernel does not tell.
    pub unclear: Vec<Leftover>,
}

/// Compares. What was there `before` the cycle is not looked at.
pub fn leftovers(before: &Machine, run: &Sighting, after: &Machine) -> Verdict {
    let mut verdict = Verdict::default();
    for object in &after.objects {
        let known = |old: &Object| (old.kind, old.id, &old.file) == (object.kind, object.id, &object.file);
        if before.objects.iter().any(known) {
            continue;
        }
        let user = object.users.iter().find_map(|pid| run.processes.get_key_value(pid));
        let had = object.file.as_ref().is_some_and(|file| run.files.contains(file));
        if user.is_some() || had {
            verdict.left.push(object.leftover(user));
        } else if run.uid == Some(object.uid) {
            verdict.unclear.push(object.leftover(None));
        }
    }
    for socket in &after.sockets {
        let ours = run.sockets.contains(&socket.inode) || socket.cgroup.is_some() && socket.cgroup == run.cgroup;
        if ours && before.sockets.iter().all(|old| old.inode != socket.inode) {
            verdict.left.push(Leftover {
                kind: socket.kind,
                name: socket.name.clone(),
                detail: format!("{}, socket {}: somebody outside of the run has it", socket.name, socket.inode),
                remedy: None,
            });
        }
    }
    for lock in &after.locks {
        if let Some(name) = run.processes.get(&lock.opener)
            && !before.locks.contains(lock)
        {
            let (major, minor, inode) = lock.file;
            verdict.left.push(Leftover {
                kind: Kind::FileLock,
                name: format!("{} of {name}", lock.kind),
                detail: format!(
                    "{} of {name} (PID {}) on inode {inode} of device {major}:{minor}: somebody inherited it",
                    lock.kind, lock.opener
                ),
                remedy: None,
            });
        }
    }
    verdict
}

impl Object {
    fn leftover(&self, user: Option<(&u32, &String)>) -> Leftover {
        let size = self.bytes.map(|bytes| format!(" of {bytes} bytes")).unwrap_or_default();
        let by = user.map(|(_, name)| format!(" by {name}")).unwrap_or_default();
        let name = match &self.file {
            Some(file) => file.clone(),
            None => format!("{}{size}{by}", self.kind.text()),
        };
        let what = self.file.clone().unwrap_or_else(|| format!("id {}{size}", self.id));
        let made = user.map(|(pid, name)| format!(", by {name} (PID {pid})")).unwrap_or_default();
        let remedy = match (self.kind, &self.file) {
            (Kind::SharedMemory, _) => Some(format!("ipcrm -m {}", self.id)),
            (Kind::Semaphores, _) => Some(format!("ipcrm -s {}", self.id)),
            (Kind::MessageQueue, _) => Some(format!("ipcrm -q {}", self.id)),
            (_, Some(file)) => Some(format!("rm {file}")),
            _ => None,
        };
        Leftover { kind: self.kind, name, detail: format!("{what}{made}"), remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(id: u64, users: &[u32], uid: u32) -> Object {
        Object { kind: Kind::SharedMemory, id, file: None, uid, users: users.to_vec(), bytes: Some(4096) }
    }

    fn file(name: &str, inode: u64, uid: u32) -> Object {
        let file = Some(format!("/dev/shm/{name}"));
        Object { kind: Kind::PosixMemory, id: inode, file, uid, users: Vec::new(), bytes: None }
    }

    fn socket(inode: u64, cgroup: Option<u64>) -> Sock {
        Sock { kind: Kind::Socket, inode, cgroup, name: "127.0.0.1:80/tcp".to_owned() }
    }

    fn lock(opener: u32, inode: u64) -> FileLock {
        FileLock { kind: "FLOCK".to_owned(), opener, file: (8, 1, inode) }
    }

    /// A run of one process, 12, of user 1000, in cgroup 77, with socket 5 and one file in `/dev/shm`.
    fn run() -> Sighting {
        Sighting {
            processes: BTreeMap::from([(12, "cache".to_owned())]),
            uid: Some(1000),
            sockets: BTreeSet::from([5]),
            files: BTreeSet::from(["/dev/shm/a".to_owned()]),
            cgroup: Some(77),
        }
    }

    fn machine(objects: Vec<Object>, sockets: Vec<Sock>, locks: Vec<FileLock>) -> Machine {
        Machine { objects, sockets, locks }
    }

    /// What is new, and what the kernel says of it: is it left, is it unclear?
    #[test]
    fn only_what_is_new_and_tied_to_the_run_is_left() {
        let nothing = Machine::default();
        let one = |objects: Vec<Object>| machine(objects, Vec::new(), Vec::new());
        for (case, before, after, left, unclear) in [
            ("nothing", nothing.clone(), nothing.clone(), 0, 0),
            ("made by the run", nothing.clone(), one(vec![segment(1, &[12], 1000)]), 1, 0),
            ("made by the run, which became another user", nothing.clone(), one(vec![segment(1, &[12], 5)]), 1, 0),
            ("used by the run", nothing.clone(), one(vec![segment(1, &[99, 12], 1000)]), 1, 0),
            ("there before", one(vec![segment(1, &[12], 1000)]), one(vec![segment(1, &[12], 1000)]), 0, 0),
            ("of another user's program", nothing.clone(), one(vec![segment(1, &[99], 1001)]), 0, 0),
            ("nobody knows whose", nothing.clone(), one(vec![segment(1, &[99], 1000)]), 0, 1),
            ("a file that it had", nothing.clone(), one(vec![file("a", 3, 1000)]), 1, 0),
            ("a file of others", nothing.clone(), one(vec![file("b", 3, 1)]), 0, 0),
            ("the name is old, the file is new", one(vec![file("a", 2, 1000)]), one(vec![file("a", 3, 1000)]), 1, 0),
        ] {
            let verdict = leftovers(&before, &run(), &after);
            assert_eq!((verdict.left.len(), verdict.unclear.len()), (left, unclear), "{case}: {verdict:#?}");
        }
    }

    #[test]
    fn sockets_and_locks_outlive_a_run_in_other_hands() {
        let sockets = |sockets: Vec<Sock>| machine(Vec::new(), sockets, Vec::new());
        let locks = |locks: Vec<FileLock>| machine(Vec::new(), Vec::new(), locks);
        let nothing = Machine::default();
        for (case, before, after, left) in [
            ("one that it had", nothing.clone(), sockets(vec![socket(5, None)]), 1),
            ("one that was made in its cgroup", nothing.clone(), sockets(vec![socket(6, Some(77))]), 1),
            ("one of others", nothing.clone(), sockets(vec![socket(6, Some(78)), socket(7, None)]), 0),
            ("one that it was given", sockets(vec![socket(5, None)]), sockets(vec![socket(5, None)]), 0),
            ("a lock that it took", nothing.clone(), locks(vec![lock(12, 1)]), 1),
            ("a lock of others", nothing.clone(), locks(vec![lock(13, 1)]), 0),
            ("a lock of one who had its number before", locks(vec![lock(12, 1)]), locks(vec![lock(12, 1)]), 0),
        ] {
            let verdict = leftovers(&before, &run(), &after);
            assert_eq!(verdict.left.len(), left, "{case}: {verdict:#?}");
            assert_eq!(verdict.unclear, Vec::new(), "{case}");
        }
        // Where cgroups have no number, nothing is taken for the run's because neither has one.
        let without = Sighting { cgroup: None, ..run() };
        assert_eq!(leftovers(&nothing, &without, &sockets(vec![socket(6, None)])), Verdict::default());
    }

    /// In every cycle the same name; the numbers are in the detail.
    #[test]
    fn a_leftover_is_named_with_what_takes_it_away() {
        let after = machine(vec![segment(9, &[12], 1000), file("a", 3, 1000)], Vec::new(), vec![lock(12, 4)]);
        let left = leftovers(&Machine::default(), &run(), &after).left;
        assert_eq!(left[0].name, "shared-memory segment of 4096 bytes by cache");
        assert_eq!(left[0].detail, "id 9 of 4096 bytes, by cache (PID 12)");
        assert_eq!(left[0].remedy.as_deref(), Some("ipcrm -m 9"));
        assert_eq!((left[1].name.as_str(), left[1].remedy.as_deref()), ("/dev/shm/a", Some("rm /dev/shm/a")));
        assert_eq!(left[2].name, "FLOCK of cache");
    }
}
