//! A row of samples or rollups as bytes.
//!
//! A number is written seven bits to a byte, the lowest first, the highest bit set in all bytes but the last (LEB128). A
//! row holds, for each metric that was measured, ascending by its number:
//!
//! | samples | rollups |
//! |---|---|
//! | number of the metric (one byte) | number of the metric (one byte) |
//! | value | count |
//! | | min |
//! | | max − min |
//! | | sum − count × min |
//! | | first − min |
//! | | last − min |
//!
//! So what does not change costs two bytes a sample and some seven a rollup. Metrics of a newer version have the same
//! form, and are skipped.

use super::{Metric, Rollup};

/// What was measured of a subject at one moment.
pub type Readings = Vec<(Metric, u64)>;

/// What is left of the samples of a subject in one bucket.
pub type Rollups = Vec<(Metric, Rollup)>;

/// Appends a row of samples to `out`.
pub fn pack_readings(readings: &[(Metric, u64)], out: &mut Vec<u8>) {
    for (metric, value) in readings {
        out.push(metric.number());
        write(*value, out);
    }
}

/// Reads a row of samples. `None` when it is none.
pub fn unpack_readings(mut bytes: &[u8]) -> Option<Readings> {
    let mut readings = Vec::with_capacity(8);
    while let Some((number, rest)) = bytes.split_first() {
        bytes = rest;
        let value = read(&mut bytes)?;
        readings.extend(Metric::of_number(*number).map(|metric| (metric, value)));
    }
    Some(readings)
}

/// One metric of a row of samples, without reading what is behind it. `None` when it is not in it.
pub fn reading(mut bytes: &[u8], metric: Metric) -> Option<u64> {
    while let Some((number, rest)) = bytes.split_first() {
        bytes = rest;
        // They ascend.
        if *number > metric.number() {
            return None;
        }
        let value = read(&mut bytes)?;
        if *number == metric.number() {
            return Some(value);
        }
    }
    None
}

/// Appends a row of rollups to `out`.
pub fn pack_rollups(rollups: &[(Metric, Rollup)], out: &mut Vec<u8>) {
    for (metric, rollup) in rollups {
        out.push(metric.number());
        let least = rollup.count.saturating_mul(rollup.min);
        for number in [
            rollup.count,
            rollup.min,
            rollup.max - rollup.min,
            rollup.sum.saturating_sub(least),
            rollup.first - rollup.min,
            rollup.last - rollup.min,
        ] {
            write(number, out);
        }
    }
}

/// Reads a row of rollups. `None` when it is none.
pub fn unpack_rollups(mut bytes: &[u8]) -> Option<Rollups> {
    let mut rollups = Vec::with_capacity(8);
    while let Some((number, rest)) = bytes.split_first() {
        bytes = rest;
        let mut next = || read(&mut bytes);
        let (count, min) = (next()?, next()?);
        let (above, sum, first, last) = (next()?, next()?, next()?, next()?);
        let rollup = Rollup {
            min,
            max: min.checked_add(above)?,
            sum: sum.saturating_add(count.saturating_mul(min)),
            count,
            first: min.checked_add(first)?,
            last: min.checked_add(last)?,
        };
        rollups.extend(Metric::of_number(*number).filter(|_| count > 0).map(|metric| (metric, rollup)));
    }
    Some(rollups)
}

fn write(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
