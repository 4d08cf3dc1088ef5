//! Disks that are soon full.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::skip::{is_root, skip};

/// How much fits on one.
const SIZE: usize = 1 << 20;

/// A file system of one mebibyte. Dropping it takes it away, whatever becomes of the test.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it on a folder, which is made; `None`: `test` is skipped.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn at(path: &Path, test: &str) -> Option<Self> {
        if !is_root() {
            skip(test, "only root may mount a small file system");
            return None;
        }
        std::fs::create_dir_all(path).expect("folders");
        match mount("vigie-test", path, "tmpfs", MountFlags::empty(), Some(c"size=1m,mode=0700")) {
            Ok(()) => Some(Self(path.to_owned())),
            Err(errno) => {
                skip(test, &format!("no small file system can be mounted: {errno}"));
                None
            }
        }
    }

    /// Makes it full to so many percent, with a file of its own; whatever that held before.
    ///
    /// # Panics
    /// When it cannot be written to.
    pub fn fill_to(&self, percent: usize) {
        let path = self.0.join("part");
        // The file that is there makes room first.
        std::fs::write(&path, vec![0_u8; SIZE / 100 * percent]).expect("room for that much");
    }

    /// Fills it to the last byte with a file of its own, which is returned: removing it makes room.
    ///
    /// # Panics
    /// When it cannot be written to.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut piece = vec![0_u8; 64 << 10];
        let mut file = std::fs::File::create(&path).expect("a file");
        while !piece.is_empty() {
            match std::io::Write::write(&mut file, &piece) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) => {
                    piece.truncate(piece.len() / 2);
                }
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
