//! Somebody to whom messages are sent: an HTTP server that writes down what it gets.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::wait::until;

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path, with its query.
    pub path: String,
    /// The header `Idempotency-Key`.
    pub key: String,
    /// The body.
    pub body: Value,
}

#[derive(Debug, Default)]
struct Shared {
    got: Vec<Request>,
    /// Status of the next answers; afterwards 200.
    answers: Vec<u16>,
}

/// The server. Its thread ends with the test's process.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

impl Receiver {
    /// On a port that the kernel chooses.
    #[allow(clippy::new_without_default, reason = "it opens a port")]
    pub fn new() -> Self {
        Self::answering(&[])
    }

    /// The first requests are answered with these.
    pub fn answering(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Mutex::new(Shared { got: Vec::new(), answers: answers.to_vec() }));
        let ours = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &ours);
            }
        });
        Self { port, shared }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All that was received until now.
    pub fn all(&self) -> Vec<Request> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).got.clone()
    }

    /// Waits until so many were received.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<Request> {
        until(&format!("{count} messages were received"), || Some(self.all()).filter(|got| got.len() >= count))
    }

    /// The occasions of all messages about a service, in their order.
    pub fn occasions(&self, service: &str) -> Vec<String> {
        let about = |got: &Request| (got.body["service"] == service).then(|| got.body["occasion"].clone());
        let found = self.all().iter().filter_map(about).collect::<Vec<_>>();
        found.iter().filter_map(|occasion| occasion.as_str().map(str::to_owned)).collect()
    }
}

fn serve(stream: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    let mut body = vec![0; header("Content-Length: ").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let request = Request {
        path: head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned(),
        key: header("Idempotency-Key: "),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let status = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.got.push(request);
        if shared.answers.is_empty() { 200 } else { shared.answers.remove(0) }
    };
    let mut stream = stream;
    stream.write_all(format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\nthere").as_bytes())
}
