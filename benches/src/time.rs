//! Time: what passes, and waiting for it.

use std::time::Duration;

use rustix::thread::nanosleep;
use rustix::time::Timespec;
use vigie_core::clock::Mono;

use crate::failure::{Failure, Result};

/// Runs since it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Mono);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(vigie_os::clock::mono())
    }

    pub(crate) fn elapsed(self) -> Duration {
        vigie_os::clock::mono().since(self.0)
    }

    /// From its start to a reading of `CLOCK_BOOTTIME` in nanoseconds.
    pub(crate) fn until(self, nanoseconds: u64) -> Duration {
        Mono(nanoseconds).since(self.0)
    }
}

/// Lets time pass. Idle cost is measured over a window: there time itself is what is waited for.
pub(crate) fn pass(time: Duration) {
    let watch = Stopwatch::start();
    // A signal may cut it short.
    while let Some(left) = time.checked_sub(watch.elapsed()).filter(|left| !left.is_zero()) {
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let _ = nanosleep(&Timespec { tv_sec: seconds, tv_nsec: i64::from(left.subsec_nanos()) });
    }
}

/// Asks again and again, every `step`, until there is an answer.
///
/// # Errors
/// When there is none within `limit`.
pub(crate) fn until<T>(what: &str, limit: Duration, step: Duration, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let watch = Stopwatch::start();
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if watch.elapsed() > limit {
            return Err(Failure::new(format!("{what}: not within {} s", limit.as_secs())));
        }
        pass(step);
    }
}
