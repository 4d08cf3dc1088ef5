//! Making a keeper.
//!
//! It is forked by the nursery ([`super::nursery`]), or, where there is none, executed: `std` uses posix_spawn(3) as long as
//! nothing is to be done between fork and exec. Either gets a connected socket as standard input and nothing else: no
//! environment (a mark in it would make the keeper look like a part of a run), no pipe that would end with the daemon. The
//! keeper makes a session of its own.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::net::UnixStream;

use super::connection::Keeper;
use super::nursery::Nursery;
use crate::children::{Child, Children};

/// What is needed to spawn keepers.
#[derive(Debug, Clone)]
pub(crate) struct Spawner(Arc<Kit>);

#[derive(Debug)]
struct Kit {
    program: PathBuf,
    null: File,
    /// The soft limit of open files as it was before the daemon raised its own; absent: unlimited.
    open_files: Option<u64>,
    nursery: Nursery,
}

impl Spawner {
    /// For keepers of this program.
    ///
    /// # Errors
    /// When `/dev/null` or `/proc` cannot be opened.
    pub(crate) fn new(program: PathBuf, open_files: Option<u64>) -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Self(Arc::new(Kit { program, null, open_files, nursery: Nursery::new()? })))
    }

    /// The program.
    pub(crate) fn program(&self) -> &Path {
        &self.0.program
    }

    /// Makes a keeper that waits for its launch.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn spawn(&self, children: &Children) -> io::Result<(Keeper, UnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        let start = |requests| self.execute(children, requests).map(drop);
        if let Some(key) = self.0.nursery.fork(theirs.as_fd(), start).await? {
            return Ok((Keeper::Found(key), stream(ours)?));
        }
        // Another pair: a keeper that may come of the first one all the same finds that closed, and ends.
        drop((ours, theirs));
        let (ours, theirs) = StdUnixStream::pair()?;
        let child = self.execute(children, theirs.into())?;
        Ok((Keeper::Child(child), stream(ours)?))
    }

    /// Executes the program.
    fn execute(&self, children: &Children, stdin: OwnedFd) -> io::Result<Child> {
        let child = Command::new(&self.0.program)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(stdin))
            .stdout(self.0.null.try_clone()?)
            .stderr(self.0.null.try_clone()?)
            .spawn()?;
        let child = children.register(child);
        self.give_back_limit(child.pid());
        Ok(child)
    }

    /// It waits for its first line, so its service gets the limit as it was; a nursery, so do its keepers. Programs that
    /// use select(2) break above 1024.
    fn give_back_limit(&self, pid: u32) {
        // An own child that was not reaped: the number is its own.
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        // A service with more descriptors than before is better than none.
        let _ = prlimit(pid, Resource::Nofile, Rlimit { current: self.0.open_files, maximum });
    }
}

fn stream(connection: StdUnixStream) -> io::Result<UnixStream> {
    connection.set_nonblocking(true)?;
    UnixStream::from_std(connection)
}
