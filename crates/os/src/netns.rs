//! Network namespaces: which there are, and looking around in another one.
//!
//! A socket belongs to a namespace, and the kernel lists only those of the namespace that one is in. So whoever looks for
//! the holder of a port goes through all of them: each has a process, and `/proc/PID/ns/net` names it.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::OsError;
use crate::parallel;
use crate::proc::{Proc, Rel};

/// A network namespace, and a way into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace {
    /// Its number, as in `net:[N]`.
    pub inode: u64,
    /// A process that was in it.
    pub pid: u32,
}

/// The namespaces that are to be seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespaces {
    /// The one of the calling thread; absent where the kernel does not tell.
    pub own: Option<u64>,
    /// The others, by number.
    pub others: Vec<Namespace>,
    /// There are processes of which one may not know in which they are.
    pub hidden: bool,
}

const KIND: &[u8] = b"net:[";

/// The namespace of the calling thread.
fn own(proc: &Proc) -> Option<u64> {
    proc.link_number(&Rel::new(format_args!("thread-self/ns/net")), KIND).ok().flatten()
}

/// Looks at all processes.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn visible(proc: &Proc) -> Result<Namespaces, OsError> {
    let mut pids = Vec::new();
    proc.pids(&mut pids)?;
    of(proc, &pids)
}

/// Looks at these processes. Where holders of sockets are what matters, those who have one are enough, and mostly few.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn of(proc: &Proc, pids: &[u32]) -> Result<Namespaces, OsError> {
    let own = own(proc);
    let look = |pid, part: &mut Namespaces| {
        match proc.link_number(&Rel::new(format_args!("{pid}/ns/net")), KIND) {
            Ok(Some(inode)) if Some(inode) != own && part.others.iter().all(|known| known.inode != inode) => {
                part.others.push(Namespace { inode, pid });
            }
            // That is also what the kernel says of a process that ends between the search for its folder and the look
            // at it (proc_ns_readlink in fs/proc/namespaces.c). One that is gone hides nothing.
            Err(Errno::ACCESS | Errno::PERM) => part.hidden |= is_there(proc, pid),
            // What cannot be read for another reason tells nothing either.
            Ok(_) | Err(_) => {}
        }
        Ok(())
    };
    let mut all = Namespaces { own, ..Namespaces::default() };
    for part in parallel::each(pids, look, |_| false)? {
        all.others.extend(part.others);
        all.hidden |= part.hidden;
    }
    all.others.sort_unstable();
    all.others.dedup_by_key(|other| other.inode);
    Ok(all)
}

fn is_there(proc: &Proc, pid: u32) -> bool {
    proc.stat(pid, &mut Vec::new()).is_ok_and(|stat| stat.is_some())
}

/// Runs `look` in another namespace: in a thread of its own, which ends afterwards, so that nothing of this process stays
/// there. `None`: one may not go there, or nobody is there any more.
pub fn within<T: Send>(namespace: Namespace, look: impl FnOnce() -> T + Send) -> Option<T> {
    let path = format!("/proc/{}/ns/net", namespace.pid);
    let file = File::open(path).ok()?;
    // The number may be somebody else's by now.
    if file.metadata().ok()?.ino() != namespace.inode {
        return None;
    }
    std::thread::scope(|scope| {
        let there = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).ok()?;
            Some(look())
        };
        let thread = std::thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, there).ok()?;
        thread.join().ok().flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::proc::tests::{FakeProc, Guard, eventually};

    #[test]
    fn each_once_and_the_own_one_apart() {
        let fake = FakeProc::new(true);
        fake.link("thread-self/ns/net", "net:[10]");
        for (pid, inode) in [(1, 10), (2, 10), (3, 30), (4, 20), (5, 30)] {
            fake.link(&format!("{pid}/ns/net"), &format!("net:[{inode}]"));
        }
        fake.folder("6");
        let found = visible(&fake.open()).unwrap();
        let others = vec![Namespace { inode: 20, pid: 4 }, Namespace { inode: 30, pid: 3 }];
        assert_eq!(found, Namespaces { own: Some(10), others, hidden: false });
    }

    #[test]
    fn this_thread_has_one() {
        let found = visible(&Proc::system().unwrap()).unwrap();
        assert!(found.own.is_some());
        assert!(found.others.iter().all(|other| Some(other.inode) != found.own));
    }

    #[test]
    fn going_there_leaves_nothing_behind() {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "600"]).stdin(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else {
            println!("skipped: unshare is not installed");
            return;
        };
        if crate::user::uid() != 0 {
            println!("skipped: a network namespace takes root");
            let _child = Guard(child);
            return;
        }
        let child = Guard(child);
        let proc = Proc::system().unwrap();
        let mut there = None;
        eventually("a namespace of its own", || {
            let found = visible(&proc).unwrap();
            there = found.others.into_iter().find(|other| other.pid == child.0.id());
            there.is_some()
        });
        let there = there.unwrap();
        let before = own(&proc);
        assert_eq!(within(there, || own(&proc)), Some(Some(there.inode)));
        assert_eq!(own(&proc), before);
        assert_eq!(within(Namespace { inode: there.inode + 1, ..there }, || ()), None, "somebody else's number");
    }
}
