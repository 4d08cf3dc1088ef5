//! What a world leaves behind.

use std::path::Path;
use std::time::Duration;

use crate::processes::{Process, belongs, describe, of_world};
use crate::wait::within;

/// What is about to end gets so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that is left, in words. Processes are ended after they were named.
pub(crate) fn look(home: &Path, runs: &[String]) -> Vec<String> {
    let nothing = within(PATIENCE, || (of_world(home).is_empty() && others(home, runs).is_empty()).then_some(()));
    if nothing.is_some() {
        return Vec::new();
    }
    let mut left: Vec<String> = of_world(home).into_iter().map(describe).collect();
    left.extend(others(home, runs));
    end_all(home);
    left
}

/// The last net: by descriptor, after another look at whose it is; twice, for what was forked meanwhile.
pub(crate) fn end_all(home: &Path) {
    for _ in 0..50 {
        let left = of_world(home);
        if left.is_empty() {
            return;
        }
        for process in left.into_iter().filter_map(|pid| Process::open(pid, |pid| belongs(pid, home))) {
            process.signal(rustix::process::Signal::KILL);
            process.ended_within(Duration::from_secs(1));
        }
    }
}

fn others(home: &Path, runs: &[String]) -> Vec<String> {
    let home = home.to_string_lossy();
    let mut left = Vec::new();
    for (file, what) in [("/proc/net/unix", "socket"), ("/proc/self/mountinfo", "mount")] {
        let text = std::fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        left.extend(text.lines().filter(|line| line.contains(&*home)).map(|line| format!("{what}: {line}")));
    }
    if !runs.is_empty() {
        folders(Path::new("/sys/fs/cgroup"), &mut |path, name| {
            if name.strip_prefix("vigie-").is_some_and(|run| runs.iter().any(|known| known == run)) {
                left.push(format!("cgroup: {}", path.display()));
            }
        });
    }
    left
}

fn folders(dir: &Path, see: &mut dyn FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            see(&entry.path(), &entry.file_name().to_string_lossy());
            folders(&entry.path(), see);
        }
    }
}
