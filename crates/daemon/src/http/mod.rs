//! The API over the user's Unix socket (R12.1, R12.4). The shapes are those of [`vigie_api`].
//!
//! A connection is a task. Only the same user and root may speak: the folder lets nobody else through, and the kernel
//! says who it is all the same. Everything is bounded: connections, the time for a request's head, the size of its body.

mod answer;
mod events;
mod query;
mod requests;
mod samples;
mod sessions;
mod settings;
mod sources;
mod status;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use vigie_api::{path, report};
use vigie_core::exit_code::ExitCode;

use crate::input::Input;
use crate::ledger::Lines;
use crate::log::Log;
use crate::look::Ports;
use answer::{Body, Refusal, json};
use query::Query;

/// How many may be connected at once.
pub(crate) const CONNECTIONS: usize = 512;

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(10);

/// What the answers need.
pub(crate) struct Desk {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) lines: Lines,
    pub(crate) about: report::Daemon,
    /// The folder with those of all services.
    pub(crate) services: PathBuf,
    /// The folder of the journal.
    pub(crate) state: PathBuf,
    pub(crate) ports: Arc<Mutex<Ports>>,
    pub(crate) log: Log,
}

/// Serves until the task is ended. `places` has one for each of [`CONNECTIONS`]; it tells whether any is open.
pub(crate) async fn serve(listener: UnixListener, desk: Arc<Desk>, places: Arc<Semaphore>) {
    loop {
        // The queue of the socket waits as long as nobody leaves.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    if is_allowed(&stream) {
                        converse(stream, desk).await;
                    }
                    drop(place);
                });
            }
            Err(error) => {
                desk.log.line(&format!("a connection could not be accepted: {error}"));
                // Too many open files, mostly: somebody has to close some first.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_allowed(stream: &UnixStream) -> bool {
    vigie_os::socket::peer(stream).is_ok_and(|peer| peer.uid == 0 || peer.uid == vigie_os::user::uid())
}

async fn converse(stream: UnixStream, desk: Arc<Desk>) {
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, std::convert::Infallible>(route(request, &desk).await) }
    });
    // What goes wrong on a connection concerns the one at its other end.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn route(request: Request<Incoming>, desk: &Desk) -> Response<Body> {
    let answered = match (request.method(), request.uri().path()) {
        (&Method::GET, path::DAEMON) => json(&desk.about),
        (&Method::GET, path::STATUS) => status::report(desk, &Query::of(&request)).await,
        (&Method::GET, path::PROJECTS) => status::projects(desk).await,
        (&Method::GET, path::EVENTS) => events::stream(desk, &Query::of(&request)).await,
        (&Method::POST, path::REQUESTS) => requests::stream(desk, request).await,
        (&Method::POST, path::SESSIONS) => sessions::stream(desk, request).await,
        (&Method::POST, path::FLUSH_SAMPLES) => samples::flush(desk).await,
        (&Method::POST, path::WATCH_SAMPLES) => samples::watch(desk, request).await,
        (&Method::GET, path::SETTINGS) => settings::show(desk).await,
        (&Method::POST, path::SETTINGS) => settings::change(desk, request).await,
        (&Method::GET, path::SOURCES) => sources::show(desk).await,
        (&Method::POST, path::SOURCES) => sources::change(desk, request).await,
        (
            _,
            path::DAEMON
            | path::STATUS
            | path::PROJECTS
            | path::EVENTS
            | path::REQUESTS
            | path::SESSIONS
            | path::FLUSH_SAMPLES
            | path::WATCH_SAMPLES
            | path::SETTINGS
            | path::SOURCES,
        ) => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ExitCode::Usage, "not with this method")),
        (_, other) => {
            let message = format!("there is nothing at {other}: perhaps client and daemon are of different versions");
            Err(Refusal::new(StatusCode::NOT_FOUND, ExitCode::Internal, message))
        }
    };
    answered.unwrap_or_else(Refusal::into_response)
}

impl Desk {
    /// Puts a question into the queue and waits for its answer.
    async fn ask<A>(&self, input: impl FnOnce(oneshot::Sender<A>) -> Input) -> Result<A, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.put(input(reply)).await?;
        answer.await.map_err(|_| Refusal::ending())
    }

    async fn put(&self, input: Input) -> Result<(), Refusal> {
        self.inputs.send(input).await.map_err(|_| Refusal::ending())
    }
}

#[cfg(test)]
mod tests;
