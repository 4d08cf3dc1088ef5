//! One state being made: its processes, its folder, and what is told about it.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait as wait_any, waitpid};

use crate::watch::Watch;
use crate::{Options, raw, seen, wait};

/// Why a state was not made.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This machine, this kernel or this user cannot have it.
    Impossible(String),
    /// It should have worked.
    Broken(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Broken(error.to_string())
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Failure::Broken(error.to_string())
    }
}

/// What making something comes to.
pub(crate) type Made<T = ()> = Result<T, Failure>;

/// How long a state may take until it is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// From when on it is not waited for the name of a function any more, where the kernel shows none.
const UNNAMED: Duration = Duration::from_secs(1);

/// One state being made.
pub(crate) struct Bed {
    pub(crate) options: Options,
    watch: Watch,
    told: Vec<(&'static str, String)>,
    folder: Option<PathBuf>,
}

impl Bed {
    /// Mounts are its own from here on, where it may have its own.
    pub(crate) fn new(options: Options) -> io::Result<Self> {
        if is_root() {
            raw::unshare(libc::CLONE_NEWNS)?;
            raw::keep_mounts_private()?;
        }
        raw::block(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
        Ok(Self { options, watch: Watch::start()?, told: Vec::new(), folder: None })
    }

    /// A fact for the line that says `ready`.
    pub(crate) fn say(&mut self, name: &'static str, value: impl ToString) {
        self.told.push((name, value.to_string()));
    }

    /// A folder that nobody else sees the contents of, when it is root who asks.
    pub(crate) fn folder(&mut self) -> Made<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let parent = std::env::temp_dir().canonicalize()?;
        let folder = parent.join(self.name());
        self.watch.tell("folder", &folder)?;
        fs::create_dir(&folder)?;
        if is_root() {
            self.watch.tell("mount", &folder)?;
            raw::mount(Path::new("vigie-stuck"), &folder, c"tmpfs", "mode=755,size=64m")?;
        }
        self.folder = Some(folder.clone());
        Ok(folder)
    }

    /// A folder to mount something at. It is unmounted at the end.
    pub(crate) fn mount_point(&mut self, name: &str) -> Made<PathBuf> {
        let folder = self.folder()?.join(name);
        fs::create_dir(&folder)?;
        self.watch.tell("mount", &folder)?;
        Ok(folder)
    }

    /// The name that everything of this one has on the machine: `vigie-stuck-PID`.
    pub(crate) fn name(&self) -> String {
        format!("vigie-stuck-{}", std::process::id())
    }

    /// What will have to be undone.
    pub(crate) fn undo(&mut self, what: &str, on: impl AsRef<Path>) -> io::Result<()> {
        self.watch.tell(what, on)
    }

    /// A child that ends with this program at the latest.
    pub(crate) fn start(&mut self, name: &std::ffi::CStr, body: impl FnOnce() -> io::Result<()>) -> Made<u32> {
        self.start_unlike(name, &[], body)
    }

    /// The same, without these descriptors of the program.
    pub(crate) fn start_unlike(
        &mut self,
        name: &std::ffi::CStr,
        without: &[BorrowedFd<'_>],
        body: impl FnOnce() -> io::Result<()>,
    ) -> Made<u32> {
        let parent = std::process::id();
        let (mut is_plain, mut tell) = io::pipe()?;
        let Some(pid) = raw::fork()? else {
            self.watch.let_go();
            for fd in without {
                raw::close(fd.as_raw_fd());
            }
            become_plain(name, parent);
            let _ = tell.write_all(b".");
            drop((is_plain, tell));
            let code = match body() {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("stuck: {}: {error}", name.to_string_lossy());
                    1
                }
            };
            raw::quit(code);
        };
        self.watch.tell("process", pid.to_string())?;
        drop(tell);
        // Whoever is stopped before would keep what it inherited.
        let _ = io::Read::read(&mut is_plain, &mut [0])?;
        Ok(pid)
    }

    /// A signal for a child that nobody has waited for: its number is still its own.
    pub(crate) fn signal(&mut self, pid: u32, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(pid.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(kill_process(pid, signal)?)
    }

    /// Stops a child, and waits until it is.
    pub(crate) fn stop(&mut self, pid: u32) -> Made {
        self.signal(pid, Signal::STOP)?;
        self.until("a stopped process", || seen::state(pid) == Some('T'))
    }

    /// Ends a child, and asks how it ended.
    pub(crate) fn end(&mut self, pid: u32) -> io::Result<()> {
        self.signal(pid, Signal::KILL)?;
        waitpid(Pid::from_raw(pid.cast_signed()), WaitOptions::empty())?;
        Ok(())
    }

    /// Waits until it is as it should be.
    pub(crate) fn until(&self, what: &str, is: impl FnMut() -> bool) -> Made {
        if wait::within(PATIENCE, is) { Ok(()) } else { Err(Failure::Broken(format!("it never came to this: {what}"))) }
    }

    /// Waits until a process has one of these states, in a function of the kernel whose name has one of these parts.
    pub(crate) fn until_in(&self, pid: u32, states: &str, functions: &[&str]) -> Made {
        let mut last = String::new();
        let begin = wait::now();
        let there = wait::within(PATIENCE, || {
            let (state, wchan) = (seen::state(pid), seen::wchan(pid).unwrap_or_default());
            last = format!("{state:?} {wchan}");
            // There is none for an instant before it sleeps, and always where the kernel shows no names of functions.
            let unnamed = wchan == "0" && wait::now() - begin > UNNAMED && !self.shows_names();
            state.is_some_and(|state| states.contains(state))
                && (unnamed || functions.iter().any(|part| wchan.contains(part)))
        });
        if there { Ok(()) } else { Err(Failure::Broken(format!("process {pid} is not stuck: {last}"))) }
    }

    /// Whether the kernel shows the names of functions: of the one who watches, who sleeps.
    fn shows_names(&self) -> bool {
        seen::wchan(self.watch.pid()).is_some_and(|name| name != "0")
    }

    /// Says what was made, holds it until it is told to end, and frees it.
    pub(crate) fn hold(&mut self, state: &str) -> io::Result<()> {
        let mut line = format!("ready state={state}");
        for (name, value) in &self.told {
            line.push_str(&format!(" {name}={value}"));
        }
        line.push('\n');
        let mut out = io::stdout();
        out.write_all(line.as_bytes()).and_then(|()| out.flush())?;
        raw::block(&[libc::SIGCHLD])?;
        let signals = raw::signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD])?;
        let stdin = io::stdin();
        loop {
            // As a parent should.
            while let Ok(Some(_)) = wait_any(WaitOptions::NOHANG) {}
            let mut fds = [PollFd::new(&signals, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => {
                    // `struct signalfd_siginfo` begins with the number.
                    let mut which = [0; 128];
                    rustix::io::read(&signals, &mut which)?;
                    if i32::from(which[0]) != libc::SIGCHLD {
                        return Ok(());
                    }
                }
                // Its end, or a key: whatever is read there is no question.
                Ok(_) if !fds[1].revents().is_empty() => {
                    if rustix::io::read(stdin.as_fd(), &mut [0; 256]).unwrap_or(0) == 0 {
                        return Ok(());
                    }
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Frees everything.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.watch.finish()
    }
}

/// What every child of this program is at first.
fn become_plain(name: &std::ffi::CStr, parent: u32) {
    let _ = raw::die_with_parent();
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned()) != Some(parent) {
        raw::quit(1);
    }
    raw::rename(name);
    let _ = raw::plain_signals();
    let _ = no_input_no_output();
}

/// Standard input and output that lead nowhere.
pub(crate) fn no_input_no_output() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// A child of a child: it ends with its parent.
pub(crate) fn spawn(name: &std::ffi::CStr, body: impl FnOnce() -> io::Result<()>) -> io::Result<u32> {
    let Some(pid) = raw::fork()? else {
        let _ = raw::die_with_parent();
        raw::rename(name);
        raw::quit(i32::from(body().is_err()));
    };
    Ok(pid)
}

/// A number that a child found out.
pub(crate) fn heard(mut pipe: PipeReader) -> Made<u32> {
    let mut number = [0; 4];
    io::Read::read_exact(&mut pipe, &mut number)
        .map_err(|_| Failure::Broken("a process ended before it was stuck".to_owned()))?;
    Ok(u32::from_ne_bytes(number))
}

/// Whether everything may be done.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// For what only root can make.
pub(crate) fn needs_root(what: &str) -> Made {
    if is_root() { Ok(()) } else { Err(Failure::Impossible(format!("only root may {what}"))) }
}

/// A door that a child waits behind until the program opens it.
pub(crate) struct Gate {
    behind: Option<PipeReader>,
    door: PipeWriter,
}

impl Gate {
    pub(crate) fn new() -> io::Result<Self> {
        let (behind, door) = io::pipe()?;
        Ok(Self { behind: Some(behind), door })
    }

    /// The child's side of it.
    pub(crate) fn child(&mut self) -> Behind {
        Behind(self.behind.take())
    }

    /// What the child must not keep.
    pub(crate) fn door(&self) -> BorrowedFd<'_> {
        self.door.as_fd()
    }
}

/// The child's side of a [`Gate`].
pub(crate) struct Behind(Option<PipeReader>);

impl Behind {
    /// Waits until the gate is gone.
    pub(crate) fn wait(self) {
        let _ = self.0.map(|mut pipe| io::Read::read(&mut pipe, &mut [0]));
    }
}
