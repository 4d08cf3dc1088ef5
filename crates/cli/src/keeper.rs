//! Speaking with keepers: one of one's own, started as a child, or one that holds a run, over its socket.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use vigie_core::clock::Mono;
use vigie_core::launch::{Launch, Output};
use vigie_os::pidfd::Target;
use vigie_os::poll::{Interest, PollSet};
use vigie_os::proc::Proc;
use vigie_wire::frame::{self, Lines};
use vigie_wire::keeper::{Answer, Request};

use crate::failure::Failure;

/// How long a keeper may take to end after it has nothing left to hold.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a keeper may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// A connection to a keeper.
#[derive(Debug)]
pub(crate) struct Link {
    socket: UnixStream,
    lines: Lines,
    /// The keeper closed its end, or cannot be spoken with any more.
    pub(crate) gone: bool,
}

impl Link {
    /// Connects to the keeper of the service in `folder`; absent when none listens there.
    ///
    /// # Errors
    /// When it listens and does not accept.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>, Failure> {
        match vigie_os::socket::connect(&folder.join("control.sock"), CONNECT) {
            Ok(socket) => Ok(Some(Self::over(socket))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn over(socket: UnixStream) -> Self {
        Self { socket, lines: Lines::default(), gone: false }
    }

    /// Says something. A keeper that is gone cannot be told; [`Link::read`] notices.
    pub(crate) fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let line = encode(request)?;
        if self.socket.write_all(&line).is_err() {
            self.gone = true;
        }
        Ok(())
    }

    /// Reads what has arrived; to be called when it is readable.
    pub(crate) fn read(&mut self) -> Result<(), Failure> {
        let mut buffer = [0; 16 << 10];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.gone = true,
            Ok(count) => self.lines.push(&buffer[..count]).map_err(protocol)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.gone = true,
        }
        Ok(())
    }

    /// Waits until there is something to read: `false` when the deadline came first.
    pub(crate) fn wait(&self, deadline: Mono) -> Result<bool, Failure> {
        let mut set = PollSet::default();
        let place = set.add(self, Interest::Read);
        loop {
            let left = deadline.since(vigie_os::clock::mono());
            set.wait(Some(left)).map_err(|errno| Failure::io("cannot wait", &std::io::Error::from(errno)))?;
            if set.ready(place) || left.is_zero() {
                return Ok(set.ready(place));
            }
        }
    }

    /// The next answer that has arrived whole.
    pub(crate) fn next(&mut self) -> Result<Option<Answer>, Failure> {
        self.lines.message().map_err(protocol)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A keeper that we started, and the connection to it. Dropping it closes the connection: what is tied to it stops by
/// its ladder.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    /// The connection.
    pub(crate) link: Link,
}

impl Keeper {
    /// Starts a keeper that takes the lock of `launch`. It hands on our own standard input, and our output unless that
    /// is stored.
    pub(crate) fn start(launch: Launch) -> Result<Self, Failure> {
        let program = vigie_daemon::keeper_program()
            .map_err(|error| Failure::io("cannot tell where vigie-keeper lies", &error))?;
        let failed = |error: std::io::Error| Failure::io(format_args!("cannot start {}", program.display()), &error);
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        let pass_through = launch.output == Output::Inherit;
        let output = || if pass_through { Stdio::inherit() } else { Stdio::null() };
        // No environment: a mark in it would make the keeper look like a part of the run that we are in.
        let child = Command::new(&program)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(output())
            .stderr(output())
            .spawn()
            .map_err(failed)?;
        let mut keeper = Self { child, link: Link::over(socket) };
        keeper.launch(launch)?;
        Ok(keeper)
    }

    /// The first line, with our standard input beside its first byte.
    fn launch(&mut self, launch: Launch) -> Result<(), Failure> {
        let line = encode(&Request::Launch(Box::new(launch)))?;
        let stdin = std::io::stdin();
        let failed = |error: std::io::Error| Failure::io("cannot speak with the keeper", &error);
        let sent = vigie_os::rights::send(self.link.as_fd(), &line, Some(stdin.as_fd()))
            .map_err(|errno| failed(errno.into()))?;
        self.link.socket.write_all(&line[sent..]).map_err(failed)
    }

    /// Waits for its end, so that whoever comes next finds the lock free.
    pub(crate) fn farewell(mut self, proc: &Proc) -> Result<(), Failure> {
        drop(self.link);
        if let Some(target) = Target::open_pid(proc, self.child.id())? {
            target.wait(vigie_os::clock::mono() + FAREWELL)?;
        }
        // It is our child: when it is dead it is to be waited for, and when it is not it goes on without us.
        let _ = self.child.try_wait();
        Ok(())
    }
}

fn encode(request: &Request) -> Result<Vec<u8>, Failure> {
    frame::encode(request).map_err(protocol)
}

fn protocol(error: frame::FrameError) -> Failure {
    Failure::new(vigie_core::exit_code::ExitCode::RunFailed, format!("cannot speak with the keeper: {error}"))
}
