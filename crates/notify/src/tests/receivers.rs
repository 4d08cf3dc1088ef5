//! Receivers: an HTTP server that writes down what it gets, a mail server, a bus.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Longer no test waits for anything.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// What a server got.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// An HTTP server that answers each request with the next of its answers, the last one again and again.
pub(super) struct Http {
    pub(super) port: u16,
    got: Receiver<Got>,
}

impl Http {
    pub(super) fn new(answers: &'static [&'static str]) -> Self {
        Self::over(answers, |stream| Box::new(stream))
    }

    /// The same with TLS.
    pub(super) fn with_tls(certificates: &Path, key: &Path, answers: &'static [&'static str]) -> Self {
        let config = Arc::new(server_config(certificates, key));
        Self::over(answers, move |stream| {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            Box::new(StreamOwned::new(connection, stream))
        })
    }

    fn over(answers: &'static [&'static str], wrap: impl Fn(TcpStream) -> Box<dyn ReadWrite> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, got) = channel();
        // It ends with the test's process, or with the first connection after the test is over.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = wrap(stream.expect("a connection"));
                let Some(request) = request(&mut *stream) else { continue };
                if sender.send(request).is_err() {
                    return;
                }
                let answer = answers[number.min(answers.len() - 1)];
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.flush();
            }
        });
        Self { port, got }
    }

    #[track_caller]
    pub(super) fn got(&self) -> Got {
        self.got.recv_timeout(LONG).expect("a request")
    }

    /// Nothing came, or comes any more.
    pub(super) fn is_silent(&self) -> bool {
        self.got.try_recv().is_err()
    }
}

pub(super) trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn request(stream: &mut dyn ReadWrite) -> Option<Got> {
    let mut reader = BufReader::new(stream);
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().map(|_| line.trim_end().to_owned())
    };
    let line = next()?;
    let mut headers = Vec::new();
    loop {
        let header = next()?;
        let Some((key, value)) = header.split_once(": ") else { break };
        headers.push((key.to_owned(), value.to_owned()));
    }
    let length = headers.iter().find(|(key, _)| key == "Content-Length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Got { line, headers, body: String::from_utf8(body).expect("UTF-8") })
}

pub(super) fn server_config(certificates: &Path, key: &Path) -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(certificates).expect("a file").map(|one| one.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .expect("they fit")
}

/// A mail server: what it was told, and the letters.
pub(super) struct Mailer {
    pub(super) port: u16,
    pub(super) told: Arc<Mutex<Vec<String>>>,
}

impl Mailer {
    /// `offers`: what it says to EHLO; `refuse`: it answers lines that begin so with this.
    pub(super) fn new(
        offers: &'static [&'static str],
        refuse: Option<(&'static str, &'static str)>,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = told.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream: Box<dyn ReadWrite> = Box::new(stream.expect("a connection"));
                talk(&mut BufReader::new(stream), offers, refuse, tls.clone(), &log);
            }
        });
        Self { port, told }
    }

    pub(super) fn told(&self) -> Vec<String> {
        self.told.lock().expect("unharmed").clone()
    }
}

fn talk(
    stream: &mut BufReader<Box<dyn ReadWrite>>,
    offers: &[&str],
    refuse: Option<(&str, &str)>,
    tls: Option<Arc<ServerConfig>>,
    log: &Mutex<Vec<String>>,
) {
    let say = |stream: &mut BufReader<Box<dyn ReadWrite>>, text: &str| {
        let _ = stream.get_mut().write_all(format!("{text}\r\n").as_bytes());
        let _ = stream.get_mut().flush();
    };
    say(stream, "220-mail.example\r\n220 welcome");
    let mut letter: Option<String> = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end_matches("\r\n").to_owned();
        if let Some(text) = &mut letter {
            if line == "." {
                log.lock().expect("unharmed").push(std::mem::take(text));
                letter = None;
                say(stream, "250 queued as 4711");
            } else {
                text.push_str(line.strip_prefix('.').unwrap_or(&line));
                text.push('\n');
            }
            continue;
        }
        log.lock().expect("unharmed").push(line.clone());
        let answer = match refuse.filter(|(begin, _)| line.starts_with(begin)) {
            Some((_, answer)) => answer.to_owned(),
            None if line.starts_with("EHLO") => {
                let lines: Vec<String> = offers.iter().map(|offer| format!("250-{offer}\r\n")).collect();
                format!("250-mail.example\r\n{}250 8BITMIME", lines.concat())
            }
            None if line.starts_with("AUTH PLAIN") => "235 welcome".to_owned(),
            None if line == "AUTH LOGIN" || line == crate::text::base64(b"anna") => "334 VXNlcm5hbWU6".to_owned(),
            None if line == "DATA" => {
                letter = Some(String::new());
                "354 go on".to_owned()
            }
            None if line == "QUIT" => "221 bye".to_owned(),
            None if line == "STARTTLS" => "220 go on".to_owned(),
            None if line == crate::text::base64(b"hunter2") => "235 welcome".to_owned(),
            None => "250 ok".to_owned(),
        };
        say(stream, &answer);
        if line == "STARTTLS" {
            let config = tls.clone().expect("it was offered");
            let inner = std::mem::replace(stream.get_mut(), Box::new(std::io::Cursor::new(Vec::new())));
            let connection = ServerConnection::new(config).expect("a connection");
            *stream = BufReader::new(Box::new(StreamOwned::new(connection, inner)));
        }
        if line == "QUIT" {
            return;
        }
    }
}

/// A bus that lets everybody in, and gives the answers that it was made with.
pub(super) fn bus(path: &Path, answers: Vec<Vec<u8>>) -> Receiver<Vec<u8>> {
    let listener = std::os::unix::net::UnixListener::bind(path).expect("a socket");
    let (sender, got) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        let mut line = Vec::new();
        let _ = reader.read_until(b'\n', &mut line);
        sender.send(line).expect("listened to");
        let _ = stream.write_all(b"OK 1234deadbeef\r\n");
        let mut begin = Vec::new();
        let _ = reader.read_until(b'\n', &mut begin);
        for answer in answers {
            let mut head = [0; 16];
            if reader.read_exact(&mut head).is_err() {
                return;
            }
            let number = |place: usize| u32::from_le_bytes(head[place..place + 4].try_into().expect("four")) as usize;
            let mut rest = vec![0; number(12).next_multiple_of(8) + number(4)];
            reader.read_exact(&mut rest).expect("the rest");
            let _ = sender.send([head.to_vec(), rest].concat());
            let _ = stream.write_all(&answer);
        }
    });
    got
}
