//! Waiting for what becomes true.

use std::time::Duration;

use rustix::event::{Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

/// Time since the machine's start.
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Asks until the answer is yes; `false` when the time was over first.
pub fn within(time: Duration, mut is: impl FnMut() -> bool) -> bool {
    let end = now() + time;
    loop {
        if is() {
            return true;
        }
        if now() >= end {
            return false;
        }
        let moment = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        let _ = poll(&mut [], Some(&moment));
    }
}
