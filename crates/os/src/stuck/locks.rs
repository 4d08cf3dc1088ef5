//! Who waits for which lock of a file, and who has it; proc_locks(5).
//!
//! The list names who opened the file, or took the lock. A lock of flock(2), an open file description lock and a lease belong
//! to the opened file, which a child inherits: when the opener has ended, the list still names it. Who has it in truth is
//! told by the `lock:` lines in the `fdinfo` of its descriptors.

use crate::proc::stat::number;

/// A line of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    /// Locks, and who waits for one, have the same.
    id: u64,
    /// It waits for the lock above it.
    pub(super) waits: bool,
    pub(super) kind: Kind,
    write: bool,
    /// Who took it or asked for it. `None` for one that belongs to nobody (`-1`).
    pub(super) pid: Option<u32>,
    /// Major and minor.
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
    first: u64,
    /// `u64::MAX` for the end of the file, wherever that is.
    last: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Flock,
    Posix,
    Ofd,
    Lease,
}

impl Kind {
    /// As in `vigie_core::stuck::facts::Object::Lock`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Flock => "flock",
            Kind::Posix => "posix",
            Kind::Ofd => "ofd",
            Kind::Lease => "lease",
        }
    }

    /// Locks of fcntl(2) keep each other away, whatever they belong to.
    fn meets(self, other: Kind) -> bool {
        let fcntl = |kind| matches!(kind, Kind::Posix | Kind::Ofd);
        self == other || fcntl(self) && fcntl(other)
    }
}

impl Lock {
    /// It keeps `waiter` from going on.
    fn blocks(&self, waiter: &Lock) -> bool {
        !self.waits
            && (self.device, self.inode) == (waiter.device, waiter.inode)
            && self.kind.meets(waiter.kind)
            && (self.kind == Kind::Lease || self.write || waiter.write)
            && self.first <= waiter.last
            && waiter.first <= self.last
    }

    /// Both are told of the same lock.
    pub(super) fn is(&self, other: &Lock) -> bool {
        let key = |lock: &Lock| (lock.kind, lock.write, lock.pid, lock.device, lock.inode, lock.first, lock.last);
        key(self) == key(other)
    }
}

/// All lines of the list, or of the `lock:` lines of an `fdinfo`.
pub(super) fn parse(text: &[u8]) -> Vec<Lock> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| parse_line(line.strip_prefix(b"lock:").unwrap_or(line))).collect()
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5398610 0 EOF`; `2: -> POSIX …` for one that waits, further to the right when it
/// waits for one that waits itself.
fn parse_line(line: &[u8]) -> Option<Lock> {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).peekable();
    let id = number(fields.next()?.strip_suffix(b":")?)?;
    let waits = fields.next_if(|field| *field == b"->").is_some();
    let kind = match fields.next()? {
        b"FLOCK" => Kind::Flock,
        b"POSIX" | b"ACCESS" => Kind::Posix,
        b"OFDLCK" => Kind::Ofd,
        b"LEASE" | b"DELEG" => Kind::Lease,
        _ => return None,
    };
    // ADVISORY, MANDATORY, ACTIVE, BREAKING, BREAKER
    fields.next()?;
    let write = fields.next()? == b"WRITE";
    let pid = fields.next()?;
    let pid = if pid == b"-1" { None } else { Some(number(pid)?) };
    let mut place = fields.next()?.split(|byte| *byte == b':');
    let hex = |text: &[u8]| u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
    let device = (hex(place.next()?)?, hex(place.next()?)?);
    let inode = number(place.next()?)?;
    let first = number(fields.next()?)?;
    let last = match fields.next()? {
        b"EOF" => u64::MAX,
        text => number(text)?,
    };
    Some(Lock { id, waits, kind, write, pid, device, inode, first, last })
}

/// The line of somebody who waits: the process with this number; or one that waits for this file (device and inode) with
/// a lock that belongs to nobody, which the list does not tell apart.
pub(super) fn waiter(locks: &[Lock], pid: u32, file: Option<((u32, u32), u64)>) -> Option<&Lock> {
    let here = |lock: &&Lock| file.is_none_or(|file| (lock.device, lock.inode) == file);
    let mine = || locks.iter().filter(|lock| lock.waits && lock.pid == Some(pid));
    let nobodys = || locks.iter().filter(|lock| lock.waits && lock.pid.is_none() && file.is_some());
    mine().find(here).or_else(|| nobodys().find(here)).or_else(|| mine().next())
}

/// The locks that keep a waiter from going on: the one above it first, then others that do.
pub(super) fn blockers<'a>(locks: &'a [Lock], waiter: &Lock) -> Vec<&'a Lock> {
    let above = locks.iter().find(|lock| lock.id == waiter.id && !lock.waits);
    let others = locks.iter().filter(|lock| lock.blocks(waiter) && Some(*lock) != above);
    above.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6 writes them; who waits for one that waits stands further to the right.
    const NEW: &[u8] = b"1: FLOCK  ADVISORY  WRITE 2596 fe:00:5398610 0 EOF\n\
        1: -> FLOCK  ADVISORY  WRITE 2600 fe:00:5398610 0 EOF\n\
        1:  -> FLOCK  ADVISORY  READ 2601 fe:00:5398610 0 EOF\n\
        2: POSIX  ADVISORY  READ 23507 fe:00:10128049 128 128\n\
        3: POSIX  ADVISORY  READ 23508 fe:00:10128049 100 199\n\
        3: -> POSIX  ADVISORY  WRITE 23509 fe:00:10128049 128 EOF\n\
        4: OFDLCK ADVISORY  WRITE -1 00:2a:12 0 9\n\
        4: -> OFDLCK ADVISORY  WRITE -1 00:2a:12 5 5\n\
        5: LEASE  BREAKING  WRITE 77 00:2a:13 0 EOF\n\
        5: -> LEASE  BREAKER   READ 78 00:2a:13 0 EOF\n\
        6: POSIX  ADVISORY  WRITE 5 <none>:0 0 0\n\
        7: POSIX  ADVISORY  READ 23510 fe:00:10128049 200 300\nbroken\n";

    fn takers(locks: &[Lock], pid: u32, file: Option<((u32, u32), u64)>) -> Option<(&'static str, Vec<Option<u32>>)> {
        let waiter = waiter(locks, pid, file)?;
        Some((waiter.kind.name(), blockers(locks, waiter).iter().map(|lock| lock.pid).collect()))
    }

    #[test]
    fn who_waits_for_whom() {
        let locks = parse(NEW);
        assert_eq!(locks.len(), 11);
        for (pid, file, wanted) in [
            (2600, None, Some(("flock", vec![Some(2596)]))),
            (2601, None, Some(("flock", vec![Some(2596)]))),
            // It waits for a reader of the same bytes, and there is another one; not for one of others.
            (23509, None, Some(("posix", vec![Some(23508), Some(23507), Some(23510)]))),
            (78, None, Some(("lease", vec![Some(77)]))),
            // Who waits with a lock of nobody, only the file tells.
            (1, Some(((0, 0x2a), 12)), Some(("ofd", vec![None]))),
            (1, Some(((0, 0x2a), 14)), None),
            (2596, None, None),
            (1, None, None),
            // The file is seen otherwise, as in btrfs; the number tells enough.
            (2600, Some(((0, 9), 5398610)), Some(("flock", vec![Some(2596)]))),
        ] {
            assert_eq!(takers(&locks, pid, file), wanted, "{pid} {file:?}");
        }
        assert_eq!((locks[0].device, locks[0].inode), ((0xfe, 0), 5398610));
    }

    #[test]
    fn bytes_that_do_not_meet() {
        let text = b"1: POSIX  ADVISORY  WRITE 5 00:2a:1 0 9\n2: POSIX  ADVISORY  WRITE 6 00:2a:1 10 19\n\
            1: -> POSIX  ADVISORY  READ 7 00:2a:1 0 9\n";
        assert_eq!(takers(&parse(text), 7, None), Some(("posix", vec![Some(5)])));
    }

    #[test]
    fn what_a_descriptor_tells() {
        let fdinfo = b"pos:\t0\nflags:\t0100002\nmnt_id:\t27\nino:\t5398610\n\
            lock:\t1: FLOCK  ADVISORY  WRITE 2596 fe:00:5398610 0 EOF\n";
        let told = parse(fdinfo);
        assert!(told.len() == 1 && told[0].is(&parse(NEW)[0]));
        assert!(!told[0].is(&parse(NEW)[2]));
    }

    /// Before Linux 2.6.38, no number was told for a device without one; and mandatory locks were there until 5.15.
    #[test]
    fn older_lines() {
        let locks =
            parse(b"1: POSIX  MANDATORY WRITE 9 08:01:77 0 EOF\n1: -> POSIX  MANDATORY WRITE 10 08:01:77 0 EOF\n");
        assert_eq!(takers(&locks, 10, None), Some(("posix", vec![Some(9)])));
    }
}
