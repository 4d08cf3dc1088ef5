//! An answer that replaces the one that an engine would give: whatever bytes, at whatever pace.

use std::io::{self, Write};
use std::time::Duration;

/// How much is written at once of a body that is made up.
const PIECE: usize = 64 << 10;

/// The body of an answer.
#[derive(Debug, Clone)]
enum Body {
    Bytes(Vec<u8>),
    /// This, over and over, up to so many bytes.
    Repeated(Vec<u8>, u64),
}

/// One answer. Without more it is status 200 and an empty body.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    /// Said to be so long, whatever it is.
    length: Option<u64>,
    /// The body goes in chunks of this size.
    chunk: Option<usize>,
    pub(crate) delay: Duration,
    /// After the body nothing comes, and the connection stays open.
    pub(crate) hangs: bool,
    /// Not even the head is sent: these bytes are all.
    raw: bool,
    /// It is given so often; then the engine answers again.
    pub(crate) left: Option<u32>,
}

impl Answer {
    /// With this status, and the message that engines give with one.
    pub fn status(status: u16) -> Self {
        let body = format!("{{\"message\":\"scripted: {status}\"}}\n").into_bytes();
        Self { status, ..Self::bytes(body) }
    }

    /// With this body.
    pub fn bytes(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
            length: None,
            chunk: None,
            delay: Duration::ZERO,
            hangs: false,
            raw: false,
            left: None,
        }
    }

    /// These bytes in place of an answer, head and all.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { raw: true, ..Self::bytes(bytes) }
    }

    /// A body of so many bytes: this, over and over.
    pub fn repeated(what: impl Into<Vec<u8>>, bytes: u64) -> Self {
        let what = Some(what.into()).filter(|what| !what.is_empty()).unwrap_or_else(|| b"x".to_vec());
        Self { body: Body::Repeated(what, bytes), ..Self::bytes([]) }
    }

    /// Nothing is answered, and the connection stays open.
    pub fn silence() -> Self {
        Self { hangs: true, ..Self::raw([]) }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With so many more headers.
    #[must_use]
    pub fn flood(mut self, headers: usize) -> Self {
        self.headers.extend((0..headers).map(|number| (format!("X-Flood-{number}"), "x".repeat(100))));
        self
    }

    /// It says that its body is so long, and then it ends where it ends.
    #[must_use]
    pub fn claims(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// Its body goes in chunks of so many bytes, and the last chunk that says that it is over comes only when it `is_over`.
    #[must_use]
    pub fn chunked(mut self, size: usize) -> Self {
        self.chunk = Some(size.max(1));
        self
    }

    /// After so long.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// When all is said the connection stays open.
    #[must_use]
    pub fn then_hangs(mut self) -> Self {
        self.hangs = true;
        self
    }

    /// So often, and never again.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    /// Says it.
    pub(crate) fn write(&self, stream: &mut impl Write, api: &str) -> io::Result<()> {
        if self.raw {
            return self.body(stream, None);
        }
        let mut head = format!("HTTP/1.1 {} Scripted\r\nApi-Version: {api}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.chunk {
            Some(_) => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
            None => head.push_str(&format!("Content-Length: {}\r\n\r\n", self.length.unwrap_or(self.bytes_of_body()))),
        }
        stream.write_all(head.as_bytes())?;
        self.body(stream, self.chunk)?;
        // One that claims a length and sends chunks is cut off before the last.
        if self.chunk.is_some() && self.length.is_none() && !self.hangs {
            stream.write_all(b"0\r\n\r\n")
        } else {
            Ok(())
        }
    }

    fn bytes_of_body(&self) -> u64 {
        match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Repeated(_, length) => *length,
        }
    }

    fn body(&self, stream: &mut impl Write, chunk: Option<usize>) -> io::Result<()> {
        match &self.body {
            Body::Bytes(bytes) => pieces(stream, bytes, chunk),
            Body::Repeated(what, length) => {
                let block = what.repeat((PIECE / what.len()).max(1));
                let mut left = *length;
                while left > 0 {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
                    pieces(stream, &block[..now], chunk)?;
                    left -= now as u64;
                }
                Ok(())
            }
        }
    }
}

/// Writes bytes, in chunks of this size when there is one.
pub(crate) fn pieces(stream: &mut impl Write, bytes: &[u8], chunk: Option<usize>) -> io::Result<()> {
    let Some(size) = chunk else { return stream.write_all(bytes) };
    // All chunks in one write where they are small: what is tested is where they are cut, not how many packets they are.
    let mut text = Vec::with_capacity(bytes.len() + 16);
    for piece in bytes.chunks(size) {
        write!(text, "{:x}\r\n", piece.len())?;
        text.extend_from_slice(piece);
        text.extend_from_slice(b"\r\n");
    }
    stream.write_all(&text)
}
