//! Which processes hold a socket: by the links below `/proc/PID/fd`.
//!
//! The kernel has no list from socket to process, so descriptors are walked. Only the text of each link is read
//! (`socket:[N]`); a `stat` through it could hang on a dead file system (R8.3). Listing a folder and reading its links is
//! the cheapest way: guessing the numbers instead of listing them takes twice as long, because only the listing fills
//! the kernel's cache of names. So what is left to do is to use more than one processor.
//!
//! A process whose main thread has ended shows no descriptors, though its other threads still hold them, ports included:
//! then they are read from `/proc/PID/task/TID/fd`. The same for threads that do not share the table of the main thread.

use rustix::fs::readlinkat_raw;
use rustix::io::Errno;
use vigie_core::ports::Holder;

use crate::error::OsError;
use crate::parallel;
use crate::proc::stat::number;
use crate::proc::{Proc, Rel};

/// A process that holds a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The socket.
    pub inode: u64,
    /// Whoever had this number when it was looked at; take its identity before doing anything to it.
    pub pid: u32,
    /// The thread through which it was seen, when the main thread does not show it.
    pub tid: Option<u32>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners {
    /// Sorted by socket; a socket may have several owners, who inherited it.
    pub found: Vec<Owner>,
    /// Processes whose descriptors may not be read. When a socket has no owner, it is one of these, or in a container,
    /// or the kernel.
    pub hidden: Vec<u32>,
}

impl Owners {
    /// The owners of one socket.
    pub fn of(&self, inode: u64) -> impl Iterator<Item = u32> {
        self.holders(inode).map(|holder| holder.pid)
    }

    /// The owners of one socket, with the threads through which they were seen.
    pub fn holders(&self, inode: u64) -> impl Iterator<Item = Holder> {
        let start = self.found.partition_point(|owner| owner.inode < inode);
        let of_it = self.found[start..].iter().take_while(move |owner| owner.inode == inode);
        of_it.map(|owner| Holder { pid: owner.pid, tid: owner.tid })
    }

    /// Whoever has a socket, and who may have one that cannot be seen; each once.
    pub fn processes(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.found.iter().map(|owner| owner.pid).chain(self.hidden.iter().copied()).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// One line for each process and socket: seen by the main thread if it was, else by the lowest of the others.
    fn sort(&mut self) {
        self.found.sort_unstable();
        self.found.dedup_by_key(|owner| (owner.inode, owner.pid));
        self.hidden.sort_unstable();
    }
}

/// Looks among these processes, at all threads where needed.
///
/// # Errors
/// What the kernel says, except that a process has vanished or is not ours to look into.
pub fn owners(proc: &Proc, inodes: &[u64], pids: &[u32]) -> Result<Owners, OsError> {
    let search = Search::new(proc, inodes);
    let mut result = search.among(pids, false)?;
    let without: Vec<u64> = inodes.iter().copied().filter(|&inode| result.of(inode).next().is_none()).collect();
    if !without.is_empty() {
        let search = Search::new(proc, &without);
        for &pid in pids.iter().filter(|pid| !result.hidden.contains(pid)) {
            search.threads(pid, &mut result.found)?;
        }
        result.sort();
    }
    Ok(result)
}

/// Looks among all processes; at threads only of those whose main thread has ended.
///
/// # Errors
/// As for [`owners`].
pub fn owners_on_machine(proc: &Proc, inodes: &[u64]) -> Result<Owners, OsError> {
    let mut pids = Vec::new();
    if !inodes.is_empty() {
        proc.pids(&mut pids)?;
    }
    Search::new(proc, inodes).among(&pids, false)
}

/// Who holds which socket, for every socket of every process that can be seen.
///
/// # Errors
/// As for [`owners`].
pub fn all_on_machine(proc: &Proc) -> Result<Owners, OsError> {
    let mut pids = Vec::new();
    proc.pids(&mut pids)?;
    Search { wanted: None, ..Search::new(proc, &[]) }.among(&pids, false)
}

/// Looks among all processes for anybody who holds one of these sockets, and stops there: of those that it tells the
/// first is the lowest process of all that hold one. Nobody found means that all were looked at.
///
/// # Errors
/// As for [`owners`].
pub fn any_owner_on_machine(proc: &Proc, inodes: &[u64]) -> Result<Owners, OsError> {
    let mut pids = Vec::new();
    if !inodes.is_empty() {
        proc.pids(&mut pids)?;
    }
    Search::new(proc, inodes).among(&pids, true)
}

/// What is looked for.
struct Search<'a> {
    proc: &'a Proc,
    /// These sockets, sorted; absent: all.
    wanted: Option<Vec<u64>>,
    uid: u32,
}

impl<'a> Search<'a> {
    fn new(proc: &'a Proc, inodes: &[u64]) -> Self {
        let mut inodes = inodes.to_vec();
        inodes.sort_unstable();
        inodes.dedup();
        Self { proc, wanted: Some(inodes), uid: crate::user::uid() }
    }

    /// Looks at the descriptors of all these; with `one` only until somebody was found.
    fn among(&self, pids: &[u32], one: bool) -> Result<Owners, OsError> {
        let enough = |part: &Owners| one && !part.found.is_empty();
        let mut result = Owners::default();
        for part in parallel::each(pids, |pid, part| self.process(pid, part), enough)? {
            result.found.extend(part.found);
            result.hidden.extend(part.hidden);
        }
        result.sort();
        Ok(result)
    }

    fn process(&self, pid: u32, part: &mut Owners) -> Result<(), OsError> {
        match self.walk(&Rel::new(format_args!("{pid}/fd")), pid, None, &mut part.found) {
            Ok(0) => self.threads(pid, &mut part.found),
            Ok(_) => Ok(()),
            Err(error) if is_denied(&error) => {
                // When the main thread of a process of ours has ended, its folder belongs to root; those of the other
                // threads are ours.
                let before = part.found.len();
                if self.uid != 0 && self.proc.owner_of(pid) == Some(self.uid) {
                    self.threads(pid, &mut part.found)?;
                }
                if part.found.len() == before {
                    part.hidden.push(pid);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at all threads but the main one.
    fn threads(&self, pid: u32, found: &mut Vec<Owner>) -> Result<(), OsError> {
        let mut tasks = Vec::new();
        self.proc.tasks(pid, &mut tasks)?;
        for task in tasks.into_iter().filter(|&task| task != pid) {
            if self.proc.is_this_machines() && same_descriptors(pid, task) {
                continue;
            }
            match self.walk(&Rel::new(format_args!("{pid}/task/{task}/fd")), pid, Some(task), found) {
                Ok(_) => {}
                Err(error) if is_denied(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the links in one folder; returns how many there were. "Permission denied" also when the names may be listed
    /// and the links may not be read, as in some sandboxes.
    fn walk(&self, folder: &Rel, pid: u32, tid: Option<u32>, found: &mut Vec<Owner>) -> Result<usize, OsError> {
        let mut count = 0;
        let mut denied = false;
        self.proc.entries(folder, |dir, name| {
            if name.starts_with(b".") {
                return;
            }
            count += 1;
            // `socket:[` and twenty digits fit; what is longer is cut short and is no socket.
            let mut link = [0; 32];
            match readlinkat_raw(dir, name, &mut link[..]) {
                Ok(len) => {
                    if let Some(inode) = socket_inode(&link[..len])
                        && self.wanted.as_ref().is_none_or(|wanted| wanted.binary_search(&inode).is_ok())
                    {
                        found.push(Owner { inode, pid, tid });
                    }
                }
                Err(Errno::ACCESS | Errno::PERM) => denied = true,
                // A descriptor that was closed meanwhile is none.
                Err(_) => {}
            }
        })?;
        if denied {
            return Err(OsError::on_process("see the descriptors of", pid)(Errno::ACCESS));
        }
        Ok(count)
    }
}

/// Whether two threads share one table of descriptors, as nearly all of one process do: kcmp(2). `false` also when the
/// kernel does not tell; a main thread that has ended has none. So a server with hundreds of threads is looked at once.
fn same_descriptors(one: u32, other: u32) -> bool {
    const KCMP_FILES: libc::c_int = 2;
    // SAFETY: kcmp(2) compares two processes by number; with this kind it reads nothing of ours, and the last two arguments
    // are ignored.
    unsafe { libc::syscall(libc::SYS_kcmp, one.cast_signed(), other.cast_signed(), KCMP_FILES, 0_u64, 0_u64) == 0 }
}

fn is_denied(error: &OsError) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

fn socket_inode(link: &[u8]) -> Option<u64> {
    number(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::proc::tests::{FakeProc, Guard};

    #[test]
    fn links() {
        assert_eq!(socket_inode(b"socket:[12345]"), Some(12345));
        for other in
            [b"pipe:[12345]".as_slice(), b"/tmp/socket:[1]", b"socket:[]", b"socket:[1", b"anon_inode:[eventfd]"]
        {
            assert_eq!(socket_inode(other), None);
        }
    }

    #[test]
    fn several_owners_and_a_main_thread_that_has_ended() {
        let fake = FakeProc::new(true);
        fake.link("10/fd/3", "socket:[77]");
        fake.link("10/fd/4", "socket:[77]");
        fake.link("10/fd/5", "/dev/null");
        fake.link("11/fd/0", "socket:[77]");
        // Its main thread has ended: no descriptors, but its other thread has.
        fake.folder("12/fd");
        fake.folder("12/task/12/fd");
        fake.link("12/task/13/fd/9", "socket:[88]");
        // A thread with a table of its own.
        fake.link("20/fd/0", "/dev/null");
        fake.link("20/task/21/fd/9", "socket:[99]");
        let proc = fake.open();
        let pair = |inode, pid| Owner { inode, pid, tid: None };
        let by = |tid, owner| Owner { tid: Some(tid), ..owner };
        let all = owners(&proc, &[77, 88, 99, 5], &[10, 11, 12, 20, 404]).unwrap();
        assert_eq!(all.found, [pair(77, 10), pair(77, 11), by(13, pair(88, 12)), by(21, pair(99, 20))]);
        assert_eq!(all.of(77).collect::<Vec<_>>(), [10, 11]);
        assert!(all.hidden.is_empty());
        let machine = owners_on_machine(&proc, &[77, 88, 99]).unwrap();
        assert_eq!(machine.found, [pair(77, 10), pair(77, 11), by(13, pair(88, 12))]);
        assert!(owners(&proc, &[77], &[12]).unwrap().found.is_empty());
    }

    #[test]
    fn a_real_socket_and_whoever_inherits_it() {
        let proc = Proc::system().unwrap();
        let me = std::process::id();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
        assert_eq!(owners(&proc, &[inode], &[me]).unwrap().found, [Owner { inode, pid: me, tid: None }]);
        let inherited = Stdio::from(std::os::fd::OwnedFd::from(listener));
        let child = Guard(Command::new("sleep").arg("600").stdin(inherited).spawn().unwrap());
        let found = owners_on_machine(&proc, &[inode]).unwrap();
        assert!(found.of(inode).any(|pid| pid == child.0.id()), "{found:?}");
    }

    #[test]
    fn threads_of_one_process_share_their_descriptors() {
        let (told, own) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            told.send(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()).unwrap();
            let _ = ended.recv();
        });
        let (me, thread_id) = (std::process::id(), own.recv().unwrap());
        let child = Guard::sleeper();
        // A kernel without kcmp(2), or a sandbox that forbids it, says no to both.
        if same_descriptors(me, me) {
            assert!(same_descriptors(me, thread_id));
        }
        assert!(!same_descriptors(me, child.0.id()));
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn others_are_hidden_from_an_ordinary_user() {
        if crate::user::uid() == 0 {
            println!("skipped: root may look into every process");
            return;
        }
        let found = owners(&Proc::system().unwrap(), &[1], &[1]).unwrap();
        assert_eq!((found.found.len(), found.hidden), (0, vec![1]));
    }
}
