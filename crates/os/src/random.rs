//! Dice.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::OsError;

/// Thirty-two random bits: the tail of a run id.
///
/// # Errors
/// Where the kernel has no getrandom(2).
pub fn u32() -> Result<u32, OsError> {
    bytes().map(u32::from_ne_bytes)
}

/// Sixty-four random bits: jitter, seeds.
///
/// # Errors
/// Where the kernel has no getrandom(2).
pub fn u64() -> Result<u64, OsError> {
    bytes().map(u64::from_ne_bytes)
}

/// The kernel fills up to 256 bytes at once or none (getrandom(2)), so a short answer does not occur.
fn bytes<const N: usize>() -> Result<[u8; N], OsError> {
    let mut bytes = [0_u8; N];
    getrandom(&mut bytes[..], GetRandomFlags::empty()).map_err(|errno| OsError::new("read", "getrandom(2)", errno))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_differ() {
        let numbers: std::collections::BTreeSet<u64> = (0..64).map(|_| super::u64().unwrap()).collect();
        assert_eq!(numbers.len(), 64);
        let small: std::collections::BTreeSet<u32> = (0..64).map(|_| super::u32().unwrap()).collect();
        assert!(small.len() > 32);
    }
}
