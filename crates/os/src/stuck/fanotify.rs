//! Who listens for permission events; fanotify(7). What a listener watches is told by the `fdinfo` of its descriptor
//! (`fanotify_show_fdinfo`, fs/notify/fdinfo.c).

use vigie_core::stuck::facts::{Mount, Object};
use vigie_core::why::facts::{Process, Told};

use super::descriptors::holders;
use super::scene::Scene;
use crate::error::OsError;

/// `FAN_OPEN_PERM`, `FAN_ACCESS_PERM`, `FAN_OPEN_EXEC_PERM` and `FAN_PRE_ACCESS` of include/uapi/linux/fanotify.h.
const PERMISSION: u64 = 0x17_0000;

/// What it watches with a say in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Marks {
    /// Mounts, by number.
    mounts: Vec<u32>,
    /// File systems, also of single files, by device as the kernel packs it.
    devices: Vec<u64>,
}

impl Marks {
    fn cover(&self, mount: &Mount) -> bool {
        let device = u64::from(mount.device.0) << 20 | u64::from(mount.device.1);
        self.mounts.contains(&mount.id) || self.devices.contains(&device)
    }
}

/// `fanotify ino:4f969 sdev:800013 mflags:0 mask:3b ignored_mask:40000000 …`, `fanotify mnt_id:12 …`, `fanotify sdev:800013
/// …`; all hexadecimal. `None` for a listener that asks nobody to wait.
fn marks(fdinfo: &[u8]) -> Option<Marks> {
    let mut marks = Marks::default();
    for line in fdinfo.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"fanotify ")) {
        let value = |name: &[u8]| {
            let field = line.split(|byte| *byte == b' ').find_map(|field| field.strip_prefix(name));
            u64::from_str_radix(std::str::from_utf8(field?).ok()?, 16).ok()
        };
        if value(b"mask:").is_none_or(|mask| mask & PERMISSION == 0) {
            continue;
        }
        marks.mounts.extend(value(b"mnt_id:").and_then(|id| u32::try_from(id).ok()));
        marks.devices.extend(value(b"sdev:"));
    }
    (marks != Marks::default()).then_some(marks)
}

/// Those who may be asked about these files; all who have a say anywhere, when it is not known which file it is, or none
/// of them seems to watch it.
pub(super) fn listeners(scene: &Scene<'_>, files: &[Object]) -> Result<Told<Vec<Process>>, OsError> {
    let mut all = scene.aside.ask(|proc| holders(proc, |link| link == b"anon_inode:[fanotify]", marks))?;
    if let Told::Known(all) = &mut all {
        let mounts = || {
            files.iter().filter_map(|object| match object {
                Object::File { mount, .. } => mount.as_ref(),
                _ => None,
            })
        };
        let covers = |marks: &Marks| mounts().any(|mount| marks.cover(mount));
        if all.found.iter().any(|(_, marks)| covers(marks)) {
            all.found.retain(|(_, marks)| covers(marks));
        }
    }
    scene.people(&all)
}

#[cfg(test)]
mod tests {
    use vigie_core::text::OsText;

    use super::*;

    fn mount(id: u32, device: (u32, u32)) -> Mount {
        let text = || OsText::from("x");
        Mount { id, device, kind: text(), source: text(), point: text(), fuse: None, backing: None }
    }

    #[test]
    fn what_is_watched() {
        let head = "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t7\nfanotify flags:4 event-flags:8000\n";
        for (line, wanted) in [
            ("", None),
            // It is only told.
            ("fanotify mnt_id:1b mflags:0 mask:3b ignored_mask:0\n", None),
            ("fanotify mnt_id:1b mflags:0 mask:10000 ignored_mask:0\n", Some((vec![27], vec![]))),
            ("fanotify sdev:fe00000 mflags:0 mask:20001 ignored_mask:0\n", Some((vec![], vec![0xfe0_0000]))),
            (
                "fanotify ino:4f969 sdev:700003 mflags:0 mask:40000 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:0\n",
                Some((vec![], vec![0x70_0003])),
            ),
        ] {
            let wanted = wanted.map(|(mounts, devices)| Marks { mounts, devices });
            assert_eq!(marks(format!("{head}{line}").as_bytes()), wanted, "{line}");
        }
    }

    #[test]
    fn what_is_covered() {
        let marks = Marks { mounts: vec![27], devices: vec![0x70_0003] };
        assert!(marks.cover(&mount(27, (254, 0))) && marks.cover(&mount(99, (7, 3))));
        assert!(!marks.cover(&mount(28, (7, 4))));
    }
}
