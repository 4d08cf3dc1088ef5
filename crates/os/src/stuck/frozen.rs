//! The frozen cgroups above a process, in the freezer of cgroup v1 and in cgroup v2.
//!
//! A process has one place in each tree, and is frozen by whichever folder above it is.

use std::path::{Path, PathBuf};

use vigie_core::stuck::facts::FrozenCgroup;

use crate::cgroup::{self, flag};
use crate::error::OsError;
use crate::proc::Proc;

/// The nearest first, v1 before v2.
pub(super) fn frozen(proc: &Proc, pid: u32) -> Result<Vec<FrozenCgroup>, OsError> {
    let (mut mounts, mut cgroups) = (Vec::new(), Vec::new());
    let mounts = proc.read_global("self/mountinfo", &mut mounts)?.unwrap_or_default();
    let cgroups = proc.read(pid, "cgroup", &mut cgroups)?.unwrap_or_default();
    let place = cgroup::parse(mounts, cgroups);
    let mut found = Vec::new();
    for (version, folder, read) in [(1, place.freezer, v1 as fn(&Path) -> Option<State>), (2, place.v2, v2)] {
        let mut next: Option<PathBuf> = folder;
        // A folder without these files is the root of the tree, or lies above it.
        while let Some(folder) = next
            && let Some(state) = read(&folder)
        {
            next = folder.parent().map(Path::to_owned);
            if let Some(by_itself) = state {
                found.push(FrozenCgroup { version, folder: folder.into(), by_itself });
            }
        }
    }
    Ok(found)
}

/// Whether it is frozen, and then whether by itself.
type State = Option<bool>;

/// `freezer.state`, which the root has not. One that is still freezing counts: those of it that are frozen already are held
/// as long as the last one does not follow.
fn v1(folder: &Path) -> Option<State> {
    let state = std::fs::read(folder.join("freezer.state")).ok()?;
    if !matches!(state.trim_ascii(), b"FROZEN" | b"FREEZING") {
        return Some(None);
    }
    let own = std::fs::read(folder.join("freezer.self_freezing"));
    Some(Some(own.is_ok_and(|content| content.trim_ascii() == b"1")))
}

/// `cgroup.freeze` tells what was asked of it, `cgroup.events` what it is. Folders that are not threaded have the latter.
fn v2(folder: &Path) -> Option<State> {
    let events = std::fs::read(folder.join("cgroup.events")).ok()?;
    let by_itself = std::fs::read(folder.join("cgroup.freeze")).is_ok_and(|content| content.trim_ascii() == b"1");
    let frozen = flag(&events, b"frozen") == Some(true);
    Some((frozen || by_itself).then_some(by_itself))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::tests::FakeProc;

    #[test]
    fn those_above_it_the_nearest_first() {
        let fake = FakeProc::new(true);
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().to_str().unwrap();
        let mounts = format!(
            "30 1 0:1 / {root}/v1 rw - cgroup cgroup rw,freezer\n31 1 0:2 / {root}/v2 rw - cgroup2 cgroup2 rw\n"
        );
        fake.file("self/mountinfo", mounts);
        let write = |file: &str, content: &str| {
            let path = tree.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        for (folder, state, own) in
            [("a", "FREEZING", "1"), ("a/b", "FROZEN", "0"), ("a/b/c", "FROZEN", "1"), ("free", "THAWED", "0")]
        {
            write(&format!("v1/{folder}/freezer.state"), &format!("{state}\n"));
            write(&format!("v1/{folder}/freezer.self_freezing"), &format!("{own}\n"));
        }
        for (folder, freeze, frozen) in [("x", "1", "1"), ("x/y", "0", "1"), ("free", "0", "0")] {
            write(&format!("v2/{folder}/cgroup.freeze"), &format!("{freeze}\n"));
            write(&format!("v2/{folder}/cgroup.events"), &format!("populated 1\nfrozen {frozen}\n"));
        }
        for (pid, freezer, unified) in
            [(10, "/a/b/c", "/free"), (11, "/free", "/x/y"), (12, "/free", "/free"), (13, "/", "/"), (14, "/a", "/x")]
        {
            fake.file(&format!("{pid}/cgroup"), format!("6:freezer:{freezer}\n1:cpu:/b\n0::{unified}\n"));
        }
        let proc = fake.open();
        let told = |pid| {
            let name = |cgroup: &FrozenCgroup| cgroup.folder.to_string()[root.len()..].to_owned();
            let all = frozen(&proc, pid).unwrap();
            all.iter().map(|one| (one.version, name(one), one.by_itself)).collect::<Vec<_>>()
        };
        let of = |version, name: &str, by_itself| (version, name.to_owned(), by_itself);
        assert_eq!(told(10), [of(1, "/v1/a/b/c", true), of(1, "/v1/a/b", false), of(1, "/v1/a", true)]);
        assert_eq!(told(11), [of(2, "/v2/x/y", false), of(2, "/v2/x", true)]);
        assert_eq!((told(12), told(13), told(404)), (vec![], vec![], vec![]));
        assert_eq!(told(14), [of(1, "/v1/a", true), of(2, "/v2/x", true)]);
    }
}
