//! Durations and sizes as people write them (R2.2): `250ms`, `5s`, `2m`; `64MiB`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a text is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {hint}")]
pub struct UnitError {
    text: String,
    what: &'static str,
    hint: &'static str,
}

/// Reads `250ms`, `5s`, `2m`, `1h`, `7d`, and sums such as `1m30s`. A bare number has no unit and is refused,
/// except `0`.
///
/// # Errors
/// When the text is anything else or does not fit.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error =
        || UnitError { text: text.to_owned(), what: "duration", hint: "write for example 250ms, 5s, 2m, 1m30s" };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(error());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let nanos: u64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return Err(error()),
        };
        let part = match number.split_once('.') {
            None => number.parse::<u64>().ok().and_then(|n| n.checked_mul(nanos)).map(Duration::from_nanos),
            Some(_) => {
                number.parse::<f64>().ok().and_then(|n| Duration::try_from_secs_f64(n * nanos as f64 / 1e9).ok())
            }
        };
        total = total.checked_add(part.ok_or_else(error)?).ok_or_else(error)?;
        rest = tail;
    }
    Ok(total)
}

/// Writes the shortest text that [`parse_duration`] reads back: `1m30s`, `250ms`.
pub fn format_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let mut nanos = duration.as_nanos();
    let mut text = String::new();
    for (unit, size) in [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ] {
        let count = nanos / size;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            nanos %= size;
        }
    }
    text
}

/// Writes what people want to know of a measured duration: `3d4h`, `1h2m`, `1m3s`, `2.3s`, `20ms`. Rounded down, and
/// read back by [`parse_duration`].
pub fn format_rounded(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let step = match millis {
        0 if !duration.is_zero() => return format_duration(Duration::from_micros(duration.as_micros().max(1) as u64)),
        0..1_000 => 1,
        1_000..60_000 if millis % 1_000 >= 100 => {
            return format!("{}.{}s", millis / 1_000, millis % 1_000 / 100);
        }
        1_000..3_600_000 => 1_000,
        3_600_000..86_400_000 => 60_000,
        _ => 3_600_000,
    };
    format_duration(Duration::from_millis(millis / step * step))
}

/// Reads `4096`, `64KiB`, `64MiB`, `1.5GiB`, `10MB`. Units with an `i` count 1024, those without 1000.
///
/// # Errors
/// When the text is anything else or does not fit into 64 bits.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError { text: text.to_owned(), what: "size", hint: "write for example 64MiB, 512KiB, 1.5GiB" };
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(error()),
    };
    match number.parse::<u64>() {
        Ok(count) => count.checked_mul(factor).ok_or_else(error),
        Err(_) => match number.parse::<f64>() {
            Ok(count) if count.is_finite() && count >= 0.0 && count * (factor as f64) < u64::MAX as f64 => {
                Ok((count * factor as f64) as u64)
            }
            _ => Err(error()),
        },
    }
}

/// Reads a size that has its unit: where a bare number may as well be meant as something else.
///
/// # Errors
/// As of [`parse_size`], and when there is no unit.
pub fn parse_size_with_unit(text: &str) -> Result<u64, UnitError> {
    match parse_size(text) {
        Ok(bytes) if bytes > 0 && text.ends_with(|last: char| last.is_ascii_digit() || last == '.') => {
            Err(UnitError { text: text.to_owned(), what: "size", hint: "it needs a unit: 64MiB, 1.5GiB, 200GB, 10B" })
        }
        read => read,
    }
}

/// Writes a size in the largest unit that keeps it exact, else in bytes: `64MiB`, `200GB`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 8] = [
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("kB", 1_000),
    ];
    let exact = UNITS.into_iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    let (unit, size) = exact.unwrap_or(("B", 1));
    format!("{}{unit}", bytes / size)
}

/// A duration that travels as text (`"5s"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl Span {
    /// From whole milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// From whole seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format_duration(self.0))
    }
}

impl TryFrom<String> for Span {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        parse_duration(&text).map(Self)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        format_duration(span.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("0", 0),
            ("1.5s", 1_500),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "5", "s", "5 s", "5x", "-1s", "1..5s", "99999999999999999999s", "1e5s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_read_back() {
        for nanos in [0, 1, 999, 1_000_000, 90_000_000_000, 86_400_000_000_001, 123_456_789_012_345] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn measured_durations_are_short() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1us"),
            (20_400_000, "20ms"),
            (1_000_000_000, "1s"),
            (1_050_000_000, "1s"),
            (2_345_678_901, "2.3s"),
            (63_123_456_789, "1m3s"),
            (3_725_000_000_000, "1h2m"),
            (277_000_000_000_000, "3d4h"),
        ] {
            assert_eq!(format_rounded(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64MiB", 64 << 20), ("1.5GiB", 3 << 29), ("10MB", 10_000_000)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "1mib", "1 MiB", "99999999999TiB", "1.2.3"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(format_size(64 << 20), "64MiB");
        for (bytes, text) in [
            (0, "0B"),
            (1500, "1500B"),
            (3 << 29, "1536MiB"),
            (1_000, "1kB"),
            (64 << 10, "64KiB"),
            (400_000_000_000, "400GB"),
            (1 << 40, "1TiB"),
        ] {
            assert_eq!(format_size(bytes), text);
            assert_eq!(parse_size_with_unit(text), Ok(bytes));
        }
        assert_eq!((parse_size_with_unit("0"), parse_size_with_unit("90").is_err()), (Ok(0), true));
    }
}
