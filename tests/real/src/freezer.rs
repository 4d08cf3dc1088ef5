//! Processes that no signal ends: frozen by cgroup v1, where even KILL waits until they are thawed.

use std::path::{Path, PathBuf};

use crate::skip::{is_root, skip};
use crate::wait::until;

/// The freezer, if it is there; else `test` is skipped.
pub fn freezer(test: &str) -> Option<&'static Path> {
    let root = Path::new("/sys/fs/cgroup/freezer");
    if is_root() && (root.join("cgroup.procs").exists() || root.join("tasks").exists()) {
        return Some(root);
    }
    skip(test, "needs root and the freezer of cgroup v1");
    None
}

/// A process in a folder of its own of the freezer, frozen until this is dropped, whatever becomes of the test.
#[derive(Debug)]
pub struct Frozen(PathBuf);

impl Frozen {
    /// Freezes it.
    ///
    /// # Panics
    /// When that does not succeed.
    #[track_caller]
    pub fn new(root: &Path, pid: u32) -> Self {
        let frozen = Self(root.join(format!("frozen-by-test-{pid}")));
        std::fs::create_dir(&frozen.0).expect("root may make it");
        std::fs::write(frozen.0.join("cgroup.procs"), pid.to_string()).expect("root may move it");
        std::fs::write(frozen.0.join("freezer.state"), "FROZEN").expect("root may freeze it");
        until("it is frozen", || {
            (std::fs::read_to_string(frozen.0.join("freezer.state")).ok()?.trim() == "FROZEN").then_some(())
        });
        frozen
    }

    /// The folder of its cgroup.
    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("freezer.state"), "THAWED");
        until("the folder is empty", || std::fs::remove_dir(&self.0).ok());
    }
}
