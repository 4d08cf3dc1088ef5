//! Bodies and refusals.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Bytes, Frame};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode, header};
use serde::Serialize;
use tokio::sync::mpsc;

use vigie_api::report::{Failure, FailureDetail};
use vigie_core::exit_code::ExitCode;

/// How many lines may wait for a client that reads slowly. Whoever writes them waits, too.
const WAITING: usize = 64;

/// A client that takes nothing for this long is let go: its place is needed.
const DEAF: Duration = Duration::from_secs(120);

/// The body of an answer.
pub(super) enum Body {
    /// All at once.
    Whole(Option<Bytes>),
    /// Line by line, until the sender is dropped.
    Lines(mpsc::Receiver<Bytes>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Lines(lines) => lines.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Body::Whole(bytes) => {
                hyper::body::SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Body::Lines(_) => hyper::body::SizeHint::default(),
        }
    }
}

/// The writing end of a body of lines. Its client is gone when [`Writer::write`] says so, or [`Writer::gone`] returns.
pub(super) struct Writer(mpsc::Sender<Bytes>);

/// The client does not listen any more.
pub(super) struct Gone;

impl Writer {
    /// Sends one line.
    pub(super) async fn write(&self, line: &impl Serialize) -> Result<(), Gone> {
        // The types of the API are objects with names as keys: they cannot fail.
        let mut bytes = serde_json::to_vec(line).map_err(|_| Gone)?;
        bytes.push(b'\n');
        self.send(bytes.into()).await
    }

    /// Sends what is written already.
    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        match self.0.try_send(bytes) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
            // Only now a timer is worth its price.
            Err(mpsc::error::TrySendError::Full(bytes)) => self.0.send_timeout(bytes, DEAF).await.map_err(|_| Gone),
        }
    }

    /// Sends it if there is room: what shows that somebody lives need not wait behind what shows more.
    pub(super) fn send_if_idle(&self, bytes: Bytes) {
        let _ = self.0.try_send(bytes);
    }

    /// Waits until the client is gone.
    pub(super) async fn gone(&self) {
        self.0.closed().await;
    }
}

/// An answer of many lines.
pub(super) fn lines() -> (Writer, Response<Body>) {
    endless("application/x-ndjson", WAITING)
}

/// An answer that is written bit by bit; so many of them may wait.
pub(super) fn endless(kind: &'static str, waiting: usize) -> (Writer, Response<Body>) {
    let (sender, receiver) = mpsc::channel(waiting);
    let mut response = Response::new(Body::Lines(receiver));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    (Writer(sender), response)
}

/// An answer of one text.
pub(super) fn text(kind: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Some(text.into())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// An answer of one object.
pub(super) fn json(value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(whole(StatusCode::OK, bytes)),
        Err(error) => Err(Refusal::internal(error)),
    }
}

fn whole(status: StatusCode, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Some(bytes.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Why a request gets no answer.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    detail: FailureDetail,
    header: Option<(HeaderName, HeaderValue)>,
    /// What the client sends further is not read.
    closing: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: ExitCode, message: impl Into<String>) -> Self {
        Self { status, detail: FailureDetail { code, message: message.into() }, header: None, closing: false }
    }

    /// With a header that its status asks for.
    pub(super) fn with(self, name: HeaderName, value: &str) -> Self {
        Self { header: HeaderValue::from_str(value).ok().map(|value| (name, value)), ..self }
    }

    /// The connection ends with it: its body was not read, or it should not have been opened.
    pub(super) fn closing(self) -> Self {
        Self { closing: true, ..self }
    }

    /// No token, or none that is known: which of them is nobody's business.
    pub(super) fn unauthorized() -> Self {
        let message = "a token is needed: the header 'Authorization: Bearer TOKEN'; 'vigie api token add' makes one";
        Self::new(StatusCode::UNAUTHORIZED, ExitCode::NotPermitted, message)
            .with(header::WWW_AUTHENTICATE, "Bearer realm=\"vigie\"")
            .closing()
    }

    /// The body is larger than it may be.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("a body has at most {limit} bytes here");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ExitCode::Usage, message).closing()
    }

    /// The request is not understood.
    pub(super) fn not_understood(why: impl std::fmt::Display) -> Self {
        let message = format!("the daemon does not understand the request: {why}");
        Self::new(StatusCode::BAD_REQUEST, ExitCode::Usage, message)
    }

    /// The daemon is about to end.
    pub(super) fn ending() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ExitCode::Unreachable, "the daemon is about to end; try again")
    }

    pub(super) fn internal(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ExitCode::Internal, why.to_string())
    }

    /// As the last line of a stream.
    pub(super) fn into_detail(self) -> FailureDetail {
        self.detail
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let bytes = serde_json::to_vec(&Failure { error: self.detail }).unwrap_or_default();
        let mut response = whole(self.status, bytes);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        if self.closing {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
