//! One question to an engine: one connection, one deadline, one answer of bounded size.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use vigie_core::text::escaped;

use crate::error::Error;

/// The longest path that fits into a `sockaddr_un` with its final NUL (unix(7)).
const PATH_LIMIT: usize = 107;

/// Between two tries to get into the queue of a listener that is full.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The largest answer that is read, in bytes: a list of ten thousand containers has half of it.
const ANSWER: usize = 64 << 20;

/// As much of what a refusing engine says as is shown, in characters.
const SAID: usize = 300;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Where an engine is asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    pub(crate) socket: &'a Path,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
}

impl Asked<'_> {
    /// Method and path, for people.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn owned(&self) -> PathBuf {
        self.socket.to_owned()
    }

    /// Asks, and takes a refusal for an error.
    ///
    /// # Errors
    /// Every kind of [`Error`], [`Error::Late`] after `deadline`.
    pub(crate) async fn within(&self, deadline: Duration) -> Result<Answer, Error> {
        match tokio::time::timeout(deadline, self.ask()).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Late { socket: self.owned(), request: self.name(), after: deadline }),
        }
    }

    /// The number of the process that listens; absent when it is in a PID namespace that cannot be seen from here
    /// (`SO_PEERCRED`, unix(7)).
    ///
    /// # Errors
    /// As of [`Asked::within`].
    pub(crate) async fn listener(&self, deadline: Duration) -> Result<Option<u32>, Error> {
        let late = |_| Error::Late { socket: self.owned(), request: "a connection".to_owned(), after: deadline };
        let stream = tokio::time::timeout(deadline, self.connect()).await.map_err(late)??;
        let peer = stream.peer_cred().map_err(|error| self.broken(&error))?;
        Ok(peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0))
    }

    async fn ask(&self) -> Result<Answer, Error> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        let _driver = Driver(tokio::spawn(async move {
            // What goes wrong here, the request or its body tells as well.
            let _ = connection.await;
        }));
        let request = Request::builder()
            .method(self.method.clone())
            .uri(self.path)
            .header(http::header::HOST, "engine")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.malformed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(|error| self.broken(error.as_ref()))?.to_bytes();
        if head.status.is_client_error() || head.status.is_server_error() {
            return Err(self.refused(head.status, &body));
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Connects; an engine whose queue is full is waited for, until the deadline around all of it.
    async fn connect(&self) -> Result<UnixStream, Error> {
        loop {
            match connect(self.socket).await {
                Ok(stream) => return Ok(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(LOOK_AGAIN).await,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(Error::NotPermitted { socket: self.owned() });
                }
                Err(source) => return Err(Error::Absent { socket: self.owned(), source }),
            }
        }
    }

    /// `{"message":"…"}`, or whatever else was said.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        let json = serde_json::from_slice::<serde_json::Value>(body).ok();
        let message = json.as_ref().and_then(|json| json.get("message")?.as_str()).map(str::as_bytes);
        let message: String = escaped(message.unwrap_or(body).trim_ascii()).chars().take(SAID).collect();
        Error::Refused { socket: self.owned(), request: self.name(), status: status.as_u16(), message }
    }

    /// hyper's own texts are short: what lies below them says more.
    fn broken(&self, error: &dyn std::error::Error) -> Error {
        let why = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Error::Broken { socket: self.owned(), request: self.name(), why }
    }

    pub(crate) fn malformed(&self, why: &dyn std::fmt::Display) -> Error {
        Error::Malformed { socket: self.owned(), request: self.name(), why: why.to_string() }
    }
}

/// The task that moves the bytes of a connection. Dropping it closes the connection.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects to a Unix socket at a path of any length, without waiting.
async fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    match (socket.parent(), socket.file_name()) {
        (Some(folder), Some(name)) if socket.as_os_str().len() > PATH_LIMIT => {
            let folder = File::open(folder)?;
            UnixStream::connect(Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name)).await
        }
        _ => UnixStream::connect(socket).await,
    }
}
