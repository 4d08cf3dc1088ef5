//! How a process ended that is nobody's child here, as an adopted one is.
//!
//! Only its own parent gets its status by waiting. Two places show it to others: the line of a zombie in `/proc` until
//! that parent has waited (`exit_code` in proc_pid_stat(5), to those who may read it), and after that a descriptor of the
//! process that was opened before (`PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, include/uapi/linux/pidfd.h, Linux 6.15). On an
//! older kernel a parent that waits at once leaves nothing to see: then it is unknown, which is not 0.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use vigie_core::exit::Exit;

use crate::pidfd::Target;
use crate::proc::Proc;
use crate::user;

/// `struct pidfd_info` in its first version, which every kernel that has the call knows.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, then eight user and group ids.
    numbers: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`
const EXIT: u64 = 1 << 3;

/// `_IOWR(0xFF, 11, struct pidfd_info)`
const GET_INFO: u32 = 3 << 30 | (size_of::<Info>() as u32) << 16 | 0xFF << 8 | 11;

/// The place of `exit_code` behind the name in `/proc/PID/stat`: field 52, and the first one there is field 3.
const PLACE: usize = 52 - 3;

/// How a process ended that is dead; [`Exit::Unknown`] when the kernel does not tell.
pub fn of(proc: &Proc, target: &Target) -> Exit {
    // In this order: what is a zombie no more was waited for, and then the descriptor tells.
    let status = of_zombie(proc, target).or_else(|| of_reaped(target.as_fd()));
    status.map_or(Exit::Unknown, decode)
}

fn of_zombie(proc: &Proc, target: &Target) -> Option<i32> {
    let key = target.key();
    let mut buffer = Vec::new();
    // To those who may not read it the kernel shows a 0.
    let status = proc.status(key.pid, &mut buffer).ok()??;
    let own = user::uid();
    if own != 0 && (status.uid, status.euid) != (own, own) {
        return None;
    }
    let line = proc.read(key.pid, "stat", &mut buffer).ok()??;
    let stat =
        crate::proc::stat::parse(line).filter(|stat| stat.start_ticks == key.start_ticks && stat.state == b'Z')?;
    debug_assert_eq!(stat.pid, key.pid);
    exit_code(line)
}

fn exit_code(line: &[u8]) -> Option<i32> {
    let close = line.iter().rposition(|&byte| byte == b')')?;
    let field = line[close + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(PLACE)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn of_reaped(descriptor: BorrowedFd<'_>) -> Option<i32> {
    let mut info = Info { mask: EXIT, ..Info::default() };
    // SAFETY: the descriptor is open; the kernel writes at most as many bytes as the number of the request says, which is
    // the size of the structure.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), GET_INFO as libc::Ioctl, &raw mut info) };
    (result == 0 && info.mask & EXIT != 0).then_some(info.exit_code)
}

/// The status as wait(2) gives it.
fn decode(status: i32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code(status >> 8 & 0xff),
        signal => Exit::Signal { signal, core_dumped: status & 0x80 != 0 },
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::clock;

    fn shell(script: &str) -> (Child, Target, Proc) {
        let proc = Proc::system().unwrap();
        let child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let target = Target::open_pid(&proc, child.id()).unwrap().unwrap();
        (child, target, proc)
    }

    #[test]
    fn a_status_is_decoded() {
        assert_eq!(decode(0), Exit::Code(0));
        assert_eq!(decode(7 << 8), Exit::Code(7));
        assert_eq!(decode(15), Exit::Signal { signal: 15, core_dumped: false });
        assert_eq!(decode(11 | 0x80), Exit::Signal { signal: 11, core_dumped: true });
        let fields: Vec<String> =
            (3..=52).map(|field| if field == 52 { "1792".to_owned() } else { "0".to_owned() }).collect();
        assert_eq!(exit_code(format!("42 (a) b) {}\n", fields.join(" ")).as_bytes()), Some(7 << 8));
        assert_eq!(exit_code(b"42 (a) Z 1 2"), None);
    }

    #[test]
    fn a_zombie_tells() {
        let (mut child, target, proc) = shell("read line; exit 7");
        drop(child.stdin.take());
        assert!(target.wait(clock::mono() + Duration::from_secs(60)).unwrap());
        assert_eq!(of(&proc, &target), Exit::Code(7));
        child.wait().unwrap();
    }

    #[test]
    fn one_that_was_waited_for_tells_where_the_kernel_keeps_it() {
        let (mut child, target, proc) = shell("read line; kill -TERM $$");
        drop(child.stdin.take());
        child.wait().unwrap();
        let told = of(&proc, &target);
        let known = Exit::Signal { signal: 15, core_dumped: false };
        assert!(told == known || told == Exit::Unknown, "{told:?}");
        if of_reaped(target.as_fd()).is_none() {
            println!("skipped in part: this kernel does not keep the status of a process that was waited for");
        }
    }

    #[test]
    fn one_that_lives_tells_nothing() {
        let (mut child, target, proc) = shell("read line");
        assert_eq!(of(&proc, &target), Exit::Unknown);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
