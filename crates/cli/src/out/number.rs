//! Measured values for people. What was not observed is [`ABSENT`], never 0 (R1).

use std::fmt::Display;

/// Shown for a value that was not observed.
pub(crate) const ABSENT: &str = "–";

/// The value, or [`ABSENT`].
pub(crate) fn or_absent(value: Option<impl Display>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| value.to_string())
}

/// A size with three digits at most before the unit: `45.2 MiB`, `812 KiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1000.0 {
            return shown(value, unit);
        }
        value /= 1024.0;
    }
    shown(value, "TiB")
}

fn shown(value: f64, unit: &str) -> String {
    if unit == "B" || value >= 99.95 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Per cent of one core, one decimal: `2.3%`.
pub(crate) fn percent(value: f64) -> String {
    format!("{value:.1}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (47_395_635, "45.2 MiB"),
            (500 << 20, "500 MiB"),
            (5 << 30, "5.0 GiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn absent_is_not_zero() {
        assert_eq!(or_absent(None::<u32>), "–");
        assert_eq!(or_absent(Some(0)), "0");
        assert_eq!(percent(2.34), "2.3%");
    }
}
