//! Lines in, messages out.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a line is not a message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer sent more than [`crate::LIMIT`] bytes without a newline.
    #[error("a line of the peer is longer than {} bytes", crate::LIMIT)]
    TooLong,
    /// Not JSON, or not of this protocol.
    #[error("the peer sent something else than vigie's protocol: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// One message as a line with its newline.
///
/// # Errors
/// None for the types of this crate.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Collects what a stream delivers and gives out whole lines.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// So many bytes of the buffer were given out: they go with the next push, all together.
    taken: usize,
    searched: usize,
}

impl Lines {
    /// Takes what was read.
    ///
    /// # Errors
    /// When the line that is being collected is too long; the connection should then be closed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.searched -= self.taken;
            self.taken = 0;
        }
        if self.buffer.len() + bytes.len() > crate::LIMIT {
            return Err(FrameError::TooLong);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// When a line is not a message of this type. The line is then gone; the next call goes on behind it.
    pub fn message<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        self.message_by(|line| serde_json::from_slice(line))
    }

    /// The same, read by a function that knows more about it.
    ///
    /// # Errors
    /// As of [`Lines::message`].
    pub fn message_by<M>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Result<M, serde_json::Error>,
    ) -> Result<Option<M>, FrameError> {
        let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let end = self.searched + end;
        let message = read(&self.buffer[self.taken..end]);
        self.taken = end + 1;
        self.searched = self.taken;
        if self.taken == self.buffer.len() {
            // A launch may be a megabyte; nothing that follows is.
            *self = Self::default();
        }
        Ok(Some(message?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_arrive_in_pieces() {
        let mut lines = Lines::default();
        lines.push(b"[1").expect("short");
        assert!(lines.message::<Vec<u8>>().expect("no line yet").is_none());
        lines.push(b",2]\n[3]\nx\n[4]\n").expect("short");
        assert_eq!(lines.message::<Vec<u8>>().expect("message"), Some(vec![1, 2]));
        assert_eq!(lines.message::<Vec<u8>>().expect("message"), Some(vec![3]));
        assert!(matches!(lines.message::<Vec<u8>>(), Err(FrameError::Malformed(_))));
        assert_eq!(lines.message::<Vec<u8>>().expect("goes on"), Some(vec![4]));
        assert!(lines.message::<Vec<u8>>().expect("empty").is_none());
    }

    #[test]
    fn endless_lines_are_refused() {
        let mut lines = Lines::default();
        assert!(matches!(lines.push(&vec![b'x'; crate::LIMIT + 1]), Err(FrameError::TooLong)));
    }
}
