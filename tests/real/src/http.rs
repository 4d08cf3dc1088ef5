//! A client of the API that knows HTTP and nothing else: it sends what no good client would.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::wait::{LONG, elapsed, now};

/// Where the API is asked.
#[derive(Debug, Clone)]
pub enum Site {
    /// At a Unix socket.
    Socket(PathBuf),
    /// At a port of 127.0.0.1, with a token or without.
    Port(u16, Option<String>),
}

/// An open connection.
#[derive(Debug)]
pub enum Connection {
    /// To a Unix socket.
    Socket(UnixStream),
    /// To a port.
    Port(TcpStream),
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.read(buffer),
            Self::Port(stream) => stream.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.write(buffer),
            Self::Port(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Connection {
    /// How long one read or write may take.
    pub fn patience(&self, time: Duration) {
        let time = Some(time.max(Duration::from_millis(1)));
        match self {
            Self::Socket(stream) => stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time)),
            Self::Port(stream) => stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time)),
        }
        .expect("a timeout");
    }

    /// Says that nothing more comes.
    pub fn finish(&self) {
        let _ = match self {
            Self::Socket(stream) => stream.shutdown(Shutdown::Write),
            Self::Port(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, without the first line.
    pub head: String,
    /// Its body, put together from chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let of = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(of).and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Site {
    /// Connects.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        let connection = match self {
            Self::Socket(path) => Connection::Socket(UnixStream::connect(path).expect("the daemon listens")),
            Self::Port(port, _) => {
                Connection::Port(TcpStream::connect(("127.0.0.1", *port)).expect("the daemon listens"))
            }
        };
        connection.patience(LONG);
        connection
    }

    /// The headers that a good client sends.
    pub fn headers(&self) -> String {
        match self {
            Self::Socket(_) => "Host: localhost\r\n".to_owned(),
            Self::Port(port, None) => format!("Host: 127.0.0.1:{port}\r\n"),
            Self::Port(port, Some(token)) => format!("Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"),
        }
    }

    /// `GET`
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.raw(format!("GET {path} HTTP/1.1\r\n{}Connection: close\r\n\r\n", self.headers()).as_bytes())
    }

    /// `GET` of something that must be there.
    #[track_caller]
    pub fn get_json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// `POST` of JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.raw(
            format!(
                "POST {path} HTTP/1.1\r\n{}Connection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                self.headers(),
                body.len()
            )
            .as_bytes(),
        )
    }

    /// Whatever is sent; the answer to it.
    #[track_caller]
    pub fn raw(&self, request: &[u8]) -> Answer {
        let mut connection = self.connect();
        // One that is refused early may be cut off while it still speaks: the answer is there all the same.
        let _ = connection.write_all(request);
        read(&mut connection)
            .unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(&request[..request.len().min(300)])))
    }

    /// Opens a stream: `GET`, whose answer does not end.
    #[track_caller]
    pub fn open(&self, path: &str, headers: &str) -> Events {
        let mut connection = self.connect();
        let request = format!("GET {path} HTTP/1.1\r\n{}{headers}\r\n", self.headers());
        connection.write_all(request.as_bytes()).expect("sent");
        Events::new(connection)
    }
}

/// Reads one answer; `None` when the connection ended without one.
pub fn read(connection: &mut Connection) -> Option<Answer> {
    let mut all = Vec::new();
    let mut buffer = [0; 16 << 10];
    let since = now();
    loop {
        if let Some(answer) = parse(&all, false) {
            return Some(answer);
        }
        if elapsed(since) > LONG {
            return None;
        }
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return parse(&all, true),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
        }
    }
}

fn parse(all: &[u8], ended: bool) -> Option<Answer> {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let (first, head) = head.split_once("\r\n").unwrap_or((&head, ""));
    let status = first.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer { status, head: head.to_owned(), body: Vec::new() };
    let rest = &all[end + 4..];
    if answer.header("transfer-encoding") == "chunked" {
        let (body, whole) = dechunk(rest);
        answer.body = body;
        return (whole || ended).then_some(answer);
    }
    let length = answer.header("content-length").parse().unwrap_or(0);
    answer.body = rest[..rest.len().min(length)].to_vec();
    (rest.len() >= length || ended).then_some(answer)
}

/// What is there of a body in chunks, and whether it is all of it.
fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return (body, false) };
        let Ok(size) = usize::from_str_radix(&String::from_utf8_lossy(&rest[..end]), 16) else { return (body, false) };
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { return (body, false) };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 2 + size + 2..).unwrap_or_default();
    }
}

/// A stream of server-sent events.
#[derive(Debug)]
pub struct Events {
    connection: Connection,
    /// What was read and is not taken apart yet.
    raw: Vec<u8>,
    head: Option<String>,
    /// The last chunk has come.
    whole: bool,
    text: String,
    /// How much of the text is taken apart.
    taken: usize,
    events: Vec<Event>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name; empty for an entry.
    pub name: String,
    /// Its id.
    pub id: Option<u64>,
    /// Its data.
    pub data: Value,
}

impl Events {
    fn new(connection: Connection) -> Self {
        let (raw, text, events) = (Vec::new(), String::new(), Vec::new());
        Self { connection, raw, head: None, whole: false, text, taken: 0, events }
    }

    /// The head of the answer, once it is there.
    #[track_caller]
    pub fn head(&mut self) -> String {
        let since = now();
        while self.head.is_none() && elapsed(since) < LONG {
            assert!(self.more(LONG), "the stream ended: {}", String::from_utf8_lossy(&self.raw));
        }
        self.head.clone().expect("a head")
    }

    /// Reads some more. `false` when the stream has ended.
    fn more(&mut self, time: Duration) -> bool {
        self.connection.patience(time);
        let mut buffer = [0; 16 << 10];
        match self.connection.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => self.raw.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
        if self.head.is_none()
            && let Some(end) = self.raw.windows(4).position(|four| four == b"\r\n\r\n")
        {
            self.head = Some(String::from_utf8_lossy(&self.raw[..end]).into_owned());
            self.raw.drain(..end + 4);
        }
        while self.head.is_some()
            && let Some(end) = self.raw.windows(2).position(|two| two == b"\r\n")
        {
            let size =
                usize::from_str_radix(&String::from_utf8_lossy(&self.raw[..end]), 16).expect("the size of a chunk");
            let Some(chunk) = self.raw.get(end + 2..end + 2 + size) else { break };
            // Entries are ASCII here, so that no character is cut.
            self.text.push_str(&String::from_utf8_lossy(chunk));
            self.whole |= size == 0;
            let after = (end + 4 + size).min(self.raw.len());
            self.raw.drain(..after);
        }
        while let Some(end) = self.text[self.taken..].find("\n\n") {
            self.events.extend(event(&self.text[self.taken..self.taken + end]));
            self.taken += end + 2;
        }
        true
    }

    /// Waits for something to come for so long.
    pub fn idle(&mut self, time: Duration) {
        self.more(time);
    }

    /// All that came until now, comments included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All events until now.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Reads until something is found in all events so far.
    #[track_caller]
    pub fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&[Event]) -> Option<T>) -> T {
        let since = now();
        loop {
            if let Some(found) = look(&self.events) {
                return found;
            }
            assert!(elapsed(since) < LONG, "{what}: {}", self.tail());
            assert!(self.more(Duration::from_millis(500)), "the stream ended; {what}: {}", self.tail());
        }
    }

    /// Reads to the end of the stream, and whether it was a regular one.
    #[track_caller]
    pub fn end(&mut self) -> bool {
        let since = now();
        while !self.whole && self.more(Duration::from_millis(500)) {
            assert!(elapsed(since) < LONG, "the stream does not end: {}", self.tail());
        }
        self.whole
    }

    fn tail(&self) -> String {
        let skipped = self.text.chars().count().saturating_sub(2_000);
        self.text.chars().skip(skipped).collect()
    }
}

fn event(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let data = serde_json::from_str(field("data:")?).expect("the data of an event is JSON");
    Some(Event {
        name: field("event:").unwrap_or_default().to_owned(),
        id: field("id:").map(|id| id.parse().expect("a number")),
        data,
    })
}
