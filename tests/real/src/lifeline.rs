//! The kernel's word that a whole family of processes is gone.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use crate::wait::{LONG, elapsed, now};

/// A FIFO whose write end every process of a family has (`HOSTILE_LIFELINE`).
#[derive(Debug)]
pub struct Lifeline {
    path: PathBuf,
    reader: OwnedFd,
}

impl Lifeline {
    pub(crate) fn new(path: PathBuf) -> Self {
        let any = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, any, 0).expect("a FIFO can be made");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let reader = rustix::fs::open(&path, flags, Mode::empty()).expect("a FIFO can be opened");
        // For worlds of other users; the process's mask may have taken it away.
        rustix::fs::fchmod(&reader, any).expect("it is ours");
        Self { path, reader }
    }

    /// For the environment of the family.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there was a family and it is gone now, to the last process.
    pub fn is_cut(&self) -> bool {
        self.cut_within(Duration::ZERO)
    }

    /// Waits until it is gone: `false` when the time was over first.
    pub fn cut_within(&self, time: Duration) -> bool {
        let start = now();
        let mut fds = [PollFd::new(&self.reader, PollFlags::empty())];
        loop {
            let left = time.saturating_sub(elapsed(start));
            let timeout = Timespec::try_from(left).expect("short");
            match poll(&mut fds, Some(&timeout)) {
                Ok(1..) => return true,
                _ if left.is_zero() => return false,
                _ => {}
            }
        }
    }

    /// It must be gone at once: for the moment after somebody said so.
    #[track_caller]
    pub fn assert_cut(&self) {
        assert!(self.is_cut(), "processes of the run are still there");
    }

    /// Waits until it is gone.
    #[track_caller]
    pub fn wait_cut(&self) {
        assert!(self.cut_within(LONG), "processes of the run are still there after {LONG:?}");
    }
}
