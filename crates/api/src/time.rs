//! Points in time as programs read them: RFC 3339, UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use vigie_core::clock::Wall;

const SECOND: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;

/// A text that is not a time in RFC 3339 and UTC, or one before 1970.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time such as 2026-01-31T12:00:00.000Z")]
pub struct TimeError(String);

/// A time to the millisecond: `2026-01-31T12:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("format" = "date-time", "pattern" = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$")))]
#[serde(try_from = "String", into = "String")]
pub struct Millis(pub Wall);

/// A time to the nanosecond: `2026-01-31T12:00:00.000000000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("format" = "date-time", "pattern" = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$")))]
#[serde(try_from = "String", into = "String")]
pub struct Nanos(pub Wall);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(self.0, f)?;
        write!(f, ".{:03}Z", self.0.0 % SECOND / 1_000_000)
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(self.0, f)?;
        write!(f, ".{:09}Z", self.0.0 % SECOND)
    }
}

/// `2026-01-31T12:00:00`
fn write_seconds(wall: Wall, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let seconds = wall.0 / SECOND;
    let (year, month, day) = civil(seconds / DAY_SECONDS);
    let of_day = seconds % DAY_SECONDS;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of the proleptic Gregorian calendar from the days since 1970-01-01. Counts in years that begin
/// in March, so that the leap day is the last of its year, and in eras of 400 years, which all have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil`] for years from 1970.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted_year = year - u64::from(month <= 2);
    let from_march = (month + 9) % 12;
    let (era, of_era) = (shifted_year / 400, shifted_year % 400);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)
}

/// Reads what [`Nanos`] and [`Millis`] write: any number of digits behind the point, or no point.
///
/// # Errors
/// When the text is anything else, or the time does not fit into a [`Wall`].
pub fn parse(text: &str) -> Result<Wall, TimeError> {
    read(text).ok_or_else(|| TimeError(text.to_owned()))
}

fn read(text: &str) -> Option<Wall> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers::<3>(date, '-')?;
    let [hour, minute, second] = numbers::<3>(time, ':')?;
    if year < 1970 || !(1..=12).contains(&month) || day < 1 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days(year, month, day)?;
    if civil(days) != (year, month, day) || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let [fraction_value] = numbers::<1>(fraction, '.')?;
    let nanos = fraction_value * 10_u64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let seconds = days.checked_mul(DAY_SECONDS)? + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(SECOND)?.checked_add(nanos).map(Wall)
}

/// Exactly `N` groups of at most nine digits.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[u64; N]> {
    let mut all = [0; N];
    let mut parts = text.split(separator);
    for slot in &mut all {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 9 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(all)
}

macro_rules! travels_as_text {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = TimeError;

            fn from_str(text: &str) -> Result<Self, TimeError> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = TimeError;

            fn try_from(text: String) -> Result<Self, TimeError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(time: $name) -> String {
                time.to_string()
            }
        }
    };
}

travels_as_text!(Millis);
travels_as_text!(Nanos);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399_999_999_999, "2000-02-28T23:59:59.999999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800_000_000_001, "2000-03-01T00:00:00.000000001Z"),
            (1_767_225_600_000_000_000, "2026-01-01T00:00:00.000000000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(Nanos(Wall(nanos)).to_string(), text);
            assert_eq!(parse(text), Ok(Wall(nanos)));
        }
        assert_eq!(Millis(Wall(1_767_225_600_012_999_999)).to_string(), "2026-01-01T00:00:00.012Z");
        assert_eq!(parse("2026-01-01T00:00:00Z"), Ok(Wall(1_767_225_600_000_000_000)));
        assert_eq!(parse("2026-01-01T00:00:00.5Z"), Ok(Wall(1_767_225_600_500_000_000)));
    }

    #[test]
    fn every_day_is_read_back() {
        for day in 0..100_000 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), Some(day));
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.0000000000Z",
            "1969-12-31T23:59:59Z",
            "9999-01-01T00:00:00Z",
            "+2026-01-01T00:00:00Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
