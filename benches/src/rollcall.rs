//! Services say by themselves that they run: each writes a line into one FIFO. Nobody has to ask, which would cost more
//! than what is measured.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::time::Timespec;

use crate::failure::{Failure, Result};

/// A service that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here {
    pub(crate) pid: u32,
    /// When its `main` began: `CLOCK_BOOTTIME` in nanoseconds.
    pub(crate) at: u64,
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct RollCall {
    path: PathBuf,
    reader: BufReader<File>,
}

impl RollCall {
    /// # Errors
    /// When the FIFO cannot be made.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let failed = |error| Failure::io(format!("cannot make {}", path.display()))(error);
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(|errno| failed(errno.into()))?;
        // For writing too: without writers it would be at its end.
        let file = File::options().read(true).write(true).open(path).map_err(failed)?;
        // Thousands of lines may come before anybody reads: more than the default of 64 KiB keeps the writers from waiting.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, 1 << 20);
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file) })
    }

    /// What the services are to write to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next one.
    ///
    /// # Errors
    /// When none comes within `limit`.
    pub(crate) fn next(&mut self, limit: Duration) -> Result<Here> {
        if self.reader.buffer().is_empty() {
            let file = self.reader.get_ref();
            let timeout = Timespec { tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
            let mut set = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN)];
            if poll(&mut set, Some(&timeout)).map_err(|errno| Failure::new(format!("poll: {errno}")))? == 0 {
                return Err(Failure::new(format!("no service said within {} s that it runs", limit.as_secs())));
            }
        }
        let mut line = String::new();
        self.reader.read_line(&mut line).map_err(Failure::io(format!("cannot read {}", self.path.display())))?;
        let parsed = line.trim_end().split_once(' ').and_then(|(pid, at)| Some((pid.parse().ok()?, at.parse().ok()?)));
        let (pid, at) = parsed.ok_or_else(|| Failure::new(format!("what does {line:?} mean?")))?;
        Ok(Here { pid, at })
    }

    /// So many of them.
    ///
    /// # Errors
    /// When the next one does not come within `limit`.
    pub(crate) fn wait(&mut self, count: usize, limit: Duration) -> Result<Vec<Here>> {
        (0..count).map(|_| self.next(limit)).collect()
    }
}

/// When the last of them began.
pub(crate) fn last(all: &[Here]) -> u64 {
    all.iter().map(|here| here.at).max().unwrap_or(0)
}
