//! Whether a lock is held, without touching it.
//!
//! Trying the lock would answer it, and make a starter fail that tries at the same moment: so `/proc/locks` is read. Its
//! answer is a hint. In a container it leaves out locks whose opener has ended, and the number that it names is the
//! opener's, who may have passed the lock on and be gone.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::error::OsError;
use crate::proc::Proc;
use crate::proc::stat::number;

/// Whether somebody holds the lock at this path.
///
/// # Errors
/// As for [`opener`].
pub fn is_held(proc: &Proc, path: &Path) -> Result<bool, OsError> {
    opener(proc, path).map(|pid| pid.is_some())
}

/// The number of the process that opened the file whose lock is held; 0 when it is out of sight. `None` when nobody holds
/// the lock or no file is there.
///
/// # Errors
/// What the kernel says when the path or `/proc` cannot be read.
pub fn opener(proc: &Proc, path: &Path) -> Result<Option<u32>, OsError> {
    use std::os::fd::AsRawFd as _;

    let file = match openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(OsError::on("open", path)(errno)),
    };
    let stat = fstat(&file).map_err(OsError::on("examine", path))?;
    // The list names the device of the mount. stat(2) tells another one on btrfs, so it is asked from the mount.
    let mut buf = Vec::new();
    let fdinfo = format!("self/fdinfo/{}", file.as_raw_fd());
    let mount = proc.read_global(&fdinfo, &mut buf)?.and_then(mount_id);
    let mut device = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    if let Some(mount) = mount
        && let Some(found) = proc.read_global("self/mountinfo", &mut buf)?.and_then(|text| device_of(text, mount))
    {
        device = found;
    }
    Ok(proc.read_global("locks", &mut buf)?.and_then(|text| opener_in(text, device, stat.st_ino)))
}

/// `mnt_id` in proc_pid_fdinfo(5).
fn mount_id(fdinfo: &[u8]) -> Option<u32> {
    fdinfo.split(|&byte| byte == b'\n').find_map(|line| number(line.strip_prefix(b"mnt_id:")?.trim_ascii()))
}

/// Major and minor number of a mount in proc_pid_mountinfo(5): `ID PARENT MAJOR:MINOR …`.
fn device_of(mountinfo: &[u8], mount: u32) -> Option<(u32, u32)> {
    mountinfo.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ');
        let id: u32 = number(fields.next()?)?;
        let mut device = fields.nth(1)?.split(|&byte| byte == b':');
        (id == mount).then_some((number(device.next()?)?, number(device.next()?)?))
    })
}

/// Looks for an exclusive flock in proc_locks(5): `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE …`, the device numbers
/// hexadecimal. Lines of those who wait for a lock have `->` in the second column.
fn opener_in(locks: &[u8], device: (u32, u32), inode: u64) -> Option<u32> {
    let text = |field: &[u8]| u32::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok();
    locks.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        if fields.nth(1)? != b"FLOCK" || fields.nth(1)? != b"WRITE" {
            return None;
        }
        let pid = number(fields.next()?).unwrap_or(0);
        let mut place = fields.next()?.split(|&byte| byte == b':');
        let found = (text(place.next()?)?, text(place.next()?)?);
        (found == device && number::<u64>(place.next()?)? == inode).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_locks() {
        let locks = b"1: POSIX  ADVISORY  WRITE 7 fe:00:10 0 EOF\n2: FLOCK  ADVISORY  READ 8 fe:00:10 0 EOF\n\
            3: FLOCK  ADVISORY  WRITE 9 fe:1f:10 0 EOF\n3: -> FLOCK  ADVISORY  WRITE 10 fe:00:10 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 11 00:2a:12 0 EOF\n5: FLOCK  ADVISORY  WRITE -1 00:2a:13 0 EOF\nbroken\n";
        assert_eq!(opener_in(locks, (0xfe, 0), 10), None);
        assert_eq!(opener_in(locks, (0xfe, 0x1f), 10), Some(9));
        assert_eq!(opener_in(locks, (0, 42), 12), Some(11));
        assert_eq!(opener_in(locks, (0, 42), 13), Some(0));
        assert_eq!(opener_in(b"", (0, 42), 13), None);
    }

    #[test]
    fn the_device_of_a_mount() {
        let mountinfo = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n122 22 0:42 / /run/user/7 rw - tmpfs tmpfs rw\n";
        assert_eq!(mount_id(b"pos:\t0\nflags:\t012100000\nmnt_id:\t122\nino:\t5\n"), Some(122));
        assert_eq!(mount_id(b"pos:\t0\n"), None);
        assert_eq!(device_of(mountinfo, 122), Some((0, 42)));
        assert_eq!(device_of(mountinfo, 2), None);
    }
}
