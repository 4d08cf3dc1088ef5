//! The one who frees everything again.
//!
//! It is forked first, in a session of its own, and is told of everything that will have to be undone before it is done. It
//! acts when the program lets go of the pipe between them: when it has been told to end, or because somebody killed it. So
//! nothing that is stuck outlives the program, however that ends.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, setsid};

use crate::raw;
use crate::wait::within;

/// Thaws a file system.
pub(crate) const FITHAW: libc::Ioctl = 0xc004_5878;

/// How long what was freed may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program's side of it.
pub(crate) struct Watch {
    pipe: Option<PipeWriter>,
    ready: PipeReader,
    pid: u32,
}

impl Watch {
    /// Forks it. It sees the mounts that the caller sees.
    pub(crate) fn start() -> io::Result<Self> {
        let (orders, pipe) = io::pipe()?;
        let (ready, tell) = io::pipe()?;
        match raw::fork()? {
            Some(pid) => Ok(Self { pipe: Some(pipe), ready, pid }),
            None => {
                drop((pipe, ready));
                raw::rename(c"stuck-watch");
                let _ = setsid();
                for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
                    raw::ignore(signal);
                }
                // What the program says ends when the program does.
                let _ = crate::bed::no_input_no_output();
                let left = Undo::default().listen(orders, tell);
                for what in &left {
                    eprintln!("stuck: {what}");
                }
                raw::quit(i32::from(!left.is_empty()));
            }
        }
    }

    /// Tells it what will have to be undone, and waits until it has understood.
    pub(crate) fn tell(&mut self, what: &str, on: impl AsRef<Path>) -> io::Result<()> {
        let pipe = self.pipe.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        pipe.write_all(format!("{what} {}\n", on.as_ref().display()).as_bytes())?;
        io::Read::read_exact(&mut self.ready, &mut [0])
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// A child of the program must not keep the pipe.
    pub(crate) fn let_go(&mut self) {
        self.pipe = None;
    }

    /// Everything is undone when this comes back.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.pipe = None;
        let watch = Pid::from_raw(self.pid.cast_signed());
        // Children that are dead are asked about, too: nothing is to be left.
        let status = rustix::process::waitpid(watch, rustix::process::WaitOptions::empty())?;
        while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
        match status.and_then(|(_, status)| status.exit_status()) {
            Some(0) => Ok(()),
            _ => Err(io::Error::other("not everything could be freed")),
        }
    }
}

/// What it was told.
#[derive(Default)]
struct Undo {
    processes: Vec<(String, OwnedFd)>,
    frozen: Vec<File>,
    aborts: Vec<PathBuf>,
    cgroups: Vec<PathBuf>,
    mounts: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Undo {
    fn listen(mut self, orders: PipeReader, mut tell: PipeWriter) -> Vec<String> {
        for line in BufReader::new(orders).lines().map_while(Result::ok) {
            let (what, on) = line.split_once(' ').unwrap_or((&line, ""));
            if let Err(error) = self.note(what, on) {
                eprintln!("stuck: {line}: {error}");
            }
            let _ = tell.write_all(b".");
        }
        self.carry_out()
    }

    fn note(&mut self, what: &str, on: &str) -> io::Result<()> {
        match what {
            "process" => {
                let pid = on.parse().ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
                self.processes.push((on.to_owned(), pidfd_open(pid, PidfdFlags::empty())?));
            }
            // Before it is frozen: afterwards nothing is sure any more.
            "frozen" => self.frozen.push(File::open(on)?),
            "abort" => self.aborts.push(on.into()),
            "cgroup" => self.cgroups.push(on.into()),
            "mount" => self.mounts.push(on.into()),
            "folder" => self.folders.push(on.into()),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(())
    }

    /// In this order: what is frozen takes no signal, what is killed may still wait for an answer, and what is mounted or
    /// has a member cannot be removed.
    fn carry_out(self) -> Vec<String> {
        let mut left = Vec::new();
        for folder in &self.cgroups {
            let _ = fs::write(folder.join("freezer.state"), "THAWED");
            let _ = fs::write(folder.join("cgroup.freeze"), "0");
        }
        for folder in &self.frozen {
            let _ = raw::ioctl(folder.as_fd(), FITHAW, 0);
        }
        drop(self.frozen);
        for (_, process) in &self.processes {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        for connection in &self.aborts {
            let _ = fs::write(connection.join("abort"), "1");
        }
        for (pid, process) in &self.processes {
            let time = Timespec::try_from(PATIENCE).unwrap_or(Timespec { tv_sec: 30, tv_nsec: 0 });
            if !matches!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&time)), Ok(1..)) {
                left.push(format!("process {pid} has not ended"));
            }
        }
        drop(self.processes);
        for folder in self.mounts.iter().rev() {
            let _ = raw::unmount(folder);
        }
        for folder in &self.cgroups {
            if !within(PATIENCE, || fs::remove_dir(folder).is_ok() || !folder.exists()) {
                left.push(format!("cgroup {} cannot be removed", folder.display()));
            }
        }
        for folder in &self.folders {
            if fs::remove_dir_all(folder).is_err() && folder.exists() {
                left.push(format!("folder {} cannot be removed", folder.display()));
            }
        }
        left
    }
}
