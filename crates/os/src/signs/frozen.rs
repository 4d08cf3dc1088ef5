//! Which cgroups are frozen.

use std::path::{Path, PathBuf};

use crate::proc::Proc;

/// A machine with more cgroups is not looked through further.
const GROUPS: usize = 20_000;

/// A cgroup that was frozen, not only one above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Of which hierarchy.
    pub version: u8,
    /// Its folder.
    pub folder: PathBuf,
    /// Who is in it or below it.
    pub members: Vec<u32>,
}

/// The frozen cgroups that have processes, in both hierarchies (kernel documentation, cgroup-v1, "freezer-subsystem";
/// cgroup-v2, "cgroup.freeze"). Files of the kernel; nobody else answers.
pub fn frozen(proc: &Proc) -> Vec<Frozen> {
    let mut buffer = Vec::new();
    let mounts = proc.read_global("self/mountinfo", &mut buffer).ok().flatten().unwrap_or_default();
    let mut found = Vec::new();
    for (version, root) in roots(mounts) {
        let order = if version == 1 { "freezer.self_freezing" } else { "cgroup.freeze" };
        walk(&root, &mut |folder| {
            if is_one(&folder.join(order)) {
                let mut members = Vec::new();
                walk(folder, &mut |below| members.extend(pids(below)));
                members.sort_unstable();
                members.dedup();
                if !members.is_empty() {
                    found.push(Frozen { version, folder: folder.to_owned(), members });
                }
            }
        });
    }
    found
}

/// Where the hierarchies that freeze are mounted, each once.
fn roots(mountinfo: &[u8]) -> Vec<(u8, PathBuf)> {
    let mut roots: Vec<(u8, PathBuf)> = Vec::new();
    for line in String::from_utf8_lossy(mountinfo).lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let (Some(point), mut back) = (front.split(' ').nth(4), back.split(' ')) else { continue };
        let (kind, options) = (back.next(), back.nth(1).unwrap_or_default());
        let version = match kind {
            Some("cgroup2") => 2,
            Some("cgroup") if options.split(',').any(|option| option == "freezer") => 1,
            _ => continue,
        };
        if !roots.iter().any(|(known, _)| *known == version) {
            roots.push((version, point.into()));
        }
    }
    roots
}

fn walk(root: &Path, each: &mut impl FnMut(&Path)) {
    let mut folders = vec![root.to_owned()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        count += 1;
        if count > GROUPS {
            return;
        }
        each(&folder);
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(below.map(|entry| entry.path()));
    }
}

fn is_one(file: &Path) -> bool {
    std::fs::read(file).is_ok_and(|text| text.trim_ascii() == b"1")
}

fn pids(folder: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // 0: it is outside of this PID namespace.
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchies_that_freeze() {
        let text = b"30 23 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n\
            31 23 0:27 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n\
            32 23 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n\
            33 23 0:28 / /mnt rw,relatime - cgroup2 cgroup2 rw\n";
        let expected = [(1, "/sys/fs/cgroup/freezer".into()), (2, "/sys/fs/cgroup/unified".into())];
        assert_eq!(roots(text), expected);
        assert_eq!(roots(b""), []);
    }

    #[test]
    fn a_frozen_folder_counts_with_what_is_below_it() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(root.path().join("cgroup.procs"), "9\n").unwrap();
        std::fs::write(root.path().join("a/cgroup.freeze"), "1\n").unwrap();
        std::fs::write(below.join("cgroup.procs"), "3\n0\n4\n").unwrap();
        let mut members = Vec::new();
        walk(&root.path().join("a"), &mut |folder| members.extend(pids(folder)));
        assert_eq!(members, [3, 4]);
        assert!(is_one(&root.path().join("a/cgroup.freeze")) && !is_one(&below.join("cgroup.freeze")));
    }
}
