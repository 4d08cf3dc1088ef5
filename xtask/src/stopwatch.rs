//! How long steps take.
#![allow(clippy::disallowed_types, reason = "nothing is decided by it, and nothing of vigie is linked in")]

use std::fmt;
use std::time::{Duration, Instant};

/// Runs since it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

impl fmt::Display for Stopwatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed().as_secs_f64();
        if seconds < 60.0 {
            write!(formatter, "{seconds:.1} s")
        } else {
            write!(formatter, "{} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0)
        }
    }
}
