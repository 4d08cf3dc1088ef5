//! The process that keepers are forked from, as the daemon sees it.
//!
//! Started with the first keeper that is wanted, and asked for every other one. Nothing rests on it: when it is gone, does
//! not answer or answers nonsense, whoever asked executes a keeper of his own, and later another nursery is started. Keepers
//! are not its, nor the daemon's: what is kept of them is their identity.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use tokio::sync::{Semaphore, oneshot};

use vigie_core::clock::Mono;
use vigie_core::identity::ProcKey;
use vigie_os::clock::mono;
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_os::rights;
use vigie_wire::nursery::{Born, LIMIT, REQUEST};

use crate::readable::Readable;

/// How many requests may be under way: fewer than its socket holds.
const REQUESTS: usize = 32;

/// How long it may take to answer. It does nothing else.
const PATIENCE: Duration = Duration::from_secs(5);

/// When another is started after one that left a request unanswered.
const PAUSE: Duration = Duration::from_secs(10);

/// The nursery, when there is one.
#[derive(Debug)]
pub(super) struct Nursery {
    proc: Proc,
    places: Semaphore,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    line: Option<Arc<Line>>,
    /// There is to be none before.
    not_before: Option<Mono>,
}

/// The connection to a nursery.
#[derive(Debug)]
struct Line {
    socket: Readable<OwnedFd>,
    /// Who waits, in the order of the requests.
    waiting: Mutex<VecDeque<oneshot::Sender<Answer>>>,
}

type Answer = (Born, Option<OwnedFd>);

impl Nursery {
    /// None is started yet.
    ///
    /// # Errors
    /// When there is no `/proc`.
    pub(super) fn new() -> io::Result<Self> {
        let proc = Proc::system().map_err(|error| error.source)?;
        Ok(Self { proc, places: Semaphore::new(REQUESTS), present: Mutex::default() })
    }

    /// Asks for a keeper that holds `connection`; `start` executes the program with this as its standard input when there
    /// is no nursery. `None`: it cannot be had from one now. What was asked for and not confirmed ends when the other end of
    /// its connection is closed.
    ///
    /// # Errors
    /// There can be no more processes: executing one would come to the same.
    pub(super) async fn fork(
        &self,
        connection: BorrowedFd<'_>,
        start: impl Fn(OwnedFd) -> io::Result<()>,
    ) -> io::Result<Option<ProcKey>> {
        // It is never closed.
        let Ok(_place) = self.places.acquire().await else { return Ok(None) };
        // A second time, when the first one was gone.
        let Some((line, answer)) = self.ask(connection, &start).or_else(|| self.ask(connection, &start)) else {
            return Ok(None);
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok((Born::Pid(pid), Some(pidfd)))) => {
                // Absent: it was killed already, or it is another than was said.
                Ok(Target::received(&self.proc, pid, pidfd).ok().flatten().map(|target| target.key().clone()))
            }
            Ok(Ok((Born::Failed(errno), _))) => Err(io::Error::from_raw_os_error(errno)),
            Ok(Ok((Born::Pid(_), None)) | Err(_)) | Err(_) => {
                self.dismiss(&line);
                Ok(None)
            }
        }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(
        &self,
        connection: BorrowedFd<'_>,
        start: impl Fn(OwnedFd) -> io::Result<()>,
    ) -> Option<(Arc<Line>, oneshot::Receiver<Answer>)> {
        let mut present = self.present();
        if present.line.is_none() {
            if present.not_before.is_some_and(|at| mono() < at) {
                return None;
            }
            match Line::open(start) {
                Ok(line) => present.line = Some(line),
                Err(_) => present.not_before = Some(mono() + PAUSE),
            }
        }
        let line = Arc::clone(present.line.as_ref()?);
        let Some(answer) = line.ask(connection) else {
            present.line = None;
            line.end();
            return None;
        };
        Some((line, answer))
    }

    /// Does without it for a while, and lets it end. Those who still wait are told.
    fn dismiss(&self, line: &Arc<Line>) {
        let mut present = self.present();
        present.line.take_if(|present| Arc::ptr_eq(present, line));
        present.not_before = Some(mono() + PAUSE);
        line.end();
    }
}

impl Line {
    fn open(start: impl FnOnce(OwnedFd) -> io::Result<()>) -> io::Result<Arc<Self>> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        start(theirs)?;
        let line = Arc::new(Self { socket: Readable::new(ours)?, waiting: Mutex::default() });
        tokio::spawn(Arc::clone(&line).listen());
        Ok(line)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request. `None` when it does not go.
    fn ask(&self, connection: BorrowedFd<'_>) -> Option<oneshot::Receiver<Answer>> {
        rights::send(self.socket.get().as_fd(), REQUEST, Some(connection)).ok()?;
        let (sender, answer) = oneshot::channel();
        self.waiting().push_back(sender);
        Some(answer)
    }

    /// Hands the answers out, until there is an end or something that is none.
    async fn listen(self: Arc<Self>) {
        while self.hear().is_some() {
            self.socket.wait().await;
        }
        self.end();
    }

    /// Everything that is there.
    fn hear(&self) -> Option<()> {
        loop {
            let mut bytes = [0; LIMIT];
            let (length, pidfd) = match rights::receive(self.socket.get().as_fd(), &mut bytes) {
                Ok(received) => received,
                Err(Errno::AGAIN) => return Some(()),
                Err(Errno::INTR) => continue,
                Err(_) => return None,
            };
            let born = serde_json::from_slice(&bytes[..length]).ok()?;
            let asked = self.waiting().pop_front()?;
            // Who asked may have lost patience.
            let _ = asked.send((born, pidfd));
        }
    }

    /// Ends the connection: the nursery at the other end ends by that, and so does who listens here.
    fn end(&self) {
        let _ = shutdown(self.socket.get(), Shutdown::Both);
        self.waiting().clear();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::children::Children;
    use crate::link::Spawner;
    use crate::link::connection::Keeper;
    use crate::test::run;

    /// In the place of the keeper's program. The first one that is started is the nursery.
    struct Program(tempfile::TempDir);

    impl Program {
        fn new(nursery: &str) -> Self {
            let program = Self(tempfile::tempdir().expect("folder"));
            let starts = program.0.path().join("starts");
            let starts = starts.display();
            let script = format!("#!/bin/sh\necho >> {starts}\n[ $(wc -l < {starts}) = 1 ] || exec cat\n{nursery}\n");
            std::fs::write(program.path(), script).expect("writes");
            std::fs::set_permissions(program.path(), PermissionsExt::from_mode(0o755)).expect("executable");
            program
        }

        fn path(&self) -> std::path::PathBuf {
            self.0.path().join("program")
        }

        fn starts(&self) -> usize {
            std::fs::read(self.0.path().join("starts")).expect("something was started").len()
        }
    }

    #[test]
    fn without_a_nursery_keepers_are_executed() {
        for nursery in [
            "head -c 6; exit 1",
            "echo nonsense >&0; exec cat",
            // Not asked yet, or no descriptor comes along.
            "echo '{\"pid\":1}' >&0; exec cat",
        ] {
            let program = Program::new(nursery);
            run(async {
                let children = Children::reap().expect("signals");
                let spawner = Spawner::new(program.path(), None).expect("/dev/null and /proc");
                for _ in 0..2 {
                    let (mut keeper, stream) = spawner.spawn(&children).await.expect("a keeper");
                    assert!(matches!(keeper, Keeper::Child(_)), "{nursery}");
                    drop(stream);
                    assert!(keeper.is_dead_within(Duration::from_secs(20)).await, "{nursery}");
                }
            });
            assert_eq!(program.starts(), 3, "{nursery}: one nursery, two keepers");
        }
    }

    #[test]
    fn that_there_can_be_no_process_is_told() {
        let program = Program::new("head -c 6; echo '{\"failed\":11}' >&0; exec cat");
        run(async {
            let children = Children::reap().expect("signals");
            let spawner = Spawner::new(program.path(), None).expect("/dev/null and /proc");
            let error = spawner.spawn(&children).await.expect_err("no keeper");
            assert_eq!(error.raw_os_error(), Some(11));
        });
        assert_eq!(program.starts(), 1);
    }
}
