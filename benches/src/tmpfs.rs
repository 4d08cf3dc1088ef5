//! Folders in memory, as `/run` and `$XDG_RUNTIME_DIR` are wherever systemd or elogind made them.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A tmpfs; unmounted when this is dropped.
#[derive(Debug)]
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one over an existing folder. Only root can: without, the folder stays as it is.
    pub(crate) fn over(folder: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        mount("tmpfs", folder, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0700").ok()?;
        Some(Self(folder.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
            eprintln!("warning: cannot unmount {}: {error}", self.0.display());
        }
    }
}
