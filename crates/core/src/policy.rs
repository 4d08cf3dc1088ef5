//! What follows the end of a run: nothing, a new start after a delay, or giving up (R6.2).

use std::time::Duration;

use crate::clock::Wall;
use crate::exit::Exit;
use crate::identity::RunId;
use crate::manifest::{Kind, Restart, When};

/// How a run came to its end, as far as the policy cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The main process ended like this.
    Exit(Exit),
    /// vigie ended it because it was not well, or it could not be started at all.
    Failure,
}

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing: it ran to its end, and that was good.
    Done,
    /// Nothing: it failed, and is not started again.
    GiveUp {
        /// Why not.
        reason: String,
    },
    /// A new start.
    Restart {
        /// After this.
        delay: Duration,
        /// The number of that start since the last stable period, from 1.
        attempt: u32,
    },
}

/// Judges the end of a run that was wanted up. `attempt` is the number of new starts since the last stable period;
/// `draw` a random number in 0..1 for the jitter.
pub fn judge(kind: Kind, policy: &Restart, end: End, attempt: u32, draw: f64) -> Verdict {
    let (clean, fatal) = match end {
        End::Exit(exit) => (
            exit.code().is_some_and(|code| policy.clean.contains(&code)),
            exit.code().is_some_and(|code| policy.fatal.contains(&code)),
        ),
        End::Failure => (false, false),
    };
    let again = match policy.when {
        When::Never => false,
        When::Failure => !clean,
        // A task that ran to its end has done what it was for, whatever the policy says.
        When::Always => !(clean && kind == Kind::Task),
    };
    if clean && !again {
        return Verdict::Done;
    }
    let ended = match end {
        End::Exit(exit) => format!("{exit}"),
        End::Failure => "failure".to_owned(),
    };
    if fatal {
        return Verdict::GiveUp { reason: format!("{ended}: declared fatal") };
    }
    if !again {
        return Verdict::GiveUp { reason: format!("{ended}, and restart is \"never\"") };
    }
    if attempt >= policy.attempts {
        return Verdict::GiveUp { reason: format!("{ended} after {attempt} restarts without a stable period") };
    }
    Verdict::Restart { delay: delay(policy, attempt, draw), attempt: attempt + 1 }
}

/// The delay before new start number `attempt + 1`.
fn delay(policy: &Restart, attempt: u32, draw: f64) -> Duration {
    let longest = policy.max_delay.0;
    let exponent = i32::try_from(attempt).unwrap_or(i32::MAX);
    let grown = policy.delay.0.as_secs_f64() * policy.factor.powi(exponent);
    let jittered = grown.min(longest.as_secs_f64()) * (1.0 + policy.jitter * (2.0 * draw - 1.0));
    Duration::try_from_secs_f64(jittered).unwrap_or(longest).min(longest)
}

/// A small generator for jitter and run numbers (SplitMix64, public domain by its author). Not for secrets. The same
/// seed gives the same schedule: that is what the simulated world needs.
#[derive(Debug, Clone)]
pub struct Draws {
    state: u64,
    last_run: RunId,
}

impl Draws {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, last_run: RunId(0) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A run that never was: above every one before it.
    pub fn run_id(&mut self, wall: Wall) -> RunId {
        let random = (self.bits() >> 32) as u32;
        self.last_run = RunId::above(self.last_run, wall, random);
        self.last_run
    }

    /// A number in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    fn policy(when: When) -> Restart {
        Restart { when, jitter: 0.0, clean: vec![0, 143], fatal: vec![78], attempts: 3, ..Restart::default() }
    }

    /// R6.2: which ends lead to a new start.
    #[test]
    fn ends() {
        let killed = Exit::Signal { signal: 9, core_dumped: false };
        for (kind, when, end, restarts, done) in [
            (Kind::Service, When::Failure, End::Exit(Exit::Code(0)), false, true),
            (Kind::Service, When::Failure, End::Exit(Exit::Code(143)), false, true),
            (Kind::Service, When::Failure, End::Exit(Exit::Code(1)), true, false),
            (Kind::Service, When::Failure, End::Exit(Exit::Code(78)), false, false),
            (Kind::Service, When::Failure, End::Exit(killed), true, false),
            (Kind::Service, When::Failure, End::Exit(Exit::Unknown), true, false),
            (Kind::Service, When::Failure, End::Failure, true, false),
            (Kind::Service, When::Always, End::Exit(Exit::Code(0)), true, false),
            (Kind::Service, When::Always, End::Exit(Exit::Code(78)), false, false),
            (Kind::Service, When::Never, End::Exit(Exit::Code(0)), false, true),
            (Kind::Service, When::Never, End::Exit(Exit::Code(1)), false, false),
            (Kind::Task, When::Always, End::Exit(Exit::Code(0)), false, true),
            (Kind::Task, When::Failure, End::Exit(Exit::Code(1)), true, false),
        ] {
            let verdict = judge(kind, &policy(when), end, 0, 0.5);
            assert_eq!(matches!(verdict, Verdict::Restart { .. }), restarts, "{kind:?} {when:?} {end:?}: {verdict:?}");
            assert_eq!(verdict == Verdict::Done, done, "{kind:?} {when:?} {end:?}: {verdict:?}");
        }
    }

    /// R6.2: delay × factor up to `max_delay`, then giving up.
    #[test]
    fn delays_grow_to_a_cap_and_end() {
        let policy = Restart { attempts: 5, max_delay: Span::secs(3), jitter: 0.0, ..Restart::default() };
        let delays: Vec<_> = (0..6).map(|attempt| judge(Kind::Service, &policy, End::Failure, attempt, 0.5)).collect();
        let restart = |millis, attempt| Verdict::Restart { delay: Duration::from_millis(millis), attempt };
        assert_eq!(
            delays[..5],
            [restart(500, 1), restart(1000, 2), restart(2000, 3), restart(3000, 4), restart(3000, 5)]
        );
        assert!(matches!(delays[5], Verdict::GiveUp { .. }));
    }

    #[test]
    fn jitter_stays_in_its_bounds() {
        let policy = Restart { jitter: 0.2, ..Restart::default() };
        let mut draws = Draws::new(7);
        for attempt in [0, 1, 60, u32::MAX] {
            for _ in 0..1_000 {
                let delay = delay(&policy, attempt, draws.unit());
                let plain = (0.5 * 2_f64.powi(attempt.min(60) as i32)).min(60.0);
                assert!(delay <= Duration::from_secs(60));
                assert!(
                    delay.as_secs_f64() >= plain * 0.799 && delay.as_secs_f64() <= plain * 1.201,
                    "{attempt}: {delay:?}"
                );
            }
        }
    }
}
