//! The processors of the machine.

use std::path::Path;

use crate::proc::stat::number;

/// How many are at work now; they may come and go. `None` when the kernel does not tell. Not what this process may use: an
/// affinity or a quota makes that fewer.
pub fn online() -> Option<u32> {
    count(&std::fs::read(Path::new("/sys/devices/system/cpu/online")).ok()?)
}

/// Counts a list such as `0-3,5`.
fn count(list: &[u8]) -> Option<u32> {
    let mut all = 0;
    for part in list.trim_ascii().split(|byte| *byte == b',') {
        let mut ends = part.splitn(2, |byte| *byte == b'-');
        let first: u32 = number(ends.next()?)?;
        let last = ends.next().map_or(Some(first), number)?;
        all += last.checked_sub(first)? + 1;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        for (list, expected) in
            [("0", Some(1)), ("0-3\n", Some(4)), ("0-1,4,6-7\n", Some(5)), ("", None), ("3-1", None)]
        {
            assert_eq!(count(list.as_bytes()), expected, "{list}");
        }
        assert!(online().is_none_or(|count| count > 0));
    }
}
