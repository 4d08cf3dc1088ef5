//! The calls that no safe library wraps.
#![allow(
    unsafe_code,
    reason = "to make what nobody wants is what this program is for; nothing of it is linked into vigie"
)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

fn done(result: i32) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn made(fd: i64) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    done(fd)?;
    // SAFETY: the kernel has just given it out, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// fork(2): in the parent the number of the child, in the child nothing.
pub(crate) fn fork() -> io::Result<Option<u32>> {
    // SAFETY: whoever forks here has one thread, so the child finds no lock taken that nobody will ever free.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some(child.cast_unsigned())),
    }
}

/// Ends the process at once: no destructors, no buffers of the other side of a fork.
pub(crate) fn quit(code: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Ends this thread alone, also when it is the main one: exit(2), not exit_group(2).
pub(crate) fn end_thread() -> ! {
    // SAFETY: SYS_exit takes a number and does not return. The stack of the thread stays as it is.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    pause()
}

/// Is killed when the thread that forked it ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a number.
    done(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

/// Whoever wants to may trace this process, also where Yama allows it for descendants only.
pub(crate) fn let_trace() {
    // SAFETY: PR_SET_PTRACER takes a number. Without Yama it fails, and is not needed.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::MAX) };
}

/// The name in `/proc/self/comm`: the first 15 bytes.
pub(crate) fn rename(name: &CStr) {
    // SAFETY: PR_SET_NAME reads at most 16 bytes of a string that ends with a zero. It cannot fail.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Waits until a signal ends the process.
pub(crate) fn pause() -> ! {
    loop {
        // SAFETY: pause(2) has no preconditions.
        unsafe { libc::pause() };
    }
}

/// Sleeps for ever: nanosleep(2).
pub(crate) fn sleep() -> ! {
    loop {
        let hour = libc::timespec { tv_sec: 3600, tv_nsec: 0 };
        // SAFETY: the time lives during the call; what is left of it is not asked for.
        unsafe { libc::nanosleep(&raw const hour, std::ptr::null_mut()) };
    }
}

pub(crate) fn ignore(signal: i32) {
    // SAFETY: SIG_IGN installs no code.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

extern "C" fn nothing(_signal: i32) {}

/// Takes a signal, and does nothing about it.
pub(crate) fn swallow(signal: i32) {
    // SAFETY: the handler does nothing, so it is safe at every moment.
    unsafe { libc::signal(signal, nothing as *const () as libc::sighandler_t) };
}

/// Every signal has its default action, and none is blocked.
pub(crate) fn plain_signals() -> io::Result<()> {
    for signal in 1..32 {
        // SAFETY: SIG_DFL installs no code; what is no signal of ours is refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    mask(libc::SIG_SETMASK, &[])
}

pub(crate) fn block(signals: &[i32]) -> io::Result<()> {
    mask(libc::SIG_BLOCK, signals)
}

fn set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: all zeroes is a value of this type, and sigemptyset(3) initialises it; sigaddset(3) takes any number.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

fn mask(how: i32, signals: &[i32]) -> io::Result<()> {
    let set = set(signals);
    // SAFETY: `set` lives during the call; no old set is asked for.
    match unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// A descriptor that can be read when one of these blocked signals has come.
pub(crate) fn signals(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = set(signals);
    // SAFETY: `set` lives during the call.
    made(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) }.into())
}

/// vfork(2) whose child neither executes a program nor ends: this does not return before somebody ends the child.
#[cfg(target_arch = "x86_64")]
pub(crate) fn vfork() {
    // SAFETY: the child shares the stack with its parent, which sleeps in the kernel: it must not use it, and does not. It
    // orders a KILL for the end of its parent (prctl), and then does nothing but pause, with registers of its own.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 3f",
            "mov eax, 157",
            "mov edi, 1",
            "mov esi, 9",
            "syscall",
            "2:",
            "mov eax, 34",
            "syscall",
            "jmp 2b",
            "3:",
            inout("rax") libc::SYS_vfork => _,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
}

/// As vfork(2), but with memory of its own: other processors have no such call.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn vfork() {
    // SAFETY: the child has its own copy of memory and only makes system calls.
    unsafe {
        if libc::syscall(libc::SYS_clone, libc::CLONE_VFORK | libc::SIGCHLD, 0, 0, 0, 0) == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            pause();
        }
    }
}

/// unshare(2)
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: in a program with one thread it has no preconditions.
    done(unsafe { libc::unshare(flags) })
}

/// setns(2)
pub(crate) fn enter(namespace: BorrowedFd<'_>, kind: i32) -> io::Result<()> {
    // SAFETY: in a program with one thread it has no preconditions.
    done(unsafe { libc::setns(namespace.as_raw_fd(), kind) })
}

/// What becomes of mounts here is seen nowhere else, and what becomes of them elsewhere is not seen here.
pub(crate) fn keep_mounts_private() -> io::Result<()> {
    let none: *const libc::c_char = std::ptr::null();
    // SAFETY: with these flags only the path is read.
    done(unsafe { libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) })
}

/// mount(2)
pub(crate) fn mount(source: &Path, folder: &Path, kind: &CStr, options: &str) -> io::Result<()> {
    let (source, folder) = (text(source)?, text(folder)?);
    let options = CString::new(options).map_err(io::Error::other)?;
    // SAFETY: four strings that end with a zero and live during the call.
    done(unsafe {
        libc::mount(source.as_ptr(), folder.as_ptr(), kind.as_ptr(), libc::MS_NOSUID, options.as_ptr().cast())
    })
}

/// umount2(2) with MNT_DETACH: out of sight at once, gone with its last user.
pub(crate) fn unmount(folder: &Path) -> io::Result<()> {
    let folder = text(folder)?;
    // SAFETY: a string that ends with a zero and lives during the call.
    done(unsafe { libc::umount2(folder.as_ptr(), libc::MNT_DETACH) })
}

/// ptrace(2) with numbers only.
pub(crate) fn ptrace(request: libc::c_uint, pid: u32, data: libc::c_int) -> io::Result<()> {
    let none: *mut libc::c_void = std::ptr::null_mut();
    // SAFETY: none of the requests made here reads or writes memory of this process.
    match unsafe { libc::ptrace(request, pid.cast_signed(), none, libc::c_long::from(data)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// waitpid(2) for a tracee to stop.
pub(crate) fn wait_stopped(pid: u32) -> io::Result<()> {
    let mut status = 0;
    // SAFETY: `status` lives during the call.
    done(unsafe { libc::waitpid(pid.cast_signed(), &raw mut status, libc::__WALL) })?;
    if libc::WIFSTOPPED(status) { Ok(()) } else { Err(io::Error::other("it did not stop")) }
}

/// An ioctl(2) whose argument is a number, or nothing.
pub(crate) fn ioctl(fd: BorrowedFd<'_>, request: libc::Ioctl, argument: libc::c_ulong) -> io::Result<i32> {
    // SAFETY: only for requests that take a number (LOOP_CTL_GET_FREE, FIFREEZE, FITHAW).
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) };
    done(answer).map(|()| answer)
}

/// An ioctl(2) whose argument is a structure.
pub(crate) fn ioctl_bytes(fd: BorrowedFd<'_>, request: libc::Ioctl, bytes: &mut [u8]) -> io::Result<()> {
    // SAFETY: whoever calls gives as many bytes as the request has (LOOP_CONFIGURE, the ones of userfaultfd).
    done(unsafe { libc::ioctl(fd.as_raw_fd(), request, bytes.as_mut_ptr()) })
}

/// userfaultfd(2), for faults of programs: ordinary users may have one.
pub(crate) fn userfaultfd() -> io::Result<OwnedFd> {
    const USER_MODE_ONLY: libc::c_int = 1;
    // SAFETY: flags only.
    made(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) })
}

/// Anonymous memory that nobody has touched yet; never given back.
pub(crate) fn memory(bytes: usize) -> io::Result<&'static mut [u8]> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping where the kernel wants it.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is as long as that, zero, ours alone, and is never unmapped.
    Ok(unsafe { std::slice::from_raw_parts_mut(at.cast(), bytes) })
}

/// A group of fanotify(7) that is asked for permission.
pub(crate) fn fanotify() -> io::Result<OwnedFd> {
    let flags = libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC;
    // SAFETY: flags only.
    made(unsafe { libc::fanotify_init(flags, libc::O_RDONLY as libc::c_uint) }.into())
}

/// Asks the group when this one file is opened. A mark for a file, not for a mount: nothing else is ever held up.
pub(crate) fn ask_for_opens(group: BorrowedFd<'_>, file: &Path) -> io::Result<()> {
    let file = text(file)?;
    // SAFETY: a string that ends with a zero and lives during the call.
    done(unsafe {
        libc::fanotify_mark(group.as_raw_fd(), libc::FAN_MARK_ADD, libc::FAN_OPEN_PERM, libc::AT_FDCWD, file.as_ptr())
    })
}

/// fcntl(2) that waits for a lock of the whole file: `F_SETLKW` or `F_OFD_SETLKW`.
pub(crate) fn lock_whole(file: BorrowedFd<'_>, command: i32) -> io::Result<()> {
    // SAFETY: all zeroes is a value of this type: from the first byte to the last.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: `lock` lives during the call.
    done(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const lock) })
}

/// A new group of processes with this one alone.
pub(crate) fn own_group() -> io::Result<()> {
    // SAFETY: numbers only.
    done(unsafe { libc::setpgid(0, 0) })
}

/// Closes a descriptor by its number, in a child that goes on without what its parent has.
pub(crate) fn close(number: i32) {
    // SAFETY: the child ends by `quit`, so the owner of it, which it inherited with its memory, is never dropped.
    unsafe { libc::close(number) };
}
