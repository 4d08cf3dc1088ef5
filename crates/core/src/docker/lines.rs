//! A stream of bytes becomes lines.
//!
//! Works on bytes: a piece may end anywhere, in the middle of a character too. A line that is too long is left out up to
//! its end and counted, so that no engine makes memory grow; the last line may lack its newline.

/// The longest line in bytes, its newline not counted. Docker's own are some hundred bytes; labels make them longer.
pub const LIMIT: usize = 1 << 20;

/// A buffer that once held more than this is given back when it is empty.
const KEPT: usize = 16 << 10;

/// A line, or that there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Whole, without its end.
    Whole(Vec<u8>),
    /// Longer than the limit; its beginning.
    TooLong(Vec<u8>),
}

/// How much of a line that is too long is shown.
const BEGINNING: usize = 200;

/// Collects what a stream delivers and gives out lines.
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    /// So many bytes of the buffer were given out.
    taken: usize,
    /// So many were searched for an end in vain.
    searched: usize,
    limit: usize,
    /// The line that is being collected is too long: its end is waited for.
    skipping: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl Lines {
    /// With another limit than [`LIMIT`].
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: Vec::new(), taken: 0, searched: 0, limit, skipping: false }
    }

    /// Takes what was read. [`Lines::next`] is to be called until it has none, before more is given.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.searched -= self.taken;
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line that is whole. Empty ones are left out.
    #[allow(clippy::should_implement_trait, reason = "more may come after there was none")]
    pub fn next(&mut self) -> Option<Line> {
        loop {
            let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return self.overflow();
            };
            let end = self.searched + end;
            let line = trimmed(&self.buffer[self.taken..end]);
            let found = match std::mem::take(&mut self.skipping) {
                // Its beginning was told.
                true => None,
                false if line.is_empty() => None,
                false if line.len() > self.limit => Some(too_long(line)),
                false => Some(Line::Whole(line.to_vec())),
            };
            self.taken = end + 1;
            self.searched = self.taken;
            self.tidy();
            if found.is_some() {
                return found;
            }
        }
    }

    /// The stream has ended: what is left without an end.
    pub fn finish(&mut self) -> Option<Line> {
        let line = trimmed(&self.buffer[self.taken..]).to_vec();
        let skipping = std::mem::take(&mut self.skipping);
        (self.buffer, self.taken, self.searched) = (Vec::new(), 0, 0);
        (!skipping && !line.is_empty()).then_some(Line::Whole(line))
    }

    /// A line without an end that is too long already.
    fn overflow(&mut self) -> Option<Line> {
        let pending = &self.buffer[self.taken..];
        if pending.len() <= self.limit && !self.skipping {
            return None;
        }
        let told = (!self.skipping).then(|| too_long(pending));
        (self.buffer, self.taken, self.searched) = (Vec::new(), 0, 0);
        self.skipping = true;
        told
    }

    fn tidy(&mut self) {
        if self.taken == self.buffer.len() {
            (self.taken, self.searched) = (0, 0);
            self.buffer.clear();
            self.buffer.shrink_to(KEPT);
        }
    }
}

fn too_long(line: &[u8]) -> Line {
    Line::TooLong(line[..line.len().min(BEGINNING)].to_vec())
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]], limit: usize) -> Vec<Line> {
        let mut lines = Lines::with_limit(limit);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece);
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        found.extend(lines.finish());
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    /// Wherever the stream is cut, the same lines come out.
    #[test]
    fn lines_may_be_cut_anywhere() {
        let text = "{\"name\":\"gr\u{fc}n\"}\r\n\n{}\n{\"x\":\"\u{1f433}\"}".as_bytes();
        let wanted = [whole("{\"name\":\"gr\u{fc}n\"}"), whole("{}"), whole("{\"x\":\"\u{1f433}\"}")];
        for first in 0..=text.len() {
            for second in first..=text.len() {
                assert_eq!(all(&[&text[..first], &text[first..second], &text[second..]], 100), wanted);
            }
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(all(&bytes, 100), wanted);
    }

    #[test]
    fn what_is_too_long_is_told_once_and_ends_nothing() {
        let long = "x".repeat(30);
        let text = format!("a\n{long}\nb\n");
        let wanted = [whole("a"), Line::TooLong(b"x".repeat(11)), whole("b")];
        for size in [1, 3, 100] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let found = all(&pieces, 10);
            assert_eq!(found.len(), 3, "{size}: {found:?}");
            assert_eq!((&found[0], &found[2]), (&wanted[0], &wanted[2]));
            assert!(matches!(&found[1], Line::TooLong(start) if start.starts_with(b"xxx")));
        }
        assert_eq!(all(&[b"0123456789\n", b"01234567890"], 10).len(), 2);
        assert_eq!(all(&[&b"y".repeat(500)], 10).len(), 1, "its end never came");
        assert_eq!(all(&[&b"y".repeat(500), &b"y".repeat(500), b"\nz"], 10).last(), Some(&whole("z")));
    }

    #[test]
    fn memory_is_given_back() {
        let mut lines = Lines::default();
        lines.push(&[b"z".repeat(LIMIT), b"\n".to_vec()].concat());
        assert!(matches!(lines.next(), Some(Line::Whole(line)) if line.len() == LIMIT));
        assert!(lines.buffer.capacity() <= KEPT);
        lines.push(&b"z".repeat(LIMIT + 1));
        assert!(matches!(lines.next(), Some(Line::TooLong(_))));
        assert_eq!(lines.buffer.capacity(), 0);
    }
}
