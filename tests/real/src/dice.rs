//! What tests draw by chance: the same for the same seed, so that what failed can be played again.

use std::time::Duration;

use crate::wait::now;

/// A small generator of numbers (SplitMix64): every seed is a good one, small ones and those that differ little too.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// For a test of chaos: from the seed that `VIGIE_CHAOS_SEED` gives, else from the clock. It is printed, for whoever
    /// sees the test fail.
    pub fn of_chaos(test: &str) -> Self {
        let given = std::env::var("VIGIE_CHAOS_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| now().subsec_nanos().into());
        println!("{test}: VIGIE_CHAOS_SEED={seed}");
        Self::new(seed)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).expect("small")]
    }

    /// Lets a random time pass, up to so many milliseconds: the moment is what is tested.
    pub fn moment(&mut self, millis: u64) {
        std::thread::park_timeout(Duration::from_micros(self.below(millis * 1000)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds are written down: what they mean must not change.
    #[test]
    fn a_seed_keeps_its_meaning() {
        let mut dice = Dice::new(0);
        assert_eq!(dice.below(u64::MAX), 0xe220_a839_7b1d_cdaf);
        assert_eq!(dice.below(u64::MAX), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(dice.below(0), 0);
    }
}
