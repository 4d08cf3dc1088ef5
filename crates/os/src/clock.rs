//! The only place that reads clocks.

use rustix::time::{ClockId, Timespec, clock_gettime};
use vigie_core::clock::{Mono, Now, Wall};

/// Reads both clocks: `CLOCK_BOOTTIME` for durations (it goes on during suspend and never jumps), `CLOCK_REALTIME` for
/// people; clock_gettime(2).
pub fn now() -> Now {
    Now { mono: mono(), wall: Wall(nanos(clock_gettime(ClockId::Realtime))) }
}

/// Reads `CLOCK_BOOTTIME` alone.
pub fn mono() -> Mono {
    Mono(nanos(clock_gettime(ClockId::Boottime)))
}

/// Nanoseconds; a wall clock set before 1970 counts as 1970.
fn nanos(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).map_or(0, |seconds| {
        seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_run() {
        let (first, second) = (now(), now());
        assert!(second.mono >= first.mono);
        // 2020-01-01: whoever builds this lives later.
        assert!(first.wall > Wall(1_577_836_800_000_000_000));
        assert!(first.mono.0 < first.wall.0, "time since boot and time since 1970 were mixed up");
    }

    #[test]
    fn a_clock_before_1970_counts_as_1970() {
        assert_eq!(nanos(Timespec { tv_sec: -1, tv_nsec: 999_999_999 }), 0);
        assert_eq!(nanos(Timespec { tv_sec: 2, tv_nsec: 5 }), 2_000_000_005);
    }
}
