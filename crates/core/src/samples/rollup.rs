//! What is left of many values.

/// The values of one metric in a bucket of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollup {
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// All together.
    pub sum: u64,
    /// How many; never 0.
    pub count: u64,
    /// The earliest.
    pub first: u64,
    /// The latest.
    pub last: u64,
}

impl Rollup {
    /// Of one value.
    pub const fn of(value: u64) -> Self {
        Self { min: value, max: value, sum: value, count: 1, first: value, last: value }
    }

    /// Takes in what comes later in time.
    pub fn then(&mut self, later: &Self) {
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.sum = self.sum.saturating_add(later.sum);
        self.count = self.count.saturating_add(later.count);
        self.last = later.last;
    }

    /// Sum by count, in the unit of what is stored.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }
}
