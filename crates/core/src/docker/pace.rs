//! When a source is measured (R11.3): the pure clockwork of one source.
//!
//! # Theory of operation
//!
//! Every source has a clockwork of its own and knows nothing of the others: one that hangs holds up nobody. It beats at a
//! fixed interval from its first beat on, so that beats do not drift with the time that measuring takes; the first comes
//! soon after its beginning, with jitter, so that sources that begin together do not ask together.
//!
//! 1. A beat is a *cycle*, if nothing is going on. If the cycle before is, the beat is skipped and counted: nothing ever
//!    waits behind it.
//! 2. A cycle has a deadline. At its end it is given up: whoever measures lets go of what it has asked.
//! 3. After a cycle that failed the source is *away*. It is first asked whether it is there ([`Do::Knock`]), which costs it
//!    next to nothing, and measured only when it is. Knocks come at the interval, then later and later, up to
//!    [`Rhythm::longest`] or the interval, whichever is longer, with jitter. A cycle that succeeds puts it back on a beat.
//!
//! Beats of the time in which it was away are not skipped ones: nobody wanted to measure then. Those that a machine slept
//! through are.

use std::time::Duration;

use crate::clock::Mono;
use crate::policy::Draws;

/// What a clockwork is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// How long a cycle may take.
    pub deadline: Duration,
    /// The first cycle comes within this time.
    pub soon: Duration,
    /// How long a source that is away is left alone at most, unless the interval is longer.
    pub longest: Duration,
    /// After so many cycles in a row that failed the time to the next doubles.
    pub spared: u32,
}

/// Containers: 15 seconds for a source (R11.3).
pub const CONTAINERS: Rhythm = Rhythm {
    deadline: Duration::from_secs(15),
    soon: Duration::from_secs(2),
    longest: Duration::from_secs(60),
    spared: 1,
};

/// Disks: whoever needs long for the answer is asked seldom (R11.5). Those who ask have deadlines of their own; as only one
/// is asked at a time, it may take some minutes until it is its turn.
pub const DISKS: Rhythm = Rhythm {
    deadline: Duration::from_secs(600),
    soon: Duration::from_secs(5),
    longest: Duration::from_secs(3_600),
    spared: 0,
};

/// Whether a disk took long to tell how full it is.
pub fn is_slow(took: Duration) -> bool {
    took > Duration::from_secs(15)
}

/// Of how much the time between two knocks may be longer or shorter.
const JITTER: f64 = 0.2;

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Do {
    /// Measure it. [`Pace::over`] tells what came of it.
    Measure,
    /// Ask whether it is there, and measure it if it is. [`Pace::over`] tells what came of it.
    Knock,
    /// Let go of what goes on: it took too long. It counts as failed, and nothing is to be told of it.
    GiveUp,
}

/// The clockwork of a source.
#[derive(Debug, Clone)]
pub struct Pace {
    every: Duration,
    rhythm: Rhythm,
    /// The next beat, or knock.
    next: Mono,
    /// When what goes on is to be over.
    until: Option<Mono>,
    failures: u32,
    cycles: u64,
    skipped: u64,
    draws: Draws,
}

impl Pace {
    /// One that begins now. `seed` is for its jitter.
    pub fn new(rhythm: Rhythm, every: Duration, now: Mono, seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let next = now + rhythm.soon.mul_f64(draws.unit());
        Self { every, rhythm, next, until: None, failures: 0, cycles: 0, skipped: 0, draws }
    }

    /// When to look at the clock next.
    pub fn due(&self) -> Mono {
        self.until.map_or(self.next, |until| until.min(self.next))
    }

    /// Looks at the clock. Call it again until there is nothing to be done.
    pub fn step(&mut self, now: Mono) -> Option<Do> {
        if self.until.is_some_and(|until| until <= now) {
            self.fail(now);
            return Some(Do::GiveUp);
        }
        if self.next > now {
            return None;
        }
        if self.until.is_some() {
            self.skipped += self.advance(now);
            return None;
        }
        // The beat that is now is none of those that were missed.
        self.skipped += self.advance(now).saturating_sub(1);
        self.until = Some(now + self.rhythm.deadline);
        self.cycles += 1;
        Some(if self.failures == 0 { Do::Measure } else { Do::Knock })
    }

    /// What went on is over, well or not. Of a disk it was not well either when it took long: [`is_slow`].
    pub fn over(&mut self, good: bool, now: Mono) {
        if self.until.is_none() {
            // It was given up before.
            return;
        }
        if !good {
            return self.fail(now);
        }
        self.until = None;
        self.failures = 0;
    }

    /// Another interval, from the last beat on: what goes on is not disturbed.
    pub fn set_interval(&mut self, every: Duration, now: Mono) {
        if every == self.every {
            return;
        }
        // The next beat was one interval after the last.
        let left = self.next.since(now);
        self.next = if left > every { now + every } else { self.next };
        self.every = every;
    }

    /// The next beat is now, unless something goes on, or the engine does not answer.
    pub fn hurry(&mut self, now: Mono) {
        if self.failures == 0 && self.until.is_none() {
            self.next = self.next.min(now);
        }
    }

    /// Between two beats.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Cycles and knocks that began.
    pub fn cycles(&self) -> u64 {
        self.cycles
    }

    /// Beats at which nothing was measured, because the cycle before went on or nobody looked at the clock.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many in a row failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Moves the next beat behind `now`, and tells how many were passed.
    fn advance(&mut self, now: Mono) -> u64 {
        if self.failures > 0 {
            // Knocks are no beats.
            self.next = now + self.every;
            return 0;
        }
        let every = self.every.as_nanos().max(1);
        let passed = now.since(self.next).as_nanos() / every + 1;
        let on = u64::try_from(passed.saturating_mul(every)).unwrap_or(u64::MAX);
        self.next = self.next + Duration::from_nanos(on);
        u64::try_from(passed).unwrap_or(u64::MAX)
    }

    fn fail(&mut self, now: Mono) {
        self.until = None;
        self.failures = self.failures.saturating_add(1);
        let longest = self.rhythm.longest.max(self.every);
        let doubled = self.every.saturating_mul(1 << self.failures.saturating_sub(self.rhythm.spared).min(16));
        let jitter = 1.0 + JITTER * (2.0 * self.draws.unit() - 1.0);
        self.next = now + doubled.min(longest).mul_f64(jitter);
    }
}

#[cfg(test)]
mod tests;
