//! The table of mounts of a process; proc_pid_mountinfo(5).

use crate::cgroup::unescape;
use crate::proc::stat::number;

/// One line: `36 35 98:0 /root /point rw,noatime master:1 - kind source options`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number.
    pub(super) id: u32,
    /// Of the file system: major and minor.
    pub(super) device: (u32, u32),
    /// Where, as seen from the root of the process.
    pub(super) point: Vec<u8>,
    pub(super) kind: Vec<u8>,
    pub(super) source: Vec<u8>,
    /// Of the file system, not of the mount.
    options: Vec<u8>,
}

impl Line {
    /// The value of one option of the file system: `user_id=0`.
    pub(super) fn option(&self, name: &[u8]) -> Option<&[u8]> {
        let mut options = self.options.split(|byte| *byte == b',');
        options.find_map(|option| option.strip_prefix(name)?.strip_prefix(b"="))
    }

    /// Somebody serves it over a connection of FUSE.
    pub(super) fn is_fuse(&self) -> bool {
        matches!(self.kind.as_slice(), b"fuse" | b"fuseblk" | b"virtiofs") || self.kind.starts_with(b"fuse.")
    }

    /// The number of its FUSE connection: that of the device, as the kernel packs it (`MKDEV`, include/linux/kdev_t.h),
    /// which for file systems without a block device is the minor number.
    pub(super) fn connection(&self) -> Option<u32> {
        self.is_fuse().then_some(self.device.0 << 20 | self.device.1)
    }
}

/// All lines; what is not one is left out.
pub(super) fn parse(text: &[u8]) -> Vec<Line> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Line> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let mut device = fields.nth(1)?.split(|byte| *byte == b':');
    let device = (number(device.next()?)?, number(device.next()?)?);
    let point = unescape(fields.nth(1)?);
    // Any number of fields before the dash.
    fields.by_ref().find(|field| *field == b"-")?;
    let kind = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    Some(Line { id, device, point, kind, source, options: unescape(fields.next().unwrap_or_default()) })
}

/// The mount that an absolute path without links lies on: the longest that it begins with, of several at one place the
/// last, which covers the others.
pub(super) fn of_path<'a>(lines: &'a [Line], path: &[u8]) -> Option<&'a Line> {
    let fits = |line: &&Line| match line.point.as_slice() {
        b"/" => path.starts_with(b"/"),
        point => path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")),
    };
    // Of equals, this takes the last.
    lines.iter().filter(fits).max_by_key(|line| line.point.len())
}

/// A path without `.`, `..` and empty parts. Links in it are not followed: they may lie on what does not answer.
pub(super) fn plain(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut plain = Vec::with_capacity(path.len());
    for part in &parts {
        plain.push(b'/');
        plain.extend_from_slice(part);
    }
    if plain.is_empty() { b"/".to_vec() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
31 27 0:28 / /mnt rw,nosuid - fuse.sshfs ana@nas:/home\\040dir rw,user_id=1000,group_id=100
32 31 7:3 /sub /mnt/a\\040b rw - ext4 /dev/loop3 rw
33 27 0:44 / /mnt rw - fuse server rw,user_id=0
34 27 0:45 / /auto rw - autofs systemd-1 rw,fd=29,pgrp=812,timeout=0,minproto=5,maxproto=5,direct,pipe_ino=1234
35 27 8:17 / /win rw - fuseblk /dev/sdb1 rw,user_id=0
36 27 0:46 / /odd rw - tmpfs
broken
";

    #[test]
    fn lines() {
        let lines = parse(TEXT);
        assert_eq!(lines.iter().map(|line| line.id).collect::<Vec<_>>(), [27, 31, 32, 33, 34, 35]);
        assert_eq!(lines[1].source, b"ana@nas:/home dir");
        assert_eq!((lines[2].device, lines[2].point.as_slice()), ((7, 3), b"/mnt/a b".as_slice()));
        let connections: Vec<_> = lines.iter().map(Line::connection).collect();
        assert_eq!(connections, [None, Some(28), None, Some(44), None, Some(8 << 20 | 17)]);
        assert_eq!(lines[1].option(b"user_id"), Some(b"1000".as_slice()));
        assert_eq!(lines[4].option(b"pgrp"), Some(b"812".as_slice()));
        assert_eq!((lines[4].option(b"direct"), lines[4].option(b"grp")), (None, None));
    }

    #[test]
    fn the_mount_of_a_path() {
        let lines = parse(TEXT);
        for (path, wanted) in [
            ("/", 27),
            ("/mntx/a", 27),
            // Another one was put over it.
            ("/mnt", 33),
            ("/mnt/x", 33),
            ("/mnt/a b/c", 32),
            ("/mnt/a bc", 33),
        ] {
            assert_eq!(of_path(&lines, path.as_bytes()).unwrap().id, wanted, "{path}");
        }
        assert_eq!(of_path(&lines, b"relative"), None);
        assert_eq!(of_path(&[], b"/"), None);
    }

    #[test]
    fn plain_paths() {
        for (path, wanted) in [("/a/./b//c/", "/a/b/c"), ("/a/../../b", "/b"), ("/..", "/"), ("", "/")] {
            assert_eq!(plain(path.as_bytes()), wanted.as_bytes(), "{path}");
        }
    }
}
