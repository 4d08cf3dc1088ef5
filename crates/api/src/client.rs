//! The client: one connection per request, over the Unix socket.

use std::fs::File;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use vigie_core::exit_code::ExitCode;

use crate::error::Error;
use crate::report::{Failure, FailureDetail};

/// The longest path that fits into a `sockaddr_un` with its final NUL (unix(7)).
const PATH_LIMIT: usize = 107;

/// How long a place in the daemon's queue is waited for.
const QUEUE: Duration = Duration::from_secs(10);

/// Between two looks whether there is one.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where the daemon is asked. Holds no connection.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// For the daemon that listens at `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for one answer.
    ///
    /// # Errors
    /// When nobody listens, the connection breaks, the daemon refuses or the answer is not of this type.
    pub async fn get_json<A: DeserializeOwned>(&self, path: &str) -> Result<A, Error> {
        let (exchange, response) = self.send(Method::GET, path, Bytes::new()).await?;
        let body = response.into_body().collect().await.map_err(|error| exchange.broken(&error))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| exchange.malformed(error.to_string()))
    }

    /// Sends a body and asks for one answer.
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn post_json<B: Serialize, A: DeserializeOwned>(&self, path: &str, body: &B) -> Result<A, Error> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::Malformed { request: format!("POST {path}"), why: error.to_string() })?;
        let (exchange, response) = self.send(Method::POST, path, body.into()).await?;
        let body = response.into_body().collect().await.map_err(|error| exchange.broken(&error))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| exchange.malformed(error.to_string()))
    }

    /// Asks for a stream of lines.
    ///
    /// # Errors
    /// As [`Client::get_json`], before the first line.
    pub async fn get_stream<L: DeserializeOwned>(&self, path: &str) -> Result<Lines<L>, Error> {
        let (exchange, response) = self.send(Method::GET, path, Bytes::new()).await?;
        Ok(Lines::new(exchange, response))
    }

    /// Sends a body and asks for a stream of lines.
    ///
    /// # Errors
    /// As [`Client::get_json`], before the first line.
    pub async fn post_stream<B: Serialize, L: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Lines<L>, Error> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::Malformed { request: format!("POST {path}"), why: error.to_string() })?;
        let (exchange, response) = self.send(Method::POST, path, body.into()).await?;
        Ok(Lines::new(exchange, response))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<(Exchange, Response<Incoming>), Error> {
        let name = format!("{method} {path}");
        let stream = self.connect().await?;
        let broken = |error: &hyper::Error| Error::Broken { request: name.clone(), why: cause(error) };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        let driver = Driver(tokio::spawn(async move {
            // What goes wrong here, the request or its body tells as well.
            let _ = connection.await;
        }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "vigie")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Error::Malformed { request: name.clone(), why: error.to_string() })?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let exchange = Exchange { name, _driver: driver };
        if response.status().is_success() {
            return Ok((exchange, response));
        }
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| exchange.broken(&error))?.to_bytes();
        let path = path.split('?').next().unwrap_or_default();
        Err(Error::Refused(match serde_json::from_slice::<Failure>(&body) {
            // Only paths of this version are asked for: that the daemon does not know one is nobody's typing error.
            Ok(failure) if failure.error.message == crate::path::nothing_at(path) => FailureDetail {
                code: ExitCode::Internal,
                message: format!(
                    "the daemon knows no {path}: it is of another version ('vigie daemon stop' ends it, the next command starts this one)"
                ),
            },
            Ok(failure) => failure.error,
            Err(_) => FailureDetail {
                code: ExitCode::Internal,
                message: format!("the daemon answered {} with status {status}", exchange.name),
            },
        }))
    }

    /// Connects. A daemon whose queue is full is there and has not accepted anybody for long: it is waited for, since it is
    /// not the same as none.
    async fn connect(&self) -> Result<UnixStream, Error> {
        let since = Instant::now();
        loop {
            match connect(&self.socket).await {
                Err(error) if error.kind() == ErrorKind::WouldBlock && since.elapsed() < QUEUE => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                connected => return connected.map_err(|source| self.unreachable(source)),
            }
        }
    }

    fn unreachable(&self, source: std::io::Error) -> Error {
        Error::Unreachable { socket: self.socket.clone(), source }
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

/// The task that moves the bytes of a connection. Dropping it closes the connection.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request under way.
#[derive(Debug)]
struct Exchange {
    name: String,
    _driver: Driver,
}

impl Exchange {
    fn broken(&self, error: &hyper::Error) -> Error {
        Error::Broken { request: self.name.clone(), why: cause(error) }
    }

    fn malformed(&self, why: String) -> Error {
        Error::Malformed { request: self.name.clone(), why }
    }
}

/// The error with what lies below it: hyper's own texts are short.
fn cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// An answer of many lines. Dropping it closes the connection.
#[derive(Debug)]
pub struct Lines<L> {
    exchange: Exchange,
    body: Incoming,
    buffer: BytesMut,
    searched: usize,
    line: PhantomData<fn() -> L>,
}

impl<L: DeserializeOwned> Lines<L> {
    fn new(exchange: Exchange, response: Response<Incoming>) -> Self {
        Self { exchange, body: response.into_body(), buffer: BytesMut::new(), searched: 0, line: PhantomData }
    }

    /// The next line; `None` at the regular end. Safe to drop while it waits: no line is lost.
    ///
    /// # Errors
    /// When the connection breaks, or the line is not of this type.
    pub async fn next(&mut self) -> Result<Option<L>, Error> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + end);
                self.buffer.advance(1);
                self.searched = 0;
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| self.exchange.malformed(error.to_string()));
            }
            self.searched = self.buffer.len();
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(self.exchange.broken(&error)),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    let request = self.exchange.name.clone();
                    return Err(Error::Broken { request, why: "its last line is cut off".to_owned() });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
