//! The calls that bad behaviour needs and that the standard library keeps from programs, for good reasons.
#![allow(unsafe_code, reason = "to misbehave is what these programs are for; nothing of it is linked into vigie")]

use std::io;
use std::time::Duration;

/// Which side of a fork one is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Parent,
    Child,
}

/// fork(2). The child gets an alarm of its own: they are not inherited.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: these programs have one thread, so the child finds no lock taken that nobody will ever free.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            alarm(crate::safety());
            Ok(Side::Child)
        }
        _ => Ok(Side::Parent),
    }
}

/// fork(2) that tells the parent the number of the child.
pub(crate) fn fork_numbered() -> io::Result<Option<i32>> {
    // SAFETY: as for `fork`.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            alarm(crate::safety());
            Ok(None)
        }
        child => Ok(Some(child)),
    }
}

/// Is killed when the parent ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a number.
    done(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

/// Stops an own child that was not waited for, and waits until it is.
pub(crate) fn stop(child: i32) -> io::Result<()> {
    let mut status = 0;
    // SAFETY: kill(2) has no preconditions; `status` lives during waitpid(2).
    done(unsafe { libc::kill(child, libc::SIGSTOP) })?;
    // SAFETY: as above.
    match unsafe { libc::waitpid(child, &raw mut status, libc::WUNTRACED) } {
        -1 => Err(io::Error::last_os_error()),
        _ if libc::WIFSTOPPED(status) => Ok(()),
        _ => Err(io::Error::other("the child has ended")),
    }
}

/// A table of mounts of its own, from which nothing comes back to others.
pub(crate) fn own_mounts() -> io::Result<()> {
    let none: *const libc::c_char = std::ptr::null();
    // SAFETY: unshare(2) has no preconditions in a program with one thread; mount(2) reads a string that ends with a zero,
    // and nothing else with these flags.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // SAFETY: as above.
    done(unsafe { libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) })
}

/// A network of its own, with nothing in it; for ordinary users in a user namespace of its own, where they may have one.
pub(crate) fn own_network() -> io::Result<()> {
    // SAFETY: unshare(2) has no preconditions in a program with one thread.
    let unshare = |flags| done(unsafe { libc::unshare(flags) });
    unshare(libc::CLONE_NEWNET).or_else(|_| unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET))
}

/// Ends this thread alone, also when it is the main one: exit(2), not exit_group(2).
pub(crate) fn end_thread() -> ! {
    // SAFETY: SYS_exit takes a number and does not return. The stack of the thread is left as it is, so whatever others
    // borrow from it stays there.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    wait_for_ever()
}

/// Waits until the main thread has ended.
pub(crate) fn wait_for_dead_leader() {
    let stat = format!("/proc/self/task/{}/stat", std::process::id());
    let ended = || std::fs::read_to_string(&stat).is_ok_and(|line| line.contains(") Z "));
    while !ended() {
        pass(Duration::from_millis(1));
    }
}

/// mount(2) of a file system without a device.
pub(crate) fn mount(folder: &std::path::Path, kind: &str, options: &str) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let text = |bytes: &[u8]| std::ffi::CString::new(bytes).map_err(io::Error::other);
    let (folder, kind, options) =
        (text(folder.as_os_str().as_bytes())?, text(kind.as_bytes())?, text(options.as_bytes())?);
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    // SAFETY: four strings that end with a zero and live during the call.
    done(unsafe { libc::mount(kind.as_ptr(), folder.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) })
}

fn done(result: i32) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends the process at once: no destructors, no buffers of the other side of a fork.
pub(crate) fn quit(code: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(code) }
}

/// SIGALRM after so many seconds; its action is the default one, so it ends the process.
pub(crate) fn alarm(seconds: u32) {
    // SAFETY: signal(2) with a valid signal and SIG_DFL; alarm(2) has no preconditions. An ignored SIGALRM may have been
    // inherited, and a blocked one.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(seconds);
    }
    let _ = mask(libc::SIG_UNBLOCK, &[libc::SIGALRM]);
}

/// Ignores a signal.
pub(crate) fn ignore(signal: i32) {
    // SAFETY: signal(2) with SIG_IGN installs no code.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Keeps these signals pending, for [`next`].
pub(crate) fn block(signals: &[i32]) -> io::Result<()> {
    mask(libc::SIG_BLOCK, signals)
}

fn mask(how: i32, signals: &[i32]) -> io::Result<()> {
    let set = set(signals);
    // SAFETY: `set` is initialised and lives during the call; no old set is asked for.
    match unsafe { libc::sigprocmask(how, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for one of these blocked signals.
pub(crate) fn next(signals: &[i32]) -> io::Result<i32> {
    let set = set(signals);
    let mut signal = 0;
    // SAFETY: both pointers are to living, initialised values.
    match unsafe { libc::sigwait(&raw const set, &raw mut signal) } {
        0 => Ok(signal),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: all zeroes is a value of this type, and sigemptyset(3) initialises it; sigaddset(3) takes any number and
    // refuses what is no signal.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

/// Gives a signal its default action back: the standard library handles SIGSEGV and SIGBUS itself.
pub(crate) fn restore(signal: i32) {
    // SAFETY: signal(2) with SIG_DFL installs no code.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Sends itself a signal.
pub(crate) fn raise(signal: i32) {
    // SAFETY: raise(3) has no preconditions.
    unsafe { libc::raise(signal) };
}

/// The parent traces this process from now on: each of its signals stops it, and only the parent makes it go on.
pub(crate) fn be_traced() -> io::Result<()> {
    // SAFETY: PTRACE_TRACEME takes no other argument.
    match unsafe { libc::ptrace(libc::PTRACE_TRACEME) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Waits until a signal ends the process.
pub(crate) fn wait_for_ever() -> ! {
    loop {
        // SAFETY: pause(2) has no preconditions.
        unsafe { libc::pause() };
    }
}

/// Lets time pass; a signal with a handler may cut it short, and these programs have none.
pub(crate) fn pass(time: Duration) {
    let request = libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    // SAFETY: `request` lives during the call, and the remaining time is not asked for.
    unsafe { libc::nanosleep(&raw const request, std::ptr::null_mut()) };
}

/// The name in `/proc/self/comm`: the first 15 bytes.
pub(crate) fn rename(name: &std::ffi::CStr) -> io::Result<()> {
    // SAFETY: PR_SET_NAME reads at most 16 bytes of a string that ends with a zero.
    match unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes a descriptor by its number, standard output included.
pub(crate) fn close(number: i32) {
    // SAFETY: nothing of this process writes to it afterwards through an owner of its own; the standard library's
    // `Stdout` does not own its descriptor and ignores EBADF.
    unsafe { libc::close(number) };
}

/// Waits for ever with something in its hands.
pub(crate) fn wait_with<T>(_kept: T) -> ! {
    wait_for_ever()
}

/// What System V keeps until somebody removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipc {
    Memory { bytes: usize },
    Semaphores { key: i32 },
    Queue { key: i32 },
}

/// Makes one that was not there, and uses it, so that the kernel knows by whom.
pub(crate) fn make_ipc(what: Ipc) -> io::Result<()> {
    let new = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    match what {
        // SAFETY: numbers only.
        Ipc::Memory { bytes } => done(unsafe { libc::shmget(libc::IPC_PRIVATE, bytes, new) }),
        Ipc::Semaphores { key } => {
            // SAFETY: numbers only; SETVAL takes one.
            let id = unsafe { libc::semget(key, 1, new) };
            done(id)?;
            // SAFETY: as above.
            done(unsafe { libc::semctl(id, 0, libc::SETVAL, 1) })
        }
        Ipc::Queue { key } => {
            #[repr(C)]
            struct Message {
                kind: libc::c_long,
                text: [u8; 8],
            }
            let message = Message { kind: 1, text: *b"left for" };
            // SAFETY: numbers only.
            let id = unsafe { libc::msgget(key, new) };
            done(id)?;
            // SAFETY: a type above 0, and eight bytes behind it, as msgsnd(2) wants it; both live during the call.
            done(unsafe { libc::msgsnd(id, (&raw const message).cast(), message.text.len(), libc::IPC_NOWAIT) })
        }
    }
}

/// Removes one of them.
pub(crate) fn remove_ipc(what: &str, id: i32) -> io::Result<()> {
    let none: *mut libc::shmid_ds = std::ptr::null_mut();
    // SAFETY: IPC_RMID looks at nothing but numbers.
    done(unsafe {
        match what {
            "shm" => libc::shmctl(id, libc::IPC_RMID, none),
            "semaphore" => libc::semctl(id, 0, libc::IPC_RMID),
            "queue" => libc::msgctl(id, libc::IPC_RMID, none.cast()),
            _ => return Err(io::Error::other("this is none of System V's")),
        }
    })
}
