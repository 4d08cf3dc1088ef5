//! Many measurements of one thing, and how numbers are shown.

use std::time::Duration;

/// Measured times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The shortest; zero when nothing was measured.
    pub(crate) fn min(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    /// The middle one.
    pub(crate) fn median(&self) -> Duration {
        self.share(0.5)
    }

    /// The one that a hundredth of all are above.
    pub(crate) fn p99(&self) -> Duration {
        self.share(0.99)
    }

    /// The longest; zero when nothing was measured.
    pub(crate) fn max(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }

    fn share(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let place = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

/// `1.23 ms`: three digits, the unit that fits.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 1.0 {
        format!("{} s", digits(seconds))
    } else if seconds >= 1e-3 {
        format!("{} ms", digits(seconds * 1e3))
    } else {
        format!("{} µs", digits(seconds * 1e6))
    }
}

/// `a − b`, with its sign.
pub(crate) fn difference(a: Duration, b: Duration) -> String {
    if a >= b { time(a - b) } else { format!("−{}", time(b - a)) }
}

/// `1.7 ×`.
pub(crate) fn ratio(a: f64, b: f64) -> String {
    if b > 0.0 { format!("{:.2} ×", a / b) } else { "–".to_owned() }
}

/// `a / b` of two times.
pub(crate) fn times(a: Duration, b: Duration) -> String {
    ratio(a.as_secs_f64(), b.as_secs_f64())
}

/// Bytes as `12.3 MiB` or `123 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    let kibibytes = bytes as f64 / 1024.0;
    if kibibytes < 1000.0 { format!("{kibibytes:.0} KiB") } else { format!("{:.1} MiB", kibibytes / 1024.0) }
}

/// Three digits, no more.
pub(crate) fn digits(value: f64) -> String {
    let places = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_end_of_many() {
        let samples: Samples = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(samples.min(), Duration::from_millis(1));
        assert_eq!(samples.median(), Duration::from_millis(100));
        assert_eq!(samples.p99(), Duration::from_millis(198));
        assert_eq!(Samples::default().p99(), Duration::ZERO);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(time(Duration::from_micros(1234)), "1.23 ms");
        assert_eq!(time(Duration::from_micros(12)), "12.0 µs");
        assert_eq!(difference(Duration::from_secs(1), Duration::from_secs(3)), "−2.00 s");
        assert_eq!(size(130 << 10), "130 KiB");
        assert_eq!(size(15 << 20), "15.0 MiB");
        assert_eq!(ratio(1.0, 0.0), "–");
    }
}
