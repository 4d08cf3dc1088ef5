//! Deadlines: one for everything that belongs to one message.

use std::io;
use std::time::Duration;

use vigie_core::clock::Mono;

/// Whoever calls says how the clock is read.
pub type Clock = fn() -> Mono;

/// Until when it has to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    clock: Clock,
    at: Mono,
}

impl Until {
    /// So long from now.
    pub(crate) fn within(clock: Clock, time: Duration) -> Self {
        Self { clock, at: clock() + time }
    }

    /// What is left; a socket does not know a time of zero.
    ///
    /// # Errors
    /// When nothing is left.
    pub(crate) fn left(self) -> io::Result<Duration> {
        let left = self.at.since((self.clock)());
        if left.is_zero() { Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")) } else { Ok(left) }
    }
}
