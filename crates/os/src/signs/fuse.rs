//! FUSE file systems that are mounted here.

use vigie_core::text::OsText;

use crate::proc::Proc;

/// A FUSE file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// The number of its connection: the minor number of its device.
    pub connection: u32,
    /// Where it is mounted.
    pub point: OsText,
    /// `fuse.sshfs`
    pub kind: OsText,
}

/// Those of the mount namespace that a process lives in, each connection once. One on a block device (`fuseblk`) shows the number of that device
/// and not of its connection. Nothing is asked of the file systems; proc_pid_mountinfo(5).
pub fn mounted(proc: &Proc, pid: u32) -> Vec<Mounted> {
    let mut buffer = Vec::new();
    parse(proc.read(pid, "mountinfo", &mut buffer).ok().flatten().unwrap_or_default())
}

fn parse(mountinfo: &[u8]) -> Vec<Mounted> {
    let mut all: Vec<Mounted> = Vec::new();
    for line in mountinfo.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let Some(dash) = fields.iter().position(|field| field == b"-") else { continue };
        let (Some(device), Some(point), Some(kind)) = (fields.get(2), fields.get(4), fields.get(dash + 1)) else {
            continue;
        };
        if *kind != b"fuse" && !kind.starts_with(b"fuse.") {
            continue;
        }
        let minor = std::str::from_utf8(device).ok().and_then(|device| device.split_once(':')?.1.parse().ok());
        let Some(connection) = minor else { continue };
        if !all.iter().any(|known| known.connection == connection) {
            all.push(Mounted { connection, point: OsText(unescaped(point)), kind: OsText(kind.to_vec()) });
        }
    }
    all
}

/// The kernel writes blanks, tabs, newlines and backslashes as `\040`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let octal =
            behind.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match octal {
            Some(digits) => {
                let value = digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
                out.push(value.to_le_bytes()[0]);
                rest = &behind[3..];
            }
            None => {
                out.push(first);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_found_by_their_device() {
        let text = b"36 35 98:0 / / rw master:1 - ext4 /dev/root rw\n\
            45 36 0:45 / /home/a/my\\040files rw - fuse.sshfs host: rw,user_id=1\n\
            46 36 0:45 / /mnt rw shared:7 - fuse.sshfs host: rw\n\
            47 36 8:1 / /win rw - fuseblk /dev/sda1 rw\n\
            48 36 0:50 / /x rw - fuse x rw\n";
        let one = |connection, point: &str, kind: &str| Mounted { connection, point: point.into(), kind: kind.into() };
        assert_eq!(parse(text), [one(45, "/home/a/my files", "fuse.sshfs"), one(50, "/x", "fuse")]);
    }
}
