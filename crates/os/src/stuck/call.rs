//! System calls by number, and which of their arguments name a file; syscalls(2).
//!
//! The numbers are those of this machine's own calls. A 32-bit program on a 64-bit kernel has others: it is known by its
//! stack, which lies below 4 GiB.

use vigie_core::stuck::facts::Call;

/// What names a file in the arguments of a call, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arg {
    /// A descriptor.
    Fd(usize),
    /// A path, as the working folder has it.
    Path(usize),
    /// A path, as the folder with this descriptor has it; openat(2).
    At(usize, usize),
}

use Arg::{At, Fd, Path};

/// A number, its name, and the files that it takes. Where there are two, the one that is written comes first.
type Row = (i64, &'static str, &'static [Arg]);

macro_rules! rows {
    ($($number:ident $name:literal $args:expr;)*) => { &[$((libc::$number, $name, $args),)*] };
}

/// On every architecture.
const COMMON: &[Row] = rows! {
    SYS_read "read" &[Fd(0)];
    SYS_write "write" &[Fd(0)];
    SYS_pread64 "pread64" &[Fd(0)];
    SYS_pwrite64 "pwrite64" &[Fd(0)];
    SYS_readv "readv" &[Fd(0)];
    SYS_writev "writev" &[Fd(0)];
    SYS_preadv "preadv" &[Fd(0)];
    SYS_pwritev "pwritev" &[Fd(0)];
    SYS_preadv2 "preadv2" &[Fd(0)];
    SYS_pwritev2 "pwritev2" &[Fd(0)];
    SYS_close "close" &[Fd(0)];
    SYS_fstat "fstat" &[Fd(0)];
    SYS_fsync "fsync" &[Fd(0)];
    SYS_fdatasync "fdatasync" &[Fd(0)];
    SYS_ftruncate "ftruncate" &[Fd(0)];
    SYS_fallocate "fallocate" &[Fd(0)];
    SYS_getdents64 "getdents64" &[Fd(0)];
    SYS_fchmod "fchmod" &[Fd(0)];
    SYS_fchown "fchown" &[Fd(0)];
    SYS_fstatfs "fstatfs" &[Fd(0)];
    SYS_flock "flock" &[Fd(0)];
    SYS_fcntl "fcntl" &[Fd(0)];
    SYS_ioctl "ioctl" &[Fd(0)];
    SYS_lseek "lseek" &[Fd(0)];
    SYS_readahead "readahead" &[Fd(0)];
    SYS_syncfs "syncfs" &[Fd(0)];
    SYS_fsetxattr "fsetxattr" &[Fd(0)];
    SYS_fgetxattr "fgetxattr" &[Fd(0)];
    SYS_flistxattr "flistxattr" &[Fd(0)];
    SYS_fremovexattr "fremovexattr" &[Fd(0)];
    SYS_fchdir "fchdir" &[Fd(0)];
    SYS_sendfile "sendfile" &[Fd(0), Fd(1)];
    SYS_splice "splice" &[Fd(2), Fd(0)];
    SYS_tee "tee" &[Fd(1), Fd(0)];
    SYS_vmsplice "vmsplice" &[Fd(0)];
    SYS_copy_file_range "copy_file_range" &[Fd(2), Fd(0)];
    SYS_mmap "mmap" &[Fd(4)];
    SYS_chdir "chdir" &[Path(0)];
    SYS_statfs "statfs" &[Path(0)];
    SYS_truncate "truncate" &[Path(0)];
    SYS_chroot "chroot" &[Path(0)];
    SYS_mount "mount" &[Path(1), Path(0)];
    SYS_umount2 "umount2" &[Path(0)];
    SYS_execve "execve" &[Path(0)];
    SYS_getxattr "getxattr" &[Path(0)];
    SYS_lgetxattr "lgetxattr" &[Path(0)];
    SYS_setxattr "setxattr" &[Path(0)];
    SYS_lsetxattr "lsetxattr" &[Path(0)];
    SYS_listxattr "listxattr" &[Path(0)];
    SYS_llistxattr "llistxattr" &[Path(0)];
    SYS_removexattr "removexattr" &[Path(0)];
    SYS_lremovexattr "lremovexattr" &[Path(0)];
    SYS_openat "openat" &[At(0, 1)];
    SYS_openat2 "openat2" &[At(0, 1)];
    SYS_mkdirat "mkdirat" &[At(0, 1)];
    SYS_mknodat "mknodat" &[At(0, 1)];
    SYS_fchownat "fchownat" &[At(0, 1)];
    SYS_newfstatat "newfstatat" &[At(0, 1)];
    SYS_unlinkat "unlinkat" &[At(0, 1)];
    SYS_renameat2 "renameat2" &[At(2, 3), At(0, 1)];
    SYS_linkat "linkat" &[At(2, 3), At(0, 1)];
    SYS_symlinkat "symlinkat" &[At(1, 2)];
    SYS_readlinkat "readlinkat" &[At(0, 1)];
    SYS_fchmodat "fchmodat" &[At(0, 1)];
    SYS_faccessat "faccessat" &[At(0, 1)];
    SYS_faccessat2 "faccessat2" &[At(0, 1)];
    SYS_utimensat "utimensat" &[At(0, 1)];
    SYS_statx "statx" &[At(0, 1)];
    SYS_name_to_handle_at "name_to_handle_at" &[At(0, 1)];
    SYS_execveat "execveat" &[At(0, 1)];
    SYS_futex "futex" &[];
    SYS_epoll_pwait "epoll_pwait" &[];
    SYS_ppoll "ppoll" &[];
    SYS_pselect6 "pselect6" &[];
    SYS_wait4 "wait4" &[];
    SYS_waitid "waitid" &[];
    SYS_nanosleep "nanosleep" &[];
    SYS_clock_nanosleep "clock_nanosleep" &[];
    SYS_recvfrom "recvfrom" &[];
    SYS_recvmsg "recvmsg" &[];
    SYS_sendto "sendto" &[];
    SYS_sendmsg "sendmsg" &[];
    SYS_accept "accept" &[];
    SYS_accept4 "accept4" &[];
    SYS_connect "connect" &[];
    SYS_exit "exit" &[];
    SYS_exit_group "exit_group" &[];
    SYS_clone "clone" &[];
    SYS_clone3 "clone3" &[];
    SYS_sync "sync" &[];
    SYS_msync "msync" &[];
    SYS_munmap "munmap" &[];
    SYS_rt_sigsuspend "rt_sigsuspend" &[];
    SYS_rt_sigtimedwait "rt_sigtimedwait" &[];
    SYS_restart_syscall "restart_syscall" &[];
    SYS_io_getevents "io_getevents" &[];
    SYS_io_uring_enter "io_uring_enter" &[];
    SYS_ptrace "ptrace" &[];
};

/// Newer ones, which have the same number everywhere and are not in every libc.
const NUMBERED: &[Row] = &[(452, "fchmodat2", &[At(0, 1)])];

/// Those that only the older architectures have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[Row] = rows! {
    SYS_open "open" &[Path(0)];
    SYS_creat "creat" &[Path(0)];
    SYS_stat "stat" &[Path(0)];
    SYS_lstat "lstat" &[Path(0)];
    SYS_access "access" &[Path(0)];
    SYS_mkdir "mkdir" &[Path(0)];
    SYS_rmdir "rmdir" &[Path(0)];
    SYS_unlink "unlink" &[Path(0)];
    SYS_rename "rename" &[Path(1), Path(0)];
    SYS_link "link" &[Path(1), Path(0)];
    SYS_symlink "symlink" &[Path(1)];
    SYS_readlink "readlink" &[Path(0)];
    SYS_chmod "chmod" &[Path(0)];
    SYS_chown "chown" &[Path(0)];
    SYS_lchown "lchown" &[Path(0)];
    SYS_mknod "mknod" &[Path(0)];
    SYS_utime "utime" &[Path(0)];
    SYS_utimes "utimes" &[Path(0)];
    SYS_futimesat "futimesat" &[At(0, 1)];
    SYS_renameat "renameat" &[At(2, 3), At(0, 1)];
    SYS_getdents "getdents" &[Fd(0)];
    SYS_sync_file_range "sync_file_range" &[Fd(0)];
    SYS_vfork "vfork" &[];
    SYS_fork "fork" &[];
    SYS_poll "poll" &[];
    SYS_select "select" &[];
    SYS_epoll_wait "epoll_wait" &[];
    SYS_pause "pause" &[];
};

#[cfg(target_arch = "aarch64")]
const OLDER: &[Row] = &[(38, "renameat", &[At(2, 3), At(0, 1)]), (84, "sync_file_range", &[Fd(0)])];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const OLDER: &[Row] = &[];

/// `F_SETLKW` and `F_OFD_SETLKW` of fcntl(2), on 64-bit machines.
const WAIT_FOR_LOCK: [u64; 2] = [7, 38];

/// `CLONE_VFORK` of clone(2).
const CLONE_VFORK: u64 = 0x4000;

fn row(number: i64) -> Option<&'static Row> {
    [COMMON, NUMBERED, OLDER].into_iter().flatten().find(|row| row.0 == number)
}

/// Understands `/proc/PID/syscall`; proc_pid_syscall(5). `None` for a thread that runs, and for one that waits outside of
/// any system call: `running`, `-1 SP PC`.
pub(super) fn parse(line: &[u8]) -> Option<Call> {
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let number: i64 = fields.next()?.parse().ok().filter(|number| *number >= 0)?;
    let mut hex = || u64::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok();
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = hex()?;
    }
    let native = hex()? > u64::from(u32::MAX);
    Some(Call { name: row(number).filter(|_| native).map(|row| row.1), number, arguments })
}

/// The files that a call is about.
pub(super) fn files(call: &Call) -> &'static [Arg] {
    call.name.and_then(|_| row(call.number)).map_or(&[], |row| row.2)
}

/// The descriptor that a call writes to.
pub(super) fn written(call: &Call) -> Option<u32> {
    const WRITE: &[&str] =
        &["write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "splice", "tee", "vmsplice"];
    match files(call).first()? {
        Fd(at) if WRITE.contains(&call.name?) => Some(descriptor(call.arguments[*at])),
        _ => None,
    }
}

/// It asks for a lock of a file, and waits for it: the descriptor of that.
pub(super) fn locked(call: &Call) -> Option<u32> {
    let waits = match call.name? {
        "flock" => true,
        "fcntl" => WAIT_FOR_LOCK.contains(&call.arguments[1]),
        _ => false,
    };
    waits.then(|| descriptor(call.arguments[0]))
}

/// It may be the making of a child for which the parent waits. The flags of clone3(2) lie in memory, and are not looked at.
pub(super) fn may_vfork(call: &Call) -> bool {
    match call.name {
        Some("vfork" | "clone3") => true,
        Some("clone") => call.arguments[0] & CLONE_VFORK != 0,
        _ => false,
    }
}

/// Descriptors are 32 bits wide; what a register holds above that is not looked at by the kernel.
pub(super) fn descriptor(argument: u64) -> u32 {
    (argument & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SP: &str = "0x7ffd00000000 0x7f0000000000";

    fn call(number: i64, arguments: &str) -> Call {
        parse(format!("{number} {arguments} {SP}\n").as_bytes()).unwrap()
    }

    #[test]
    fn lines() {
        for (line, wanted) in [
            ("running\n", None),
            ("-1 0x7ffd27e1f8d8 0x7f9d1b3f6e29\n", None),
            ("", None),
            ("1 0x1\n", None),
            ("1 1 0x2 0x3 0x4 0x5 0x6 0x7ffd00000000 0x7f0000000000\n", None),
            (
                "9999 0x1 0x2 0x3 0x4 0x5 0xffffffffffffffff 0x7ffd00000000 0x7f0000000000\n",
                Some(Call { name: None, number: 9999, arguments: [1, 2, 3, 4, 5, u64::MAX] }),
            ),
        ] {
            assert_eq!(parse(line.as_bytes()), wanted, "{line}");
        }
    }

    #[test]
    fn a_32_bit_program_has_other_numbers() {
        let line = format!("{} 0x1 0x2 0x3 0x0 0x0 0x0 0xffd4b2ac 0xf7f00000\n", libc::SYS_write);
        let call = parse(line.as_bytes()).unwrap();
        assert_eq!((call.name, files(&call), written(&call)), (None, &[][..], None));
    }

    #[test]
    fn each_number_and_name_once() {
        let all: Vec<&Row> = [COMMON, NUMBERED, OLDER].into_iter().flatten().collect();
        for row in &all {
            let same = all.iter().filter(|other| other.0 == row.0 || other.1 == row.1).count();
            assert_eq!(same, 1, "{}", row.1);
            assert!(row.2.iter().all(|arg| match arg {
                Fd(at) | Path(at) => *at < 6,
                At(folder, at) => *folder < 6 && *at < 6,
            }));
        }
    }

    #[test]
    fn what_they_are_about() {
        let write = call(libc::SYS_write, "0x1 0x2 0x3 0x0 0x0 0x0");
        assert_eq!((write.name, written(&write), locked(&write)), (Some("write"), Some(1), None));
        // The upper half of a register is nobody's.
        let write = call(libc::SYS_write, "0xdead00000005 0x2 0x3 0x0 0x0 0x0");
        assert_eq!(written(&write), Some(5));
        let splice = call(libc::SYS_splice, "0x3 0x0 0x7 0x0 0x0 0x0");
        assert_eq!((written(&splice), files(&splice)), (Some(7), &[Fd(2), Fd(0)][..]));
        assert_eq!(written(&call(libc::SYS_read, "0x1 0x2 0x3 0x0 0x0 0x0")), None);
        assert_eq!(locked(&call(libc::SYS_flock, "0x4 0x2 0x0 0x0 0x0 0x0")), Some(4));
        for (command, wanted) in [(7, Some(4)), (38, Some(4)), (6, None)] {
            assert_eq!(locked(&call(libc::SYS_fcntl, &format!("0x4 {command:#x} 0x0 0x0 0x0 0x0"))), wanted);
        }
        assert!(may_vfork(&call(libc::SYS_clone, "0x4111 0x0 0x0 0x0 0x0 0x0")));
        assert!(!may_vfork(&call(libc::SYS_clone, "0x11 0x0 0x0 0x0 0x0 0x0")));
        assert_eq!(files(&call(libc::SYS_newfstatat, "0x0 0x0 0x0 0x0 0x0 0x0")), [At(0, 1)]);
    }
}
