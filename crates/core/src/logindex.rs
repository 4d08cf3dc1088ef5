//! The index beside raw log bytes: who wrote what when (R6.9).
//!
//! A segment is two files: `NNNNNN.log`, exactly the bytes that the service wrote, and `NNNNNN.idx`, an array of
//! [`Entry`] records of [`Entry::SIZE`] bytes, little-endian, in the order of the bytes. So `less` and `grep` read the
//! text, `logs --raw` gives back every byte, binary output survives, and the keeper moves bytes from pipe to file
//! without looking at them. A line's time is that of the chunk in which its first byte arrived: the kernel does not
//! tell when a byte was written into a pipe, so no reader can know it better.
//!
//! Damage is harmless: an entry that reaches beyond the bytes is cut to them; bytes without an entry (the keeper was
//! killed between two writes) have no time and no stream, and are shown so.

use crate::clock::Wall;
use crate::identity::RunId;

/// What an entry speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Bytes from standard output.
    Out = 1,
    /// Bytes from standard error.
    Err = 2,
    /// `length` bytes that were lost here: the disk was full, or the policy was to drop. They are not in the file.
    Lost = 3,
}

/// One stretch of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it speaks of.
    pub kind: Kind,
    /// How many bytes.
    pub length: u32,
    /// Where they start in the `.log` file.
    pub offset: u64,
    /// When they were read from the pipe.
    pub at: Wall,
    /// Which run wrote them.
    pub run: RunId,
}

impl Entry {
    /// Bytes of an entry in the file.
    pub const SIZE: usize = 32;

    /// For the file: kind, three zero bytes, length, offset, time, run.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.at.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.run.0.to_le_bytes());
        bytes
    }

    /// From the file. `None` when it is not an entry of this version: damaged, or newer.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let kind = match bytes[0] {
            1 => Kind::Out,
            2 => Kind::Err,
            3 => Kind::Lost,
            _ => return None,
        };
        if bytes[1..4] != [0; 3] {
            return None;
        }
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        Some(Self {
            kind,
            length: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            offset: word(8),
            at: Wall(word(16)),
            run: RunId(word(24)),
        })
    }
}

/// The file names of segment `number`: bytes and index.
pub fn file_names(number: u32) -> (String, String) {
    (format!("{number:06}.log"), format!("{number:06}.idx"))
}

/// The number of a segment from the name of its `.log` file.
pub fn segment_number(file_name: &str) -> Option<u32> {
    let digits = file_name.strip_suffix(".log")?;
    if digits.len() < 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_file() {
        for kind in [Kind::Out, Kind::Err, Kind::Lost] {
            let entry =
                Entry { kind, length: 65_536, offset: 1 << 40, at: Wall(1_700_000_000_123_456_789), run: RunId(7) };
            assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        }
        assert_eq!(Entry::decode(&[0; 32]), None, "zeroed by a crash");
        assert_eq!(Entry::decode(&[0xff; 32]), None);
    }

    #[test]
    fn segment_names() {
        assert_eq!(file_names(7), ("000007.log".to_owned(), "000007.idx".to_owned()));
        assert_eq!(segment_number("000007.log"), Some(7));
        assert_eq!(segment_number("1000000.log"), Some(1_000_000));
        assert_eq!(segment_number("7.log"), None);
        assert_eq!(segment_number("000007.idx"), None);
    }
}
