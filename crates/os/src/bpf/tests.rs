use super::*;

/// By the verifier's own words, if it does not.
#[test]
fn the_kernel_takes_the_program() {
    let proc = Proc::system().unwrap();
    if Tasks::open(&proc).is_none() && (!rustix::process::geteuid().is_root() || !Path::new(btf::VMLINUX).exists()) {
        println!("skipped: only for root, on a kernel that tells its types");
        return;
    }
    let mut log = vec![0; 1 << 20];
    let loaded = Tasks::load(Some(&mut log));
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(0);
    let mut tasks = match loaded {
        Ok(Some(tasks)) => tasks,
        other => panic!("{other:?}\n{}", String::from_utf8_lossy(&log[..end])),
    };
    let me = std::process::id();
    let child = crate::proc::tests::Guard::sleeper();
    let sleeper = child.0.id();
    // In the instant of an exec nothing is sure.
    crate::proc::tests::eventually("both are told", || {
        tasks.read().unwrap();
        tasks.process(&proc, me).is_some()
            && tasks.process(&proc, sleeper).is_some_and(|process| process.name.0 == b"sleep" && process.parent == me)
    });
    assert_eq!(tasks.process(&proc, me).unwrap().key, proc.key(me).unwrap().unwrap());
    drop(child);
    tasks.read().unwrap();
    assert_eq!(tasks.process(&proc, sleeper), None);
    tasks.forget();
    assert_eq!(tasks.process(&proc, me), None);
}

/// What is told of a process, put together by hand.
fn record(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    bytes[program::NAME as usize..][..5].copy_from_slice(b"sleep");
    bytes[program::THREADS as usize] = 1;
    bytes[program::WANTED as usize] = 10;
    bytes.extend(b"sleep\x00600\0");
    change(&mut bytes);
    bytes
}

#[test]
fn what_is_not_sure_is_left_to_proc() {
    let proc = Proc::system().unwrap();
    let told = |change: fn(&mut [u8])| Some(record(change)).filter(|one| is_sure(one)).map(|one| process(&proc, &one));
    let good = told(|_| ()).unwrap();
    assert_eq!((good.argv.len(), good.name.0.as_slice(), good.zombie), (2, b"sleep".as_slice(), false));
    let zombie = told(|record| record[program::EXIT_STATE as usize] = 0x20).unwrap();
    assert!(zombie.zombie && zombie.argv.is_empty());
    for change in [
        // Torn, longer than what was copied, written over, a thread of the kernel.
        (|record: &mut [u8]| record[program::TORN as usize] = 1) as fn(&mut [u8]),
        |record| record[program::WANTED as usize + 1] = 1,
        |record| record[HEAD + 9] = b'x',
        |record| record[program::FLAGS as usize + 2] = 0x20,
    ] {
        assert_eq!(told(change), None);
    }
}

#[test]
fn terminals() {
    assert_eq!(terminal(136, 3), 34819);
    assert_eq!(terminal(4, 0x1_02), 0x0010_0402);
}

#[test]
fn types_that_cannot_be_understood() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("btf");
    assert!(Btf::read(&path).is_none());
    for content in [b"".as_slice(), b"\x9f\xeb", &[0xff; 64], &[0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 255, 255, 255, 255]] {
        std::fs::write(&path, content).unwrap();
        assert!(Btf::read(&path).is_none(), "{content:?}");
    }
}

/// Loaded, or by the verifier's own words why not.
fn insides() -> Option<Insides> {
    let proc = Proc::system().unwrap();
    if Insides::open(&proc).is_none() && (!rustix::process::geteuid().is_root() || !Path::new(btf::VMLINUX).exists()) {
        println!("skipped: only for root, on a kernel that tells its types");
        return None;
    }
    let mut log = vec![0; 1 << 20];
    let loaded = Insides::load(Some(&mut log));
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(0);
    match loaded {
        Ok(Some(insides)) => Some(insides),
        other => panic!("{other:?}\n{}", String::from_utf8_lossy(&log[..end])),
    }
}

#[test]
fn how_threads_wait() {
    let Some(insides) = insides() else { return };
    let child = crate::proc::tests::Guard::sleeper();
    let sleeper = child.0.id();
    // TASK_INTERRUPTIBLE
    crate::proc::tests::eventually("it sleeps", || {
        insides.of(sleeper).unwrap().iter().any(|one| one.tid == sleeper && one.raw_state & 0x1 != 0)
    });
    let waits = insides.of(sleeper).unwrap();
    assert!(matches!(waits[..], [crate::stuck::inside::Inside { blocker: None, .. }]), "{waits:?}");
    let mut mine: Vec<u32> = insides.of(std::process::id()).unwrap().iter().map(|one| one.tid).collect();
    mine.sort_unstable();
    assert!(mine.contains(&std::process::id()) && mine.len() > 1, "{mine:?}");
    drop(child);
    assert_eq!(insides.of(sleeper).unwrap(), []);
}

/// `D`, but not one that nothing ends: the parent of a vfork.
#[test]
fn a_wait_that_a_signal_ends_is_told_apart() {
    let Some(insides) = insides() else { return };
    // SAFETY: the child of this fork makes system calls and nothing else. It waits for its own child, which
    // sleeps, and ends with it by the signal of its parent's end.
    let parent = unsafe {
        match libc::fork() {
            0 => {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                let me = libc::getpid();
                let flags = libc::CLONE_VFORK | libc::SIGCHLD;
                if libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) == 0 {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    // It may have ended before that was said.
                    while libc::getppid() == me {
                        libc::pause();
                    }
                    libc::_exit(0);
                }
                libc::_exit(0)
            }
            pid => pid,
        }
    };
    let parent = rustix::process::Pid::from_raw(parent).unwrap();
    let number = parent.as_raw_nonzero().get().unsigned_abs();
    let proc = Proc::system().unwrap();
    // TASK_UNINTERRUPTIBLE, and killable; on its way there it may wait for something else.
    let killable = vigie_core::stuck::facts::KILLABLE;
    let told = std::panic::catch_unwind(|| {
        crate::proc::tests::eventually("it waits, and a signal ends that", || {
            let state = proc.stat(number, &mut Vec::new()).unwrap().map(|stat| stat.state);
            let waits = insides.of(number).unwrap();
            let waits = matches!(waits[..], [one] if one.raw_state & (killable | 0x2) == killable | 0x2);
            state == Some(b'D') && waits
        });
    });
    rustix::process::kill_process(parent, rustix::process::Signal::KILL).unwrap();
    rustix::process::waitpid(Some(parent), rustix::process::WaitOptions::empty()).unwrap();
    told.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Two make a folder in the same one, on a file system that nobody answers for: one waits for the answer and has the lock of
/// the folder, the other waits for that.
#[test]
fn the_owner_of_a_lock_is_found() {
    let Some(insides) = insides() else { return };
    if Btf::read(Path::new(btf::VMLINUX)).unwrap().members("task_struct", ["blocker"]).is_none() {
        println!("skipped: this kernel does not note what is waited for");
        return;
    }
    let script = "exec 3<>/dev/fuse; mount -i -t fuse none /mnt -o fd=3,rootmode=40000,user_id=0,group_id=0; \
                  mkdir /mnt/a 3>&- 2>/dev/null & mkdir /mnt/b 3>&- 2>/dev/null & echo ready; wait";
    let dir = tempfile::tempdir().unwrap();
    let mut child = crate::proc::tests::Guard(crate::cure::tests::in_own_mounts(script, dir.path()));
    if crate::cure::tests::word(&mut child.0) != "ready" {
        println!("skipped: FUSE cannot be mounted here");
        return;
    }
    let proc = Proc::system().unwrap();
    // Until all of it is so: on its way there each of them waits for other things.
    crate::proc::tests::eventually("one waits for the other, and nothing ends that", || {
        let mut children = Vec::new();
        proc.children(child.0.id(), &mut children).unwrap();
        let waits: Vec<_> = children.iter().flat_map(|&pid| insides.of(pid).unwrap()).collect();
        let [one, other] = waits[..] else { return false };
        let (behind, before) = if one.blocker.is_some() { (one, other) } else { (other, one) };
        let owner = crate::stuck::inside::Blocker {
            lock: crate::stuck::inside::Lock::RwSemaphore,
            owner_tid: Some(before.tid),
        };
        // TASK_UNINTERRUPTIBLE
        let killable = vigie_core::stuck::facts::KILLABLE;
        behind.blocker == Some(owner) && behind.raw_state & (killable | 0x2) == 0x2 && before.blocker.is_none()
    });
}

#[test]
fn locks_and_their_owners() {
    let told = |blocker: u64, owner: u64| {
        let mut record = Vec::new();
        for long in [0xffff_8000_0000_1000_u64, owner, blocker] {
            record.extend(long.to_ne_bytes());
        }
        for number in [7_u32, 6, 2, 0] {
            record.extend(number.to_ne_bytes());
        }
        let whose = |address| (address == 0xffff_8000_0000_2000).then_some(9);
        let one = inside::inside(&record, whose);
        assert_eq!((one.tid, one.raw_state), (7, 2));
        one.blocker.map(|blocker| (blocker.lock.name(), blocker.owner_tid))
    };
    const LOCK: u64 = 0xffff_8000_0000_3000;
    const OWNER: u64 = 0xffff_8000_0000_2000;
    assert_eq!(told(0, 0), None);
    assert_eq!(told(LOCK, OWNER | 3), Some(("mutex", Some(9))));
    assert_eq!(told(LOCK, 1), Some(("mutex", None)));
    assert_eq!(told(LOCK | 1, OWNER), Some(("semaphore", Some(9))));
    assert_eq!(told(LOCK | 2, OWNER), Some(("rw-semaphore", Some(9))));
    // One of its readers, who need not be there any more; one who is gone.
    assert_eq!(told(LOCK | 3, OWNER | 1), Some(("rw-semaphore", None)));
    assert_eq!(told(LOCK | 3, OWNER + 0x1000), Some(("rw-semaphore", None)));
}
