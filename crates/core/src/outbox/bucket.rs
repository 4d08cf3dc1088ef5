//! How many messages a channel may get: a bucket of tokens.

use std::time::Duration;

use crate::clock::Mono;

/// So many messages may go out at once.
pub const BURST: u32 = 10;

/// Then one more after each of these.
pub const EVERY: Duration = Duration::from_secs(30);

/// Full at first. Counts what was taken, since a channel that sends nothing needs no timer to fill up.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    taken: u32,
    /// When the first of those that were taken begins to come back.
    since: Mono,
}

impl Bucket {
    fn returned(&self, now: Mono) -> u32 {
        let returned = now.since(self.since).as_nanos() / EVERY.as_nanos();
        u32::try_from(returned).unwrap_or(u32::MAX).min(self.taken)
    }

    /// How many may be taken.
    pub(super) fn free(&self, now: Mono) -> u32 {
        BURST - (self.taken - self.returned(now))
    }

    /// Takes one that is free.
    pub(super) fn take(&mut self, now: Mono) {
        let returned = self.returned(now);
        self.taken -= returned;
        self.since = if self.taken == 0 { now } else { self.since + EVERY * returned };
        self.taken += 1;
    }

    /// When one may be taken.
    pub(super) fn next(&self) -> Mono {
        if self.taken < BURST { Mono(0) } else { self.since + EVERY }
    }
}
