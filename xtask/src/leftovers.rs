//! What is on the machine now that was not there before: processes, sockets, cgroup folders, mounts.
//!
//! Taken before and after, so that what others run at the same time is not blamed on the tests. A process counts when
//! it bears the mark of a run (`VIGIE_RUN` in its environment) or was built in this repository.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;

/// Variables that tell whose a process is: that of a run, and the home that it was started in.
const MARKS: [&str; 2] = ["VIGIE_RUN=", "VIGIE_HOME="];

/// How long something that is about to go may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The machine at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// By what makes it unique, with what to print.
    things: BTreeMap<String, String>,
}

impl Snapshot {
    /// Looks at everything. What cannot be read (another user's process) is not ours.
    pub(crate) fn take(workspace: &Workspace) -> Self {
        let mut things = BTreeMap::new();
        things.extend(processes(&workspace.target));
        things.extend(sockets());
        things.extend(cgroups(Path::new("/sys/fs/cgroup")));
        things.extend(mounts());
        Self { things }
    }

    /// Whether it is among them, as it is printed.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.things.values().any(|thing| thing == text)
    }

    /// What is there now, was not at the time of this snapshot, and is meant, by what is printed of it; and what lies in
    /// the folder `temporary`. What is about to go gets some time for that: on a busy machine the last step is late.
    pub(crate) fn since(
        &self,
        workspace: &Workspace,
        temporary: Option<&Path>,
        meant: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let watch = Stopwatch::start();
        loop {
            let now = Self::take(workspace);
            let new = now.things.into_iter().filter(|(key, text)| !self.things.contains_key(key) && meant(text));
            let mut new: Vec<String> = new.map(|(_, text)| text).collect();
            new.extend(temporary.into_iter().flat_map(files));
            if new.is_empty() || watch.elapsed() > PATIENCE {
                return new;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| format!("{} in the temporary folder", entry.path().display())).collect()
}

fn processes(target: &Path) -> Vec<(String, String)> {
    let own = ancestors();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if own.contains(&pid) {
            continue;
        }
        let dir = entry.path();
        let read = |file: &str| fs::read(dir.join(file)).unwrap_or_default();
        let environment = read("environ");
        let variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let marks: Vec<_> = variables.filter(|variable| MARKS.iter().any(|mark| variable.starts_with(mark))).collect();
        let built = fs::read_link(dir.join("exe")).is_ok_and(|path| is_ours(target, &path));
        if !built && !marks.iter().any(|mark| mark.starts_with(MARKS[0])) {
            continue;
        }
        // A process that ended between two reads has no start time any more.
        let Some((_, start)) = stat(&read("stat")) else { continue };
        let command =
            read("cmdline").split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        let text = format!("process {pid}: {} ({})", command.trim_end(), marks.join(" "));
        found.push((format!("process {pid} {start}"), text));
    }
    found
}

/// A program or test of this repository: not what cargo runs while it builds, and not this program.
fn is_ours(target: &Path, executable: &Path) -> bool {
    let Ok(below) = executable.strip_prefix(target) else { return false };
    let parts: Vec<&OsStr> = below.iter().collect();
    match parts.as_slice() {
        [_, name] => !name.as_bytes().starts_with(b"xtask"),
        [_, folder, name] => *folder == "deps" && !name.as_bytes().starts_with(b"xtask-"),
        _ => false,
    }
}

/// This process and all above it.
fn ancestors() -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut pid = std::process::id();
    while pid > 0 && found.insert(pid) {
        pid = fs::read(format!("/proc/{pid}/stat")).ok().and_then(|text| stat(&text)).map_or(0, |(parent, _)| parent);
    }
    found
}

/// Parent and start time of `/proc/PID/stat` (proc_pid_stat(5)): fields 4 and 22. The name may hold anything, so the
/// counting starts behind its last bracket.
fn stat(text: &[u8]) -> Option<(u32, u64)> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    Some((parent, fields.nth(17)?.parse().ok()?))
}

/// Sockets of keepers and daemons that somebody has open.
fn sockets() -> Vec<(String, String)> {
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(6);
        if let (Some(inode), Some(path)) = (words.next(), words.next())
            && (path.ends_with("/control.sock") || path.ends_with("/daemon.sock"))
        {
            found.push((format!("socket {inode}"), format!("open socket {path}")));
        }
    }
    found
}

/// Folders that runs made for their processes: `vigie-` and the id of the run.
fn cgroups(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            if entry.file_name().as_bytes().starts_with(b"vigie-") {
                let text = format!("cgroup {}", path.display());
                found.push((text.clone(), text));
            }
            open.push(path);
        }
    }
    found
}

fn mounts() -> Vec<(String, String)> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let id = words.next()?.to_owned();
        Some((format!("mount {id}"), format!("mount {}", words.nth(3)?)))
    };
    text.lines().filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_marked_process_is_found_until_it_ends() {
        let workspace = Workspace { root: "/nowhere".into(), target: "/nowhere/target".into() };
        let find = |pid: u32| {
            processes(&workspace.target).into_iter().any(|(key, _)| key.starts_with(&format!("process {pid} ")))
        };
        let mut child = Command::new("cat")
            .env("VIGIE_RUN", "x")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cat");
        // Who spawns goes on before the exec is through: only one that answers surely has its own environment.
        child.stdin.as_mut().expect("piped").write_all(b"x").expect("it reads");
        child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("it answers");
        let seen = find(child.id());
        drop(child.stdin.take());
        child.wait().expect("it ends with its input");
        assert!(seen);
        assert!(!find(child.id()));
    }

    #[test]
    fn ours_are_programs_and_tests_of_this_repository() {
        let ours = |path: &str| is_ours(Path::new("/r/target"), Path::new(path));
        assert!(ours("/r/target/debug/vigie"));
        assert!(ours("/r/target/debug/deps/real-0123"));
        assert!(!ours("/r/target/debug/xtask"));
        assert!(!ours("/r/target/debug/build/libc-1/build-script-build"));
        assert!(!ours("/usr/bin/vigie"));
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text = b"7 (a) 1 2)) S 5 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(stat(text), Some((5, 4242)));
        assert_eq!(stat(b""), None);
    }

    #[test]
    fn cgroup_folders_are_found_at_any_depth() {
        let root = std::env::temp_dir().join(format!("xtask-cgroups-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b/vigie-0123")).expect("folder");
        let found = cgroups(&root);
        fs::remove_dir_all(&root).expect("folder");
        assert_eq!(found.len(), 1);
        assert!(found[0].1.ends_with("a/b/vigie-0123"));
    }
}
