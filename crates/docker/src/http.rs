//! One question to an engine: one connection, one deadline, one answer of bounded size.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use vigie_core::text::escaped;
use vigie_core::units::format_size;

use crate::dial::{Dial, Stream};
use crate::error::Error;
use crate::ssh::Complaint;

/// The largest answer that is read, in bytes: a list of ten thousand containers has half of it.
const ANSWER: usize = 64 << 20;

/// As much of what a refusing engine says as is shown, in characters.
const SAID: usize = 300;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Where an engine is asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    pub(crate) dial: &'a Dial,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
}

impl Asked<'_> {
    /// Method and path, for people.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn at(&self) -> String {
        self.dial.to_string()
    }

    /// Asks, and takes a refusal for an error.
    ///
    /// # Errors
    /// Every kind of [`Error`], [`Error::Late`] after `deadline`.
    pub(crate) async fn within(&self, deadline: Duration) -> Result<Answer, Error> {
        match tokio::time::timeout(deadline, self.ask()).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Late { at: self.at(), request: self.name(), after: deadline }),
        }
    }

    /// The number of the process that listens; absent when it is in a PID namespace that cannot be seen from here
    /// (`SO_PEERCRED`, unix(7)).
    ///
    /// # Errors
    /// As of [`Asked::within`].
    pub(crate) async fn listener(&self, deadline: Duration) -> Result<Option<u32>, Error> {
        let late = |_| Error::Late { at: self.at(), request: "a connection".to_owned(), after: deadline };
        let stream = tokio::time::timeout(deadline, self.dial.connect()).await.map_err(late)??;
        // Whoever is at another machine has no number here.
        let Stream::Unix(stream) = stream else { return Ok(None) };
        let peer = stream.peer_cred().map_err(|error| self.broken(&error))?;
        Ok(peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0))
    }

    async fn ask(&self) -> Result<Answer, Error> {
        let (_open, head, body) = self.begin().await?;
        self.answer(head, body, ANSWER).await
    }

    /// Asks for a body that goes on and on. `deadline` is for its head.
    ///
    /// # Errors
    /// As of [`Asked::within`].
    pub(crate) async fn stream(&self, deadline: Duration) -> Result<Pieces, Error> {
        let late = |_| Error::Late { at: self.at(), request: self.name(), after: deadline };
        let (open, head, body) = tokio::time::timeout(deadline, self.begin()).await.map_err(late)??;
        if is_refusal(head.status) {
            let body = tokio::time::timeout(deadline, self.whole(body, ANSWER)).await.map_err(late)?;
            return Err(self.refused(head.status, &body.unwrap_or_default()));
        }
        Ok(Pieces { at: self.at(), request: self.name(), body, _open: open })
    }

    /// All of a body, in one piece from the beginning: to put pieces together at the end would take twice as much.
    async fn whole(&self, mut body: Incoming, limit: usize) -> Result<Vec<u8>, Error> {
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(|error| self.broken(&error))?.into_data() else { continue };
            if whole.len() + bytes.len() > limit {
                return Err(self.malformed(&format!("its answer is longer than {}", format_size(limit as u64))));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    async fn begin(&self) -> Result<(Open, Head, Incoming), Error> {
        let mut stream = self.dial.connect().await?;
        let mut complaint = stream.complaint();
        let mut begun = self.begin_on(stream).await;
        if let (Err(_), Some(complaint)) = (&begun, &mut complaint)
            && let Some(why) = complaint.last_line().await
        {
            // What carries the connection knows better why there is none.
            return Err(self.dial.absent(std::io::Error::other(why)));
        }
        if let Ok((open, ..)) = &mut begun {
            open.driver.complaint = complaint;
        }
        begun
    }

    async fn begin_on(&self, stream: Stream) -> Result<(Open, Head, Incoming), Error> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        let task = tokio::spawn(async move {
            // What goes wrong here, the request or its body tells as well.
            let _ = connection.await;
        });
        let mut open = Open { sender, driver: Driver { task, complaint: None } };
        let (head, body) = self.send(&mut open.sender).await?;
        Ok((open, head, body))
    }

    async fn send(&self, sender: &mut Sender) -> Result<(Head, Incoming), Error> {
        let request = Request::builder()
            .method(self.method.clone())
            .uri(self.path)
            .header(http::header::HOST, "engine")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.malformed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        Ok(response.into_parts())
    }

    /// The whole answer; a refusal is an error.
    async fn answer(&self, head: Head, body: Incoming, limit: usize) -> Result<Answer, Error> {
        let body = self.whole(body, limit).await?;
        if is_refusal(head.status) {
            return Err(self.refused(head.status, &body));
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// `{"message":"…"}`, or whatever else was said.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        let json = serde_json::from_slice::<serde_json::Value>(body).ok();
        let message = json.as_ref().and_then(|json| json.get("message")?.as_str()).map(str::as_bytes);
        let message: String = escaped(message.unwrap_or(body).trim_ascii()).chars().take(SAID).collect();
        Error::Refused { at: self.at(), request: self.name(), status: status.as_u16(), message }
    }

    /// hyper's own texts are short: what lies below them says more.
    fn broken(&self, error: &dyn std::error::Error) -> Error {
        Error::Broken { at: self.at(), request: self.name(), why: cause(error) }
    }

    pub(crate) fn malformed(&self, why: &dyn std::fmt::Display) -> Error {
        Error::Malformed { at: self.at(), request: self.name(), why: why.to_string() }
    }
}

/// Neither a success nor that there was nothing to do. A redirection is one, too: an engine has nowhere to send anybody.
fn is_refusal(status: StatusCode) -> bool {
    !status.is_success() && status != StatusCode::NOT_MODIFIED
}

fn cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

type Head = http::response::Parts;
type Sender = http1::SendRequest<Empty<Bytes>>;

/// A connection that is open. Dropping it closes it.
struct Open {
    sender: Sender,
    driver: Driver,
}

/// A connection on which one question follows another. Dropping it, or an answer that is waited for, closes it.
pub(crate) struct Connection {
    dial: Dial,
    open: Option<Open>,
}

impl Connection {
    /// Connects with the first question.
    pub(crate) fn new(dial: Dial) -> Self {
        Self { dial, open: None }
    }

    /// Asks; at most `limit` bytes are read.
    ///
    /// # Errors
    /// As of [`Asked::within`].
    pub(crate) async fn get(&mut self, path: &str, limit: usize, deadline: Duration) -> Result<Answer, Error> {
        let dial = self.dial.clone();
        let asked = Asked { dial: &dial, method: Method::GET, path };
        match tokio::time::timeout(deadline, self.ask(&asked, limit)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Late { at: asked.at(), request: asked.name(), after: deadline }),
        }
    }

    async fn ask(&mut self, asked: &Asked<'_>, limit: usize) -> Result<Answer, Error> {
        // While it is out here, whoever gives up closes it.
        let (open, head, body) = match self.again(asked).await {
            Some(begun) => begun,
            None => asked.begin().await?,
        };
        let answer = asked.answer(head, body, limit).await;
        // Of a body that was not read to its end the rest would be taken for the next answer.
        if matches!(answer, Ok(_) | Err(Error::Refused { .. })) {
            self.open = Some(open);
        }
        answer
    }

    /// On the connection that is there. `None`: there is none, or the engine has closed it since.
    async fn again(&mut self, asked: &Asked<'_>) -> Option<(Open, Head, Incoming)> {
        let mut open = self.open.take()?;
        open.sender.ready().await.ok()?;
        let (head, body) = asked.send(&mut open.sender).await.ok()?;
        Some((open, head, body))
    }
}

/// The task that moves the bytes of a connection. Dropping it closes the connection.
struct Driver {
    task: JoinHandle<()>,
    /// Read as long as the connection lives: whoever writes it must not wait.
    complaint: Option<Complaint>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.complaint = None;
        self.task.abort();
    }
}

/// A body as it arrives. Dropping it closes the connection.
pub struct Pieces {
    at: String,
    request: String,
    body: Incoming,
    _open: Open,
}

impl Pieces {
    /// The next piece; absent at the end. Safe to drop while it waits.
    ///
    /// # Errors
    /// [`Error::Broken`]
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(error)) => {
                    return Err(Error::Broken {
                        at: self.at.clone(),
                        request: self.request.clone(),
                        why: cause(&error),
                    });
                }
            }
        }
    }
}
