//! `/proc/PID/stat`: one line, the state of a process; proc_pid_stat(5).

/// What one line of `stat` says. Borrows the name from the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Its number.
    pub pid: u32,
    /// What it calls itself, at most 15 bytes for a program: any bytes, `)` and newlines included. Never a proof.
    pub comm: &'a [u8],
    /// The letter of its main thread's state: `R`, `S`, `D`, `T`, `t`, `Z`, `X`, `I`, …
    pub state: u8,
    /// Its parent; 0 for one whose parent is outside of this PID namespace.
    pub ppid: u32,
    /// Its process group; 0 for one that is being reaped at this moment.
    pub pgrp: u32,
    /// Its session; 0 for one that is being reaped at this moment.
    pub session: u32,
    /// The device number of its controlling terminal; 0 when it has none. See [`crate::user::terminal_name`].
    pub tty_nr: i32,
    /// Flags of the kernel (`PF_…` in include/linux/sched.h).
    pub flags: u32,
    /// Time in user mode, clock ticks (`sysconf(_SC_CLK_TCK)` a second). Of all its threads, those that ended included.
    pub utime_ticks: u64,
    /// Time in kernel mode, clock ticks.
    pub stime_ticks: u64,
    /// Threads, a main thread that has ended included.
    pub threads: u32,
    /// Clock ticks from boot to its start.
    pub start_ticks: u64,
    /// Resident pages; only roughly right (see proc_pid_statm(5)).
    pub rss_pages: u64,
}

/// `PF_KTHREAD` in include/linux/sched.h.
pub(crate) const KERNEL_THREAD: u32 = 0x0020_0000;

impl Stat<'_> {
    /// A thread of the kernel: it has no program, and no signal ends it.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// Dead and waiting for its parent. A main thread that has ended (`Z`) while other threads go on is not that: such a
    /// process still holds its ports and memory.
    pub fn is_zombie(&self) -> bool {
        match self.state {
            b'Z' => self.threads <= 1,
            b'X' | b'x' => true,
            _ => false,
        }
    }
}

/// Parses the line. `None` when it is not one.
///
/// The name stands in brackets and may hold brackets itself; after it come only numbers and one letter. So the last
/// `)` of the line ends it.
pub fn parse(line: &[u8]) -> Option<Stat<'_>> {
    let open = line.iter().position(|&byte| byte == b'(')?;
    let close = line.iter().rposition(|&byte| byte == b')')?;
    let comm = line.get(open + 1..close)?;
    let pid = number(line.get(..open)?.trim_ascii())?;
    let mut fields = line[close + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    // Numbers of the fields as in the manual page.
    let state = match fields.next()? {
        [letter] => *letter, // 3
        _ => return None,
    };
    let ppid = number(fields.next()?)?; // 4
    let pgrp = signed(fields.next()?)?.max(0).unsigned_abs(); // 5
    let session = signed(fields.next()?)?.max(0).unsigned_abs(); // 6
    let tty_nr = signed(fields.next()?)?; // 7
    let flags = number(fields.nth(9 - 8)?)?; // 9
    let utime_ticks = number(fields.nth(14 - 10)?)?; // 14
    let stime_ticks = number(fields.next()?)?; // 15
    let threads = number(fields.nth(20 - 16)?)?; // 20
    let start_ticks = number(fields.nth(22 - 21)?)?; // 22
    let rss_pages = number(fields.nth(24 - 23)?).unwrap_or(0); // 24; negative for an instant on some kernels
    Some(Stat {
        pid,
        comm,
        state,
        ppid,
        pgrp,
        session,
        tty_nr,
        flags,
        utime_ticks,
        stime_ticks,
        threads,
        start_ticks,
        rss_pages,
    })
}

/// A field after the name, by its number in the manual page. `None` on kernels that do not write so many.
pub(crate) fn later(line: &[u8], field: usize) -> Option<&[u8]> {
    let close = line.iter().rposition(|&byte| byte == b')')?;
    // The first behind the name is the third.
    line[close + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(field.checked_sub(3)?)
}

/// A decimal number without sign.
pub(crate) fn number<T: TryFrom<u64>>(digits: &[u8]) -> Option<T> {
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })?;
    T::try_from(value).ok()
}

fn signed(field: &[u8]) -> Option<i32> {
    match field.strip_prefix(b"-") {
        Some(digits) => number::<u32>(digits).and_then(|value| 0_i32.checked_sub_unsigned(value)),
        None => number(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(comm: &[u8], state: &str, threads: u32) -> Vec<u8> {
        let tail = format!(
            ") {state} 7 42 41 34816 -1 4194560 2 0 0 0 120 34 5 6 20 0 {threads} 0 98765 10000000 333 18446744073709551615 1 1 0 0\n"
        );
        [b"42 (", comm, tail.as_bytes()].concat()
    }

    #[test]
    fn hostile_names() {
        for comm in [
            b"sleep".as_slice(),
            b"",
            b")",
            b"a) R 1 1 1",
            b"(((",
            b")\n1 (x) S 1 2",
            b"\xff\xfe)\x00(",
            b" ",
            b"kworker/u8:3-events_unbound",
        ] {
            let line = line(comm, "S", 3);
            let stat = parse(&line).unwrap_or_else(|| panic!("{comm:?}"));
            let wanted = Stat {
                pid: 42,
                comm,
                state: b'S',
                ppid: 7,
                pgrp: 42,
                session: 41,
                tty_nr: 34816,
                flags: 0x0040_0100,
                utime_ticks: 120,
                stime_ticks: 34,
                threads: 3,
                start_ticks: 98765,
                rss_pages: 333,
            };
            assert_eq!(stat, wanted);
            assert!(!stat.is_kernel_thread());
        }
    }

    #[test]
    fn what_is_cut_short_is_not_a_line() {
        let whole = line(b"x", "S", 1);
        // After the 24th field nothing is needed.
        let enough = whole.windows(5).position(|window| window == b" 333 ").unwrap() + 4;
        for len in 0..enough - 3 {
            assert_eq!(parse(&whole[..len]), None, "{len}");
        }
        assert!(parse(&whole[..enough]).is_some());
        assert_eq!(parse(b"42 (x) SS 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 0 0 1 0 5 0 0"), None);
        assert_eq!(parse(b") 1 ("), None);
    }

    #[test]
    fn fields_by_their_numbers() {
        let line = line(b"a) b", "S", 3);
        for (field, wanted) in [(3, "S"), (4, "7"), (20, "3"), (24, "333"), (29, "0")] {
            assert_eq!(later(&line, field), Some(wanted.as_bytes()), "{field}");
        }
        assert_eq!((later(&line, 52), later(&line, 2), later(b"", 3)), (None, None, None));
    }

    #[test]
    fn a_main_thread_that_ended_is_not_yet_a_zombie() {
        for (state, threads, zombie) in
            [("Z", 1, true), ("Z", 0, true), ("Z", 2, false), ("X", 1, true), ("S", 1, false), ("D", 1, false)]
        {
            assert_eq!(parse(&line(b"x", state, threads)).unwrap().is_zombie(), zombie, "{state} {threads}");
        }
    }

    /// Seen in a scan beside a loop of short-lived children: group and session are -1 once the signal handlers of a dead
    /// process are released.
    #[test]
    fn one_that_is_being_reaped() {
        let line = b"42 (true) X 0 -1 -1 0 -1 4228108 0 0 0 0 0 0 0 0 20 0 0 0 98765 0 0 0 0\n";
        let stat = parse(line).unwrap();
        assert_eq!((stat.ppid, stat.pgrp, stat.session, stat.threads), (0, 0, 0, 0));
        assert!(stat.is_zombie());
    }

    #[test]
    fn threads_of_the_kernel() {
        assert!(!parse(&line(b"[kthreadd]", "S", 1)).unwrap().is_kernel_thread());
        let line = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0 0 0\n";
        assert!(parse(line).unwrap().is_kernel_thread());
    }

    #[test]
    fn numbers() {
        assert_eq!(number::<u32>(b"4294967295"), Some(u32::MAX));
        for bad in [b"".as_slice(), b"4294967296", b"-1", b"1x", b"+1", b"99999999999999999999999"] {
            assert_eq!(number::<u32>(bad), None);
        }
        assert_eq!(signed(b"-1"), Some(-1));
        assert_eq!(signed(b"-2147483648"), Some(i32::MIN));
        assert_eq!(signed(b"--1"), None);
    }
}
