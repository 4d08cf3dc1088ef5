//! How long it took.

use std::time::Duration;

/// How long a step took over all cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// None took longer.
    pub max: Duration,
}

/// Of these; absent when there are none. A percentile is one of the values (nearest rank), never one between two.
pub fn times(all: &[Duration]) -> Option<Times> {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let max = *sorted.last()?;
    let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1];
    Some(Times { p50: rank(50), p99: rank(99), max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let millis = |all: &[u64]| {
            let all: Vec<Duration> = all.iter().copied().map(Duration::from_millis).collect();
            times(&all).map(|times| [times.p50, times.p99, times.max].map(|time| time.as_millis()))
        };
        assert_eq!(millis(&[]), None);
        assert_eq!(millis(&[7]), Some([7, 7, 7]));
        assert_eq!(millis(&[9, 1]), Some([1, 9, 9]));
        assert_eq!(millis(&[3, 1, 2]), Some([2, 3, 3]));
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(millis(&hundred), Some([50, 99, 100]));
        let many: Vec<u64> = (1..=1000).collect();
        assert_eq!(millis(&many), Some([500, 990, 1000]));
    }
}
