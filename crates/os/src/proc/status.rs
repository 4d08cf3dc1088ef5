//! `/proc/PID/status`: what stands between a signal and its process, and whose it is; proc_pid_status(5).

use super::stat::number;

/// The lines of `status` that vigie asks for. What a kernel does not have is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The number of its process: another one than its own for a thread, which stands in no list and can be opened by its
    /// number all the same.
    pub leader: Option<u32>,
    /// Real user id.
    pub uid: u32,
    /// Effective user id: decides about permissions.
    pub euid: u32,
    /// Its number in the innermost PID namespace that it is in; 1 means that it is the init of one.
    pub innermost_pid: Option<u32>,
    /// Who traces it.
    pub tracer: Option<u32>,
    /// Signals waiting for the main thread, bit 0 is signal 1.
    pub pending: u64,
    /// Signals waiting for the whole process.
    pub shared_pending: u64,
    /// Signals that are blocked in the main thread.
    pub blocked: u64,
    /// Signals that are ignored.
    pub ignored: u64,
    /// Signals that have a handler.
    pub caught: u64,
    /// The kernel writes its core at this moment. Linux 4.15 and later tell.
    pub dumping: bool,
}

impl Status {
    /// Whether `mask` holds the signal with this number.
    pub fn has(mask: u64, signal: i32) -> bool {
        (1..=64).contains(&signal) && mask >> (signal - 1) & 1 == 1
    }
}

/// Parses the file. `None` when it has no `Uid` line, which every kernel writes. The name of the process cannot forge
/// lines: the kernel escapes newlines in it here.
pub fn parse(text: &[u8]) -> Option<Status> {
    let mut status = Status::default();
    let mut seen = false;
    for line in text.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let value = line[colon + 1..].trim_ascii();
        match &line[..colon] {
            b"Uid" => {
                let mut ids = value.split(u8::is_ascii_whitespace);
                status.uid = number(ids.next()?)?;
                status.euid = number(ids.next()?)?;
                seen = true;
            }
            b"Tgid" => status.leader = number(value),
            b"NSpid" => status.innermost_pid = value.split(u8::is_ascii_whitespace).next_back().and_then(number),
            b"TracerPid" => status.tracer = number(value).filter(|&pid: &u32| pid != 0),
            b"SigPnd" => status.pending = mask(value)?,
            b"ShdPnd" => status.shared_pending = mask(value)?,
            b"SigBlk" => status.blocked = mask(value)?,
            b"SigIgn" => status.ignored = mask(value)?,
            b"SigCgt" => status.caught = mask(value)?,
            b"CoreDumping" => status.dumping = value == b"1",
            _ => {}
        }
    }
    seen.then_some(status)
}

fn mask(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"Name:\ta\\nUid:\t0\t0\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t42\nPid:\t42\nTracerPid:\t77\n\
        Uid:\t1000\t1001\t1002\t1003\nNSpid:\t42\t1\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000004000\n\
        SigBlk:\t0000000000000001\nSigIgn:\t8000000000000000\nSigCgt:\t0000000180014a02\nCoreDumping:\t1\n";

    #[test]
    fn a_file() {
        let status = parse(TEXT).unwrap();
        assert_eq!((status.uid, status.euid), (1000, 1001));
        assert_eq!((status.leader, status.innermost_pid), (Some(42), Some(1)));
        assert_eq!(status.tracer, Some(77));
        assert!(Status::has(status.pending, 9));
        assert!(Status::has(status.shared_pending, 15));
        assert!(Status::has(status.blocked, 1));
        assert!(Status::has(status.ignored, 64));
        assert!(!Status::has(status.ignored, 15));
        assert!(Status::has(status.caught, 2));
        assert!(status.dumping);
        assert!(!Status::has(u64::MAX, 0) && !Status::has(u64::MAX, 65));
    }

    #[test]
    fn what_is_missing_is_absent() {
        let status = parse(b"Uid:\t0\t0\t0\t0\nTracerPid:\t0\n").unwrap();
        assert_eq!((status.innermost_pid, status.tracer, status.dumping), (None, None, false));
        assert_eq!(parse(b"Name:\tx\n"), None);
        assert_eq!(parse(b"Uid:\tx\t0\t0\t0\n"), None);
    }
}
