//! Whether something grows with each cycle.
//!
//! A leak lifts the lowest value that is ever reached; work in progress, a cache that fills once and an allocator that
//! takes a larger piece do not, or do it once. So the cycles after a warm-up are cut into [`BLOCKS`] pieces, of each the
//! lowest value counts, and only where every piece lies above the one before, by as much as would matter, it is called
//! a leak.

/// Into how many pieces the cycles are cut.
const BLOCKS: usize = 5;

/// Fewer cycles than this tell nothing.
const ENOUGH: usize = 20;

/// What vigie itself keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Descriptors, threads: one more in some cycles is a leak.
    Count,
    /// Bytes of its own memory: the allocator and the database round them up, and keep some for later.
    Bytes,
}

/// What grows slower than this, in bytes a cycle, is below what can be told from the work of an allocator.
const BYTES_A_CYCLE: f64 = 512.0;

/// What has grown by less than this is, too.
const BYTES_AT_LEAST: u64 = 512 << 10;

/// How something went over all cycles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// In the first cycle after the warm-up.
    pub first: u64,
    /// In the last one.
    pub last: u64,
    /// From the lowest value of the first piece to that of the last.
    pub per_cycle: f64,
    /// It grows with the cycles.
    pub leaks: bool,
}

/// Of one value for each cycle. `None`: too few to tell.
pub fn growth(values: &[u64], kept: Kept) -> Option<Growth> {
    // A fifth for warming up.
    let warm = &values[values.len() / 5..];
    let (first, last) = (*warm.first()?, *warm.last()?);
    if values.len() < ENOUGH {
        return None;
    }
    let length = warm.len() / BLOCKS;
    let lowest: Vec<u64> =
        warm.chunks_exact(length).take(BLOCKS).filter_map(|piece| piece.iter().min().copied()).collect();
    let (low, high) = (*lowest.first()?, *lowest.last()?);
    let risen = high.saturating_sub(low);
    let per_cycle = (high as f64 - low as f64) / (length * (BLOCKS - 1)) as f64;
    let steady = lowest.windows(2).all(|pair| pair[0] < pair[1]);
    let matters = match kept {
        Kept::Count => true,
        Kept::Bytes => per_cycle >= BYTES_A_CYCLE && risen >= BYTES_AT_LEAST,
    };
    Some(Growth { first, last, per_cycle, leaks: steady && matters })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaks(values: impl Iterator<Item = u64>, kept: Kept) -> Option<bool> {
        growth(&values.collect::<Vec<_>>(), kept).map(|growth| growth.leaks)
    }

    /// Noise without a trend, the same in every run of the test.
    fn noise(cycle: u64) -> u64 {
        cycle.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58
    }

    #[test]
    fn a_leak_grows_with_every_piece() {
        assert_eq!(leaks((0..19).map(|cycle| cycle * 10), Kept::Count), None, "too few to tell");
        assert_eq!(leaks((0..20).map(|cycle| 10 + cycle), Kept::Count), Some(true));
        assert_eq!(leaks((0..500).map(|cycle| 10 + cycle / 50 + noise(cycle) % 3), Kept::Count), Some(true));
        let growth = growth(&(0..500).map(|cycle| 10 + cycle).collect::<Vec<_>>(), Kept::Count).expect("enough");
        assert_eq!((growth.first, growth.last), (110, 509));
        assert!((growth.per_cycle - 1.0).abs() < 1e-9, "{growth:?}");
    }

    #[test]
    fn nothing_else_does() {
        for (case, values) in [
            ("always the same", vec![12; 500]),
            ("noise", (0..500).map(|cycle| 12 + noise(cycle)).collect()),
            ("a step", (0..500).map(|cycle| if cycle < 250 { 12 } else { 13 }).collect()),
            ("two steps", (0..500).map(|cycle| 12 + cycle / 200).collect()),
            ("a peak", (0..500).map(|cycle| if cycle == 300 { 900 } else { 12 }).collect()),
            ("warming up", (0..500_u64).map(|cycle| 12 + cycle.min(99)).collect()),
            ("less and less", (0..500).map(|cycle| 1000 - cycle).collect()),
        ] {
            assert_eq!(leaks(values.into_iter(), Kept::Count), Some(false), "{case}");
        }
    }

    #[test]
    fn of_memory_a_little_is_no_leak() {
        let mib = 1 << 20;
        assert_eq!(leaks((0..500).map(|cycle| 4 * mib + cycle * 4096), Kept::Bytes), Some(true));
        assert_eq!(leaks((0..500).map(|cycle| 4 * mib + cycle * 100), Kept::Bytes), Some(false), "too slow");
        assert_eq!(leaks((0..20).map(|cycle| 4 * mib + cycle * 8192), Kept::Bytes), Some(false), "too little");
        assert_eq!(leaks((0..500_u64).map(|cycle| 4 * mib + cycle.min(99) * 16384), Kept::Bytes), Some(false));
    }
}
