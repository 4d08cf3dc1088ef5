//! Waiting for conditions.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long anything may take that is not itself about time. Generous: a machine may be busy with other tests.
pub const LONG: Duration = Duration::from_secs(60);

/// Between two looks at something that nobody tells about.
const LOOK_AGAIN: Duration = Duration::from_millis(15);

/// Time since some moment in the past.
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time since `then`.
pub fn elapsed(then: Duration) -> Duration {
    now().saturating_sub(then)
}

/// Looks until there is an answer.
///
/// # Panics
/// When there is none after [`LONG`]; `what` says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(LONG, look).unwrap_or_else(|| panic!("in vain, for {LONG:?}: {what}"))
}

/// Looks until there is an answer or the time is over.
pub(crate) fn within<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        let answer = look();
        if answer.is_some() || elapsed(start) > time {
            return answer;
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
}
