//! What a program writes, while it writes it.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::wait::{elapsed, now};

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// Collects what is read from somewhere.
#[derive(Debug)]
pub(crate) struct Stream {
    shared: Shared,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    pub(crate) fn of(mut source: impl Read + Send + 'static) -> Self {
        let shared = Shared::default();
        let writer = shared.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 16 << 10];
            // EIO is how a terminal says that nobody writes any more.
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                change(&writer, |state| state.bytes.extend_from_slice(&buffer[..count]));
            }
            change(&writer, |state| state.ended = true);
        });
        Self { shared, reader: Some(reader) }
    }

    /// What was read until now.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone()
    }

    /// Waits until `look` finds something in it. `None` when the time is over or nothing will come any more.
    pub(crate) fn find<T>(&self, time: Duration, mut look: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let start = now();
        let mut state = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let found = look(&state.bytes);
            let left = time.saturating_sub(elapsed(start));
            if found.is_some() || state.ended || left.is_zero() {
                return found;
            }
            state = self.shared.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for its end: `false` when the time was over first.
    pub(crate) fn ended(&self, time: Duration) -> bool {
        let start = now();
        let mut state = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.ended {
            let left = time.saturating_sub(elapsed(start));
            if left.is_zero() {
                return false;
            }
            state = self.shared.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits for the reading thread.
    pub(crate) fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn change(shared: &Shared, change: impl FnOnce(&mut State)) {
    change(&mut shared.0.lock().unwrap_or_else(PoisonError::into_inner));
    shared.1.notify_all();
}
