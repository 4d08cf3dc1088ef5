//! Counting what was lost, and telling of it without flooding.

use std::time::Duration;

use vigie_core::clock::Mono;
use vigie_wire::keeper::What;

/// While a loss lasts it is told of at most so often.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Bytes that were lost.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    untold: u64,
    unentered: u64,
    told: Option<Mono>,
    why: String,
}

impl Loss {
    /// So many more bytes. What comes back is to be told now.
    pub(crate) fn add(&mut self, bytes: usize, why: impl FnOnce() -> String, now: Mono) -> Option<What> {
        if bytes == 0 {
            return None;
        }
        if self.why.is_empty() {
            self.why = why();
        }
        self.untold += bytes as u64;
        self.unentered += bytes as u64;
        match self.told {
            Some(told) if now.since(told) < TOLD_EVERY => None,
            _ => {
                self.told = Some(now);
                self.tell()
            }
        }
    }

    /// How many bytes are not yet in the index.
    pub(crate) fn unentered(&self) -> u64 {
        self.unentered
    }

    /// They are in the index now. What was not told yet comes back.
    pub(crate) fn entered(&mut self) -> Option<What> {
        if self.unentered == 0 {
            return None;
        }
        self.unentered = 0;
        let last = self.tell();
        self.why.clear();
        last
    }

    fn tell(&mut self) -> Option<What> {
        match std::mem::take(&mut self.untold) {
            0 => None,
            bytes => Some(What::LogLost { bytes, why: self.why.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(what: Option<What>) -> Option<u64> {
        match what {
            Some(What::LogLost { bytes, why }) => {
                assert_eq!(why, "full");
                Some(bytes)
            }
            _ => None,
        }
    }

    #[test]
    fn the_first_is_told_at_once_the_others_now_and_then_and_none_is_forgotten() {
        let mut loss = Loss::default();
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        let full = || "full".to_owned();
        assert_eq!(bytes(loss.add(5, full, at(100))), Some(5));
        assert_eq!(bytes(loss.add(7, full, at(101))), None);
        assert_eq!(bytes(loss.add(0, full, at(102))), None);
        assert_eq!(bytes(loss.add(1, full, at(110))), Some(8));
        assert_eq!(bytes(loss.add(2, full, at(111))), None);
        assert_eq!(loss.unentered(), 15);
        assert_eq!(bytes(loss.entered()), Some(2));
        assert_eq!(loss.unentered(), 0);
        assert_eq!(bytes(loss.entered()), None);
        // A disk that fills and empties all the time is not told of each time either.
        assert_eq!(bytes(loss.add(3, full, at(112))), None);
        assert_eq!(bytes(loss.entered()), Some(3));
    }
}
