//! The engine as tests hold it.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::answer::Answer;
use crate::faults::Faults;
use crate::state::State;
use crate::tls::Server;

/// What the threads of an engine share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until something changes, or the time is over.
    pub(crate) fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Where it listens.
#[derive(Debug)]
enum Place {
    Unix(PathBuf),
    Tcp(u16),
}

/// One of them. Dropping it ends it.
#[derive(Debug)]
pub struct FakeEngine {
    shared: Arc<Shared>,
    place: Place,
    _dir: Option<tempfile::TempDir>,
}

impl FakeEngine {
    /// At a socket in a folder of its own.
    ///
    /// # Panics
    /// When there is no folder or socket to be had.
    pub fn start(faults: Faults) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut engine = Self::at(&dir.path().join("engine.sock"), faults).expect("a socket");
        engine._dir = Some(dir);
        engine
    }

    /// At this socket.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub fn at(socket: &Path, faults: Faults) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let engine = Self::with(Place::Unix(socket.to_owned()), faults);
        let shared = Arc::clone(&engine.shared);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if shared.lock().is_over {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || crate::serve::serve(&shared, stream));
            }
        });
        Ok(engine)
    }

    /// At a free port of this machine; over TLS when there is a server's part of it.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn tcp(faults: Faults, tls: Option<Server>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let engine = Self::with(Place::Tcp(port), faults);
        let shared = Arc::clone(&engine.shared);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if shared.lock().is_over {
                    return;
                }
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                std::thread::spawn(move || match tls {
                    None => crate::serve::serve(&shared, stream),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream) {
                            crate::serve::serve(&shared, stream);
                        }
                    }
                });
            }
        });
        Ok(engine)
    }

    fn with(place: Place, faults: Faults) -> Self {
        let shared = Arc::new(Shared::default());
        shared.lock().faults = faults;
        Self { shared, place, _dir: None }
    }

    /// As `vigie source add` takes it.
    pub fn endpoint(&self) -> String {
        match &self.place {
            Place::Unix(socket) => format!("unix://{}", socket.display()),
            Place::Tcp(port) => format!("tcp://127.0.0.1:{port}"),
        }
    }

    /// From now on it does this wrong.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.lock().faults);
        self.shared.changed.notify_all();
    }

    /// From now on this is answered to requests of this path, without version and query; instead of what it would answer.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared.lock().answers.insert(path.to_owned(), answer);
    }

    /// It answers by itself again.
    pub fn answer_by_itself(&self, path: &str) {
        self.shared.lock().answers.remove(path);
    }

    /// Paths that were asked for, until now.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    /// How many read its events now.
    pub fn listeners(&self) -> usize {
        self.shared.lock().listeners.len()
    }

    /// Something happens to a container: its state follows, and it is told.
    pub fn happen(&self, action: &str, id: &str) {
        self.happen_with(action, id, &[]);
    }

    /// The same, with attributes; `name` and `image` are those of the container.
    pub fn happen_with(&self, action: &str, id: &str, attributes: &[(&str, &str)]) {
        self.change(|state| state.happen(action, id, attributes));
    }

    /// Something happens so often, and everything of it is told together.
    pub fn burst(&self, count: usize, action: &str, id: &str, attributes: &[(&str, &str)]) {
        self.change(|state| (0..count).for_each(|_| state.happen(action, id, attributes)));
    }

    /// Something happens to something that is no container.
    pub fn happen_elsewhere(&self, kind: &str, action: &str, id: &str) {
        self.change(|state| state.happen_elsewhere(kind, action, id));
    }

    /// A container changes and no event tells of it, as when a listener is too slow. `None`: it is gone.
    pub fn change_silently(&self, id: &str, to: Option<&'static str>) {
        self.change(|state| state.change_silently(id, to));
    }

    /// All streams break.
    pub fn break_streams(&self) {
        self.change(|state| state.generation += 1);
    }

    /// It forgets its events.
    pub fn forget(&self) {
        self.change(|state| state.ring.clear());
    }

    /// It is restarted: streams break, events are forgotten, what ran has ended.
    pub fn restart(&self) {
        self.change(State::restart);
    }

    /// It is gone, or is back: whoever comes is sent away, and streams break.
    pub fn be_gone(&self, gone: bool) {
        self.change(|state| {
            state.is_gone = gone;
            state.generation += u64::from(gone);
        });
    }

    /// It stands still, or goes on: connections are taken, and nothing comes.
    pub fn freeze(&self, frozen: bool) {
        self.change(|state| state.is_frozen = frozen);
    }

    /// Looks at what it has, or changes it.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.lock());
        self.shared.changed.notify_all();
        result
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.change(|state| state.is_over = true);
        // Wakes whoever accepts.
        match &self.place {
            Place::Unix(socket) => drop(UnixStream::connect(socket)),
            Place::Tcp(port) => drop(std::net::TcpStream::connect(("127.0.0.1", *port))),
        }
    }
}
